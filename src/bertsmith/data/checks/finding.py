"""What a check is given, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bertsmith.core.types import Example
from bertsmith.data.checks.kinds import Kind, names_of, told_of

Severity = Literal["error", "warning", "note"]

SHOWN = 3
"""Places that plain text shows of a finding; JSON has all of them."""

MULTI_LABEL = "multi_label"
NUMBERS = ("regression", "similarity")
"""Tasks whose labels are numbers."""

SAID: dict[Kind, str] = {"label": "labels", "answers": "answers", "tags": "entities", "choice": "right choices", "target": "targets"}
"""What rows say of their texts."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the data that one should know.

    Attributes:
        code: A stable name for programs, such as `shared_rows`.
        severity: `error`: training fails, or its result means nothing; `warning`: the result is worse or less sure than it looks; `note`: have a
            look.
        message: What is the case.
        count: How many rows, labels or characters it is about.
        places: Where: `file:line` and an excerpt.
        advice: What to do about it.
    """

    code: str
    severity: Severity
    message: str
    count: int
    places: tuple[str, ...] = ()
    advice: str = ""

    def lines(self) -> list[str]:
        """As plain text."""
        shown = [f"  {place}" for place in self.places[:SHOWN]]
        more = [f"  … and {len(self.places) - SHOWN:,} more"] if len(self.places) > SHOWN else []
        return [f"{self.severity}: {self.message}", *shown, *more, *([f"  → {self.advice}"] if self.advice else [])]


@dataclass(frozen=True, slots=True)
class Patient:
    """The data that is examined.

    Attributes:
        splits: `train`, and `valid` and `test` where there are any. Every row knows its file and line.
        task: The task's name, which says what a label is: one name, several (`multi_label`) or a number (`regression`).
        wrong_label: What the task says against a label, if anything.
        kind: What kind of rows they are.
    """

    splits: Mapping[str, Sequence[Example]]
    task: str | None = None
    wrong_label: Callable[[Any], str] = lambda _: ""
    kind: Kind = "label"

    def rows(self) -> Iterator[tuple[str, Example]]:
        """Every row with the name of its split."""
        return ((name, row) for name, rows in self.splits.items() for row in rows)

    @property
    def noun(self) -> str:
        """What is counted by its label."""
        return "mention" if self.kind == "tags" else "row"

    def told(self, row: Example) -> list[str]:
        """What a row says of its text."""
        return self.labels(row) if self.kind == "label" else told_of(row, self.kind)

    def labels(self, row: Example) -> list[str]:
        """The names in the label of a row, or of what stands for it; none where it has no label."""
        if self.kind != "label":
            return names_of(row, self.kind)
        label = row.get("label")
        if isinstance(label, list | tuple):
            return [str(name) for name in label]
        if self.task == MULTI_LABEL:
            return [name for part in str(label or "").split(",") if (name := part.strip())]
        return [] if label is None or label == "" else [str(label)]


def texts_of(row: Example) -> tuple[str, ...]:
    """The text, and the second one of a pair; what is not a string is as good as empty."""
    return tuple(value if isinstance(value := row.values[name], str) else "" for name in ("text", "text_pair") if name in row.values)


def place(row: Example, remark: str = "") -> str:
    """Where a row stands, and what it says.

    Example:
        >>> place(Example({"text": "很好"}, "train.tsv", 3), "label 1")
        "train.tsv:3  label 1  '很好'"
    """
    return "  ".join(part for part in (row.where, remark, repr(shorten(" | ".join(texts_of(row)), 60))) if part)


def shorten(text: str, length: int) -> str:
    """The beginning of a text.

    Example:
        >>> shorten("一二三四五", 4)
        '一二三…'
    """
    return text if len(text) <= length else text[: length - 1] + "…"


def percent(part: float, whole: float) -> str:
    """A share for people.

    Example:
        >>> percent(1, 8), percent(1, 30000)
        ('12.5 %', '0.003 %')
    """
    share = 100 * part / max(whole, 1)
    return f"{share:.1f} %" if share >= 0.1 or not share else f"{share:.1g} %"
