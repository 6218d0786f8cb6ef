"""JSON: one object a line, or one array of objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bertsmith.core.errors import DataError
from bertsmith.data.dataset import Problem
from bertsmith.data.formats.base import Reading, Row, formats
from bertsmith.data.formats.nested import KINDS, JsonText, reason
from bertsmith.data.lines import Line, decode_all, read_lines
from bertsmith.data.sources import Source


class JsonLines:
    """JSON lines; a file that begins with `[` is read as one array instead."""

    suffixes = (".jsonl", ".ndjson", ".json")

    def rows(self, source: Source, reading: Reading) -> Iterator[Row | Problem]:
        """The objects of a source.

        Raises:
            DataError: The file is one object spread over lines, or an array that breaks off.
        """
        if _begins_with(source, b"["):
            yield from _read_array(source, JsonText(source.name, decode_all(source, reading.encoding)))
            return
        for line in read_lines(source, encoding=reading.encoding):
            if isinstance(line, Problem):
                yield line
            elif line.text.strip():
                yield _read_line(source, line)


formats.register("jsonl", "json")(JsonLines())


def _begins_with(source: Source, start: bytes) -> bool:
    return source.head(1024).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(start)


def _read_line(source: Source, line: Line) -> Row | Problem:
    try:
        value = json.loads(line.text)
    except (ValueError, RecursionError) as error:
        if line.number == 1 and line.text.strip() == "{":
            raise DataError(f"{source.name} is one JSON object spread over lines; expected is one object a line, or one array of objects") from error
        return Problem(source.name, line.number, f"not JSON: {reason(error)} in {_shorten(line.text)}")
    return _row(source, line.number, value)


def _read_array(source: Source, text: JsonText) -> Iterator[Row | Problem]:
    """The elements of an array, each with the line it begins in."""
    for _ in text.elements():
        line = text.line(text.start)
        yield _row(source, line, text.value())
    text.finish()


def _row(source: Source, line: int, value: Any) -> Row | Problem:
    if not isinstance(value, dict):
        return Problem(source.name, line, f"{KINDS[type(value)]}, not an object")
    return Row(line, value)


def _shorten(text: str, length: int = 60) -> str:
    return repr(text if len(text) <= length else text[: length - 1] + "…")
