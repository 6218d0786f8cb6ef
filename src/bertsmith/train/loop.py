"""The training loop.

One step: collate the rows of a batch, put them through the model in passes that fit into memory, divide every term of the loss by how many things it
counts in the *whole* batch, over all passes and all processes, and update the weights. The gradient is therefore that of the whole batch, however it
was cut up.

Nothing is carried from step to step but the weights and the optimiser's moments. Order, masks and dropout are functions of the seed and the step, so
a training that goes on from a checkpoint takes the very steps that the uninterrupted one takes.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn

from bertsmith.checkpoint.folder import whole
from bertsmith.core.errors import InterruptedRunError, RecipeError
from bertsmith.core.precision import autocast, resolve
from bertsmith.core.progress import Progress, Silence, work
from bertsmith.core.randomness import generator_at, seed_at
from bertsmith.core.types import Batch, Example
from bertsmith.data.store import FeatureStore
from bertsmith.models.family import Model
from bertsmith.objectives.base import Objective
from bertsmith.tasks.base import Task
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.train.batches import Step, num_batches, steps_after, total_steps, within_budget
from bertsmith.train.evaluation import evaluate
from bertsmith.train.interruption import stop_requests
from bertsmith.train.options import TrainOptions
from bertsmith.train.resume import State, copied_weights, read_state, write_state
from bertsmith.train.schedule import schedule
from bertsmith.tuning.base import Tuning
from bertsmith.tuning.full import Full

LOWER_IS_BETTER = ("loss", "perplexity", "error")


@dataclass(frozen=True)
class TrainResult:
    """What a training was.

    Attributes:
        steps: Updates.
        epochs: How often the data was seen.
        seconds: Wall-clock time, over all parts of a resumed training.
        tokens: Tokens that were seen, padding not counted.
        precision: What matrix products were computed in.
        processes: How many worked on it.
        kept_step: After which step the kept weights stood.
        metrics: On the validation data, of the kept weights if they are the best, else of the last evaluation.
        stopped_early: Whether `patience` ran out.
        resumed_at: The step it went on from; 0 if it ran through.
    """

    steps: int
    epochs: float
    seconds: float
    tokens: int
    precision: str
    processes: int
    kept_step: int
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    stopped_early: bool = False
    resumed_at: int = 0

    @property
    def tokens_per_second(self) -> float:
        """Of training, evaluations included."""
        return self.tokens / self.seconds if self.seconds else 0.0


class _Losses(nn.Module):
    """A model and an objective as one module, so that what wraps a module's `forward` (several processes) sees all of the computation."""

    def __init__(self, model: Model, objective: Objective, precision: str) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.precision = precision

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        with autocast(self.precision, batch.input_ids.device):
            return self.objective.loss(self.model, batch)


