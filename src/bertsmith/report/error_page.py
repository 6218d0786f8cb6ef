"""An error analysis as one HTML page that stands alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from itertools import groupby
from typing import Any

from bertsmith.report.errors import Analysis, Case
from bertsmith.report.page import template
from bertsmith.report.predictions import confusion, shortened
from bertsmith.report.words import plain
from bertsmith.tasks.base import Task

SHOWN_CASES = 50
MOST_ROWS = 20
"""Of a table, and groups of one kind."""

EXCERPT = 240
"""Characters of a text around a place in it."""

LONG = 40
"""Characters of an answer that stands in a paragraph of its own."""


def error_page(analysis: Analysis, *, model: str, data: str) -> str:
    """The page's HTML.

    Args:
        analysis: What it shows.
        model: What the user called it.
        data: Likewise.
    """
    flawless, percent = analysis.task.flawless, analysis.task.flawless == 1
    worst = max((flawless - group.score for group in analysis.groups), default=0.0) or 1.0

    def graded(score: float) -> str:
        return f"{score:.1%}" if percent else f"{flawless - score:.4g}"

    def bar(score: float) -> float:
        return score if percent else (flawless - score) / worst

    by_f1 = sorted(analysis.by_label.items(), key=lambda item: item[1].get("f1", 0.0))
    return template("errors.html").render(
        analysis=analysis,
        model=model,
        data=data,
        version=version("bertsmith"),
        percent=percent,
        graded=graded,
        bar=bar,
        labels=by_f1[:MOST_ROWS] if len(by_f1) > MOST_ROWS else list(analysis.by_label.items()),
        groups=[(kind, list(members)) for kind, members in groupby(analysis.groups, key=lambda group: group.kind)],
        most=MOST_ROWS,
        shown=SHOWN_CASES,
        cases=[_shown(case, analysis.task, graded(case.score) if not percent or case.score > 0 else "") for case in analysis.cases[:SHOWN_CASES]],
        confusion=confusion(analysis.taken, list(analysis.by_label)) if analysis.taken else None,
    )


def written(value: Any) -> str:
    """An answer as a person reads it: of objects, their texts; of lists, all, each once.

    Example:
        >>> written([{"start": 0, "end": 2, "label": "PER", "text": "王芳"}]), written(2.51234), written([]), written(None)
        ('PER 王芳', '2.512', 'none', 'not known')
    """
    if value is None:
        return "not known"
    if isinstance(value, Mapping):
        return " ".join(part for part in value.values() if isinstance(part, str)) or "none"
    if isinstance(value, list | tuple):
        return shortened(" · ".join(dict.fromkeys(map(written, value)))) or "none"
    return f"{value:.4g}" if isinstance(value, float) else shortened(str(value)) or "none"


def _shown(case: Case, task: Task, score: str) -> dict[str, Any]:
    """A case as the template has it."""
    compared = task.compared(case.example, case.prediction)
    column = compared.column if compared else ""
    answers = [] if case.said is None or (compared and isinstance(case.said, list)) else list(_answers(case))
    return {
        "texts": [(name, shortened(text)) for name, text in case.texts.items() if name != column],
        "names": len(case.texts) > 1,
        "sides": compared and compared.sides(EXCERPT),
        "answers": answers,
        "are_named": isinstance(case.said, list),
        "are_long": any(len(text) > LONG for _, _, text in answers),
        "sure": case.confidence if case.confidence is not None and 0 <= case.confidence <= 1 else None,
        "score": "" if any(isinstance(value, int | float) for value in case.details.values()) else score and f"{task.yardstick} {score}",
        "details": [(plain(name), written(value)) for name, value in case.details.items()],
        "where": case.example.where if case.example.line else "",
    }


def _answers(case: Case) -> Iterator[tuple[str, str, str]]:
    yield "said", "wrong", written(case.said)
    yield "is", "right", written(case.gold)
