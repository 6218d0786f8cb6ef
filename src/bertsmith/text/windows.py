"""Windows over texts that are longer than a model can read: which tokens each holds, and which window shows a token best.

::

    tokens          0 1 2 3 4 5 6 7 8 9
    windows of 6,   0 1 2 3 4 5
    a step of 3           3 4 5 6 7 8
                                6 7 8 9
    belongs to      0 0 0 0 0 1 1 1 2 2

A token belongs to the window where its nearer end is farthest away; of equally good ones, to the longest, then to the first.

Reference: google-research/bert `run_squad.py`: `doc_stride`, `_check_is_max_context`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

LENGTH_COUNTS = 0.01
"""What a token more of a window is worth beside a token more of context."""


def windows(length: int, size: int, step: int) -> list[tuple[int, int]]:
    """Where windows begin and end, so that every token is in at least one and the last one ends with the text.

    Args:
        length: Tokens of the text; without any there is one empty window.
        size: Tokens of a window, at least 1; only the last may have fewer.
        step: Tokens from the beginning of one to that of the next, at least 1; with more than `size`, it is `size`.

    Example:
        >>> windows(10, 6, 3)
        [(0, 6), (3, 9), (6, 10)]
        >>> windows(6, 6, 3)
        [(0, 6)]
    """
    step = min(step, size)
    count = 1 + max(0, -(-(length - size) // step))
    return [(begin, min(begin + size, length)) for begin in range(0, count * step, step)]


def widest(over: Sequence[tuple[int, int]]) -> list[Bool[np.ndarray, " _"]]:
    """For every window, which of its tokens belong to it; every token belongs to one.

    Args:
        over: As `windows` gives them.

    Example:
        >>> [mine.astype(int).tolist() for mine in widest([(0, 6), (3, 9), (6, 10)])]
        [[1, 1, 1, 1, 1, 0], [0, 0, 1, 1, 1, 0], [0, 0, 1, 1]]
    """
    best = np.full(over[-1][1], -1.0)
    owner = np.zeros(over[-1][1], np.int64)
    for number, (begin, end) in enumerate(over):
        before = np.arange(end - begin)
        context = np.minimum(before, before[::-1]) + LENGTH_COUNTS * (end - begin)
        better = context > best[begin:end]
        best[begin:end][better] = context[better]
        owner[begin:end][better] = number
    return [owner[begin:end] == number for number, (begin, end) in enumerate(over)]
