"""How long work tells what it is doing, without knowing who listens: a terminal, a log file, a test, or nobody."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Protocol, TypeVar, runtime_checkable

Item = TypeVar("Item")


@runtime_checkable
class Progress(Protocol):
    """Somebody who wants to know."""

    def begin(self, what: str, total: float | None, unit: str) -> None:
        """Work begins: "train", 1200, "steps". Work may begin inside other work."""
        ...

    def advance(self, amount: float = 1, **numbers: float) -> None:
        """Some of the innermost work is done; `numbers` are shown beside it (loss, tokens a second)."""
        ...

    def end(self) -> None:
        """The innermost work has ended, for whatever reason."""
        ...

    def note(self, message: str) -> None:
        """Something that the user should know: a warning, a decision that was taken."""
        ...


class Silence:
    """Nobody listens."""

    def begin(self, what: str, total: float | None, unit: str) -> None:
        """Ignored."""

    def advance(self, amount: float = 1, **numbers: float) -> None:
        """Ignored."""

    def end(self) -> None:
        """Ignored."""

    def note(self, message: str) -> None:
        """Ignored."""


@contextmanager
def work(progress: Progress, what: str, total: float | None, unit: str) -> Generator[None]:
    """A block of work that is begun and ended whatever happens in it."""
    progress.begin(what, total, unit)
    try:
        yield
    finally:
        progress.end()


def followed(items: Iterable[Item], progress: Progress, what: str, total: float | None, unit: str, every: float = 0.1) -> Generator[Item]:
    """Hand items on and tell of them, at most once in `every` seconds."""
    with work(progress, what, total, unit):
        told, count, last = 0, 0, time.monotonic()
        for item in items:
            yield item
            count += 1
            if time.monotonic() - last >= every:
                progress.advance(count - told)
                told, last = count, time.monotonic()
        progress.advance(count - told)
