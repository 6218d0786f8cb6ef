"""A decoder that reads a source while it writes, and the pair of encoder and decoder: the Transformer as it was first published."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from bertsmith.core.types import IGNORED, Batch
from bertsmith.layers.attention import CrossAttention, SelfAttention
from bertsmith.layers.cache import Cache, Past
from bertsmith.layers.embeddings import Embeddings
from bertsmith.layers.encoder import Block, Encoder, Trace, levels_of
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

    def levels(self) -> list[nn.ModuleList]:
        """Everything that is learned, from the input up; a borrowed token embedding is not its own."""
        return levels_of(self.embeddings, self.blocks, self.final_norm)

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
        start_id: The token that every target begins with.
        padding_id: The token that fills up targets.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder, start_id: int, padding_id: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.start_id = start_id
        self.padding_id = padding_id

    @property
    def embeddings(self) -> Embeddings:
        """The source's embeddings; the target's have the same token embedding."""
        return self.encoder.embeddings

    def levels(self) -> list[nn.ModuleList]:
        """Everything that is learned, from the input up: all embeddings, the encoder's blocks, the decoder's."""
        source, *lower = self.encoder.levels()
        target, *upper = self.decoder.levels()
        return [nn.ModuleList([*source, *target]), *lower, *upper]

    def target(self, labels: Int[Tensor, "batch length"]) -> Batch:
        """What the decoder has to read to foretell some labels; see `shifted`."""
        return shifted(labels, self.start_id, self.padding_id)

    def forward(self, batch: Batch, token_embeddings: Float[Tensor, "batch length width"] | None = None) -> Encoded:
        """States of all tokens of the target, which is `batch.target`.

        A batch without a target is its own: the decoder reads the source once more, from column 0 on and shifted, and its last state has seen all of
        it. That is what BART's classifier looks at (Lewis et al. 2020, section 3.1).

        Args:
            batch: The source, and the target.
            token_embeddings: Used in the place of the embeddings of the source's `input_ids`.

        Raises:
            ValueError: Source or target is longer than the model has positions, or a sequence is empty.
        """
        source = self.encoder(batch, token_embeddings)
        return self.decoder(self.target(_as_labels(batch)) if batch.target is None else batch.target, source)

    def trace(self, batch: Batch) -> Trace:
        """What happens to a source inside the encoder."""
        return self.encoder.trace(batch)


Backbone = Encoder | EncoderDecoder
"""What a family builds."""


def shifted(labels: Int[Tensor, "batch length"], start_id: int, padding_id: int) -> Batch:
    """A target as a decoder reads it: every label one place later, behind a start token, so that each is foretold from those before it.

    What is read ends where the labels do. Labels that are `IGNORED` in between are read as padding.

    Reference: `shift_tokens_right` of `transformers`, whose ids these are.

    Args:
        labels: What is to be foretold at every place, from column 0 on.
        start_id: The token in front.
        padding_id: The token in the place of ignored labels.

    Example:
        >>> target = shifted(torch.tensor([[5, 6, 2], [7, 2, -100]]), start_id=2, padding_id=1)
        >>> target.input_ids.tolist(), target.attention_mask.tolist()
        ([[2, 5, 6], [2, 7, 2]], [[1, 1, 1], [1, 1, 0]])
    """
    first = torch.full_like(labels[:, :1], start_id)
    input_ids = torch.cat([first, labels[:, :-1].masked_fill(labels[:, :-1] == IGNORED, padding_id)], dim=1)
    remaining = (labels != IGNORED).long().flip(1).cumsum(1).flip(1)
    read = torch.cat([torch.ones_like(first), remaining[:, 1:].clamp(max=1)], dim=1)
    return Batch(input_ids, read, torch.zeros_like(labels))


def _as_labels(batch: Batch) -> Int[Tensor, "batch length"]:
    """The tokens of a batch side by side from column 0 on, the rest ignored."""
    ignored = batch.attention_mask == 0
    order = ignored.long().argsort(dim=1, stable=True)
    return batch.input_ids.masked_fill(ignored, IGNORED).gather(1, order)
