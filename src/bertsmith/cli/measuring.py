"""A model's metrics on a data set, with what is needed to judge them: how far they can be trusted, and what an answer without reading would score."""

from itertools import chain
from typing import Any

from bertsmith.cli.truncation import count_truncated
from bertsmith.core.progress import Progress, followed, work
from bertsmith.data.dataset import Dataset
from bertsmith.inference.engine import Engine
from bertsmith.tasks import Outcome, Task


def outcome_of(engine: Engine, dataset: Dataset, progress: Progress) -> Outcome:
    """What a model says of every row.

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
    with work(progress, "score", len(rows), "sequences"):
        parts = [engine.outputs(rows[begin : begin + engine.chunk], progress) for begin in range(0, len(rows), engine.chunk)]
    return Outcome(list(chain.from_iterable(parts)), rows, dataset.examples, engine.tokenizer)


def measures(task: Task, outcome: Outcome, dataset: Dataset) -> dict[str, Any]:
    """Metrics, the interval of the main one, what an answer without reading scores, and the metrics of single labels where there are any."""
    metrics, interval, labels = task.metrics(outcome), task.interval(outcome), task.by_label(outcome)
    return {
        "task": task.name,
        "n": len(dataset),
        "metrics": metrics,
        "main_metric": task.best_metric,
        "interval": {"low": interval.low, "high": interval.high, "level": interval.level},
        "baseline": task.baseline(outcome),
        **({"labels": labels} if labels else {}),
        "truncated": count_truncated(outcome.rows),
        "dropped": dataset.dropped,
        "mended": dataset.mended,
    }
