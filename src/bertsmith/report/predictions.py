"""What a model said of its test data: which labels it confuses, and where it was sure and wrong.

For tasks with one label an example. Others have no confusion matrix, and their examples no single mistake.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bertsmith.report.records import Record
from bertsmith.report.words import language

LARGEST_MATRIX = 12
"""Labels; of more, the commonest confusions are listed instead."""

SHOWN_CONFUSIONS = 15
SHOWN_MISTAKES = 12
LONGEST_TEXT = 400
"""Characters of a text that are shown."""


@dataclass(frozen=True, slots=True)
class Cell:
    """How often one label was taken for another.

    Attributes:
        count: How often.
        share: Of the examples with that gold label, 0-1.
        right: Whether the two labels are the same.
    """

    count: int
    share: float
    right: bool


@dataclass(frozen=True, slots=True)
class Confusion:
    """Gold labels against predicted ones.

    Attributes:
        labels: Of rows and columns.
        rows: A row a gold label; empty where there are too many labels.
        commonest: Gold label, predicted label, how often; the mistakes only.
    """

    labels: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    commonest: Sequence[tuple[str, str, int]]


@dataclass(frozen=True, slots=True)
class Mistake:
    """An example that the model got wrong.

    Attributes:
        texts: One, or the two of a pair, cut short; each with the tag of its language.
        gold: What it should have said.
        label: What it said.
        score: How sure it was, 0-1.
        line: In the file; 0 if not known.
    """

    texts: Sequence[tuple[str, str]]
    gold: str
    label: str
    score: float
    line: int


def has_labels(predictions: Sequence[Record]) -> bool:
    """Whether every prediction is one label, with the gold one beside it."""
    return bool(predictions) and all(isinstance(row.get("label"), str) and isinstance(row.get("gold"), str) for row in predictions)


def confusion(predictions: Sequence[Record]) -> Confusion:
    """Count gold against predicted labels.

    Example:
        >>> table = confusion([{"gold": "no", "label": "yes"}, {"gold": "yes", "label": "yes"}, {"gold": "yes", "label": "yes"}])
        >>> table.labels, [[cell.count for cell in row] for row in table.rows], table.commonest
        (['no', 'yes'], [[0, 1], [0, 2]], [('no', 'yes', 1)])
    """
    counts = Counter((str(row["gold"]), str(row["label"])) for row in predictions)
    scored = predictions[0].get("scores")
    labels = list(scored) if isinstance(scored, dict) else []
    labels += sorted({label for pair in counts for label in pair} - set(labels))
    totals = Counter(str(row["gold"]) for row in predictions)
    wrong = Counter({pair: number for pair, number in counts.items() if pair[0] != pair[1]}).most_common(SHOWN_CONFUSIONS)
    rows = [[Cell(counts[gold, label], counts[gold, label] / max(totals[gold], 1), gold == label) for label in labels] for gold in labels]
    return Confusion(labels, rows if len(labels) <= LARGEST_MATRIX else [], [(gold, label, number) for (gold, label), number in wrong])


def mistakes(predictions: Sequence[Record]) -> list[Mistake]:
    """The wrong predictions, the surest first."""
    wrong = sorted((row for row in predictions if row["label"] != row["gold"]), key=lambda row: -float(row.get("score", 0)))
    return [_mistake(row) for row in wrong[:SHOWN_MISTAKES]]


def _mistake(row: Record) -> Mistake:
    texts = [_shown(row[name]) for name in ("text", "text_pair") if row.get(name) is not None]
    return Mistake(texts, str(row["gold"]), str(row["label"]), float(row.get("score", 0)), int(row.get("line", 0)))


def _shown(value: Any) -> tuple[str, str]:
    text = str(value)
    return (text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"), language(text)
