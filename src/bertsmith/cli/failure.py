"""What is said when something goes wrong, and the exit status that goes with it.

0 success · 2 a mistake that its maker can mend, or an interruption · 1 a failure of ours · 141 nobody reads our output any more
"""

from __future__ import annotations

import errno
import os
import platform
import shlex
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import typer

from bertsmith.cli.output import say
from bertsmith.core.errors import InterruptedRunError, UserError

MISTAKE, FAILURE, UNREAD = 2, 1, 141

USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""The class of everything that is wrong with a command line; where it lives differs between releases of typer."""

SURROUNDINGS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}
)
"""The operating system's refusals that have nothing to do with us: the disk is full, the place is not ours, or there can be no such place."""

NO_MEMORY = ("not enough memory", "can't allocate memory", "out of memory")
"""How torch says it where the class of the error does not."""

LESS_MEMORY = """\
A training takes less, with the same batches, by train.pass_tokens = 2048 in its recipe (8192 where nothing is said; for embedding and similarity by
a smaller batch_size); and less with a smaller max_length, tuning = "frozen" or "lora", or a smaller model."""


def report(error: BaseException, arguments: Sequence[str]) -> int:
    """Say what went wrong on standard error.

    Args:
        error: What was raised.
        arguments: The command line, for reports.

    Returns:
        The exit status.
    """
    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        return _unread()
    if isinstance(error, KeyboardInterrupt | typer.Abort | InterruptedRunError):
        say(str(error) or "interrupted")
        return MISTAKE
    message = _mistake_of(error)
    return _failure(error, arguments) if message is None else _mistake(message)


def _mistake_of(error: BaseException) -> str | None:
    """What the user did wrong, or what is wrong with the user's machine; None if it was neither."""
    if isinstance(error, USAGE_ERROR):
        return _usage(error)
    if isinstance(error, OSError) and error.errno in SURROUNDINGS:
        return f"{error.strerror}{f': {error.filename}' if error.filename else ''}"
    if _is_lack_of_memory(error):
        said = str(error).strip().split("\n")[0] or type(error).__name__
        return f"there is not enough memory ({said})\n{LESS_MEMORY}"
    return str(error) if isinstance(error, UserError) else None


def _is_lack_of_memory(error: BaseException) -> bool:
    """By name and by words, so that torch need not be imported to compare with its class."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return type(error) is RuntimeError and any(words in str(error) for words in NO_MEMORY)


def _mistake(message: str) -> int:
    from rich.text import Text

    from bertsmith.cli.terminal import text_console

    text_console(stderr=True).print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)
    return MISTAKE


def _usage(error: Any) -> str:
    message: str = error.format_message()
    return f"{message}\nSee: {error.ctx.command_path} --help" if error.ctx is not None else message


def _failure(error: BaseException, arguments: Sequence[str]) -> int:
    from importlib.metadata import version

    traceback.print_exception(error)
    versions = ", ".join(f"{name} {version(name)}" for name in ("bertsmith", "torch", "tokenizers"))
    say(f"\nThis is a failure of bertsmith, not of yours: {type(error).__name__}. Please report it with the lines above and these:")
    say(f"  bertsmith {shlex.join(arguments)}")
    say(f"  {versions}, Python {platform.python_version()}, {platform.platform()}")
    return FAILURE


def _unread() -> int:
    """Say nothing, and let nothing be flushed into the closed pipe when the interpreter ends."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # standard output is not a file of the operating system
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    return UNREAD
