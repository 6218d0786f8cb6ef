"""A recipe as TOML, with all defaults written out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from bertsmith.core.literals import key, literal
from bertsmith.core.registry import Registry
from bertsmith.objectives.base import Objective, objectives
from bertsmith.recipe.schema import NewModel, Recipe, Stage
from bertsmith.tasks.base import Task, tasks
from bertsmith.tuning.base import tunings


def to_toml(recipe: Recipe) -> str:
    """The resolved recipe, which parses to the same recipe again.

    Example:
        >>> from bertsmith.recipe.schema import parse
        >>> stage = {"name": "match", "from": "org/model", "task": "pair", "data": {"train": "/data/train.tsv"}}
        >>> print(to_toml(parse({"seed": 2, "stage": [stage]}))[:53])
        seed = 2
        <BLANKLINE>
        [[stage]]
        name = "match"
        from = "org/model"
    """
    return "\n".join([f"seed = {recipe.seed}", *(line for stage in recipe.stages for line in _stage_lines(stage)), ""])


def stage_table(stage: Stage) -> dict[str, Any]:
    """A stage as its table in a recipe; keys without a value are left out."""
    train = _fields(stage.train)
    if stage.train.steps is not None:
        del train["epochs"]
    table = {
        "name": stage.name,
        "from": _start(stage.start),
        "seed": stage.seed,
        **({} if stage.parts else _objective(stage)),
        "tuning": _named(tunings, stage.tuning),
        **({} if stage.parts else {"data": _fields(stage.data)}),
        "train": train,
        **({"mixture": _fields(stage.mixing), "part": [_part_table(part) for part in stage.parts]} if stage.parts else {}),
    }
    return {name: value for name, value in table.items() if value is not None}


def _part_table(part: Stage) -> dict[str, Any]:
    return {"name": part.name, **_objective(part), "data": _fields(part.data)}


def _objective(stage: Stage) -> dict[str, Any]:
    return {"task" if isinstance(stage.objective, Task) else "objective": component_table(stage.objective)}


def component_table(objective: Objective) -> dict[str, Any]:
    """An objective or a task as its table in a recipe."""
    return _named(tasks if isinstance(objective, Task) else objectives, objective)


def _stage_lines(stage: Stage) -> Iterator[str]:
    table = stage_table(stage)
    parts = table.pop("part", [])
    yield from _table_lines("stage", table)
    for part in parts:
        yield from _table_lines("stage.part", part)


def _table_lines(name: str, table: Mapping[str, Any]) -> Iterator[str]:
    """An item of a list of tables, and the tables in it."""
    yield from ("", f"[[{name}]]")
    yield from (f"{key(inner)} = {literal(value)}" for inner, value in table.items() if not isinstance(value, Mapping))
    for inner, value in table.items():
        if isinstance(value, Mapping):
            yield from ("", f"[{name}.{key(inner)}]", *(f"{key(item)} = {literal(given)}" for item, given in value.items()))


def _start(start: str | NewModel) -> str | dict[str, Any]:
    if isinstance(start, str):
        return start
    values = _fields(start)
    return {**{name: value for name, value in values.items() if name != "config"}, **values["config"]}


def _named(registry: Registry[Any], thing: Any) -> dict[str, Any]:
    name = next(name for name, registered in registry.items() if registered is type(thing))
    return {"name": name, **_fields(thing)}


def _fields(thing: Any) -> dict[str, Any]:
    values = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing) if field.init}
    return {name: value for name, value in values.items() if value is not None}
