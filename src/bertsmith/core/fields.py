"""From a table of a recipe to a frozen dataclass: the constructor is the schema.

Nothing is written twice. The fields of a dataclass say which keys a table may have, which it must have and what their values may be; pydantic judges
the values, strictly (`"3"` is not 3, `1` is not true); the dataclass itself judges the ranges. Whatever is wrong is noted with its place, and the
search goes on.
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from bertsmith.core.errors import UnknownNameError
from bertsmith.core.literals import kind, literal
from bertsmith.core.registry import Registry, nearest

Made = TypeVar("Made")

SHOWN = 80
"""Characters of a wrong value that are shown."""

STRICT = ConfigDict(strict=True, allow_inf_nan=False)

NUMBERS = {"a whole number": "whole numbers", "a number": "numbers", "a string": "strings", "true or false": "truth values"}


@dataclass(frozen=True)
class Place:
    """Somewhere in a recipe, and the list of all that is wrong in it.

    Attributes:
        path: As it is shown: `stage 'match' (stage[2]).train`.
        problems: Shared by all places of a recipe.

    Example:
        >>> problems: list[str] = []
        >>> Place("stage[0]", problems).at("train").at("epochs").wrong("got true; it must be a number")
        >>> problems
        ['stage[0].train.epochs: got true; it must be a number']
    """

    path: str
    problems: list[str]

    def at(self, key: str | int) -> Place:
        """A place within this one: a key of a table, or an item of a list, from 0."""
        if isinstance(key, int):
            return Place(f"{self.path}[{key}]", self.problems)
        return Place(f"{self.path}.{key}" if self.path else key, self.problems)

    def wrong(self, message: str) -> None:
        """Note a mistake."""
        self.problems.append(f"{self.path}: {message}" if self.path else message)


def component(registry: Registry[Any], value: Any, place: Place) -> Any | None:
    """A registered dataclass from `{ name = "lora", rank = 8 }`, or from its name alone.

    Returns:
        It, or None where something is wrong with it; what, is noted.
    """
    table = as_table({"name": value} if isinstance(value, str) else value, place)
    if table is None:
        return None
    name = table.pop("name", None)
    if not isinstance(name, str):
        found = "`name` is missing" if name is None else f"name: got {shown(name)}; it must be a string"
        place.wrong(f"{found}; known {registry.kind} names: {', '.join(registry)}")
        return None
    try:
        made = registry[name]
    except UnknownNameError as error:
        place.at("name").wrong(error.summary)
        return None
    return construct(made, table, place)


def construct(made: type[Made], table: Mapping[str, Any], place: Place, reserved: Collection[str] = ()) -> Made | None:
    """A dataclass from a table whose keys are its fields.

    Args:
        made: The dataclass.
        table: Of TOML values.
        place: Where the table stands.
        reserved: Keys that somebody else reads, for the list of those that are known.

    Returns:
        It, or None where something is wrong with it; what, is noted.
    """
    mistakes = len(place.problems)
    values = accepted(made, table, place, reserved)
    missing = [field.name for field in dataclasses.fields(cast("Any", made)) if _is_required(field) and field.name not in values]
    if missing:
        return None
    written = {name: table[name] if isinstance(value, float) else value for name, value in values.items()}
    try:
        made(**written)  # first as the user wrote it, so that a message says 15 and not 15.0
        thing = made(**values)
    except ValueError as error:
        # A table with mistakes is tried with what is right in it. What is said of a value that is there is one more mistake, the rest guesswork.
        words = re.findall(r"\w+", str(error))
        if mistakes == len(place.problems) or (words and words[0] in values):
            place.wrong(str(error))
        return None
    return thing if mistakes == len(place.problems) else None


def accepted(made: type[Any], table: Mapping[str, Any], place: Place, reserved: Collection[str] = ()) -> dict[str, Any]:
    """The values of a table that the fields of a dataclass accept; everything else, and every field without a value, is noted."""
    fields = {field.name: field for field in dataclasses.fields(made) if field.init}
    hints = get_type_hints(made)
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name not in fields:
            known = [*reserved, *fields]
            place.at(name).wrong(f"unknown key{nearest(name, known)}; known: {', '.join(known) or 'none'}")
            continue
        try:
            values[name] = converted(hints[name], value)
        except ValueError as error:
            place.at(name).wrong(str(error))
    for name, field in fields.items():
        if _is_required(field) and name not in table:
            place.at(name).wrong(f"missing; it must be {described(hints[name])}")
    return values


def converted(hint: Any, value: Any) -> Any:
    """A TOML value as an annotation wants it.

    Raises:
        ValueError: Says what was got and what is allowed.

    Example:
        >>> converted(tuple[str, ...], ["yes", "no"]), converted(float, 3)
        (('yes', 'no'), 3.0)
        >>> converted(Literal["linear", "cosine"], "cosin")
        Traceback (most recent call last):
        ValueError: got "cosin"; it must be "linear" or "cosine" (did you mean 'cosine'?)
    """
    try:
        return _validator(hint)(_frozen(value))
    except ValidationError:
        names = [name for name in _allowed_values(hint) if isinstance(name, str)]
        hint_at_name = nearest(value, names) if isinstance(value, str) else ""
        got = shown(value) if isinstance(value, str | bool) else f"{shown(value)} ({kind(value)})"
        allowed = described(hint)
        if isinstance(value, float) and not math.isfinite(value):
            allowed = allowed.replace("a number", "a finite number")
        raise ValueError(f"got {got}; it must be {allowed}{hint_at_name}") from None


def described(hint: Any) -> str:
    """An annotation in the words of a recipe.

    Example:
        >>> described(int | None), described(str | tuple[str, ...]), described(Mapping[str, int])
        ('a whole number', 'a string or a list of strings', 'a table, each value a whole number')
    """
    plain = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}
    if hint in plain:
        return plain[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        return " or ".join(dict.fromkeys(described(argument) for argument in arguments if argument is not type(None)))
    if origin is Literal:
        return " or ".join(literal(value) for value in arguments)
    if origin is tuple:
        inner = described(arguments[0])
        return f"a list of {NUMBERS.get(inner, inner)}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a table" if not arguments or arguments[1] is Any else f"a table, each value {described(arguments[1])}"
    return str(hint)


def as_table(value: Any, place: Place) -> dict[str, Any] | None:
    """A copy of a table; None, with a note, where it is not one."""
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    place.wrong(f"got {shown(value)} ({kind(value)}); it must be a table")
    return None


def shown(value: Any) -> str:
    """A value as it stands in the recipe, cut short."""
    text = literal(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


@cache
def _validator(hint: Any) -> Callable[[Any], Any]:
    return TypeAdapter(hint, config=STRICT).validate_python


def _frozen(value: Any) -> Any:
    """Lists as tuples: what is in a frozen dataclass does not change."""
    if isinstance(value, Mapping):
        return {name: _frozen(item) for name, item in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_frozen(item) for item in cast("Sequence[Any]", value))
    return value


def _allowed_values(hint: Any) -> list[Any]:
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [value for argument in get_args(hint) for value in _allowed_values(argument)] if get_origin(hint) in {Union, types.UnionType} else []


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.init and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