@dataclass(kw_only=True)
class Training:
    """A training, of a model in place.

    Attributes:
        model: With the heads that the objective trains; already edited by `tuning.apply`.
        tokenizer: The model's.
        objective: A pre-training objective or a task.
        rows: Features to train on.
        valid: Features to evaluate on.
        valid_examples: What they were made from.
        options: How long, how fast, in what batches.
        tuning: Groups the parameters.
        seed: Of everything random.
        folder: Gets `metrics.jsonl`, and `checkpoint/` to resume from.
        progress: Who wants to know.
    """

    model: Model
    tokenizer: Tokenizer
    objective: Objective
    rows: FeatureStore
    valid: FeatureStore | None = None
    valid_examples: Sequence[Example] = ()
    options: TrainOptions = field(default_factory=TrainOptions)
    tuning: Tuning = field(default_factory=Full)
    seed: int
    folder: Path
    progress: Progress = field(default_factory=Silence)

    def __post_init__(self) -> None:
        if not len(self.rows):
            raise RecipeError("there is nothing to train on: the training data has no usable example")
        self.accelerator = Accelerator()
        self.model.to(self.accelerator.device)
        self.precision = resolve(self.options.precision, self.accelerator.device)
        groups = self.tuning.parameter_groups(self.model, self.options.learning_rate, self.options.weight_decay)
        self.peaks = [group["lr"] for group in groups]
        self.optimiser = torch.optim.AdamW(groups, lr=self.options.learning_rate, fused=True)
        self.losses: Any = self.accelerator.prepare(_Losses(self.model, self.objective, self.precision))
        self.state = State()
        self.best: dict[str, Tensor] | None = None
        self.steps = total_steps(self.rows.lengths, self.options, self.seed)
        self.factor = schedule(self.options, self.steps)
        self.last_save = time.monotonic()

    @property
    def by_loss(self) -> bool:
        """Whether the loss is what is measured on the validation data."""
        return not isinstance(self.objective, Task) or self.objective.validated_by_loss

    def run(self, *, resume: bool = False) -> TrainResult:
        """Take all steps.

        Args:
            resume: Go on from the checkpoint in `folder`, if there is one.

        Raises:
            RecipeError: The metric that weights are to be kept by is not measured.
            InterruptedRunError: Ctrl-C or SIGTERM; a checkpoint was written.
        """
        checkpoint = whole(self.folder / "checkpoint")
        if resume and (checkpoint / "state.json").is_file():
            self.state, self.best = read_state(checkpoint, self.model, self.optimiser)
        resumed_at = self.state.step
        self._forget_lines_after(resumed_at)
        stopped = self._take_steps()
        if self.best is not None:
            self.model.load_state_dict(self.best)
        kept = self.state.best_step if self.best is not None else self.state.step
        self.model.eval()
        return TrainResult(
            steps=self.state.step,
            epochs=round(self.state.step / num_batches(self.rows.lengths, self.options, self.seed, 0), 3),
            seconds=self.state.seconds,
            tokens=self.state.tokens,
            precision=self.precision,
            processes=self.accelerator.num_processes,
            kept_step=kept,
            metrics=self.state.metrics,
            stopped_early=stopped,
            resumed_at=resumed_at,
        )

    def _take_steps(self) -> bool:
        """All steps that are left; whether `patience` ran out."""
        self.model.train()
        with work(self.progress, "train", self.steps, "steps"), stop_requests() as stop:
            self.progress.advance(self.state.step)
            for step in steps_after(self.state.step, self.rows.lengths, self.options, self.seed):
                if self._out_of_patience():
                    return True
                self._whole_step(step)
                if stop:
                    self._save()
                    raise InterruptedRunError(f"stopped by {stop.name} after step {self.state.step} of {self.steps}; go on with --resume")
        return False

    def _whole_step(self, step: Step) -> None:
        started = time.monotonic()
        numbers = self._update(step)
        self.state.step = step.number
        self.state.seconds += time.monotonic() - started
        self.progress.advance(1, **numbers)
        self._record({"step": step.number, "epoch": step.epoch, **numbers})
        if self._is_time_to_evaluate(step):
            self._evaluate(step)
        if time.monotonic() - self.last_save >= self.options.checkpoint_every:
            self._save()

    def _update(self, step: Step) -> dict[str, float]:
        """Forward, backward, update."""
        mine = step.rows[self.accelerator.process_index :: self.accelerator.num_processes]
        weight = 1.0 if len(mine) else 0.0  # a process without rows goes through the motions, so that the others need not wait for it
        batches = [
            self._collate(step, run) for run in within_budget(mine if len(mine) else step.rows[:1], self.rows.lengths, self.options.pass_tokens)
        ]
        tokens = self._over_processes(weight * sum(batch.num_tokens for batch in batches))
        counts = {name: self._over_processes(weight * sum(batch.counts[name] for batch in batches)) for name in batches[0].counts}
        sums = dict.fromkeys(counts, 0.0)
        for number, batch in enumerate(batches):
            set_seed(seed_at(self.seed, "dropout", step.number, self.accelerator.process_index, number) % 2**32)
            for name, term in self._backward(batch, counts, weight, last=number == len(batches) - 1).items():
                sums[name] += term
        rate = self.factor(step.number - 1)
        for group, peak in zip(self.optimiser.param_groups, self.peaks, strict=True):
            group["lr"] = peak * rate
        norm: Any = self.accelerator.clip_grad_norm_(self.model.parameters(), self.options.clip or math.inf)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.state.tokens += round(tokens)
        loss = sum(self._over_processes(weight * sums[name]) / max(counts[name], 1) for name in sums)
        return {"loss": loss, "gradient_norm": float(norm), "learning_rate": self.options.learning_rate * rate, "tokens": tokens}

    def _backward(self, batch: Batch, counts: dict[str, float], weight: float, *, last: bool) -> dict[str, float]:
        # Several processes average their gradients where the sum is wanted, hence the factor. They exchange them once, with the last pass.
        scale = weight * self.accelerator.num_processes
        with torch.enable_grad() if last else self.accelerator.no_sync(self.losses):
            terms: dict[str, Tensor] = self.losses(batch)
            loss = torch.stack([term * (scale / max(counts[name], 1)) for name, term in terms.items()]).sum()
            self.accelerator.backward(loss)
        return {name: float(term.detach()) for name, term in terms.items()}

    def _collate(self, step: Step, run: np.ndarray) -> Batch:
        generators = [generator_at(self.seed, "collate", step.epoch, int(row)) for row in run]
        return self.objective.collate([self.rows[int(row)] for row in run], generators, self.tokenizer).to(self.accelerator.device)

    def _over_processes(self, value: float) -> float:
        if self.accelerator.num_processes == 1:
            return value
        total: Any = self.accelerator.reduce(torch.tensor(value, dtype=torch.float64, device=self.accelerator.device), reduction="sum")
        return float(total)

    def _is_time_to_evaluate(self, step: Step) -> bool:
        if self.valid is None:
            return False
        every = self.options.evaluate_every
        return step.number == self.steps or (step.number % every == 0 if every else step.last_of_epoch)

    def _evaluate(self, step: Step) -> None:
        assert self.valid is not None
        started = time.monotonic()
        metrics = evaluate(
            self.model,
            self.objective,
            self.valid,
            self.tokenizer,
            examples=self.valid_examples,
            precision=self.precision,
            seed=self.seed,
            progress=self.progress,
            by_loss=self.by_loss,
        ).metrics
        self.state.seconds += time.monotonic() - started
        self._record({"step": step.number, "epoch": step.epoch, "valid": metrics})
        self._keep_if_better(metrics)

    def _keep_if_better(self, metrics: dict[str, float]) -> None:
        name = self._metric(metrics)
        value = -metrics[name] if name.endswith(LOWER_IS_BETTER) else metrics[name]
        if self.state.best_value is None or value > self.state.best_value:
            self.state.best_value, self.state.best_step, self.state.evaluations_since_best = value, self.state.step, 0
            if self.options.keep != "last":
                self.best = copied_weights(self.model)
                self.state.metrics = metrics
        else:
            self.state.evaluations_since_best += 1
        if self.options.keep == "last":
            self.state.metrics = metrics

    def _metric(self, metrics: dict[str, float]) -> str:
        best = self.objective.best_metric if isinstance(self.objective, Task) and not self.by_loss else "loss"
        name = self.options.keep.partition(":")[2] or best
        if name not in metrics:
            raise RecipeError(f"weights are to be kept by the metric {name!r}, which is not measured; measured: {', '.join(metrics)}")
        return name

    def _out_of_patience(self) -> bool:
        return self.options.patience is not None and self.state.evaluations_since_best >= self.options.patience

    def _save(self) -> None:
        if self.accelerator.is_main_process:
            write_state(self.folder / "checkpoint", self.state, self.model, self.optimiser, self.best)
        self.last_save = time.monotonic()

    def _record(self, line: dict[str, Any]) -> None:
        if self.accelerator.is_main_process:
            with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def _forget_lines_after(self, step: int) -> None:
        """What was recorded after the checkpoint is about to be recorded again."""
        if not self.accelerator.is_main_process:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "metrics.jsonl"
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        file.write_text("".join(f"{line}\n" for line in lines if _step_of(line) <= step), encoding="utf-8")


def _step_of(line: str) -> float:
    """The step of a recorded line; infinite for one that a kill left unfinished."""
    try:
        return int(json.loads(line)["step"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return math.inf
