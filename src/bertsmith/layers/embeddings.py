"""BERT's input: every token is the sum of three embeddings — what it is, where it stands, which segment it belongs to.

Reference: Devlin et al. 2019, "BERT", section 3 and figure 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from bertsmith.core.types import Batch
from bertsmith.layers.dropout import Dropout
from bertsmith.layers.layout import Layout

Positions = Callable[[Int[Tensor, "batch length"]], Int[Tensor, "batch length"]]
"""Position ids for token ids."""


def columns(input_ids: Int[Tensor, "batch length"]) -> Int[Tensor, "batch length"]:
    """BERT's rule: a token's position is its column, counted from 0."""
    return torch.arange(input_ids.shape[1], device=input_ids.device).expand(input_ids.shape)


def columns_from(first: int) -> Positions:
    """BART's rule: columns counted from `first`."""

    def positions(input_ids: Int[Tensor, "batch length"]) -> Int[Tensor, "batch length"]:
        return columns(input_ids) + first

    return positions


def after_padding(padding_id: int) -> Positions:
    """RoBERTa's rule: tokens are counted from `padding_id + 1`, padding stays at `padding_id`.

    Reference: fairseq `make_positions`, `transformers` `create_position_ids_from_input_ids`.
    """

    def positions(input_ids: Int[Tensor, "batch length"]) -> Int[Tensor, "batch length"]:
        kept = (input_ids != padding_id).long()
        return kept.cumsum(1) * kept + padding_id

    return positions


@dataclass(frozen=True, slots=True)
class EmbeddingParts:
    """The three embeddings of a batch before they are added, and their normalised sum; zero at padding, and where a family has no such embedding.

    Attributes:
        token: What the token is.
        position: Where it stands.
        segment: Which segment it is in.
        total: Layer norm of the sum: what the first block sees (factorised embeddings: what is then widened).
    """

    token: Float[Tensor, "batch length width"]
    position: Float[Tensor, "batch length width"]
    segment: Float[Tensor, "batch length width"]
    total: Float[Tensor, "batch length width"]


