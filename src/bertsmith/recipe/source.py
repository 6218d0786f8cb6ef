"""The text of a recipe and what the command line changes in it, before anything is judged."""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bertsmith.core.errors import RecipeError
from bertsmith.core.fields import shown
from bertsmith.core.literals import kind
from bertsmith.core.registry import nearest

LARGEST = 2**20
"""Bytes of the longest recipe."""

STEP = re.compile(r"(?P<name>[^.\[\]]+)(?P<place>\[\d+\])?")

NAMED = ("objective", "task", "tuning")
"""Keys that a name may stand under in the place of a table."""


def read_text(file: Path, what: str = "recipe") -> str:
    """The text of a TOML file.

    Args:
        file: Its place.
        what: It is, for messages.

    Raises:
        RecipeError: It is missing, a folder, too large, or not UTF-8.
    """
    if file.is_dir():
        raise RecipeError(f"{file} is a folder; name the {what} in it, a .toml file")
    if not file.is_file():
        near = nearest(file.name, [entry.name for entry in file.parent.iterdir()]) if file.parent.is_dir() else ""
        raise RecipeError(f"there is no {what} {file}{near}")
    if file.stat().st_size > LARGEST:
        raise RecipeError(f"{file} has {file.stat().st_size:,} bytes; a {what} has at most {LARGEST:,}: is it data?")
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{file} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise RecipeError(f"{file} cannot be read: {error.strerror}") from error


def read_toml(text: str, origin: str) -> dict[str, Any]:
    r"""The table that a text of TOML describes.

    Args:
        text: The text.
        origin: Where it is from, for messages.

    Raises:
        RecipeError: It is not TOML; shows the line.

    Example:
        >>> read_toml("seed = 1\nname = match", "a.toml")
        Traceback (most recent call last):
        bertsmith.core.errors.RecipeError: a.toml is not TOML: invalid value
          line 2, column 8: name = match
                                   ^
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason, lines = str(error).partition(" (at ")[0], text.splitlines() or [""]
        place = re.search(r"at line (\d+), column (\d+)", str(error))
        line, column = (int(place[1]), int(place[2])) if place else (len(lines), len(lines[-1]) + 1)
        where = f"line {line}, column {column}: "
        bad = lines[line - 1] if line <= len(lines) else ""
        reason = reason[:1].lower() + reason[1:]
        raise RecipeError(f"{origin} is not TOML: {reason}", [f"{where}{bad}", f"{' ' * (len(where) + column - 1)}^"]) from error


def overridden(table: Mapping[str, Any], overrides: Sequence[str], problems: list[str]) -> dict[str, Any]:
    """A recipe's table with the changes of the command line.

    A path goes through tables by their keys and through stages by name or by place, from 0. A value is TOML; what is not is a string. No value at all
    takes the key away, so that its default counts. Whether a changed key is known is judged later, together with all others.

    Args:
        table: The recipe's.
        overrides: `path=value`, later ones win.
        problems: Gets what is wrong with them.

    Example:
        >>> recipe = {"seed": 1, "stage": [{"name": "match", "train": {"epochs": 20}}]}
        >>> overridden(recipe, ["stage.match.train.epochs=3", "stage[0].tuning=lora", "seed="], [])
        {'stage': [{'name': 'match', 'train': {'epochs': 3}, 'tuning': 'lora'}]}
    """
    changed = copy.deepcopy(dict(table))
    for override in overrides:
        path, equals, value = override.partition("=")
        try:
            if not equals:
                raise ValueError("expected path=value")
            _set(changed, _steps(path.strip()), value.strip())
        except ValueError as error:
            problems.append(f"--set {override}: {error}")
    return changed


def _steps(path: str) -> list[str]:
    """Keys and places: `stage[2].train.epochs` is stage, 2, train, epochs."""
    steps: list[str] = []
    for part in path.split("."):
        match = STEP.fullmatch(part)
        if match is None:
            raise ValueError(f"{path!r} is not a path such as seed, stage.NAME.train.epochs or stage[0].train.epochs")
        steps += [match["name"], *([match["place"][1:-1]] if match["place"] else [])]
    return steps


def _set(table: dict[str, Any], steps: Sequence[str], value: str) -> None:
    here: Any = table
    for done, step in enumerate(steps[:-1], start=1):
        here = _item(here, step) if isinstance(here, list) else _under(here, step)
        if not isinstance(here, dict | list):
            raise ValueError(f"{'.'.join(steps[:done])} is {shown(here)} ({kind(here)}), which has nothing in it to set")  # noqa: TRY004 - the user's value
    if isinstance(here, list):
        raise ValueError(f"{'.'.join(steps)} is a whole stage; name a key in it")  # noqa: TRY004 - likewise
    if value:
        here[steps[-1]] = _value(value)
    else:
        here.pop(steps[-1], None)


def _under(table: dict[str, Any], key: str) -> Any:
    """What stands under a key; of a mere name, the table that it stands for."""
    if key in NAMED and isinstance(table.get(key), str):
        table[key] = {"name": table[key]}
    return table.setdefault(key, {})


def _item(stages: list[Any], step: str) -> Any:
    """A stage by its name or its place."""
    names = [str(stage.get("name")) if isinstance(stage, Mapping) else "" for stage in stages]
    if step in names:
        return stages[names.index(step)]
    if step.isdecimal() and int(step) < len(stages):
        return stages[int(step)]
    there = ", ".join(f"{name} ({place})" for place, name in enumerate(names)) or "none"
    raise ValueError(f"there is no stage {step}{nearest(step, names)}; stages: {there}")


def _value(text: str) -> Any:
    try:
        read = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return read["value"] if read.keys() == {"value"} else text
