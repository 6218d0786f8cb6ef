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


def write_predictions(folder: Path, task: Task, outcome: Outcome) -> None:
    """Write what `bertsmith predict` would say of every example, with its line, its texts, and what should have been said (`gold`)."""
    lines = [_line(task, example, said) for example, said in zip(outcome.examples, task.decode(outcome), strict=True)]
    write_text(folder / PREDICTIONS, "".join(json.dumps(line, ensure_ascii=False, default=str) + "\n" for line in lines))


def _line(task: Task, example: Example, said: dict[str, Any]) -> dict[str, Any]:
    names = [name for name in (*task.columns, *task.optional_columns) if name not in task.label_columns]
    texts = {name: example[name] for name in names if example.get(name) is not None}
    return {"line": example.line, **texts, **said, "gold": task.gold(example)}
