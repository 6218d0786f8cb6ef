"""An encoder for CPUs that computes the same as the ordinary one, only with less in between.

Most of the time goes into matrix products, and little can be done about those. What can be done is to lose nothing around them:

- query, key and value come out of one product, of three times the width;
- the activation and the residual additions overwrite their input, and the widest results of all blocks share one piece of memory. Fresh memory is
  expensive: the operating system hands it out page by page, zeroed, which costs as much as a fifth of the products;
- sequences are attended to in groups of exactly equal length: no mask, and nothing is gathered or scattered. Batches that are cut from sorted
  sequences have few different lengths;
- where only the first token's state is asked for (classification), the last block computes attention and feed-forward for that token alone;
- weights are laid out once: for oneDNN where the processor has AVX-512, because that multiplies faster there; elsewhere transposed for MKL, by which
  short texts one at a time gain. The price is a second copy of the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import copy
from dataclasses import replace
from itertools import groupby

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bertsmith.core.types import Batch
from bertsmith.layers.activations import ACTIVATIONS
from bertsmith.layers.attention import SelfAttention, attend
from bertsmith.layers.encoder import Block, Encoder
from bertsmith.layers.feed_forward import FeedForward
from bertsmith.layers.layout import Encoded, Group, Layout

IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {"gelu": torch.ops.aten.gelu_, "relu": torch.relu_, "tanh": torch.tanh_}


def obstacle(encoder: Encoder) -> str | None:
    """Why an encoder cannot be fused; None if it can.

    Blocks that a tuning technique has edited are not what their class says, and are left alone.
    """
    if encoder.embeddings.token.weight.device.type != "cpu":
        return f"it is on {encoder.embeddings.token.weight.device.type}"
    wanted = {"": Block, "attention": SelfAttention, "feed_forward": FeedForward}
    wanted |= {f"attention.{name}": nn.Linear for name in ("query", "key", "value", "output")}
    wanted |= {f"feed_forward.{name}": nn.Linear for name in ("widen", "narrow")}
    for number, block in enumerate(encoder.blocks):
        for name, kind in wanted.items():
            found = type(block.get_submodule(name))
            if found is not kind:
                place = f"{name} of block {number}" if name else f"block {number}"
                return f"{place} is a {found.__name__}"
    return None


def packing_pays() -> bool:
    """Whether weights laid out for oneDNN beforehand multiply faster than MKL: measured so on AVX-512, and the other way round on AVX2."""
    return torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX512"


class Product:
    """A linear layer with its weight laid out once.

    Args:
        weight: As in `nn.Linear`.
        bias: As in `nn.Linear`.
        packed: Whether to lay the weight out for oneDNN.
    """

    def __init__(self, weight: Float[Tensor, "outputs inputs"], bias: Float[Tensor, " outputs"], packed: bool) -> None:
        self.width = len(bias)
        self.bias = bias
        self.packed = packed
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight) if packed else weight.t().contiguous()  # noqa: SLF001 (there is no public name)

    def __call__(self, states: Float[Tensor, "tokens inputs"], memory: Tensor) -> Float[Tensor, "tokens outputs"]:
        """The product; it may lie in `memory`, which is flat and large enough."""
        if self.packed:
            return torch.ops.mkldnn._linear_pointwise(states, self.weight, self.bias, "none", [], "")  # noqa: SLF001
        tokens = states.shape[0]
        out = memory[: tokens * self.width].view(tokens, self.width)
        return torch.addmm(self.bias, states, self.weight, out=out)


class FusedBlock:
    """One block of an encoder, ready to compute and for nothing else.

    Args:
        block: Whose weights to take.
        dtype: What to compute in.
        packed: Whether to lay weights out for oneDNN.
    """

    def __init__(self, block: Block, dtype: torch.dtype, *, packed: bool) -> None:
        attention, feed_forward = block.attention, block.feed_forward
        self.heads = attention.heads
        self.query_key_value = _product([attention.query, attention.key, attention.value], dtype, packed)
        self.output = _product([attention.output], dtype, packed)
        self.widen = _product([feed_forward.widen], dtype, packed)
        self.narrow = _product([feed_forward.narrow], dtype, packed)
        self.activation = IN_PLACE.get(feed_forward.activation_name, ACTIVATIONS[feed_forward.activation_name])
        self.attention_norm = _norm(block.attention_norm, dtype)
        self.feed_forward_norm = _norm(block.feed_forward_norm, dtype)
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
    """Computes the same as the encoder it is made from; for inference on a CPU.

    Args:
        encoder: One without an `obstacle`.
        dtype: What the blocks compute in. The states that come out are float32 in any case.
        packed: Whether to lay weights out for oneDNN; by default where that pays.
    """

    def __init__(self, encoder: Encoder, dtype: torch.dtype = torch.float32, *, packed: bool | None = None) -> None:
        super().__init__(encoder.embeddings, [block for block in encoder.blocks if isinstance(block, Block)])
        self.dtype = dtype
        self.packed = packing_pays() if packed is None else packed
        self.only_first = False
        with torch.no_grad():
            self._fused = [FusedBlock(block, dtype, packed=self.packed) for block in encoder.blocks if isinstance(block, Block)]

    def for_first_token(self) -> FusedEncoder:
        """The same encoder, the same weights; what it returns holds the first token of every sequence and no other."""
        other = copy(self)
        other.only_first = True
        return other

    def forward(self, batch: Batch, token_embeddings: Float[Tensor, "batch length hidden"] | None = None) -> Encoded:
        """The last block's states; see `Encoder.forward`. Call it inside `torch.inference_mode()`."""
        layout = self._layout(batch)
        layout = replace(layout, groups=tuple(_without_masks(layout.groups)))
        states = self.embeddings(batch, layout, token_embeddings).to(self.dtype)
        wide, narrow = states.new_empty(len(states) * max(block.width for block in self._fused)), torch.empty_like(states).flatten()
        for block in self._fused:
            only_first = self.only_first and block is self._fused[-1]
            states = block(states, layout, wide, narrow, only_first=only_first)
        return Encoded(states.float(), _one_each(layout) if self.only_first else layout)


def _product(linears: list[nn.Linear], dtype: torch.dtype, packed: bool) -> Product:
    """Several layers with the same input as one."""
    weights = [linear.weight.detach() for linear in linears]
    weight = weights[0] if len(weights) == 1 else torch.cat(weights)
    return Product(weight.to(dtype), torch.cat([linear.bias.detach() for linear in linears]).to(dtype), packed)


def _norm(norm: nn.LayerNorm, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    weight, bias = norm.weight.detach().to(dtype), norm.bias.detach().to(dtype)
    return lambda states: torch.layer_norm(states, norm.normalized_shape, weight, bias, norm.eps)


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
