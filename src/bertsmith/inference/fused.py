"""An encoder for CPUs that computes the same as the ordinary one, only with less in between.

Most of the time goes into matrix products, and little can be done about those. What can be done is to lose nothing around them:

- query, key and value come out of one product, of three times the width;
- the activation and the residual additions overwrite their input, and the widest results of all blocks share one piece of memory. Fresh memory is
  expensive: the operating system hands it out page by page, zeroed, which costs as much as a fifth of the products;
- sequences are attended to in groups of exactly equal length: no mask, and nothing is gathered or scattered. Batches that are cut from sorted
  sequences have few different lengths;
- where only the first token's state is asked for (classification), the last block computes attention and feed-forward for that token alone;
- weights are laid out once for oneDNN, which then need not do it at every product. That is faster for few tokens everywhere, and for many where the
  processor has AVX-512; without AVX-512, many tokens are left to MKL. The price is a second copy of the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
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
from bertsmith.layers.layout import Encoded, Group, Layout


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
    for number, block in enumerate(encoder.blocks):
        if isinstance(block, Block) and (block.norm_first or block.attention.sight != EVERYWHERE):
            return f"block {number} normalises first, or looks at some tokens only"
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
"""Tokens up to which oneDNN with weights laid out beforehand multiplies faster than MKL on AVX2. Measured with two threads at the shapes of MiniLM
and of BERT-base: 33 tokens 102 against 67 and 92 against 80 GFLOP/s, 256 tokens alike; with one thread and 1,024 tokens 76 against 84."""


def most_tokens_for_onednn(dtype: torch.dtype) -> float:
    """Up to how many tokens weights laid out for oneDNN pay on this machine; 0 where they never do."""
    if not torch.backends.mkldnn.is_available():
        return 0
    if torch.backends.cpu.get_cpu_capability() == "AVX512":
        return math.inf
    return FEW if dtype == torch.float32 else 0


class Product:
    """A linear layer with its weight laid out once.

    Args:
        weight: As in `nn.Linear`; kept where `onednn_tokens` is finite.
        bias: As in `nn.Linear`.
        onednn_tokens: Up to how many tokens are multiplied by oneDNN, from a layout of its own.
    """

    def __init__(self, weight: Float[Tensor, "outputs inputs"], bias: Float[Tensor, " outputs"], onednn_tokens: float) -> None:
        self.width = len(bias)
        self.bias = bias
        self.onednn_tokens = onednn_tokens
        self.laid_out = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous()) if onednn_tokens else None  # noqa: SLF001 (there is no public name)
        self.weight = weight.t() if onednn_tokens < math.inf else None

    def __call__(self, states: Float[Tensor, "tokens inputs"], memory: Tensor) -> Float[Tensor, "tokens outputs"]:
        """The product; it may lie in `memory`, which is flat and large enough."""
        tokens = states.shape[0]
        if self.weight is None or tokens <= self.onednn_tokens:
            return torch.ops.mkldnn._linear_pointwise(states, self.laid_out, self.bias, "none", [], "")  # noqa: SLF001
        out = memory[: tokens * self.width].view(tokens, self.width)
        return torch.addmm(self.bias, states, self.weight, out=out)


class FusedBlock:
    """One block of an encoder, ready to compute and for nothing else.

    Args:
        block: Whose weights to take.
        dtype: What to compute in.
        onednn_tokens: See `Product`.
    """

    def __init__(self, block: Block, dtype: torch.dtype, *, onednn_tokens: float) -> None:
        attention, feed_forward = block.attention, block.feed_forward
        self.heads = attention.heads
        self.query_key_value = product([attention.query, attention.key, attention.value], dtype, onednn_tokens)
        self.output = product([attention.output], dtype, onednn_tokens)
        self.widen = product([feed_forward.widen], dtype, onednn_tokens)
        self.narrow = product([feed_forward.narrow], dtype, onednn_tokens)
        self.activation = activation(feed_forward.activation_name)
        self.attention_norm = norm(block.attention_norm, dtype)
        self.feed_forward_norm = norm(block.feed_forward_norm, dtype)
        self.width = max(self.query_key_value.width, self.widen.width)

    def __call__(
        self, states: Float[Tensor, "tokens hidden"], layout: Layout, wide: Tensor, narrow: Tensor, *, only_first: bool
    ) -> Float[Tensor, "rows hidden"]:
        """Packed states in, packed states out.

        Args:
            states: One row a token.
            layout: Groups without masks.
            wide: Memory for `tokens * width` numbers.
            narrow: Memory for as many numbers as `states` has.
            only_first: Return the states of the first tokens alone, in the order of the batch.
        """
        query, key, value = self.query_key_value(states, wide).view(states.shape[0], 3, self.heads, -1).unbind(1)
        attended = attend(query, key, value, layout)
        if only_first:
            attended, states = attended[layout.firsts], states[layout.firsts]
        states = self.attention_norm(self.output(attended, narrow).add_(states))
        return self.feed_forward_norm(self.narrow(self.activation(self.widen(states, wide)), narrow).add_(states))


class FusedEncoder(Encoder):
    """Computes the same as the encoder it is made from; for inference on a CPU. Weights that change afterwards need a new one.

    Args:
        encoder: One without an `obstacle`.
        dtype: What the blocks compute in. The states that come out are float32 in any case.
        onednn_tokens: Up to how many tokens oneDNN multiplies, from weights laid out beforehand; by default as many as it pays for.
    """

    def __init__(self, encoder: Encoder, dtype: torch.dtype = torch.float32, *, onednn_tokens: float | None = None) -> None:
        super().__init__(encoder.embeddings, [block for block in encoder.blocks if isinstance(block, Block)], encoder.layers)
        self.dtype = dtype
        self.onednn_tokens = most_tokens_for_onednn(dtype) if onednn_tokens is None else onednn_tokens
        self.only_first = False
        with torch.no_grad():
            self._fused = [FusedBlock(block, dtype, onednn_tokens=self.onednn_tokens) for block in encoder.blocks if isinstance(block, Block)]

    @property
    def multiplied_by(self) -> str:
        """Which libraries multiply, in words."""
        if self.onednn_tokens in (0, math.inf):
            return "products by oneDNN" if self.onednn_tokens else "products by torch's own choice"
        return f"products of up to {self.onednn_tokens:.0f} tokens by oneDNN, larger ones by torch's own choice"

    def for_first_token(self) -> FusedEncoder:
        """The same encoder, the same weights; what it returns holds the first token of every sequence and no other."""
        other = copy(self)
        other.only_first = True
        return other

    def forward(self, batch: Batch, token_embeddings: Float[Tensor, "batch length width"] | None = None) -> Encoded:
        """The last block's states; see `Encoder.forward`. Call it inside `torch.inference_mode()`."""
        layout = self.embeddings.layout(batch)
        layout = replace(layout, groups=tuple(_without_masks(layout.groups)))
        states = self.embeddings(batch, layout, token_embeddings).to(self.dtype)
        wide, narrow = states.new_empty(len(states) * max(block.width for block in self._fused)), torch.empty_like(states).flatten()
        for layer, block in enumerate(self.stack(self._fused), 1):
            states = block(states, layout, wide, narrow, only_first=self.only_first and layer == self.layers)
        return Encoded(states.float(), _one_each(layout) if self.only_first else layout)


