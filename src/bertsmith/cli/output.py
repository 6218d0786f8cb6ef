"""What goes out: JSON lines for programs, text for people, each to its own stream."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from bertsmith.core.errors import RecipeError
from bertsmith.core.strict_json import strict

STANDARD = "-"
"""The name of standard input and of standard output."""


@runtime_checkable
class Writer(Protocol):
    """Something that lines can be written to."""

    def write(self, text: str, /) -> object:
        """Take some text."""
        ...

    def flush(self) -> object:
        """Hand it on."""
        ...


def json_line(value: Any) -> str:
    """A value as one line of strict JSON: Chinese stays readable, what is not a number becomes null.

    Example:
        >>> json_line({"text": "很好", "spearman": float("nan")})
        '{"text": "很好", "spearman": null}'
    """
    return json.dumps(strict(value), ensure_ascii=False, allow_nan=False)


def emit(value: Any) -> None:
    """One line of JSON on standard output."""
    sys.stdout.write(json_line(value) + "\n")


def say(message: str) -> None:
    """A line on standard error."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


@contextmanager
def opened_output(name: str) -> Generator[Writer]:
    """Standard output for '-', else a file.

    Raises:
        RecipeError: The file cannot be written.
    """
    if name == STANDARD:
        yield sys.stdout
        return
    with writable(name).open("w", encoding="utf-8") as file:
        yield file


def writable(name: str) -> Path:
    """A file that can be written to; found out before the work is done that it is to hold.

    Raises:
        RecipeError: It is a folder, its folder does not exist, or it must not be written.
    """
    file = Path(name).expanduser()
    try:
        with file.open("ab"):
            return file
    except OSError as error:
        raise RecipeError(f"cannot write {name}: {error.strerror}") from error
