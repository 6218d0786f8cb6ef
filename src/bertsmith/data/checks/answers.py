"""Answers of reading comprehension: missing, malformed, not at their place, not in the context, or none at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from bertsmith.core.amounts import plural
from bertsmith.core.types import Example
from bertsmith.data.answers import Placed, answers_of, realigned
from bertsmith.data.checks.finding import Finding, Patient, percent, place, shorten
from bertsmith.data.checks.kinds import known_answers

MANY_ABSENT = 0.5
"""From this share of answers that are not in their context on, the wrong columns were read."""


class Found(NamedTuple):
    """An answer and where it really stands; None if nowhere."""

    row: Example
    text: str
    start: int
    placed: Placed | None


def check_answers(patient: Patient) -> Iterator[Finding]:
    """Everything that can be said of questions with a context."""
    if patient.kind != "answers":
        return
    answered = {name: Counter(label for row in rows for label in patient.labels(row)) for name, rows in patient.splits.items()}
    if not any(row.get("answers") is not None for row in patient.splits["train"]):
        yield Finding("no_labels", "note", "train has no answers; nothing is said about answers", len(patient.splits["train"]))
    yield from _missing(patient, answered)
    yield from _refused(patient)
    yield from _unanswerable(answered)
    for name, rows in patient.splits.items():
        found = [one for row in rows for one in _placed(row)]
        yield from _misplaced(name, [one for one in found if one.placed and one.placed.how != "there"], len(found))
        yield from _absent(name, [one for one in found if one.placed is None], len(found))


def _missing(patient: Patient, answered: dict[str, Counter[str]]) -> Iterator[Finding]:
    rows = [row for name, row in patient.rows() if answered[name] and row.get("answers") is None]
    if rows:
        advice = "add the answer, or an empty list where the context has none, or remove the row"
        yield Finding("missing_labels", "error", f"{plural(len(rows), 'question')} without answers", len(rows), tuple(map(place, rows)), advice)


def _refused(patient: Patient) -> Iterator[Finding]:
    wrong = [(row, reason) for _, row in patient.rows() if (reason := _wrong(row))]
    if wrong:
        places = tuple(place(row, reason) for row, reason in wrong)
        yield Finding("refused_labels", "error", f"{plural(len(wrong), 'row')} with answers that cannot be read", len(wrong), places)


def _wrong(row: Example) -> str:
    try:
        answers_of(row.get("answers") or [])
    except ValueError as error:
        return str(error)
    return ""


def _unanswerable(answered: dict[str, Counter[str]]) -> Iterator[Finding]:
    shares = {name: (count["unanswerable"], count.total()) for name, count in answered.items() if count}
    if any(none for none, _ in shares.values()):
        told = ", ".join(f"{none:,} of {total:,} in {name} ({percent(none, total)})" for name, (none, total) in shares.items())
        advice = "always to say that there is no answer would be right in so many; a model needs a threshold for it"
        yield Finding("unanswerable", "note", f"questions without an answer: {told}", sum(none for none, _ in shares.values()), advice=advice)
    with_none = [name for name, (none, _) in shares.items() if none]
    if with_none and len(with_none) < len(shares):
        without = [name for name in shares if name not in with_none]
        message = f"{' and '.join(with_none)} has questions without an answer, {' and '.join(without)} has none"
        yield Finding("unanswerable_shift", "warning", message, 1, advice="a model learns to say that there is no answer only where there are some")


def _placed(row: Example) -> Iterator[Found]:
    if isinstance(row.get("context"), str):
        for answer in known_answers(row) or []:
            yield Found(row, answer["text"], answer["start"], realigned(row["context"], answer["text"], answer["start"]))


def _misplaced(name: str, found: list[Found], total: int) -> Iterator[Finding]:
    if found:
        alike = sum(one.placed is not None and one.placed.how != "moved" for one in found)
        but = f", {alike:,} of them but for width, white space or punctuation at the ends" if alike else ""
        message = f"{plural(len(found), 'answer')} of {name} ({percent(len(found), total)}) not at their start but elsewhere in the context{but}"
        places = tuple(_told(one, f"not at {one.start} but at {one.placed.start}") for one in found if one.placed)
        advice = "the nearest place is taken for the answer's; look whether it is the one that is meant"
        yield Finding("misplaced_answers", "warning", message, len(found), places, advice)


def _absent(name: str, found: list[Found], total: int) -> Iterator[Finding]:
    if found:
        message = f"{plural(len(found), 'answer')} of {name} ({percent(len(found), total)}) not in the context at all"
        places = tuple(_told(one, "nowhere") for one in found)
        advice = "nothing can be learned from them, and none of them can be found; mend the answer or the context"
        yield Finding("absent_answers", "error" if len(found) >= MANY_ABSENT * total else "warning", message, len(found), places, advice)


def _told(one: Found, where: str) -> str:
    return f"{one.row.where}  {shorten(one.text, 40)!r} {where}"
