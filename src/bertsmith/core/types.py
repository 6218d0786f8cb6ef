"""What travels through the package: an example, its features, a batch, a loss.

::

    file ──read──▶ Example ──encode──▶ Features ──collate──▶ Batch ──model──▶ Loss

An `Example` is a row of somebody's file. `Features` are what can be computed from it once and for all (token ids, word starts, the label's number). A
`Batch` is what a model sees; everything random (masks, noise) happens on the way from features to batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

Features = dict[str, np.ndarray]
"""One-dimensional arrays by name. `input_ids` is always there and its length is the length of the sequence."""

IGNORED = -100
"""The label that takes no part in a loss."""


@dataclass(frozen=True, slots=True)
class Example:
    """One row of data, after its columns have been given the names that tasks know.

    Attributes:
        values: The row: `text`, `text_pair`, `label` and whatever else the file holds.
        file: Where it came from, as the user wrote it; empty if it came from Python.
        line: Its line in that file, from 1; 0 if there is none.
        place: Where in that line, for formats whose rows are not lines: `data[0].paragraphs[2].qas[1]`.

    Example:
        >>> row = Example({"text": "很好", "label": "1"}, "train.tsv", 2)
        >>> row["text"], row.get("text_pair"), row.where
        ('很好', None, 'train.tsv:2')
    """

    values: Mapping[str, Any]
    file: str = ""
    line: int = 0
    place: str = ""

    def __getitem__(self, column: str) -> Any:
        return self.values[column]

    def get(self, column: str, default: Any = None) -> Any:
        """The value of a column, or `default` where the row does not have it."""
        return self.values.get(column, default)

    @property
    def where(self) -> str:
        """`file:line`, and the place where there is one, for messages."""
        line = f"{self.file or 'example'}:{self.line}" if self.line else self.file or "example"
        return f"{line}: {self.place}" if self.place else line


@dataclass(frozen=True, slots=True)
class Batch:
    """What a model sees: the three inputs of BERT, padded, and what the loss needs.

    Attributes:
        input_ids: Token ids.
        attention_mask: 1 where there is a token, 0 where there is padding.
        token_type_ids: The segment of every token, 0 or 1.
        labels: What is to be predicted, by name; `IGNORED` (-100) takes no part.
        counts: How many things each term of the loss sums over in this batch (masked tokens, sentences), so that a mean over several batches,
            or over several processes, is exact.
        target: What the decoder of a sequence-to-sequence model reads; the three inputs above are the source then. See `layers.decoder.shifted`.
    """

    input_ids: Int[Tensor, "batch length"]
    attention_mask: Int[Tensor, "batch length"]
    token_type_ids: Int[Tensor, "batch length"]
    labels: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    target: Batch | None = None

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return replace(
            self,
            input_ids=self.input_ids.to(device),
            attention_mask=self.attention_mask.to(device),
            token_type_ids=self.token_type_ids.to(device),
            labels={name: label.to(device) for name, label in self.labels.items()},
            target=self.target and self.target.to(device),
        )

    def first_tokens(self) -> Bool[Tensor, "batch length"]:
        """Where the first token of every sequence stands: [CLS]."""
        return (self.attention_mask.cumsum(1) == 1) & self.attention_mask.bool()

    @property
    def num_tokens(self) -> int:
        """Real tokens, without the padding; those of the target too."""
        return int(self.attention_mask.sum()) + (self.target.num_tokens if self.target else 0)


@dataclass(frozen=True, slots=True)
class Loss:
    """A sum over `count` things. Sums can be added over batches, devices and epochs without the mean going wrong.

    Example:
        >>> total = Loss(6.0, 3) + Loss(4.0, 1)
        >>> total.mean
        2.5
    """

    sum: float = 0.0
    count: int = 0

    def __add__(self, other: Loss) -> Loss:
        return Loss(self.sum + other.sum, self.count + other.count)

    @property
    def mean(self) -> float:
        """Nats per counted thing; NaN where nothing was counted."""
        return self.sum / self.count if self.count else float("nan")
