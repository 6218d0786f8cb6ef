"""What every task must be able to do, beyond what every objective is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from bertsmith.core.types import Example
from bertsmith.metrics.classification import micro_f1
from bertsmith.tasks.base import Task, tasks
from bertsmith.tasks.outcome import Outcome, as_array
from bertsmith.testing.expectations import expect, expect_same_features
from bertsmith.testing.objective import check_missing_columns, check_training, check_value, collated, made, model_for
from bertsmith.testing.tiny import TEXTS


def check_task(task: str | type[Task] | Task, *, examples: Sequence[Example] | None = None, family: str = "bert") -> None:
    """Check that a task keeps what training, prediction and evaluation rely on.

    All that `check_objective` checks; and: its labels come from the data and do not depend on the order of the data; text without labels can be
    encoded, to the same tokens; what is said of a row does not depend on its neighbours; predictions are one an example and ready for JSON; metrics
    are finite numbers, hold the one by which checkpoints are compared, and have the same names whatever was said; what an error analysis asks for is
    there; examples without a label are listed with their places.

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
    expect(bool(fitted.labels) or not task.has_labels, f"{name}: fitted() finds no labels in the examples")
    expect(task.fitted(list(reversed(examples))) == fitted, f"{name}: fitted() depends on the order of the examples")
    expect(fitted.fitted(examples) == fitted, f"{name}: fitted() once more changes the task")
    return fitted


def _check_use(task: Task, examples: Sequence[Example], family: str) -> None:
    name, (model, tokenizer) = type(task).__name__, model_for(task, examples, family)
    rows = list(task.encode(examples, tokenizer))
    plain = list(task.encode([_without_labels(task, example) for example in examples], tokenizer, labelled=False))
    kept = [{key: values for key, values in row.items() if key in plain[0]} for row in rows]
    expect_same_features(plain, kept, f"{name}: features without and with labels")
    with torch.no_grad():
        outputs = [as_array(output) for output in task.outputs(model, collated(task, plain, tokenizer))]
        alone = [[as_array(output) for output in task.outputs(model, collated(task, plain, tokenizer, [place]))] for place in range(len(plain))]
    expect(len(outputs) == len(rows), f"{name}: {len(outputs)} outputs for {len(rows)} rows")
    for place, (together, [single]) in enumerate(zip(outputs, alone, strict=True)):
        same = together.shape == single.shape and np.allclose(together, single, atol=1e-4)
        expect(same, f"{name}: what is said of row {place} depends on its neighbours")
    predictions = task.decode(Outcome(outputs, plain, [_without_labels(task, example) for example in examples], tokenizer))
    expect(len(predictions) == len(examples), f"{name}: {len(predictions)} predictions for {len(examples)} examples")
    json.dumps(predictions, allow_nan=False)
    _check_measures(task, Outcome(outputs, rows, examples, tokenizer))


def _check_measures(task: Task, outcome: Outcome) -> None:
    name = type(task).__name__
    metrics = task.metrics(outcome)
    broken = [metric for metric, value in metrics.items() if not np.isfinite(value)]
    expect(not broken, f"{name}: the metrics {broken} are not finite: {metrics}")
    expect(task.best_metric in metrics, f"{name}: best_metric is {task.best_metric!r}, and metrics() gives {sorted(metrics)}")
    blank = replace(outcome, outputs=[task.blank(row) for row in outcome.rows])
    named = task.metrics(blank)
    expect(named.keys() == metrics.keys(), f"{name}: metrics() gives {sorted(metrics)}, and {sorted(named)} where blank() is what was said")
    baseline = task.baseline(outcome)
    expect(baseline.keys() <= metrics.keys(), f"{name}: baseline() gives {sorted(baseline)}, and metrics() {sorted(metrics)}")
    correct = task.correct(outcome)
    expect(correct.shape == (len(outcome.examples),), f"{name}: correct() gives the shape {correct.shape} for {len(outcome.examples)} examples")
    counts = task.counts(outcome)
    counted = counts is None or bool(np.isclose(micro_f1(*counts.T), metrics[task.best_metric]))
    expect(counted, f"{name}: F1 of the sums of counts() is not {task.best_metric!r}, by which the task is judged")
    interval = task.interval(outcome)
    expect(interval.low <= interval.high, f"{name}: interval() goes from {interval.low} to {interval.high}")
    expect([task.gold(example) for example in outcome.examples] != [None] * len(outcome.examples), f"{name}: gold() gives nothing for any example")
    _check_explaining(task, outcome)


def _check_explaining(task: Task, outcome: Outcome) -> None:
    name = type(task).__name__
    over = [score for score in task.correct(outcome) if score > task.flawless]
    expect(not over, f"{name}: correct() gives {over[:3]}, and flawless is {task.flawless}")
    for example, said in zip(outcome.examples, task.decode(outcome), strict=True):
        told = [task.answer(said), task.confidence(said), task.shown(example), dict(task.groups(example)), list(task.taken_for(example, said))]
        json.dumps(told, allow_nan=False)
        compared = task.compared(example, said)
        expect(compared is None or compared.column in task.shown(example), f"{name}: compared() is about a column that is not shown")
    json.dumps(task.by_label(outcome), allow_nan=False)
    details, tables = task.details(outcome), task.tables(outcome)
    expect(len(details) == len(outcome.examples), f"{name}: details() gives {len(details)} for {len(outcome.examples)} examples")
    json.dumps([details, [list(table.rows) for table in tables]], allow_nan=False)
    ragged = [table.name for table in tables if not table.rows or any(row.keys() != table.rows[0].keys() for row in table.rows)]
    expect(not ragged, f"{name}: the tables {ragged} are empty, or their rows have different columns")
    tuned = task.tuned(outcome)
    expect(type(tuned) is type(task) and tuned.tuned(outcome) == tuned, f"{name}: tuned() once more changes the task")


def _without_labels(task: Task, example: Example) -> Example:
    return Example({key: value for key, value in example.values.items() if key not in task.label_columns}, example.file, example.line)
