"""Reading what is to be predicted: row by row, so that the first results come before the last line is read.

Bad lines are handed on in their place, to be listed at the end; the good ones are not held up by them.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from bertsmith.cli.output import STANDARD
from bertsmith.core.types import Example
from bertsmith.data.columns import choose_columns, renamed
from bertsmith.data.dataset import Problem
from bertsmith.data.formats.base import Reading, Row, formats
from bertsmith.data.recognise import recognise
from bertsmith.data.sources import Source, find_sources

SAMPLE = 200
"""Rows whose columns are looked at to recognise which is which."""

STANDARD_INPUT = "standard input"
"""What it is called in messages."""

BUFFER = 1 << 16


def stream(name: str, *, columns: Mapping[str, str], format_name: str | None, needed: Sequence[str]) -> Iterator[Example | Problem]:
    """Rows of a file, a pattern or standard input, as they are read.

    Args:
        name: As the user wrote it; '-' is standard input.
        columns: Which column is which, where the user says so.
        format_name: Of the input; recognised where it is None.
        needed: Columns that every row must have, as text.

    Raises:
        DataError: The file cannot be read at all, or a column is not there.
    """
    for source in [StandardInput(STANDARD_INPUT)] if name == STANDARD else find_sources(name):
        yield from _rows(source, Reading(columns=dict(columns)), format_name, needed)


@dataclass(frozen=True, slots=True)
class StandardInput(Source):
    """Standard input, which can be read once and only looked at beforehand."""

    reader: io.BufferedReader = field(default_factory=lambda: io.BufferedReader(_raw_input(), BUFFER))

    def open(self) -> io.BufferedReader:
        """Its bytes."""
        return self.reader

    def head(self, size: int = BUFFER) -> bytes:
        """Its first bytes, as far as they have come."""
        return self.reader.peek(size)[:size]


def _raw_input() -> Any:
    """Unbuffered where it can be, so that what is there is not held back until a buffer is full."""
    return getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)


def _rows(source: Source, reading: Reading, format_name: str | None, needed: Sequence[str]) -> Iterator[Example | Problem]:
    rows = formats[format_name or recognise(source)].rows(source, reading)
    first = list(islice(rows, SAMPLE))
    sample = [row.values for row in first if isinstance(row, Row)]
    columns = choose_columns(source.name, sample, reading.columns, needed) if sample else {}
    for row in chain(first, rows):
        yield row if isinstance(row, Problem) else _judged(source, row, columns, needed)


def _judged(source: Source, row: Row, columns: Mapping[str, str], needed: Sequence[str]) -> Example | Problem:
    values = renamed(row.values, columns)
    wrong = [f"{name} {reason}" for name in needed if (reason := _wrong(values.get(name)))]
    return Problem(source.name, row.line, "; ".join(wrong)) if wrong else Example(values, source.name, row.line)


def _wrong(text: Any) -> str:
    if text is None:
        return "is missing"
    if not isinstance(text, str):
        return f"is {str(text)[:40]!r} ({type(text).__name__}), not a string"
    return "" if text.strip() else "is empty"
