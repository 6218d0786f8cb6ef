"""Cross-entropy over a vocabulary, in the memory of the scores.

Scores over a vocabulary are the largest thing that pre-training has in memory: a few hundred hidden tokens times twenty thousand numbers. PyTorch's
cross-entropy makes three more of that size (logarithms of probabilities, their gradient, the gradient of the scores). Here the gradient takes the
place of the scores themselves: the same numbers in a third of the time.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable


def summed_cross_entropy(scores: Float[Tensor, "tokens vocabulary"], labels: Int[Tensor, " tokens"]) -> Float[Tensor, ""]:
    """The sum over tokens of how surprising the right one is, in nats.

    The same as `F.cross_entropy(scores, labels, reduction="sum")`, without labels that are left out.

    Args:
        scores: Overwritten; nobody else may need them afterwards.
        labels: The right ones.

    Example:
        >>> round(summed_cross_entropy(torch.tensor([[0.0, 0.0], [0.0, 50.0]]), torch.tensor([1, 1])).item(), 4)  # log 2 and nothing
        0.6931
    """
    return _SummedCrossEntropy.apply(scores, labels)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


class _SummedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, labels: Tensor) -> Tensor:
        powers = scores.sub_(scores.amax(1, keepdim=True)) if scores.numel() else scores
        right = powers.gather(1, labels.unsqueeze(1))
        sums = powers.exp_().sum(1, keepdim=True)
        ctx.save_for_backward(powers, sums, labels)
        return (sums.log() - right).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        """Probabilities, less 1 at the right token."""
        powers, sums, labels = ctx.saved_tensors
        gradient = powers.mul_(upstream / sums)
        gradient.scatter_add_(1, labels.unsqueeze(1), -upstream.expand(len(labels), 1))
        return gradient, None
