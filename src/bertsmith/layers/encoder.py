"""A stack of Transformer blocks over packed tokens: the body of every encoder family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from jaxtyping import Float
from torch import Tensor, nn

from bertsmith.core.types import Batch
from bertsmith.layers.attention import SelfAttention
from bertsmith.layers.embeddings import EmbeddingParts, Embeddings
from bertsmith.layers.feed_forward import FeedForward
from bertsmith.layers.layout import Encoded, Layout

Applied = TypeVar("Applied")


class Block(nn.Module):
    """Attention and feed-forward, each added to its input and normalised afterwards (post-norm, as in the original Transformer and BERT).

    Args:
        attention: The attention of this block.
        feed_forward: The feed-forward network of this block.
        hidden: Width of the states.
        epsilon: Of the layer norms.
        dropout: Share of values set to zero before each addition while training, 0-1.
    """

    def __init__(self, attention: SelfAttention, feed_forward: FeedForward, *, hidden: int, epsilon: float, dropout: float) -> None:
        super().__init__()
        self.attention = attention
        self.attention_norm = nn.LayerNorm(hidden, eps=epsilon)
        self.feed_forward = feed_forward
        self.feed_forward_norm = nn.LayerNorm(hidden, eps=epsilon)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Float[Tensor, "tokens hidden"], layout: Layout) -> Float[Tensor, "tokens hidden"]:
        """Packed states in, packed states out."""
        states = self.attention_norm(states + self.dropout(self.attention(states, layout)))
        return self.feed_forward_norm(states + self.dropout(self.feed_forward(states)))


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything that can be looked at inside an encoder, padded.

    Attributes:
        embeddings: The three embeddings and their sum.
        states: The input of the first block, then every block's output.
        attention: Every block's attention probabilities.
    """

    embeddings: EmbeddingParts
    states: tuple[Float[Tensor, "batch length hidden"], ...]
    attention: tuple[Float[Tensor, "batch heads length length"], ...]


class Encoder(nn.Module):
    """Embeddings and blocks.

    Args:
        embeddings: Makes the first states from a batch.
        blocks: Applied in order.
        layers: How many blocks the states go through, where there are fewer and each is applied several times in a row (ALBERT).
    """

    def __init__(self, embeddings: Embeddings, blocks: list[Block], layers: int | None = None) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.blocks = nn.ModuleList(blocks)
        self.layers = len(blocks) if layers is None else layers

    def stack(self, blocks: Sequence[Applied]) -> list[Applied]:
        """What is applied layer by layer.

        Args:
            blocks: One for each of this encoder's blocks.
        """
        return [blocks[layer * len(blocks) // self.layers] for layer in range(self.layers)]

    def forward(self, batch: Batch, token_embeddings: Float[Tensor, "batch length width"] | None = None) -> Encoded:
        """The last block's states.

        Args:
            batch: The three inputs, padded.
            token_embeddings: Used in the place of the embeddings of `batch.input_ids` (what `transformers` calls `inputs_embeds`).

        Raises:
            ValueError: The batch is longer than the model has positions, or a sequence of it is empty.
        """
        layout = self._layout(batch)
        states = self.embeddings(batch, layout, token_embeddings)
        for block in self.stack(list(self.blocks)):
            states = block(states, layout)
        return Encoded(states, layout)

    def trace(self, batch: Batch) -> Trace:
        """The same computation, with everything in between kept. Slow; for `inspect`."""
        layout = self._layout(batch)
        states = [self.embeddings(batch, layout)]
        attention: list[Tensor] = []
        for block in self.stack(list(self.blocks)):
            assert isinstance(block, Block)
            attention.append(block.attention.probabilities(states[-1], layout))
            states.append(block(states[-1], layout))
        return Trace(self.embeddings.parts(batch, layout), tuple(layout.pad(state) for state in states), tuple(attention))

    def _layout(self, batch: Batch) -> Layout:
        length, limit = batch.input_ids.shape[1], self.embeddings.max_length
        if length > limit:
            raise ValueError(
                f"a sequence of {length} tokens is longer than the {limit} that the model has positions for: truncate it or cut it into windows"
            )
        return Layout.of(batch.attention_mask)
