"""How good a model is on some data: the task's own metrics, or the loss."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bertsmith.core.precision import autocast
from bertsmith.core.progress import Progress, Silence, followed
from bertsmith.core.randomness import generator_at
from bertsmith.core.types import Batch, Example, Loss
from bertsmith.data.store import FeatureStore
from bertsmith.models.family import Model
from bertsmith.objectives.base import Objective
from bertsmith.tasks.base import Task
from bertsmith.tasks.mixture import Mixture
from bertsmith.tasks.outcome import Outcome, Output, as_array
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.train.batches import within_budget

PASS_TOKENS = 4096


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Attributes:
        metrics: By name; includes `loss`, in nats.
        outcome: What was said of every example; None where the loss was measured.
    """

    metrics: dict[str, float]
    outcome: Outcome | None = None


def evaluate(  # noqa: PLR0913
    model: Model,
    objective: Objective,
    rows: FeatureStore,
    tokenizer: Tokenizer,
    *,
    examples: Sequence[Example] = (),
    precision: str = "float32",
    seed: int = 0,
    progress: Progress | None = None,
    by_loss: bool = False,
) -> Evaluation:
    """Score a model on data it was not trained on.

    Args:
        model: Left in the mode (training or evaluation) it was in.
        objective: A task, or a pre-training objective; the masks of the latter are drawn from `seed` and are the same at every call.
        rows: Its features.
        tokenizer: The model's.
        examples: What the rows were made from; tasks that measure against more than their features hold need them.
        precision: "float32" or "bfloat16".
        seed: For what the objective draws at random.
        progress: Who wants to know.
        by_loss: Measure a task by its loss alone, as a pre-training objective.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), autocast(precision, model.device):
            batches = _batches(objective, rows, tokenizer, seed)
            seen = followed(batches, progress or Silence(), "evaluate", None, "batches")
            if isinstance(objective, Task) and not by_loss:
                return _task(model, objective, rows, examples, tokenizer, seen)
            return _objective(model, objective, seen)
    finally:
        model.train(was_training)


@dataclass(frozen=True)
class HeldOut:
    """Data to evaluate on.

    Attributes:
        rows: Features.
        examples: What they were made from.
    """

    rows: FeatureStore
    examples: Sequence[Example] = ()


def evaluate_parts(
    model: Model,
    mixture: Mixture,
    held_out: Mapping[str, HeldOut],
    tokenizer: Tokenizer,
    *,
    precision: str = "float32",
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Evaluation]:
    """Score the parts of a mixture, each on its own data.

    Args:
        model: With the heads of all parts.
        mixture: The parts.
        held_out: By part; a part without data is left out.
        tokenizer: The model's.
        precision: As for `evaluate`.
        seed: As for `evaluate`.
        progress: Who wants to know.
    """
    return {
        name: evaluate(
            mixture.view(model, name),
            mixture.parts[name],
            held.rows,
            tokenizer,
            examples=held.examples,
            precision=precision,
            seed=seed,
            progress=progress,
            by_loss=mixture.parts[name].validated_by_loss,
        )
        for name, held in held_out.items()
    }


def joined_metrics(mixture: Mixture, found: Mapping[str, Evaluation]) -> dict[str, float]:
    """The metrics of all parts, as `PART.METRIC`, and the mean of what the tasks among them are judged by, or else of the losses, as `loss`.

    Example:
        >>> from bertsmith.tasks import tasks
        >>> mixture = Mixture(parts={"a": tasks["single"](), "b": tasks["single"]()})
        >>> joined_metrics(mixture, {"a": Evaluation({"accuracy": 0.5}), "b": Evaluation({"accuracy": 0.75})})
        {'a.accuracy': 0.5, 'b.accuracy': 0.75, 'mean': 0.625}
    """
    metrics = {f"{name}.{metric}": value for name, evaluation in found.items() for metric, value in evaluation.metrics.items()}
    judged = {name: mixture.judged_by(name, evaluation.metrics) for name, evaluation in found.items()}
    tasks = {name: metric for name, metric in judged.items() if metric != "loss"}
    values = [found[name].metrics[metric] for name, metric in (tasks or judged).items()]
    return {**metrics, mixture.best_metric if tasks else "loss": sum(values) / len(values)}


def _batches(objective: Objective, rows: FeatureStore, tokenizer: Tokenizer, seed: int) -> Iterator[tuple[np.ndarray, Batch]]:
    order = np.argsort(rows.lengths, kind="stable")
    for run in within_budget(order, rows.lengths, PASS_TOKENS):
        generators = [generator_at(seed, "evaluate", int(row)) for row in run]
        yield run, objective.collate([rows[int(row)] for row in run], generators, tokenizer)


def _task(
    model: Model, task: Task, rows: FeatureStore, examples: Sequence[Example], tokenizer: Tokenizer, batches: Iterator[tuple[np.ndarray, Batch]]
) -> Evaluation:
    outputs: list[Output] = [np.empty(0)] * len(rows)
    for run, batch in batches:
        for row, output in zip(run, task.outputs(model, batch.to(model.device)), strict=True):
            outputs[row] = as_array(output)
    outcome = Outcome(outputs, list(rows), examples, tokenizer)
    return Evaluation(task.metrics(outcome), outcome)


def _objective(model: Model, objective: Objective, batches: Iterator[tuple[np.ndarray, Batch]]) -> Evaluation:
    total: dict[str, Loss] = {}
    for _, batch in batches:
        for name, loss in objective.loss(model, batch.to(model.device)).items():
            total[name] = total.get(name, Loss()) + Loss(float(loss), batch.counts[name])
    loss = sum(term.mean for term in total.values())
    return Evaluation({"loss": loss, "perplexity": math.exp(min(loss, 700.0))})
