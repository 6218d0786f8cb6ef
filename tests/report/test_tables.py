import numpy as np
import pytest

from bertsmith.metrics.classification import classification_scores
from bertsmith.report.records import StageRecord
from bertsmith.report.tables import baseline, data_rows, score_tables
from bertsmith.report.words import interval
from tests.report.conftest import account, pretraining, stage


def record(**data: dict[str, int]) -> StageRecord:
    values = stage("match", "x")
    values["data"] = {split: account(split, sum(labels.values()), labels) for split, labels in data.items()}
    return StageRecord(values)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ({"a": 5, "b": 3}, {"a": 6, "b": 2}),
        ({"a": 1, "b": 3}, {"a": 6, "b": 2}),
        ({"a": 5, "b": 3, "c": 1}, {"b": 4, "c": 4}),  # the commonest label of the training data is not in the test data
        ({"a": 5, "b": 5, "c": 5}, {"a": 2, "b": 3, "c": 9}),
    ],
)
def test_the_baseline_is_what_the_metrics_say_of_a_constant_answer(train: dict[str, int], test: dict[str, int]):
    found = baseline(record(train=train, test=test))
    assert found is not None
    labels = sorted(train)
    gold = np.array([labels.index(label) for label, count in test.items() for _ in range(count)])
    wanted = classification_scores(gold, np.full(len(gold), labels.index(found.label)), len(labels))
    assert {name: pytest.approx(wanted[name]) for name in found.metrics} == dict(found.metrics)


def test_there_is_no_baseline_where_answers_are_no_labels():
    values = stage("score", "x", metrics={"test": {"pearson": 0.5}})
    assert baseline(StageRecord(values)) is None


def test_stages_measured_on_other_data_stand_in_another_table():
    other = stage("nli", "x")
    other["data"]["test"] = account("other", 50, {"yes": 50})
    stages = [StageRecord(values) for values in (pretraining("adapt"), stage("a", "x"), other, stage("b", "x"))]
    assert [[one.name for one, _ in table.stages] for table in score_tables(stages)] == [["a", "b"], ["nli"]]


def test_without_test_data_the_validation_data_counts():
    values = stage("match", "x")
    del values["metrics"]["test"]
    [table] = score_tables([StageRecord(values)])
    assert (table.split, table.examples) == ("valid", 80)


def test_data_that_stages_share_is_listed_once():
    rows = data_rows([StageRecord(stage(name, "x")) for name in ("a", "b")])
    assert [(row.split, row.stages) for row in rows] == [("train", ["a", "b"]), ("valid", ["a", "b"]), ("test", ["a", "b"])]


def test_what_was_left_out_is_said():
    values = stage("a", "x")
    values["data"] = {"train": {**account("train", 10, {}), "skipped": 1, "dropped": {"no label": 3}, "truncated": 0.25}}
    [row] = data_rows([StageRecord(values)])
    assert list(row.left_out) == ["1 line could not be read", "3 rows left out: no label", "25.0% of the texts were cut at the longest length"]


@pytest.mark.parametrize(("share", "number"), [(0.845, 200), (0.0, 10), (1.0, 10), (0.5, 1)])
def test_the_interval_is_wilsons(share: float, number: int):
    from scipy.stats import binomtest

    wanted = binomtest(round(share * number), number).proportion_ci(method="wilson") if (share * number) % 1 < 1e-9 else None
    if wanted is None:
        low, high = interval(share, number)
        assert low <= share <= high
    else:
        assert interval(share, number) == pytest.approx((wanted.low, wanted.high), abs=1e-4)
