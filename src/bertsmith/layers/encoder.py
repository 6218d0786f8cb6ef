"""A stack of Transformer blocks over packed tokens: the body of every encoder family."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from bertsmith.core.types import Batch
from bertsmith.layers.attention import SelfAttention
from bertsmith.layers.cache import Cache, Past
from bertsmith.layers.dropout import Dropout
from bertsmith.layers.embeddings import EmbeddingParts, Embeddings
from bertsmith.layers.feed_forward import FeedForward
from bertsmith.layers.layout import Chosen, Encoded, Layout

Applied = TypeVar("Applied")


class Block(nn.Module):
    """Attention and feed-forward, each added to its input; normalised after the addition (the original Transformer, BERT) or before the layer.

    Args:
        attention: The attention of this block.
        feed_forward: The feed-forward network of this block.
        hidden: Width of the states.
        epsilon: Of the layer norms.
        dropout: Share of values set to zero before each addition while training, 0-1.
        attention_dropout: The same before the first addition, where it is another.
        norm_first: What goes into a layer is normalised, and not the sum (pre-norm: GPT-2, PEGASUS).
        norm_bias: Whether the norms have one.
        given_normalised: What comes in is normalised already, and the norm before the attention left out (ModernBERT's first block).
    """

    def __init__(  # noqa: PLR0913 (every family differs in one or two of these)
        self,
        attention: SelfAttention,
        feed_forward: FeedForward,
        *,
        hidden: int,
        epsilon: float,
        dropout: float,
        attention_dropout: float | None = None,
        norm_first: bool = False,
        norm_bias: bool = True,
        given_normalised: bool = False,
    ) -> None:
        super().__init__()
        self.attention = attention
        self.attention_norm = nn.Identity() if given_normalised else nn.LayerNorm(hidden, eps=epsilon, bias=norm_bias)
        self.feed_forward = feed_forward
        self.feed_forward_norm = nn.LayerNorm(hidden, eps=epsilon, bias=norm_bias)
        self.dropout = Dropout(dropout)
        self.attention_dropout = Dropout(dropout if attention_dropout is None else attention_dropout)
        self.norm_first = norm_first

    def forward(self, states: Float[Tensor, "tokens hidden"], layout: Layout, chosen: Chosen | None = None) -> Float[Tensor, "rows hidden"]:
        """Packed states in, packed states out: of all tokens or, where some are chosen, of these, and little is computed for the others."""
        given = self.attention_norm(states) if self.norm_first else states
        own = states if chosen is None else states.index_select(0, chosen.rows)
        added = own + self.attention_dropout(self.attention(given, layout, chosen))
        return self._added(added if self.norm_first else self.attention_norm(added), self.feed_forward_norm, self.feed_forward)

    def step(
        self, states: Float[Tensor, "rows new hidden"], past: Past, mask: Bool[Tensor, "#rows 1 new filled"] | None
    ) -> Float[Tensor, "rows new hidden"]:
        """New tokens of every row; see `SelfAttention.step`."""
        states = self._added(states, self.attention_norm, lambda given: self.attention.step(given, past, mask), self.attention_dropout)
        return self._added(states, self.feed_forward_norm, self.feed_forward)

    def _added(self, states: Tensor, norm: nn.Module, layer: Callable[[Tensor], Tensor], dropout: nn.Module | None = None) -> Tensor:
        drop = dropout or self.dropout
        if self.norm_first:
            return states + drop(layer(norm(states)))
        return norm(states + drop(layer(states)))


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything that can be looked at inside an encoder, padded.

    Attributes:
        embeddings: The three embeddings and their sum.
        states: The input of the first block, then every block's output, the last one's normalised where the model does that.
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
        final_norm: Normalises what the last block returns; pre-norm blocks need it.
    """

    def __init__(self, embeddings: Embeddings, blocks: list[Block], layers: int | None = None, final_norm: nn.Module | None = None) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.blocks = nn.ModuleList(blocks)
        self.final_norm = final_norm or nn.Identity()
        self.layers = len(blocks) if layers is None else layers

    def stack(self, blocks: Sequence[Applied]) -> list[Applied]:
        """What is applied layer by layer.

        Args:
            blocks: One for each of this encoder's blocks.
        """
        return [blocks[layer * len(blocks) // self.layers] for layer in range(self.layers)]

    def levels(self) -> list[nn.ModuleList]:
        """Everything that is learned, from the input up: the embeddings, then block by block; the last norm belongs to the top one."""
        return levels_of(self.embeddings, self.blocks, self.final_norm)

    def forward(
        self,
        batch: Batch,
        token_embeddings: Float[Tensor, "batch length width"] | None = None,
        *,
        only: Bool[Tensor, "batch length"] | None = None,
    ) -> Encoded:
        """The last block's states.

        Args:
            batch: The three inputs, padded.
            token_embeddings: Used in the place of the embeddings of `batch.input_ids` (what `transformers` calls `inputs_embeds`).
            only: Return the states of these tokens alone. The last block then computes for them alone, which saves most of its work; their values
                and the gradients of all weights are the same.

        Raises:
            ValueError: The batch is longer than the model has positions, or a sequence of it is empty.
        """
        layout = self.layout(batch)
        chosen = None if only is None else layout.only(only)
        states = self.through_blocks(self.embeddings(batch, layout, token_embeddings), layout, chosen)
        return Encoded(self.final_norm(states), layout if chosen is None else chosen.layout)

    def layout(self, batch: Batch) -> Layout:
        """How a batch lies in memory."""
        return self.embeddings.layout(batch)

    def through_blocks(self, states: Float[Tensor, "tokens hidden"], layout: Layout, chosen: Chosen | None) -> Float[Tensor, "rows hidden"]:
        """What the blocks make of packed states, one after the other; the last one for the chosen tokens alone."""
        *lower, top = self.stack(list(self.blocks))
        for block in lower:
            states = block(states, layout)
        return top(states, layout, chosen)

    def step(self, input_ids: Int[Tensor, "rows new"], cache: Cache) -> Float[Tensor, "rows new hidden"]:
        """States of the next tokens of every row, of what came before them only what is in the cache; for blocks that look backwards only.

        Args:
            input_ids: The next tokens. At the first call these may be many, with padding on the left.
            cache: What is known of the tokens so far; it takes in the new ones.
        """
        new = input_ids.shape[1]
        states, mask = self.embeddings.at(input_ids, cache.positions(new)), cache.mask(new)
        for block, past in zip(self.stack(list(self.blocks)), cache.layers, strict=True):
            assert isinstance(block, Block)
            states = block.step(states, past, mask)
        return self.final_norm(states)

    def trace(self, batch: Batch) -> Trace:
        """The same computation, with everything in between kept. Slow; for `inspect`."""
        layout = self.embeddings.layout(batch)
        states = [self.embeddings(batch, layout)]
        attention: list[Tensor] = []
        for block in self.stack(list(self.blocks)):
            assert isinstance(block, Block)
            given = block.attention_norm(states[-1]) if block.norm_first else states[-1]
            attention.append(block.attention.probabilities(given, layout))
            states.append(block(states[-1], layout))
        states[-1] = self.final_norm(states[-1])
        return Trace(self.embeddings.parts(batch, layout), tuple(layout.pad(state) for state in states), tuple(attention))


def levels_of(embeddings: nn.Module, blocks: nn.ModuleList, final_norm: nn.Module) -> list[nn.ModuleList]:
    """The parts of a stack from its input up; see `Encoder.levels`."""
    *lower, top = ([block] for block in blocks)
    return [nn.ModuleList(parts) for parts in ([embeddings], *lower, [*top, final_norm])]
