"""One stage: open the model, train it, measure it, save it, and write down what was done."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from bertsmith.core.precision import resolve
from bertsmith.core.progress import Progress
from bertsmith.core.randomness import seed_at
from bertsmith.models.family import Model
from bertsmith.models.loading import Checkpoint, save
from bertsmith.objectives.base import Objective
from bertsmith.recipe.heads import fresh_head
from bertsmith.recipe.planning import Job
from bertsmith.recipe.predictions import write_predictions
from bertsmith.recipe.preparing import Prepared
from bertsmith.recipe.processes import device, is_first, meet, own_folder
from bertsmith.recipe.result import StageResult, machine, peak_memory, versions
from bertsmith.recipe.schema import NewModel
from bertsmith.recipe.starts import Start
from bertsmith.recipe.writing import component_table
from bertsmith.tasks.base import Task
from bertsmith.tasks.vectors import rewritten
from bertsmith.train.evaluation import Evaluation, evaluate
from bertsmith.train.loop import Training, TrainResult


@dataclass
class Notes:
    """Progress that keeps what was noted.

    Attributes:
        progress: Who listens.
        kept: What was noted.
    """

    progress: Progress
    kept: list[str] = field(default_factory=list[str])

    def begin(self, what: str, total: float | None, unit: str) -> None:
        """Handed on."""
        self.progress.begin(what, total, unit)

    def advance(self, amount: float = 1, **numbers: float) -> None:
        """Handed on."""
        self.progress.advance(amount, **numbers)

    def end(self) -> None:
        """Handed on."""
        self.progress.end()

    def note(self, message: str) -> None:
        """Kept and handed on."""
        self.kept.append(message)
        self.progress.note(message)


@dataclass
class Clock:
    """Seconds by phase."""

    seconds: dict[str, float] = field(default_factory=dict[str, float])

    @contextmanager
    def phase(self, name: str) -> Generator[None]:
        """A block of work that belongs to a phase."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - started, 3)


def run_stage(job: Job, progress: Progress) -> StageResult:
    """Run a stage whose data is prepared.

    Args:
        job: What is to be done; begun anew, or gone on with where its standing is "resume".
        progress: Who wants to know.

    Raises:
        CheckpointError: The model cannot be read, or the disk is full.
        InterruptedRunError: Stopped from outside; a checkpoint was written.
    """
    notes, prepared, clock = begun(job, progress)
    assert job.start is not None, "its model was fetched"
    with clock.phase("load"):
        checkpoint = opened(job, prepared, job.start, notes)
        checkpoint.model.to(device())
    metrics: dict[str, dict[str, float | None]] = {}
    if _is_measured_before(prepared, checkpoint):
        with clock.phase("evaluate"):
            metrics["before"] = {**_measured(checkpoint, prepared, "valid", job, notes).metrics}
    edited(job, checkpoint.model)
    done = trained(job, _training(job, prepared, checkpoint, notes))
    clock.seconds["train"] = round(done.seconds, 3)
    with clock.phase("evaluate"):
        prepared, measured = evaluated(checkpoint, prepared, job, notes)
    metrics.update({split: {**found.metrics} for split, found in measured.items()})
    if is_first():
        with clock.phase("save"):
            save_stage(checkpoint, prepared, job.folder.path, measured.get("test"))
    result = result_of(job, prepared, checkpoint.model, done, metrics, clock.seconds, notes.kept)
    if is_first():
        job.folder.finish(result)
    meet()
    return result


def begun(job: Job, progress: Progress) -> tuple[Notes, Prepared, Clock]:
    """A stage's folder made ready, what is known of its data told, and the clock set going."""
    assert job.prepared is not None, "its data was prepared"
    assert job.inputs is not None, "with data and model, its inputs are known"
    notes, prepared = Notes(progress), job.prepared
    for note in prepared.notes:
        notes.note(f"{job.title}: {note}")
    if job.standing.action != "resume" and is_first():
        job.folder.begin(job.stage, job.seed, job.inputs)
    meet()
    return notes, prepared, Clock({"encode": round(prepared.seconds, 3)})


