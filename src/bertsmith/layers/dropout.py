"""Dropout at the speed of memory.

On a CPU PyTorch draws a number of its own for every value, one after the other, which shows in the time of an update. Here 64 random bits serve four
values: a value is kept where its 16 bits, as a number, are not below the rate.

Reference: Srivastava et al. 2014, "Dropout: A Simple Way to Prevent Neural Networks from Overfitting".
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 2**16
"""Rates that can be told apart: the share that is dropped is within 1/131,072 of the one that is asked for."""


def dropped_out(values: Float[Tensor, "*places"], rate: float) -> Float[Tensor, "*places"]:
    """The values, each set to zero with a probability of `rate` and scaled by `1 / (1 - rate)` otherwise. Drawn from PyTorch's generator.

    Args:
        values: Of any shape.
        rate: 0-1.

    Example:
        >>> kept = dropped_out(torch.ones(10_000), 0.5)
        >>> kept.unique().tolist(), 0.4 < (kept == 0).float().mean() < 0.6
        ([0.0, 2.0], tensor(True))
    """
    if values.device.type != "cpu" or not 0 < rate < 1:
        return F.dropout(values, rate)
    return values * kept_values(values, rate).mul_(1 / (1 - rate))


def kept_values(like: Float[Tensor, "*places"], rate: float) -> Float[Tensor, "*places"]:
    """1 for every value that is kept and 0 for every one that is dropped. Drawn from PyTorch's generator for CPUs.

    Args:
        like: Values on a CPU, of any shape.
        rate: Share of them to be dropped, above 0 and below 1.
    """
    count = like.numel()
    bits = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)[:count].view(like.shape)
    lowest = min(round(rate * LEVELS) - LEVELS // 2, LEVELS // 2 - 1)
    return torch.ge(bits, lowest, out=torch.empty(like.shape, dtype=like.dtype))


class Dropout(nn.Dropout):
    """`dropped_out` while training, nothing otherwise.

    Args:
        p: Share of values set to zero, 0-1.
    """

    def forward(self, input: Float[Tensor, "*places"]) -> Float[Tensor, "*places"]:  # noqa: A002 (PyTorch's name)
        """Of any shape."""
        return dropped_out(input, self.p) if self.training else input
