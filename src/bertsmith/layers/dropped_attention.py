"""Attention with dropout on a processor, forwards and backwards in as few passes over memory as it takes.

With dropout, PyTorch's own attention on a CPU goes step by step, and autograd copies queries, keys and values at almost every one of them. Here they
are laid out once, and the two scalings, 1/√size and 1/(1 - rate), go with the matrix products.

Backwards, with S the scores, P their softmax, K which of P are kept, A what is attended and `f' = f/(1 - rate)`::

    forwards    S = q kᵀ/√size     P = softmax(S)     A = (P∘K)' v
    backwards   gv = (P∘K)'ᵀ gA    gP = (gA vᵀ)'∘K    gS = P∘(gP - Σ gP∘P)    gq = gS k/√size    gk = gSᵀ q/√size
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from bertsmith.layers.dropout import kept_values


def weighted_with_dropout(
    query: Float[Tensor, "rows heads queries size"],
    key: Float[Tensor, "rows heads keys size"],
    value: Float[Tensor, "rows heads keys size"],
    mask: Bool[Tensor, "#rows #heads #queries keys"] | None,
    rate: float,
) -> Float[Tensor, "rows heads queries size"]:
    """What `layers.attention.weighted` says of attention over rectangles.

    Args:
        query: As there.
        key: As there.
        value: As there.
        mask: As there.
        rate: Share of attention weights that are set to zero, above 0 and below 1.
    """
    precision = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else query.dtype
    with torch.autocast("cpu", enabled=False):  # all in one precision, backwards too
        attended: Tensor = _WeightedWithDropout.apply(*(part.to(precision) for part in (query, key, value)), mask, rate)
    return attended


class _WeightedWithDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, rate: float) -> Tensor:
        rows, heads, _, size = query.shape
        flat = [part.flatten(0, 1) for part in (query, key, value)]
        scores = _product(flat[0], flat[1].transpose(1, 2), size**-0.5)
        if mask is not None:
            scores.unflatten(0, (rows, heads)).masked_fill_(~mask, float("-inf"))
        shares = scores.softmax(-1)
        kept = kept_values(shares, rate)
        left = shares * kept
        ctx.save_for_backward(*flat, shares, kept, left)
        ctx.rows, ctx.rate = (rows, heads), rate
        return _product(left, flat[2], 1 / (1 - rate)).unflatten(0, (rows, heads))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride] (its own form)
        query, key, value, shares, kept, left = ctx.saved_tensors
        gradient, scale, share = grad_outputs[0].flatten(0, 1), query.shape[-1] ** -0.5, 1 / (1 - ctx.rate)
        of_value = _product(left.transpose(1, 2), gradient, share)
        of_shares = _product(gradient, value.transpose(1, 2), share).mul_(kept)
        of_scores = torch.ops.aten._softmax_backward_data(of_shares, shares, -1, shares.dtype)  # noqa: SLF001 (as autograd calls it: one pass)
        of_query, of_key = _product(of_scores, key, scale), _product(of_scores.transpose(1, 2), query, scale)
        return *(part.unflatten(0, ctx.rows) for part in (of_query, of_key, of_value)), None, None


def _product(left: Tensor, right: Tensor, scale: float) -> Tensor:
    """The products of two stacks of matrices, scaled."""
    return torch.baddbmm(left.new_empty(()), left, right, beta=0, alpha=scale)
