"""Where a model is wrong: its worst cases, what it takes for what, and how well groups of examples are done.

::

    Outcome ──correct──▶ a score an example ──▶ cases, the worst first
            ──decode───▶ predictions        ──answer, confidence, taken_for──▶ what was said, how surely, and in the place of what
    Example ──groups───▶ kinds of groups    ──▶ the mean score of each group

All of it is read through methods of `Task` that every task has, so there is one analysis for all; what only one kind of task can tell comes as
tables, and as details of a case. Two kinds of groups are made for any task: by the length of what is read, and by whether it was cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from bertsmith.core.types import Example
from bertsmith.report.predictions import confusions
from bertsmith.tasks.base import Belonging, Prediction, Task
from bertsmith.tasks.outcome import Outcome
from bertsmith.tasks.tables import Table, ranges

LENGTH, CUT = "characters", "cut off"


@dataclass(frozen=True, slots=True)
class Case:
    """An example that was not done without a mistake.

    Attributes:
        example: The row.
        texts: What a person reads of it, by column.
        said: The answer that was given.
        gold: What is right.
        score: How well it was done, as `Task.correct` has it.
        confidence: How sure the answer was, 0-1; None where that is not known.
        details: What else the task says of it, by name.
        prediction: All that was said.
    """

    example: Example
    texts: Mapping[str, str]
    said: Any
    gold: Any
    score: float
    confidence: float | None
    details: Mapping[str, Any]
    prediction: Prediction


@dataclass(frozen=True, slots=True)
class Group:
    """Examples that have something in common.

    Attributes:
        kind: What: "label", "characters".
        name: Which of that kind: "positive", "12 to 30".
        examples: How many.
        score: Their mean.
    """

    kind: str
    name: str
    examples: int
    score: float


@dataclass(frozen=True, slots=True)
class Analysis:
    """What an outcome tells of a model's mistakes.

    Attributes:
        task: Its task.
        examples: How many were measured.
        metrics: By name.
        score: The mean over all examples.
        cases: Those with a mistake: the lowest scores first, of equal ones the surest.
        groups: Kind after kind; numbers from low to high, names by their number of examples.
        taken: A right label and the label that was said, once for every time.
        by_label: Metrics of every label.
        tables: What the task says besides.
    """

    task: Task
    examples: int
    metrics: Mapping[str, float]
    score: float
    cases: Sequence[Case]
    groups: Sequence[Group]
    taken: Sequence[tuple[str, str]]
    by_label: Mapping[str, Mapping[str, float]]
    tables: Sequence[Table]


def analysed(task: Task, outcome: Outcome) -> Analysis:
    """Look at what was said of labelled examples.

    Args:
        task: Fitted.
        outcome: With rows and examples.
    """
    scores, predictions = task.correct(outcome), task.decode(outcome)
    said = list(zip(outcome.examples, predictions, strict=True))
    return Analysis(
        task=task,
        examples=len(outcome.examples),
        metrics=task.metrics(outcome),
        score=float(scores.mean()),
        cases=_cases(task, said, scores, task.details(outcome)),
        groups=list(_groups(task, outcome, scores)),
        taken=[pair for example, prediction in said for pair in task.taken_for(example, prediction)],
        by_label=task.by_label(outcome),
        tables=task.tables(outcome),
    )


def error_lines(analysis: Analysis) -> Iterator[dict[str, Any]]:
    """The analysis as objects for JSON lines; `kind` says what a line is: the summary, a label, a confusion, a row, a group or a case."""
    yield {"kind": "summary", "task": analysis.task.name, "n": analysis.examples, "wrong": len(analysis.cases), "metrics": dict(analysis.metrics)}
    yield from ({"kind": "label", "label": label, **metrics} for label, metrics in analysis.by_label.items())
    for gold, said, number in confusions(analysis.taken):
        yield {"kind": "confusion", "gold": gold, "said": said, "n": number}
    for table in analysis.tables:
        yield from ({"kind": "row", "table": table.name, **row} for row in table.rows)
    for group in analysis.groups:
        yield {"kind": "group", "by": group.kind, "group": group.name, "n": group.examples, "score": round(group.score, 6)}
    yield from map(_line, analysis.cases)


def _cases(
    task: Task, said: Sequence[tuple[Example, Prediction]], scores: Float[np.ndarray, " examples"], details: Sequence[Mapping[str, Any]]
) -> list[Case]:
    cases = [
        Case(example, task.shown(example), task.answer(one), task.gold(example), float(score), task.confidence(one), detail, one)
        for (example, one), score, detail in zip(said, scores, details, strict=True)
        if score < task.flawless
    ]
    return sorted(cases, key=lambda case: (case.score, -(case.confidence or 0.0)))


def _groups(task: Task, outcome: Outcome, scores: Float[np.ndarray, " examples"]) -> Iterator[Group]:
    cut = _cut(outcome)
    belongings: list[dict[str, Belonging]] = [
        {**task.groups(example), **_lengths(task.shown(example), example), CUT: "yes" if number in cut else "no"}
        for number, example in enumerate(outcome.examples)
    ]
    for kind in dict.fromkeys(kind for belonging in belongings for kind in belonging):
        known = {number: belonging[kind] for number, belonging in enumerate(belongings) if kind in belonging}
        members = _members(known)
        if len(members) > 1:
            yield from (Group(kind, name, len(inside), float(scores[inside].mean())) for name, inside in members)


def _members(known: Mapping[int, Belonging]) -> list[tuple[str, list[int]]]:
    """The groups of one kind, and the numbers of their examples."""
    numbers = [value for value in known.values() if isinstance(value, int | float)]
    if len(numbers) == len(known):
        examples = list(known)
        return [(name, [examples[place] for place in inside]) for name, inside in ranges(numbers)]
    groups: dict[str, list[int]] = {}
    for example, value in known.items():
        for name in dict.fromkeys([value] if isinstance(value, str) else map(str, value if isinstance(value, Sequence) else [value])):
            groups.setdefault(name, []).append(example)
    if all(name.isdecimal() for name in groups):
        return sorted(groups.items(), key=lambda group: int(group[0]))
    return sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))


def _lengths(shown: Mapping[str, str], example: Example) -> dict[str, int]:
    """How long everything is that a person reads of an example; of a list, all of it together."""
    given = {name: example.get(name) for name in shown}
    lengths = {name: sum(map(len, map(str, value))) if isinstance(value, list | tuple) else len(shown[name]) for name, value in given.items()}
    return {LENGTH if len(shown) == 1 else f"{LENGTH} of the {name.replace('_', ' ')}": length for name, length in lengths.items()}


def _cut(outcome: Outcome) -> set[int]:
    """The numbers of the examples that tokens were cut off from."""
    rows = zip(outcome.owners, outcome.rows, strict=True)
    return {int(owner) for owner, row in rows if "truncated" in row and row["truncated"][0] > 0}


def _line(case: Case) -> dict[str, Any]:
    example = case.example
    places = {"file": example.file, "line": example.line, "place": example.place, "id": example.get("id")}
    where = {name: value for name, value in places.items() if value}
    texts = {name: example.get(name, text) for name, text in case.texts.items()}
    confidence = {} if case.confidence is None else {"confidence": case.confidence}
    return {"kind": "case", **where, **texts, "said": case.said, "gold": case.gold, "score": round(case.score, 6), **confidence, **case.details}
