"""A metric that weights are to be kept by is known before anything is trained, whatever the task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bertsmith.core.errors import RecipeError
from tests.recipe.conftest import MATCH, changed, run_stages

ANSWERED = {"question": "你是", "context": "我在这书店", "answers": [{"text": "书店", "start": 3}]}
ROWS: dict[str, list[dict[str, Any]]] = {
    "tagging": [{"tokens": list("我在这店"), "tags": ["O", "O", "B-LOC", "I-LOC"]}, {"text": "你爱我", "entities": []}],
    "extractive_qa": [ANSWERED, {**ANSWERED, "question": "他是"}],
    "multiple_choice": [
        {"question": "你是", "choices": ["好", "坏"], "label": 0},
        {"question": "他是", "choices": ["好", "坏", "很"], "label": "坏"},
    ],
    "embedding": [{"text": "你是", "text_pair": "我是"}, {"text": "好", "text_pair": "棒", "negative": ["坏", "差"]}],
    "similarity": [{"text": "你是", "text_pair": "我是", "label": 1}, {"text": "好", "text_pair": "坏", "label": 0}],
    "regression": [{"text": "好", "label": 5}, {"text": "坏", "label": 1}],
    "multi_label": [{"text": "好", "label": ["a", "b"]}, {"text": "坏", "label": []}],
}
MEASURED = {
    "tagging": "f1, precision, recall, macro_f1, strict_f1, f1_LOC",
    "extractive_qa": "exact, f1",
    "multiple_choice": "accuracy",
    "embedding": "recall@1, recall@5, recall@10, mrr",
    "similarity": "spearman, pearson",
    "regression": "pearson, spearman, mean_squared_error",
    "multi_label": "micro_f1, macro_f1, subset_accuracy",
}


def stage(world: Path, task: str, rows: list[dict[str, Any]], keep: str) -> dict[str, Any]:
    (world / f"{task}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    alone = {**MATCH, "from": "base", "task": {"name": task, "max_length": 24}, "data": {"train": f"{task}.jsonl", "valid": f"{task}.jsonl"}}
    return changed(alone, train={"keep": keep})


@pytest.mark.parametrize("task", list(ROWS))
def test_an_unknown_metric_is_refused_with_those_that_there_are(world: Path, task: str):
    measured = MEASURED[task].split(", ")
    with pytest.raises(RecipeError) as caught:
        run_stages(world, stage(world, task, ROWS[task], f"best:{measured[0]}x"), dry_run=True)
    [problem] = caught.value.problems
    assert problem.endswith(f"train.keep: got 'best:{measured[0]}x' (did you mean '{measured[0]}'?); what is measured: {MEASURED[task]}")


@pytest.mark.parametrize("task", list(ROWS))
def test_every_metric_that_there_is_is_taken(world: Path, task: str):
    for metric in MEASURED[task].split(", "):
        assert run_stages(world, stage(world, task, ROWS[task], f"best:{metric}"), dry_run=True).plan[0].action == "run"


def test_what_is_measured_depends_on_the_validation_data(world: Path):
    silent = {**ANSWERED, "question": "谁在店", "answers": []}
    assert run_stages(world, stage(world, "extractive_qa", [ANSWERED, silent], "best:no_answer_f1"), dry_run=True).plan[0].action == "run"
    with pytest.raises(RecipeError, match=r"got 'best:no_answer_f1'.*; what is measured: exact, f1"):
        run_stages(world, stage(world, "extractive_qa", [ANSWERED], "best:no_answer_f1"), dry_run=True)


def test_weights_are_kept_by_a_metric_of_one_type(world: Path):
    result = run_stages(world, stage(world, "tagging", ROWS["tagging"], "best:f1_LOC"))
    assert "f1_LOC" in result.stages[0].metrics["valid"]


def test_the_metrics_of_parts_are_known_too(world: Path):
    tagging = stage(world, "tagging", ROWS["tagging"], "best")
    parts = [{"name": name, "task": one["task"], "data": one["data"]} for name, one in (("entities", tagging), ("reviews", MATCH))]
    together = {name: value for name, value in tagging.items() if name not in {"task", "data"}} | {"part": parts}
    assert run_stages(world, changed(together, train={"keep": "best:entities.f1_LOC"}), dry_run=True).plan[0].action == "run"
    with pytest.raises(RecipeError) as caught:
        run_stages(world, changed(together, train={"keep": "best:entities.f1_LOK"}), dry_run=True)
    [problem] = caught.value.problems
    assert "got 'best:entities.f1_LOK' (did you mean 'entities.f1_LOC'?); what is measured: entities.f1, entities.precision, " in problem
    assert problem.endswith(", mean")
