"""Entities: spans with a type, found in a sequence of tags or given as such, and right only where start, end and type are.

A tag is `O`, or a letter, a hyphen and a type: `B-PER`. What its letters say is a scheme:

`bio`
    `B` begins an entity, `I` continues it. (Also called IOB2.)
`bioes`
    An entity of several tokens is `B`, `I` …, `E`; one of a single token is `S`. (Also called IOBES; BMES and BILOU are the same with other letters.)

A model may write tags that break the rules of its scheme. There are two ways to read them, those of `seqeval`: by default as the script of CoNLL
does, for which an entity goes on where `B` or `I` is followed by `I` or `E` of the same type, and everything else that is not `O` begins another one;
or strictly, where what does not begin and end as its scheme wants is no entity at all. On tags that keep to the rules both are the same. A letter
without a type, as in segmentation into words, has the type `_`.

Micro scores count all entities alike; macro scores are means over the types that occur, as gold or as prediction. They are those of `seqeval`, which
gives NaN where there are no entities at all: here that is 0.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
from jaxtyping import Int

from bertsmith.core.errors import DataError
from bertsmith.metrics.classification import Counts, LabelScore, f1_of_counts, ratio, require_examples

Scheme = Literal["bio", "bioes"]

Span = tuple[int, int, str]
"""Start, end (exclusive) and type; in tokens, or in characters of a text."""

LETTERS: dict[Scheme | None, str] = {"bio": "BI", "bioes": "BIES", None: "BIES"}
OUTSIDE = "O", ""


def entities_of(tags: Sequence[str], scheme: Scheme | None = None) -> list[Span]:
    """The entities in the tags of one sentence, in order, as (start, end, type) in tokens.

    Args:
        tags: One for every token.
        scheme: Read the tags strictly by it; without one, as the script of CoNLL does.

    Raises:
        DataError: If a tag is none of the scheme.

    Example:
        >>> entities_of(["B-PER", "I-PER", "O", "I-LOC"])
        [(0, 2, 'PER'), (3, 4, 'LOC')]
        >>> entities_of(["B-PER", "I-PER", "O", "I-LOC"], "bio")
        [(0, 2, 'PER')]
    """
    parsed = [_parse(tag, scheme) for tag in tags]
    starts = [place for place, (before, tag) in enumerate(pairwise([OUTSIDE, *parsed])) if tag != OUTSIDE and not _continues(before, tag)]
    ends = [place for place, (tag, after) in enumerate(pairwise([*parsed, OUTSIDE]), 1) if tag != OUTSIDE and not _continues(tag, after)]
    runs = zip(starts, ends, strict=True)
    return [(start, end, parsed[start][1]) for start, end in runs if _is_whole(parsed[start][0], parsed[end - 1][0], scheme)]


def tags_of(entities: Iterable[Span], length: int, scheme: Scheme = "bio") -> list[str]:
    """The tags of a sentence with these entities.

    Args:
        entities: In tokens, in any order.
        length: Tokens of the sentence.
        scheme: Of the tags.

    Raises:
        DataError: If an entity is empty or not inside the sentence, or overlaps another: one tag for each token cannot say that.

    Example:
        >>> tags_of([(0, 1, "PER"), (2, 4, "LOC")], 5, "bioes")
        ['S-PER', 'O', 'B-LOC', 'E-LOC', 'O']
    """
    tags = ["O"] * length
    for start, end, label in entities:
        if not 0 <= start < end <= length:
            raise DataError(f"entity {label!r} at tokens {start} to {end}: it has to have a token and to lie inside the sentence, 0 to {length}")
        if any(tag != "O" for tag in tags[start:end]):
            raise DataError(f"entity {label!r} at tokens {start} to {end} overlaps another one; tags cannot say that: leave one of them out")
        letters = "B" + "I" * (end - start - 1)
        if scheme == "bioes":
            letters = letters[:-1] + "E" if end - start > 1 else "S"
        tags[start:end] = [f"{letter}-{label}" for letter in letters]
    return tags


def scheme_of(sentences: Iterable[Sequence[str]]) -> Scheme:
    """The scheme that a data set's tags are written in: `bioes` if there is an `E` or an `S`.

    Example:
        >>> scheme_of([["O", "B-PER"], ["S-PER"]]), scheme_of([["O", "B-PER"]])
        ('bioes', 'bio')
    """
    letters = {_parse(tag, None)[0] for tags in sentences for tag in tags}
    return "bioes" if letters & {"E", "S"} else "bio"


def violations(tags: Sequence[str], scheme: Scheme) -> list[tuple[int, str]]:
    """Where the tags of a sentence break the rules of their scheme, and how.

    Returns:
        Tokens, from 0, each with a sentence for a report.

    Raises:
        DataError: If a tag is none of the scheme.

    Example:
        >>> violations(["O", "I-PER", "B-LOC", "I-PER"], "bio")  # doctest: +NORMALIZE_WHITESPACE
        [(1, 'I-PER begins an entity, which takes B-PER: O stands before it'),
         (3, 'I-PER begins an entity, which takes B-PER: B-LOC stands before it')]
    """
    parsed = [OUTSIDE, *(_parse(tag, scheme) for tag in tags), OUTSIDE]
    written = ["the start", *tags, "the end"]
    found: list[tuple[int, str]] = []
    for place, tag in enumerate(tags, 1):
        letter = parsed[place][0]
        goes_on = _continues(parsed[place], parsed[place + 1])
        if letter in "IE" and not _continues(parsed[place - 1], parsed[place]):
            start = "B" if scheme == "bio" or goes_on else "S"
            found.append((place - 1, f"{tag} begins an entity, which takes {_like(tag, start)}: {written[place - 1]} stands before it"))
        elif scheme == "bioes" and letter in "BI" and not goes_on:
            end = "S" if letter == "B" else "E"
            found.append((place - 1, f"{tag} ends an entity, which takes {_like(tag, end)}: {written[place + 1]} stands after it"))
    return found


def span_counts(gold: Sequence[Iterable[Span]], predicted: Sequence[Iterable[Span]]) -> Int[np.ndarray, "examples 3"]:
    """For each example how many spans were found, how many were predicted, and how many there are.

    They are what an interval of micro F1 takes, for it is no mean over examples: draw examples, add up their counts, take F1.

    Example:
        >>> from bertsmith.metrics.classification import micro_f1
        >>> from bertsmith.metrics.uncertainty import bootstrap_interval
        >>> gold = [[(0, 2, "PER")], [(1, 2, "LOC")]] * 20
        >>> predicted = [[(0, 2, "PER")], [(1, 2, "ORG"), (3, 4, "LOC")]] * 20
        >>> counts = span_counts(gold, predicted)
        >>> counts[:2].tolist(), micro_f1(*counts.T)
        ([[1, 1, 1], [0, 2, 1]], 0.4)
        >>> interval = bootstrap_interval(micro_f1, *counts.T)
        >>> round(interval.low, 2), round(interval.high, 2)
        (0.26, 0.55)
    """
    pairs = [(set(right), set(given)) for right, given in zip(gold, predicted, strict=True)]
    return np.array([[len(right & given), len(given), len(right)] for right, given in pairs], dtype=np.int64).reshape(-1, 3)


def span_scores(gold: Sequence[Iterable[Span]], predicted: Sequence[Iterable[Span]]) -> dict[str, float]:
    """`micro_` and `macro_` `precision`, `recall` and `f1`, each in [0, 1]; a span that is given twice in an example counts once.

    Args:
        gold: The right spans of every example, in tokens or in characters.
        predicted: Those that were predicted, likewise.

    Raises:
        DataError: If there are no examples.

    Example:
        One of two people is found, and no place is one; F1 is 2/3 for people and 0 for places.

        >>> scores = span_scores([[(0, 2, "PER"), (5, 6, "PER")]], [[(0, 2, "PER"), (3, 4, "LOC")]])
        >>> {name: round(score, 3) for name, score in scores.items() if name.endswith("f1")}
        {'micro_f1': 0.5, 'macro_f1': 0.333}
    """
    _, counts = _counts_by_type(gold, predicted)
    micro = _rates(*counts.sum(axis=0, keepdims=True).T)
    macro = _rates(*counts.T)
    means = {name: float(rates.mean()) if len(rates) else 0.0 for name, rates in macro.items()}
    return {f"micro_{name}": float(rate[0]) for name, rate in micro.items()} | {f"macro_{name}": mean for name, mean in means.items()}


def span_scores_by_type(gold: Sequence[Iterable[Span]], predicted: Sequence[Iterable[Span]]) -> dict[str, LabelScore]:
    """Precision, recall, F1 and support of every type that occurs, as gold or as prediction, in the order of the alphabet.

    Raises:
        DataError: If there are no examples.

    Example:
        >>> span_scores_by_type([[(0, 2, "PER"), (5, 6, "PER")]], [[(0, 2, "PER")]])
        {'PER': LabelScore(precision=1.0, recall=0.5, f1=0.6666666666666666, support=2)}
    """
    labels, counts = _counts_by_type(gold, predicted)
    rates = _rates(*counts.T)
    rows = zip(labels, rates["precision"], rates["recall"], rates["f1"], counts[:, 2], strict=True)
    return {label: LabelScore(float(precision), float(recall), float(f1), int(support)) for label, precision, recall, f1, support in rows}


def entity_scores(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], scheme: Scheme | None = None) -> dict[str, float]:
    """`span_scores` of sentences that are given by their tags.

    Args:
        gold: The right tags of every sentence.
        predicted: Those that were predicted, as many.
        scheme: Read the tags strictly by it (`mode="strict"` of `seqeval`); without one, as the script of CoNLL does (its default).

    Raises:
        DataError: If there are no sentences, if a tag is none of the scheme, or if a sentence has more tags of one kind than of the other.

    Example:
        >>> entity_scores([["B-PER", "I-PER"]], [["I-PER", "I-PER"]])["micro_f1"]
        1.0
        >>> entity_scores([["B-PER", "I-PER"]], [["I-PER", "I-PER"]], "bio")["micro_f1"]
        0.0
    """
    lengths = [(len(right), len(given)) for right, given in zip(gold, predicted, strict=True)]
    problems = [f"sentence {number}: {right} tags, {given} predicted" for number, (right, given) in enumerate(lengths, 1) if right != given]
    if problems:
        raise DataError(f"{len(problems)} of {len(lengths)} sentences have not as many tags as were predicted for them", problems)
    return span_scores([entities_of(tags, scheme) for tags in gold], [entities_of(tags, scheme) for tags in predicted])


@lru_cache(maxsize=4096)
def _parse(tag: str, scheme: Scheme | None) -> tuple[str, str]:
    """A tag's letter and its type."""
    if tag == "O":
        return OUTSIDE
    letters = LETTERS[scheme]
    if not tag or tag[0] not in letters or tag[1:2] not in ("", "-"):
        wanted = ", ".join(f"{letter}-TYPE" for letter in letters)
        raise DataError(f"{tag!r} is not a tag{f' of {scheme}' if scheme else ''}: O, {wanted} are (for M write I, for L write E, for U write S)")
    return tag[0], tag[2:] or "_"


