"""Train only the upper part of a model."""

from dataclasses import dataclass
from typing import ClassVar

from bertsmith.models.family import Model
from bertsmith.tuning.base import Tuning, tunings


@tunings.register("frozen")
@dataclass(frozen=True, kw_only=True)
class Frozen(Tuning):
    """Keep the embeddings and the lower blocks as they are and train the rest.

    Use when:
        Labels are very few, or memory and time are. What is frozen costs no gradient and no optimiser state.

    Args:
        layers: How many blocks are frozen, from the bottom, an encoder's before its decoder's; -1 for all of them, so that only the heads are
            trained.

    Example:
        >>> Frozen(layers=6).layers
        6
    """

    name: ClassVar = "frozen"

    layers: int = -1

    def __post_init__(self) -> None:
        if self.layers < -1:
            raise ValueError(f"layers is {self.layers}; it must be -1 (all blocks) or at least 0")

    def apply(self, model: Model) -> None:
        """Switch off the gradients of what is frozen.

        Raises:
            ValueError: The model has fewer blocks.
        """
        embeddings, *blocks = model.backbone.levels()
        if self.layers > len(blocks):
            raise ValueError(f"layers is {self.layers}, and the model has {len(blocks)} blocks")
        frozen = len(blocks) if self.layers == -1 else self.layers
        for part in (embeddings, *blocks[:frozen]):
            part.requires_grad_(False)