def opened(job: Job, prepared: Prepared, start: Start, notes: Notes) -> Checkpoint:
    """The model with the heads that are trained; what is random in them is said."""
    objective = prepared.objective
    requests = objective.heads()
    checkpoint = start.opened({name: request.labels for name, request in requests.items()}, job.seed)
    if isinstance(objective, Task) and checkpoint.fresh_heads:
        objective.begin(checkpoint.model, prepared.examples["train"])
    if isinstance(start.place, NewModel):
        return checkpoint
    for other in _other_vectors(objective, checkpoint):
        notes.note(f"{job.title}: {other}")
    for name in sorted(checkpoint.fresh_heads):
        notes.note(f"{job.title}: {fresh_head(name, checkpoint.stored_heads)}")
    sized = [name for name, request in requests.items() if request.labels]
    if isinstance(objective, Task) and sized and not checkpoint.fresh_heads and checkpoint.labels != objective.output_labels:
        _forget_labels(checkpoint, sized, job.seed)
        notes.note(f"{job.title}: the last layer begins anew, for the model was trained on other labels ({', '.join(checkpoint.labels)})")
    return checkpoint


def _other_vectors(objective: Objective, checkpoint: Checkpoint) -> Iterator[str]:
    """Says that vectors are trained otherwise than the model has made them so far, if they are."""
    wanted, before = objective.vectors if isinstance(objective, Task) else None, checkpoint.vectors
    if wanted is None or before is None:
        return
    if wanted.pooling != before.pooling:
        yield f"the folder makes vectors with the pooling {before.pooling!r}; they are trained with {wanted.pooling!r}"
    if how := rewritten(before, checkpoint.tokenizer):
        yield f"the folder has {how}; what is trained reads texts as they are"


def _forget_labels(checkpoint: Checkpoint, heads: Sequence[str], seed: int) -> None:
    for name in heads:
        generator = torch.Generator().manual_seed(seed_at(seed, "labels", name))
        checkpoint.model.reinitialise(generator, checkpoint.model.heads[name].get_submodule("output"))


def _is_measured_before(prepared: Prepared, checkpoint: Checkpoint) -> bool:
    """What an objective, or a task for pre-trained heads, is worth shows beside what the model could do before it. A random head could do nothing."""
    zero_shot = all(request.pretrained for request in prepared.objective.heads().values())
    return (zero_shot or not isinstance(prepared.objective, Task)) and "valid" in prepared.rows and not checkpoint.fresh_heads


def _measured(checkpoint: Checkpoint, prepared: Prepared, split: str, job: Job, notes: Notes) -> Evaluation:
    precision = resolve(job.stage.train.precision, checkpoint.model.device)
    return evaluate(
        checkpoint.model,
        prepared.objective,
        prepared.rows[split],
        checkpoint.tokenizer,
        examples=prepared.examples.get(split, ()),
        precision=precision,
        seed=job.seed,
        progress=notes,
    )


def evaluated(checkpoint: Checkpoint, prepared: Prepared, job: Job, notes: Notes) -> tuple[Prepared, dict[str, Evaluation]]:
    """What the finished model scores. A task first learns from the validation data what only that can tell, a threshold for instance."""
    found: dict[str, Evaluation] = {}
    for split in ("valid", "test"):
        if split not in prepared.rows:
            continue
        found[split] = _measured(checkpoint, prepared, split, job, notes)
        task, outcome = prepared.objective, found[split].outcome
        if split == "valid" and isinstance(task, Task) and outcome is not None and (tuned := task.tuned(outcome)) != task:
            prepared, found[split] = replace(prepared, objective=tuned), Evaluation(tuned.metrics(outcome), outcome)
            notes.note(f"{job.title}: chosen on the validation data: {_difference(task, tuned)}")
    return prepared, found


