"""From the lines of `metrics.jsonl` to charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bertsmith.report.charts import Line, line_chart, smoothed
from bertsmith.report.records import Record, Run, StageRecord
from bertsmith.report.words import SHARES, plain

SMOOTHED_SHARE = 20
"""The mean is over one part in so many of the steps."""


@dataclass(frozen=True, slots=True)
class Curves:
    """The charts of one stage, or of several that differ in their seed only.

    Attributes:
        title: Whose they are.
        charts: Each with what it shows.
    """

    title: str
    charts: Sequence[tuple[str, Markup]]


def curves(run: Run) -> list[Curves]:
    """Charts of all stages, in order; stages that are compared as one system share theirs."""
    grouped = {name: str(system["title"]) for system in run.comparison.get("systems", ()) for name in system["stages"]}
    groups: dict[str, list[StageRecord]] = {}
    for stage in run.singly:
        groups.setdefault(grouped.get(stage.name, stage.name), []).append(stage)
    made = [Curves(title, _charts(stages)) for title, stages in groups.items()]
    return [one for one in made if one.charts]


def main_metric(metrics: Mapping[str, float | None]) -> str:
    """The metric that comes first, the loss aside.

    Example:
        >>> main_metric({"loss": 0.4, "accuracy": 0.8, "macro_f1": 0.79})
        'accuracy'
    """
    return next((name for name in metrics if name != "loss"), "loss")


def _charts(stages: Sequence[StageRecord]) -> list[tuple[str, Markup]]:
    losses: list[Line] = []
    scores: list[Line] = []
    metric = ""
    for stage in stages:
        losses += _losses(stage, alone=len(stages) == 1)
        evaluations = _evaluations(stage)
        metric = main_metric(evaluations[0][1]) if evaluations else ""
        if stage.values["is_task"] and metric:
            scores.append(Line([(step, _number(metrics.get(metric))) for step, metrics in evaluations], "marks", 2, stage.name))
    steps = max(float(stage.values["steps"]) for stage in stages)
    drawn = [
        (_loss_caption(losses), line_chart(losses, steps=steps, name="loss")),
        (f"{plain(metric)}, validation data", line_chart(scores, steps=steps, name=plain(metric), percent=metric.endswith(SHARES))),
    ]
    return [(caption, chart) for caption, chart in drawn if chart]


def _losses(stage: StageRecord, *, alone: bool) -> list[Line]:
    trained = [(float(line["step"]), _number(line["loss"])) for line in stage.lines if "loss" in line]
    lines = [Line(trained, "faint", 1, "each step")] if alone else []
    lines.append(Line(smoothed(trained, max(1, len(trained) // SMOOTHED_SHARE)), "curve", 1, f"{stage.name}, training loss"))
    valid = [(step, _number(metrics["loss"])) for step, metrics in _evaluations(stage) if "loss" in metrics]
    return [*lines, Line(valid, "marks", 2, f"{stage.name}, validation loss")] if valid else lines


def _loss_caption(lines: Sequence[Line]) -> str:
    return "loss: training and validation data" if any(line.style == "marks" for line in lines) else "loss, training data"


def _evaluations(stage: StageRecord) -> list[tuple[float, Record]]:
    return [(float(line["step"]), line["valid"]) for line in stage.lines if "valid" in line]


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
