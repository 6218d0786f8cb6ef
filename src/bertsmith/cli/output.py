"""What goes out: JSON lines for programs, text for people, each to its own stream."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

from bertsmith.core.errors import RecipeError
from bertsmith.core.strict_json import strict

STANDARD = "-"
"""The name of standard input and of standard output."""

DEVICES = (Path("/dev"), Path("/dev/fd"))
"""Folders whose files are not files, even where standard output, which is among them, has been sent to one."""


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
    """One line of JSON on standard output, at once: what is said on standard error afterwards comes after it."""
    sys.stdout.write(json_line(value) + "\n")
    sys.stdout.flush()


def say(message: str) -> None:
    """A line on standard error."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


@contextmanager
def opened_output(name: str) -> Generator[Writer]:
    """Standard output for '-', else a file, which appears when it is complete; what was there before stays where the work fails.

    Raises:
        RecipeError: The file cannot be written.
    """
    if name == STANDARD:
        yield sys.stdout
        return
    file = writable(name)
    with (
        file.open("wb") if _is_device(file) else drafted(file) as opened,
        io.TextIOWrapper(opened, encoding="utf-8", errors="backslashreplace") as text,
    ):
        yield text


@contextmanager
def drafted(file: Path) -> Generator[BinaryIO]:
    """A draft beside a file, which takes its place when the work is done, and is gone where it fails."""
    draft = _draft_of(file)
    opened = draft.open("wb")
    try:
        with opened:
            yield opened
        draft.replace(os.path.realpath(file))  # a link stays a link
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def writable(name: str) -> Path:
    """A file that can be written to; found out before the work is done that it is to hold.

    Raises:
        RecipeError: It is a folder, its folder does not exist, or it must not be written.
    """
    file = Path(name).expanduser()
    try:
        if not _is_device(file):
            if file.exists():
                file.open("ab").close()
            _draft_of(file).open("wb").close()
            _draft_of(file).unlink()
    except OSError as error:
        raise RecipeError(f"cannot write {name}: {error.strerror}") from error
    return file


def _draft_of(file: Path) -> Path:
    target = Path(os.path.realpath(file))
    return target.with_name(f".{target.name}.part")


def _is_device(file: Path) -> bool:
    """Whether it is written as it comes: a terminal, a pipe, whatever stands for standard output."""
    return file.parent in DEVICES or (file.exists() and not file.is_file() and not file.is_dir())
