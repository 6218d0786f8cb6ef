"""A model's metrics on a data set, with what is needed to judge them: how far they can be trusted, and what a constant answer would score."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from bertsmith.core.progress import Progress
from bertsmith.core.types import Features
from bertsmith.data.dataset import Dataset
from bertsmith.data.store import FeatureStore
from bertsmith.metrics.uncertainty import Interval, bootstrap_interval
from bertsmith.models import Checkpoint
from bertsmith.tasks.base import Scores, Task
from bertsmith.train.evaluation import evaluate
from bertsmith.train.precision import resolve

ROUNDS = 1000
"""Sets of examples that are drawn for the interval."""


def measured(checkpoint: Checkpoint, task: Task, dataset: Dataset, precision: str, progress: Progress) -> dict[str, Any]:
    """Metrics, their interval, and the baseline.

    Args:
        checkpoint: The model.
        task: What it does.
        dataset: Labelled.
        precision: "auto", "float32" or "bfloat16".
        progress: Who wants to know.

    Raises:
        DataError: Lists every row that cannot be used.
    """
    store = FeatureStore.build(task.encode(dataset, checkpoint.tokenizer))
    evaluation = evaluate(
        checkpoint.model, task, store, checkpoint.tokenizer, precision=resolve(precision, checkpoint.model.device), progress=progress
    )
    assert evaluation.scores is not None, "a task has scores"
    rows = list(store)
    interval = _interval(task, evaluation.scores, rows, evaluation.metrics[task.best_metric])
    return {
        "task": task.name,
        "n": len(rows),
        "metrics": evaluation.metrics,
        "main_metric": task.best_metric,
        "interval": {"low": interval.low, "high": interval.high, "level": interval.level},
        "constant_answer": task.metrics(constant_scores(task, rows), rows),
        "truncated": sum(int(row["truncated"][0] > 0) for row in rows if "truncated" in row),
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
