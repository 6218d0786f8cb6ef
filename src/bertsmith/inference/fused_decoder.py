"""A decoder for CPUs that computes the same steps as the ordinary one, with the products of `bertsmith.inference.fused`.

A step is a product of a few dozen rows with every weight of the model, and so mostly the time in which weights come from memory and go through the
processor. oneDNN does that from weights that are laid out beforehand, faster than MKL from ordinary ones; those of the vocabulary are a large part of
a small model. Query, key and value are one product, and residuals are added in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bertsmith.generation.running import Parts
from bertsmith.inference.fused import FusedEncoder, Product, activation, most_tokens_for_onednn, norm, obstacle, product, stranger
from bertsmith.layers.attention import CrossAttention, SelfAttention, Sight, weighted
from bertsmith.layers.cache import Cache, Past
from bertsmith.layers.decoder import Decoder, DecoderBlock
from bertsmith.layers.encoder import Block, Encoder
from bertsmith.layers.feed_forward import FeedForward
from bertsmith.layers.heads import NextTokenHead

PROJECTIONS = ("query", "key", "value", "output")


def fused(parts: Parts, dtype: torch.dtype = torch.float32) -> Parts:
    """The same parts, fused as far as they can be. Weights that change afterwards need new ones.

    Args:
        parts: Of a model.
        dtype: What the products are computed in; scores are float32 in any case.
    """
    decoder, head, encoder = parts.decoder, parts.head, parts.encoder
    with torch.no_grad():
        if isinstance(decoder, Encoder | Decoder) and decoder_obstacle(decoder) is None:
            decoder = FusedDecoder(decoder, dtype)
            head = FusedHead(head, dtype) if isinstance(head, NextTokenHead) else head
        if encoder is not None and obstacle(encoder) is None:
            encoder = FusedEncoder(encoder, dtype)
    return replace(parts, decoder=decoder, head=head, encoder=encoder)


def decoder_obstacle(decoder: Encoder | Decoder) -> str | None:
    """Why a decoder cannot be fused; None if it can."""
    reads = isinstance(decoder, Decoder)
    wanted = {"": DecoderBlock if reads else Block, "attention": SelfAttention, "feed_forward": FeedForward}
    for attention in ("attention", "cross") if reads else ("attention",):
        wanted |= {f"{attention}.{name}": nn.Linear for name in PROJECTIONS}
    wanted |= {"cross": CrossAttention} if reads else {}
    found = decoder.embeddings.token.weight.device.type
    return f"it is on {found}" if found != "cpu" else stranger(decoder.blocks, wanted) or _beyond_steps(decoder.blocks)


def _beyond_steps(blocks: Iterable[nn.Module]) -> str | None:
    """The first block that does what `FusedStep` does not, in words; None where there is none."""
    for number, block in enumerate(blocks):
        assert isinstance(block, Block), "its class was looked at"
        if block.feed_forward.gated or block.attention.rotary is not None or block.attention.sight != Sight(causal=True):
            return f"block {number} is gated, turns its queries or looks elsewhere than back"
    return None


class FusedDecoder:
    """Takes the same steps as the decoder that it is made from.

    Args:
        decoder: One without an obstacle.
        dtype: What the blocks compute in. The states that come out are float32.
    """

    def __init__(self, decoder: Encoder | Decoder, dtype: torch.dtype) -> None:
        self.embeddings = decoder.embeddings
        self.final_norm = decoder.final_norm
        self.dtype = dtype
        tokens = most_tokens_for_onednn(dtype)
        blocks = [FusedStep(block, dtype, tokens) for block in decoder.blocks if isinstance(block, Block)]
        self.blocks = decoder.stack(blocks) if isinstance(decoder, Encoder) else blocks

    def step(self, input_ids: Int[Tensor, "rows new"], cache: Cache) -> Float[Tensor, "rows new hidden"]:
        """States of the next tokens of every row; see `Encoder.step`."""
        new = input_ids.shape[1]
        states, mask = self.embeddings.at(input_ids, cache.positions(new)), cache.mask(new)
        shape, states = states.shape, states.flatten(0, 1).to(self.dtype)
        for block, past, source in zip(self.blocks, cache.layers, cache.sources or [None] * len(self.blocks), strict=True):
            states = block(states, len(input_ids), past, mask)
            if source is not None:
                states = block.read(states, source, cache.source_mask)
            states = block.think(states)
        return self.final_norm(states.view(shape).float())


class FusedStep:
    """One block of a decoder, ready for steps and for nothing else.

    Args:
        block: Whose weights to take.
        dtype: What to compute in.
        onednn_tokens: See `Product`.
    """

    def __init__(self, block: Block, dtype: torch.dtype, onednn_tokens: float) -> None:
        def one(*linears: nn.Linear) -> Product:
            return product(linears, dtype, onednn_tokens, laid_out_after=0)  # every step goes through all of them

        attention, feed_forward = block.attention, block.feed_forward
        self.heads, self.norm_first = attention.heads, block.norm_first
        self.query_key_value, self.output = one(attention.query, attention.key, attention.value), one(attention.output)
        self.widen, self.narrow = one(feed_forward.widen), one(feed_forward.narrow)
        self.activation = activation(feed_forward.activation_name)
        self.attention_norm, self.feed_forward_norm = norm(block.attention_norm, dtype), norm(block.feed_forward_norm, dtype)
        if isinstance(block, DecoderBlock):
            self.cross_query, self.cross_output = one(block.cross.query), one(block.cross.output)
            self.cross_heads, self.cross_norm = block.cross.heads, norm(block.cross_norm, dtype)

    def __call__(self, states: Float[Tensor, "tokens hidden"], rows: int, past: Past, mask: Tensor | None) -> Float[Tensor, "tokens hidden"]:
        """New tokens look at themselves and at those before them."""

        def attend(given: Tensor) -> Tensor:
            query, key, value = multiplied(self.query_key_value, given).view(rows, -1, 3, self.heads, given.shape[1] // self.heads).unbind(2)
            attended = weighted(query.transpose(1, 2), *past.extend(key.transpose(1, 2), value.transpose(1, 2)), mask)
            return multiplied(self.output, attended.transpose(1, 2).reshape(given.shape))

        return self._added(states, self.attention_norm, attend)

    def read(self, states: Float[Tensor, "tokens hidden"], source: tuple[Tensor, Tensor], mask: Tensor | None) -> Float[Tensor, "tokens hidden"]:
        """New tokens look at their source."""

        def attend(given: Tensor) -> Tensor:
            key, value = (part.to(given.dtype) for part in source)
            query = multiplied(self.cross_query, given).view(len(key), -1, self.cross_heads, key.shape[3])
            attended = weighted(query.transpose(1, 2), key, value, mask)
            return multiplied(self.cross_output, attended.transpose(1, 2).reshape(given.shape))

        return self._added(states, self.cross_norm, attend)

    def think(self, states: Float[Tensor, "tokens hidden"]) -> Float[Tensor, "tokens hidden"]:
        """The feed-forward network."""
        return self._added(states, self.feed_forward_norm, lambda given: multiplied(self.narrow, self.activation(multiplied(self.widen, given))))

    def _added(self, states: Tensor, normalised: Callable[[Tensor], Tensor], layer: Callable[[Tensor], Tensor]) -> Tensor:
        if self.norm_first:
            return layer(normalised(states)).add_(states)
        return normalised(layer(states).add_(states))


class FusedHead:
    """Scores over the vocabulary.

    Args:
        head: Whose weights to take.
        dtype: What to compute in.
    """

    def __init__(self, head: NextTokenHead, dtype: torch.dtype) -> None:
        weight = head.embedding.weight.detach()
        bias = weight.new_zeros(len(weight)) if head.bias is None else head.bias.detach().flatten()
        self.product = Product(weight.to(dtype), bias.to(dtype), most_tokens_for_onednn(dtype), laid_out_after=0)
        self.dtype = dtype

    def __call__(self, states: Float[Tensor, "rows hidden"]) -> Float[Tensor, "rows vocabulary"]:
        """Scores of what follows each of these states."""
        return multiplied(self.product, states.to(self.dtype)).float()


def multiplied(linear: Product, states: Float[Tensor, "tokens inputs"]) -> Float[Tensor, "tokens outputs"]:
    """The product, in memory of its own."""
    return linear(states, states.new_empty(len(states) * linear.width))
