"""What a run will do, and everything that is wrong with it that can be told without weights.

For every stage: what it starts from, which files it reads, whether it is done already, whether its data can be used, whether model, objective and
technique fit together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bertsmith.core.errors import RecipeError, UserError
from bertsmith.core.fields import Place
from bertsmith.core.progress import Progress
from bertsmith.core.registry import nearest
from bertsmith.models.family import Family, without_values
from bertsmith.objectives.base import Objective
from bertsmith.recipe.files import digest, source_digests
from bertsmith.recipe.heads import examined_heads
from bertsmith.recipe.preparing import Prepared, joined, look_at_text, prepared_task, splits_of
from bertsmith.recipe.result import Planned
from bertsmith.recipe.schema import Recipe, Stage
from bertsmith.recipe.standing import STAGES, StageFolder, Standing, inputs_of
from bertsmith.recipe.starts import Start, examined, is_here
from bertsmith.tasks.base import Task
from bertsmith.tasks.outcome import Outcome
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.train.batches import Course
from bertsmith.train.mixing import MixedCourse
from bertsmith.train.options import TrainOptions
from bertsmith.tuning.base import nothing_left

OBJECTIVE_METRICS = ("loss", "perplexity")
"""What is measured of every pre-training objective."""

BY = "best:"
"""Before the metric that weights are kept by."""


@dataclass(frozen=True)
class Job:
    """One stage and all that is known of it before it is run.

    Attributes:
        stage: The stage.
        seed: That it is run with.
        folder: Its folder.
        start: What it starts from; None where that is on the Hub and nothing is to be fetched.
        inputs: What its result depends on; None where something of it is not known.
        standing: What is to be done about it.
        files: The hashes of its data files by split.
        prepared: Its data; None where the stage is cached.
        remarks: What is to be said of its heads before it is run.
        within: The title of the stage that it is a part of, if it is one.
    """

    stage: Stage
    seed: int
    folder: StageFolder
    start: Start | None
    inputs: dict[str, Any] | None
    standing: Standing
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    prepared: Prepared | None = None
    remarks: tuple[str, ...] = ()
    within: str = ""

    @property
    def title(self) -> str:
        """What it is called in what the user is told: `stage 'match'`, or `stage 'together': part 'match'`."""
        return f"{self.within}: part {self.stage.name!r}" if self.within else f"stage {self.stage.name!r}"

    def of_part(self, part: Stage) -> Job:
        """The same for one of its parts, as if that were trained alone."""
        return replace(self, stage=part, within=self.title)

    @property
    def key(self) -> str:
        """The hash of everything that its result depends on."""
        return digest(self.inputs)

    def planned(self) -> Planned:
        """What will be done about it, in words and numbers."""
        before = {} if self.standing.result is None else self.standing.result.data
        account = before if self.prepared is None else self.prepared.account
        return Planned(
            name=self.stage.name,
            action=self.standing.action,
            why=self.standing.why,
            rows={split: int(part["rows"]) for split, part in account.items()},
            steps=self._steps(),
        )

    def _steps(self) -> int | None:
        if self.standing.result is not None:
            return self.standing.result.steps
        course = None if self.prepared is None else _course(self, self.prepared)
        return self.stage.train.steps if course is None else course.total


def _course(job: Job, prepared: Prepared) -> Course | None:
    """The steps of a stage; None while its raw text is not encoded."""
    trained = {name: part.rows.get("train") for name, part in (prepared.parts or {"": prepared}).items()}
    lengths = {name: rows.lengths for name, rows in trained.items() if rows is not None}
    if len(lengths) < len(trained):
        return None
    if prepared.parts:
        return MixedCourse(lengths, job.stage.train, job.stage.mixing, job.seed)
    return Course(lengths[""], job.stage.train, job.seed)


def without_a_turn(course: Course | None) -> Iterator[str]:
    """Says which parts of a mixture learn nothing, for the training is over before their turn comes."""
    if not isinstance(course, MixedCourse):
        return
    for name, number in course.turns(course.total).items():
        if not number:
            yield (
                f"part {name!r} has no turn in {course.total:,} of the {course.per_epoch:,} steps of an epoch, and its head stays as it began: "
                f'take more steps, another sampling ("equal" for instance), or give it weight (mixture.weights.{name})'
            )


def plan(recipe: Recipe, out: Path, *, resume: bool, fetch: bool, progress: Progress) -> list[Job]:
    """Look at everything that a run needs. Of raw text only the beginnings of the files are read; labelled data is read and encoded.

    Args:
        recipe: What is to be run.
        out: The run's folder.
        resume: Whether interrupted stages are gone on with.
        fetch: Ask the Hub for models that are not here.
        progress: Who wants to know.

    Raises:
        RecipeError: Lists everything that is wrong, each with its path.
    """
    problems: list[str] = []
    jobs: dict[str, Job] = {}
    for stage in recipe.stages:
        place = Place(recipe.place(stage), problems)
        files = _files(stage, place)
        job = _job(recipe, stage, jobs, out, files, resume=resume, fetch=fetch, place=place)
        jobs[stage.name] = job
        _note_missing_validation(stage, place.at("train"))
        if job.standing.action == "cached":
            continue
        prepared = _prepared(job, place, progress)
        earlier = None if stage.earlier is None else jobs[stage.earlier].stage
        of_turns = () if prepared is None else without_a_turn(_course(job, prepared))
        jobs[stage.name] = replace(job, prepared=prepared, remarks=(*_of_heads(job, prepared, earlier, place), *of_turns))
        _note_unmeasured(jobs[stage.name], place.at("train").at("keep"))
    if problems:
        different = list(dict.fromkeys(problems))  # that a file is not there is found when it is hashed and when it is read
        raise RecipeError(f"{len(different)} {'things are' if len(different) > 1 else 'thing is'} wrong with the recipe", different)
    blocked = [f"stage {job.stage.name!r} {job.standing.why}" for job in jobs.values() if job.standing.action == "blocked"]
    if blocked:
        raise RecipeError(f"{out} holds an unfinished run", blocked)
    return list(jobs.values())


def _job(
    recipe: Recipe,
    stage: Stage,
    jobs: Mapping[str, Job],
    out: Path,
    files: Mapping[str, Mapping[str, str]] | None,
    *,
    resume: bool,
    fetch: bool,
    place: Place,
) -> Job:
    folder, seed = StageFolder(out / STAGES / stage.name), recipe.seed_of(stage)
    if stage.earlier is not None:
        earlier = jobs[stage.earlier]
        start = earlier.start and replace(earlier.start, place=earlier.folder.model)
        origin = None if earlier.inputs is None else earlier.key
    else:
        start = _start(stage, fetch, place.at("from"))
        origin = start and start.digest
    if files is None or origin is None:
        return Job(stage, seed, folder, start, None, Standing("run", "the model has to be fetched from the Hub first"))
    inputs = inputs_of(stage, seed, origin, files)
    return Job(stage, seed, folder, start, inputs, folder.standing(inputs, resume=resume), files)


def _start(stage: Stage, fetch: bool, place: Place) -> Start | None:
    if not fetch and not is_here(stage.start):
        return None
    try:
        return examined(stage.start)
    except UserError as error:
        place.wrong("\n    ".join([error.summary, *error.problems]))
        return None


def _files(stage: Stage, place: Place) -> dict[str, dict[str, str]] | None:
    """The hashes of a stage's data files by split; None, with a note, where one is not there."""
    found: dict[str, dict[str, str]] = {}
    missing = False
    for one, here in zip(stage.singly, places(stage, place), strict=True):
        for split, names in splits_of(one.data).items():
            try:
                found[file_key(stage, one, split)] = source_digests(names)
            except UserError as error:
                here.at("data").at(split).wrong("\n    ".join([error.summary, *error.problems]))
                missing = True
    return None if missing else found


