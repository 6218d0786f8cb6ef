"""What the model of a stage said of its test data: `predictions.jsonl`, a line an example, from the scores by which it was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bertsmith.core.types import Example
from bertsmith.recipe.files import write_text
from bertsmith.tasks.base import Task
from bertsmith.tasks.outcome import Outcome

PREDICTIONS = "predictions.jsonl"
CORRECT = "correct"
"""Where a line has the score of its example; see `Task.correct`."""

COUNTS = "counts"
"""Where a line has the decisions of its example; see `Task.counts`."""


def write_predictions(folder: Path, task: Task, outcome: Outcome) -> None:
    """Write what `bertsmith predict` would say of every example, with its line and its texts, what is right (`gold`) and how well it was done."""
    said, scores, counts = task.decode(outcome), task.correct(outcome).tolist(), task.counts(outcome)
    lines = [{**_line(task, example, one), CORRECT: score} for example, one, score in zip(outcome.examples, said, scores, strict=True)]
    if counts is not None:
        lines = [{**line, COUNTS: count} for line, count in zip(lines, counts.tolist(), strict=True)]
    write_text(folder / PREDICTIONS, "".join(json.dumps(line, ensure_ascii=False, default=str) + "\n" for line in lines))


def _line(task: Task, example: Example, said: dict[str, Any]) -> dict[str, Any]:
    texts = {name: example[name] for name in task.reads if example.get(name) is not None}
    place = {"place": example.place} if example.place else {}
    return {"line": example.line, **place, **texts, **said, "gold": task.gold(example)}
