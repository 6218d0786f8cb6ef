"""One sentence, one label: sentiment, topic, question type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from bertsmith.core.errors import DataError
from bertsmith.core.types import Batch, Example
from bertsmith.models.family import Model
from bertsmith.tasks.base import Belonging, Prediction, tasks
from bertsmith.tasks.outcome import Outcome
from bertsmith.tasks.sentence import SentenceTask, label_number


@tasks.register("single")
@dataclass(frozen=True, kw_only=True)
class SingleSentence(SentenceTask):
    """One text, one label (sentiment, topic, intent): the [CLS] state goes through the classification head.

    Needs:
        `text`, `label`.

    Use when:
        Every text has exactly one label. Texts with any number of labels: `multi_label`; two texts: `pair`.

    Reference:
        Devlin et al. 2019, section 4.1 (single-sentence tasks of GLUE).

    Example:
        >>> SingleSentence(labels=("negative", "positive")).num_scores
        2
    """

    name: ClassVar = "single"
    best_metric: ClassVar = "accuracy"
    problem_type: ClassVar = "single_label_classification"
    optional_columns: ClassVar = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.labels) == 1:
            raise ValueError(f"labels has only {self.labels[0]!r}; a classifier needs at least two")

    @classmethod
    def wrong_label(cls, label: Any) -> str:
        """A list or an object."""
        if isinstance(label, list | tuple):
            return f"label {str(label)[:60]} is a list; the task for texts with several labels is 'multi_label'"
        return f"label {str(label)[:60]} is an object, not a name" if isinstance(label, Mapping) else ""

    def label_names(self, examples: Sequence[Example]) -> set[str]:
        """All labels that occur; at least two."""
        labels = [example.get("label") for example in examples]
        names = {str(label) for label in labels if label is not None and label != ""}
        if len(names) < 2:
            found = f"only the label {names.pop()!r}" if names else "no label"
            raise DataError(
                f"the training data has {found} in {len(examples)} examples; a classifier needs at least two (is the column named `label`?)"
            )
        return names

    def target(self, example: Example) -> np.ndarray:
        """The number of its label."""
        return np.array(label_number(example.get("label"), self.labels), np.int64)[None]

    def loss(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy."""
        return {self.name: F.cross_entropy(self.scores(model, batch), batch.labels["label"].squeeze(1), reduction="sum")}

    def label_scores(self, outcome: Outcome) -> Float[np.ndarray, "rows labels"]:
        """The scores of labels, from whatever the outputs are; they may be negative."""
        return outcome.scores

    def decode(self, outcome: Outcome) -> list[Prediction]:
        """The likeliest label and the probability of each."""
        probabilities = torch.from_numpy(self.label_scores(outcome)).softmax(1).tolist()
        return [_prediction(row, self.labels) for row in probabilities]

    def metrics(self, outcome: Outcome) -> dict[str, float]:
        """Accuracy, macro F1 and micro F1, which is the same as accuracy, 0-1; Matthews correlation, -1 to 1."""
        from bertsmith.metrics.classification import classification_scores

        return classification_scores(_gold(outcome), self.label_scores(outcome).argmax(1), len(self.labels))

    def correct(self, outcome: Outcome) -> np.ndarray:
        """1 where the label is right."""
        return (self.label_scores(outcome).argmax(1) == _gold(outcome)).astype(np.float64)

    def baseline(self, outcome: Outcome) -> dict[str, float]:
        """The metrics of the commonest label."""
        from bertsmith.metrics.classification import classification_scores

        gold = _gold(outcome)
        return classification_scores(gold, np.full_like(gold, np.bincount(gold).argmax()), len(self.labels))

    def gold(self, example: Example) -> str | None:
        """The label's name."""
        return None if example.get("label") is None else str(example["label"])

    def groups(self, example: Example) -> Mapping[str, Belonging]:
        """Its label."""
        return {"label": self.gold(example) or ""}

    def by_label(self, outcome: Outcome) -> dict[str, dict[str, float]]:
        """Precision, recall, F1 and number of examples of every label."""
        from bertsmith.metrics.classification import label_scores

        scores = label_scores(_gold(outcome), self.label_scores(outcome).argmax(1), len(self.labels))
        return {label: asdict(score) for label, score in zip(self.labels, scores, strict=True)}


def _gold(outcome: Outcome) -> np.ndarray:
    return np.array([row["label"][0] for row in outcome.rows], np.int64)


def _prediction(probabilities: Sequence[float], labels: Sequence[str]) -> Prediction:
    best = int(np.argmax(probabilities))
    return {
        "label": labels[best],
        "score": round(probabilities[best], 6),
        "scores": {label: round(probability, 6) for label, probability in zip(labels, probabilities, strict=True)},
    }
