"""One text, any number of labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional as F

from bertsmith.core.errors import DataError
from bertsmith.core.types import Batch, Example
from bertsmith.data.dataset import Dataset
from bertsmith.models.family import Model
from bertsmith.tasks.base import Belonging, Prediction, tasks
from bertsmith.tasks.outcome import Outcome
from bertsmith.tasks.sentence import SentenceTask, label_number
from bertsmith.tasks.tables import Table

DEFAULT_THRESHOLD = 0.5
NEARLY_NEVER = 1e-6
"""A threshold is at least as far from 0 and from 1."""

SURE = 40.0
"""A score whose probability is 1."""

WRITTEN_LIST = re.compile(r"""\s*\[\s*(["']).*\1\s*\]\s*""")


@tasks.register("multi_label")
@dataclass(frozen=True, kw_only=True)
class MultiLabel(SentenceTask):
    """One text (or a pair), any number of labels: every label is a yes-or-no question of its own.

    Needs:
        `text`, `label`; optionally `text_pair`. A label is a list (JSON) or one string with `separator` between the names; an empty one means none.

    Use when:
        Labels do not exclude one another.

    Args:
        threshold: Probability from which a label is given, 0-1. Where it is not named, training chooses the one with the best micro F1 on the
            validation data, and saves it with the model; without such data it is 0.5.
        separator: Between label names in one string.

    Example:
        >>> task = MultiLabel(labels=("fast", "cheap"))
        >>> task.target(Example({"text": "…", "label": "cheap"})).tolist()
        [0.0, 1.0]
    """

    name: ClassVar = "multi_label"
    best_metric: ClassVar = "micro_f1"
    yardstick: ClassVar = "share with exactly the right labels"
    problem_type: ClassVar = "multi_label_classification"

    threshold: float | None = None
    separator: str = ","

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise ValueError(f"threshold is {self.threshold}; it must lie between 0 and 1")
        if not self.separator:
            raise ValueError("separator is empty; it must be what stands between two labels, a comma for instance")

    @classmethod
    def wrong_label(cls, label: Any) -> str:
        """An object, a list of something else than names, or a list that was written as a text."""
        if isinstance(label, str) and WRITTEN_LIST.fullmatch(label):
            return f"label {label[:60]!r} is a list that was written as a text; write its names with a separator between them, or rows as JSON lines"
        wrong = [part for part in (label if isinstance(label, list) else [label]) if isinstance(part, Mapping | list | tuple)]
        if isinstance(label, list) and any(part is None or part == "" for part in label):
            return f"label {str(label)[:60]} holds a name that is empty; a text without labels has the empty list"
        return f"label {str(wrong[0])[:60]} is {'an object' if isinstance(wrong[0], Mapping) else 'a list'}, not a name" if wrong else ""

    def label_names(self, examples: Sequence[Example]) -> set[str]:
        """All labels that occur; at least one."""
        names = {name for example in examples for name in self._names(example.get("label"))}
        if not names:
            raise DataError(f"the training data has no label in {len(examples)} examples (is the column named `label`?)")
        return names

    def target(self, example: Example) -> np.ndarray:
        """1 for every label that it has."""
        target = np.zeros(len(self.labels), np.float32)
        if example.get("label") is None:
            raise ValueError("no label (an example without labels has an empty list or an empty string)")
        target[[label_number(name, self.labels) for name in self._names(example["label"])]] = 1
        return target

    def loss(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        """Binary cross-entropy, the mean over the labels."""
        each = F.binary_cross_entropy_with_logits(self.scores(model, batch), batch.labels["label"], reduction="sum")
        return {self.name: each / len(self.labels)}

    def decode(self, outcome: Outcome) -> list[Prediction]:
        """The labels over the threshold and the probability of each."""
        return [
            {
                "labels": [label for label, probability in zip(self.labels, row, strict=True) if probability >= self._limit],
                "scores": {label: round(probability, 6) for label, probability in zip(self.labels, row, strict=True)},
            }
            for row in torch.from_numpy(outcome.scores).sigmoid().tolist()
        ]

    def metrics(self, outcome: Outcome) -> dict[str, float]:
        """Micro and macro F1 and the share of examples with exactly the right labels, 0-1."""
        from bertsmith.metrics.multi_label import multi_label_scores

        return multi_label_scores(_gold(outcome), _probabilities(outcome), threshold=self._limit)

    def correct(self, outcome: Outcome) -> np.ndarray:
        """1 where exactly the right labels are given."""
        return ((_probabilities(outcome) >= self._limit) == _gold(outcome)).all(1).astype(np.float64)

    def counts(self, outcome: Outcome) -> Int[np.ndarray, "examples 3"]:
        """Of the labels."""
        said, gold = _probabilities(outcome) >= self._limit, _gold(outcome) > 0
        return np.stack([(said & gold).sum(1), said.sum(1), gold.sum(1)], 1)

    def baseline(self, outcome: Outcome) -> dict[str, float]:
        """The metrics of the same labels for every text: those commonest ones that have the best micro F1."""
        gold = _gold(outcome)
        counts = gold.sum(0)
        commonest = np.argsort(-counts, kind="stable")
        f1 = 2 * counts[commonest].cumsum() / (len(gold) * np.arange(1, len(counts) + 1) + counts.sum())
        answer = np.full(len(counts), -SURE, np.float32)
        answer[commonest[: f1.argmax() + 1]] = SURE
        return self.metrics(replace(outcome, outputs=[answer] * len(outcome.rows)))

    def gold(self, example: Example) -> list[str] | None:
        """The labels' names."""
        return None if example.get("label") is None else self._names(example["label"])

    def label_counts(self, data: Dataset) -> dict[str, int]:
        """How often every label occurs, alone or with others."""
        return dict(Counter(name for example in data for name in self._names(example.get("label"))))

    def answer(self, said: Prediction) -> list[str]:
        """The labels that are given."""
        return said["labels"]

    def confidence(self, said: Prediction) -> float:
        """How sure it is of the label that it is least sure of."""
        return min(score if label in said["labels"] else 1 - score for label, score in said["scores"].items())

    def groups(self, example: Example) -> Mapping[str, Belonging]:
        """Its labels, and how many there are."""
        names = self.gold(example) or []
        return {"label": names or ["none"], "number of labels": str(len(names))}

    def by_label(self, outcome: Outcome) -> dict[str, dict[str, float]]:
        """Precision, recall, F1 and number of examples of every label."""
        from bertsmith.metrics.multi_label import scores_by_label

        scores = scores_by_label(_gold(outcome), _probabilities(outcome), self._limit)
        return {label: asdict(score) for label, score in zip(self.labels, scores, strict=True)}

    def details(self, outcome: Outcome) -> list[dict[str, Any]]:
        """Labels that are missing, and those that are too many."""
        return [
            {name: labels for name, labels in (("missed", _without(gold, said)), ("invented", _without(said, gold))) if labels}
            for gold, said in self._sets(outcome)
        ]

    def tables(self, outcome: Outcome) -> list[Table]:
        """Which sets of labels are given in the place of others, the commonest first."""
        wrong = Counter((_written(gold), _written(said)) for gold, said in self._sets(outcome) if gold != said)
        rows = [{"right labels": gold, "said": said, "times": number} for (gold, said), number in wrong.most_common()]
        return [Table("Labels that are said for others", "All labels of a text, and all that were said in their place.", rows)] if rows else []

    def tuned(self, outcome: Outcome) -> MultiLabel:
        """With the threshold that has the best micro F1, unless one was named."""
        from bertsmith.metrics.multi_label import best_threshold

        if self.threshold is not None:
            return self
        best = best_threshold(_gold(outcome), _probabilities(outcome))
        return replace(self, threshold=float(np.clip(best, NEARLY_NEVER, 1 - NEARLY_NEVER)))

    @property
    def _limit(self) -> float:
        return DEFAULT_THRESHOLD if self.threshold is None else self.threshold

    def _sets(self, outcome: Outcome) -> list[tuple[list[str], list[str]]]:
        """The labels of every example and those that are given, in the order of the task."""
        tables = (_gold(outcome), _probabilities(outcome) >= self._limit)
        gold, said = ([[self.labels[place] for place in np.flatnonzero(row)] for row in table] for table in tables)
        return list(zip(gold, said, strict=True))

    def _names(self, label: Any) -> list[str]:
        parts = label if isinstance(label, list) else str(label if label is not None else "").split(self.separator)
        return [name for name in (str(part).strip() for part in parts) if name]


def _without(labels: Sequence[str], others: Sequence[str]) -> list[str]:
    return [label for label in labels if label not in others]


def _written(labels: Sequence[str]) -> str:
    return " · ".join(labels) or "none"


def _gold(outcome: Outcome) -> np.ndarray:
    return np.stack([row["label"] for row in outcome.rows]) > 0


def _probabilities(outcome: Outcome) -> np.ndarray:
    return torch.from_numpy(outcome.scores).sigmoid().double().numpy()
