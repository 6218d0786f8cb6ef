"""Progress on standard error: bars in a terminal, a plain line now and then in a log."""

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Column

from bertsmith.cli.output import say
from bertsmith.core.progress import Progress

LINE_SECONDS = 10.0
"""How long a log is left alone between two lines."""

WORTH_A_LINE = 1.0
"""Seconds from which finished work leaves a line in a terminal."""

REFRESHES_A_SECOND = 4
"""Of the bars; more would take time from the work."""


@contextmanager
def terminal_progress(*, bars: bool = True) -> Generator[Progress]:
    """Progress for the time of a block: bars if standard error is a terminal, plain lines if it is not.

    Args:
        bars: False where results go to the same terminal line by line and a bar would be in their way.
    """
    console = Console(stderr=True, highlight=False)
    if not bars or not console.is_terminal or console.is_dumb_terminal:
        yield LineProgress()
        return
    shown = BarProgress(console)
    try:
        yield shown
    finally:
        shown.close()


@dataclass(slots=True)
class Work:
    """Something under way.

    Attributes:
        what: What is done.
        total: How much there is to do; None if nobody knows.
        unit: What it is counted in.
        begun: When it began, in seconds.
        done: How much of it is done.
        told: When it was last told of, in seconds.
        numbers: What was last shown beside it.
    """

    what: str
    total: float | None
    unit: str
    begun: float
    done: float = 0
    told: float = 0
    numbers: dict[str, float] = field(default_factory=dict[str, float])

    def summary(self, now: float) -> str:
        """How it stands, in one line."""
        seconds = now - self.begun
        rate = self.done / seconds if seconds > 0 else 0.0
        whole = "" if self.total is None else f"/{_number(self.total)}"
        parts = [f"{self.what} {_number(self.done)}{whole} {self.unit}", f"{_number(rate)} {self.unit}/s"]
        if self.total is not None and self.done < self.total and rate:
            parts.append(f"{duration((self.total - self.done) / rate)} left")
        else:
            parts.append(f"{duration(seconds)} so far" if self.total is None else f"in {duration(seconds)}")
        return " · ".join([*parts, *numbers_text(self.numbers)])


class LineProgress:
    """Plain lines, one every ten seconds of work; work that is over before says nothing."""

    def __init__(self) -> None:
        self._open: list[Work] = []

    def begin(self, what: str, total: float | None, unit: str) -> None:
        """Remembered until it has gone on for long enough."""
        now = time.monotonic()
        self._open.append(Work(what, total, unit, begun=now, told=now))

    def advance(self, amount: float = 1, **numbers: float) -> None:
        """A line, if the last one is long ago."""
        work, now = self._open[-1], time.monotonic()
        work.done += amount
        work.numbers |= numbers
        if now - work.told >= LINE_SECONDS:
            work.told = now
            self.note(work.summary(now))

    def end(self) -> None:
        """A last line, if there was a first one and it was not just now."""
        work, now = self._open.pop(), time.monotonic()
        if work.told > work.begun and now - work.told >= 1:
            self.note(work.summary(now))

    def note(self, message: str) -> None:
        """A line of its own."""
        say(message)


class BarProgress:
    """A bar for everything that is under way, one below the other; of what is finished, the outermost leaves a line.

    Args:
        console: The terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[numbers]}", style="dim", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            expand=True,
            console=console,
            transient=True,
            refresh_per_second=REFRESHES_A_SECOND,
            redirect_stdout=False,
        )
        self._open: list[tuple[Work, TaskID]] = []

    def begin(self, what: str, total: float | None, unit: str) -> None:
        """Another bar, indented below those that are there."""
        if not self._open:
            self._bars.start()
        task = self._bars.add_task("  " * len(self._open) + what, total=total, unit=unit, numbers="")
        self._open.append((Work(what, total, unit, begun=time.monotonic()), task))

    def advance(self, amount: float = 1, **numbers: float) -> None:
        """The innermost bar grows."""
        work, task = self._open[-1]
        work.done += amount
        work.numbers |= numbers
        rate = work.done / max(time.monotonic() - work.begun, 1e-9)
        shown = " · ".join([f"{_number(rate)} {work.unit}/s", *numbers_text(work.numbers)])
        self._bars.update(task, completed=work.done, numbers=shown)

    def end(self) -> None:
        """The innermost bar goes."""
        work, task = self._open.pop()
        self._bars.remove_task(task)
        if not self._open:
            self._bars.stop()
            now = time.monotonic()
            if now - work.begun >= WORTH_A_LINE:
                self.note(work.summary(now))

    def note(self, message: str) -> None:
        """A line above the bars."""
        self._console.print(message, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Take the bars away, whatever is still under way."""
        self._bars.stop()


def duration(seconds: float) -> str:
    """Seconds as a person writes them.

    Example:
        >>> duration(7.4), duration(75), duration(4000)
        ('7 s', '1:15', '1:06:40')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s"


def numbers_text(numbers: Mapping[str, float]) -> list[str]:
    """Names and values for people.

    Example:
        >>> numbers_text({"loss": 0.53217, "tokens_per_second": 12345.6})
        ['loss 0.532', 'tokens per second 12,346']
    """
    return [f"{name.replace('_', ' ')} {_number(value)}" for name, value in numbers.items()]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or float(value).is_integer() else f"{value:.3g}"
