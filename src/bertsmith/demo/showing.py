"""What the demo says to a person, on standard error."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from bertsmith.report.words import duration

WIDTH = 110
"""Columns at most; and where there is no terminal to ask."""


def show_recipe(recipe: str, seeds: Sequence[int]) -> None:
    """The recipe, before it is run."""
    console = _console()
    console.print(f"The recipe; each fine-tuning is run with the seeds {', '.join(map(str, seeds))}:\n")
    console.print(Padding(Syntax(recipe.strip(), "toml", theme="ansi_dark", background_color="default", word_wrap=True), (0, 2)))
    console.print()


def show_result(comparison: Mapping[str, Any], seconds: float, out: Path) -> None:
    """The result, and what can be done with it."""
    console = _console()
    console.print()
    console.print(_scores(comparison))
    console.print(Text(f"\n{comparison['verdict']}\n"))
    console.print(_predictions(comparison))
    steps = " · ".join(f"{step['name']} {duration(step['seconds'])}" for step in comparison["steps"])
    console.print(Text(f"\n{duration(seconds)} in all: {steps}\n", style="dim"))
    console.print(Text.assemble("Report: ", (str(out / "report.html"), "bold")), soft_wrap=True)
    console.print("\nNext:")
    for command, what in _next_commands(out):
        console.print(Text.assemble(f"  {command}", (f"    # {what}", "dim")), soft_wrap=True)


def _scores(comparison: Mapping[str, Any]) -> Table:
    table = Table(title=f"{comparison['metric']} in per cent, mean ± standard deviation over the seeds", title_justify="left", title_style="bold")
    table.add_column("")
    for subset in comparison["subsets"]:
        table.add_column(f"{subset['title']} ({subset['examples']})", justify="right")
    for system in comparison["systems"]:
        cells = [_cell(system["scores"][subset["name"]]) for subset in comparison["subsets"]]
        table.add_row(system["title"], *cells, style="" if system["stages"] else "dim")
    return table


def _cell(scores: Mapping[str, Any]) -> str:
    spread = "" if scores["deviation"] is None else f" ± {scores['deviation'] * 100:.1f}"
    return f"{scores['mean'] * 100:.1f}{spread}"


def _predictions(comparison: Mapping[str, Any]) -> Table:
    table = Table(title="new sentences", title_justify="left", title_style="bold")
    for name in ("text", "label", "score"):
        table.add_column(name, justify="right" if name == "score" else "left")
    for line in comparison["predictions"]:
        table.add_row(Text(line["text"]), line["label"], f"{line['score']:.2f}")
    return table


def _next_commands(out: Path) -> list[tuple[str, str]]:
    model, recipe = shlex.quote(str(out / "model")), shlex.quote(str(out / "demo.toml"))
    return [
        (f"echo 下次还来 | bertsmith predict {model} -", "any file will do in place of -"),
        (f"bertsmith inspect {model} 下次还来", "what the model sees"),
        (f"bertsmith run {recipe} --set stage.adapt.train.epochs=20 --out runs/mine", "the same recipe, changed"),
    ]


def _console() -> Console:
    console = Console(stderr=True, highlight=False, emoji=False, markup=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    return console
