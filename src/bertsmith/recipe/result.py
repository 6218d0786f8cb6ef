"""What a run was: one value a stage, kept as `result.json`."""

from __future__ import annotations

import dataclasses
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("bertsmith", "torch", "tokenizers", "numpy")


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """One stage, done.

    Attributes:
        name: Of the stage.
        start: What it started from, as in the recipe; "new bert" for a new model.
        objective: The name of its objective or task.
        is_task: Whether it was a task.
        key: The hash of everything that the result depends on.
        seed: Of everything random in it.
        metrics: By split, then by name. "before" is what a pre-trained head, which a task or an objective goes on with, did on the
            validation data before the first step.
        steps: Updates of the weights.
        epochs: How often the training data was seen.
        kept_step: After which step the kept weights stood.
        stopped_early: Whether patience ran out.
        tokens: Tokens that were trained on, padding not counted.
        tokens_per_second: While training, evaluations included.
        seconds: Wall-clock time by phase: encode, train, evaluate, save.
        peak_memory: The most memory that the process had, in MiB.
        num_parameters: Of the model with its heads.
        resumed_at: The step from which it went on after an interruption; 0 if there was none.
        data: By split: files with their hashes, rows, how many were left out or mended, why and where, share of truncated rows.
        notes: Everything that the user was told.
        versions: Of Python and of the packages that matter.
        machine: What it ran on.
        parts: Of a stage with parts, by name: objective or task, the steps that were its own, how often they went through its training data, after
            which step of all its kept weights stood, and its `gains`: what it scored beside each earlier stage that trained it alone.
        cached: Whether it was done by an earlier run.
    """

    name: str
    start: str
    objective: str
    is_task: bool
    key: str
    seed: int
    metrics: dict[str, dict[str, float | None]]
    steps: int
    epochs: float
    kept_step: int
    stopped_early: bool
    tokens: int
    tokens_per_second: float
    seconds: dict[str, float]
    peak_memory: float
    num_parameters: int
    resumed_at: int
    data: dict[str, Any]
    notes: list[str]
    versions: dict[str, str]
    machine: dict[str, Any]
    parts: dict[str, Any] = field(default_factory=dict[str, Any])
    cached: bool = field(default=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StageResult | None:
        """What `to_dict` gave; None where the values are of another release."""
        names = [item.name for item in dataclasses.fields(cls)]
        return cls(**values) if sorted(values) == sorted(names) else None


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A stage before it is run.

    Attributes:
        name: Of the stage.
        action: "cached" (done, nothing to do), "resume" (goes on where it was interrupted) or "run".
        why: In words.
        rows: Examples, or sequences, by split, as far as they are known.
        steps: Updates of the weights; None where only the encoded data tells.
    """

    name: str
    action: str
    why: str
    rows: dict[str, int] = field(default_factory=dict[str, int])
    steps: int | None = None


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A run, or what it would be.

    Attributes:
        folder: Where it is.
        seed: The recipe's.
        stages: Those that are done, in order; empty after a dry run.
        plan: What was to be done about each stage.
        notes: What the user was told that belongs to no stage.
    """

    folder: Path
    seed: int
    stages: tuple[StageResult, ...] = ()
    plan: tuple[Planned, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def model(self) -> Path:
        """The folder of the last stage's model."""
        return self.folder / "model"

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "folder": str(self.folder),
            "seed": self.seed,
            "stages": [stage.to_dict() for stage in self.stages],
            "plan": [dataclasses.asdict(stage) for stage in self.plan],
            "notes": list(self.notes),
        }


def versions() -> dict[str, str]:
    """Releases of Python and of the packages that matter."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def machine(device: torch.device, precision: str, processes: int) -> dict[str, Any]:
    """What the run runs on."""
    return {
        "processor": processor(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "processes": processes,
        "precision": precision,
        "system": platform.platform(),
    }


def processor() -> str:
    """The processor's name, as well as the system tells it."""
    table = Path("/proc/cpuinfo")
    lines = table.read_text(encoding="utf-8", errors="replace").splitlines() if table.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor() or platform.machine())


def peak_memory() -> float:
    """The most memory that this process has had so far, in MiB."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)
