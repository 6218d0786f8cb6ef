"""How often the parts of a mixture have their turn.

An epoch has as many batches as its parts have together. Which part each of them belongs to is drawn by the parts' shares; a part goes on where it
stopped, through epochs of its own, so that a small part may be seen many times while a large one is seen once.

    proportional   n             what a part has counts: all data is seen equally often
    equal          1             every part has as many turns as every other
    temperature    n^(1/T)       in between: T = 1 is proportional, a large T is nearly equal (multilingual BERT: T = 1.43)
    annealed       n^(1 - 0.8 e/(E-1))   from proportional in the first epoch to nearly equal in the last (Stickland & Murray 2019, section 4.2)

Here n is the number of batches that a part has. The papers write the number of examples, which is the same but for a factor where all batches hold
equally many; where they hold equally many tokens, a part of long texts needs more of them. `cap` limits what a part counts for (the K of T5's
examples-proportional mixing, Raffel et al. 2020, section 3.5.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from bertsmith.core.randomness import generator_at, seed_at
from bertsmith.train.batches import Course, Indices, Step, epoch_batches, num_batches
from bertsmith.train.options import TrainOptions

ANNEALED_TO = 0.2
"""The exponent of the last epoch."""


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """How often each part of a mixture has its turn: the `mixture` table of a stage.

    Args:
        sampling: "proportional" to the parts' sizes, "equal", "temperature", or "annealed" from proportional to nearly equal.
        temperature: Of the sampling of that name, at least 1.
        cap: Sequences that a part counts for at most, however many it has; without limit by default. A short text is one, a long one may be several.
        weights: What the share of a part is multiplied by; 1 where a part is not named.
    """

    sampling: Literal["proportional", "equal", "temperature", "annealed"] = "proportional"
    temperature: float = 2.0
    cap: int | None = None
    weights: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        wrong = [f"temperature is {self.temperature}; it must be at least 1"] if self.temperature < 1 else []
        wrong += [f"cap is {self.cap}; it must be at least 1"] if self.cap is not None and self.cap < 1 else []
        wrong += [f"weights.{name} is {weight}; it must be greater than 0" for name, weight in (self.weights or {}).items() if weight <= 0]
        if wrong:
            raise ValueError("; ".join(wrong))

    def shares(self, rows: Mapping[str, int], batches: Mapping[str, int], progress: float = 0.0) -> Float[np.ndarray, " parts"]:
        """The parts' shares of an epoch's batches.

        Args:
            rows: Sequences of each part.
            batches: That they make up.
            progress: 0 in the first epoch, 1 in the last.

        Example:
            >>> half = Mixing(sampling="temperature", temperature=2)
            >>> half.shares({"large": 900, "small": 100}, {"large": 90, "small": 10}).round(2).tolist()
            [0.75, 0.25]
        """
        counted = np.array([batches[name] * min(1.0, (self.cap or count) / count) for name, count in rows.items()], np.float64)
        exponent = {"proportional": 1.0, "equal": 0.0, "temperature": 1 / self.temperature, "annealed": 1 - (1 - ANNEALED_TO) * progress}
        shares = counted ** exponent[self.sampling] * [(self.weights or {}).get(name, 1.0) for name in rows]
        return shares / shares.sum()


class MixedCourse(Course):
    """The steps of a training on several parts.

    Args:
        parts: Tokens of every row, by part; rows are counted through all parts.
        options: How long, in what batches.
        mixing: How often each part has its turn.
        seed: What everything random depends on.
    """

    def __init__(self, parts: Mapping[str, Indices], options: TrainOptions, mixing: Mixing, seed: int) -> None:
        self.parts, self.options, self.mixing, self.seed = dict(parts), options, mixing, seed
        sizes = [len(lengths) for lengths in self.parts.values()]
        self.begins = np.cumsum([0, *sizes[:-1]])
        self.batches = {name: num_batches(lengths, options, self._seed(name), 0) for name, lengths in self.parts.items()}
        self.per_epoch = sum(self.batches.values())
        self.total = options.steps if options.steps is not None else max(1, round(options.epochs * self.per_epoch))

    def after(self, done: int) -> Iterator[Step]:
        """All steps that are still to be taken, from the one after `done`."""
        names = list(self.parts)
        sources = [self._batches(name) for name in names]
        number = 0
        for epoch in range(-(-self.total // self.per_epoch)):
            turns = self._turns(epoch)[: self.total - number]
            for place, part in enumerate(turns):
                number += 1
                rows, seen = next(sources[part])
                if number > done:
                    yield Step(number, epoch, rows, seen, last_of_epoch=place == self.per_epoch - 1, part=names[part])

    def turns(self, steps: int) -> dict[str, int]:
        """How many of so many first steps belong to each part."""
        whole, rest = divmod(steps, self.per_epoch)
        counts = sum((self._counts(epoch) for epoch in range(whole)), np.bincount(self._turns(whole)[:rest], minlength=len(self.parts)))
        return dict(zip(self.parts, counts.tolist(), strict=True))

    def _turns(self, epoch: int) -> list[int]:
        """Whose turn it is, batch by batch."""
        counts = self._counts(epoch)
        return generator_at(self.seed, "mixture", epoch).permutation(np.repeat(np.arange(len(counts)), counts)).tolist()

    def _counts(self, epoch: int) -> Int[np.ndarray, " parts"]:
        epochs = -(-self.total // self.per_epoch)
        progress = epoch / (epochs - 1) if epochs > 1 else 0.0
        shares = self.mixing.shares({name: len(lengths) for name, lengths in self.parts.items()}, self.batches, progress)
        return _apportioned(shares, self.per_epoch)

    def _batches(self, name: str) -> Iterator[tuple[Indices, int]]:
        """The batches of a part, epoch after epoch of its own, without an end, and how many epochs came before."""
        begin, epoch = self.begins[list(self.parts).index(name)], 0
        while True:
            for rows in epoch_batches(self.parts[name], self.options, self._seed(name), epoch):
                yield rows + begin, epoch
            epoch += 1

    def _seed(self, name: str) -> int:
        return seed_at(self.seed, "part", name)


def _apportioned(shares: Float[np.ndarray, " parts"], total: int) -> Int[np.ndarray, " parts"]:
    """Whole numbers in the proportion of the shares, as nearly as it goes, each at least 1 where there are enough (largest remainders)."""
    exact = shares * total
    counts = np.floor(exact).astype(np.int64)
    counts[np.argsort(counts - exact, kind="stable")[: total - counts.sum()]] += 1
    while total >= len(counts) and not counts.all():
        counts[counts.argmin()] += 1
        counts[counts.argmax()] -= 1
    return counts
