"""One text, any number of labels."""

import math
from typing import Any

import numpy as np
import pytest

from bertsmith.core.errors import DataError
from bertsmith.data.dataset import Dataset
from bertsmith.tasks.multi_label import MultiLabel
from bertsmith.tasks.outcome import Outcome
from tests.tasks.sentences import TOKENIZER, batch_of, examples, labelled, saying

TASK = MultiLabel(labels=("cheap", "fast", "good"))


@pytest.mark.parametrize(
    ("label", "target"),
    [
        (["cheap", "good"], [1, 0, 1]),
        ("good,cheap", [1, 0, 1]),
        (" good , cheap ,", [1, 0, 1]),
        ("fast,fast", [0, 1, 0]),
        ([], [0, 0, 0]),
        ("", [0, 0, 0]),
        ("fast", [0, 1, 0]),
    ],
)
def test_labels_are_a_list_or_a_string_with_separators(label: Any, target: list[int]):
    [row] = TASK.encode(labelled(label), TOKENIZER)
    assert row["label"].tolist() == target
    assert row["label"].dtype == np.float32


def test_another_separator():
    assert MultiLabel(separator="|").fitted(labelled("a,b|c", "c")).labels == ("a,b", "c")


def test_labels_are_read_from_the_training_data():
    assert MultiLabel().fitted(labelled(["b", "a"], "c,a", "", None, [3])).labels == ("3", "a", "b", "c")
    assert MultiLabel().fitted(labelled("only")).labels == ("only",)  # yes or no is a question already


def test_data_without_any_label_is_refused():
    with pytest.raises(DataError, match=r"no label in 3 examples \(is the column named `label`\?\)"):
        MultiLabel().fitted(labelled("", [], None))


def test_every_mistake_is_listed_with_its_place():
    with pytest.raises(DataError) as caught:
        list(TASK.encode(labelled("fast", "slow", None, ["cheap", "god"], []), TOKENIZER))
    assert caught.value.problems == (
        "train.tsv:3: label 'slow' is not one of 'cheap', 'fast', 'good'",
        "train.tsv:4: no label (an example without labels has an empty list or an empty string)",
        "train.tsv:5: label 'god' is not one of 'cheap', 'fast', 'good' (did you mean 'good'?)",
    )


def test_what_is_no_name_is_refused():
    rows = labelled(["cheap"], {"a": 1}, ["fast", {"b": 2}], [["good"]])
    expected = (
        "train.tsv:3: label {'a': 1} is an object, not a name",
        "train.tsv:4: label {'b': 2} is an object, not a name",
        "train.tsv:5: label ['good'] is a list, not a name",
    )
    for refuse in (lambda: MultiLabel().fitted(rows), lambda: list(TASK.encode(rows, TOKENIZER))):
        with pytest.raises(DataError) as caught:
            refuse()
        assert caught.value.problems == expected


def test_the_loss_is_that_of_a_yes_or_no_question_for_every_label_in_the_mean_over_labels():
    batch, _ = batch_of(TASK, labelled(["cheap"], []))
    log3 = math.log(3)  # chances 3/4, 1/2, 1/4
    losses = TASK.loss(saying(log3, 0.0, -log3), batch)
    first = -(math.log(0.75) + math.log(0.5) + math.log(0.75)) / 3
    second = -(math.log(0.25) + math.log(0.5) + math.log(0.75)) / 3
    assert losses["multi_label"].item() == pytest.approx(first + second, rel=1e-6)
    assert batch.counts == {"multi_label": 2}


SCORES = np.array([[4.0, 0.0, -4.0], [-1.0, -1.0, -1.0]], np.float32)


def test_labels_are_given_from_the_threshold_on():
    first, second = TASK.decode(Outcome(list(SCORES)))
    assert first == {"labels": ["cheap", "fast"], "scores": {"cheap": 0.982014, "fast": 0.5, "good": 0.017986}}
    assert second["labels"] == []
    assert MultiLabel(labels=TASK.labels, threshold=0.6).decode(Outcome(list(SCORES)))[0]["labels"] == ["cheap"]


def test_metrics_and_what_is_right():
    _, features = batch_of(TASK, labelled(["cheap", "good"], []))
    metrics = TASK.metrics(Outcome(list(SCORES), features))
    assert metrics["micro_f1"] == pytest.approx(0.5)  # 1 of 2 found, 1 of 2 right
    assert metrics["subset_accuracy"] == 0.5
    assert TASK.correct(Outcome(list(SCORES), features)).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.9])
