"""Running a recipe: its stages in order, each once.

What is done is kept. A run that is stopped, by whatever means, is gone on with by the same command and `--resume`; a recipe that has changed is run
again from the first stage that the change concerns.
"""

from __future__ import annotations

import errno
import json
import signal
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import FrameType

from bertsmith.core.errors import InterruptedRunError, RecipeError, UserError
from bertsmith.core.fields import Place
from bertsmith.core.progress import Progress, Silence
from bertsmith.recipe.files import is_disk_full, link_folder, write_json, write_text
from bertsmith.recipe.mixed import run_mixture
from bertsmith.recipe.planning import Job, file_key, places, plan
from bertsmith.recipe.preparing import Prepared, joined, prepared_text, splits_of
from bertsmith.recipe.processes import first_goes_first, is_first, meet
from bertsmith.recipe.result import RunResult, StageResult
from bertsmith.recipe.schema import Recipe
from bertsmith.recipe.stage import run_stage
from bertsmith.recipe.standing import STAGES, check_folder, held
from bertsmith.recipe.writing import to_toml
from bertsmith.tasks.base import Task


def run(recipe: Recipe, out: Path, *, resume: bool = False, dry_run: bool = False, progress: Progress | None = None) -> RunResult:
    """Run a recipe.

    Args:
        recipe: What `parse` or `read_recipe` gave.
        out: The run's folder. Stages that are done there with the same inputs are not run again.
        resume: Go on with a stage that was interrupted.
        dry_run: Find everything that is wrong and say what would be done; nothing is written and the network is not asked.
        progress: Who wants to know.

    Returns:
        What was done, or what would be.

    Raises:
        RecipeError: Something is wrong with the recipe, its data or the folder; lists everything.
        CheckpointError: A model cannot be read.
        InterruptedRunError: Stopped from outside; what was done is kept and can be gone on with (of a dry run there is nothing to keep).
    """
    listener = progress if progress is not None and is_first() else Silence()
    check_folder(out, [stage.name for stage in recipe.stages])
    with _told_plainly(out, keeps=not dry_run):
        jobs = plan(recipe, out, resume=resume, fetch=not dry_run, progress=listener)
        planned = tuple(job.planned() for job in jobs)
        if dry_run:
            notes = _notes(jobs)
            for note in notes:
                listener.note(note)
            return RunResult(folder=out, seed=recipe.seed, plan=planned, notes=notes)
        if resume and not (out / STAGES).is_dir():
            listener.note(f"there is no run in {out} to go on with: it begins from the start")
        meet()
        with held(out) if is_first() else nullcontext():
            return _run(recipe, jobs, RunResult(folder=out, seed=recipe.seed, plan=planned), listener)


def _run(recipe: Recipe, jobs: Sequence[Job], result: RunResult, progress: Progress) -> RunResult:
    out = result.folder
    if is_first():
        _begin(recipe, out)
        for job in jobs:
            job.folder.recover()
    stages: list[StageResult] = []
    with first_goes_first():
        jobs = _with_text(recipe, jobs, out, progress)
    for job in jobs:
        stages.append(_done(job, jobs, progress))
        if is_first():
            _join_metrics(out, stages)
    if is_first():
        link_folder(jobs[-1].folder.model, result.model)
        write_json(out / "result.json", {"seed": recipe.seed, "stages": [stage.to_dict() for stage in stages]})
    meet()
    return replace(result, stages=tuple(stages))


def _begin(recipe: Recipe, out: Path) -> None:
    (out / STAGES).mkdir(parents=True, exist_ok=True)
    write_text(out / "recipe.toml", to_toml(recipe))
    (out / "result.json").unlink(missing_ok=True)


def _with_text(recipe: Recipe, jobs: Sequence[Job], out: Path, progress: Progress) -> list[Job]:
    """The jobs with their raw text encoded: all of it before the first step, for what is wrong with it should not show after hours."""
    problems: list[str] = []
    ready: list[Job] = []
    for job in jobs:
        if job.standing.action == "cached" or all(isinstance(one.objective, Task) for one in job.stage.singly):
            ready.append(job)
            continue
        ready.append(replace(job, prepared=_with_text_of(job, Place(recipe.place(job.stage), problems), out / "cache", progress)))
    if problems:
        raise RecipeError(f"{len(problems)} {'things are' if len(problems) > 1 else 'thing is'} wrong with the data", problems)
    return ready


