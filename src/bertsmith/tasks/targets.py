"""What a row says is to be written about its text: one target, or several that are equally right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bertsmith.tasks.outcome import Outcome


def targets_of(target: Any) -> list[Any]:
    """The texts that are equally right, without those that are missing or empty."""
    given: Sequence[Any] = target if isinstance(target, list | tuple) else [target]
    return [one for one in given if one is not None and not (isinstance(one, str) and not one.strip())]


def nothing_in(target: Any) -> str:
    """That there is nothing to be written, if so."""
    if target is None or target in ([], ()):
        return "no target"
    return "" if targets_of(target) else "target is empty"


def references_of(outcome: Outcome) -> list[list[str]]:
    """The targets of every example."""
    return [targets_of(example.get("target")) for example in outcome.examples]


def plain(text: str) -> str:
    """A text without regard to case and white space.

    Example:
        >>> plain(" New  York ")
        'new york'
    """
    return " ".join(text.split()).casefold()
