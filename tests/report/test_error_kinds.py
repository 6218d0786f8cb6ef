"""What an error analysis says of every kind of task: numbers worked out by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from bertsmith.core.types import Example, Features
from bertsmith.report.error_page import SHOWN_CASES, error_page
from bertsmith.report.errors import Analysis, analysed, error_lines
from bertsmith.tasks import Outcome, Task
from bertsmith.tasks.embedding import Embedding
from bertsmith.tasks.extractive_qa import ExtractiveQuestionAnswering
from bertsmith.tasks.multi_label import MultiLabel
from bertsmith.tasks.prompted import Prompted
from bertsmith.tasks.regression import Regression
from bertsmith.tasks.similarity import Similarity
from bertsmith.tasks.single import SingleSentence
from bertsmith.tasks.tagging import Tagging
from bertsmith.tasks.text_to_text import TextToText
from tests.report.pages import Page
from tests.tasks.sentences import TOKENIZER, examples, labelled


def outcome_of(task: Task, rows: Sequence[Example], outputs: Sequence[Any]) -> Outcome:
    features: list[Features] = list(task.encode(rows, TOKENIZER))
    return Outcome([np.array(output, np.float32) for output in outputs], features, rows, TOKENIZER)


def page_of(analysis: Analysis) -> str:
    return Page(error_page(analysis, model="m", data="d")).text


def rows_of(analysis: Analysis, name: str) -> list[Any]:
    [rows] = [table.rows for table in analysis.tables if table.name == name]
    return list(rows)


def of(analysis: Analysis, kind: str) -> list[tuple[str, int, float]]:
    """The groups of one kind: name, number of examples, score."""
    return [(group.name, group.examples, group.score) for group in analysis.groups if group.kind == kind]


def tagged(*tags: str) -> list[Example]:
    """Sentences of letters with tags: `BP IP O` is a person of two tokens."""
    types = {"L": "LOC", "P": "PER"}
    lines = [["O" if tag == "O" else f"{tag[0]}-{types[tag[1]]}" for tag in line.split()] for line in tags]
    return examples(*({"tokens": list("abcdefghij"[: len(line)]), "tags": line} for line in lines))


class TestEntities:
    def analysis(self) -> Analysis:
        task = Tagging(labels=("LOC", "PER"), max_length=16)
        rows, said = tagged("BP IP O BL O O", "BL O BP"), tagged("BP O O BP O BL", "BL O O")
        scores = (0.9, 0.7)
        outputs = [
            np.stack([row["tags"], np.full(len(row["tags"]), score)], 1) for row, score in zip(task.encode(said, TOKENIZER), scores, strict=True)
        ]
        return analysed(task, outcome_of(task, rows, outputs))

    def test_cases_say_what_is_wrong(self):
        worst, other = self.analysis().cases
        assert (worst.score, worst.confidence, worst.texts) == (0.0, pytest.approx(0.9), {"text": "a b c d e f"})
        assert worst.details == {"wrong boundaries": ["PER a b → PER a"], "wrong type": ["LOC d → PER d"], "invented": ["LOC f"]}
        assert (other.score, other.details) == (pytest.approx(2 / 3), {"missed": ["PER c"]})

    def test_types_that_are_taken_for_others(self):
        wanted = [("PER", "other boundaries"), ("LOC", "PER"), ("no entity", "LOC"), ("LOC", "LOC"), ("PER", "no entity")]
        assert sorted(self.analysis().taken) == sorted(wanted)

    def test_kinds_of_mistakes(self):
        names = ("type", "right", "wrong boundaries", "wrong type", "wrong boundaries and type", "missed", "invented")
        table = [("LOC", 1, 0, 1, 0, 0, 1), ("PER", 0, 1, 0, 0, 1, 0), ("all", 1, 1, 1, 0, 1, 1)]
        assert rows_of(self.analysis(), "Kinds of mistakes") == [dict(zip(names, row, strict=True)) for row in table]

    def test_scores_by_length(self):
        """Of one token there are 3, 4 are said, 1 is right; of two tokens there is 1, and none is said."""
        one, two = rows_of(self.analysis(), "Entities by length")
        assert one == {"length": "1", "precision": 0.25, "recall": pytest.approx(1 / 3), "f1": pytest.approx(2 / 7), "support": 3}
        assert two == {"length": "2", "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}

    def test_scores_by_type(self):
        assert self.analysis().by_label["LOC"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
        assert self.analysis().by_label["PER"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 2}

    def test_length_is_that_of_the_text_and_not_of_tokens_and_text(self):
        assert [found[:2] for found in of(self.analysis(), "characters")] == [("5", 1), ("11", 1)]

    def test_the_page_has_both_sides(self):
        text = page_of(self.analysis())
        assert "said a PER b c d PER e f LOC is a b PER c d LOC e f" in text
        assert "wrong boundaries PER a b → PER a" in text
        assert "true label LOC PER no entity other boundaries" in text, "the types, what was missed, and what has other boundaries"

    def test_nothing_there_and_nothing_said(self):
        task = Tagging(labels=("LOC",), max_length=16)
        rows = tagged("O O", "O O")
        analysis = analysed(task, outcome_of(task, rows, [[[0, 0.9]] * 2] * 2))
        assert (analysis.tables, analysis.taken, analysis.by_label, analysis.cases) == ([], [], {}, [])
        assert "every example is done without a mistake" in page_of(analysis)


class TestWriting:
    def analysis(self) -> Analysis:
        task = TextToText(max_new_tokens=5, max_length=8, unit="english")
        pairs = [("a b c", "a b", "a b"), ("a b c", "a b", "a"), ("a b c d e f g h", "c d e f", "a b c")]
        rows = examples(*({"text": text, "target": target} for text, target, _ in pairs))
        return analysed(task, outcome_of(task, rows, [[0.5, *TOKENIZER.encode(said).input_ids] for *_, said in pairs]))

    def test_the_worst_by_rouge(self):
        worst, other = self.analysis().cases
        assert (worst.texts, worst.said, worst.gold, worst.confidence) == ({"text": "a b c d e f g h"}, "a b c", "c d e f", 0.5)
        assert worst.score == pytest.approx(2 / 7), "1 of 3 words, 1 of 4"
        assert other.score == pytest.approx(2 / 3)

    def test_groups(self):
        analysis, short = self.analysis(), pytest.approx((1 + 2 / 3) / 2)
        long = pytest.approx(2 / 7)
        assert of(analysis, "characters of the target") == [
            ("3", 2, short),
            ("7", 1, long),
        ]
        assert of(analysis, "characters") == [("5", 2, short), ("15", 1, long)]
        assert of(analysis, "cut off") == [("no", 2, short), ("yes", 1, long)]

    def test_what_is_as_long_as_it_may_be(self):
        shorter, full = rows_of(self.analysis(), "Cut off while writing")
        assert shorter == {"written texts": "shorter than max_new_tokens", "number": 2, "score": pytest.approx((1 + 2 / 3) / 2)}
        assert full == {"written texts": "max_new_tokens = 5 reached", "number": 1, "score": pytest.approx(2 / 7)}

    def test_the_page_names_the_score(self):
        text = page_of(self.analysis())
        assert "how well they are done on average (ROUGE-L)" in text
        assert "50% sure ROUGE-L 28.6%" in text


def test_sets_of_labels():
    task = MultiLabel(labels=("x", "y"))
    rows = labelled(["x", "y"], ["y", "x"], ["y"], [])
    analysis = analysed(task, outcome_of(task, rows, [[3, -1], [3, -1], [-1, 2], [1, -1]]))
    assert rows_of(analysis, "Labels that are said for others") == [
        {"right labels": "x · y", "said": "x", "times": 2},
        {"right labels": "none", "said": "x", "times": 1},
    ]
    assert [case.details for case in analysis.cases] == [{"missed": ["y"]}, {"missed": ["y"]}, {"invented": ["x"]}]


def test_numbers_by_range():
    task = Regression(labels=("score",))
    said = [1, 0, 1, 1, 1, 0, 4, 3]
    analysis = analysed(task, outcome_of(task, labelled(0, 0, 1, 1, 2, 2, 3, 3), [[number] for number in said]))
    names = ("right number", "examples", "lowest said", "mean said", "highest said", "mean deviation", "mean absolute error")
    table = [
        ("0", 2, 0.0, 0.5, 1.0, 0.5, 0.5),
        ("1", 2, 1.0, 1.0, 1.0, 0.0, 0.0),
        ("2", 2, 0.0, 0.5, 1.0, -1.5, 1.5),
        ("3", 2, 3.0, 3.5, 4.0, 0.5, 0.5),
    ]
    assert rows_of(analysis, "Low and high numbers") == [dict(zip(names, row, strict=True)) for row in table]
    assert [case.details["deviation"] for case in analysis.cases] == [-2.0, 1.0, -1.0, 1.0]


def test_pairs_in_the_wrong_order():
    """By the label the pairs are first, second and third; by the cosine third, first and second."""
    task = Similarity(max_length=8)
    rows = examples(*({"text": "a", "text_pair": "b", "label": number} for number in (1, 2, 3)))
    cosines = (0.96, 0.0, 0.6)
    analysis = analysed(task, outcome_of(task, rows, [[[1, 0], [cosine, np.sqrt(1 - cosine**2)]] for cosine in cosines]))
    assert [case.score for case in analysis.cases] == pytest.approx([-4 / 9, -1 / 9, -1 / 9])
    worst = analysis.cases[0]
    assert (worst.said, worst.gold, worst.confidence) == (pytest.approx(0.96), 1.0, None)
    assert worst.details == {"place by cosine": 3.0, "right place": 1.0, "of": 3}
    assert rows_of(analysis, "Cosines by label")[0] == {
        "label": "1",
        "pairs": 1,
        "lowest cosine": pytest.approx(0.96),
        "mean cosine": pytest.approx(0.96),
        "highest cosine": pytest.approx(0.96),
    }
    text = page_of(analysis)
    assert "is 0.2222 on average over 3 examples, and 0.4444 at its worst" in text
    assert "surest" not in text
    assert of(analysis, "characters of the text pair") == []


def test_where_the_right_text_ranks():
    task = Embedding(max_length=8)
    rows = examples({"text": "a", "text_pair": "b"}, {"text": "c", "text_pair": "d", "negative": "e"}, {"text": "f", "text_pair": "g"})
    vectors = [[[1, 0, 0], [1, 0, 0]], [[0, 1, 0], [0.6, 0.8, 0], [0, 1, 0]], [[0, 0, 1], [0, 0.6, 0.8]]]
    analysis = analysed(task, outcome_of(task, rows, vectors))
    [case] = analysis.cases
    assert (case.score, case.said, case.confidence) == (0.5, None, None)
    assert case.details == {"rank": 2, "of": 4, "cosine": pytest.approx(0.8), "nearest other": "e"}
    assert [detail["nearest other"] for detail in task.details(outcome_of(task, rows, vectors))] == ["d", "e", "b"]
    counts = [(row["rank"], row["texts"], row["share"]) for row in rows_of(analysis, "Where the right text ranks")]
    assert counts == [
        ("1", 2, pytest.approx(2 / 3)),
        ("2 to 5", 1, pytest.approx(1 / 3)),
        ("6 to 10", 0, 0),
        ("11 to 100", 0, 0),
        ("above 100", 0, 0),
    ]
    text = page_of(analysis)
    assert "rank 2 of 4 cosine 0.8 nearest other e" in text
    assert "is 1" not in text.split("The worst cases")[1]


def test_which_word_wins():
    """A word may win and its label lose: a label's score is the mean over its words."""
    task = Prompted(template="{text}好[MASK]", verbalizer={"yes": ("a", "b"), "no": "c"})
    analysis = analysed(task, outcome_of(task, labelled("no", "no", "no", "yes"), [[3, 0, 2], [0, 1, 0.2], [0, 0, 5], [4, 4, 0]]))
    assert rows_of(analysis, "Which word wins") == [
        {"word": "a", "of label": "yes", "times": 2, "accuracy": 1.0},
        {"word": "b", "of label": "yes", "times": 1, "accuracy": 0.0},
        {"word": "c", "of label": "no", "times": 1, "accuracy": 1.0},
    ]
    [case] = analysis.cases
    assert (case.said, case.gold, case.details) == ("yes", "no", {"likeliest word": "b"})
    assert sorted(analysis.taken) == [("no", "no"), ("no", "no"), ("no", "yes"), ("yes", "yes")]


