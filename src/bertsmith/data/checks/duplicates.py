"""The same text twice: within a split, with two labels, or in training and in test.

Two texts are the same if they are equal, and nearly the same if they differ only in case, width, white space and punctuation.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations

from bertsmith.core.amounts import plural
from bertsmith.core.types import Example
from bertsmith.data.checks.finding import SAID, Finding, Patient, Severity, percent, place, shorten, texts_of

SEVERE = 0.05
"""From this share of shared rows on, a score means nothing."""

NOTABLE = 0.01
"""From this share of rows on, repeated ones are worth a warning, and half-shared pairs worth a note."""

NOT_BETWEEN_DIGITS = re.compile(r"(?<!\d)[.,:/-]|[.,:/-](?!\d)")

Groups = dict[Hashable, list[Example]]


def check_duplicates(patient: Patient) -> Iterator[Finding]:
    """Rows that are there twice, exactly or nearly."""
    normal = cache(normalised)  # a context comes with several questions
    keys = {name: {id(row): tuple(normal(text) or text for text in texts_of(row)) for row in rows} for name, rows in patient.splits.items()}
    for name, rows in patient.splits.items():
        yield from _within(patient, name, rows, keys[name])
        yield from _same_ids(name, rows)
    for one, other in combinations(patient.splits, 2):
        yield from _between(patient, one, other, {**keys[one], **keys[other]})


def normalised(text: str) -> str:
    """A text without case, width, white space and punctuation; a point between digits stays.

    Example:
        >>> normalised("Ｈｅｌｌｏ， world! 3.5元")
        'helloworld3.5元'
    """
    return NOT_BETWEEN_DIGITS.sub("", unicodedata.normalize("NFKC", text).casefold()).translate(_DROPPED)


class _Dropped(dict[int, "int | None"]):
    """For `str.translate`: nothing for white space, punctuation and control characters, the character itself for others; looked up once each."""

    def __missing__(self, code: int) -> int | None:
        category = unicodedata.category(chr(code))
        self[code] = None if category[0] in "PZ" or category in ("Cc", "Cf") else code
        return self[code]


_DROPPED = _Dropped({ord(character): ord(character) for character in ".,:/-"})


def _same_ids(name: str, rows: Sequence[Example]) -> Iterator[Finding]:
    """Ids that cannot tell which row a prediction is of."""
    named = [row for row in rows if row.get("id") is not None]
    groups = _grouped(named, {id(row): str(row["id"]) for row in named})
    several = {number: group for number, group in groups.items() if len(group) > 1}
    if several and len(groups) > len(named) / 2:  # otherwise it is not the row that has the id, but a document or a speaker
        places = tuple(f"{' = '.join(row.where for row in group[:4])}  id {number!r}" for number, group in several.items())
        message = f"{plural(len(several), 'id')} of {name} in more rows than one"
        advice = "predictions repeat the id; the line beside it still tells them apart"
        yield Finding("repeated_ids", "note", message, len(several), places, advice)


def _grouped(rows: Sequence[Example], keys: Mapping[int, Hashable]) -> Groups:
    groups: Groups = {}
    for row in rows:
        groups.setdefault(keys[id(row)], []).append(row)
    return groups


def _within(patient: Patient, name: str, rows: Sequence[Example], keys: Mapping[int, Hashable]) -> Iterator[Finding]:
    by_text = _grouped(rows, {id(row): texts_of(row) for row in rows})
    same = [group for group in by_text.values() if len(group) > 1]
    firsts = [group[0] for group in by_text.values()]  # one row a text, so that what is the same is not counted again as nearly the same
    alike = [group for group in _grouped(firsts, keys).values() if len(group) > 1]
    for groups, code, words in ((same, "duplicates", "the same text"), (alike, "near_duplicates", "nearly the same text")):
        torn = [group for group in groups if len({tuple(patient.told(row)) for row in group}) > 1]
        if torn:
            places = tuple(_together(patient, group) for group in torn)
            message = f"{plural(len(torn), 'text')} of {name} {_have(torn)} different {SAID[patient.kind]} in different rows ({words})"
            advice = f"one of the {SAID[patient.kind]} is wrong, or the text alone does not tell; decide, or remove them"
            yield Finding(f"conflicting_{code}", "warning", message, len(torn), places, advice)
        extra = sum(len(group) - 1 for group in groups)
        if extra:
            places = tuple(_together(patient, group) for group in groups)
            severity: Severity = "warning" if code == "duplicates" and extra >= NOTABLE * len(rows) else "note"
            message = f"{plural(extra, 'row')} of {name} ({percent(extra, len(rows))}) repeat{'s' if extra == 1 else ''} an earlier one: {words}"
            yield Finding(code, severity, message, extra, places, "they count more than once; remove them, unless that is meant")


def _between(patient: Patient, one: str, other: str, keys: Mapping[int, Hashable]) -> Iterator[Finding]:
    first, second = patient.splits[one], patient.splits[other]
    by_text = _grouped(first, {id(row): texts_of(row) for row in first})
    by_key = _grouped(first, keys)
    same = [(row, by_text[texts_of(row)]) for row in second if texts_of(row) in by_text]
    alike = [(row, by_key[keys[id(row)]]) for row in second if keys[id(row)] in by_key and texts_of(row) not in by_text]
    advice = f"remove them from {one}, or the score on {other} flatters the model"
    for shared, code, words in ((same, "shared_rows", "also in"), (alike, "nearly_shared_rows", "nearly the same in")):
        if shared:
            share = len(shared) / len(second)
            severity: Severity = "error" if code == "shared_rows" and share >= SEVERE else "warning"
            message = (
                f"{plural(len(shared), 'row')} of {other} ({percent(len(shared), len(second))}) {'is' if len(shared) == 1 else 'are'} {words} {one}"
            )
            yield Finding(code, severity, message, len(shared), tuple(_together(patient, [row, *twins]) for row, twins in shared), advice)
    yield from _half_shared(one, other, first, second) if patient.kind == "label" else _shared_contexts(one, other, first, second)


def _half_shared(one: str, other: str, first: Sequence[Example], second: Sequence[Example]) -> Iterator[Finding]:
    """Pairs of which one text is known from training: usual for inference data, whose premises come with several hypotheses."""
    known = {text for row in first if "text_pair" in row.values for text in texts_of(row)}
    pairs = {texts_of(row) for row in first}
    rows = [row for row in second if "text_pair" in row.values and texts_of(row) not in pairs and known & set(texts_of(row))]
    if len(rows) >= NOTABLE * len(second) > 0:
        message = f"{plural(len(rows), 'row')} of {other} ({percent(len(rows), len(second))}) share one of the two texts with {one}"
        advice = "usual where a premise has several hypotheses; for a score on unseen texts, split by text"
        yield Finding("half_shared_rows", "note", message, len(rows), tuple(place(row) for row in rows), advice)


def _shared_contexts(one: str, other: str, first: Sequence[Example], second: Sequence[Example]) -> Iterator[Finding]:
    """Questions about a context that is known from training."""
    known = {row["text_pair"] for row in first if isinstance(row.get("text_pair"), str)}
    rows = [row for row in second if row.get("text_pair") in known]
    if rows:
        contexts = plural(len({row["text_pair"] for row in rows}), "context")
        message = f"{plural(len(rows), 'row')} of {other} ({percent(len(rows), len(second))}) share {contexts} with {one}"
        advice = "split by context, or better by the article that it is from, or the score says little about unseen texts"
        severity: Severity = "warning" if len(rows) >= NOTABLE * len(second) else "note"
        yield Finding("shared_contexts", severity, message, len(rows), tuple(place(row) for row in rows), advice)


def _together(patient: Patient, rows: Sequence[Example], shown: int = 4) -> str:
    """All the places of a text, with their labels."""
    places = [row.where + (f" ({shorten(', '.join(told), 60)})" if (told := patient.told(row)) else "") for row in rows[:shown]]
    more = [f"{len(rows) - shown} more"] if len(rows) > shown else []
    return f"{' = '.join(places + more)}  {shorten(' | '.join(texts_of(rows[0])), 60)!r}"


def _have(groups: Sequence[object]) -> str:
    return "has" if len(groups) == 1 else "have"
