"""Finding the right one among many: every query has scores for all candidates, and one candidate is right.

The rank of the right one is 1 where nothing scores higher. Others with the same score are counted as higher, and so are scores that are not numbers:
to give everything the same score is not to have found anything.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from bertsmith.metrics.classification import require_examples

Scores = Float[np.ndarray, "queries candidates"]
Places = Int[np.ndarray, " queries"]


def ranks(scores: Scores, right: Places) -> Places:
    """The rank of the right candidate of every query, from 1.

    Args:
        scores: How well each candidate fits, the higher the better.
        right: The column of the right one.

    Raises:
        DataError: If there are no queries.

    Example:
        >>> ranks(np.array([[0.9, 0.5, 0.1], [0.9, 0.5, 0.5]]), np.array([0, 1])).tolist()
        [1, 3]
    """
    require_examples(scores)
    own = np.take_along_axis(scores, right[:, None], axis=1)
    return (~(scores < own)).sum(axis=1)


def retrieval_scores(scores: Scores, right: Places, depths: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
    """`recall@k`, the share of queries whose right candidate is among the first k, and `mrr`, the mean of 1 / rank; each in [0, 1].

    Args:
        scores: How well each candidate fits, the higher the better.
        right: The column of the right one.
        depths: The values of k.

    Raises:
        DataError: If there are no queries.

    Example:
        The right ones come first and third.

        >>> retrieval_scores(np.array([[0.9, 0.5, 0.1], [0.9, 0.5, 0.5]]), np.array([0, 1]), depths=(1, 3))
        {'recall@1': 0.5, 'recall@3': 1.0, 'mrr': 0.6666666666666666}
    """
    found = ranks(scores, right)
    return {f"recall@{depth}": float((found <= depth).mean()) for depth in depths} | {"mrr": float((1 / found).mean())}
