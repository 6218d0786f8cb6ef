"""Rotary positions: queries and keys are turned, the further the later they stand, so that their product tells how far apart they are.

Nothing is learned, and nothing is added to the states. Column `i` of the first half of a head and column `i` of the second are a point in a plane,
turned by `place / theta ** (2 i / size)`. So do GPT-NeoX and `transformers`; the paper pairs neighbouring columns.

Reference: Su et al. 2021, "RoFormer", section 3.2.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

Waves = tuple[Float[Tensor, "... 1 half"], Float[Tensor, "... 1 half"]]
"""Cosines and sines of the angles of some places, the same for every head."""


@dataclass(frozen=True, slots=True)
class Rotary:
    """How fast the columns of a head turn.

    Attributes:
        theta: The slowest turn nearly so many times more slowly than the first, which turns by 1 (about 57°) a place. Larger for longer texts.
    """

    theta: float

    def waves(self, places: Int[Tensor, " *places"], size: int) -> Waves:
        """Of tokens at these places, for heads of `size` columns; float32, because bfloat16 cannot count far.

        Example:
            >>> cosines, _ = Rotary(10000.0).waves(torch.tensor([0, 1]), 4)
            >>> [[round(cosine, 3) for cosine in row] for row in cosines.squeeze(1).tolist()]
            [[1.0, 1.0], [0.54, 1.0]]
        """
        speeds = 1.0 / self.theta ** (torch.arange(0, size, 2, dtype=torch.float32, device=places.device) / size)
        angles = (places.unsqueeze(-1).float() * speeds).unsqueeze(-2)
        return angles.cos(), angles.sin()


def turned(states: Float[Tensor, "*places heads size"], waves: Waves) -> Float[Tensor, "*places heads size"]:
    """Queries or keys, turned; computed in float32, returned as they came."""
    cosines, sines = waves
    first, second = states.float().chunk(2, dim=-1)
    return torch.cat([first * cosines - second * sines, second * cosines + first * sines], dim=-1).to(states.dtype)
