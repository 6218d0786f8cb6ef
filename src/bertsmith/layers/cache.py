"""What a decoder keeps of the tokens so far, so that a new one costs one token's work.

Rows grow to the right in step: every row gets a token at every step, and rows that began with fewer tokens have padding on the left.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Past:
    """Keys and values of one layer, in memory that is laid out once.

    Args:
        rows: Sequences.
        capacity: The most tokens of one.
    """

    def __init__(self, rows: int, capacity: int) -> None:
        self.rows, self.capacity, self.filled = rows, capacity, 0
        self._keys = self._values = torch.empty(0)

    def extend(
        self, key: Float[Tensor, "rows heads new size"], value: Float[Tensor, "rows heads new size"]
    ) -> tuple[Float[Tensor, "rows heads filled size"], Float[Tensor, "rows heads filled size"]]:
        """Add those of new tokens; returns those of all."""
        if not self.filled:
            shape = (self.rows, key.shape[1], self.capacity, key.shape[3])
            self._keys, self._values = key.new_empty(shape), value.new_empty(shape)
        end = self.filled + key.shape[2]
        self._keys[:, :, self.filled : end], self._values[:, :, self.filled : end] = key, value
        self.filled = end
        return self._keys[:, :, :end], self._values[:, :, :end]

    def choose(self, rows: Int[Tensor, " rows"]) -> None:
        """Put other rows' pasts in the places of these; rows may be repeated and left out."""
        for kept in (self._keys, self._values):
            kept[:, :, : self.filled] = kept[:, :, : self.filled].index_select(0, rows)


class Cache:
    """Everything a decoder keeps while it generates.

    Args:
        layers: Of the decoder.
        mask: Which places of the first tokens hold one; padding stands on the left.
        more: How many tokens are to follow, at most.

    Attributes:
        layers: The past of every layer.
        sources: Keys and values of the source for every layer; empty for a decoder alone.
        source_mask: Which places of the sources hold a token; None where all do.
    """

    def __init__(self, layers: int, mask: Bool[Tensor, "rows length"], more: int) -> None:
        rows, length = mask.shape
        self.layers = [Past(rows, length + more) for _ in range(layers)]
        self.sources: Sequence[tuple[Tensor, Tensor]] = ()
        self.source_mask: Tensor | None = None
        self._mask = torch.cat([mask, mask.new_ones(rows, more)], dim=1)
        self._padded = not bool(mask.all())
        self._padding = (~mask).sum(1, keepdim=True)

    @property
    def filled(self) -> int:
        """Columns so far, padding included."""
        return self.layers[0].filled

    def positions(self, new: int) -> Int[Tensor, "rows new"]:
        """Places of the next tokens in their own sequences, from 0; at padding 0."""
        columns = torch.arange(self.filled, self.filled + new, device=self._mask.device)
        return (columns - self._padding).clamp(min=0)

    def mask(self, new: int) -> Bool[Tensor, "#rows 1 new filled"] | None:
        """Which of all tokens each of the next ones looks at: itself and those before it; None for all. To be asked before they are added."""
        end, device = self.filled + new, self._mask.device
        if new == 1:
            return self._mask[:, None, None, :end] if self._padded else None
        causal = torch.ones(new, end, dtype=torch.bool, device=device).tril(self.filled)
        if not self._padded:
            return causal[None, None]
        seen = causal & self._mask[:, None, None, :end]
        return seen if self.filled else seen | torch.eye(new, dtype=torch.bool, device=device)  # padding looks at itself: nothing is not a number

    def choose(self, rows: Int[Tensor, " rows"]) -> None:
        """Go on with other rows in the places of these (beams that won); all must have the same source and the same padding."""
        for past in self.layers:
            past.choose(rows)
