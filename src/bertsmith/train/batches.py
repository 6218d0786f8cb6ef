"""Which sequences make up which step: batches of like length, in an order that is a function of the seed and the epoch.

Sequences of like length go together, because what a batch of unlike lengths wastes on padding is more than all other savings bring in. Like lengths
are looked for within pools of many batches, drawn at random, and the batches are shuffled again, so that no epoch sees short texts first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from bertsmith.core.randomness import generator_at
from bertsmith.train.options import DEFAULT_BATCH_SIZE, TrainOptions

POOL = 50
"""Batches within which sequences of like length are looked for."""

Indices = Int[np.ndarray, " _"]


@dataclass(frozen=True, slots=True)
class Step:
    """One update of the weights.

    Attributes:
        number: Counted from 1 over the whole training.
        epoch: Counted from 0.
        rows: Indices of its sequences, the longest first.
        seen: How often they were seen before; what is drawn for them (masks) depends on it.
        last_of_epoch: Whether the epoch ends with it.
        part: The part of a mixture that it belongs to.
    """

    number: int
    epoch: int
    rows: Indices
    seen: int
    last_of_epoch: bool
    part: str = ""


class Course:
    """The steps of a training: `total` of them, `per_epoch` in the first epoch; the same whether or not it was interrupted.

    Args:
        lengths: Tokens of every row.
        options: How long, in what batches.
        seed: What the order depends on.
    """

    def __init__(self, lengths: Int[np.ndarray, " _"], options: TrainOptions, seed: int) -> None:
        self.lengths, self.options, self.seed = lengths, options, seed
        self.per_epoch = num_batches(lengths, options, seed, 0)
        self.total = self._steps() if options.steps is None else options.steps

    def after(self, done: int) -> Iterator[Step]:
        """All steps that are still to be taken, from the one after `done`."""
        number = epoch = 0
        if not self.options.batch_tokens:  # epochs that are over are all of one length, and need not be put in order again
            epoch = done // self.per_epoch
            number = epoch * self.per_epoch
        while number < self.total:
            batches = epoch_batches(self.lengths, self.options, self.seed, epoch)
            for place, rows in enumerate(batches[: self.total - number]):
                number += 1
                if number > done:
                    yield Step(number, epoch, rows, seen=epoch, last_of_epoch=place == len(batches) - 1)
            epoch += 1

    def _steps(self) -> int:
        whole = int(self.options.epochs)
        steps = sum(num_batches(self.lengths, self.options, self.seed, epoch) for epoch in range(whole))
        if part := self.options.epochs - whole:
            steps += round(part * num_batches(self.lengths, self.options, self.seed, whole))
        return max(1, steps)


def epoch_batches(lengths: Int[np.ndarray, " _"], options: TrainOptions, seed: int, epoch: int) -> list[Indices]:
    """All batches of an epoch; every sequence is in exactly one.

    Example:
        >>> batches = epoch_batches(np.array([5, 9, 5, 9]), TrainOptions(batch_tokens=18), seed=1, epoch=0)
        >>> sorted(len(batch) for batch in batches)
        [2, 2]
    """
    generator = generator_at(seed, "order", epoch)
    order = generator.permutation(len(lengths))
    mean = max(1, round(float(lengths.mean())))
    per_batch = max(1, options.batch_tokens // mean) if options.batch_tokens else options.batch_size or DEFAULT_BATCH_SIZE
    batches: list[Indices] = []
    for start in range(0, len(order), POOL * per_batch):
        pool = order[start : start + POOL * per_batch]
        pool = pool[np.argsort(-lengths[pool], kind="stable")]
        batches += _cut(pool, lengths, options)
    return [batches[place] for place in generator.permutation(len(batches))]


def _cut(rows: Indices, lengths: Indices, options: TrainOptions) -> list[Indices]:
    if not options.batch_tokens:
        size = options.batch_size or DEFAULT_BATCH_SIZE
        return [rows[start : start + size] for start in range(0, len(rows), size)]
    return within_budget(rows, lengths, options.batch_tokens)


def within_budget(rows: Indices, lengths: Indices, tokens: int) -> list[Indices]:
    """Cut rows, in their order, into runs of at most `tokens` tokens; a row that is longer than that stands alone.

    Example:
        >>> [run.tolist() for run in within_budget(np.array([0, 1, 2]), np.array([4, 4, 9]), 8)]
        [[0, 1], [2]]
    """
    used = np.cumsum(lengths[rows], dtype=np.int64)
    runs: list[Indices] = []
    start = 0
    while start < len(rows):
        before = int(used[start - 1]) if start else 0
        end = max(start + 1, int(np.searchsorted(used, before + tokens, side="right")))
        runs.append(rows[start:end])
        start = end
    return runs


def num_batches(lengths: Indices, options: TrainOptions, seed: int, epoch: int) -> int:
    """How many batches an epoch has: the same number in every epoch for a size in sequences, one that depends on the order for a size in tokens.

    Example:
        >>> num_batches(np.array([5, 9, 5, 9, 5]), TrainOptions(batch_size=2), seed=1, epoch=0)
        3
    """
    if options.batch_tokens:
        return len(epoch_batches(lengths, options, seed, epoch))
    return math.ceil(len(lengths) / (options.batch_size or DEFAULT_BATCH_SIZE))
