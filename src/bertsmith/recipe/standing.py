"""What is in a run's folder already, and what that means for the recipe at hand.

::

    OUT/recipe.toml  result.json  metrics.jsonl  model/  cache/
    OUT/stages/NAME/recipe.toml   the stage, resolved
                    inputs.json   everything that its result depends on; their hash is its key
                    metrics.jsonl checkpoint/ (while it runs)  model/  adapter/
                    predictions.jsonl   what was said of every test example
                    result.json   written last: where it is, the stage is done

A stage whose key is that of its result is not run again. A checkpoint is hours of somebody's machine: it is gone on from or left alone, and never
deleted to make room for something else.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from bertsmith.checkpoint.folder import file_in_the_way, put_in_order, whole
from bertsmith.core.errors import RecipeError
from bertsmith.core.fields import shown
from bertsmith.recipe.files import digest, read_json, write_json, write_text
from bertsmith.recipe.predictions import PREDICTIONS
from bertsmith.recipe.result import StageResult
from bertsmith.recipe.schema import Recipe, Stage
from bertsmith.recipe.writing import stage_table, to_toml

STAGES = "stages"
SPLITS = ("train", "valid", "test")
HASHED = ("data", "from")
"""Parts of the inputs of which a person need not see the values."""


@dataclass(frozen=True)
class Standing:
    """What is to be done about a stage.

    Attributes:
        action: "cached", "resume", "run", or "blocked".
        why: In words.
        result: What an earlier run found, if the stage is cached.
    """

    action: str
    why: str
    result: StageResult | None = None


@dataclass(frozen=True)
class StageFolder:
    """The folder of one stage.

    Attributes:
        path: Where it is.
    """

    path: Path

    @property
    def model(self) -> Path:
        """The folder of its model."""
        return self.path / "model"

    @property
    def checkpoint(self) -> Path:
        """The folder of its state while it runs."""
        return self.path / "checkpoint"

    def standing(self, inputs: Mapping[str, Any], *, resume: bool) -> Standing:
        """What is to be done about a stage with these inputs."""
        key, result, before = digest(inputs), self._result(), read_json(self.path / "inputs.json")
        if result is not None and result.key == key and (whole(self.model) / "config.json").is_file():
            return Standing("cached", "already done with the same inputs", result)
        changes = "" if before is None else "; ".join(differences(before, inputs))
        state = read_json(whole(self.checkpoint) / "state.json") if result is None else None
        if state is not None:
            return self._interrupted(f"was interrupted at step {state.get('step', 0)}", changes, resume=resume)
        return Standing("run", f"changed: {changes}" if changes else "not done yet")

    def recover(self) -> None:
        """Put back what a killed run was about to replace, and remove what it was writing."""
        put_in_order(self.model)
        put_in_order(self.checkpoint)

    def begin(self, stage: Stage, seed: int, inputs: Mapping[str, Any]) -> None:
        """Make the folder ready for a stage that begins: what an earlier, different one has left goes."""
        for name in ("result.json", "metrics.jsonl", PREDICTIONS):
            (self.path / name).unlink(missing_ok=True)
        for name in ("model", "adapter", "checkpoint", "parts"):
            if (self.path / name).exists():
                shutil.rmtree(self.path / name)
        self.path.mkdir(parents=True, exist_ok=True)
        alone = stage if stage.earlier is None else replace(stage, start=f"../{stage.earlier}/model")
        write_text(self.path / "recipe.toml", to_toml(Recipe(seed=seed, stages=(alone,))))
        write_json(self.path / "inputs.json", inputs)

    def finish(self, result: StageResult) -> None:
        """Mark the stage as done."""
        write_json(self.path / "result.json", result.to_dict())
        shutil.rmtree(self.checkpoint, ignore_errors=True)

    def _result(self) -> StageResult | None:
        values = read_json(self.path / "result.json")
        return None if values is None else StageResult.from_dict(values)

    def _interrupted(self, what: str, changes: str, *, resume: bool) -> Standing:
        if changes:
            return Standing(
                "blocked", f"{what}, and has changed since ({changes}): undo that and go on with --resume, or delete {self.path} to begin anew"
            )
        if resume:
            return Standing("resume", what)
        return Standing("blocked", f"{what}: go on with --resume, or delete {self.path} to begin anew")


def inputs_of(stage: Stage, seed: int, start: str, files: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Everything that a stage's result depends on.

    Args:
        stage: The stage. Its name and the places of its files do not matter.
        seed: That it is run with.
        start: The hash of the model that it starts from, or the key of the stage.
        files: By split, the hashes of the data files.
    """
    table = stage_table(stage)
    kept = {name: value for name, value in table.items() if name in {"objective", "task", "tuning", "train", "mixture"}}
    parts = {part["name"]: {**part, "data": _reading(part["data"])} for part in table.get("part", ())}
    reading = parts or _reading(table["data"])
    data = {split: list(hashes.values()) for split, hashes in files.items()}
    # Through JSON and back, a tuple is a list: what is compared with a file has to look like one.
    return {**_as_json(kept), "reading": _as_json(reading), "data": data, "from": start, "seed": seed, "bertsmith": version("bertsmith")}


def _reading(data: Mapping[str, Any]) -> dict[str, Any]:
    """How files are read: all of a data table but the files, and the share that is held out."""
    return {name: value for name, value in data.items() if name not in SPLITS or isinstance(value, float)}


def differences(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """What has changed, by path.

    Example:
        >>> list(differences({"train": {"epochs": 3, "clip": 1}, "from": "1f"}, {"train": {"epochs": 2, "clip": 1}, "from": "2e"}))
        ['train.epochs was 3, is 2', 'from']
    """
    for name in {**before, **now}:
        old, new, here = before.get(name), now.get(name), f"{path}{name}"
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(cast("Mapping[str, Any]", old), cast("Mapping[str, Any]", new), f"{here}.")
        elif old != new:
            yield here if here.startswith(HASHED) else f"{here} was {_said(old)}, is {_said(new)}"


def check_folder(out: Path, names: Sequence[str]) -> None:
    """Whether a run of stages with these names may be in a folder.

    Raises:
        RecipeError: It is a file, holds something else, or the run of another recipe.
    """
    if blocking := file_in_the_way(out):
        raise RecipeError(f"{blocking} is a file; name a folder with --out")
    found = sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) if out.is_dir() else []
    if not found:
        return
    if not (out / "recipe.toml").is_file() or not (out / STAGES).is_dir():
        raise RecipeError(f"{out} is not empty and is not the folder of a run (it holds {_few(found)}); name another one with --out")
    there = sorted(path.name for path in (out / STAGES).iterdir() if path.is_dir())
    if there and not set(there) & set(names):
        raise RecipeError(f"{out} holds the run of another recipe (stages {_few(there)}; this one has {_few(names)}); name another folder with --out")


@contextmanager
def held(out: Path) -> Generator[None]:
    """A run's folder, for one run at a time.

    Raises:
        RecipeError: Another run is working in it, or it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecipeError(f"cannot write {out}: {error.strerror}; name another folder with --out") from error
    with (out / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RecipeError(f"another run is working in {out}; wait for it, or name another folder with --out") from error
        yield


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _said(value: Any) -> str:
    return "not there" if value is None else shown(value)


def _as_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _as_json(item) for name, item in cast("Mapping[Any, Any]", value).items()}
    return [_as_json(item) for item in cast("Sequence[Any]", value)] if isinstance(value, tuple | list) else value
