"""One stage with parts: open the model with the heads of all of them, train them together, and save each as it was at its best.

::

    stages/NAME/model/                the shared encoder, without heads: what later stages start from
                parts/PART/model/     a part's model, ready to be used
                           adapter/, predictions.jsonl

A part whose task and data are those of an earlier stage of the recipe, which trained it alone, is compared with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

from bertsmith.core.progress import Progress
from bertsmith.core.randomness import seed_at
from bertsmith.data.store import JoinedRows
from bertsmith.models.loading import Checkpoint, save
from bertsmith.recipe.gains import gains
from bertsmith.recipe.planning import Job, without_a_turn
from bertsmith.recipe.preparing import Prepared
from bertsmith.recipe.processes import is_first, meet
from bertsmith.recipe.result import StageResult
from bertsmith.recipe.stage import Clock, Notes, begun, edited, evaluated, finish, opened, result_of, save_stage
from bertsmith.tasks.base import Task
from bertsmith.tasks.mixture import OF_PART, Mixture
from bertsmith.train.evaluation import Evaluation, HeldOut, joined_metrics
from bertsmith.train.loop import WHOLE, Training
from bertsmith.train.mixing import MixedCourse

PARTS = "parts"


def run_mixture(job: Job, earlier: Sequence[Job], progress: Progress) -> StageResult:
    """Run a stage with parts, whose data is prepared, after the stages before it; see `run_stage`."""
    notes, prepared, clock = begun(job, progress)
    mixture = prepared.objective
    assert isinstance(mixture, Mixture), "a stage with parts trains a mixture"
    with clock.phase("load"):
        checkpoint = _opened_together(job, prepared, notes)
    edited(job, checkpoint.model)
    training = Training(
        model=checkpoint.model,
        tokenizer=checkpoint.tokenizer,
        objective=mixture,
        rows=JoinedRows([part.rows["train"] for part in prepared.parts.values()]),
        valid_parts=_held_out(prepared, "valid"),
        mixing=job.stage.mixing,
        options=job.stage.train,
        tuning=job.stage.tuning,
        seed=job.seed,
        folder=job.folder.path,
        progress=notes,
    )
    for remark in without_a_turn(training.course):
        notes.note(f"{job.title}: {remark}")
    done = training.run(resume=job.standing.action == "resume")
    clock.seconds["train"] = round(done.seconds, 3)
    found = _finished(job, prepared, training, checkpoint, clock, notes)
    notes.note(f"{job.title}: model/ holds the encoder that its parts share; their models are parts/{{{','.join(prepared.parts)}}}/model beside it")
    metrics: dict[str, dict[str, float | None]] = {split: {**joined_metrics(mixture, measured)} for split, measured in found.items() if measured}
    of_parts = _of_parts(prepared, training)
    if is_first():
        for gain in gains(job, earlier, job.folder.path / PARTS, {name: evaluation.metrics for name, evaluation in found["test"].items()}):
            notes.note(f"{job.title}: {gain}")
            of_parts[gain.part]["gains"].append(gain.to_dict())
    result = result_of(job, prepared, checkpoint.model, done, metrics, clock.seconds, notes.kept, of_parts)
    if is_first():
        job.folder.finish(result)
    meet()
    return result


def _opened_together(job: Job, prepared: Prepared, notes: Notes) -> Checkpoint:
    """The model with the heads of all parts on one encoder."""
    assert job.start is not None, "its model was fetched"
    shared: Checkpoint | None = None
    for part in job.stage.parts:
        own = replace(job.of_part(part), seed=seed_at(job.seed, "part", part.name))
        found = opened(own, prepared.parts[part.name], job.start, notes)
        if shared is None:
            shared = Checkpoint(found.model.with_heads({}), found.tokenizer)
        shared.model.generation |= found.model.generation
        for name, request in prepared.parts[part.name].objective.heads().items():
            head = found.model.family.head(name).build(found.model.family, shared.model.backbone, request.labels)
            head.load_state_dict(found.model.heads[name].state_dict())
            shared.model.heads[f"{part.name}{OF_PART}{name}"] = head
    assert shared is not None, "there are parts"
    return shared


def _held_out(prepared: Prepared, split: str) -> dict[str, HeldOut]:
    parts = prepared.parts.items()
    return {name: HeldOut(part.rows[split], part.examples.get(split, ())) for name, part in parts if split in part.rows}


def _of_parts(prepared: Prepared, training: Training) -> dict[str, dict[str, Any]]:
    """What the training was to each part."""
    course, state = training.course, training.state
    assert isinstance(course, MixedCourse), "parts have turns"
    kept = state.best_step if WHOLE in training.best else state.step
    return {
        name: {
            "objective": part.objective.name,
            "is_task": isinstance(part.objective, Task),
            "steps": steps,
            "epochs": round(steps / course.batches[name], 3),
            "kept_step": state.best_steps.get(name, kept),
            "gains": [],
        }
        for (name, part), steps in zip(prepared.parts.items(), course.turns(state.step).values(), strict=True)
    }


def _finished(
    job: Job, prepared: Prepared, training: Training, checkpoint: Checkpoint, clock: Clock, notes: Notes
) -> dict[str, dict[str, Evaluation]]:
    """Measure and save every part with the weights with which it was best, as if it had been trained alone; then the encoder.

    A part is a copy, for the technique makes an ordinary model of each.
    """
    mixture, model = prepared.objective, checkpoint.model
    assert isinstance(mixture, Mixture), "a stage with parts trains a mixture"
    found: dict[str, dict[str, Evaluation]] = {"valid": {}, "test": {}}
    for stage in job.stage.parts:
        folder = job.folder.path / PARTS / stage.name
        part = Checkpoint(deepcopy(mixture.view(model, stage.name)).eval(), checkpoint.tokenizer)
        if stage.name in training.best:
            part.model.load_state_dict(training.best[stage.name])
        finish(job, part.model, folder)
        with clock.phase("evaluate"):
            learned, measured = evaluated(part, prepared.parts[stage.name], job.of_part(stage), notes)
        for split, evaluation in measured.items():
            found[split][stage.name] = evaluation
        if is_first():
            with clock.phase("save"):
                save_stage(part, learned, folder, measured.get("test"))
    encoder = model.with_heads({})
    finish(job, encoder, job.folder.path)
    if is_first():
        save(Checkpoint(encoder, checkpoint.tokenizer), job.folder.model)
    return found