def test_a_probability_at_the_threshold_counts_alike_everywhere(threshold: float):
    task = MultiLabel(labels=("a",), threshold=threshold)
    scores = np.array([[math.log(threshold / (1 - threshold)) + step * 1e-7] for step in range(-5, 6)], np.float32)
    gold = [{"label": np.array([1.0], np.float32)}] * len(scores)
    assert task.correct(Outcome(list(scores), gold)).tolist() == [
        float(bool(prediction["labels"])) for prediction in task.decode(Outcome(list(scores)))
    ]


def test_a_second_text_is_used_where_there_is_one():
    rows = examples(
        {"text": "a", "label": "fast"},
        {"text": "a", "text_pair": "b", "label": "fast"},
        {"text": "c", "label": ""},
        {"text": "c", "text_pair": "d", "label": ""},
    )
    assert [row["input_ids"].tolist() for row in TASK.encode(rows, TOKENIZER)] == [[2, 5, 3], [2, 5, 3, 6, 3], [2, 7, 3], [2, 7, 3, 8, 3]]


@pytest.mark.parametrize(
    ("options", "message"), [({"threshold": 1.0}, "threshold is 1.0"), ({"labels": ("a", "a")}, "labels has 'a' more than once")]
)
def test_impossible_options_are_refused_by_name(options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        MultiLabel(**options)


def test_an_empty_separator_is_refused():
    with pytest.raises(ValueError, match="separator is empty"):
        MultiLabel(separator="")


def test_a_list_that_was_written_as_a_text_is_not_taken_for_names():
    with pytest.raises(DataError) as caught:
        MultiLabel().fitted(labelled("good", "['cheap', 'good']", '["fast"]', "[a]"))
    assert [problem.split(" is a list")[0] for problem in caught.value.problems] == [
        "train.tsv:3: label \"['cheap', 'good']\"",
        "train.tsv:4: label '[\"fast\"]'",
    ]


def told(*scores: list[float]) -> Outcome:
    rows = labelled(["cheap"], ["cheap", "fast"], [])
    return Outcome([np.array(row, np.float32) for row in scores], list(TASK.encode(rows, TOKENIZER)), rows)


def test_the_threshold_is_chosen_on_validation_data_unless_it_is_named():
    outcome = told([-0.5, -3, -3], [-0.4, -0.6, -3], [-2, -3, -3])
    assert TASK.metrics(outcome)["micro_f1"] == 0
    tuned = TASK.tuned(outcome)
    low, high = (1 / (1 + math.exp(-score)) for score in (-2, -0.6))
    assert tuned.threshold == pytest.approx((low + high) / 2, abs=1e-6)
    assert tuned.metrics(outcome)["micro_f1"] == 1
    assert [said["labels"] for said in tuned.decode(outcome)] == [["cheap"], ["cheap", "fast"], []]
    assert tuned.correct(outcome).tolist() == [1, 1, 1]
    named = MultiLabel(labels=TASK.labels, threshold=0.5)
    assert named.tuned(outcome) is named


@pytest.mark.parametrize("score", [-200.0, 200.0])
def test_a_chosen_threshold_is_one_that_may_be_named(score: float):
    tuned = TASK.tuned(told(*[[score] * 3] * 3))
    assert tuned.threshold is not None
    assert MultiLabel(threshold=tuned.threshold) is not None


def test_every_label_has_its_own_scores():
    found = TASK.by_label(told([1, 1, -1], [1, -1, -1], [-1, -1, -1]))
    assert found["cheap"] == {"precision": 1, "recall": 1, "f1": 1, "support": 2}
    assert found["fast"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}
    assert found["good"]["support"] == 0


def test_the_baseline_gives_the_same_labels_to_all():
    """Two of three are cheap, one is fast: cheap for all finds 2 of 3 with 3 given; cheap and fast for all, 3 of 3 with 6 given; both are 2/3."""
    assert TASK.baseline(told([0, 0, 0], [0, 0, 0], [0, 0, 0]))["micro_f1"] == pytest.approx(2 * 2 / (3 + 3))


def test_labels_are_counted_one_by_one():
    assert TASK.label_counts(Dataset(labelled(["cheap", "fast"], "fast", "", None))) == {"cheap": 1, "fast": 2}
