"""Which heads of a stage begin with random weights: told before anything is trained, and a mistake where they have to come with the model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from bertsmith.core.errors import UserError
from bertsmith.core.fields import Place
from bertsmith.models.loading import is_drawn, outline
from bertsmith.objectives.base import HeadRequest, Objective
from bertsmith.objectives.remedy import DOES, without_head
from bertsmith.recipe.schema import Stage
from bertsmith.recipe.starts import Start
from bertsmith.tasks.base import Task


def examined_heads(stage: Stage, objective: Objective, start: Start, earlier: Stage | None, here: Place, at_start: Place) -> list[str]:
    """Look for the heads of an objective in what it starts from, without reading weights.

    Args:
        stage: The stage, or the part of one.
        objective: What it trains, with its labels.
        start: What it starts from.
        earlier: The stage that leaves it, where one does: it leaves the heads that it trains.
        here: Of the objective; gets heads that have to be trained already and are not.
        at_start: Of what it starts from; gets what cannot be opened.

    Returns:
        What else is to be said: pre-trained heads that begin with random weights. Of a head for new labels everybody expects that.
    """
    requests = objective.heads()
    if not isinstance(start.place, Path) or not requests.keys() <= start.family.heads.keys():
        return []
    if earlier is not None:
        stored = frozenset[str]() if earlier.parts else frozenset(earlier.objective.heads())
        fresh = {name for name, request in requests.items() if name not in stored and is_drawn(start.family.head(name), request.labels, None)}
    else:
        try:
            found = outline(str(start.place), {name: request.labels for name, request in requests.items()})
        except UserError as error:
            at_start.wrong("\n    ".join([error.summary, *error.problems]))
            return []
        stored, fresh = found.stored_heads, found.fresh_heads
    if lacking := sorted(name for name in fresh if requests[name].pretrained):
        here.wrong(_needed(lacking, stage, earlier))
    return [fresh_head(name, stored) for name in sorted(fresh) if _is_news(name, objective, requests)]


def fresh_head(name: str, stored: Collection[str]) -> str:
    """That a head is random, beside those that a model has."""
    if name == "mlm":
        return (
            "the model comes without weights for predicting hidden tokens (the published Chinese-BERT-wwm models do, for instance); "
            "they are random and learned here, so expect a high loss for the first steps and train long enough"
        )
    return f"the {name} head is new" + (f"; it has: {', '.join(sorted(stored))}" if stored else "")


def _is_news(name: str, objective: Objective, requests: Mapping[str, HeadRequest]) -> bool:
    return not requests[name].pretrained and (name in DOES or not isinstance(objective, Task))


def _needed(lacking: list[str], stage: Stage, earlier: Stage | None) -> str:
    needed = f"needs the head {' and '.join(lacking)} with its weights"
    if earlier is not None:
        return f"{needed}, and the stage {earlier.name!r} leaves none; train it in a stage between the two, or start from another model"
    assert isinstance(stage.start, str), "a new model has no trained heads, and nobody expects any"
    return f"{needed}. " + "\n\n".join(without_head(name, stage.start) for name in lacking)
