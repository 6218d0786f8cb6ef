"""What a task will do with the rows: which it leaves out, which it mends, and which it stops at; as far as nothing else has told it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from bertsmith.core.amounts import plural
from bertsmith.core.errors import DataError
from bertsmith.core.types import Example
from bertsmith.data.checks.finding import Finding
from bertsmith.data.dataset import Dataset, Problem, by_message


@runtime_checkable
class Judge(Protocol):
    """What is needed of a task."""

    def settled(self, data: Dataset, *, training: bool = False) -> Dataset:
        """The data as the task can use it, with an account of what was left out and mended."""
        ...

    def wrong_row(self, example: Example) -> str:
        """Why a labelled row cannot be used; empty where it can."""
        ...


def check_refusals(given: Mapping[str, Sequence[Example]], judge: Judge, findings: Sequence[Finding]) -> Iterator[Finding]:
    """Rows that a task would not take as they are.

    Args:
        given: The rows by split, as they were read.
        judge: The task.
        findings: What was found so far; rows of which it tells are not told of again.
    """
    stops, said = _told(findings, "error"), _told(findings, "error", "warning")
    wrong: list[str] = []
    for name, rows in given.items():
        settled = _settled(name, rows, judge)
        yield from _noted("left_out_rows", f"of {name} left out", [row for row in settled.dropped_rows if row.where not in said])
        yield from _noted("mended_rows", f"of {name} mended", [row for row in settled.mended_rows if row.where not in said])
        wrong += [f"{row.where}  {reason}" for row in settled if row.where not in stops and (reason := judge.wrong_row(row))]
    if wrong:
        message = f"{plural(len(wrong), 'row')} that the task refuses"
        yield Finding("refused_rows", "error", message, len(wrong), tuple(wrong), "training stops at them")


def _settled(name: str, rows: Sequence[Example], judge: Judge) -> Dataset:
    """The rows that the task takes; all of them where it takes them only together."""
    try:
        return judge.settled(Dataset(rows), training=name == "train")
    except DataError:
        return Dataset(rows)


def _noted(code: str, done: str, rows: Sequence[Problem]) -> Iterator[Finding]:
    if rows:
        reasons = ", ".join(f"{message} ({len(alike):,})" for message, alike in by_message(rows).items())
        yield Finding(code, "note", f"{plural(len(rows), 'row')} {done} by the task: {reasons}", len(rows), tuple(map(str, rows)))


def _told(findings: Sequence[Finding], *severities: str) -> set[str]:
    """Where the rows stand of which some findings tell."""
    return {place.partition("  ")[0] for finding in findings if finding.severity in severities for place in finding.places}