def _difference(task: Task, tuned: Task) -> str:
    before, after = component_table(task), component_table(tuned)
    return ", ".join(
        f"{name} = {value:.4g}" if isinstance(value, float) else f"{name} = {value}" for name, value in after.items() if before.get(name) != value
    )


def save_stage(checkpoint: Checkpoint, prepared: Prepared, folder: Path, tested: Evaluation | None) -> None:
    """Save what was trained, and what it said of the test data."""
    save(_labelled(checkpoint, prepared.objective), folder / "model")
    if isinstance(prepared.objective, Task) and tested is not None and tested.outcome is not None:
        write_predictions(folder, prepared.objective, tested.outcome)


def edited(job: Job, model: Model) -> None:
    """Let the technique edit the model, before a training groups its weights."""
    with torch.random.fork_rng(devices=[]):  # those of other devices are seeded anew before every pass
        torch.manual_seed(seed_at(job.seed, "tuning"))
        job.stage.tuning.apply(model)


def _training(job: Job, prepared: Prepared, checkpoint: Checkpoint, notes: Notes) -> Training:
    return Training(
        model=checkpoint.model,
        tokenizer=checkpoint.tokenizer,
        objective=prepared.objective,
        rows=prepared.rows["train"],
        valid=prepared.rows.get("valid"),
        valid_examples=prepared.examples.get("valid", ()),
        options=job.stage.train,
        tuning=job.stage.tuning,
        seed=job.seed,
        folder=job.folder.path,
        progress=notes,
    )


def trained(job: Job, training: Training) -> TrainResult:
    """Train, and let the technique finish."""
    done = training.run(resume=job.standing.action == "resume")
    finish(job, training.model, job.folder.path)
    return done


def finish(job: Job, model: Model, folder: Path) -> None:
    """Let the technique leave an ordinary model behind, and in a folder what is its own."""
    with own_folder(folder) as own:
        job.stage.tuning.finish(model, own, _base(job))


def _base(job: Job) -> str:
    """The name of the model that training started from."""
    start = job.stage.start
    if isinstance(start, NewModel):
        return f"new {start.family}"
    return start if job.stage.earlier is None or job.start is None else str(job.start.place)


def _labelled(checkpoint: Checkpoint, objective: Objective) -> Checkpoint:
    """The checkpoint that is saved: with the task that it has learned."""
    if not isinstance(objective, Task):
        return Checkpoint(checkpoint.model, checkpoint.tokenizer)
    told = {**checkpoint.model.generation, **objective.generation_config(checkpoint.tokenizer)}
    checkpoint.model.generation = {key: value for key, value in told.items() if value is not None}
    return Checkpoint(
        checkpoint.model,
        checkpoint.tokenizer,
        objective.output_labels,
        {**component_table(objective), "problem_type": objective.problem_type},
        vectors=objective.vectors,
    )


def result_of(
    job: Job,
    prepared: Prepared,
    model: Model,
    done: TrainResult,
    metrics: dict[str, dict[str, float | None]],
    seconds: dict[str, float],
    notes: list[str],
    parts: dict[str, dict[str, Any]] | None = None,
) -> StageResult:
    """All that is written down of a stage."""
    start = job.stage.start
    return StageResult(
        name=job.stage.name,
        start=f"new {start.family}" if isinstance(start, NewModel) else start,
        objective=prepared.objective.name,
        is_task=isinstance(prepared.objective, Task),
        key=job.key,
        seed=job.seed,
        metrics=metrics,
        steps=done.steps,
        epochs=done.epochs,
        kept_step=done.kept_step,
        stopped_early=done.stopped_early,
        tokens=done.tokens,
        tokens_per_second=round(done.tokens_per_second, 1),
        seconds=seconds,
        peak_memory=peak_memory(),
        num_parameters=model.num_parameters,
        resumed_at=done.resumed_at,
        data=prepared.account,
        notes=notes,
        versions=versions(),
        machine=machine(model.device, done.precision, done.processes),
        parts=parts or {},
    )
