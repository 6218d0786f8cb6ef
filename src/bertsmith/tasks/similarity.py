"""Vectors whose cosine says how alike two texts are: a number a pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bertsmith.core.types import Batch, Example, Features
from bertsmith.metrics.uncertainty import Interval, bootstrap_interval
from bertsmith.models.family import Model
from bertsmith.tasks.base import ROUNDS, Belonging, tasks
from bertsmith.tasks.outcome import Outcome
from bertsmith.tasks.regression import Regression, check_differing, check_limits
from bertsmith.tasks.tables import Table, ranges
from bertsmith.tasks.vectors import PAIR, TEXT, SentenceVectors, cosines


@tasks.register("similarity")
@dataclass(frozen=True, kw_only=True)
class Similarity(SentenceVectors):
    """A vector a text, such that the cosine of two says how alike the texts are: learned from pairs with a number, or with 0 and 1.

    By `criterion = "cosent"` the order of pairs is learned: of any two pairs of a batch, the one with the larger number shall have the larger cosine.
    That belongs to a batch and not to a row: a batch goes through the model in one pass, `batch_size` bounds the memory and `pass_tokens` does not,
    the loss of two batches is not that of one of both, and a batch whose numbers are all the same teaches nothing. By `criterion = "cosine"` every
    cosine shall be the number itself, brought to 0-1 by `minimum` and `maximum`: squared error, row by row.

    Needs:
        `text`, `text_pair`, `label` (a number, the higher the more alike; 0 and 1 will do).

    Use when:
        There are numbers for how alike two texts are (STS), or 0 and 1 for whether they belong together, and vectors are wanted. `regression` and
        `pair` read both texts together, which is more exact, and search nothing. With pairs that belong together and no others: `embedding`.

    Reference:
        Huang et al. 2024, "CoSENT: Consistent Sentence Embedding via Similarity Ranking"; for "cosine", Reimers and Gurevych 2019, "Sentence-BERT".

    Args:
        criterion: What is learned, as above.
        minimum: The number that a cosine of 0 stands for; the smallest of the training data where it is not given. For "cosine" alone.
        maximum: The number that a cosine of 1 stands for; the largest of the training data where it is not given. For "cosine" alone.

    Example:
        >>> Similarity().decode(Outcome([np.array([[1.0, 0.0], [0.6, 0.8]])]))
        [{'score': 0.6}]
    """

    name: ClassVar = "similarity"
    best_metric: ClassVar = "spearman"
    flawless: ClassVar = 0.0
    yardstick: ClassVar = "squared error of the place in the order, as a share of all places"
    columns: ClassVar = ("text", "text_pair", "label")

    criterion: Literal["cosent", "cosine"] = "cosent"
    minimum: float | None = None
    maximum: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_limits(self.minimum, self.maximum)

    @property
    def rows_are_independent(self) -> bool:
        """Unless they are compared with one another."""
        return self.criterion == "cosine"

    @classmethod
    def wrong_label(cls, label: Any) -> str:
        """Anything but a finite number."""
        return Regression.wrong_label(label)

    def fitted(self, examples: Sequence[Example]) -> Similarity:
        """With `minimum` and `maximum`.

        Raises:
            DataError: Lists every label that is not a number, or lies outside of what was given; or all labels are the same.
        """
        problems = [f"{example.where}: {reason}" for example in examples if (reason := self._wrong(example))]
        self.refuse(problems, "label")
        numbers = [float(example["label"]) for example in examples]
        check_differing(numbers)
        low = min(numbers) if self.minimum is None else self.minimum
        return replace(self, minimum=low, maximum=max(numbers) if self.maximum is None else self.maximum)

    def texts(self, example: Example, *, labelled: bool) -> list[str]:  # noqa: ARG002
        """The text and its pair."""
        missing = [name for name in ("text", "text_pair") if example.get(name) is None]
        if missing:
            raise ValueError(f"no {' and no '.join(missing)}")
        return [str(example["text"]), str(example["text_pair"])]

    def extras(self, example: Example) -> Features:
        """The number."""
        label = example.get("label")
        if label is None or label == "":
            raise ValueError("no label")
        if reason := self.wrong_label(label):
            raise ValueError(reason)
        return {"label": np.array([float(label)], np.float32)}

    def loss(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        """Of the order of all pairs, once for every row; or the squared error of every row."""
        vectors, label = self.unit_vectors(model, batch), batch.labels["label"].squeeze(1)
        cosine = (vectors[batch.labels["side"] == TEXT] * vectors[batch.labels["side"] == PAIR]).sum(1)
        if self.criterion == "cosine":
            assert self.minimum is not None, "it was fitted"
            assert self.maximum is not None, "it was fitted"
            return {self.name: (cosine - (label - self.minimum) / (self.maximum - self.minimum)).square().sum()}
        return {self.name: len(label) * disorder(cosine / self.temperature, label)}

    def metrics(self, outcome: Outcome) -> dict[str, float]:
        """Spearman and Pearson correlation of cosines and numbers, -1 to 1."""
        from bertsmith.metrics.regression import pearson, spearman

        gold, found = _gold(outcome), cosines(outcome)
        return {"spearman": spearman(gold, found), "pearson": pearson(gold, found)}

    def correct(self, outcome: Outcome) -> np.ndarray:
        """How far every pair is from its place in the order, as a share of all places; squared and negated. Spearman's correlation is made of it."""
        right, said = _places(outcome)
        return -np.square((right - said) / len(right))

    def interval(self, outcome: Outcome) -> Interval:
        """How far Spearman's correlation can be trusted."""
        from bertsmith.metrics.regression import spearman

        return bootstrap_interval(spearman, _gold(outcome), cosines(outcome), rounds=ROUNDS)

    def gold(self, example: Example) -> float | None:
        """The number."""
        label = example.get("label")
        return None if label is None or self.wrong_label(label) else float(label)

    def groups(self, example: Example) -> Mapping[str, Belonging]:
        """The range in which its number lies."""
        number = self.gold(example)
        return {} if number is None else {"label": number}

    def details(self, outcome: Outcome) -> list[dict[str, Any]]:
        """Its place by the cosines and by the numbers, from the least alike on; equal ones share the mean of theirs."""
        right, said = (places.tolist() for places in _places(outcome))
        return [{"place by cosine": found, "right place": wanted, "of": len(right)} for wanted, found in zip(right, said, strict=True)]

    def tables(self, outcome: Outcome) -> list[Table]:
        """The cosines of pairs with a low number, and of those with a high one."""
        gold, found = _gold(outcome), cosines(outcome)
        rows = [
            {
                "label": name,
                "pairs": len(inside),
                "lowest cosine": float(found[inside].min()),
                "mean cosine": float(found[inside].mean()),
                "highest cosine": float(found[inside].max()),
            }
            for name, inside in ranges(gold.tolist())
        ]
        return [Table("Cosines by label", "The cosines should rise with the label, and overlap little from one range to the next.", rows)]

    def _wrong(self, example: Example) -> str:
        label = example.get("label")
        if label is None or label == "":
            return "no label"
        reason = self.wrong_label(label)
        if not reason and self.minimum is not None and float(label) < self.minimum:
            return f"label {label} is below minimum = {self.minimum}"
        if not reason and self.maximum is not None and float(label) > self.maximum:
            return f"label {label} is above maximum = {self.maximum}"
        return reason


def disorder(scores: Float[Tensor, " pairs"], labels: Float[Tensor, " pairs"]) -> Float[Tensor, ""]:
    """CoSENT: the logarithm of 1 + the sum of exp(higher - lower) over all pairs of scores that should be the other way round.

    Example:
        One of two is to be the smaller one; it is larger by 1.

        >>> disorder(torch.tensor([2.0, 1.0]), torch.tensor([0.0, 5.0])).item() == torch.tensor(1.0).exp().log1p().item()
        True
    """
    differences = (scores[:, None] - scores)[labels[:, None] < labels]
    return torch.cat([differences.new_zeros(1), differences]).logsumexp(0)


def _places(outcome: Outcome) -> tuple[np.ndarray, np.ndarray]:
    """The place of every pair in the order of the numbers, and in that of the cosines, from 1; equal ones share the mean of theirs."""
    from scipy.stats import rankdata

    return rankdata(_gold(outcome)), rankdata(cosines(outcome))


def _gold(outcome: Outcome) -> np.ndarray:
    return np.array([row["label"][0] for row in outcome.rows], np.float64)