def file_key(stage: Stage, one: Stage, split: str) -> str:
    """What a data file of a stage, or of one of its parts, is known by."""
    return f"{one.name}/{split}" if stage.parts else split


def places(stage: Stage, place: Place) -> list[Place]:
    """Where the parts of a stage stand; the stage's own place where it has none."""
    return [place.at("part").at(number) for number in range(len(stage.parts))] if stage.parts else [place]


def _prepared(job: Job, place: Place, progress: Progress) -> Prepared | None:
    found = [_prepared_alone(job, one, here, progress) for one, here in zip(job.stage.singly, places(job.stage, place), strict=True)]
    known = {one.name: prepared for one, prepared in zip(job.stage.singly, found, strict=True) if prepared is not None}
    if len(known) < len(found):
        return None
    return joined(known) if job.stage.parts else found[0]


def _prepared_alone(job: Job, stage: Stage, place: Place, progress: Progress) -> Prepared | None:
    if isinstance(stage.objective, Task):
        prepared = prepared_task(stage, job.seed, job.start, place, progress)
    else:
        look_at_text(stage, place.at("data"))
        prepared = Prepared(stage.objective)
    if prepared is not None and job.start is not None:
        _note_misfits(stage, prepared, job.start.family, place)
    return prepared


def _of_heads(job: Job, prepared: Prepared | None, earlier: Stage | None, place: Place) -> Iterator[str]:
    if prepared is None or job.start is None:
        return
    for one, here in zip(job.stage.singly, places(job.stage, place), strict=True):
        objective = prepared.parts.get(one.name, prepared).objective
        at_objective = here.at("task" if isinstance(objective, Task) else "objective")
        remarks = examined_heads(one, objective, job.start, earlier, at_objective, place.at("from"))
        yield from (f"part {one.name!r}: {remark}" if job.stage.parts else remark for remark in remarks)


