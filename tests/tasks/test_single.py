"""One text, one label."""

import math
from typing import Any

import numpy as np
import pytest

from bertsmith.core.errors import DataError
from bertsmith.core.types import Example
from bertsmith.tasks.outcome import Outcome
from bertsmith.tasks.single import SingleSentence
from tests.tasks.sentences import TOKENIZER, batch_of, examples, labelled, saying

TASK = SingleSentence(labels=("bad", "good"))
SCORES = np.array([[0.0, math.log(3)], [2.0, 2.0], [1.0, 0.0]], np.float32)


class TestLabels:
    @pytest.mark.parametrize(
        ("labels", "ordered"),
        [
            (("good", "bad", "good"), ("bad", "good")),
            (("10", "9", "2"), ("2", "9", "10")),
            ((3, 1, -1), ("-1", "1", "3")),
            (("1", "01", "0"), ("0", "01", "1")),
            (("10", "9", "x"), ("10", "9", "x")),
            (("9" * 5000, "1"), ("1", "9" * 5000)),
            (("--1", "2"), ("--1", "2")),
            ((True, False), ("False", "True")),
            (("b", None, "", "a"), ("a", "b")),
        ],
    )
    def test_they_are_read_from_the_training_data_numbers_by_value_names_by_alphabet(self, labels: tuple[Any, ...], ordered: tuple[str, ...]):
        assert SingleSentence().fitted(labelled(*labels)).labels == ordered

    def test_labels_that_are_given_stay(self):
        assert SingleSentence(labels=("z", "a")).fitted(labelled("a", "a")).labels == ("z", "a")

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            (("a", "a"), r"only the label 'a' in 2 examples; a classifier needs at least two \(is the column named `label`\?\)"),
            ((None, ""), "no label in 2 examples"),
            ((), "no label in 0 examples"),
        ],
    )
    def test_fewer_than_two_are_refused(self, labels: tuple[Any, ...], message: str):
        with pytest.raises(DataError, match=message):
            SingleSentence().fitted(labelled(*labels))

    def test_lists_of_labels_belong_to_another_task(self):
        with pytest.raises(DataError, match="3 labels cannot be used for the task 'single'") as caught:
            SingleSentence().fitted(labelled("a", ["a", "b"], "b", [], {"a": 1}))
        several = "is a list; the task for texts with several labels is 'multi_label'"
        expected = (
            f"train.tsv:3: label ['a', 'b'] {several}",
            f"train.tsv:5: label [] {several}",
            "train.tsv:6: label {'a': 1} is an object, not a name",
        )
        assert caught.value.problems == expected
        with pytest.raises(DataError) as caught:
            list(TASK.encode(labelled("good", {"a": 1}), TOKENIZER))
        assert caught.value.problems == ("train.tsv:3: label {'a': 1} is an object, not a name",)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"labels": ("a",)}, "labels has only 'a'"),
            ({"labels": ("a", "b", "a")}, "labels has 'a' more than once"),
            ({"max_length": 3}, "max_length is 3; it must be at least 8"),
        ],
    )
    def test_impossible_options_are_refused_by_name(self, options: dict[str, Any], message: str):
        with pytest.raises(ValueError, match=message):
            SingleSentence(**options)


