"""What a format is: something that turns a source into rows, and says by which endings its files are known."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from bertsmith.core.errors import DataError
from bertsmith.core.registry import Registry
from bertsmith.data.dataset import Problem
from bertsmith.data.sources import Source


class Row(NamedTuple):
    """A row before its columns are renamed.

    Attributes:
        line: The line it begins in, from 1.
        values: By the file's own column names; by position ("0", "1", …) where the file names none.
        place: Where in that line it stands, in formats whose rows are not lines: `data[0].paragraphs[2].qas[1]`.
    """

    line: int
    values: Mapping[str, Any]
    place: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a source is to be read.

    Attributes:
        encoding: Of its bytes.
        columns: The user's choice, by the names that tasks know; a number is a position.
    """

    encoding: str = "utf-8"
    columns: Mapping[str, str | int] = field(default_factory=dict[str, str | int])

    def __post_init__(self) -> None:
        try:
            codecs.lookup(self.encoding)
        except LookupError as error:
            raise DataError(f"unknown encoding {self.encoding!r}; known are utf-8, utf-16, gb18030, big5, latin-1, …") from error


class Format(Protocol):
    """A format. What is wrong with a single line is yielded in its place; what is wrong with the whole file is raised as a `DataError`."""

    suffixes: tuple[str, ...]

    def rows(self, source: Source, reading: Reading) -> Iterator[Row | Problem]:
        """The rows of a source, read as they are asked for."""
        ...


formats: Registry[Format] = Registry("format", "bertsmith.data.formats")
"""Formats by name."""
