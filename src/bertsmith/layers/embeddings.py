"""BERT's input: every token is the sum of three embeddings — what it is, where it stands, which segment it belongs to.

Reference: Devlin et al. 2019, "BERT", section 3 and figure 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bertsmith.core.types import Batch
from bertsmith.layers.layout import Layout

Positions = Callable[[Int[Tensor, "batch length"]], Int[Tensor, "batch length"]]
"""Position ids for token ids."""


def columns(input_ids: Int[Tensor, "batch length"]) -> Int[Tensor, "batch length"]:
    """BERT's rule: a token's position is its column, counted from 0."""
    return torch.arange(input_ids.shape[1], device=input_ids.device).expand(input_ids.shape)


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
    """The three embeddings of a batch before they are added, and their normalised sum; padding is zero.

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
        vocabulary: Number of token ids.
        hidden: Width of the states.
        max_positions: Number of position ids.
        segments: Number of segment ids.
        epsilon: Of the layer norm.
        dropout: Share of values set to zero while training, 0-1.
        positions: The rule that gives position ids.
        reserved_positions: Position ids that no token gets (RoBERTa: `padding_id + 1`), so that sequences may be that much shorter.
        widened_to: Width of the blocks' states, where a linear layer leads there from `hidden` (factorised embeddings: ALBERT, small ELECTRA).
    """

    def __init__(
        self,
        *,
        vocabulary: int,
        hidden: int,
        max_positions: int,
        segments: int,
        epsilon: float,
        dropout: float,
        positions: Positions = columns,
        reserved_positions: int = 0,
        widened_to: int | None = None,
    ) -> None:
        super().__init__()
        self.max_length = max_positions - reserved_positions
        self.token = nn.Embedding(vocabulary, hidden)
        self.position = nn.Embedding(max_positions, hidden)
        self.segment = nn.Embedding(segments, hidden)
        self.norm = nn.LayerNorm(hidden, eps=epsilon)
        self.dropout = nn.Dropout(dropout)
        self.positions = positions
        self.widen = nn.Identity() if widened_to is None else nn.Linear(hidden, widened_to)

    def forward(
        self, batch: Batch, layout: Layout, token_embeddings: Float[Tensor, "batch length width"] | None = None
    ) -> Float[Tensor, "tokens hidden"]:
        """The packed input of the first block.

        Args:
            batch: Token and segment ids, padded.
            layout: Of the batch.
            token_embeddings: Used in the place of the token embedding of `batch.input_ids`.
        """
        token, position, segment = self._looked_up(batch, layout, token_embeddings)
        return self.widen(self.dropout(self.norm(token + position + segment)))

    def parts(self, batch: Batch, layout: Layout) -> EmbeddingParts:
        """The three embeddings one by one, for looking at."""
        token, position, segment = self._looked_up(batch, layout, None)
        return EmbeddingParts(*(layout.pad(part) for part in (token, position, segment, self.norm(token + position + segment))))

    def _looked_up(self, batch: Batch, layout: Layout, token_embeddings: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        token = self.token(layout.pack(batch.input_ids)) if token_embeddings is None else layout.pack(token_embeddings)
        position_ids = layout.pack(self.positions(batch.input_ids))
        return token, self.position(position_ids), self.segment(layout.pack(batch.token_type_ids))