class TestEncoding:
    def test_features(self):
        [row] = TASK.encode(examples({"text": "a 好", "label": "good"}), TOKENIZER)
        assert {name: (values.tolist(), values.dtype.name) for name, values in row.items()} == {
            "input_ids": ([2, 5, 15, 3], "int32"),
            "token_type_ids": ([0, 0, 0, 0], "int32"),
            "truncated": ([0], "int32"),
            "label": ([1], "int64"),
        }

    def test_a_second_text_in_the_data_is_not_this_tasks(self):
        [row] = TASK.encode(examples({"text": "a", "text_pair": "b", "label": "bad"}), TOKENIZER)
        assert row["input_ids"].tolist() == [2, 5, 3]

    def test_long_texts_are_cut_and_what_was_cut_is_counted(self):
        rows = list(
            SingleSentence(labels=TASK.labels, max_length=8).encode(labelled("bad") + examples({"text": "a " * 50, "label": "bad"}), TOKENIZER)
        )
        assert [row["truncated"].tolist() for row in rows] == [[0], [44]]
        assert [len(row["input_ids"]) for row in rows] == [4, 8]
        assert rows[1]["input_ids"][-1] == TOKENIZER.sep_id

    def test_every_mistake_is_listed_with_its_place(self):
        rows = [
            *labelled("good", "goood", None, "", "bad", "x" * 100),
            Example({"label": "bad"}, "more.jsonl", 7),
            Example({"text": None, "label": "bad"}),
        ]
        with pytest.raises(DataError, match="6 examples cannot be used for the task 'single'") as caught:
            list(TASK.encode(rows, TOKENIZER))
        assert caught.value.problems == (
            "train.tsv:3: label 'goood' is not one of 'bad', 'good' (did you mean 'good'?)",
            "train.tsv:4: no label",
            "train.tsv:5: no label",
            f"train.tsv:7: label '{'x' * 60}' is not one of 'bad', 'good'",
            "more.jsonl:7: no text",
            "example: no text",
        )

    def test_mistakes_in_every_chunk_are_listed(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("bertsmith.tasks.sentence.CHUNK", 2)
        with pytest.raises(DataError) as caught:
            list(TASK.encode(labelled("good", "x", "bad", "y", "z"), TOKENIZER))
        assert [problem.split(":")[1] for problem in caught.value.problems] == ["3", "5", "6"]

    def test_chunks_do_not_change_what_is_encoded(self, monkeypatch: pytest.MonkeyPatch):
        rows = [*examples(*({"text": "a b c"[: 2 * size], "label": "good"} for size in range(5)))]
        whole = [row["input_ids"].tolist() for row in TASK.encode(rows, TOKENIZER)]
        monkeypatch.setattr("bertsmith.tasks.sentence.CHUNK", 2)
        assert [row["input_ids"].tolist() for row in TASK.encode(iter(rows), TOKENIZER)] == whole

    def test_labels_are_not_needed_for_prediction(self):
        rows = list(TASK.encode(labelled("unheard of", None), TOKENIZER, labelled=False))
        assert all("label" not in row for row in rows)
        assert TASK.collate(rows, [], TOKENIZER).labels == {}


class TestCollating:
    def test_rows_are_padded_and_counted(self):
        batch, _ = batch_of(TASK, examples({"text": "a b c", "label": "good"}, {"text": "a", "label": "bad"}))
        assert batch.input_ids.tolist() == [[2, 5, 6, 7, 3], [2, 5, 3, 0, 0]]
        assert batch.attention_mask.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
        assert batch.labels["label"].tolist() == [[1], [0]]
        assert batch.counts == {"single": 2}


def test_the_loss_is_minus_the_log_of_the_right_labels_share_summed():
    batch, _ = batch_of(TASK, labelled("good", "bad", "good"))
    losses = TASK.loss(saying(0.0, math.log(3)), batch)  # shares: 1/4 and 3/4
    assert list(losses) == list(batch.counts)
    assert losses["single"].item() == pytest.approx(-2 * math.log(0.75) - math.log(0.25), rel=1e-6)


def test_predictions_have_the_likeliest_label_and_every_labels_share():
    assert TASK.decode(Outcome(list(SCORES))) == [
        {"label": "good", "score": 0.75, "scores": {"bad": 0.25, "good": 0.75}},
        {"label": "bad", "score": 0.5, "scores": {"bad": 0.5, "good": 0.5}},
        {"label": "bad", "score": 0.731059, "scores": {"bad": 0.731059, "good": 0.268941}},
    ]
    assert TASK.decode(Outcome([])) == []


def test_metrics_and_what_is_right():
    _, features = batch_of(TASK, labelled("good", "bad", "good"))
    metrics = TASK.metrics(Outcome(list(SCORES), features))
    assert metrics[TASK.best_metric] == pytest.approx(2 / 3)
    assert TASK.correct(Outcome(list(SCORES), features)).tolist() == [1.0, 1.0, 0.0]


def test_the_head_has_an_output_for_every_label():
    assert TASK.heads()["classification"].labels == 2
    assert not TASK.heads()["classification"].pretrained
