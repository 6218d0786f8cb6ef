"""Labels: missing, unknown, alike, rare, or shared out unequally."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from bertsmith.core.amounts import plural
from bertsmith.core.types import Example
from bertsmith.data.checks.finding import MULTI_LABEL, NUMBERS, Finding, Patient, percent, place

FEW_ROWS = 5
"""A label with fewer rows in training can hardly be learned."""

IMBALANCE = 5.0
"""From this ratio of the commonest label to the rarest on, accuracy alone misleads."""

SHIFT = 0.1
"""From this total variation distance on (the share of rows that would have to change their label), two splits are called different."""

SHIFT_ROWS = 200
"""Smaller splits differ by chance."""

Counts = dict[str, Counter[str]]


def check_labels(patient: Patient) -> Iterator[Finding]:
    """Everything that can be said of labels without reading a text."""
    if patient.kind != "label":
        return
    counts: Counts = {name: Counter(label for row in rows for label in patient.labels(row)) for name, rows in patient.splits.items()}
    if not counts["train"]:
        yield Finding("no_labels", "note", "train has no labels; nothing is said about labels", len(patient.splits["train"]))
        return
    if patient.task != MULTI_LABEL:
        yield from _missing(patient, counts)
    if patient.task in NUMBERS:
        yield from _numbers(patient)
        return
    yield from _refused(patient)
    yield from _mixed(patient)
    yield from _kinds(counts["train"])
    yield from check_names(patient, counts)


def check_names(patient: Patient, counts: Counts) -> Iterator[Finding]:
    """What can be said of labels, or of types of entities, by counting them.

    Args:
        patient: Where they are.
        counts: How many rows of each label, or mentions of each type, a split has; `train` first.
    """
    yield from _unknown(patient, counts)
    yield from _alike(counts)
    yield from _balance(patient, counts["train"])
    yield from _shifted(counts)


def _missing(patient: Patient, counts: Counts) -> Iterator[Finding]:
    rows = [row for name, row in patient.rows() if counts[name] and not patient.labels(row)]
    if rows:
        yield Finding(
            "missing_labels", "error", f"{plural(len(rows), 'row')} without a label", len(rows), _places(rows), "add the label or remove the row"
        )


def _refused(patient: Patient) -> Iterator[Finding]:
    wrong = [(row, reason) for _, row in patient.rows() if (reason := patient.wrong_label(row.get("label")))]
    if wrong:
        message = f"{plural(len(wrong), 'label')} that the task {patient.task} refuses"
        yield Finding("refused_labels", "error", message, len(wrong), tuple(place(row, reason) for row, reason in wrong), "training stops at them")


def _mixed(patient: Patient) -> Iterator[Finding]:
    """Labels that are numbers here and strings there, as JSON tells them apart."""
    kinds: dict[str, set[str]] = {}
    for _, row in patient.rows():
        label = row.get("label")
        for part in label if isinstance(label, list) else [label]:
            if part is not None:
                kinds.setdefault(str(part), set()).add(type(part).__name__)
    mixed = sorted(name for name, found in kinds.items() if len(found) > 1)
    if mixed:
        message = f"labels that are strings in some rows and something else in others: {', '.join(map(repr, mixed))}"
        yield Finding("mixed_labels", "warning", message, len(mixed), advice="they are the same label to a model; write them in one way")


def _numbers(patient: Patient) -> Iterator[Finding]:
    wrong = [row for _, row in patient.rows() if patient.wrong_label(row.get("label")) or not all(map(is_number, patient.labels(row)))]
    if wrong:
        places = tuple(place(row, f"label {row['label']!r}") for row in wrong)
        yield Finding("labels_not_numbers", "error", f"{plural(len(wrong), 'label')} that are not numbers", len(wrong), places)
    values = {label for row in patient.splits["train"] for label in patient.labels(row)}
    if len(values) == 1:
        yield Finding("single_label", "error", f"every label of train is {values.pop()}", 1, advice="there is nothing to learn")


def is_number(label: str) -> bool:
    """Whether a label says a finite number."""
    try:
        return math.isfinite(float(label))
    except ValueError:
        return False


def _kinds(train: Counter[str]) -> Iterator[Finding]:
    if len(train) == 1:
        yield Finding(
            "single_label",
            "error",
            f"train has a single label, {next(iter(train))!r}",
            1,
            advice="there is nothing to learn; add rows of another label",
        )
    elif len(train) > 20 and len(train) > train.total() / 2:
        advice = "is the column right? for numbers, use the task regression; for several labels in one cell, multi_label"
        yield Finding("many_labels", "warning", f"{len(train):,} different labels in {plural(train.total(), 'row')}", len(train), advice=advice)


def _unknown(patient: Patient, counts: Counts) -> Iterator[Finding]:
    known = counts["train"]
    for name in list(counts)[1:]:
        unknown = {label: count for label, count in counts[name].items() if label not in known}
        if unknown:
            rows = [row for row in patient.splits[name] if set(patient.labels(row)) & set(unknown)]
            message = f"{name} has labels that train does not have: {_listed(unknown)}"
            yield Finding(
                "unknown_labels", "error", message, len(unknown), _places(rows), "a model cannot predict them; rename them or add them to train"
            )
        absent = {label: count for label, count in known.items() if label not in counts[name]}
        if absent and counts[name]:
            yield Finding(
                "absent_labels",
                "note",
                f"{name} has no {patient.noun} of {_listed(absent)}",
                len(absent),
                advice=f"{name} says nothing about how well they are predicted",
            )


def _alike(counts: Counts) -> Iterator[Finding]:
    groups: dict[str, set[str]] = {}
    for label in {label for count in counts.values() for label in count}:
        groups.setdefault(_plain(label), set()).add(label)
    alike = [sorted(group) for group in groups.values() if len(group) > 1]
    if alike:
        names = "; ".join(" and ".join(map(repr, group)) for group in sorted(alike))
        yield Finding(
            "similar_labels",
            "warning",
            f"labels that differ only in writing: {names}",
            len(alike),
            advice="they are different labels to a model; give them one name",
        )


def _plain(label: str) -> str:
    """A label without what people vary: case, width, spaces, `_` and `-` between words, `1.0` for `1`."""
    plain = "".join(character for character in unicodedata.normalize("NFKC", label).casefold() if not character.isspace())
    if is_number(plain):
        return str(float(plain))
    return plain.replace("_", "").replace("-", "") or plain


def _balance(patient: Patient, train: Counter[str]) -> Iterator[Finding]:
    ranked = train.most_common()
    (most, highest), (least, lowest) = ranked[0], ranked[-1]
    if len(ranked) > 1 and highest >= IMBALANCE * lowest:
        share = percent(highest, train.total())
        message = f"train is unbalanced: {most!r} has {plural(highest, patient.noun)} ({share}), {least!r} has {lowest:,}"
        advice = _against_imbalance(patient, most, share if highest > train.total() / 2 else "")
        yield Finding("imbalance", "warning", message, len(ranked), advice=advice)
    rare = {label: count for label, count in ranked if count < FEW_ROWS}
    if rare:
        yield Finding(
            "rare_labels",
            "warning",
            f"labels with fewer than {FEW_ROWS} {patient.noun}s in train: {_listed(rare)}",
            len(rare),
            advice="add rows, or merge them into another label",
        )


def _against_imbalance(patient: Patient, most: str, share: str) -> str:
    if patient.kind == "tags":
        return "the score over all of them hardly counts the rare ones: look at F1 by type too"
    always = f"always to say {most!r} would be right in {share} of such rows; " if share else ""
    return f"{always}accuracy hardly counts the rare labels: look at macro F1 too"


def _shifted(counts: Counts) -> Iterator[Finding]:
    train = counts["train"]
    for name, other in list(counts.items())[1:]:
        if min(train.total(), other.total()) < SHIFT_ROWS:
            continue
        shares = {label: (train[label] / train.total(), other[label] / other.total()) for label in train | other}
        if sum(abs(one - two) for one, two in shares.values()) / 2 >= SHIFT:
            most = sorted(shares, key=lambda label: -abs(shares[label][0] - shares[label][1]))[:3]
            told = ", ".join(f"{label!r} {percent(shares[label][0], 1)} and {percent(shares[label][1], 1)}" for label in most)
            yield Finding(
                "label_shift",
                "note",
                f"labels are shared out differently in train and {name}: {told}",
                len(most),
                advice="is one of them a selection?",
            )


def _listed(counts: Mapping[str, int], shown: int = 8) -> str:
    told = [f"{label!r} ({count})" for label, count in list(counts.items())[:shown]]
    return ", ".join(told) + (f" and {len(counts) - shown} more" if len(counts) > shown else "")


def _places(rows: Sequence[Example]) -> tuple[str, ...]:
    return tuple(place(row) for row in rows)
