"""A run in short: what is to be done, or what it came to, as a table and as JSON."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from bertsmith.cli.progress import duration
from bertsmith.recipe.result import Planned, RunResult, StageResult

SPLITS = ("test", "valid", "before")
"""Which metrics of a stage are shown: those of the first of these that it has."""

Metrics = Mapping[str, float | None]


def run_table(result: RunResult) -> Table:
    """One row a stage."""
    return _results(result.stages) if result.stages else _plan(result.plan)


def run_summary(result: RunResult) -> dict[str, Any]:
    """What programs ask for first; everything else is in the file that `result` names."""
    if not result.stages:
        return {"folder": str(result.folder), "stages": [], "plan": [dataclasses.asdict(stage) for stage in result.plan]}
    stages = [
        {"name": stage.name, "metrics": stage.metrics, "steps": stage.steps, "seconds": round(sum(stage.seconds.values()), 1), "cached": stage.cached}
        for stage in result.stages
    ]
    return {"folder": str(result.folder), "result": str(result.folder / "result.json"), "model": str(result.model), "stages": stages}


def _results(stages: tuple[StageResult, ...]) -> Table:
    table = _table("stage", "from", "objective", "steps", "tokens/s", "time", "evaluated on", "metrics")
    for stage in stages:
        time = "done before" if stage.cached else duration(sum(stage.seconds.values()))
        split, metrics = _measured(stage.metrics)
        own = {name: value for name, value in metrics.items() if name.partition(".")[0] not in stage.parts}
        speed = f"{stage.tokens_per_second:,.0f}"
        table.add_row(stage.name, stage.start, stage.objective, f"{stage.steps:,}", speed, time, split, _metrics(own))
        for name, part in stage.parts.items():
            split, metrics = _measured(stage.metrics_of(name))
            table.add_row(f"· {name}", "", part["objective"], f"{part['steps']:,}", "", "", split, _metrics(metrics))
    return table


def _measured(metrics: Mapping[str, Metrics]) -> tuple[str, Metrics]:
    """The split that is shown, and its metrics."""
    split = next((name for name in SPLITS if metrics.get(name)), "")
    return split, metrics.get(split, {})


def _plan(stages: tuple[Planned, ...]) -> Table:
    table = _table("stage", "would", "because", "rows", "steps")
    for stage in stages:
        rows = ", ".join(f"{split} {count:,}" for split, count in stage.rows.items())
        table.add_row(stage.name, stage.action, stage.why, rows, "" if stage.steps is None else f"{stage.steps:,}")
    return table


def _metrics(metrics: Metrics) -> str:
    """Nothing between a name and its value where a narrow table could break."""
    return "  ".join(f"{name}={'–' if value is None else f'{value:.4f}'}" for name, value in metrics.items())


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, justify="right" if heading in {"steps", "tokens/s"} else "left")
    return table
