"""A decoder that reads a source while it writes, and the pair of encoder and decoder: the Transformer as it was first published."""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from bertsmith.core.types import Batch
from bertsmith.layers.attention import CrossAttention, SelfAttention
from bertsmith.layers.cache import Cache, Past
from bertsmith.layers.embeddings import Embeddings
from bertsmith.layers.encoder import Block, Encoder
from bertsmith.layers.feed_forward import FeedForward
from bertsmith.layers.layout import Encoded, Layout


class DecoderBlock(Block):
    """A block that looks at a source between its attention and its feed-forward network.

    Args:
        attention: Of target tokens to those before them.
        cross: Of target tokens to source tokens.
        feed_forward: The feed-forward network of this block.
        hidden: Width of the states.
        epsilon: Of the layer norms.
        dropout: Share of values set to zero before each addition while training, 0-1.
        norm_first: As in `Block`.
    """

    def __init__(
        self,
        attention: SelfAttention,
        cross: CrossAttention,
        feed_forward: FeedForward,
        *,
        hidden: int,
        epsilon: float,
        dropout: float,
        norm_first: bool = False,
    ) -> None:
        super().__init__(attention, feed_forward, hidden=hidden, epsilon=epsilon, dropout=dropout, norm_first=norm_first)
        self.cross = cross
        self.cross_norm = nn.LayerNorm(hidden, eps=epsilon)

    def read(self, states: Float[Tensor, "tokens hidden"], layout: Layout, source: Encoded) -> Float[Tensor, "tokens hidden"]:
        """Packed states in, packed states out."""
        states = self._added(states, self.attention_norm, lambda given: self.attention(given, layout))
        states = self._added(states, self.cross_norm, lambda given: self.cross(given, layout, source))
        return self._added(states, self.feed_forward_norm, self.feed_forward)

    def read_step(
        self,
        states: Float[Tensor, "rows new hidden"],
        past: Past,
        mask: Bool[Tensor, "#rows 1 new filled"] | None,
        source: tuple[Tensor, Tensor],
        source_mask: Bool[Tensor, "sources 1 1 length"] | None,
    ) -> Float[Tensor, "rows new hidden"]:
        """New tokens of every row; see `SelfAttention.step` and `CrossAttention.step`."""
        states = self._added(states, self.attention_norm, lambda given: self.attention.step(given, past, mask))
        states = self._added(states, self.cross_norm, lambda given: self.cross.step(given, *source, source_mask))
        return self._added(states, self.feed_forward_norm, self.feed_forward)


class Decoder(nn.Module):
    """Embeddings and blocks that read a source.

    Args:
        embeddings: Of target tokens.
        blocks: Applied in order.
        final_norm: Normalises what the last block returns; pre-norm blocks need it.
    """

    def __init__(self, embeddings: Embeddings, blocks: list[DecoderBlock], final_norm: nn.Module | None = None) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.blocks = nn.ModuleList(blocks)
        self.final_norm = final_norm or nn.Identity()

    def forward(self, target: Batch, source: Encoded) -> Encoded:
        """States of all target tokens, each from those before it, itself and the source.

        Raises:
            ValueError: The targets are longer than the model has positions, or one of them is empty.
        """
        layout = self.embeddings.layout(target)
        states = self.embeddings(target, layout)
        for block in self.blocks:
            assert isinstance(block, DecoderBlock)
            states = block.read(states, layout, source)
        return Encoded(self.final_norm(states), layout)

    def step(self, input_ids: Int[Tensor, "rows new"], cache: Cache) -> Float[Tensor, "rows new hidden"]:
        """States of the next tokens of every row; see `Encoder.step`."""
        new = input_ids.shape[1]
        states, mask = self.embeddings.at(input_ids, cache.positions(new)), cache.mask(new)
        for block, past, source in zip(self.blocks, cache.layers, cache.sources, strict=True):
            assert isinstance(block, DecoderBlock)
            states = block.read_step(states, past, mask, source, cache.source_mask)
        return self.final_norm(states)

    def remember(self, source: Encoded, cache: Cache) -> None:
        """Compute what every step needs of the sources, once."""
        mask = source.layout.kept()
        cache.sources = [block.cross.remember(source) for block in self.blocks if isinstance(block, DecoderBlock)]
        cache.source_mask = None if bool(mask.all()) else mask[:, None, None, :]


class EncoderDecoder(nn.Module):
    """The Transformer of Vaswani et al. 2017.

    Args:
        encoder: Reads the source.
        decoder: Writes the target.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    @property
    def embeddings(self) -> Embeddings:
        """The source's embeddings; the target's have the same token embedding."""
        return self.encoder.embeddings

    def forward(self, source: Batch, target: Batch) -> Encoded:
        """States of all target tokens."""
        return self.decoder(target, self.encoder(source))
