"""The nearest of many vectors: exactly, by block after block of products, in little memory.

::

    queries  4,096 × hidden ─┐
    corpus   4,096 × hidden ─┴▶ cosines ──those that beat the last of the best──▶ the best so far

Cosines are compared as they are shown, with six decimals, so that what differs by less is a tie; of a tie, the earlier row comes first.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from itertools import islice

import numpy as np
from jaxtyping import Float, Int

from bertsmith.core.errors import RecipeError

BLOCK = 4096
"""Rows of a block, of either side."""

FIRST = 256
"""Rows of the corpus that are sorted whole, for something that all further ones must be better than."""

DIGITS = 6
"""Decimals that a cosine is compared by."""

Vectors = Float[np.ndarray, "_ _"]


def nearest(queries: Vectors, corpus: Vectors, top: int = 5) -> tuple[Float[np.ndarray, "queries top"], Int[np.ndarray, "queries top"]]:
    """The rows of a corpus whose vectors point most nearly in the direction of each query.

    Args:
        queries: A row a query.
        corpus: A row a candidate, of the same length; may be a mapped file (`np.load(file, mmap_mode="r")`). Neither side need be of length 1.
        top: How many are wanted; of a smaller corpus come all.

    Returns:
        Cosines, the highest first, with six decimals; and the numbers of their rows.

    Raises:
        RecipeError: The two sides are not of one length; a vector has a number that is not finite; or `top` is less than 1.

    Example:
        >>> scores, rows = nearest(np.array([[1.0, 0.0]]), np.array([[0.0, 2.0], [3.0, 4.0], [5.0, 0.0], [0.6, 0.8]]), top=3)
        >>> scores.tolist(), rows.tolist()
        ([[1.0, 0.6, 0.6]], [[2, 1, 3]])
    """
    if top < 1:
        raise RecipeError(f"top is {top}; it must be at least 1")
    if queries.shape[1] != corpus.shape[1]:
        raise RecipeError(f"vectors of {queries.shape[1]} numbers cannot be compared with vectors of {corpus.shape[1]}: they are of different models")
    found = [_nearest(_unit(queries, begin, "queries"), corpus, min(top, len(corpus))) for begin in range(0, len(queries), BLOCK)]
    if not found:
        return np.empty((0, min(top, len(corpus)))), np.empty((0, min(top, len(corpus))), np.int64)
    return np.concatenate([scores for scores, _ in found]), np.concatenate([rows for _, rows in found])


@contextmanager
def kept_on_disk(vectors: Iterable[Float[np.ndarray, " hidden"]], hidden: int) -> Generator[Vectors]:
    """Vectors as one array that takes no memory: they are in a temporary file, which is mapped, and gone afterwards.

    Args:
        vectors: One after the other.
        hidden: Their length.
    """
    source, count = iter(vectors), 0
    with tempfile.TemporaryFile() as file:
        while block := list(islice(source, BLOCK)):
            file.write(np.stack(block).astype(np.float32).tobytes())
            count += len(block)
        file.flush()
        yield np.memmap(file, np.float32, "r", shape=(count, hidden)) if count else np.empty((0, hidden), np.float32)


class _Best:
    """The best so far of some queries, in order.

    Attributes:
        scores: The highest first; minus infinity where there is none yet.
        rows: Of the corpus.
    """

    def __init__(self, queries: int, top: int) -> None:
        self.scores = np.full((queries, top), -np.inf)
        self.rows = np.full((queries, top), -1)

    def offer(self, scores: Float[np.ndarray, "queries block"], begin: int) -> None:
        """Take what is better from a block of cosines whose first row is the corpus's row `begin`."""
        count, top = self.scores.shape
        bar, first = self.scores[:, -1:], max(top, FIRST)
        if np.isinf(bar).any() and scores.shape[1] > first:
            self.offer(scores[:, :first], begin)
            self.offer(scores[:, first:], begin + first)
            return
        queries, columns = (scores >= bar + 0.4 * 10**-DIGITS).nonzero()  # below that, rounding makes no more of it than a tie
        values = scores[queries, columns].astype(np.float64).round(DIGITS) + 0.0  # no -0.0
        better = values > bar[queries, 0]
        queries = np.concatenate([np.repeat(np.arange(count), top), queries[better]])
        values = np.concatenate([self.scores.ravel(), values[better]])
        rows = np.concatenate([self.rows.ravel(), columns[better] + begin])
        order = np.lexsort((rows, -values, queries))
        kept = order[np.searchsorted(queries[order], np.arange(count))[:, None] + np.arange(top)]
        self.scores, self.rows = values[kept], rows[kept]


def _nearest(queries: Vectors, corpus: Vectors, top: int) -> tuple[Float[np.ndarray, "queries top"], Int[np.ndarray, "queries top"]]:
    best = _Best(len(queries), top)
    for begin in range(0, len(corpus), BLOCK):
        best.offer(queries @ _unit(corpus, begin, "corpus").T, begin)
    return best.scores, best.rows


def _unit(vectors: Vectors, begin: int, name: str) -> Vectors:
    """A block of vectors, of length 1 and in float32; one without a direction stays 0, and is like no other."""
    block = vectors[begin : begin + BLOCK]
    lengths = np.linalg.norm(block.astype(np.float64), axis=1, keepdims=True)  # squares of small and of large numbers have no place in float32
    if len(endless := np.flatnonzero(~np.isfinite(lengths))):
        row = int(endless[0])
        raise RecipeError(f"row {begin + row} of the {name}, counted from 0, is of length {lengths[row, 0]}: its numbers must be finite")
    return np.divide(block, lengths, out=np.zeros(block.shape, np.float32), where=lengths > 0)
