"""Write the pages under `reference/` that are made from the code, so that they cannot say anything else than it.

Run from anywhere: `python docs/generate.py`. Nothing is listed here: every `Registry` in the package becomes a folder, named like the variable that
holds it, with a page a thing; so do the keys of a recipe, the commands and the names that `import bertsmith` gives. mkdocs.yml takes in whatever
folders there are. The text of all of them is that of docstrings and of `--help`.
"""

import dataclasses
import importlib
import inspect
import pkgutil
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_type_hints

import griffe
import typer

import bertsmith
from bertsmith.cli.main import COMMANDS, application
from bertsmith.core.fields import described as in_words
from bertsmith.core.literals import literal
from bertsmith.core.registry import Registry
from bertsmith.recipe.schema import STAGE_KEYS, NewModel, Stage, StageData
from bertsmith.train.mixing import Mixing
from bertsmith.train.options import TrainOptions

REFERENCE = Path(__file__).parent / "reference"

IN_RECIPES = ("objective", "task", "tuning")
"""The kinds that a stage of a recipe chooses under a key of the same name."""

FIELD_OF_KEY = {"from": "start", "task": "objective", "mixture": "mixing", "part": "parts"}
"""Keys of a stage that its dataclass calls otherwise."""

WIDTH = 88
"""Columns of a command's help."""


def main() -> None:
    """Write all of it."""
    write_pages(find_registries())
    for name, pages in (("python", python_pages()), ("commands", command_pages()), ("recipe", recipe_pages())):
        write_folder(REFERENCE / name, pages)


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
        pages = {names[0]: page(registry.kind, names, thing) for names, thing in by_thing(registry)}
        write_folder(folder / title, {"index": overview(title, registry), **pages})


def write_folder(folder: Path, pages: dict[str, str]) -> None:
    """Write pages by their names."""
    folder.mkdir()
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")


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
    return "\n".join([f"# {title.capitalize()}", "", package, "", "| name | what it is |", "|---|---|", *rows, ""])


def page(kind: str, names: list[str], thing: Any) -> str:
    """The page of one thing."""
    lines = [f"# {names[0]}", ""]
    if len(names) > 1:
        lines += [f"Known as {code(names)}.", ""]
    made = described(thing)
    lines += [f"::: {made.__module__}.{made.__qualname__}", "    options:", "      members: false", "      inherited_members: false"]
    if kind in IN_RECIPES:
        lines += ["      show_docstring_parameters: false", "", *recipe_keys(kind, names[0], made)]
    return "\n".join([*lines, ""])


def recipe_keys(kind: str, name: str, made: type[Any]) -> list[str]:
    """How a recipe names something, and all of its keys, those that it inherits too."""
    heading = ["## In a recipe", ""]
    if not dataclasses.fields(made):
        return [*heading, f'`{kind} = "{name}"`; it has no keys of its own.']
    return [*heading, f'`{kind} = "{name}"`, or `{kind} = {{ name = "{name}", … }}` with any of these keys:', "", *keys_of(made)]


def described(thing: Any) -> Any:
    """What has the docstring: the thing itself, or its class where an instance is registered."""
    return thing if hasattr(thing, "__qualname__") else type(thing)


def python_pages() -> dict[str, str]:
    """A page for every name that `import bertsmith` gives, and their list."""
    things = {name: getattr(bertsmith, name) for name in bertsmith.__all__}
    rows = [f"| [`{name}`]({name}.md) | {summary(thing)} |" for name, thing in things.items()]
    index = ["# Python", "", "What `import bertsmith` gives. Everything else is imported from where it is.", "", "| name | what it is |", "|---|---|"]
    pages = {name: f"::: {thing.__module__}.{thing.__qualname__}\n    options:\n      heading_level: 1\n" for name, thing in things.items()}
    return {"index": "\n".join([*index, *rows, ""]), **pages}


def command_pages() -> dict[str, str]:
    """The help of every command, on one page."""
    parts = ["# Commands", "", "What `bertsmith COMMAND --help` says. [Command line](../../guides/command-line.md) shows them at work.", ""]
    for name in COMMANDS:
        parts += [f"## {name}", "", "```text", help_of(name), "```", ""]
    return {"index": "\n".join(parts)}


def help_of(name: str) -> str:
    """What a command's `--help` prints."""
    command = typer.main.get_command(application([name]))
    with command.make_context(f"bertsmith {name}", [], resilient_parsing=True, terminal_width=WIDTH, max_content_width=WIDTH) as context:
        return command.get_help(context)


def recipe_pages() -> dict[str, str]:
    """Every key of a recipe, on one page."""
    stage = documented(Stage)
    rows = [f"| `{key}` | {cell(stage[FIELD_OF_KEY.get(key, key)])} |" for key in STAGE_KEYS]
    choices = [f"[{title}](../{title}/index.md)" for title in ("objectives", "tasks", "tunings")]
    parts = [
        "# Recipe",
        "",
        "Every key of a recipe, with what it takes and what it is if it is left out. [Write a recipe](../../guides/recipe.md) shows them in use.",
        "",
        *["## A stage", "", "| key of `[[stage]]` | what it is |", "|---|---|", *rows, ""],
        f"`objective`, `task` and `tuning` are a name, or a table of a `name` and further keys: see {', '.join(choices)}.",
        "",
        *["## `data`", "", *keys_of(StageData), ""],
        *["## `train`", "", inspect.cleandoc(TrainOptions.__doc__ or "").partition("Args:")[0].partition("\n\n")[2].strip(), ""],
        *[*keys_of(TrainOptions), ""],
        *["## `mixture`", "", *keys_of(Mixing), ""],
        *["## A new model", "", f"{summary(NewModel)}", "", *keys_of(NewModel), ""],
    ]
    return {"index": "\n".join(parts)}


def keys_of(made: type[Any]) -> list[str]:
    """A table of the fields of a dataclass in the words of a recipe; `labels` only where there are some."""
    hints, meaning = get_type_hints(made), documented(made)
    rows = [
        f"| `{field.name}` | {cell(in_words(hints[field.name]))} | {default_of(field)} | {cell(meaning[field.name])} |"
        for field in dataclasses.fields(made)
        if field.name != "labels" or getattr(made, "has_labels", True)
    ]
    return ["| key | takes | default | what it is |", "|---|---|---|---|", *rows]


def default_of(field: dataclasses.Field[Any]) -> str:
    """What counts where a key is left out."""
    if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
        return "must be given"
    value = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return "" if value is None else f"`{literal(value)}`"


def documented(made: type[Any]) -> dict[str, str]:
    """What the docstrings of a dataclass, and of those that it builds on, say of its fields."""
    kinds = {griffe.DocstringSectionKind.parameters, griffe.DocstringSectionKind.attributes}
    texts = [inspect.cleandoc(one.__doc__ or "") for one in reversed(made.__mro__)]
    sections = [section for text in texts for section in griffe.Docstring(text).parse("google", warnings=False)]
    return {item.name: item.description for section in sections if section.kind in kinds for item in section.value}


def code(names: Iterable[str]) -> str:
    """Names in code type, separated by commas."""
    return ", ".join(f"`{name}`" for name in names)


def summary(thing: Any) -> str:
    """The first line of its docstring, fit for a cell of a table."""
    return cell((inspect.getdoc(described(thing)) or "").partition("\n")[0])


def cell(text: str) -> str:
    """A text on one line, for a table."""
    return " ".join(text.split()).replace("|", r"\|")


if __name__ == "__main__":
    main()
