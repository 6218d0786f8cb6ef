"""Tagging: rows that cannot be read, tags that break the rules of their scheme, and which types of entities there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from bertsmith.core.amounts import plural
from bertsmith.core.types import Example
from bertsmith.data.checks.finding import Finding, Patient, percent, place, shorten
from bertsmith.data.checks.kinds import entities_of, is_broken, strings
from bertsmith.data.checks.labels import check_names
from bertsmith.data.formats.conll import TAG


def check_tags(patient: Patient) -> Iterator[Finding]:
    """Everything that can be said of tokens with tags, and of texts with entities."""
    if patient.kind != "tags":
        return
    counts = {name: Counter(label for row in rows for label in patient.labels(row)) for name, rows in patient.splits.items()}
    labelled = {name: any(_is_labelled(row) for row in rows) for name, rows in patient.splits.items()}
    if not labelled["train"]:
        yield Finding("no_labels", "note", "train has no tags; nothing is said about tags", len(patient.splits["train"]))
        return
    yield from _missing([row for name, row in patient.rows() if labelled[name] and not _is_labelled(row)])
    yield from _refused(patient)
    yield from _broken(patient)
    yield from _overlapping(patient)
    if counts["train"]:
        yield from check_names(patient, counts)
    else:
        yield Finding("single_label", "error", "train has not one entity", 1, advice="there is nothing to learn; is every tag O?")


def _is_labelled(row: Example) -> bool:
    return row.get("tags") is not None or row.get("entities") is not None


def _missing(rows: list[Example]) -> Iterator[Finding]:
    if rows:
        advice = "add them, an empty list where a text has no entities, or remove the row"
        message = f"{plural(len(rows), 'row')} without tags or entities"
        yield Finding("missing_labels", "error", message, len(rows), tuple(map(place, rows)), advice)


def _refused(patient: Patient) -> Iterator[Finding]:
    wrong = [(row, reason) for _, row in patient.rows() if (reason := _wrong_entities(row) if row.get("tags") is None else _wrong_tags(row))]
    if wrong:
        places = tuple(place(row, reason) for row, reason in wrong)
        yield Finding("refused_labels", "error", f"{plural(len(wrong), 'row')} with tags or entities that cannot be read", len(wrong), places)


def _wrong_tags(row: Example) -> str:
    tokens, tags = strings(row.get("tokens")), strings(row["tags"])
    if len(tokens) != len(tags):
        return f"{plural(len(tokens), 'token')}, {plural(len(tags), 'tag')}"
    return next((f"tag {tag[:40]!r}" for tag in tags if not TAG.fullmatch(tag)), "")


def _wrong_entities(row: Example) -> str:
    entities, length = row.get("entities") or [], len(str(row.get("text")))
    if not isinstance(entities, list | tuple) or len(entities_of(row)) != len(strings(entities)):
        return "entities are no list of objects"
    return next((f"entity {shorten(str(dict(entity)), 60)}" for entity in entities_of(row) if not _is_within(entity, length)), "")


def _is_within(entity: Mapping[str, Any], length: int) -> bool:
    start, end, label = entity.get("start"), entity.get("end"), entity.get("label")
    return isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= length and isinstance(label, str) and bool(label)


def _broken(patient: Patient) -> Iterator[Finding]:
    found: list[tuple[Example, str]] = []
    for _, row in patient.rows():
        tags = strings(row.get("tags"))
        found += [(row, f"{tag} after {before}") for before, tag in pairwise(["O", *tags]) if is_broken(before, tag)]
    if found:
        total = sum(tag != "O" for _, row in patient.rows() for tag in strings(row.get("tags")))
        message = f"{plural(len(found), 'tag')} ({percent(len(found), total)}) that go on with an entity which has not begun"
        advice = "they are taken for its beginning; if they are many, the scheme may be IOB1, which writes B- only between neighbours"
        yield Finding("broken_tags", "warning", message, len(found), tuple(place(row, remark) for row, remark in found), advice)


def _overlapping(patient: Patient) -> Iterator[Finding]:
    found = [row for _, row in patient.rows() if row.get("entities") and not _wrong_entities(row) and _has_overlap(row)]
    if found:
        advice = "tags of one row cannot say both; keep one of them"
        message = f"{plural(len(found), 'row')} with entities that overlap"
        yield Finding("overlapping_entities", "error", message, len(found), tuple(map(place, found)), advice)


def _has_overlap(row: Example) -> bool:
    spans = sorted((entity["start"], entity["end"]) for entity in entities_of(row))
    return any(second[0] < first[1] for first, second in pairwise(spans))
