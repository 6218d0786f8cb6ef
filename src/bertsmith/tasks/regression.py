"""One text or a pair, one number: a rating, a similarity."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from bertsmith.core.errors import DataError
from bertsmith.core.types import Batch, Example
from bertsmith.models.family import Model
from bertsmith.tasks.base import Belonging, Prediction, tasks
from bertsmith.tasks.outcome import Outcome
from bertsmith.tasks.sentence import SentenceTask
from bertsmith.tasks.tables import Table, Value, ranges

LARGEST = 1e15
"""The largest number that may be a label: squares of larger ones, summed, are soon too large for float32."""


@tasks.register("regression")
@dataclass(frozen=True, kw_only=True)
class Regression(SentenceTask):
    """One text (or a pair), one number: rating, similarity, readability.

    Needs:
        `text`, `label` (a number); optionally `text_pair`.

    Use when:
        Labels are numbers whose distance means something. Stars from 1 to 5 with few examples do well as `single` too: try both.

    Related:
        STS-B in GLUE is this task with pairs.

    Args:
        minimum: Predictions below it are raised to it.
        maximum: Predictions above it are lowered to it.

    Example:
        >>> Regression(minimum=0, maximum=5).decode(Outcome([np.array([5.4]), np.array([2.25])]))
        [{'score': 5.0}, {'score': 2.25}]
    """

    name: ClassVar = "regression"
    best_metric: ClassVar = "spearman"
    problem_type: ClassVar = "regression"
    has_labels: ClassVar = False
    flawless: ClassVar = 0.0
    yardstick: ClassVar = "squared error"

    minimum: float | None = None
    maximum: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.labels) > 1:
            raise ValueError(f"labels has {len(self.labels)} names, and there is one number: leave labels out, or take the task 'single'")
        check_limits(self.minimum, self.maximum)

    @property
    def num_scores(self) -> int:
        """One."""
        return 1

    def fitted(self, examples: Sequence[Example]) -> Regression:
        """The label's name; nothing else is learned from the data.

        Raises:
            DataError: Lists every label that is no number; or all are the same.
        """
        self.refuse([f"{example.where}: {reason}" for example in examples if (reason := self.wrong_label(example.get("label")))], "label")
        check_differing([number for example in examples if (number := _number(example.get("label"))) is not None])
        return replace(self, labels=("score",))

    def label_names(self, examples: Sequence[Example]) -> set[str]:  # noqa: ARG002
        """There is one, whatever the data."""
        return {"score"}

    def begin(self, model: Model, examples: Sequence[Example]) -> None:
        """The last layer begins around the mean of the labels, as far from it as they are: that they are from 0 to 100 would take long to learn."""
        numbers = torch.tensor([number for example in examples if (number := self.gold(example)) is not None], dtype=torch.float64)
        output = model.heads["classification"].get_submodule("output")
        with torch.no_grad():
            output.get_parameter("weight").mul_(float(numbers.std(correction=0)))
            output.get_parameter("bias").fill_(float(numbers.mean()))

    @classmethod
    def wrong_label(cls, label: Any) -> str:
        """Anything but a finite number, and one whose square cannot be computed with."""
        if label is None or label == "":
            return ""
        number = _number(label)
        if number is None:
            return f"label {str(label)[:60]!r} is not a number"
        return f"label {number:g} is too far from 0: at most {LARGEST:g}" if abs(number) > LARGEST else ""

    def target(self, example: Example) -> np.ndarray:
        """The number."""
        label = example.get("label")
        number = _number(label)
        if number is None:
            raise ValueError(self.wrong_label(label) or "no label")
        return np.array([number], np.float32)

    def loss(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        """Squared error."""
        return {self.name: (self.scores(model, batch) - batch.labels["label"]).square().sum()}

    def decode(self, outcome: Outcome) -> list[Prediction]:
        """The number, kept between `minimum` and `maximum`."""
        return [{"score": round(float(score), 6)} for score in self._kept_inside(outcome)]

    def metrics(self, outcome: Outcome) -> dict[str, float]:
        """Pearson and Spearman correlation, -1 to 1, and the mean squared error."""
        from bertsmith.metrics.regression import regression_scores

        return regression_scores(_gold(outcome), self._kept_inside(outcome))

    def correct(self, outcome: Outcome) -> np.ndarray:
        """The squared error of every example, negated, so that more is better."""
        return -np.square(self._kept_inside(outcome) - _gold(outcome))

    def baseline(self, outcome: Outcome) -> dict[str, float]:
        """The metrics of the mean number."""
        return self.metrics(replace(outcome, outputs=[_gold(outcome).mean(keepdims=True)] * len(outcome.rows)))

    def gold(self, example: Example) -> float | None:
        """The number."""
        return _number(example.get("label"))

    def answer(self, said: Prediction) -> float:
        """The number."""
        return said["score"]

    def confidence(self, said: Prediction) -> None:
        """A number does not say how sure it is."""

    def groups(self, example: Example) -> Mapping[str, Belonging]:
        """The range in which its number lies."""
        number = self.gold(example)
        return {} if number is None else {"label": number}

    def details(self, outcome: Outcome) -> list[dict[str, Any]]:
        """By how much the number is too large, or too small."""
        return [{"deviation": round(deviation, 6)} for deviation in (self._kept_inside(outcome) - _gold(outcome)).tolist()]

    def tables(self, outcome: Outcome) -> list[Table]:
        """What is said where the right number is low, and where it is high."""
        about = "Examples in ranges of their right number. A mean deviation below 0: what is said is too low; above, too high."
        return [Table("Low and high numbers", about, list(_by_range(_gold(outcome), self._kept_inside(outcome))))]

    def _kept_inside(self, outcome: Outcome) -> np.ndarray:
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        return outcome.scores[:, 0].astype(np.float64).clip(low, high)


def check_limits(minimum: float | None, maximum: float | None) -> None:
    """Whether two limits of a number, as far as they are given, leave room for one.

    Raises:
        ValueError: They do not.
    """
    if minimum is not None and maximum is not None and minimum >= maximum:
        raise ValueError(f"minimum is {minimum} and maximum is {maximum}; minimum must be the smaller")


def check_differing(numbers: Sequence[float]) -> None:
    """Whether there is anything to be learned from some labels.

    Raises:
        DataError: All of them are the same, or there are none.
    """
    if len(set(numbers)) < 2:
        found = f"every label of the training data is {numbers[0]:g}" if numbers else "the training data has no label that is a number"
        raise DataError(f"{found}; at least two different numbers are needed")


def _by_range(gold: np.ndarray, said: np.ndarray) -> Iterator[dict[str, Value]]:
    for name, inside in ranges(gold.tolist()):
        deviations = said[inside] - gold[inside]
        yield {
            "right number": name,
            "examples": len(inside),
            "lowest said": float(said[inside].min()),
            "mean said": float(said[inside].mean()),
            "highest said": float(said[inside].max()),
            "mean deviation": float(deviations.mean()),
            "mean absolute error": float(np.abs(deviations).mean()),
        }


def _gold(outcome: Outcome) -> np.ndarray:
    return np.array([row["label"][0] for row in outcome.rows], np.float64)


def _number(label: Any) -> float | None:
    if isinstance(label, bool) or (isinstance(label, str) and "_" in label):  # "2020_1" is a number to Python alone
        return None
    try:
        number = float(label)
    except (TypeError, ValueError, OverflowError):  # the last for a whole number of more than 308 digits
        return None
    return number if math.isfinite(number) else None
