"""What each step was worth: systems held against one another on the same examples, each trained with several seeds.

A system's score on an example is how often its trainings got it right. Differences are tested over examples, pairwise; seeds show as the spread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from bertsmith.metrics.uncertainty import compare_paired, spread_of
from bertsmith.report.words import language, points


@dataclass(frozen=True, slots=True)
class System:
    """One way to an answer.

    Attributes:
        title: What it is called.
        about: What was done, in a few words.
        stages: Of the run, one a seed; none for an answer that was not trained.
        correct: Of every training and example, 1 where it is right.
    """

    title: str
    about: str
    stages: tuple[str, ...]
    correct: Float[np.ndarray, "seeds examples"]

    @property
    def by_example(self) -> Float[np.ndarray, " examples"]:
        """How often an example was done right, 0-1."""
        return self.correct.mean(0)


@dataclass(frozen=True, slots=True)
class Subset:
    """Some of the test examples.

    Attributes:
        name: What they are.
        chosen: True for each of them.
    """

    name: str
    chosen: Bool[np.ndarray, " examples"]


def subsets_of(texts: Sequence[str]) -> list[Subset]:
    """All texts, the Chinese and the English ones; those that there are.

    Example:
        >>> [(subset.name, int(subset.chosen.sum())) for subset in subsets_of(["很好", "好", "good"])]
        [('all', 3), ('Chinese', 2), ('English', 1)]
    """
    chinese = np.array([bool(language(text)) for text in texts])
    parts = [Subset("all", np.ones(len(texts), np.bool_)), Subset("Chinese", chinese), Subset("English", ~chinese)]
    return [part for part in parts if part.chosen.any()]


def constant(label: str, gold: Sequence[str]) -> System:
    """The system that always gives one answer."""
    return System(f"Always “{label}”", "no training", (), np.array([[float(name == label) for name in gold]]))


def described(system: System, subsets: Sequence[Subset]) -> dict[str, Any]:
    """A system and its scores, ready for JSON."""
    return {
        "title": system.title,
        "about": system.about,
        "stages": list(system.stages),
        "scores": {subset.name: _scores(system.correct[:, subset.chosen].mean(1).tolist()) for subset in subsets},
    }


def difference(title: str, first: System, second: System, subset: Subset) -> dict[str, Any]:
    """By how much the second system is better than the first, ready for JSON; a positive difference is for the second."""
    found = compare_paired(first.by_example[subset.chosen], second.by_example[subset.chosen])
    return {
        "title": title,
        "subset": subset.name,
        "difference": found.difference,
        "low": found.interval.low,
        "high": found.interval.high,
        "p_value": found.p_value,
        "verdict": found.verdict,
    }


def verdict(labelled: int, baseline: System, plain: System, gained: Mapping[str, Any], adapted: Mapping[str, Any]) -> str:
    """The whole comparison in one sentence or two.

    Args:
        labelled: Rows of training data.
        baseline: The constant answer.
        plain: Fine-tuned as it comes.
        gained: What fine-tuning gains over the constant answer; of `difference`.
        adapted: What adapting gains over that.
    """
    rate, constant_rate = plain.correct.mean(), baseline.correct.mean()
    answer = f"{baseline.title[0].lower()}{baseline.title[1:]}"
    against = "where" if gained["verdict"] == "better" else "which is not clearly more than what"
    first = (
        f"With {labelled:,} labelled reviews the built-in model gets {rate:.1%} of {len(plain.by_example):,} new ones right, {against} {answer} gets"
    )
    first = f"{first} {constant_rate:.1%}." if against == "where" else f"{first}: {constant_rate:.1%}."
    return f"{first} {_adapting(adapted)}"


def _adapting(found: Mapping[str, Any]) -> str:
    size = points(abs(found["difference"])).lstrip("+")
    numbers = f"95% interval {points(found['low'])} to {points(found['high'])}, p\u00a0=\u00a0{found['p_value']:.2g}"
    if found["verdict"] == "inside the noise":
        return f"Reading raw reviews first changes that by {points(found['difference'])} points, which is inside the noise ({numbers})."
    return f"Reading raw reviews first {'adds' if found['verdict'] == 'better' else 'costs'} {size} points, which is more than noise ({numbers})."


def _scores(values: Sequence[float]) -> dict[str, Any]:
    spread = spread_of(values)
    return {"values": list(values), "mean": spread.mean, "deviation": spread.deviation}