def _note_missing_validation(stage: Stage, place: Place) -> None:
    """Options that mean nothing without validation data."""
    if any(one.data.valid is not None for one in stage.singly):
        return
    options: TrainOptions = stage.train
    wanted = [f"keep = {options.keep!r}"] if options.keep != "last" else []
    wanted += [name for name in ("patience", "evaluate_every") if getattr(options, name) is not None]
    if wanted:
        place.wrong(f"{' and '.join(wanted)}: there is no validation data; give data.valid, a file or a share of the training data such as 0.1")


def _note_unmeasured(job: Job, place: Place) -> None:
    """Weights that are to be kept by a metric that nobody measures."""
    keep = job.stage.train.keep
    if job.prepared is None or job.start is None or not keep.startswith(BY):
        return
    metric, known = keep.removeprefix(BY), _metric_names(job.stage, job.prepared, job.start.tokenizer)
    if known and metric not in known:
        place.wrong(f"got {keep!r}{nearest(metric, known)}; what is measured: {', '.join(known)}")


def _note_misfits(stage: Stage, prepared: Prepared, family: Family, place: Place) -> None:
    """What a model cannot do: a head, a length, a technique."""
    objective = prepared.objective
    here = place.at("task" if isinstance(objective, Task) else "objective")
    longest = getattr(objective, "max_length", 0)
    if longest > family.max_length:
        here.at("max_length").wrong(f"got {longest}; the model has {family.max_length} positions")
    for name, message in objective.misfits(family):
        (here.at(name) if name else here).wrong(message)
    for message, where in _unbuildable(stage, objective, family, here, place.at("tuning")):
        where.wrong(message)


def _unbuildable(stage: Stage, objective: Objective, family: Family, here: Place, tuning: Place) -> Iterator[tuple[str, Place]]:
    """Build the model without weights, and let the technique edit it."""
    try:
        with without_values():
            model = family.build_model({name: request.labels for name, request in objective.heads().items()})
    except UserError as error:
        yield error.summary, here
        return
    try:
        stage.tuning.apply(model)
    except ValueError as error:
        yield str(error), tuning
        return
    if reason := nothing_left(stage.tuning, model):
        yield reason, tuning


def _metric_names(stage: Stage, prepared: Prepared, tokenizer: Tokenizer) -> tuple[str, ...]:
    """What is measured of a stage during training; nothing without validation data."""
    if stage.parts:
        return _metric_names_of_parts(stage, prepared, tokenizer)
    task = prepared.objective
    if task.validated_by_loss:
        return OBJECTIVE_METRICS
    assert isinstance(task, Task), "an objective is measured by its loss"
    rows = list(prepared.rows.get("valid", ()))
    outcome = Outcome([task.blank(row) for row in rows], rows, prepared.examples.get("valid", ()), tokenizer)
    return tuple(task.metrics(outcome)) if rows else ()


def _metric_names_of_parts(stage: Stage, prepared: Prepared, tokenizer: Tokenizer) -> tuple[str, ...]:
    parts = {part.name: prepared.parts[part.name] for part in stage.parts if part.data.valid is not None}
    known = {part.name: _metric_names(part, parts[part.name], tokenizer) for part in stage.parts if part.name in parts}
    only_losses = all(part.objective.validated_by_loss for part in parts.values())
    return (*(f"{name}.{metric}" for name, metrics in known.items() for metric in metrics), "loss" if only_losses else "mean")
