"""An encoder for CPUs that computes the same as the ordinary one, only with less in between.

Most of the time goes into matrix products, and little can be done about those. What can be done is to lose nothing around them:

- query, key and value come out of one product, of three times the width;
- rotation, activation and residual additions overwrite their input, and the widest results of all blocks share one piece of memory. Fresh memory is
  expensive: the operating system hands it out page by page, zeroed;
- sequences are attended to in groups of exactly equal length: no mask, and nothing is gathered or scattered. Batches that are cut from sorted
  sequences have few different lengths;
- where the states of some tokens are asked for (classification: the first), the last block computes attention and feed-forward for these alone;
- weights are laid out once for oneDNN, which then need not do it at every product. That is faster for few tokens everywhere, and for many where the
  processor has AVX-512; without AVX-512, many tokens are left to MKL. The price is a second copy of the weights and some time, and it is paid only
  when there has been enough to do: one text in a fresh process is answered sooner without.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bertsmith.core.types import Batch
from bertsmith.layers.activations import ACTIVATIONS
from bertsmith.layers.attention import EVERYWHERE, SelfAttention, attend
from bertsmith.layers.decoder import Backbone
from bertsmith.layers.encoder import Block, Encoder
from bertsmith.layers.feed_forward import FeedForward
from bertsmith.layers.layout import Chosen, Group, Layout
from bertsmith.layers.rotary import Rotary, Waves


def _gelu_tanh_(values: Tensor) -> Tensor:
    return torch.ops.aten.gelu_(values, approximate="tanh")


IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": torch.ops.aten.gelu_,
    "gelu_new": _gelu_tanh_,
    "gelu_pytorch_tanh": _gelu_tanh_,
    "relu": torch.relu_,
    "tanh": torch.tanh_,
}


def obstacle(encoder: Backbone) -> str | None:
    """Why an encoder cannot be fused; None if it can.

    Blocks that a tuning technique has edited are not what their class says, and are left alone.
    """
    if not isinstance(encoder, Encoder):
        return "it has a decoder"
    if encoder.embeddings.token.weight.device.type != "cpu":
        return f"it is on {encoder.embeddings.token.weight.device.type}"
    wanted = {"": Block, "attention": SelfAttention, "feed_forward": FeedForward}
    wanted |= {f"attention.{name}": nn.Linear for name in ("query", "key", "value", "output")}
    wanted |= {f"feed_forward.{name}": nn.Linear for name in ("widen", "narrow")}
    return stranger(encoder.blocks, wanted)


def stranger(blocks: Iterable[nn.Module], wanted: Mapping[str, type[nn.Module]]) -> str | None:
    """The first part of some blocks that is not of the class that is wanted, in words; None where all are.

    Args:
        blocks: Of an encoder or a decoder.
        wanted: Class of every part by its name inside a block; "" is the block.
    """
    for number, block in enumerate(blocks):
        for name, kind in wanted.items():
            found = type(block.get_submodule(name))
            if found is not kind:
                place = f"{name} of block {number}" if name else f"block {number}"
                return f"{place} is a {found.__name__}"
    return None


FEW = 128
"""Tokens up to which oneDNN with weights laid out beforehand multiplies faster than MKL on AVX2: clearly so a few dozen, and no longer some hundreds,
at the shapes of MiniLM and of BERT-base."""

ENOUGH = 1024
"""Tokens after whose products weights are laid out: about as many as make up for the time that it takes. The size of the model does not matter:
both grow with it."""


def most_tokens_for_onednn(dtype: torch.dtype) -> float:
    """Up to how many tokens weights laid out for oneDNN pay on this machine; 0 where they never do."""
    if not torch.backends.mkldnn.is_available():
        return 0
    if torch.backends.cpu.get_cpu_capability() == "AVX512":
        return math.inf
    return FEW if dtype == torch.float32 else 0


class Product:
    """A linear layer whose weight is laid out when that pays.

    Args:
        weight: As in `nn.Linear`; given up for the layout where that serves any number of tokens.
        bias: As in `nn.Linear`; None where there is none.
        onednn_tokens: Up to how many tokens are multiplied by oneDNN, from a layout of its own.
        laid_out_after: How many tokens, in batches that oneDNN could multiply, are multiplied before there is such a layout.
    """

    def __init__(
        self, weight: Float[Tensor, "outputs inputs"], bias: Float[Tensor, " outputs"] | None, onednn_tokens: float, laid_out_after: int = ENOUGH
    ) -> None:
        self.width = len(weight)
        self.bias = bias
        self.onednn_tokens = onednn_tokens
        self.weight: Tensor | None = weight.contiguous()
        self.laid_out: Tensor | None = None
        self.tokens_left = laid_out_after

    def __call__(self, states: Float[Tensor, "tokens inputs"], memory: Tensor) -> Float[Tensor, "tokens outputs"]:
        """The product; it may lie in `memory`, which is flat and large enough."""
        tokens = states.shape[0]
        weight = self.weight  # before `laid_out`: while this thread looks, another may lay out
        laid_out = self._layout(tokens, weight) if tokens <= self.onednn_tokens else None
        if laid_out is not None:
            return torch.ops.mkldnn._linear_pointwise(states, laid_out, self.bias, "none", [], "")  # noqa: SLF001
        assert weight is not None, "given up only for a layout that serves any number of tokens"
        out = memory[: tokens * self.width].view(tokens, self.width)
        if self.bias is None:
            return torch.mm(states, weight.t(), out=out)
        return torch.addmm(self.bias, states, weight.t(), out=out)

    def _layout(self, tokens: int, weight: Tensor | None) -> Tensor | None:
        """The layout, if there is one or its time has come."""
        if self.laid_out is None and weight is not None:
            self.tokens_left -= tokens
            if self.tokens_left < 0:
                self.laid_out = torch.ops.mkldnn._reorder_linear_weight(weight)  # noqa: SLF001 (there is no public name)
                self.weight = weight if self.onednn_tokens < math.inf else None
        return self.laid_out


class FusedBlock:
    """One block of an encoder, ready to compute and for nothing else.

    Args:
        block: Whose weights to take.
        dtype: What to compute in.
        onednn_tokens: See `Product`.
        laid_out_after: See `Product`.
    """

    def __init__(self, block: Block, dtype: torch.dtype, *, onednn_tokens: float, laid_out_after: int) -> None:
        attention, feed_forward = block.attention, block.feed_forward
        self.heads, self.sight, self.rotary = attention.heads, attention.sight, attention.rotary
        self.norm_first, self.gated = block.norm_first, feed_forward.gated

        def one(*linears: nn.Linear) -> Product:
            return product(linears, dtype, onednn_tokens, laid_out_after)

        self.query_key_value = one(attention.query, attention.key, attention.value)
        self.output = one(attention.output)
        self.widen, self.narrow = one(feed_forward.widen), one(feed_forward.narrow)
        self.activation = activation(feed_forward.activation_name)
        self.attention_norm, self.feed_forward_norm = norm(block.attention_norm, dtype), norm(block.feed_forward_norm, dtype)
        self.width = max(self.query_key_value.width, self.widen.width)

    def __call__(
        self, states: Float[Tensor, "tokens hidden"], layout: Layout, waves: Waves | None, wide: Tensor, narrow: Tensor, chosen: Chosen | None
    ) -> Float[Tensor, "rows hidden"]:
        """Packed states in, packed states out; those that go in may be overwritten.

        Args:
            states: One row a token.
            layout: Groups without masks.
            waves: Of the tokens' places, where positions are rotary.
            wide: Memory for `tokens * width` numbers.
            narrow: Memory for as many numbers as `states` has.
            chosen: Return the states of these tokens alone; None for all.
        """
        given = self.attention_norm(states) if self.norm_first else states
        query, key, value = self.query_key_value(given, wide).view(states.shape[0], 3, self.heads, -1).unbind(1)
        if waves is not None:
            query, key = _turned(query, waves), _turned(key, waves)
        attended = self._attended(query, key, value, layout, chosen)
        states = states if chosen is None else states.index_select(0, chosen.rows)
        states = self._added(states, self.output(attended, narrow), self.attention_norm)
        given = self.feed_forward_norm(states) if self.norm_first else states
        return self._added(states, self.narrow(self._activated(self.widen(given, wide)), narrow), self.feed_forward_norm)

    def _attended(self, query: Tensor, key: Tensor, value: Tensor, layout: Layout, chosen: Chosen | None) -> Tensor:
        if chosen is not None and self.sight == EVERYWHERE:
            return attend(query.index_select(0, chosen.rows), key, value, layout, queries=chosen.layout)
        attended = attend(query, key, value, layout, sight=self.sight)
        return attended if chosen is None else attended.index_select(0, chosen.rows)

    def _activated(self, inner: Tensor) -> Tensor:
        if not self.gated:
            return self.activation(inner)
        activated, gate = inner.chunk(2, dim=-1)
        return self.activation(activated).mul_(gate)

    def _added(self, states: Tensor, result: Tensor, norm: Callable[[Tensor], Tensor]) -> Tensor:
        return states.add_(result) if self.norm_first else norm(result.add_(states))


class FusedEncoder(Encoder):
    """Computes the same as the encoder it is made from; for inference on a CPU. Weights that change afterwards need a new one.

    Args:
        encoder: One without an `obstacle`.
        dtype: What the blocks compute in. The states that come out are float32 in any case.
        onednn_tokens: Up to how many tokens oneDNN multiplies, from weights laid out beforehand; by default as many as it pays for.
        laid_out_after: Tokens that are multiplied before weights are laid out.
    """

    def __init__(
        self, encoder: Encoder, dtype: torch.dtype = torch.float32, *, onednn_tokens: float | None = None, laid_out_after: int = ENOUGH
    ) -> None:
        super().__init__(encoder.embeddings, [block for block in encoder.blocks if isinstance(block, Block)], encoder.layers, encoder.final_norm)
        self.dtype = dtype
        self.onednn_tokens = most_tokens_for_onednn(dtype) if onednn_tokens is None else onednn_tokens
        with torch.no_grad():
            self._fused = [
                FusedBlock(block, dtype, onednn_tokens=self.onednn_tokens, laid_out_after=laid_out_after)
                for block in encoder.blocks
                if isinstance(block, Block)
            ]

    @property
    def multiplied_by(self) -> str:
        """Which libraries multiply, in words."""
        if self.onednn_tokens in (0, math.inf):
            return "products by oneDNN" if self.onednn_tokens else "products by torch's own choice"
        return f"products of up to {self.onednn_tokens:.0f} tokens by oneDNN, larger ones by torch's own choice"

    def layout(self, batch: Batch) -> Layout:
        """In groups of exactly equal length."""
        layout = super().layout(batch)
        return replace(layout, groups=tuple(_without_masks(layout.groups)))

    def through_blocks(self, states: Float[Tensor, "tokens hidden"], layout: Layout, chosen: Chosen | None) -> Float[Tensor, "rows hidden"]:
        """The same as an ordinary encoder's, in less time. Call it inside `torch.inference_mode()`."""
        states = states.to(self.dtype)
        waves = self._waves(layout, states.shape[-1])
        wide, narrow = states.new_empty(len(states) * max(block.width for block in self._fused)), torch.empty_like(states).flatten()
        for layer, block in enumerate(self.stack(self._fused), 1):
            states = block(states, layout, waves.get(block.rotary), wide, narrow, chosen if layer == self.layers else None)
        return states.float()

    def _waves(self, layout: Layout, hidden: int) -> dict[Rotary | None, Waves]:
        """What turns queries and keys, once for all blocks that turn alike."""
        heads = {block.rotary: block.heads for block in self._fused if block.rotary is not None}
        return {rotary: rotary.waves(layout.places(), hidden // count) for rotary, count in heads.items()}


def product(linears: Sequence[nn.Linear], dtype: torch.dtype, onednn_tokens: float, laid_out_after: int = ENOUGH) -> Product:
    """Several linear layers with the same input as one; see `Product`."""
    weights = [linear.weight.detach() for linear in linears]
    weight = weights[0] if len(weights) == 1 else torch.cat(weights)
    biases = [linear.bias.detach() for linear in linears if _has_bias(linear)]
    return Product(weight.to(dtype), torch.cat(biases).to(dtype) if biases else None, onednn_tokens, laid_out_after)


def _has_bias(layer: nn.Linear | nn.LayerNorm) -> bool:
    return "bias" in dict(layer.named_parameters())


def norm(layer: nn.Module, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """A layer norm in `dtype`; or what stands in the place of one, where a block does without."""
    if not isinstance(layer, nn.LayerNorm):
        return layer
    weight, bias = layer.weight.detach().to(dtype), layer.bias.detach().to(dtype) if _has_bias(layer) else None
    return lambda states: torch.layer_norm(states, layer.normalized_shape, weight, bias, layer.eps)


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """An activation function, in place where there is such a one."""
    return IN_PLACE.get(name, ACTIVATIONS[name])


def _turned(states: Tensor, waves: Waves) -> Tensor:
    """As `layers.rotary.turned`, in place where that is float32."""
    turned, (cosines, sines) = states.float(), waves
    first, second = turned.chunk(2, dim=-1)
    before = first.clone()
    first.mul_(cosines).addcmul_(second, sines, value=-1)
    second.mul_(cosines).addcmul_(before, sines)
    return turned.to(states.dtype)


def _without_masks(groups: Iterable[Group]) -> Iterator[Group]:
    """Cut groups of like length, whose sequences are in order of length, into groups of equal length."""
    for group in groups:
        if group.mask is None:
            yield group
            continue
        for length, members in groupby(group.mask.sum(1).tolist()):
            count = len(list(members))
            yield Group(count * length, count, length)
