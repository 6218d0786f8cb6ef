"""How far a score can be trusted: spread over seeds, intervals over examples, tests between two systems.

Two things vary and are kept apart. Training again with another seed gives another model: `spread_of` summarises the scores of several. Another test
set would have given another score: `bootstrap_interval` draws the examples anew, and `compare_paired` asks whether a difference between two systems
on the same examples is more than that noise. All of it is seeded; the same input gives the same numbers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, Shaped

from bertsmith.core.randomness import generator_at
from bertsmith.metrics.classification import micro_f1, require_examples

SLACK = 1e-12
"""Sums of the same numbers in another order differ by rounding."""

CELLS = 2**22
"""How many signs of a permutation test are drawn at a time; it bounds the memory, not the result."""

SURE = 0.05
"""The p-value below which a difference is more than noise."""

Verdict = Literal["better", "worse", "inside the noise"]
"""On the second of two systems."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Scores of several runs.

    Attributes:
        mean: Their mean.
        deviation: Their sample standard deviation (n - 1); None for a single run, which says nothing about spread.
        count: How many there are.
    """

    mean: float
    deviation: float | None
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.3f}" if self.deviation is None else f"{self.mean:.3f} ± {self.deviation:.3f}"


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval.

    Attributes:
        low: Lower end.
        high: Upper end.
        level: Its confidence, in (0, 1).
    """

    low: float
    high: float
    level: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two systems on the same examples.

    Attributes:
        difference: Mean score of the second minus that of the first.
        interval: Bootstrap interval of the difference.
        p_value: Two-sided, of the permutation test, in (0, 1]: how often chance alone, were the systems equal, would give so large a difference.
    """

    difference: float
    interval: Interval
    p_value: float

    @property
    def verdict(self) -> Verdict:
        """Whether the second system is better or worse: the p-value is below 0.05 and the interval does not hold 0."""
        if self.p_value >= SURE or self.interval.low <= 0 <= self.interval.high:
            return "inside the noise"
        return "better" if self.difference > 0 else "worse"


def spread_of(scores: Sequence[float]) -> Spread:
    """Mean and sample standard deviation of the scores of several runs.

    Raises:
        DataError: If there are no scores.

    Example:
        >>> print(spread_of([0.80, 0.82, 0.84]))
        0.820 ± 0.020
        >>> spread_of([0.5])
        Spread(mean=0.5, deviation=None, count=1)
    """
    values = np.asarray(scores, dtype=np.float64)
    require_examples(values)
    deviation = float(values.std(ddof=1)) if len(values) > 1 else None
    return Spread(float(values.mean()), deviation, len(values))


def bootstrap_interval(
    metric: Callable[..., float], *columns: Shaped[np.ndarray, "examples ..."], seed: int = 0, level: float = 0.95, rounds: int = 2000
) -> Interval:
    """Percentile bootstrap: the metric on sets of examples drawn with replacement, as large as the original (Efron 1979).

    Args:
        metric: Takes the columns and gives a number, e.g. `accuracy`, or `micro_f1` of the counts of each example (`span_counts`).
        columns: Arrays with one row for each example (labels, predictions), drawn together.
        seed: Of the draws.
        level: Confidence, in (0, 1).
        rounds: How many sets are drawn.

    Raises:
        DataError: If there are no examples.

    Example:
        80 of 100 right: the interval is about 0.8 ± 1.96 · √(0.8 · 0.2 / 100), in steps of a hundredth.

        >>> right = np.array([1.0] * 80 + [0.0] * 20)
        >>> interval = bootstrap_interval(np.mean, right)
        >>> round(interval.low, 2), round(interval.high, 2)
        (0.72, 0.87)
    """
    count = len(columns[0])
    require_examples(columns[0])
    generator = generator_at(seed, "bootstrap")
    draws = (generator.integers(count, size=count) for _ in range(rounds))
    scores = [metric(*(column[rows] for column in columns)) for rows in draws]
    tail = (1 - level) / 2
    low, high = np.quantile(scores, [tail, 1 - tail])
    return Interval(float(low), float(high), level)


def compare_paired(
    first: Float[np.ndarray, " examples"],
    second: Float[np.ndarray, " examples"],
    *,
    seed: int = 0,
    level: float = 0.95,
    rounds: int = 10_000,
) -> Comparison:
    """Whether the second system is better or worse than the first, from the scores of both on each of the same examples.

    The interval is a paired bootstrap of the mean difference. The p-value is of a paired permutation test (Fisher's: if the systems were equal, each
    difference could as well have had the other sign), approximated by `rounds` draws and counting the observed one, so it is never 0.

    Args:
        first: Score of the first system on each example, e.g. 1.0 where it is right.
        second: The same of the second system, in the same order.
        seed: Of the draws.
        level: Confidence of the interval, in (0, 1).
        rounds: Draws of the test and of the interval.

    Raises:
        DataError: If there are no examples.

    Example:
        The second system mends 12 mistakes of the first and makes none of its own; chance does that in 2 of 2¹² cases.

        >>> first = np.array([0.0] * 12 + [1.0] * 88)
        >>> result = compare_paired(first, np.ones(100))
        >>> result.difference, result.p_value < 0.002, result.verdict
        (0.12, True, 'better')
        >>> compare_paired(first, first).p_value
        1.0
    """
    require_examples(first)
    differences = second.astype(np.float64) - first
    interval = bootstrap_interval(np.mean, differences, seed=seed, level=level, rounds=rounds)
    return Comparison(float(differences.mean()), interval, _sign_flip_p_value(differences, seed, rounds))


def compare_paired_f1(
    first: Int[np.ndarray, "examples 3"],
    second: Int[np.ndarray, "examples 3"],
    *,
    seed: int = 0,
    level: float = 0.95,
    rounds: int = 10_000,
) -> Comparison:
    """The same for F1 over all decisions, which is no mean over examples: a text with ten entities has more say in it than one with none.

    Examples are drawn, and exchanged between the systems, with all their decisions (approximate randomisation: Noreen 1989, Yeh 2000).

    Args:
        first: How many decisions of the first system are right, how many it made, and how many there are to make, on each example (`span_counts`).
        second: The same of the second system, in the same order.
        seed: Of the draws.
        level: Confidence of the interval, in (0, 1).
        rounds: Draws of the test and of the interval.

    Raises:
        DataError: If there are no examples.

    Example:
        The second system finds what the first misses in 12 of 100 texts; texts without an entity change nothing.

        >>> first = np.array([[0, 0, 1]] * 12 + [[1, 1, 1]] * 88)
        >>> result = compare_paired_f1(first, np.ones((100, 3), int))
        >>> round(result.difference, 4), result.p_value < 0.002
        (0.0638, True)
    """
    require_examples(first)

    def gained(one: Int[np.ndarray, "examples 3"], other: Int[np.ndarray, "examples 3"]) -> float:
        return micro_f1(*other.T) - micro_f1(*one.T)

    total, difference = (first + second).sum(0), gained(first, second)
    moved = (second - first)[(first != second).any(1)]
    as_large = sum(
        int((np.abs(_f1_of(total + exchanged) - _f1_of(total - exchanged)) >= abs(difference) - SLACK).sum())
        for exchanged in _with_signs(moved, seed, rounds)
    )
    interval = bootstrap_interval(gained, first, second, seed=seed, level=level, rounds=rounds)
    return Comparison(difference, interval, (1 + as_large) / (1 + rounds))


def _f1_of(sums: Int[np.ndarray, "rounds 3"]) -> Float[np.ndarray, " rounds"]:
    decisions = sums[:, 1] + sums[:, 2]
    return 2 * sums[:, 0] / np.maximum(decisions, 1)


def _sign_flip_p_value(differences: Float[np.ndarray, " examples"], seed: int, rounds: int) -> float:
    moved = differences[differences != 0]
    if len(moved) == 0:
        return 1.0
    observed = abs(moved.sum())
    slack = SLACK * np.abs(moved).sum()
    as_large = sum(int((np.abs(sums) >= observed - slack).sum()) for sums in _with_signs(moved, seed, rounds))
    return (1 + as_large) / (1 + rounds)


def _with_signs(moved: Shaped[np.ndarray, "examples ..."], seed: int, rounds: int) -> Iterator[Shaped[np.ndarray, "rounds ..."]]:
    """Sums over examples, each of which has either sign by chance, some rounds at a time."""
    generator = generator_at(seed, "permutation")
    chunk = max(1, CELLS // max(len(moved), 1))
    for start in range(0, rounds, chunk):
        signs = generator.integers(2, size=(min(chunk, rounds - start), len(moved)), dtype=np.int8)
        yield (2 * signs - 1) @ moved