def product(linears: Sequence[nn.Linear], dtype: torch.dtype, onednn_tokens: float) -> Product:
    """Several linear layers with the same input as one; see `Product`."""
    weights = [linear.weight.detach() for linear in linears]
    weight = weights[0] if len(weights) == 1 else torch.cat(weights)
    return Product(weight.to(dtype), torch.cat([linear.bias.detach() for linear in linears]).to(dtype), onednn_tokens)


def norm(layer: nn.LayerNorm, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """A layer norm in `dtype`."""
    weight, bias = layer.weight.detach().to(dtype), layer.bias.detach().to(dtype)
    return lambda states: torch.layer_norm(states, layer.normalized_shape, weight, bias, layer.eps)


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """An activation function, in place where there is such a one."""
    return IN_PLACE.get(name, ACTIVATIONS[name])


def _without_masks(groups: Iterable[Group]) -> Iterator[Group]:
    """Cut groups of like length, whose sequences are in order of length, into groups of equal length."""
    for group in groups:
        if group.mask is None:
            yield group
            continue
        for length, members in groupby(group.mask.sum(1).tolist()):
            count = len(list(members))
            yield Group(count * length, count, length)


def _one_each(layout: Layout) -> Layout:
    """The layout of what is left when every sequence has kept its first token."""
    return Layout(layout.batch, 1, None, torch.arange(layout.batch), (Group(layout.batch, layout.batch, 1),))
