"""What the parts of a mixture gained or lost against training alone.

A part is compared with the stage of the same recipe that trained the same task on the same data alone, from the same model: on every test example of
both, by the score that the task gives an example, with a paired test. Whoever wants the comparison writes that stage before the mixture.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bertsmith.metrics.uncertainty import Comparison, compare_paired
from bertsmith.recipe.planning import Job, file_key
from bertsmith.recipe.predictions import CORRECT, PREDICTIONS
from bertsmith.recipe.schema import Stage, StageData

SURE = 0.05
"""A difference whose p-value is above it is inside the noise."""


def gains(job: Job, earlier: Sequence[Job], folder: Path) -> Iterator[str]:
    """A sentence about every part that an earlier stage trained alone.

    Args:
        job: A stage with parts, done.
        earlier: The stages before it, done.
        folder: Where the parts' folders are.
    """
    for part in job.stage.parts:
        for other in earlier:
            alone, together = (_scores(place / PREDICTIONS) for place in (other.folder.path, folder / part.name))
            if _is_alone(other, job, part) and alone is not None and together is not None:
                yield f"part {part.name!r} {_in_words(compare_paired(alone, together), other.stage.name, len(alone))}"


def _is_alone(other: Job, job: Job, part: Stage) -> bool:
    """Whether a stage trained the same task on the same data, from the same model and by the same technique."""
    one, two = ((stage.objective, stage.start, stage.tuning, _reading(stage.data)) for stage in (other.stage, part))
    same_files = all(other.files.get(split) == job.files.get(file_key(job.stage, part, split)) for split in ("train", "test"))
    return not other.stage.parts and one == two and same_files


def _reading(data: StageData) -> StageData:
    """How files are read and what is held out of them, whatever they are called."""
    return replace(data, train="any", valid=data.valid if isinstance(data.valid, float) else None, test=None)


def _scores(file: Path) -> np.ndarray | None:
    if not file.is_file():
        return None
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
    return np.array([line[CORRECT] for line in lines], np.float64)


def _in_words(found: Comparison, alone: str, count: int) -> str:
    noise = "" if found.p_value <= SURE else ", inside the noise"
    interval = f"{found.interval.low:+.3f} to {found.interval.high:+.3f}, p = {found.p_value:.2g}"
    verb = "gained" if found.difference > 0 else "lost" if found.difference < 0 else "neither gained nor lost:"
    against = f"against stage {alone!r}, which trained it alone"
    return f"{verb} {abs(found.difference):.3f} an example {against} ({interval}, {count} test examples{noise})"
