"""Tables of an error analysis that only one kind of task can fill: which entities are missed, where the right text ranks, which word wins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

RANGES = 4
"""Groups that numbers are put into."""

Value = str | int | float | None
"""A name, a count, a score or another number; None where there is nothing to be measured."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of an error analysis.

    Attributes:
        name: What it is about, as a heading.
        about: How it is to be read, in a sentence or two.
        rows: All with the same columns. Numbers in columns whose name ends in the name of a score or in "share" are 0-1.
    """

    name: str
    about: str
    rows: Sequence[Mapping[str, Value]]


def ranges(numbers: Sequence[float], most: int = RANGES) -> list[tuple[str, list[int]]]:
    """Numbers in ranges of about equally many; equal numbers are in one.

    Returns:
        From low to high: what the range is called, and the places of its numbers.

    Example:
        >>> ranges([3, 8, 5, 21, 8, 9], most=2)
        [('3 to 8', [0, 1, 2, 4]), ('9 to 21', [3, 5])]
    """
    values = np.asarray(numbers, np.float64)
    ends = np.unique(np.quantile(values, np.arange(1, most + 1) / most, method="inverted_cdf"))
    owners = np.searchsorted(ends, values)
    places = [np.flatnonzero(owners == owner) for owner in range(len(ends))]
    return [(_range(values[inside]), inside.tolist()) for inside in places]


def _range(values: Float[np.ndarray, " inside"]) -> str:
    low, high = (f"{value:.4g}" if value % 1 else f"{value:.0f}" for value in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"
