"""From a run's records to the page: everything that comes from data is escaped by the template, nothing is fetched, nothing is run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import jinja2

from bertsmith.core.amounts import plural
from bertsmith.report.charts import Dots, dot_chart
from bertsmith.report.curves import curves
from bertsmith.report.predictions import confusion, has_labels, labels_taken, mistakes
from bertsmith.report.records import Record, Run, read_run
from bertsmith.report.tables import data_rows, distinct, gain_rows, score_tables, verdict
from bertsmith.report.words import duration, language, plain, points, score, thousands


def write_report(folder: Path) -> Path:
    """Write `report.html` into the folder of a finished run.

    Args:
        folder: Holds `result.json`, and what else is listed in `bertsmith.report.records`.

    Returns:
        The page.

    Raises:
        RecipeError: It is not the folder of a finished run, or its files cannot be read.
    """
    page = folder / "report.html"
    page.write_text(render(read_run(folder)), encoding="utf-8")
    return page


def render(run: Run) -> str:
    """The page's HTML."""
    scored = next((stage for stage in reversed(run.singly) if has_labels(stage.predictions)), None)
    return template("page.html").render(
        run=run,
        verdict=verdict(run),
        seconds=sum(sum(stage.values["seconds"].values()) for stage in run.stages),
        pretraining=[stage for stage in run.singly if not stage.values["is_task"]],
        tables=score_tables(run.singly),
        gains=gain_rows(run.stages),
        comparison_chart=_comparison_chart(run.comparison) if run.comparison.get("systems") else "",
        curves=curves(run),
        scored=scored,
        confusion=None if scored is None else confusion(*labels_taken(scored.predictions)),
        mistakes=[] if scored is None else mistakes(scored.predictions),
        data=data_rows(run.singly),
        notes=_notes(run),
        machines=distinct([stage.values["machine"] for stage in run.stages]),
        versions=distinct([stage.values["versions"] for stage in run.stages]),
        version=run.stages[-1].values["versions"]["bertsmith"],
    )


def template(name: str) -> jinja2.Template:
    """A template of this package, with words for numbers; what it is given is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bertsmith.report"), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    filters = cast("dict[str, Callable[..., str]]", environment.filters)
    filters.update({word.__name__: word for word in (duration, language, plain, plural, points, score, thousands)})
    return environment.get_template(name)


def _comparison_chart(comparison: Record) -> str:
    """Every system's score, a dot a seed."""
    whole = comparison["subsets"][0]["name"]
    systems: list[Record] = comparison["systems"]
    rows = [_dots(str(system["title"]), system["scores"][whole]) for system in systems]
    values = [value for row in rows for value in (*row.values, row.mean)]
    reference = next((row.mean for row, system in zip(rows, systems, strict=True) if not system["stages"]), None)
    name = f"{plain(str(comparison['metric']))} of {', '.join(row.name for row in rows)}"
    return dot_chart(rows, low=min(values), high=max(values), name=name, reference=reference)


def _dots(title: str, scores: Record) -> Dots:
    spread = "" if scores["deviation"] is None else f" ± {scores['deviation'] * 100:.1f}"
    return Dots(title, scores["values"], scores["mean"], f"{scores['mean']:.1%}{spread}")


def _notes(run: Run) -> dict[str, list[str]]:
    """What the user was told, and the stages that it was said of."""
    notes: dict[str, list[str]] = {note: [] for note in run.notes}
    for stage in run.stages:
        for note in stage.values["notes"]:
            notes.setdefault(str(note).removeprefix(f"stage {stage.name!r}: "), []).append(stage.name)
    return notes
