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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, parse_flag_from_env, set_seed
from torch import Tensor, nn

from bertsmith.checkpoint.folder import whole
from bertsmith.core.errors import InterruptedRunError, RecipeError
from bertsmith.core.heap import give_back
from bertsmith.core.precision import autocast, resolve
from bertsmith.core.progress import Progress, Silence, work
from bertsmith.core.randomness import generator_at, seed_at
from bertsmith.core.strict_json import strict
from bertsmith.core.types import Batch, Example
from bertsmith.data.store import FeatureStore, JoinedRows
from bertsmith.models.family import Model
from bertsmith.objectives.base import Objective
from bertsmith.tasks.base import Task
from bertsmith.tasks.mixture import Mixture
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.train.batches import Course, Step, within_budget
from bertsmith.train.evaluation import Evaluation, HeldOut, evaluate, evaluate_parts, joined_metrics
from bertsmith.train.interruption import Request, stop_requests
from bertsmith.train.mixing import MixedCourse, Mixing
from bertsmith.train.options import TrainOptions
from bertsmith.train.resume import State, copied_weights, read_state, write_state
from bertsmith.train.schedule import schedule
from bertsmith.tuning.base import Tuning, nothing_left
from bertsmith.tuning.full import Full

WHOLE = ""
"""What the best weights of the whole model are kept under, beside those of the parts of a mixture."""

SPLITTING = {"ACCELERATE_USE_FSDP": "FSDP", "ACCELERATE_USE_DEEPSPEED": "DeepSpeed", "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM"}
"""What `accelerate launch` sets for what would split the weights over processes."""

GIVEN_BACK_EVERY = 10
"""Steps between times at which freed memory is returned: it takes milliseconds, and what is used again has to be got again."""

