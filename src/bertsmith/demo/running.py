"""Running the demo: its recipe with several seeds, then what came of it."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from bertsmith.core.amounts import plural
from bertsmith.core.errors import RecipeError
from bertsmith.core.progress import Progress, Silence
from bertsmith.core.types import Example
from bertsmith.demo.comparing import System, constant, described, difference, subsets_of, verdict
from bertsmith.demo.showing import show_recipe, show_result
from bertsmith.inference.engine import Engine
from bertsmith.models.loading import load
from bertsmith.recipe.files import write_json, write_text
from bertsmith.recipe.result import RunResult, StageResult
from bertsmith.recipe.run import run as run_recipe
from bertsmith.recipe.schema import Recipe, Stage, read_recipe
from bertsmith.report import write_report
from bertsmith.report.records import COMPARISON, Record, read_run
from bertsmith.report.words import score
from bertsmith.tasks.base import Task

RECIPE = Path(__file__).parent / "demo.toml"
SEEDS = (1, 2, 3)

NEW_SENTENCES = (
    "房间宽敞又安静，早餐也好吃，下次还住这里。",
    "客服一直说马上处理，等了三天也没人回，太失望了。",
    "這本書寫得真好，一口氣讀完，推薦給大家。",
    "The battery dies before lunch every day; a waste of money.",
    "Lovely staff and great food, we will be back soon.",
)
"""Of nobody's data."""


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What the demo found.

    Attributes:
        folder: Of the run.
        report: The page.
        seconds: Wall-clock time of it all.
        comparison: Systems, their scores and differences, the time of every step, predictions: what `comparison.json` holds.
    """

    folder: Path
    report: Path
    seconds: float
    comparison: dict[str, Any]

    @property
    def model(self) -> Path:
        """The folder of the last model: adapted and fine-tuned."""
        return self.folder / "model"

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        paths = {"folder": str(self.folder), "model": str(self.model), "report": str(self.report)}
        return {**paths, "seconds": round(self.seconds, 1), **self.comparison}


def run(out: Path, progress: Progress | None = None, *, overrides: Sequence[str] = (), seeds: Sequence[int] = SEEDS) -> DemoResult:
    """Run the demo. Steps that an earlier run in the same folder has done are not done again.

    Args:
        out: The folder of its results.
        progress: Who wants to know.
        overrides: Changes of the recipe, `path=value`.
        seeds: Every fine-tuning is run with each of them.

    Raises:
        RecipeError: An override is wrong, or the folder holds something else.
        InterruptedRunError: Stopped from outside; run it again to go on.
    """
    started, listener = time.monotonic(), progress or Silence()
    base = read_recipe(RECIPE, overrides)
    show_recipe(RECIPE.read_text(encoding="utf-8"), seeds)
    done = run_recipe(seeded(base, seeds), out, resume=True, progress=listener)
    comparison = _compared(base, done, seeds)
    predicting = time.monotonic()
    comparison["predictions"] = _predictions(base.stages[-1], done.model, [Example({"text": text}) for text in NEW_SENTENCES])
    comparison["steps"] = _steps(base, done, time.monotonic() - predicting)
    write_text(out / "demo.toml", RECIPE.read_text(encoding="utf-8"))
    write_json(out / COMPARISON, comparison)
    result = DemoResult(folder=out, report=write_report(out), seconds=time.monotonic() - started, comparison=comparison)
    show_result(result.comparison, result.seconds, out)
    return result


def seeded(recipe: Recipe, seeds: Sequence[int]) -> Recipe:
    """The same recipe with every task once a seed; the stages that they start from are run once.

    Example:
        >>> stages = seeded(read_recipe(RECIPE, ["stage.adapt.from=.", "stage.plain.from=."]), [1, 2]).stages
        >>> [(stage.name, stage.seed) for stage in stages]
        [('adapt', 1), ('plain-1', 1), ('plain-2', 2), ('adapted-1', 1), ('adapted-2', 2)]
    """
    return replace(recipe, stages=tuple(made for stage in recipe.stages for made in _with_seeds(stage, seeds)))


def _with_seeds(stage: Stage, seeds: Sequence[int]) -> list[Stage]:
    if not isinstance(stage.objective, Task):
        return [stage]
    return [replace(stage, name=name, seed=seed) for name, seed in zip(_names(stage, seeds), seeds, strict=True)]


def _names(stage: Stage, seeds: Sequence[int]) -> tuple[str, ...]:
    return tuple(f"{stage.name}-{seed}" for seed in seeds)


def _compared(recipe: Recipe, done: RunResult, seeds: Sequence[int]) -> dict[str, Any]:
    """Hold what the fine-tuned models said of the test data against one another."""
    adapt, plain_stage, adapted_stage = recipe.stages
    said = {stage.name: stage.predictions for stage in read_run(done.folder).stages}
    plain = _measured("Fine-tuned", "the built-in model as it comes", _names(plain_stage, seeds), said)
    adapted = _measured("Adapted, then fine-tuned", "after reading raw reviews", _names(adapted_stage, seeds), said)
    test = said[plain.stages[0]]
    trained = _result(done, plain.stages[0]).data["train"]
    baseline = constant(max(trained["labels"], key=lambda name: (trained["labels"][name], name)), [row["gold"] for row in test])
    subsets = subsets_of([row["text"] for row in test])
    gained = difference("fine-tuning over one answer for all", baseline, plain, subsets[0])
    worth = [difference("adapting over not adapting", plain, adapted, subset) for subset in subsets]
    return {
        "title": "From raw text to a classifier of reviews",
        "about": _about(_result(done, adapt.name), trained["rows"], len(seeds)),
        "verdict": verdict(trained["rows"], baseline, plain, gained, worth[0]),
        "command": shlex.join(["bertsmith", "demo", "--out", str(done.folder)]),
        "metric": "accuracy",
        "subsets": [{"name": subset.name, "title": subset.name, "examples": int(subset.chosen.sum())} for subset in subsets],
        "systems": [described(system, subsets) for system in (baseline, plain, adapted)],
        "differences": [gained, *worth],
    }


def _about(adapted: StageResult, labelled: int, seeds: int) -> str:
    metrics = adapted.metrics
    before, after = (score(metrics.get(split, {}).get("perplexity"), "perplexity") for split in ("before", "valid"))
    gain = f", by which its perplexity on held-out reviews went from {before} to {after}"
    return (
        f"The model that comes with bertsmith read {plural(adapted.data['train']['rows'], 'sequence')} of raw reviews{gain}. "
        f"As it comes and adapted, it was then fine-tuned on the same {labelled:,} labelled reviews, with {plural(seeds, 'seed')} each, "
        "and measured on the same test reviews: "
        "mean ± standard deviation."
    )


def _measured(title: str, about: str, names: tuple[str, ...], said: Mapping[str, Sequence[Record]]) -> System:
    if missing := [name for name in names if not said[name]]:
        raise RecipeError("predictions of the test data are missing; delete the folders of these stages to run them again", missing)
    return System(title, about, names, np.array([[float(line["label"] == line["gold"]) for line in said[name]] for name in names]))


def _predictions(stage: Stage, model: Path, examples: Iterable[Example]) -> list[dict[str, Any]]:
    rows = list(examples)
    checkpoint = load(str(model))
    engine = Engine(checkpoint, replace(cast("Task", stage.objective), labels=checkpoint.labels))
    said = engine.predict(rows)
    return [{"text": row["text"], **one} for row, one in zip(rows, said, strict=True)]


def _steps(recipe: Recipe, done: RunResult, predicting: float) -> list[dict[str, Any]]:
    """Seconds of every step, those of all seeds together."""
    steps: list[dict[str, Any]] = []
    for stage in recipe.stages:
        members = [one for one in done.stages if one.name == stage.name or one.name.startswith(f"{stage.name}-")]
        seconds = sum(sum(one.seconds.values()) for one in members)
        what = f"fine-tune {stage.name}, {plural(len(members), 'seed')}" if isinstance(stage.objective, Task) else f"{stage.name} to raw text"
        steps.append({"name": what, "seconds": round(seconds, 2)})
    return [*steps, {"name": "predict new sentences", "seconds": round(predicting, 2)}]


def _result(done: RunResult, name: str) -> StageResult:
    return next(stage for stage in done.stages if stage.name == name)