class TestQuestions:
    def analysis(self) -> Analysis:
        task = ExtractiveQuestionAnswering(unanswerable=True, max_length=32, metric="squad")
        rows = examples(
            {"question": "e", "context": "b c d f", "answers": [{"text": "b", "start": 0}]},
            {"question": "e f g", "context": "b c d f", "answers": [{"text": "c d", "start": 2}]},
            {"question": "e", "context": "b c", "answers": []},
            {"question": "e", "context": "b c", "answers": []},
        )

        def pointing(tokens: int, place: int) -> np.ndarray:
            return np.where(np.arange(tokens + 1)[:, None] == place, 9.0, 0.0).repeat(2, 1)

        return analysed(task, outcome_of(task, rows, [pointing(4, 3), pointing(4, 2), pointing(2, 0), pointing(2, 1)]))

    def test_grades(self):
        names = ("questions", "right", "partly right", "wrong", "nothing said")
        table = [("with an answer", 0, 1, 1, 0), ("without an answer", 0, 0, 1, 1)]
        assert rows_of(self.analysis(), "What is said") == [dict(zip(names, row, strict=True)) for row in table]

    def test_cases_and_groups(self):
        analysis = self.analysis()
        assert [(case.said, case.gold, case.score) for case in analysis.cases] == [
            ("b", [], 0.0),
            ("d", ["b"], 0.0),
            ("c", ["c d"], pytest.approx(2 / 3)),
        ]
        assert of(analysis, "kind of answer") == [
            ("none", 2, 0.5),
            ("without a number", 2, pytest.approx(1 / 3)),
        ]
        assert of(analysis, "characters of the question") == [("1", 3, pytest.approx(1 / 3)), ("5", 1, pytest.approx(2 / 3))]
        assert [found[:2] for found in of(analysis, "characters of the context")] == [("3", 2), ("7", 2)]

    def test_the_page_shows_both_places(self):
        text = page_of(self.analysis())
        assert "said b c d f is b c d f said d is b" in text
        assert "is b c nothing said b is none" in text


