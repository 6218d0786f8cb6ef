"""The data doctor: what one should know about labelled data before training on it.

It reads every row and says what it finds, with file and line and what to do about it: labels, answers, tags and choices that are missing, unknown or
wrong, rows that are there twice or in train and test, text that was read in the wrong encoding, texts that will be cut, tokens that the vocabulary
lacks, labels that look wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from bertsmith.core.amounts import plural
from bertsmith.core.errors import DataError
from bertsmith.core.types import Example
from bertsmith.data.checks.answers import check_answers
from bertsmith.data.checks.choices import check_choices, check_targets
from bertsmith.data.checks.duplicates import check_duplicates
from bertsmith.data.checks.finding import NUMBERS, Finding, Patient, percent
from bertsmith.data.checks.kinds import Kind, kind_of, with_texts
from bertsmith.data.checks.labels import check_labels, is_number
from bertsmith.data.checks.lengths import CutsTokens, check_lengths, measure
from bertsmith.data.checks.refusals import Judge, check_refusals
from bertsmith.data.checks.suspects import check_suspects
from bertsmith.data.checks.tags import check_tags
from bertsmith.data.checks.texts import check_texts
from bertsmith.data.dataset import Dataset

SEVERITIES = ("error", "warning", "note")

SHOWN_LABELS = 12

COUNTED: dict[Kind, str] = {"answers": "questions", "tags": "entities", "choice": "right choices"}
"""What is counted by name, where it is not labels."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was found.

    Attributes:
        splits: For each split its `rows`, `labels` (counts by name) or `numbers` (smallest, mean and largest), `characters` and, with a tokenizer,
            `tokens` and `unknown_rate`.
        findings: The worst first.
        counted: What `labels` are: labels, entities, right choices.
    """

    splits: Mapping[str, Mapping[str, Any]]
    findings: tuple[Finding, ...]
    counted: str = "labels"

    def of(self, severity: str) -> list[Finding]:
        """The findings of one severity: `error`, `warning` or `note`."""
        return [finding for finding in self.findings if finding.severity == severity]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"splits": {name: dict(facts) for name, facts in self.splits.items()}, "findings": [asdict(finding) for finding in self.findings]}

    def lines(self) -> list[str]:
        """As plain text."""
        counts = ", ".join(plural(len(self.of(severity)), severity) for severity in SEVERITIES)
        blocks = [["", *finding.lines()] for finding in self.findings]
        return [
            *(_described(name, facts, self.counted) for name, facts in self.splits.items()),
            counts,
            *(line for block in blocks for line in block),
        ]


def examine(
    train: Sequence[Example],
    valid: Sequence[Example] | None = None,
    test: Sequence[Example] | None = None,
    *,
    task: str | None = None,
    wrong_label: Callable[[Any], str] = lambda _: "",
    judge: Judge | None = None,
    tokenizer: CutsTokens | None = None,
    max_length: int = 512,
) -> Report:
    """Examine labelled data.

    Args:
        train: The rows to train on. A `Dataset` also brings what was skipped and dropped in reading it.
        valid: The rows to choose checkpoints by.
        test: The rows to score.
        task: The task's name; `multi_label` and `regression` have labels of their own kind.
        wrong_label: What the task says against a label, if anything: `Task.wrong_label`.
        judge: The task itself, which knows what it would leave out, mend or stop at.
        tokenizer: The model's, for lengths in tokens and for what it cannot write.
        max_length: Tokens that will be kept of a row.

    Returns:
        The report; the same for the same data.

    Raises:
        DataError: `train` has no rows.

    Example:
        >>> report = examine(Dataset.of([{"text": "好", "label": "1"}, {"text": "好", "label": "0"}]))
        >>> [finding.code for finding in report.findings]
        ['rare_labels', 'conflicting_duplicates', 'duplicates']
    """
    if not len(train):
        raise DataError("there is nothing to examine: train has no rows")
    given = {name: rows for name, rows in (("train", train), ("valid", valid), ("test", test)) if rows is not None}
    kind = kind_of(train)
    patient = Patient({name: _located(name, rows, kind) for name, rows in given.items()}, task, wrong_label, kind)
    lengths = {name: measure(rows, tokenizer) for name, rows in patient.splits.items()}
    findings = [
        *(finding for name, rows in given.items() for finding in _reading(name, rows)),
        *check_labels(patient),
        *check_answers(patient),
        *check_tags(patient),
        *check_choices(patient),
        *check_targets(patient),
        *check_duplicates(patient),
        *check_texts(patient),
        *check_lengths(patient, lengths, max_length),
        *check_suspects(patient),
    ]
    findings += [] if judge is None else check_refusals(given, judge, findings)
    facts = {
        name: {
            "rows": len(rows),
            **_labels(Counter(label for row in rows for label in patient.labels(row)), numbers=task in NUMBERS),
            **lengths[name].summary(max_length),
        }
        for name, rows in patient.splits.items()
    }
    return Report(facts, tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))), COUNTED.get(kind, "labels"))


def _located(name: str, rows: Sequence[Example], kind: Kind) -> list[Example]:
    """Rows that all know where they stand, those that came from Python by their number, and have what they are about as their texts."""
    numbered = (row if row.line else replace(row, file=row.file or name, line=number) for number, row in enumerate(rows, 1))
    return [with_texts(row, kind) for row in numbered]


def _reading(name: str, rows: Sequence[Example]) -> Iterator[Finding]:
    if not isinstance(rows, Dataset):
        return
    if rows.problems:
        message = f"{plural(len(rows.problems), 'row')} of {name} could not be read"
        yield Finding(
            "bad_lines",
            "error",
            message,
            len(rows.problems),
            tuple(map(str, rows.problems)),
            "mend them; in training they are an error unless they are skipped",
        )
    if rows.dropped_rows:
        reasons = ", ".join(f"{reason} ({count:,})" for reason, count in rows.dropped.items())
        message = f"{plural(len(rows.dropped_rows), 'row')} of {name} left out in reading: {reasons}"
        yield Finding("dropped_rows", "note", message, len(rows.dropped_rows), tuple(map(str, rows.dropped_rows)))


def _labels(counts: Counter[str], *, numbers: bool) -> dict[str, Any]:
    if not numbers:
        return {"labels": dict(counts.most_common())}
    found = [(float(label), count) for label, count in counts.items() if is_number(label)]
    if not found:
        return {}
    mean = sum(number * count for number, count in found) / sum(count for _, count in found)
    return {"numbers": {"min": min(found)[0], "mean": round(mean, 6), "max": max(found)[0]}}


def _described(name: str, facts: Mapping[str, Any], counted: str) -> str:
    labels = list(facts.get("labels", {}).items())
    total = sum(count for _, count in labels)
    told = ", ".join(f"{label}: {count:,} ({percent(count, total)})" for label, count in labels[:SHOWN_LABELS])
    more = f" and {len(labels) - SHOWN_LABELS} more" if len(labels) > SHOWN_LABELS else ""
    named = [f"{counted} {told}{more}"] if labels else []
    named += ["numbers from {min:g} to {max:g}, {mean:.4g} on average".format(**facts["numbers"])] if "numbers" in facts else []
    lengths = [f"{unit}: {_spread(facts[unit])}" for unit in ("characters", "tokens") if unit in facts]
    return "; ".join([f"{name}: {plural(facts['rows'], 'row')}", *named, *lengths])


def _spread(lengths: Mapping[str, int]) -> str:
    return f"median {lengths['median']}, 95th percentile {lengths['p95']}, longest {lengths['max']}"