def _continues(before: tuple[str, str], tag: tuple[str, str]) -> bool:
    """Whether two neighbouring tags belong to the same entity."""
    return before[0] in "BI" and tag[0] in "IE" and before[1] == tag[1]


def _is_whole(first: str, last: str, scheme: Scheme | None) -> bool:
    """Whether a run of tags that belong together begins and ends as its scheme wants it."""
    if scheme == "bio":
        return first == "B"
    return scheme is None or first + last in ("BE", "SS")


def _like(tag: str, letter: str) -> str:
    return letter + tag[1:]


def _counts_by_type(gold: Sequence[Iterable[Span]], predicted: Sequence[Iterable[Span]]) -> tuple[list[str], Int[np.ndarray, "types 3"]]:
    """The types that occur, and for each what `span_counts` says of an example."""
    pairs = [(set(right), set(given)) for right, given in zip(gold, predicted, strict=True)]
    require_examples(np.arange(len(pairs)))
    found = Counter(label for right, given in pairs for *_, label in right & given)
    given = Counter(label for _, given in pairs for *_, label in given)
    right = Counter(label for right, _ in pairs for *_, label in right)
    labels = sorted(given.keys() | right.keys())
    return labels, np.array([[found[label], given[label], right[label]] for label in labels], dtype=np.int64).reshape(-1, 3)


def _rates(found: Counts, predicted: Counts, gold: Counts) -> dict[str, np.ndarray]:
    return {"precision": ratio(found, predicted), "recall": ratio(found, gold), "f1": f1_of_counts(found, predicted, gold)}
