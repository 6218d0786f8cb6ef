"""A model's metrics on a data set, with what is needed to judge them: how far they can be trusted, and what a constant answer would score."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from bertsmith.cli.truncation import count_truncated
from bertsmith.core.progress import Progress, followed
from bertsmith.core.types import Features
from bertsmith.data.dataset import Dataset
from bertsmith.inference.engine import CHUNK, Engine
from bertsmith.metrics.uncertainty import Interval, bootstrap_interval
from bertsmith.tasks.base import Scores, Task

ROUNDS = 1000
"""Sets of examples that are drawn for the interval."""


def measured(engine: Engine, dataset: Dataset, progress: Progress) -> dict[str, Any]:
    """Metrics, their interval, and what a constant answer scores.

    Args:
        engine: The model and its task.
        dataset: Labelled.
        progress: Who wants to know.

    Raises:
        DataError: Lists every row that cannot be used.
    """
    task = engine.task
    assert task is not None, "it was opened for use"
    rows = list(followed(task.encode(dataset, engine.tokenizer), progress, "encode", len(dataset), "rows"))
    begins = range(0, len(rows), CHUNK)
    parts = followed((engine.scores(rows[begin : begin + CHUNK]) for begin in begins), progress, "score", len(begins), "chunks")
    scores = np.concatenate(list(parts))
    metrics = task.metrics(scores, rows)
    interval = _interval(task, scores, rows, metrics[task.best_metric])
    return {
        "task": task.name,
        "n": len(rows),
        "metrics": metrics,
        "main_metric": task.best_metric,
        "interval": {"low": interval.low, "high": interval.high, "level": interval.level},
        "constant_answer": task.metrics(constant_scores(task, rows), rows),
        "truncated": count_truncated(rows),
        "dropped": dataset.dropped,
    }


def constant_scores(task: Task, rows: Sequence[Features]) -> Scores:
    """Scores of a model that does not read: the commonest label, the labels that more than half of the examples have, the mean number."""
    gold = np.stack([row["label"] for row in rows])
    if task.problem_type == "single_label_classification":
        answer = np.bincount(gold[:, 0], minlength=len(task.labels)).astype(np.float32)
    elif task.problem_type == "multi_label_classification":
        answer = np.where(gold.mean(0) > 0.5, 10.0, -10.0).astype(np.float32)
    else:
        answer = gold.mean(0, dtype=np.float32)
    return np.tile(answer, (len(rows), 1))


def _interval(task: Task, scores: Scores, rows: Sequence[Features], value: float) -> Interval:
    """Of the main metric. Where that is the mean of what every example scores, as accuracy is, drawing is quick."""
    each = task.correct(scores, rows)
    if np.isclose(each.mean(), value):
        return bootstrap_interval(np.mean, each, rounds=ROUNDS)

    def metric(chosen: Int[np.ndarray, " examples"]) -> float:
        return task.metrics(scores[chosen], [rows[row] for row in chosen])[task.best_metric]

    return bootstrap_interval(metric, np.arange(len(rows)), rounds=ROUNDS)
