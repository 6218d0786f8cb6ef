"""Any number of labels for each example: a label is predicted where its probability reaches a threshold.

Rules for the empty cases are those of `classification`: a label that is never gold and never predicted does not enter the macro mean, and F1 is 0
where nothing is gold and nothing predicted at all.
"""

import numpy as np
from jaxtyping import Bool, Float

from bertsmith.metrics.classification import Counts, LabelScore, macro_f1, micro_f1, require_examples, scores_of_counts

LabelSets = Bool[np.ndarray, "examples labels"]
Probabilities = Float[np.ndarray, "examples labels"]


def multi_label_scores(labels: LabelSets, probabilities: Probabilities, threshold: float = 0.5) -> dict[str, float]:
    """`micro_f1`, `macro_f1` and `subset_accuracy` (the share of examples whose set of labels is exactly right).

    Args:
        labels: Whether an example carries a label.
        probabilities: Of that, in [0, 1].
        threshold: A label is predicted where its probability is at least this.

    Raises:
        DataError: If there are no examples.

    Example:
        Three labels are gold, two of them are predicted and nothing else is; the first example is exactly right.

        >>> labels = np.array([[True, False], [True, True]])
        >>> probabilities = np.array([[0.9, 0.2], [0.7, 0.4]])
        >>> {name: round(score, 3) for name, score in multi_label_scores(labels, probabilities).items()}
        {'micro_f1': 0.8, 'macro_f1': 0.5, 'subset_accuracy': 0.5}
    """
    require_examples(labels)
    predictions = probabilities.astype(np.float64) >= threshold
    counts = _counts(labels, predictions)
    subset_accuracy = float((labels == predictions).all(axis=1).mean())
    return {"micro_f1": micro_f1(*counts), "macro_f1": macro_f1(*counts), "subset_accuracy": subset_accuracy}


def scores_by_label(labels: LabelSets, probabilities: Probabilities, threshold: float = 0.5) -> list[LabelScore]:
    """Precision, recall, F1 and support of every label, in the order of the columns. Arguments as for `multi_label_scores`.

    Raises:
        DataError: If there are no examples.

    Example:
        >>> labels = np.array([[True, False], [True, True]])
        >>> second = scores_by_label(labels, np.array([[0.9, 0.2], [0.7, 0.4]]))[1]
        >>> second.recall, second.support
        (0.0, 1)
    """
    require_examples(labels)
    return scores_of_counts(*_counts(labels, probabilities.astype(np.float64) >= threshold))


def best_threshold(labels: LabelSets, probabilities: Probabilities) -> float:
    """The threshold with the best micro F1, in the middle of the gap between the probabilities that it parts.

    To be chosen on validation data. Of several equally good ones it is the highest; without any gold label it is 0.5, for then all are equally bad.

    Args:
        labels: Whether an example carries a label.
        probabilities: Of that, in [0, 1].

    Raises:
        DataError: If there are no examples.

    Example:
        >>> best_threshold(np.array([[True, False], [True, False]]), np.array([[0.9, 0.1], [0.5, 0.3]]))
        0.4
    """
    require_examples(labels)
    if not labels.any():
        return 0.5
    values, inverse = np.unique(-probabilities.astype(np.float64).ravel(), return_inverse=True)
    predicted = np.bincount(inverse).cumsum()
    found = np.bincount(inverse, weights=labels.ravel()).cumsum()
    best = int(np.argmax(2 * found / (predicted + labels.sum())))
    lowest_accepted = float(-values[best])
    highest_refused = float(-values[best + 1]) if best + 1 < len(values) else 0.0
    middle = (lowest_accepted + highest_refused) / 2
    return middle if middle > highest_refused else lowest_accepted


def _counts(labels: LabelSets, predictions: LabelSets) -> tuple[Counts, Counts, Counts]:
    """Of every label: how often it was found, predicted and there."""
    return (labels & predictions).sum(axis=0), predictions.sum(axis=0), labels.sum(axis=0)
