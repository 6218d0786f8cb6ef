"""What is registered, with a line each, or all about one of them."""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, get_type_hints

import typer

from bertsmith.cli.output import emit
from bertsmith.core.fields import described
from bertsmith.core.literals import literal
from bertsmith.core.registry import Registry


def first_line(thing: Any) -> str:
    """What a registered thing says about itself in one line."""
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def rows_of(registry: Registry[Any]) -> dict[str, str]:
    """Name to first line, for everything that is registered."""
    return {name: first_line(thing) for name, thing in registry.items()}


def options_of(thing: Any) -> list[dict[str, str]]:
    """The fields of a registered dataclass as one writes them in a recipe: name, type, default."""
    hints = get_type_hints(thing)
    return [
        {"name": field.name, "type": described(hints[field.name]), "default": "" if (value := _default(field)) is None else literal(value)}
        for field in dataclasses.fields(thing)
        if field.init
    ]


def print_table(rows: Mapping[str, str]) -> None:
    """Names and lines, aligned, on standard output."""
    width = max(map(len, rows), default=0)
    for name, line in rows.items():
        typer.echo(f"{name:<{width}}  {line}")


def show(registry: Registry[Any], name: str | None, *, as_json: bool) -> None:
    """List a registry, or show all about one thing in it."""
    if name is None:
        emit(rows_of(registry)) if as_json else print_table(rows_of(registry))
        return
    thing = registry[name]
    if as_json:
        emit({"name": name, "description": inspect.getdoc(thing), "options": options_of(thing)})
        return
    typer.echo(f"{registry.kind} {name}\n\n{inspect.getdoc(thing)}\n")
    typer.echo(f'In a recipe: {registry.kind} = {{ name = "{name}" }}, with these keys:\n')
    print_table({option["name"]: _line(option) for option in options_of(thing)})


def _line(option: dict[str, str]) -> str:
    default = f" (default {option['default']})" if option["default"] else ""
    return f"{option['type']}{default}"


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default
