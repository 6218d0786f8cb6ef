"""What a decoder keeps of the tokens so far, so that a new one costs one token's work.

A row holds a prompt, or the beginning of what is written about a source, and all its continuations: beams and samples are *branches* of one row.
Their tokens stand in the columns of the step in which they were written, and a mask says which columns a branch has come through. So what branches
have in common is kept once and looked at once, and nothing moves when one beam takes the place of another: only the mask does.

::

    prompt      step 1   step 2
    . the cat | sat ran | on to        two branches: the second step's both follow "sat", and neither sees "ran" or the other
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
        capacity: The most columns of one.
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

    def choose(self, rows: Int[Tensor, " chosen"]) -> None:
        """Go on with these rows only, in this order."""
        self.rows = len(rows)
        self._keys, self._values = (self._chosen(memory, rows) for memory in (self._keys, self._values))

    def _chosen(self, memory: Tensor, rows: Tensor) -> Tensor:
        chosen = memory.new_empty(len(rows), *memory.shape[1:])
        chosen[:, :, : self.filled] = memory[rows, :, : self.filled]
        return chosen


class Cache:
    """Everything a decoder keeps while it generates.

    Args:
        layers: Of the decoder.
        mask: Which places of the first tokens hold one; padding stands on the left.
        more: How many columns are to follow, at most: steps times branches.

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
        self._seen: Tensor | None = None
        self._steps = 0

    @property
    def filled(self) -> int:
        """Columns so far, padding included."""
        return self.layers[0].filled

    def branch(self, parents: Int[Tensor, "rows branches"]) -> None:
        """Say that the next tokens are branches: one token for each, and none sees another's.

        Args:
            parents: The branch of the last step that each of them continues; before the first branching there is one only, the row itself.
        """
        branches, begin = parents.shape[1], self.filled
        if self._seen is None:
            self._padding, self._steps = self._padding - begin, 0
            seen = self._mask.index_fill(1, torch.arange(begin, self._mask.shape[1], device=parents.device), False)[:, None].repeat(1, branches, 1)
        else:
            seen = self._seen.take_along_dim(parents[:, :, None], dim=1)
        own = torch.arange(branches, device=parents.device)
        seen[:, own, begin + own] = True
        self._seen = seen
        self._steps += 1

    def positions(self, new: int) -> Int[Tensor, "rows new"]:
        """Places of the next tokens in their own sequences, from 0; at padding 0."""
        if self._seen is not None:
            return (self._steps - 1 - self._padding).expand(-1, new)
        columns = torch.arange(self.filled, self.filled + new, device=self._mask.device)
        return (columns - self._padding).clamp(min=0)

    def mask(self, new: int) -> Bool[Tensor, "#rows 1 new filled"] | None:
        """Which of all tokens each of the next ones looks at: itself and those before it; None for all. To be asked before they are added."""
        end, device = self.filled + new, self._mask.device
        if self._seen is not None:
            return self._seen[:, None, :, :end]
        if new == 1:
            return self._mask[:, None, None, :end] if self._padded else None
        causal = torch.ones(new, end, dtype=torch.bool, device=device).tril(self.filled)
        if not self._padded:
            return causal[None, None]
        seen = causal & self._mask[:, None, None, :end]
        return seen if self.filled else seen | torch.eye(new, dtype=torch.bool, device=device)  # padding looks at itself: nothing is not a number

    def choose(self, rows: Int[Tensor, " chosen"]) -> None:
        """Go on with these rows only, in this order; the others are finished."""
        for past in self.layers:
            past.choose(rows)
        self.sources = [(key[rows], value[rows]) for key, value in self.sources]
        self.source_mask = None if self.source_mask is None else self.source_mask[rows]
        self._mask, self._padding = self._mask[rows], self._padding[rows]
        self._seen = None if self._seen is None else self._seen[rows]
