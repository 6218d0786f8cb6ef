"""Multiple choice and targets: rows that have nothing to choose from, no right choice, or nothing to say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bertsmith.core.amounts import plural
from bertsmith.core.types import Example
from bertsmith.data.checks.finding import Finding, Patient, place
from bertsmith.data.checks.kinds import choice_number, strings


def check_choices(patient: Patient) -> Iterator[Finding]:
    """Questions with choices."""
    if patient.kind != "choice":
        return
    rows = [row for _, row in patient.rows()]
    few = [row for row in rows if len(strings(row.get("choices"))) < 2]
    yield from _found("few_choices", few, "fewer than two choices", "choices is a list of at least two texts")
    empty = [row for row in rows if any(not choice.strip() for choice in strings(row.get("choices")))]
    yield from _found("empty_choices", empty, "an empty choice", "fill it or remove it")
    same = [row for row in rows if len(set(choices := strings(row.get("choices")))) < len(choices)]
    yield from _found("repeated_choices", same, "the same choice twice", "if it is the right one, either number is")
    labelled = {name for name, row in patient.rows() if row.get("label") is not None}
    missing = [row for name, row in patient.rows() if name in labelled and row.get("label") is None]
    yield from _found("missing_labels", missing, "no label", "add the number of the right choice, from 0, or its text, or remove the row")
    wrong = [row for row in rows if row.get("label") is not None and choice_number(row) is None]
    yield from _found("refused_labels", wrong, "a label that is none of the choices", "label is the number of the right choice, from 0, or its text")
    if "train" not in labelled:
        yield Finding("no_labels", "note", "train has no labels; nothing is said about labels", len(patient.splits["train"]))


def check_targets(patient: Patient) -> Iterator[Finding]:
    """Texts with a text to be written."""
    if patient.kind != "target":
        return
    rows = [row for _, row in patient.rows()]
    empty = [row for row in rows if not any(target.strip() for target in patient.told(row))]
    yield from _found("empty_targets", empty, "an empty target", "there is nothing to learn to write; fill it or remove the row")
    same = [row for row in rows if any(target.strip() and target.strip() == str(row.get("text")).strip() for target in patient.told(row))]
    yield from _found("copied_targets", same, "a target that is the text itself", "are the columns the right ones?")


def _found(code: str, rows: Sequence[Example], what: str, advice: str) -> Iterator[Finding]:
    if rows:
        severity = "warning" if code in ("repeated_choices", "copied_targets") else "error"
        yield Finding(code, severity, f"{plural(len(rows), 'row')} with {what}", len(rows), tuple(map(place, rows)), advice)
