"""What a model said of some examples: what a task reads its predictions and its metrics from."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from bertsmith.core.types import Example, Features
from bertsmith.text.tokenizer import Tokenizer

Made = TypeVar("Made")

Output = np.ndarray
"""What a model said of one row: scores of its labels, of its tokens, or the tokens that it wrote."""


def as_array(output: Tensor) -> Output:
    """What a model said, off its device; scores in float32, whatever they were computed in.

    Example:
        >>> import torch
        >>> as_array(torch.ones(2, dtype=torch.bfloat16)).dtype
        dtype('float32')
    """
    return (output.float() if output.is_floating_point() else output).cpu().numpy()


@dataclass(frozen=True, slots=True)
class Outcome:
    """Examples, the rows that they became, and what the model said of every row.

    An example has one row, or several that follow one another (the windows over a long text). Rows then say in a field `example` whose they are,
    counted from 0.

    Attributes:
        outputs: One a row.
        rows: Features; may be left out where a prediction is all that is wanted, and the task needs none for it.
        examples: May be left out likewise.
        tokenizer: That of the rows.

    Example:
        >>> Outcome([np.array([0.5, 2.0]), np.array([1.0, 0.0])]).scores.argmax(1).tolist()
        [1, 0]
    """

    outputs: Sequence[Output]
    rows: Sequence[Features] = ()
    examples: Sequence[Example] = ()
    tokenizer: Tokenizer | None = None
    _made: dict[Any, Any] = field(default_factory=dict[Any, Any], init=False, repr=False, compare=False)

    def once(self, make: Callable[..., Made], *how: Hashable) -> Made:
        """What a function makes of the outcome; made when it is first asked for, and kept, for an error analysis asks again and again.

        Args:
            make: Takes the outcome, and depends on nothing else but `how`. What it gives is not to be changed.
            how: Its further arguments.

        Example:
            >>> outcome = Outcome([np.array([0.5, 2.0])])
            >>> outcome.once(lambda it, place: it.outputs[0][place], 1)
            np.float64(2.0)
        """
        key = (make, *how)
        if key not in self._made:
            self._made[key] = make(self, *how)
        return self._made[key]

    @property
    def scores(self) -> Float[np.ndarray, "rows scores"]:
        """The outputs of a task that has a row of scores for every example, one below the other."""
        return np.stack(self.outputs) if len(self.outputs) else np.empty((0, 0), np.float32)

    @property
    def owners(self) -> Int[np.ndarray, " rows"]:
        """For every row, the number of its example."""
        if self.rows and "example" in self.rows[0]:
            return np.array([int(row["example"][0]) for row in self.rows], np.int64)
        return np.arange(len(self.outputs))

    def by_example(self) -> Iterator[tuple[Example, list[tuple[Features, Output]]]]:
        """Every example with its rows and what was said of them; an example may have none."""
        found: list[list[tuple[Features, Output]]] = [[] for _ in self.examples]
        for owner, row, output in zip(self.owners, self.rows, self.outputs, strict=True):
            found[owner].append((row, output))
        yield from zip(self.examples, found, strict=True)

    def chosen(self, examples: Int[np.ndarray, " chosen"]) -> Outcome:
        """What was said of some examples; one may be chosen several times, as a bootstrap does."""
        places = self._places() if self._has_owners else None
        rows = [self._rows_of(int(example), number, places) for number, example in enumerate(examples)]
        flat = [pair for group in rows for pair in group]
        return Outcome(
            [output for _, output in flat], [row for row, _ in flat], [self.examples[int(example)] for example in examples], self.tokenizer
        )

    @property
    def _has_owners(self) -> bool:
        return bool(self.rows) and "example" in self.rows[0]

    def _places(self) -> list[list[int]]:
        """For every example, the places of its rows."""
        places: list[list[int]] = [[] for _ in self.examples]
        for place, owner in enumerate(self.owners):
            places[owner].append(place)
        return places

    def _rows_of(self, example: int, number: int, places: list[list[int]] | None) -> list[tuple[Features, Output]]:
        if places is None:
            return [(self.rows[example], self.outputs[example])]
        owner = np.array([number], np.int32)
        return [({**self.rows[place], "example": owner}, self.outputs[place]) for place in places[example]]