def test_two_texts_have_two_lengths():
    task = Regression(labels=("score",))
    rows = examples(*({"text": text, "text_pair": pair, "label": 1} for text, pair in (("a", "b c"), ("a b", "b c"))))
    analysis = analysed(task, outcome_of(task, rows, [[1], [2]]))
    assert [(group.kind, group.name, group.score) for group in analysis.groups] == [
        ("characters of the text", "1", 0.0),
        ("characters of the text", "3", -1.0),
    ]


def test_lines_have_the_tables_and_the_details():
    task = MultiLabel(labels=("x", "y"))
    lines = list(error_lines(analysed(task, outcome_of(task, labelled(["x"], []), [[-1, 2], [-1, -1]]))))
    assert {"kind": "row", "table": "Labels that are said for others", "right labels": "x", "said": "y", "times": 1} in lines
    assert {name: lines[-1][name] for name in ("kind", "missed", "invented")} == {"kind": "case", "missed": ["x"], "invented": ["y"]}


def test_ten_thousand_examples_make_a_page_that_can_be_read():
    names = tuple(f"label{number}" for number in range(60))
    task, count = SingleSentence(labels=names, max_length=8), 10_000
    rows = [Example({"text": "a " * (1 + number % 300), "label": names[number % 60]}, "test.tsv", number + 1) for number in range(count)]
    features: list[Features] = [{"input_ids": np.zeros(1, np.int32), "label": np.array([number % 60])} for number in range(count)]
    outputs = list(np.eye(60, dtype=np.float32)[(np.arange(count) + (np.arange(count) % 7 == 0)) % 60])
    html = error_page(analysed(task, Outcome(outputs, features, rows, TOKENIZER)), model="m", data="d")
    page = Page(html)
    assert len(html) < 100_000
    assert sum(name == "li" for name, _ in page.elements) == SHOWN_CASES
    assert "8,571 of 10,000 examples are done without a mistake." in page.text
    assert "The first 50 of 1,429." in page.text
    assert "The 20 labels with the lowest F1, of 60." in page.text
