"""One label for each example: everything is read off the confusion matrix.

The matrix is counted over the *known* labels, so its shape does not depend on which of them a test set happens to hold. Precision, recall and F1 of
a label are 0 where they would be 0/0. The macro mean leaves out a label that occurs neither in the gold labels nor in the predictions: there was
nothing to get right or wrong about it, and a perfect system scores 1. A label that is in the gold labels and never predicted, or the other way
round, counts as 0.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from bertsmith.core.errors import DataError

Labels = Int[np.ndarray, " examples"]
Counts = Int[np.ndarray, " labels"]
Rates = Float[np.ndarray, " labels"]


@dataclass(frozen=True, slots=True)
class LabelScore:
    """How well one label is found.

    Attributes:
        precision: Share of its predictions that are right, in [0, 1]; 0 if it is never predicted.
        recall: Share of its examples that are found, in [0, 1]; 0 if it has none.
        f1: Harmonic mean of the two.
        support: Number of examples that carry it.
    """

    precision: float
    recall: float
    f1: float
    support: int


def confusion_matrix(labels: Labels, predictions: Labels, num_labels: int) -> list[list[int]]:
    """How often each gold label (row) was taken for each label (column).

    Args:
        labels: Gold labels, each in [0, num_labels).
        predictions: Predicted labels, likewise.
        num_labels: Size of the label set, whether or not all of it occurs.

    Raises:
        DataError: If there are no examples.

    Example:
        >>> confusion_matrix(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), 3)
        [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    """
    return _confusion(labels, predictions, num_labels).tolist()


def label_scores(labels: Labels, predictions: Labels, num_labels: int) -> list[LabelScore]:
    """Precision, recall, F1 and support of every known label, in the order of their numbers. Arguments as for `confusion_matrix`.

    Example:
        >>> first, second = label_scores(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), 2)
        >>> first  # predicted once, rightly; one of its two examples was missed
        LabelScore(precision=1.0, recall=0.5, f1=0.6666666666666666, support=2)
        >>> second.recall
        1.0
    """
    matrix = _confusion(labels, predictions, num_labels)
    found, predicted, gold = matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1)
    return scores_of_counts(found, predicted, gold)


def scores_of_counts(found: Counts, predicted: Counts, gold: Counts) -> list[LabelScore]:
    """The score of every label from how often it was found, predicted and there.

    Example:
        >>> scores_of_counts(np.array([1]), np.array([2]), np.array([4]))
        [LabelScore(precision=0.5, recall=0.25, f1=0.3333333333333333, support=4)]
    """
    columns = (ratio(found, predicted), ratio(found, gold), f1_of_counts(found, predicted, gold), gold)
    return [LabelScore(float(precision), float(recall), float(f1), int(support)) for precision, recall, f1, support in zip(*columns, strict=True)]


def accuracy(labels: Labels, predictions: Labels) -> float:
    """Share of examples whose label is right.

    Raises:
        DataError: If there are no examples.

    Example:
        >>> accuracy(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]))
        0.75
    """
    require_examples(labels)
    return float((labels == predictions).mean())


def classification_scores(labels: Labels, predictions: Labels, num_labels: int, *, positive: int | None = None) -> dict[str, float]:
    """The usual numbers: `accuracy`, `macro_f1`, `micro_f1`, `matthews`, and `f1` of one label if asked.

    Micro F1 equals accuracy, because every wrong prediction is one false positive and one false negative. Matthews correlation is in [-1, 1] and is 0
    where the gold labels or the predictions are all the same (Gorodkin 2004, for any number of labels).

    Args:
        labels: Gold labels, each in [0, num_labels).
        predictions: Predicted labels, likewise.
        num_labels: Size of the label set.
        positive: The label whose own F1 is reported as `f1`; for tasks of two labels.

    Raises:
        DataError: If there are no examples.

    Example:
        Label 0 has F1 2/3, label 1 has F1 4/5.

        >>> scores = classification_scores(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), 2, positive=1)
        >>> {name: round(score, 3) for name, score in scores.items()}
        {'accuracy': 0.75, 'macro_f1': 0.733, 'micro_f1': 0.75, 'matthews': 0.577, 'f1': 0.8}
    """
    matrix = _confusion(labels, predictions, num_labels)
    found, predicted, gold = matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1)
    scores = {
        "accuracy": float(found.sum() / len(labels)),
        "macro_f1": macro_f1(found, predicted, gold),
        "micro_f1": micro_f1(found, predicted, gold),
        "matthews": _matthews(found, predicted, gold),
    }
    if positive is not None:
        scores["f1"] = float(f1_of_counts(found, predicted, gold)[positive])
    return scores


def ratio(part: Counts, whole: Counts) -> Rates:
    """`part / whole`, 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole != 0)


def f1_of_counts(found: Counts, predicted: Counts, gold: Counts) -> Rates:
    """F1 of every label from how often it was found, predicted and there: 2·found / (predicted + gold), 0 where that is 0/0.

    Example:
        >>> f1_of_counts(np.array([1, 0]), np.array([1, 0]), np.array([3, 0]))
        array([0.5, 0. ])
    """
    return ratio(2 * found, predicted + gold)


def macro_f1(found: Counts, predicted: Counts, gold: Counts) -> float:
    """Mean F1 of the labels that occur, as gold or as prediction; 0 if none does.

    Example:
        >>> macro_f1(np.array([1, 0]), np.array([1, 0]), np.array([3, 0]))
        0.5
    """
    occurs = predicted + gold > 0
    return float(f1_of_counts(found, predicted, gold)[occurs].mean()) if occurs.any() else 0.0


def micro_f1(found: Counts, predicted: Counts, gold: Counts) -> float:
    """F1 over all decisions taken together; 0 if nothing is gold and nothing predicted.

    Example:
        >>> micro_f1(np.array([1, 2]), np.array([1, 3]), np.array([2, 2]))
        0.75
    """
    decisions = predicted.sum() + gold.sum()
    return float(2 * found.sum() / decisions) if decisions else 0.0


def require_examples(values: Shaped[np.ndarray, "examples ..."]) -> None:
    """Refuses to score nothing: a mean over no examples is not a number.

    Raises:
        DataError: If there are no examples.
    """
    if len(values) == 0:
        raise DataError("there is nothing to score: the data hold 0 examples, at least 1 is needed; check the file and its filters")


def _confusion(labels: Labels, predictions: Labels, num_labels: int) -> Int[np.ndarray, "labels labels"]:
    require_examples(labels)
    assert labels.min() >= 0, "gold labels are numbers of known labels"
    assert max(labels.max(), predictions.max()) < num_labels, "labels lie below num_labels"
    cells = labels.astype(np.int64) * num_labels + predictions
    return np.bincount(cells, minlength=num_labels * num_labels).reshape(num_labels, num_labels)


def _matthews(found: Counts, predicted: Counts, gold: Counts) -> float:
    total = float(gold.sum())
    covariance = found.sum() * total - predicted @ gold
    spread = np.sqrt(total**2 - predicted @ predicted) * np.sqrt(total**2 - gold @ gold)
    return float(covariance / spread) if spread else 0.0
