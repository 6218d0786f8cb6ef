"""What the parts of a mixture gained or lost against training alone.

A part is compared with the stage of the same recipe that trained the same task on the same data alone, from the same model: on every test example of
both, with a paired test: by the score that the task gives an example, or by F1 over all decisions where that is what the task is judged by. Whoever
wants the comparison writes that stage before the mixture.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bertsmith.metrics.uncertainty import Comparison, compare_paired, compare_paired_f1
from bertsmith.recipe.files import read_json
from bertsmith.recipe.planning import Job, file_key
from bertsmith.recipe.predictions import CORRECT, COUNTS, PREDICTIONS
from bertsmith.recipe.schema import Stage, StageData
from bertsmith.tasks.base import Task

NOISE = "inside the noise"

SURE = 0.05
"""A difference whose p-value is above it is inside the noise."""


@dataclass(frozen=True, slots=True)
class Gain:
    """What came of training a part with others.

    Attributes:
        part: Its name.
        against: The stage that trained it alone.
        metric: What its task is judged by.
        alone: The value of that metric, of the stage's model.
        together: And of the part's.
        found: The second against the first, over the test examples.
        examples: How many there are.
    """

    part: str
    against: str
    metric: str
    alone: float
    together: float
    found: Comparison
    examples: int

    @property
    def verdict(self) -> str:
        """Whether it "gained", "lost", or what it did is "inside the noise"."""
        if self.found.p_value > SURE:
            return NOISE
        return "gained" if self.found.difference > 0 else "lost"

    def __str__(self) -> str:
        found, noise = self.found, f", {NOISE}" if self.verdict == NOISE else ""
        interval = f"{found.interval.low:+.3f} to {found.interval.high:+.3f}, p = {found.p_value:.2g}"
        verb = "gained" if found.difference > 0 else "lost" if found.difference < 0 else "neither gained nor lost:"
        against = f"against stage {self.against!r}, which trained it alone"
        measured = f"{self.metric} {self.together:.3f}, alone {self.alone:.3f}"
        unit = f"in {self.metric}" if np.isclose(found.difference, self.together - self.alone) else "in the score of an example"
        gained = f"{verb} {abs(found.difference):.3f} {unit} {against}"
        return f"part {self.part!r} {gained} ({interval}, {self.examples} test examples{noise}); {measured}"

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; without the part."""
        interval = {"low": self.found.interval.low, "high": self.found.interval.high, "level": self.found.interval.level}
        of_examples = {"difference": self.found.difference, "interval": interval, "p_value": self.found.p_value, "examples": self.examples}
        return {
            "against": self.against,
            "metric": self.metric,
            "alone": self.alone,
            "together": self.together,
            **of_examples,
            "verdict": self.verdict,
        }


def gains(job: Job, earlier: Sequence[Job], folder: Path, tested: Mapping[str, Mapping[str, float]]) -> Iterator[Gain]:
    """Every part beside every earlier stage that trained it alone.

    Args:
        job: A stage with parts, done.
        earlier: The stages before it, done.
        folder: Where the parts' folders are.
        tested: The metrics of the parts on their test data.
    """
    for part in job.stage.parts:
        for other in earlier:
            alone, together = (_lines(place / PREDICTIONS) for place in (other.folder.path, folder / part.name))
            if _is_alone(other, job, part) and alone and together:
                assert isinstance(part.objective, Task), "what has predictions is a task"
                metric, done = part.objective.best_metric, read_json(other.folder.path / "result.json") or {}
                before, after = done["metrics"]["test"][metric], tested[part.name][metric]
                yield Gain(part.name, other.stage.name, metric, before, after, _compared(alone, together), len(alone))


def _is_alone(other: Job, job: Job, part: Stage) -> bool:
    """Whether a stage trained the same task on the same data, from the same model and by the same technique."""
    one, two = ((stage.objective, stage.start, stage.tuning, _reading(stage.data)) for stage in (other.stage, part))
    same_files = all(other.files.get(split) == job.files.get(file_key(job.stage, part, split)) for split in ("train", "test"))
    return not other.stage.parts and one == two and same_files


def _reading(data: StageData) -> StageData:
    """How files are read and what is held out of them, whatever they are called."""
    return replace(data, train="any", valid=data.valid if isinstance(data.valid, float) else None, test=None)


def _compared(alone: Sequence[Any], together: Sequence[Any]) -> Comparison:
    if COUNTS in alone[0] and COUNTS in together[0]:
        return compare_paired_f1(*(np.array([line[COUNTS] for line in lines], np.int64) for lines in (alone, together)))
    return compare_paired(*(np.array([line[CORRECT] for line in lines], np.float64) for lines in (alone, together)))


def _lines(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line] if file.is_file() else []
