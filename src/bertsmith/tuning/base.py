"""What a tuning technique is: something that edits a built model before training, groups its parameters, and tidies up afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from bertsmith.core.registry import Registry
from bertsmith.models.family import Model

tunings: Registry[type[Tuning]] = Registry("tuning", "bertsmith.tuning")
"""Tuning techniques by name."""

ParameterGroup = dict[str, Any]
"""Parameters with a learning rate and a weight decay of their own, as `torch.optim` takes them."""


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """The base of all techniques; what a technique does not change, it inherits."""

    name: ClassVar[str]

    def apply(self, model: Model) -> None:
        """Edit the model before training: freeze, replace, add."""

    def parameter_groups(self, model: Model, learning_rate: float, weight_decay: float) -> list[ParameterGroup]:
        """The parameters to train. Biases and norms are not decayed, as in the official BERT."""
        return decayed_and_not(model.named_parameters(), learning_rate, weight_decay)

    def finish(self, model: Model, folder: Path, base: str) -> None:
        """Leave an ordinary model behind after training.

        Args:
            model: The trained model.
            folder: Where what belongs to the technique alone may be written (an adapter).
            base: The name of the model that training started from.
        """


def nothing_left(tuning: Tuning, model: Model) -> str:
    """Why there is nothing to train in a model that a technique has edited; empty where there is something."""
    if any(parameter.requires_grad for parameter in model.parameters()):
        return ""
    heads = "its heads as well" if model.heads else "there is no head on it"
    return f"{tuning.name!r} lets the whole encoder rest, and {heads}: nothing is left to train; let less rest, or take another technique"


def decayed_and_not(parameters: Iterable[tuple[str, nn.Parameter]], learning_rate: float, weight_decay: float) -> list[ParameterGroup]:
    """Two groups of the trainable parameters: matrices, which are decayed, and vectors (biases, norms), which are not."""
    trainable = [parameter for _, parameter in parameters if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trainable if parameter.ndim > 1], "lr": learning_rate, "weight_decay": weight_decay},
        {"params": [parameter for parameter in trainable if parameter.ndim <= 1], "lr": learning_rate, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
