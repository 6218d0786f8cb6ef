"""Lower learning rates for lower layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bertsmith.models.family import Model
from bertsmith.tuning.base import ParameterGroup, Tuning, decayed_and_not, tunings


@tunings.register("layer_decay")
@dataclass(frozen=True, kw_only=True)
class LayerDecay(Tuning):
    """Train every weight, the lower the layer the more slowly: each block learns `decay` times as fast as the one above it.

    Use when:
        Labels are few: lower layers hold what is common to all texts, and change least. 0.95 is mild; ELECTRA uses 0.8 (base) and 0.9 (large).

    Reference:
        Sun et al. 2019, "How to Fine-Tune BERT for Text Classification", section 5.3.3; Clark et al. 2020 (ELECTRA), appendix.

    Args:
        decay: Learning rate of a block as a share of that of the block above it, above 0 to 1. Heads have the full rate, the top block `decay` of it,
            the embeddings the least.

    Example:
        >>> LayerDecay(decay=0.9).decay
        0.9
    """

    name: ClassVar = "layer_decay"

    decay: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.decay <= 1:
            raise ValueError(f"decay is {self.decay}; it must be greater than 0 and at most 1")

    def parameter_groups(self, model: Model, learning_rate: float, weight_decay: float) -> list[ParameterGroup]:
        """A pair of groups (decayed or not) for the heads, for every block and for the embeddings."""
        parts = [model.heads, *reversed(model.backbone.levels())]
        groups: list[ParameterGroup] = []
        for depth, part in enumerate(parts):
            groups += decayed_and_not(part.named_parameters(), learning_rate * self.decay**depth, weight_decay)
        return groups
