"""Write the reference pages of everything that is registered: a page per thing, an overview per kind.

Run from anywhere: `python docs/generate.py`. What is registered is found, not listed: every `Registry` in the package becomes a folder under
`reference/`, named like the variable that holds it, and mkdocs.yml takes in whatever folders there are. The pages hold directives only; their text is
the docstrings'.
"""

import importlib
import inspect
import pkgutil
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import bertsmith
from bertsmith.core.registry import Registry

REFERENCE = Path(__file__).parent / "reference"

IN_RECIPES = ("objective", "task", "tuning")
"""The kinds that a stage of a recipe chooses under a key of the same name."""


def find_registries() -> dict[str, Registry[Any]]:
    """Every registry of the package, by the name of its variable."""
    names = [module.name for module in pkgutil.walk_packages(bertsmith.__path__, "bertsmith.") if not module.name.endswith("__main__")]
    modules = [importlib.import_module(name) for name in names]
    return {name: value for module in modules for name, value in vars(module).items() if isinstance(value, Registry)}


def write_pages(registries: dict[str, Registry[Any]], folder: Path = REFERENCE) -> None:
    """Replace the folders of pages under `folder` by those of these registries."""
    for old in folder.iterdir():
        if old.is_dir():
            shutil.rmtree(old)
    for title, registry in registries.items():
        pages = folder / title
        pages.mkdir()
        (pages / "index.md").write_text(overview(title, registry), encoding="utf-8")
        for names, thing in by_thing(registry):
            (pages / f"{names[0]}.md").write_text(page(registry.kind, names, thing), encoding="utf-8")


def by_thing(registry: Registry[Any]) -> list[tuple[list[str], Any]]:
    """The things of a registry, each with all of its names."""
    found: dict[int, tuple[list[str], Any]] = {}
    for name, thing in registry.items():
        found.setdefault(id(thing), ([], thing))[0].append(name)
    return list(found.values())


def overview(title: str, registry: Registry[Any]) -> str:
    """The page that lists a kind: what it is, and a line for each thing."""
    package = inspect.getdoc(importlib.import_module(registry.package)) or ""
    rows = [f"| [{code(names)}]({names[0]}.md) | {summary(thing)} |" for names, thing in by_thing(registry)]
    return "\n".join([f"# {title.capitalize()}", "", package, "", "| name | |", "|---|---|", *rows, ""])


def page(kind: str, names: list[str], thing: Any) -> str:
    """The page of one thing."""
    lines = [f"# {names[0]}", ""]
    if len(names) > 1:
        lines += [f"Known as {code(names)}.", ""]
    if kind in IN_RECIPES:
        lines += [f'In a [recipe](../recipe.md): `{kind} = {{ name = "{names[0]}" }}`, with the parameters below as further keys.', ""]
    documented = described(thing)
    return "\n".join([*lines, f"::: {documented.__module__}.{documented.__qualname__}", ""])


def described(thing: Any) -> Any:
    """What has the docstring: the thing itself, or its class where an instance is registered."""
    return thing if hasattr(thing, "__qualname__") else type(thing)


def code(names: Iterable[str]) -> str:
    """Names in code type, separated by commas."""
    return ", ".join(f"`{name}`" for name in names)


def summary(thing: Any) -> str:
    """The first line of its docstring, fit for a cell of a table."""
    return (inspect.getdoc(described(thing)) or "").partition("\n")[0].replace("|", r"\|")


if __name__ == "__main__":
    write_pages(find_registries())
