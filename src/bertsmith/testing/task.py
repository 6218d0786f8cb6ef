"""What every task must be able to do, beyond what every objective is."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import torch

from bertsmith.core.types import Example, Features
from bertsmith.tasks.base import Task, tasks
from bertsmith.testing.expectations import expect, expect_same_features
from bertsmith.testing.objective import check_missing_columns, check_training, check_value, collated, made, model_for
from bertsmith.testing.tiny import TEXTS


def check_task(task: str | type[Task] | Task, *, examples: Sequence[Example] | None = None, family: str = "bert") -> None:
    """Check that a task keeps what training, prediction and evaluation rely on.

    All that `check_objective` checks; and: its labels come from the data and do not depend on the order of the data; text without labels can be
    encoded, to the same tokens; scores are a row an example, whatever its neighbours; predictions are one an example and ready for JSON; metrics are
    finite numbers and hold the one by which checkpoints are compared; examples without a label are listed with their places.

    Args:
        task: A registered name, a class that can be made without arguments, or an instance.
        examples: Labelled data; by default sentences (in pairs, where the task needs them) with the labels "0", "1" and "2".
        family: The family of the model it is tried on.

    Raises:
        AssertionError: Says what does not hold.

    Example:
        >>> check_task("single")
    """
    rows = list(examples) if examples is not None else _default_examples()
    unfitted = made(task, tasks)  # pyright: ignore[reportArgumentType]
    assert isinstance(unfitted, Task)
    fitted = _check_fitting(unfitted, rows)
    check_value(fitted, tasks)  # pyright: ignore[reportArgumentType]
    check_training(fitted, rows, family)
    check_missing_columns(fitted, rows, fitted.columns, family)
    _check_use(fitted, rows, family)


def _default_examples() -> list[Example]:
    return [
        Example({"text": text, "text_pair": TEXTS[-1 - number], "label": str(number % 3)}, "train.tsv", number + 1)
        for number, text in enumerate(TEXTS)
    ]


def _check_fitting(task: Task, examples: Sequence[Example]) -> Task:
    fitted = task.fitted(examples)
    name = type(task).__name__
    expect(type(fitted) is type(task), f"{name}: fitted() gives a {type(fitted).__name__}")
    expect(bool(fitted.labels), f"{name}: fitted() finds no labels in the examples")
    expect(task.fitted(list(reversed(examples))) == fitted, f"{name}: fitted() depends on the order of the examples")
    expect(fitted.fitted(examples) == fitted, f"{name}: fitted() once more changes the task")
    return fitted


def _check_use(task: Task, examples: Sequence[Example], family: str) -> None:
    name, (model, tokenizer) = type(task).__name__, model_for(task, examples, family)
    rows = list(task.encode(examples, tokenizer))
    plain = list(task.encode([_without_label(example) for example in examples], tokenizer, labelled=False))
    kept = [{key: values for key, values in row.items() if key in plain[0]} for row in rows]
    expect_same_features(plain, kept, f"{name}: features without and with labels")
    with torch.no_grad():
        scores = task.scores(model, collated(task, plain, tokenizer)).numpy()
        alone = [task.scores(model, collated(task, plain, tokenizer, [place])).numpy() for place in range(len(plain))]
    expect(len(scores) == len(rows), f"{name}: {len(scores)} rows of scores for {len(rows)} rows")
    for place, single in enumerate(alone):
        together = scores[place][tuple(slice(size) for size in single.shape[1:])]
        expect(np.allclose(together, single[0], atol=1e-4), f"{name}: the scores of row {place} depend on its neighbours")
    _check_answers(task, scores, rows)


def _check_answers(task: Task, scores: np.ndarray, rows: Sequence[Features]) -> None:
    name = type(task).__name__
    predictions = task.decode(scores)
    expect(len(predictions) == len(rows), f"{name}: {len(predictions)} predictions for {len(rows)} rows")
    json.dumps(predictions, allow_nan=False)
    metrics = task.metrics(scores, rows)
    broken = [metric for metric, value in metrics.items() if not np.isfinite(value)]
    expect(not broken, f"{name}: the metrics {broken} are not finite: {metrics}")
    expect(task.best_metric in metrics, f"{name}: best_metric is {task.best_metric!r}, and metrics() gives {sorted(metrics)}")
    correct = task.correct(scores, rows)
    expect(correct.shape == (len(rows),), f"{name}: correct() gives the shape {correct.shape} for {len(rows)} rows")


def _without_label(example: Example) -> Example:
    return Example({key: value for key, value in example.values.items() if key != "label"}, example.file, example.line)
