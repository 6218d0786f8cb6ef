"""What a report is made from: plain data, as a finished run leaves it.

::

    OUT/result.json            what every stage was: metrics, data, times, versions, machine
        recipe.toml            the resolved recipe
        metrics.jsonl          a line a step, a line an evaluation, each with its stage
        comparison.json        optional: several stages held against one another
        stages/NAME/predictions.jsonl   where it has test data: what the model said of each example, and what it should have said (`gold`)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from bertsmith.core.errors import RecipeError

Record = Mapping[str, Any]
"""A JSON object."""

PREDICTIONS = "predictions.jsonl"
COMPARISON = "comparison.json"


@dataclass(frozen=True, slots=True)
class StageRecord:
    """One stage.

    Attributes:
        values: Its part of `result.json`.
        lines: Its lines of `metrics.jsonl`.
        predictions: Of its test data, one an example: what `bertsmith predict` writes, and `gold`.
        parts: Of a stage with parts: each of them, told as a stage. Their values have besides, as `within`, the stage, its number of parts, and the
            `steps` and `epochs` of the part.
    """

    values: Record
    lines: Sequence[Record] = ()
    predictions: Sequence[Record] = ()
    parts: Sequence[StageRecord] = ()

    @property
    def name(self) -> str:
        """Of the stage."""
        return str(self.values["name"])


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run.

    Attributes:
        title: What the page is called.
        finished: When it ended.
        stages: In order.
        recipe: The resolved recipe, TOML.
        command: How to run it again.
        notes: What the user was told that belongs to no stage.
        comparison: Stages held against one another; empty if there is nothing to compare.
    """

    title: str
    finished: datetime
    stages: Sequence[StageRecord]
    recipe: str = ""
    command: str = ""
    notes: Sequence[str] = ()
    comparison: Record = field(default_factory=dict[str, Any])

    @property
    def singly(self) -> list[StageRecord]:
        """What was trained for one thing each: the parts of a stage in the place of the stage."""
        return [one for stage in self.stages for one in stage.parts or (stage,)]


def read_run(folder: Path) -> Run:
    """Read the folder of a finished run.

    Raises:
        RecipeError: It is not one, or its files cannot be read.
    """
    file = folder / "result.json"
    if not file.is_file():
        raise RecipeError(f"{folder} has no result.json, so there is nothing to report: a run writes it when all its stages are done")
    try:
        result: Record = json.loads(file.read_text(encoding="utf-8"))
        lines = list(_lines(folder / "metrics.jsonl"))
        stages = [_stage(folder, values, lines) for values in result["stages"]]
        comparison = _object(folder / COMPARISON)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecipeError(f"the report of {folder} cannot be made: {type(error).__name__}: {error}; run it again, or in a new folder") from error
    return Run(
        title=str(comparison.get("title") or folder.resolve().name),
        finished=datetime.fromtimestamp(file.stat().st_mtime).astimezone(),
        stages=stages,
        recipe=(folder / "recipe.toml").read_text(encoding="utf-8") if (folder / "recipe.toml").is_file() else "",
        command=str(comparison.get("command") or f"bertsmith run {folder / 'recipe.toml'} --out {folder}-again"),
        notes=[str(note) for note in result.get("notes", ())],
        comparison=comparison,
    )


def _stage(folder: Path, values: Record, lines: Sequence[Record]) -> StageRecord:
    place, own = folder / "stages" / str(values["name"]), [line for line in lines if line["stage"] == values["name"]]
    parts = [_part(place, values, name, own) for name in values.get("parts", ())]
    return StageRecord(values, own, list(_lines(place / PREDICTIONS)), parts)


def _part(place: Path, values: Record, name: str, lines: Sequence[Record]) -> StageRecord:
    part, metrics = values["parts"][name], {split: _named(metrics, f"{name}.") for split, metrics in values["metrics"].items()}
    told = {
        "name": f"{values['name']} · {name}",
        "metrics": {split: found for split, found in metrics.items() if found},
        "data": _named(values["data"], f"{name}/"),
        "within": {"stage": values["name"], "parts": len(values["parts"]), "steps": part["steps"], "epochs": part["epochs"]},
        **{key: part[key] for key in ("objective", "is_task", "kept_step")},
    }
    trained = [line for line in lines if line.get("part") == name]
    valid = [{**line, "valid": found} for line in lines if "valid" in line and (found := _named(line["valid"], f"{name}."))]
    return StageRecord({**values, **told}, [*trained, *valid], list(_lines(place / "parts" / name / PREDICTIONS)))


def _named(values: Record, beginning: str) -> Record:
    """Those whose names begin with something, without it."""
    return {name.removeprefix(beginning): value for name, value in values.items() if name.startswith(beginning)}


def _lines(file: Path) -> Iterator[Record]:
    """The objects of a file of JSON lines; none where there is no file."""
    if file.is_file():
        yield from (json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line.strip())


def _object(file: Path) -> Record:
    return cast("Record", json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}