LOWER_IS_BETTER = ("loss", "perplexity", "mean_squared_error")


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
        valid_parts: What the parts of a mixture are evaluated on, in the place of both.
        mixing: How often the parts of a mixture have their turn.
        options: How long, how fast, in what batches.
        tuning: Groups the parameters.
        seed: Of everything random.
        folder: Gets `metrics.jsonl`, and `checkpoint/` to resume from.
        progress: Who wants to know.
    """

    model: Model
    tokenizer: Tokenizer
    objective: Objective
    rows: FeatureStore | JoinedRows
    valid: FeatureStore | None = None
    valid_examples: Sequence[Example] = ()
    valid_parts: Mapping[str, HeldOut] = field(default_factory=dict[str, HeldOut])
    mixing: Mixing = field(default_factory=Mixing)
    options: TrainOptions = field(default_factory=TrainOptions)
    tuning: Tuning = field(default_factory=Full)
    seed: int
    folder: Path
    progress: Progress = field(default_factory=Silence)

    def __post_init__(self) -> None:
        if not len(self.rows):
            raise RecipeError("there is nothing to train on: the training data has no usable example")
        _refuse_split_weights()
        # Of a mixture, the heads of one part alone are used in a step; several processes have to be told that the others are not waited for.
        several = isinstance(self.objective, Mixture)
        # What `accelerate launch` was told of precision is not for us: the options say it.
        self.accelerator = Accelerator(mixed_precision="no", kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=several)])
        self.model.to(self.accelerator.device)
        self.precision = resolve(self.options.precision, self.accelerator.device)
        if reason := nothing_left(self.tuning, self.model):
            raise RecipeError(reason)
        groups = self.tuning.parameter_groups(self.model, self.options.learning_rate, self.options.weight_decay)
        self.peaks = [group["lr"] for group in groups]
        self.optimiser = torch.optim.AdamW(groups, lr=self.options.learning_rate, fused=True)
        self.losses: Any = self.accelerator.prepare(_Losses(self.model, self.objective, self.precision))
        self.state = State()
        self.best: dict[str, dict[str, Tensor]] = {}
        self.lengths = self.rows.lengths
        self.course = self._course()
        self.steps = self.course.total
        self.factor = schedule(self.options, self.steps)
        self.last_save = time.monotonic()

    @property
    def by_loss(self) -> bool:
        """Whether the loss is what is measured on the validation data."""
        return self.objective.validated_by_loss

    def run(self, *, resume: bool = False) -> TrainResult:
        """Take all steps.

        Args:
            resume: Go on from the checkpoint in `folder`, if there is one.

        Raises:
            RecipeError: The metric that weights are to be kept by is not measured, or the training has diverged.
            CheckpointError: The checkpoint cannot be read, or not be written.
            InterruptedRunError: Ctrl-C or SIGTERM, in any of the processes; a checkpoint was written.
        """
        checkpoint = whole(self.folder / "checkpoint")
        if resume and (checkpoint / "state.json").is_file():
            self.state, self.best = read_state(checkpoint, self.model, self.optimiser)
        resumed_at = self.state.step
        self._forget_lines_after(resumed_at)
        stopped = self._take_steps()
        if WHOLE in self.best:
            self.model.load_state_dict(self.best[WHOLE])
        kept = self.state.best_step if WHOLE in self.best else self.state.step
        self.model.eval()
        return TrainResult(
            steps=self.state.step,
            epochs=round(self.state.step / self.course.per_epoch, 3),
            seconds=self.state.seconds,
            tokens=self.state.tokens,
            precision=self.precision,
            processes=self.accelerator.num_processes,
            kept_step=kept,
            metrics=self.state.metrics,
            stopped_early=stopped,
            resumed_at=resumed_at,
        )

    def _course(self) -> Course:
        if not isinstance(self.rows, JoinedRows):
            return Course(self.lengths, self.options, self.seed)
        assert isinstance(self.objective, Mixture), "rows of several parts are a mixture's"
        parts = dict(zip(self.objective.parts, [part.lengths for part in self.rows.parts], strict=True))
        return MixedCourse(parts, self.options, self.mixing, self.seed)

    def _take_steps(self) -> bool:
        """All steps that are left; whether `patience` ran out."""
        self.model.train()
        left = self.steps - self.state.step  # what an earlier run has done would flatter the rate of this one
        with work(self.progress, "train", left, "steps"), stop_requests() as stop:
            for step in self.course.after(self.state.step):
                if self._out_of_patience():
                    return True
                self._whole_step(step)
                self._stop_if_asked(stop)
        return False

    def _stop_if_asked(self, stop: Request) -> None:
        """Stop after a step that all processes have taken: they hear of a signal at different steps, and none can go on without the others."""
        [asked] = self._over_processes([float(bool(stop))])
        if asked:
            self._save()
            cause = stop.name or "another process"
            raise InterruptedRunError(f"stopped by {cause} after step {self.state.step} of {self.steps}; go on with --resume")

    def _whole_step(self, step: Step) -> None:
        started = time.monotonic()
        numbers = self._update(step)
        if step.number % GIVEN_BACK_EVERY == 0:
            give_back()
        self.state.step = step.number
        self.state.seconds += time.monotonic() - started
        self.progress.advance(1, **numbers)
        part = {"part": step.part} if step.part else {}
        self._record({"step": step.number, "epoch": step.epoch, **part, **numbers})
        if self._is_time_to_evaluate(step):
            self._evaluate(step)
        if time.monotonic() - self.last_save >= self.options.checkpoint_every:
            self._save()

    def _update(self, step: Step) -> dict[str, float]:
        """Forward, backward, update."""
        mine = step.rows[self.accelerator.process_index :: self.accelerator.num_processes]
        weight = 1.0 if len(mine) else 0.0  # a process without rows goes through the motions, so that the others need not wait for it
        batches = [self._collate(step, run) for run in self._passes(mine if len(mine) else step.rows[:1])]
        counted = {name: sum(batch.counts[name] for batch in batches) for name in batches[0].counts}
        tokens, *totals = self._over_processes([weight * count for count in (sum(batch.num_tokens for batch in batches), *counted.values())])
        counts = {name: max(total, 1.0) for name, total in zip(counted, totals, strict=True)}
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
        loss = sum(self._over_processes([weight * sums[name] / counts[name] for name in sums]))
        self._check_finite(step, loss, float(norm))
        return {"loss": loss, "gradient_norm": float(norm), "learning_rate": self.options.learning_rate * rate, "tokens": tokens}

    def _backward(self, batch: Batch, counts: dict[str, float], weight: float, *, last: bool) -> dict[str, float]:
        # Several processes average their gradients where the sum is wanted, hence the factor. They exchange them once, with the last pass.
        scale = weight * self.accelerator.num_processes
        with torch.enable_grad() if last else self.accelerator.no_sync(self.losses):
            terms: dict[str, Tensor] = self.losses(batch)
            loss = torch.stack([term * (scale / counts[name]) for name, term in terms.items()]).sum()
            loss.backward()
        return {name: float(term.detach()) for name, term in terms.items()}

    def _passes(self, rows: np.ndarray) -> list[np.ndarray]:
        """What goes through the model together."""
        return within_budget(rows, self.lengths, self.options.pass_tokens) if self.objective.rows_are_independent else [rows]

    def _collate(self, step: Step, run: np.ndarray) -> Batch:
        generators = [generator_at(self.seed, "collate", step.seen, int(row)) for row in run]
        return self.objective.collate([self.rows[int(row)] for row in run], generators, self.tokenizer).to(self.accelerator.device)

    def _check_finite(self, step: Step, loss: float, norm: float) -> None:
        """Nothing comes after a loss that is no number but more of its kind."""
        if math.isfinite(loss) and math.isfinite(norm):
            return
        raise RecipeError(
            f"the training has diverged: at step {step.number} of {self.steps} the loss is {loss:.4g} and the norm of its gradient {norm:.4g}; "
            f"lower learning_rate ({self.options.learning_rate:g}) or let it rise for longer (warmup_rate = {self.options.warmup_rate:g})"
        )

    def _over_processes(self, values: list[float]) -> list[float]:
        """The sum of each value over all processes."""
        if self.accelerator.num_processes == 1:
            return values
        totals: Any = self.accelerator.reduce(torch.tensor(values, dtype=torch.float64, device=self.accelerator.device), reduction="sum")
        return totals.tolist()

    def _is_time_to_evaluate(self, step: Step) -> bool:
        if self.valid is None and not self.valid_parts:
            return False
        every = self.options.evaluate_every
        return step.number == self.steps or (step.number % every == 0 if every else step.last_of_epoch)

    def _evaluate(self, step: Step) -> None:
        started = time.monotonic()
        metrics = self._as_the_first_has_it(self._measured())
        self.state.seconds += time.monotonic() - started
        self._record({"step": step.number, "epoch": step.epoch, "valid": metrics})
        self._keep_if_better(metrics)

    def _measured(self) -> dict[str, float]:
        how: dict[str, Any] = {"precision": self.precision, "seed": self.seed, "progress": self.progress}
        if isinstance(self.objective, Mixture):
            found = evaluate_parts(self.model, self.objective, self.valid_parts, self.tokenizer, **how)
            self._keep_parts(self.objective, found)
            return joined_metrics(self.objective, found)
        assert self.valid is not None, "there is something to evaluate on"
        return evaluate(self.model, self.objective, self.valid, self.tokenizer, examples=self.valid_examples, by_loss=self.by_loss, **how).metrics

    def _as_the_first_has_it(self, metrics: dict[str, float]) -> dict[str, float]:
        """What the first process has measured, for all: a last bit that differs must not make one of them stop early and leave the others waiting."""
        values = [value if self.accelerator.is_main_process else 0.0 for value in metrics.values()]
        return dict(zip(metrics, self._over_processes(values), strict=True))

    def _keep_parts(self, mixture: Mixture, found: Mapping[str, Evaluation]) -> None:
        """The weights with which a part was best, for each part: what helps one may come late for another."""
        for name, evaluation in found.items():
            value = _higher_is_better(mixture.judged_by(name, evaluation.metrics), evaluation.metrics)
            if self.options.keep != "last" and value > self.state.best_values.get(name, -math.inf):
                self.state.best_values[name], self.state.best_steps[name] = value, self.state.step
                self.best[name] = copied_weights(mixture.view(self.model, name))

    def _keep_if_better(self, metrics: dict[str, float]) -> None:
        name = self._metric(metrics)
        value = _higher_is_better(name, metrics)
        if self.state.best_value is None or value > self.state.best_value:
            self.state.best_value, self.state.best_step, self.state.evaluations_since_best = value, self.state.step, 0
            if self.options.keep != "last":
                self.best[WHOLE] = copied_weights(self.model)
                self.state.metrics = metrics
        else:
            self.state.evaluations_since_best += 1
        if self.options.keep == "last":
            self.state.metrics = metrics

    def _metric(self, metrics: dict[str, float]) -> str:
        best = self.objective.best_metric if isinstance(self.objective, Task | Mixture) else "loss"
        name = self.options.keep.partition(":")[2] or (best if best in metrics else "loss")
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
                file.write(json.dumps(strict(line)) + "\n")

    def _forget_lines_after(self, step: int) -> None:
        """What was recorded after the checkpoint is about to be recorded again."""
        if not self.accelerator.is_main_process:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "metrics.jsonl"
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        draft = file.with_name(f".{file.name}.part")  # a kill must not take the lines that stay
        draft.write_text("".join(f"{line}\n" for line in lines if _step_of(line) <= step), encoding="utf-8")
        draft.replace(file)


def _refuse_split_weights() -> None:
    """Every process writes, measures and keeps the whole model."""
    if names := [name for variable, name in SPLITTING.items() if parse_flag_from_env(variable)]:
        raise RecipeError(
            f"this was launched with {' and '.join(names)}, which splits the weights over the processes; here each of them holds the whole model: "
            "launch it with `torchrun`, or with `accelerate launch --multi_gpu`"
        )


def _higher_is_better(name: str, metrics: Mapping[str, float]) -> float:
    """What is the better, the higher it is; a metric that is no number is the worst of all. Before a part's metric stands its name and a point."""
    value = -metrics[name] if name.rpartition(".")[2] in LOWER_IS_BETTER else metrics[name]
    return -math.inf if math.isnan(value) else value


def _step_of(line: str) -> float:
    """The step of a recorded line; infinite for one that a kill left unfinished."""
    try:
        return int(json.loads(line)["step"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return math.inf
