"""The windows over a text that is tagged: what stands around each, and how what is said of all becomes one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from bertsmith.core.types import Features
from bertsmith.metrics.entities import Span
from bertsmith.tasks.outcome import Outcome, Output
from bertsmith.tasks.tag_set import TagSet
from bertsmith.tasks.tagged_text import entities_in, passage_of
from bertsmith.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Found:
    """An entity that was predicted.

    Attributes:
        units: Start, end (exclusive) and type, in units.
        score: 0-1.
    """

    units: Span
    score: float


def frame(tokenizer: Tokenizer) -> tuple[Int[np.ndarray, " before"], Int[np.ndarray, " after"]]:
    """The special tokens that stand before a text, and those after it; a family may have none."""
    whole, bare = tokenizer.encode("a").input_ids, tokenizer.pieces("a").input_ids
    before = next(place for place in range(len(whole)) if np.array_equal(whole[place : place + len(bare)], bare))
    return whole[:before], whole[before + len(bare) :]


def merged(rows: Sequence[tuple[Features, Output]]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Units, their lasts, tags and probabilities of one text, in order; each unit from the window in which it stands farthest from the edge."""
    places, lengths = [row["places"] for row, _ in rows], [len(row["input_ids"]) for row, _ in rows]
    margins = np.concatenate([np.minimum(place, length - 1 - place) for place, length in zip(places, lengths, strict=True)])
    units, lasts = (np.concatenate([row[name] for row, _ in rows]) for name in ("units", "lasts"))
    said = np.concatenate([output for _, output in rows])
    order = np.lexsort((-margins, units))
    _, first = np.unique(units[order], return_index=True)
    chosen = order[first]
    return units[chosen], lasts[chosen], said[chosen, 0], said[chosen, 1]


def found_in(rows: Sequence[tuple[Features, Output]], tags: TagSet) -> list[Found]:
    """The entities of one text, from its windows and what was said of them."""
    units, lasts, numbers, scores = merged(rows)
    runs = tags.entities(numbers.astype(np.int64).tolist())
    return [Found((int(units[start]), int(lasts[end - 1]) + 1, label), float(scores[start:end].mean())) for start, end, label in runs]


def spans(outcome: Outcome, tags: TagSet) -> tuple[list[list[Span]], list[list[Span]]]:
    """The right entities of every text, and those that were found, in characters.

    Args:
        outcome: Of `tagging`, with labelled examples.
        tags: What the head scores.
    """
    gold: list[list[Span]] = []
    found: list[list[Span]] = []
    for example, rows in outcome.by_example():
        passage = passage_of(example)
        gold.append([entity.characters for entity in entities_in(example, passage)])
        found.append([(*passage.characters(start, end), label) for start, end, label in (one.units for one in found_in(rows, tags))])
    return gold, found
