"""The state of a training on disk, so that a killed run goes on to the same bits.

A checkpoint is the weights, the optimiser's moments and a few numbers. Nothing random is in it: order, masks and dropout are functions of the seed
and the step. It is written beside the old one and takes its place when it is complete; what a kill leaves half-written is never found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from bertsmith.checkpoint.folder import read_file, read_json, write_json, written_whole
from bertsmith.core.errors import CheckpointError

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
        best_steps: When that was, likewise.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    best_value: float | None = None
    best_step: int = 0
    evaluations_since_best: int = 0
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    best_values: dict[str, float] = field(default_factory=dict[str, float])
    best_steps: dict[str, int] = field(default_factory=dict[str, int])


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

    Raises:
        CheckpointError: It is damaged, or of another model.
    """
    try:
        return _read(folder, model, optimiser)
    except (RuntimeError, TypeError, ValueError) as error:  # weights of other shapes, values of other names, files that cannot be read
        raise CheckpointError(f"a training cannot go on from {folder}: {error}; to begin anew, delete {folder.parent}") from error


def _read(folder: Path, model: nn.Module, optimiser: Optimizer) -> tuple[State, dict[str, Weights]]:
    state = State(**read_json(folder / STATE))
    before, after = BEST.split("{}")
    files = {file.name.removeprefix(before).removesuffix(after): file for file in sorted(folder.glob(BEST.format("*")))}
    best = {name: read_file(file) for name, file in files.items()}
    moments = read_file(folder / OPTIMISER)
    model.load_state_dict(read_file(folder / WEIGHTS))
    _restore(optimiser, moments)
    return state, best


def copied_weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights as they are now."""
    return {name: weight.detach().cpu().clone() for name, weight in model.state_dict().items()}


def _moments(optimiser: Optimizer) -> dict[str, Tensor]:
    """What an optimiser has gathered, as `NUMBER.NAME`, the parameters numbered through all groups."""
    gathered = optimiser.state_dict()["state"].items()
    return {f"{number}.{name}": torch.as_tensor(value).detach().cpu().contiguous() for number, state in gathered for name, value in state.items()}


def _restore(optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    gathered: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        gathered.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": gathered})  # it knows what has to be on the device of a parameter
