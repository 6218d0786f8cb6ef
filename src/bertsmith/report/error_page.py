"""An error analysis as one HTML page that stands alone."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from itertools import groupby
from typing import Any

from bertsmith.report.errors import Analysis, Case
from bertsmith.report.page import template
from bertsmith.report.predictions import confusion, shortened

SHOWN_CASES = 50
SHOWN_GROUPS = 20
"""Of one kind."""


def error_page(analysis: Analysis, *, model: str, data: str) -> str:
    """The page's HTML.

    Args:
        analysis: What it shows.
        model: What the user called it.
        data: Likewise.
    """
    percent = analysis.task.flawless == 1

    def graded(score: float) -> str:
        return f"{score:.1%}" if percent else f"{analysis.task.flawless - score:.4g}"

    return template("errors.html").render(
        analysis=analysis,
        model=model,
        data=data,
        version=version("bertsmith"),
        percent=percent,
        graded=graded,
        written=written,
        texts=_texts,
        groups=[(kind, list(members)) for kind, members in groupby(analysis.groups, key=lambda group: group.kind)],
        most=SHOWN_GROUPS,
        shown=SHOWN_CASES,
        confusion=confusion(analysis.taken, analysis.task.labels) if analysis.taken else None,
    )


def written(value: Any) -> str:
    """An answer as a person reads it: of objects, their texts; of lists, all.

    Example:
        >>> written([{"start": 0, "end": 2, "label": "PER", "text": "王芳"}]), written(2.51234), written([]), written(None)
        ('PER 王芳', '2.512', 'none', 'not known')
    """
    if value is None:
        return "not known"
    if isinstance(value, Mapping):
        return " ".join(part for part in value.values() if isinstance(part, str)) or "none"
    if isinstance(value, list | tuple):
        return shortened(" · ".join(map(written, value))) or "none"
    return f"{value:.4g}" if isinstance(value, float) else shortened(str(value)) or "none"


def _texts(case: Case) -> list[tuple[str, str]]:
    return [(name, shortened(text)) for name, text in case.texts.items()]