class Embeddings(nn.Module):
    """Token, position and segment embeddings, added, normalised, dropped out; and widened where they are narrower than the blocks.

    Args:
        vocabulary: Number of token ids; or the token embedding itself, where it is another's (a decoder that shares its encoder's); it is not
            registered here a second time.
        hidden: Width of the states.
        max_positions: Number of position ids; where there is no table of positions, tokens of the longest sequence.
        dropout: Share of values set to zero while training, 0-1.
        segments: Number of segment ids; 0 where the family knows none.
        epsilon: Of the layer norm; None where there is none.
        norm_bias: Whether the layer norm has one.
        positions: The rule that gives position ids.
        position_table: "learned"; "sinusoidal", as computed in Vaswani et al. 2017, section 3.5, and not trained; or None, where positions are told
            apart in another way.
        reserved_positions: Position ids that no token gets (RoBERTa: `padding_id + 1`), so that sequences may be that much shorter.
        scale: What token embeddings are multiplied by.
        padding_id: A token whose embedding does not learn from where it is looked up, whatever it stands for there (Marian and PEGASUS begin their
            targets with it).
        widened_to: Width of the blocks' states, where a linear layer leads there from `hidden` (factorised embeddings: ALBERT, small ELECTRA).
    """

    def __init__(  # noqa: PLR0913 (every family differs in one or two of these)
        self,
        *,
        vocabulary: int | nn.Embedding,
        hidden: int,
        max_positions: int,
        dropout: float,
        segments: int = 0,
        epsilon: float | None = None,
        norm_bias: bool = True,
        positions: Positions = columns,
        position_table: Literal["learned", "sinusoidal"] | None = "learned",
        reserved_positions: int = 0,
        scale: float = 1.0,
        padding_id: int | None = None,
        widened_to: int | None = None,
    ) -> None:
        super().__init__()
        self.max_length = max_positions - reserved_positions
        self.reserved_positions = reserved_positions
        if isinstance(vocabulary, nn.Embedding):
            self.__dict__["token"] = vocabulary  # past `nn.Module`, which would register it, and so train and save it, a second time
        else:
            self.token = nn.Embedding(vocabulary, hidden, padding_idx=padding_id)
        self.position = _position_table(position_table, max_positions, hidden)
        self.segment = nn.Embedding(segments, hidden) if segments else None
        self.norm = nn.Identity() if epsilon is None else nn.LayerNorm(hidden, eps=epsilon, bias=norm_bias)
        self.dropout = Dropout(dropout)
        self.positions = positions
        self.scale = scale
        self.widen = nn.Identity() if widened_to is None else nn.Linear(hidden, widened_to)

    def layout(self, batch: Batch) -> Layout:
        """How a batch lies in memory.

        Raises:
            ValueError: It is longer than there are positions, or a sequence of it is empty.
        """
        length, limit = batch.input_ids.shape[1], self.max_length
        if length > limit:
            raise ValueError(
                f"a sequence of {length} tokens is longer than the {limit} that the model has positions for: truncate it or cut it into windows"
            )
        return Layout.of(batch.attention_mask)

    def forward(
        self, batch: Batch, layout: Layout, token_embeddings: Float[Tensor, "batch length width"] | None = None
    ) -> Float[Tensor, "tokens hidden"]:
        """The packed input of the first block.

        Args:
            batch: Token and segment ids, padded.
            layout: Of the batch.
            token_embeddings: Used in the place of the token embedding of `batch.input_ids`.
        """
        return self._finished(self._looked_up(batch, layout, token_embeddings))

    def at(self, input_ids: Int[Tensor, "rows new"], places: Int[Tensor, "rows new"]) -> Float[Tensor, "rows new hidden"]:
        """The input of the first block for tokens whose places in their sequences, from 0, are given; for families without segments."""
        assert self.segment is None, "a decoder has no segments"
        parts = [self.scale * self.token(input_ids)]
        return self._finished(parts if self.position is None else [*parts, self.position(places + self.reserved_positions)])

    def parts(self, batch: Batch, layout: Layout) -> EmbeddingParts:
        """The three embeddings one by one, for looking at."""
        token, *others = self._looked_up(batch, layout, None)
        position = torch.zeros_like(token) if self.position is None else others[0]
        segment = torch.zeros_like(token) if self.segment is None else others[-1]
        return EmbeddingParts(*(layout.pad(part) for part in (token, position, segment, self.norm(token + position + segment))))

    def _looked_up(self, batch: Batch, layout: Layout, token_embeddings: Tensor | None) -> list[Tensor]:
        token = self.token(layout.pack(batch.input_ids)) if token_embeddings is None else layout.pack(token_embeddings)
        parts = [token if self.scale == 1 else self.scale * token]
        if self.position is not None:
            parts.append(self.position(layout.pack(self.positions(batch.input_ids))))
        if self.segment is not None:
            parts.append(self.segment(layout.pack(batch.token_type_ids)))
        return parts

    def _finished(self, parts: list[Tensor]) -> Tensor:
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return self.widen(self.dropout(self.norm(total)))


class SinusoidalPositions(nn.Module):
    """Positions as waves, computed and not trained: sines in the first half of the columns, cosines in the second.

    Reference: Vaswani et al. 2017, section 3.5, where sines and cosines take turns; published models (Marian, PEGASUS) have them in this order.

    Args:
        length: Number of positions.
        width: Of a vector.
    """

    weight: Tensor

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.empty(length, width))
        self.reset_parameters()

    def forward(self, positions: Int[Tensor, "*places"]) -> Float[Tensor, "*places width"]:
        """The vectors of some positions."""
        return F.embedding(positions, self.weight)

    def reset_parameters(self) -> None:
        """Fill the table; what `reinitialise` of a model does instead of drawing it."""
        if not self.weight.is_meta:
            self.weight.copy_(self.table())

    def table(self) -> Float[Tensor, "length width"]:
        """The table itself, on the CPU."""
        length, width = self.weight.shape
        places, columns = torch.arange(length, dtype=torch.float64, device="cpu"), torch.arange(width, dtype=torch.float64, device="cpu")
        angles = places[:, None] / 10000 ** (2 * columns.div(2, rounding_mode="floor") / width)
        return torch.cat([angles[:, 0::2].sin(), angles[:, 1::2].cos()], dim=1).float()


def _position_table(kind: str | None, length: int, width: int) -> nn.Module | None:
    if kind is None:
        return None
    return SinusoidalPositions(length, width) if kind == "sinusoidal" else nn.Embedding(length, width)
