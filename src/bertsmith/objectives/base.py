"""What an objective is: the thing that the training loop trains.

An objective is a frozen dataclass: its constructor is the Python API, the table in a recipe and the page in the documentation. It turns examples
into features once (`encode`: deterministic, so the result can be kept on disk), features into batches anew every epoch (`collate`: all randomness is
here), and a batch into summed losses. A task is an objective that can also decode and score; the loop does not know the difference.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from bertsmith.core.registry import Registry
from bertsmith.core.types import Batch, Example, Features
from bertsmith.models.family import Family, Model
from bertsmith.text.tokenizer import Tokenizer

objectives: Registry[type[Objective]] = Registry("objective", "bertsmith.objectives")
"""Pre-training objectives by name."""


@dataclass(frozen=True)
class HeadRequest:
    """A head that an objective trains.

    Attributes:
        labels: Number of its outputs; 0 where that is not a choice.
        pretrained: Whether it must come with the checkpoint: a random one would make the result meaningless.
    """

    labels: int = 0
    pretrained: bool = False


@dataclass(frozen=True, kw_only=True)
class Objective(ABC):
    """The base of all objectives and tasks."""

    name: ClassVar[str]
    columns: ClassVar[tuple[str, ...]] = ("text",)
    """Columns of the data that it needs."""

    @property
    def rows_are_independent(self) -> bool:
        """Whether the loss of a row is the same whatever rows are computed with it; where it is not, a batch is computed in one pass."""
        return True

    @property
    def validated_by_loss(self) -> bool:
        """Whether the loss is measured during training, and no metrics."""
        return True

    @abstractmethod
    def heads(self) -> Mapping[str, HeadRequest]:
        """The heads that it trains, by name."""

    def misfits(self, family: Family) -> Iterator[tuple[str, str]]:  # noqa: ARG002
        """What the models of a family cannot do for it, whatever heads they have; its `max_length` is looked at anyway.

        Returns:
            Every option that asks for too much, with what is wrong; an empty name where the models are of no use at all.
        """
        yield from ()

    @abstractmethod
    def encode(self, examples: Iterable[Example], tokenizer: Tokenizer) -> Iterator[Features]:
        """Turn examples into features, deterministically. One example may give several, several one.

        Raises:
            DataError: Lists every example that cannot be used, with file and line.
        """

    @abstractmethod
    def collate(self, rows: Sequence[Features], generators: Sequence[np.random.Generator], tokenizer: Tokenizer) -> Batch:
        """Make a batch.

        Args:
            rows: Features, one sequence each.
            generators: One source of randomness a row, so that a row's draw depends on the row and the epoch and not on its neighbours.
            tokenizer: For padding and mask ids.
        """

    @abstractmethod
    def loss(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        """Summed losses of a batch, in nats, by the names in `batch.counts`. Their means are added up to what is minimised."""


def pad(arrays: Sequence[Shaped[np.ndarray, " _"]], value: int) -> Tensor:
    """Stack rows of unequal length into a rectangle of int64, filled up with `value` on the right.

    Example:
        >>> pad([np.array([1, 2, 3]), np.array([4])], 0)
        tensor([[1, 2, 3],
                [4, 0, 0]])
    """
    rectangle = np.full((len(arrays), max(len(array) for array in arrays)), value, dtype=np.int64)
    for row, array in zip(rectangle, arrays, strict=True):
        row[: len(array)] = array
    return torch.from_numpy(rectangle)


def padded_inputs(rows: Sequence[Features], tokenizer: Tokenizer) -> tuple[Tensor, Tensor, Tensor]:
    """`input_ids`, `attention_mask` and `token_type_ids` of a batch; rows without segments are all of segment 0."""
    input_ids = pad([row["input_ids"] for row in rows], tokenizer.pad_id)
    attention_mask = pad([np.ones_like(row["input_ids"]) for row in rows], 0)
    segments = [row.get("token_type_ids", np.zeros_like(row["input_ids"])) for row in rows]
    return input_ids, attention_mask, pad(segments, 0)
