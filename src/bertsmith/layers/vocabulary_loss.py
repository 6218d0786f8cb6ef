"""Cross-entropy over a vocabulary without ever holding all of its scores.

Scores over a vocabulary are the largest thing in memory while a model learns to write or to fill gaps: hundreds of tokens times tens of thousands
of numbers, and PyTorch's cross-entropy makes three more of that size. Here some tokens at a time go all the way, from their states to the loss and to
the gradients of states and weights, in a piece of memory of a fixed size. The numbers are the same.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

AT_A_TIME = 2**23
"""Scores that are computed at a time: 32 MB."""


def vocabulary_loss(
    states: Float[Tensor, "tokens width"],
    weight: Float[Tensor, "vocabulary width"],
    bias: Float[Tensor, " vocabulary"],
    labels: Int[Tensor, " tokens"],
    smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """The sum over tokens of how surprising the right one is, in nats.

    The same as `F.cross_entropy(F.linear(states, weight, bias), labels, reduction="sum", label_smoothing=smoothing)` where no label is left out.

    Args:
        states: Of the tokens that are foretold.
        weight: What they are held against, a row for every token of the vocabulary.
        bias: Of every token of the vocabulary.
        labels: The right ones.
        smoothing: Share of the right token that is spread over the whole vocabulary, 0-1.

    Example:
        >>> states, weight = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [50.0]])
        >>> round(vocabulary_loss(states, weight, torch.zeros(2), torch.tensor([1, 1])).item(), 4)  # log 2, and nothing
        0.6931
    """
    if not torch.is_grad_enabled():
        return _accumulated(states, weight, bias, labels, smoothing, _Gradients(None, None, None))
    return _VocabularyLoss.apply(states, weight, bias, labels, smoothing)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


class _Gradients(NamedTuple):
    """Of the loss; those that nobody wants are None."""

    states: Tensor | None
    weight: Tensor | None
    bias: Tensor | None


class _VocabularyLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        inputs = (states, weight, bias)
        found = _Gradients(*(torch.zeros_like(one) if wanted else None for one, wanted in zip(inputs, ctx.needs_input_grad, strict=False)))
        loss = _accumulated(states, weight, bias, labels, smoothing, found)
        ctx.save_for_backward(*found)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride] (its own form)
        """What `forward` found, times what comes from above; in place, so that a second time is refused by PyTorch."""
        [upstream] = grad_outputs
        return *(None if gradient is None else gradient.mul_(upstream) for gradient in ctx.saved_tensors), None, None


def _accumulated(states: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, smoothing: float, found: _Gradients) -> Tensor:
    """The loss; gradients that are wanted are added to what has been `found`. Products are in the precision that autocast asks for."""
    device = states.device.type
    precision = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else states.dtype
    total, begin = torch.zeros((), dtype=torch.float32, device=states.device), 0
    with torch.autocast(device, enabled=False):
        matrix, offsets = weight.to(precision), bias.to(precision)
        for part, right in zip(*(one.split(max(1, AT_A_TIME // len(weight))) for one in (states.to(precision), labels.unsqueeze(1))), strict=True):
            scores = F.linear(part, matrix, offsets).float()
            total += _surprise(scores, right, smoothing)
            if any(gradient is not None for gradient in found):
                _add(scores.to(precision), part, matrix, begin, found)
            begin += len(part)
    return total


def _surprise(scores: Tensor, right: Tensor, smoothing: float) -> Tensor:
    """The loss of some tokens; their scores become its gradient: probabilities, less what should have been."""
    powers = scores.sub_(scores.amax(1, keepdim=True))
    wanted = powers.gather(1, right)
    if smoothing:
        wanted = (1 - smoothing) * wanted + smoothing * powers.mean(1, keepdim=True)
    sums = powers.exp_().sum(1, keepdim=True)
    powers.div_(sums).scatter_add_(1, right, torch.full_like(wanted, smoothing - 1))
    if smoothing:
        powers.sub_(smoothing / scores.shape[1])
    return (sums.log() - wanted).sum()


def _add(gradient: Tensor, part: Tensor, matrix: Tensor, begin: int, found: _Gradients) -> None:
    if found.states is not None:
        found.states[begin : begin + len(part)] = gradient @ matrix
    if found.weight is not None and found.weight.dtype == part.dtype:
        found.weight.addmm_(gradient.t(), part)
    elif found.weight is not None:
        found.weight.add_(gradient.t() @ part)
    if found.bias is not None:
        found.bias.add_(gradient.sum(0))