def _with_text_of(job: Job, place: Place, cache: Path, progress: Progress) -> Prepared | None:
    """What a stage is trained on, with the raw text of the stage or of its parts."""
    assert job.start is not None, "a run has fetched its models"
    assert job.prepared is not None, "its plan is without a mistake"
    found: dict[str, Prepared | None] = {}
    for one, here in zip(job.stage.singly, places(job.stage, place), strict=True):
        if isinstance(one.objective, Task):
            found[one.name] = job.prepared.parts[one.name]
            continue
        files = {split: job.files[file_key(job.stage, one, split)] for split in splits_of(one.data)}
        found[one.name] = prepared_text(one, job.seed, job.start, files, cache, here.at("data"), progress)
    known = {name: prepared for name, prepared in found.items() if prepared is not None}
    if len(known) < len(found):
        return None
    return joined(known) if job.stage.parts else known[job.stage.name]


def _done(job: Job, jobs: Sequence[Job], progress: Progress) -> StageResult:
    place = [other.stage.name for other in jobs].index(job.stage.name)
    about = f"stage {job.stage.name!r} ({place + 1} of {len(jobs)})"
    if job.standing.result is not None:
        progress.note(f"{about}: {job.standing.why}, not run again")
        return replace(job.standing.result, cached=True)
    progress.note(f"{about}: {'goes on' if job.standing.action == 'resume' else 'begins'}, {job.standing.why}")
    try:
        return run_mixture(job, jobs[:place], progress) if job.stage.parts else run_stage(job, progress)
    except InterruptedRunError as error:
        raise InterruptedRunError(f"{about}: {error}") from error
    except KeyboardInterrupt:
        raise InterruptedRunError(f"{about}: stopped; finished stages and checkpoints are kept: go on with --resume") from None


def _join_metrics(out: Path, stages: Sequence[StageResult]) -> None:
    """`metrics.jsonl` of all stages so far, with the stage in every line."""
    files = {stage.name: out / STAGES / stage.name / "metrics.jsonl" for stage in stages}
    lines = [(name, line) for name, file in files.items() if file.is_file() for line in file.read_text(encoding="utf-8").splitlines()]
    write_text(out / "metrics.jsonl", "".join(json.dumps({"stage": name, **json.loads(line)}) + "\n" for name, line in lines))


def _notes(jobs: Sequence[Job]) -> tuple[str, ...]:
    """What there is to say of data and heads."""
    return tuple(f"stage {job.stage.name!r}: {note}" for job in jobs if job.prepared is not None for note in [*job.prepared.notes, *job.remarks])


@contextmanager
def _told_plainly(out: Path, *, keeps: bool) -> Generator[None]:
    """A full disk and a wish to stop are said as what they are, with the way on; a run that `keeps` nothing has none."""
    try:
        with _stopped_by_terminate():
            yield
    except KeyboardInterrupt:
        raise InterruptedRunError(f"stopped; what was done is kept in {out}: go on with --resume" if keeps else "interrupted") from None
    except OSError as error:
        if is_disk_full(error):
            raise _full_disk(out) from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise RecipeError(_refused(error, out)) from error
        raise
    except UserError as error:
        if is_disk_full(error):
            raise _full_disk(out) from error
        raise


def _refused(error: OSError, out: Path) -> str:
    """What the operating system does not allow; with a way on where that is the folder of the run."""
    place = Path(error.filename or out)
    if place.absolute().is_relative_to(out.absolute()):
        return f"cannot write {place}: {error.strerror}; name another folder with --out"
    return f"{place} cannot be used: {error.strerror}"


def _full_disk(out: Path) -> RecipeError:
    return RecipeError(f"the disk of {out} is full; finished stages and the last checkpoint are kept: free some space and go on with --resume")


@contextmanager
def _stopped_by_terminate() -> Generator[None]:
    """SIGTERM is treated like Ctrl-C, where signals can be received."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
