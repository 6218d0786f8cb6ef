"""How well the entities of some texts are found, and what is wrong with those that are not: of which kind, in which type, and at which length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from bertsmith.core.types import Example
from bertsmith.metrics.classification import scores_of_counts
from bertsmith.metrics.entities import Span, span_scores, span_scores_by_type
from bertsmith.metrics.span_errors import KINDS, Pair, kind_of, matched
from bertsmith.tasks.marked import Compared, Mark
from bertsmith.tasks.tables import Table, Value, ranges
from bertsmith.tasks.tagged_text import entities_in, passage_of, schemes_of, strict_spans

NOTHING, ELSEWHERE = "no entity", "other boundaries"
"""What stands in a confusion matrix for what was missed or invented, and for an entity of the right type with another beginning or end."""

Entities = Sequence[Mapping[str, Any]]
"""As `Tagging.gold` and the predictions have them: start, end, label."""


def measured(examples: Sequence[Example], predicted: Sequence[Sequence[Span]]) -> dict[str, float]:
    """The scores of `Tagging.metrics`.

    Args:
        examples: Labelled.
        predicted: The entities that were found in each, in characters.
    """
    schemes = schemes_of(examples)
    gold: list[list[Span]] = []
    strict: list[list[Span]] = []
    for example in examples:
        passage = passage_of(example)
        gold.append([entity.characters for entity in entities_in(example, passage)])
        strict.append(strict_spans(example, passage, schemes.get(example.file, "bio")))
    scores = span_scores(gold, predicted)
    micro = {name: scores[f"micro_{name}"] for name in ("f1", "precision", "recall")}
    types = {f"f1_{label}": score.f1 for label, score in span_scores_by_type(gold, predicted).items()}
    return {**micro, "macro_f1": scores["macro_f1"], "strict_f1": span_scores(strict, predicted)["micro_f1"], **types}


def pairs_of(gold: Entities, said: Entities) -> list[Pair]:
    """Which entity that was found is meant for which right one."""
    return matched(*([(entity["start"], entity["end"], entity["label"]) for entity in side] for side in (gold, said)))


def taken_types(pairs: Sequence[Pair]) -> list[tuple[str, str]]:
    """Every right type and what was said in its place; a wrong type counts as that whether its boundaries are right or not.

    Example:
        >>> taken_types([((0, 3, "PER"), (0, 2, "PER")), ((5, 7, "LOC"), (5, 8, "ORG")), (None, (9, 10, "LOC"))])
        [('PER', 'other boundaries'), ('LOC', 'ORG'), ('no entity', 'LOC')]
    """
    return [(gold[2] if gold else NOTHING, _said_type(gold, said)) for gold, said in pairs]


def mistakes_in(text: str, pairs: Sequence[Pair]) -> dict[str, list[str]]:
    """What is wrong in one text, by kind; of a pair, the right entity and the one that was said for it.

    Example:
        >>> mistakes_in("王小明在北京", [((0, 3, "PER"), (0, 2, "PER")), ((4, 6, "LOC"), None)])
        {'wrong boundaries': ['PER 王小明 → PER 王小'], 'missed': ['LOC 北京']}
    """
    found: dict[str, list[str]] = {}
    for pair in pairs:
        if (kind := kind_of(*pair)) != "right":
            found.setdefault(kind, []).append(" → ".join(f"{span[2]} {text[span[0] : span[1]]}" for span in pair if span))
    return {kind: found[kind] for kind in KINDS if kind in found}


def compared(text: str, gold: Entities, said: Entities) -> Compared:
    """The right entities of a text beside those that were found."""
    right, found = (tuple(Mark(one["start"], one["end"], one["label"], one.get("score", 1.0)) for one in side) for side in (gold, said))
    return Compared("text", text, right, found)


def tables_of(examples: Sequence[Example], gold: Sequence[Sequence[Span]], said: Sequence[Sequence[Span]]) -> Iterator[Table]:
    """Kinds of mistakes by type, and scores by length; nothing where there are no entities on either side.

    Args:
        examples: Texts.
        gold: The right entities of each, in characters, in order.
        said: Those that were found, likewise.
    """
    pairs = [pair for right, given in zip(gold, said, strict=True) for pair in matched(right, given)]
    if not pairs:
        return
    yield Table(
        "Kinds of mistakes",
        "Every entity once: by its true type, or where there is none, by the one that was said. Two that overlap are held against each other.",
        list(_by_kind(pairs)),
    )
    yield Table(
        "Entities by length",
        "How long an entity is in tokens of the data, which are words, and single characters of Chinese: how many of those that were found are right "
        "(precision), and how many of the right ones were found (recall).",
        list(_by_length(examples, gold, said)),
    )


def _said_type(gold: Span | None, said: Span | None) -> str:
    if said is None:
        return NOTHING
    return ELSEWHERE if kind_of(gold, said) == "wrong boundaries" else said[2]


def _by_kind(pairs: Sequence[Pair]) -> Iterator[dict[str, Value]]:
    counts = Counter(((gold or said or (0, 0, ""))[2], kind_of(gold, said)) for gold, said in pairs)
    for label in sorted({label for label, _ in counts}):
        yield {"type": label, **{kind: counts[label, kind] for kind in KINDS}}
    yield {"type": "all", **{kind: sum(number for (_, other), number in counts.items() if other == kind) for kind in KINDS}}


def _by_length(examples: Sequence[Example], gold: Sequence[Sequence[Span]], said: Sequence[Sequence[Span]]) -> Iterator[dict[str, Value]]:
    """Scores of the entities of every range of lengths; one that is right has the same length on both sides."""
    found: list[tuple[int, bool, bool]] = []
    for example, right, given in zip(examples, gold, said, strict=True):
        passage, both = passage_of(example), (set(right), set(given))
        for span in both[0] | both[1]:
            first, end = passage.around(span[0], span[1])
            found.append((end - first, span in both[1], span in both[0]))
    table = np.array(found, np.int64)
    for name, inside in ranges(table[:, 0].tolist()):
        is_said, is_right = table[inside, 1], table[inside, 2]
        [score] = scores_of_counts(*(np.array([counted.sum()]) for counted in (is_said & is_right, is_said, is_right)))
        yield {"length": name, **asdict(score)}
