"""Where a model is wrong, for every kind of task, as objects and as a page."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bertsmith.core.types import Example, Features
from bertsmith.report.error_page import MOST_ROWS, SHOWN_CASES, error_page, written
from bertsmith.report.errors import Analysis, Group, analysed, error_lines
from bertsmith.tasks import Outcome, Task
from bertsmith.tasks.extractive_qa import ExtractiveQuestionAnswering
from bertsmith.tasks.multi_label import MultiLabel
from bertsmith.tasks.multiple_choice import MultipleChoice
from bertsmith.tasks.regression import Regression
from bertsmith.tasks.single import SingleSentence
from bertsmith.tasks.tables import ranges
from tests.report.pages import Page
from tests.tasks.sentences import TOKENIZER, examples, labelled

SINGLE = SingleSentence(labels=("no", "yes"))
EVIL = "<script>alert('x')</script>"


def outcome_of(task: Task, rows: Sequence[Example], *scores: Sequence[float]) -> Outcome:
    features: list[Features] = list(task.encode(rows, TOKENIZER))
    return Outcome([np.array(row, np.float32) for row in scores], features, rows, TOKENIZER)


def single() -> Outcome:
    texts = ("a", "a b c d e f g h i j a b", "a b", "c")
    rows = examples(*({"text": text, "label": label} for text, label in zip(texts, ("no", "no", "yes", "yes"), strict=True)))
    task = SingleSentence(labels=("no", "yes"), max_length=8)
    return outcome_of(task, rows, [2, 0], [0, 1], [3, 0], [0, 1])


def of(analysis: Analysis, kind: str) -> list[Group]:
    return [group for group in analysis.groups if group.kind == kind]


def test_cases_are_the_wrong_ones_and_the_surest_comes_first():
    analysis = analysed(SINGLE, single())
    assert [(case.example.line, case.said, case.gold, case.score) for case in analysis.cases] == [(4, "no", "yes", 0.0), (3, "yes", "no", 0.0)]
    assert [case.confidence for case in analysis.cases] == pytest.approx([np.exp(3) / (np.exp(3) + 1), np.e / (np.e + 1)], abs=1e-5)
    assert (analysis.examples, analysis.score, analysis.metrics["accuracy"]) == (4, 0.5, 0.5)
    assert sorted(analysis.taken) == [("no", "no"), ("no", "yes"), ("yes", "no"), ("yes", "yes")]


def test_groups_are_by_label_by_length_and_by_what_was_cut():
    analysis = analysed(SINGLE, single())
    assert of(analysis, "label") == [Group("label", "no", 2, 0.5), Group("label", "yes", 2, 0.5)]
    assert of(analysis, "characters") == [Group("characters", "1", 2, 1.0), Group("characters", "3", 1, 0.0), Group("characters", "23", 1, 0.0)]
    assert of(analysis, "cut off") == [Group("cut off", "no", 3, 2 / 3), Group("cut off", "yes", 1, 0.0)]


def test_a_kind_with_one_group_says_nothing():
    outcome = outcome_of(SINGLE, examples({"text": "a", "label": "no"}, {"text": "b", "label": "no"}), [1, 0], [0, 1])
    assert analysed(SINGLE, outcome).groups == []


def test_every_label_has_its_metrics():
    assert analysed(SINGLE, single()).by_label["no"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}


def test_several_labels_are_several_groups():
    task = MultiLabel(labels=("x", "y"))
    outcome = outcome_of(task, labelled(["x", "y"], ["y"], []), [3, -1], [-1, 2], [-4, -2])
    analysis = analysed(task, outcome)
    assert of(analysis, "label") == [Group("label", "y", 2, 0.5), Group("label", "none", 1, 1.0), Group("label", "x", 1, 0.0)]
    assert [group.name for group in of(analysis, "number of labels")] == ["0", "1", "2"]
    [case] = analysis.cases
    assert (case.said, case.gold) == (["x"], ["x", "y"])
    assert case.confidence == pytest.approx(1 / (1 + np.exp(-1)), abs=1e-5), "of what it is least sure of: that there is no y"
    assert analysis.by_label["y"] == {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 2}
    assert analysis.taken == []


def test_numbers_are_in_ranges_and_the_largest_error_comes_first():
    task = Regression(labels=("score",))
    outcome = outcome_of(task, labelled(1, 2, 3, 4.5), [1], [4], [3.5], [4.5])
    analysis = analysed(task, outcome)
    assert [(case.said, case.gold, case.score) for case in analysis.cases] == [(4.0, 2.0, -4.0), (3.5, 3.0, -0.25)]
    assert [group.name for group in of(analysis, "label")] == ["1", "2", "3", "4.5"]
    assert [group.score for group in of(analysis, "label")] == [0.0, -4.0, -0.25, 0.0]
    page = Page(error_page(analysis, model="m", data="d"))
    assert "The squared error is 1.062 on average over 4 examples, and 4 at its worst." in page.text
    assert "said 4 is 2 deviation 2" in page.text
    assert "sure" not in page.text.split("The worst cases")[1].split("said")[1]


def test_choices_are_shown_as_texts():
    task = MultipleChoice()
    rows = examples({"question": "a", "choices": ["b", "c"], "label": 1, "id": "q7"}, {"question": "d", "choices": ["e", "f", "g"], "label": "e"})
    analysis = analysed(task, outcome_of(task, rows, [1, 0], [2, 0, 0]))
    [case] = analysis.cases
    assert (case.said, case.gold) == ("b", "c")
    assert case.texts == {"question": "a", "choices": "b · c"}
    assert of(analysis, "number of choices") == [Group("number of choices", "2", 1, 0.0), Group("number of choices", "3", 1, 1.0)]
    line = list(error_lines(analysis))[-1]
    assert line["choices"] == ["b", "c"]
    assert (line["id"], line["line"], line["file"], "place" in line) == ("q7", 2, "train.tsv", False)


def test_a_case_of_a_nested_file_says_where_in_its_line_it_stands():
    task = MultipleChoice()
    row = replace(examples({"question": "a", "choices": ["b", "c"], "label": 1})[0], place="[3][1][0]")
    line = list(error_lines(analysed(task, outcome_of(task, [row], [1, 0]))))[-1]
    assert (line["kind"], line["line"], line["place"]) == ("case", row.line, "[3][1][0]")


def test_lines_say_what_they_are_and_are_json():
    lines = list(error_lines(analysed(SINGLE, single())))
    assert json.loads(json.dumps(lines, allow_nan=False)) == lines
    assert [line["kind"] for line in lines] == ["summary", "label", "label", "confusion", "confusion", *["group"] * 7, "case", "case"]
    assert lines[0] == {"kind": "summary", "task": "single", "n": 4, "wrong": 2, "metrics": lines[0]["metrics"]}
    assert {"kind": "confusion", "gold": "yes", "said": "no", "n": 1} in lines
    assert {"kind": "group", "by": "label", "group": "no", "n": 2, "score": 0.5} in lines
    assert {key: lines[-1][key] for key in ("file", "line", "text", "said", "gold", "score")} == {
        "file": "train.tsv",
        "line": 3,
        "text": "a b c d e f g h i j a b",
        "said": "yes",
        "gold": "no",
        "score": 0.0,
    }


def test_the_page_stands_alone_and_shows_all_of_it():
    html = error_page(analysed(SINGLE, single()), model="runs/m", data="test.tsv")
    page = Page(html)
    assert html.startswith("<!doctype html>")
    assert "script" not in page.names()
    assert not [attributes for _, attributes in page.elements if {"src", "href", "srcset", "action"} & attributes.keys()]
    for wanted in [
        "2 of 4 examples are done without a mistake.",
        "accuracy 50.0%",
        "By label",
        "By characters",
        "By cut off",
        "Label by label",
        "What is taken for what",
        "The worst cases",
        "said no is yes 95% sure train.tsv:4",
    ]:
        assert wanted in page.text


def test_what_comes_from_data_is_escaped():
    rows = examples({"text": EVIL, "label": EVIL}, {"text": "a", "label": "no"})
    task = SingleSentence(labels=(EVIL, "no"))
    html = error_page(analysed(task, outcome_of(task, rows, [0, 1], [0, 1])), model=EVIL, data=EVIL)
    assert "<script" not in html
    assert EVIL in Page(html).text


def test_long_lists_are_cut_and_counted():
    labels = tuple(f"label{number}" for number in range(MOST_ROWS + 3))
    task = SingleSentence(labels=labels)
    rows = labelled(*[label for label in labels for _ in range(3)])
    wrong = [np.eye(len(labels))[(number // 3 + 1) % len(labels)].tolist() for number in range(len(rows))]
    text = Page(error_page(analysed(task, outcome_of(task, rows, *wrong)), model="m", data="d")).text
    assert "and 3 groups of fewer examples" in text
    assert f"The first {SHOWN_CASES} of {len(rows)}." in text


def test_no_mistake_is_said():
    outcome = outcome_of(SINGLE, labelled("no", "yes"), [1, 0], [0, 1])
    assert "There is none: every example is done without a mistake." in Page(error_page(analysed(SINGLE, outcome), model="m", data="d")).text


@pytest.mark.parametrize(
    ("numbers", "names"),
    [
        ([1, 2, 3, 4], ["1", "2", "3", "4"]),
        ([5, 5, 5], ["5"]),
        ([1, 1, 1, 1, 1, 9], ["1", "9"]),
        ([0.25, 0.5, 10, 1000], ["0.25", "0.5", "10", "1000"]),
        (list(range(8)), ["0 to 1", "2 to 3", "4 to 5", "6 to 7"]),
    ],
)
def test_ranges(numbers: list[float], names: list[str]):
    found = ranges(numbers)
    assert [name for name, _ in found] == names
    assert sorted(place for _, places in found for place in places) == list(range(len(numbers)))


@pytest.mark.parametrize(
    ("value", "text"), [(["a", "b"], "a · b"), ({"label": "X", "start": 3}, "X"), (7, "7"), ("", "none"), ("x" * 500, "x" * 400 + "…")]
)
def test_answers_as_a_person_reads_them(value: Any, text: str):
    assert written(value) == text


def test_questions_are_grouped_by_their_answers():
    task = ExtractiveQuestionAnswering(unanswerable=True)
    answers = ([], [{"text": "三月", "start": 0}], [{"text": "a b", "start": 3}])
    groups = [task.groups(Example({"question": "c", "context": "三月 a b", "answers": each})) for each in answers]
    assert groups[0] == {"kind of answer": "none"}
    assert groups[1:] == [
        {"kind of answer": "with a number", "characters of the answer": 2},
        {"kind of answer": "without a number", "characters of the answer": 3},
    ]
    assert task.answer({"answer": "b", "start": 5, "end": 6, "score": 0.5}) == "b"
