"""A model's metrics on a data set, with what is needed to judge them: how far they can be trusted, and what a constant answer would score."""

from typing import Any

from bertsmith.cli.truncation import count_truncated
from bertsmith.core.progress import Progress, followed
from bertsmith.data.dataset import Dataset
from bertsmith.inference.engine import Engine
from bertsmith.tasks import Outcome


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
    begins = range(0, len(rows), engine.chunk)
    parts = followed((engine.outputs(rows[begin : begin + engine.chunk]) for begin in begins), progress, "score", len(begins), "chunks")
    outcome = Outcome([output for part in parts for output in part], rows, dataset.examples, engine.tokenizer)
    metrics, interval = task.metrics(outcome), task.interval(outcome)
    return {
        "task": task.name,
        "n": len(dataset),
        "metrics": metrics,
        "main_metric": task.best_metric,
        "interval": {"low": interval.low, "high": interval.high, "level": interval.level},
        "constant_answer": task.baseline(outcome),
        "truncated": count_truncated(rows),
        "dropped": dataset.dropped,
        "mended": dataset.mended,
    }
