"""A number for each example.

A correlation with something constant is 0/0; here it is 0, for a constant says nothing about the order of anything. Predictions that are not finite
give NaN, so that a model that has diverged is not taken for one that is merely uncorrelated.
"""

import numpy as np
from jaxtyping import Float

from bertsmith.metrics.classification import require_examples

Numbers = Float[np.ndarray, " examples"]


def mean_squared_error(targets: Numbers, predictions: Numbers) -> float:
    """Mean of the squared differences, in squared units of the target.

    Raises:
        DataError: If there are no examples.

    Example:
        >>> mean_squared_error(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
        2.0
    """
    require_examples(targets)
    return float(np.square(targets.astype(np.float64) - predictions).mean())


def pearson(targets: Numbers, predictions: Numbers) -> float:
    """Linear correlation, in [-1, 1]; 0 where either side is constant, NaN where either is not finite.

    Raises:
        DataError: If there are no examples.

    Example:
        >>> round(pearson(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 6.0])), 4)
        0.9449
        >>> pearson(np.array([1.0, 2.0, 3.0]), np.array([5.0, 5.0, 5.0]))
        0.0
    """
    require_examples(targets)
    if not (np.isfinite(targets).all() and np.isfinite(predictions).all()):
        return float("nan")
    first, second = _deviations(targets), _deviations(predictions)
    spread = np.sqrt((first @ first) * (second @ second))
    return float(np.clip(first @ second / spread, -1, 1)) if spread else 0.0


def spearman(targets: Numbers, predictions: Numbers) -> float:
    """Correlation of the ranks, equal values sharing their mean rank; rules and range as for `pearson`.

    Raises:
        DataError: If there are no examples.

    Example:
        >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 6.0]))
        1.0
    """
    from scipy.stats import rankdata

    require_examples(targets)
    return pearson(rankdata(targets, nan_policy="propagate"), rankdata(predictions, nan_policy="propagate"))


def regression_scores(targets: Numbers, predictions: Numbers) -> dict[str, float]:
    """`pearson`, `spearman` and `mean_squared_error` together.

    Raises:
        DataError: If there are no examples.

    Example:
        >>> regression_scores(np.array([1.0, 2.0]), np.array([2.0, 1.0]))
        {'pearson': -1.0, 'spearman': -1.0, 'mean_squared_error': 1.0}
    """
    return {
        "pearson": pearson(targets, predictions),
        "spearman": spearman(targets, predictions),
        "mean_squared_error": mean_squared_error(targets, predictions),
    }


def _deviations(values: Numbers) -> Numbers:
    """What is left of the mean, the largest scaled to 1; exact zeros for a constant, however its mean is rounded."""
    if np.ptp(values) == 0:
        return np.zeros(len(values))
    deviations = values.astype(np.float64) - values.mean(dtype=np.float64)
    return deviations / np.abs(deviations).max()
