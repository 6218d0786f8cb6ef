"""The state of a training on disk, so that a killed run goes on to the same bits.

A checkpoint is the weights, the optimiser's moments and a few numbers. Nothing random is in it: order, masks and dropout are functions of the seed
and the step. It is written beside the old one and takes its place when it is complete; what a kill leaves half-written is never found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from bertsmith.checkpoint.folder import read_json, write_json, written_whole

STATE, WEIGHTS, OPTIMISER, BEST = "state.json", "weights.safetensors", "optimiser.safetensors", "best-{}.safetensors"


@dataclass
class State:
    """Where a training stands.

    Attributes:
        step: Updates that were done.
        tokens: Tokens that were seen.
        seconds: Time that was spent on it, over all its parts.
        best_value: The best value of the metric by which weights are kept.
        best_step: When that was.
        evaluations_since_best: For `patience`.
        metrics: Those of the best evaluation.
        best_values: The best value of each part of a mixture, by part.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    best_value: float | None = None
    best_step: int = 0
    evaluations_since_best: int = 0
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    best_values: dict[str, float] = field(default_factory=dict[str, float])


Weights = dict[str, Tensor]


def write_state(folder: Path, state: State, model: nn.Module, optimiser: Optimizer, best: Mapping[str, Weights]) -> None:
    """Write a checkpoint; it replaces the one before it when it is complete.

    Raises:
        CheckpointError: The disk is full or the folder cannot be written; the checkpoint before it stays.
    """
    with written_whole(folder) as draft:
        save_file({name: weight.detach().cpu().contiguous() for name, weight in model.state_dict().items()}, draft / WEIGHTS)
        save_file(_moments(optimiser), draft / OPTIMISER)
        for name, weights in best.items():
            save_file(weights, draft / BEST.format(name))
        write_json(draft / STATE, asdict(state))


def read_state(folder: Path, model: nn.Module, optimiser: Optimizer) -> tuple[State, dict[str, Weights]]:
    """Put a checkpoint back into a model and its optimiser.

    Returns:
        Where the training stood, and the best weights so far, if any were kept: "" of the whole, and those of parts by their names.
    """
    state = State(**read_json(folder / STATE))
    model.load_state_dict(load_file(folder / WEIGHTS))
    _restore(optimiser, load_file(folder / OPTIMISER))
    before, after = BEST.split("{}")
    files = {file.name.removeprefix(before).removesuffix(after): file for file in sorted(folder.glob(BEST.format("*")))}
    return state, {name: load_file(file) for name, file in files.items()}


def copied_weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights as they are now."""
    return {name: weight.detach().cpu().clone() for name, weight in model.state_dict().items()}


def _moments(optimiser: Optimizer) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for number, parameter in enumerate(_parameters(optimiser)):
        for name, value in optimiser.state[parameter].items():
            tensors[f"{number}.{name}"] = torch.as_tensor(value).detach().cpu().contiguous()
    return tensors


def _restore(optimiser: Optimizer, tensors: dict[str, Tensor]) -> None:
    parameters = _parameters(optimiser)
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        parameter: Any = parameters[int(number)]
        optimiser.state[parameter][name] = value if name == "step" else value.to(parameter.device)


def _parameters(optimiser: Optimizer) -> list[Any]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]
