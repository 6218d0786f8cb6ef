"""Reading what is to be predicted: row by row, so that the first results come before the last line is read, of standard input too."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bertsmith.cli.output import STANDARD
from bertsmith.core.types import Example
from bertsmith.data.dataset import Problem
from bertsmith.data.readers import stream
from bertsmith.data.sources import Source, find_sources

STANDARD_INPUT = "standard input"
"""What it is called in messages."""

BUFFER = 1 << 16


def input_rows(name: str, *, columns: Mapping[str, str], format_name: str | None, needed: Sequence[str]) -> Iterator[Example | Problem]:
    """Rows of a file, a pattern or standard input, as they are read; every bad line in its place.

    Args:
        name: As the user wrote it; '-' is standard input.
        columns: Which column is which, where the user says so.
        format_name: Of the input; recognised where it is None.
        needed: Columns that every row must have, as text.

    Raises:
        DataError: The file cannot be read at all, or a column is not there.
    """
    sources = [StandardInput(STANDARD_INPUT)] if name == STANDARD else find_sources(name)
    return stream(sources, columns=columns, format=format_name, needed=needed)


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
