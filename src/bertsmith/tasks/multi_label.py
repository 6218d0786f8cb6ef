"""One text, any number of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bertsmith.core.errors import DataError
from bertsmith.core.types import Batch, Example
from bertsmith.models.family import Model
from bertsmith.tasks.base import Prediction, SentenceTask, label_number, tasks
from bertsmith.tasks.outcome import Outcome


@tasks.register("multi_label")
@dataclass(frozen=True, kw_only=True)
class MultiLabel(SentenceTask):
    """One text (or a pair), any number of labels: every label is a yes-or-no question of its own.

    Needs:
        `text`, `label`; optionally `text_pair`. A label is a list (JSON) or one string with `separator` between the names; an empty one means none.

    Use when:
        Labels do not exclude one another.

    Args:
        threshold: Probability from which a label is given, 0-1.
        separator: Between label names in one string.

    Example:
        >>> task = MultiLabel(labels=("fast", "cheap"))
        >>> task.target(Example({"text": "…", "label": "cheap"})).tolist()
        [0.0, 1.0]
    """

    name: ClassVar = "multi_label"
    best_metric: ClassVar = "micro_f1"
    problem_type: ClassVar = "multi_label_classification"

    threshold: float = 0.5
    separator: str = ","

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.threshold < 1:
            raise ValueError(f"threshold is {self.threshold}; it must lie between 0 and 1")
        if not self.separator:
            raise ValueError("separator is empty; it must be what stands between two labels, a comma for instance")

    @classmethod
    def wrong_label(cls, label: Any) -> str:
        """An object, or a list of something else than names."""
        wrong = [part for part in (label if isinstance(label, list) else [label]) if isinstance(part, Mapping | list | tuple)]
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
                "labels": [label for label, probability in zip(self.labels, row, strict=True) if probability >= self.threshold],
                "scores": {label: round(probability, 6) for label, probability in zip(self.labels, row, strict=True)},
            }
            for row in torch.from_numpy(outcome.scores).sigmoid().tolist()
        ]

    def metrics(self, outcome: Outcome) -> dict[str, float]:
        """Micro and macro F1 and the share of examples with exactly the right labels, 0-1."""
        from bertsmith.metrics.multi_label import multi_label_scores

        return multi_label_scores(_gold(outcome), _probabilities(outcome), threshold=self.threshold)

    def correct(self, outcome: Outcome) -> np.ndarray:
        """1 where exactly the right labels are given."""
        return ((_probabilities(outcome) >= self.threshold) == _gold(outcome)).all(1).astype(np.float64)

    def baseline(self, outcome: Outcome) -> dict[str, float]:
        """The metrics of the labels that more than half of the examples have."""
        answer = np.where(_gold(outcome).mean(0) > 0.5, 10.0, -10.0).astype(np.float32)
        return self.metrics(replace(outcome, outputs=[answer] * len(outcome.rows)))

    def gold(self, example: Example) -> list[str] | None:
        """The labels' names."""
        return None if example.get("label") is None else self._names(example["label"])

    def _names(self, label: Any) -> list[str]:
        parts = label if isinstance(label, list) else str(label if label is not None else "").split(self.separator)
        return [name for name in (str(part).strip() for part in parts) if name]


def _gold(outcome: Outcome) -> np.ndarray:
    return np.stack([row["label"] for row in outcome.rows]) > 0


def _probabilities(outcome: Outcome) -> np.ndarray:
    return torch.from_numpy(outcome.scores).sigmoid().double().numpy()
