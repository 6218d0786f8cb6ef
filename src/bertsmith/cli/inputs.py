"""Reading what is to be predicted: row by row, so that the first results come before the last line is read, of standard input too."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertsmith.cli.output import STANDARD
from bertsmith.core.errors import RecipeError
from bertsmith.data.sources import Source, find_sources

STANDARD_INPUT = "standard input"
"""What it is called in messages."""

BUFFER = 1 << 16


def input_sources(name: str, output: str | Path | None = None) -> list[Source]:
    """A file, the files of a pattern, or standard input; looked for before a model is opened.

    Args:
        name: As the user wrote it; '-' is standard input.
        output: Where the results will go.

    Raises:
        DataError: There is no such file.
        RecipeError: The results would take its place.
    """
    if name == STANDARD:
        return [StandardInput(STANDARD_INPUT)]
    sources = find_sources(name)
    target = Path(output or STANDARD).expanduser()
    if any(source.path and target.exists() and target.samefile(source.path) for source in sources):
        raise RecipeError(f"--output {output} is the input itself; name another file")
    return sources


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
