"""Results as tables, the baseline that they are held against, and the verdict in one sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from bertsmith.core.amounts import plural
from bertsmith.report.curves import main_metric
from bertsmith.report.records import Record, Run, StageRecord
from bertsmith.report.words import interval, plain, score

VERDICTS = ("gained", "lost", "inside the noise")


@dataclass(frozen=True, slots=True)
class Baseline:
    """What always giving one answer would score.

    Attributes:
        label: The answer: the commonest label of the training data.
        metrics: By name.
    """

    label: str
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Scores:
    """Stages that are measured by the same metrics on the same data.

    Attributes:
        metrics: Their names.
        split: "test", or "valid" where there is no test data.
        examples: How many examples it has.
        stages: Each with its metrics.
        baseline: None where none is known.
    """

    metrics: Sequence[str]
    split: str
    examples: int
    stages: Sequence[tuple[StageRecord, Mapping[str, float | None]]]
    baseline: Baseline | None


@dataclass(frozen=True, slots=True)
class DataRow:
    """What was read for one split of one stage or of several.

    Attributes:
        split: train, valid or test.
        stages: That read it.
        account: Rows, files, labels, what was left out.
        left_out: How much and why, in words.
    """

    split: str
    stages: Sequence[str]
    account: Mapping[str, Any]
    left_out: Sequence[str] = field(default_factory=list[str])


def score_tables(stages: Sequence[StageRecord]) -> list[Scores]:
    """Tables of the tasks; stages with the same metrics and data are in one."""
    groups: dict[tuple[Any, ...], list[StageRecord]] = {}
    for stage in stages:
        split = measured_split(stage)
        if stage.values["is_task"] and split:
            account = stage.values["data"][split]
            files = tuple(file["sha256"] for file in account.get("files", ()))
            groups.setdefault((split, account["rows"], files, tuple(stage.values["metrics"][split])), []).append(stage)
    return [
        Scores(names, split, rows, [(stage, stage.values["metrics"][split]) for stage in members], baseline(members[0]))
        for (split, rows, _, names), members in groups.items()
    ]


def measured_split(stage: StageRecord) -> str:
    """The data that a stage is judged by; empty if there is none."""
    return next((split for split in ("test", "valid") if split in stage.values["metrics"]), "")


def baseline(stage: StageRecord) -> Baseline | None:
    """What the commonest label of the training data scores, for tasks with one label an example.

    Example:
        >>> data = {"train": {"labels": {"no": 6, "yes": 2}}, "test": {"labels": {"no": 3, "yes": 1}}}
        >>> found = baseline(StageRecord({"data": data, "metrics": {"test": {"accuracy": 0.9}}}))
        >>> found.label, found.metrics["accuracy"]
        ('no', 0.75)
    """
    data, split = stage.values["data"], measured_split(stage)
    trained, tested = (cast("dict[str, int]", data.get(part, {}).get("labels") or {}) for part in ("train", split))
    if not trained or not tested or "accuracy" not in stage.values["metrics"][split]:
        return None
    label = max(trained, key=lambda name: (trained[name], name))
    total, found = sum(tested.values()), tested.get(label, 0)
    f1 = 2 * found / (total + found) if found else 0.0
    share = found / total
    return Baseline(label, {"accuracy": share, "micro_f1": share, "macro_f1": f1 / len({*tested, label}), "matthews": 0.0})


def verdict(run: Run) -> str:
    """What came of it, in one sentence; the comparison's where there is one."""
    if run.comparison.get("verdict"):
        return str(run.comparison["verdict"])
    last = run.stages[-1]
    split = measured_split(last)
    if not split:
        return f"Trained for {plural(last.values['steps'], 'step')}; there was no validation or test data to measure it on."
    if last.parts:
        return _parts_verdict(last)
    metrics = last.values["metrics"]
    if not last.values["is_task"]:
        before = f", from {score(metrics['before'].get('perplexity'), 'perplexity')} before" if "before" in metrics else ""
        return f"Perplexity on held-out text is {score(metrics[split].get('perplexity'), 'perplexity')}{before}."
    return _task_verdict(last, split)


def data_rows(stages: Sequence[StageRecord]) -> list[DataRow]:
    """What was read; data that several stages share is there once."""
    rows: list[DataRow] = []
    for stage in stages:
        for split, account in stage.values["data"].items():
            same = next((row for row in rows if row.split == split and row.account == account), None)
            if same is None:
                rows.append(DataRow(split, [stage.name], account, list(_left_out(account))))
            else:
                rows[rows.index(same)] = DataRow(split, [*same.stages, stage.name], account, same.left_out)
    return rows


def gain_rows(stages: Sequence[StageRecord]) -> list[tuple[str, str, Record]]:
    """The stage, the part and what it gained, for every part that was also trained alone."""
    return [(stage.name, name, gain) for stage in stages for name, part in stage.values.get("parts", {}).items() for gain in part["gains"]]


def distinct(values: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Values without their repetitions, in order."""
    return [value for place, value in enumerate(values) if value not in values[:place]]


def _task_verdict(stage: StageRecord, split: str) -> str:
    metrics, examples = stage.values["metrics"][split], int(stage.values["data"][split]["rows"])
    data = plural(examples, f"{'validation' if split == 'valid' else split} example")
    name = main_metric(metrics)
    value, constant = metrics[name], baseline(stage)
    if name != "accuracy" or value is None:
        return f"{plain(name)[:1].upper()}{plain(name)[1:]} {score(value, name)} on {data}."
    low, high = interval(value, examples)
    found = f"{value:.1%} of {data} right (95% interval {low:.1%} to {high:.1%})"
    if constant is None:
        return f"{found}."
    rate = f"{constant.metrics['accuracy']:.1%}"
    if low > constant.metrics["accuracy"]:
        return f"{found}, where always answering “{constant.label}” gets {rate}."
    return f"{found}: not clearly better than always answering “{constant.label}”, which gets {rate}."


def _parts_verdict(stage: StageRecord) -> str:
    verdicts: dict[str, list[str]] = {word: [] for word in VERDICTS}
    for _, part, gain in gain_rows([stage]):
        verdicts[gain["verdict"]].append(part)
    said = "; ".join(f"{', '.join(dict.fromkeys(parts))} {word}" for word, parts in verdicts.items() if parts)
    scores = ", ".join(filter(None, map(_part_score, stage.values["parts"], stage.parts)))
    return f"{len(stage.parts)} parts were trained together{': ' * bool(scores)}{scores}.{f' Beside training alone: {said}.' if said else ''}"


def _part_score(name: str, part: StageRecord) -> str:
    split = measured_split(part)
    metrics = part.values["metrics"].get(split, {})
    metric = main_metric(metrics)
    return f"{name} {plain(metric)} {score(metrics[metric], metric)}" if metrics else ""


def _left_out(account: Mapping[str, Any]) -> Iterator[str]:
    if account.get("skipped"):
        yield f"{plural(account['skipped'], 'line')} could not be read"
    for reason, number in (account.get("dropped") or {}).items():
        yield f"{plural(number, 'row')} left out: {reason}"
    if account.get("truncated"):
        yield f"{account['truncated']:.1%} of the texts were cut at the longest length"
