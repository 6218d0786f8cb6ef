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
"""Rows and columns; of more labels, the commonest confusions are listed instead."""

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
        labels: Of the rows.
        columns: The labels of the columns: the same, but for what is never said or never true.
        rows: A row a gold label; empty where there are too many labels.
        commonest: Gold label, predicted label, how often; the mistakes only.
    """

    labels: Sequence[str]
    columns: Sequence[str]
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


def confusion(taken: Sequence[tuple[str, str]], labels: Sequence[str] = ()) -> Confusion:
    """Count gold against predicted labels.

    Args:
        taken: A right label and the label that was said, once for every time.
        labels: In the order of rows and columns; others come behind them, where they occur: true ones as rows, those that were said as columns.

    Example:
        >>> table = confusion([("no", "yes"), ("yes", "yes"), ("yes", "neither")], ["no", "yes"])
        >>> table.labels, table.columns, [[cell.count for cell in row] for row in table.rows]
        (['no', 'yes'], ['no', 'yes', 'neither'], [[0, 1, 0], [0, 1, 1]])
        >>> table.commonest
        [('no', 'yes', 1), ('yes', 'neither', 1)]
    """
    counts = Counter(taken)
    labels = labels or sorted({label for pair in counts for label in pair})
    true, said = ([*labels, *sorted({pair[side] for pair in counts} - set(labels))] for side in (0, 1))
    totals = Counter(gold for gold, _ in taken)
    rows = [[Cell(counts[gold, label], counts[gold, label] / max(totals[gold], 1), gold == label) for label in said] for gold in true]
    return Confusion(true, said, rows if max(len(true), len(said)) <= LARGEST_MATRIX else [], confusions(taken)[:SHOWN_CONFUSIONS])


def labels_taken(predictions: Sequence[Record]) -> tuple[list[tuple[str, str]], list[str]]:
    """What `confusion` takes, from predictions with one label each."""
    scored = predictions[0].get("scores")
    return [(str(row["gold"]), str(row["label"])) for row in predictions], list(scored) if isinstance(scored, dict) else []


def confusions(taken: Sequence[tuple[str, str]]) -> list[tuple[str, str, int]]:
    """How often a label was taken for another, the commonest first.

    Args:
        taken: A right label and the label that was said, once for every time.

    Example:
        >>> confusions([("no", "yes"), ("yes", "yes"), ("no", "yes")])
        [('no', 'yes', 2)]
    """
    wrong = Counter(pair for pair in taken if pair[0] != pair[1])
    return [(gold, label, number) for (gold, label), number in wrong.most_common()]


def mistakes(predictions: Sequence[Record]) -> list[Mistake]:
    """The wrong predictions, the surest first."""
    wrong = sorted((row for row in predictions if row["label"] != row["gold"]), key=lambda row: -float(row.get("score", 0)))
    return [_mistake(row) for row in wrong[:SHOWN_MISTAKES]]


def _mistake(row: Record) -> Mistake:
    texts = [_shown(row[name]) for name in ("text", "text_pair") if row.get(name) is not None]
    return Mistake(texts, str(row["gold"]), str(row["label"]), float(row.get("score", 0)), int(row.get("line", 0)))


def shortened(text: str) -> str:
    """A text, or its beginning where it is long."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def _shown(value: Any) -> tuple[str, str]:
    return shortened(str(value)), language(value)
