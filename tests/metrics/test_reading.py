"""Reading comprehension: the numbers of the published scripts, their peculiarities by hand, and the threshold by its definition."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nltk.tokenize import NLTKWordTokenizer

from bertsmith.core.errors import DataError
from bertsmith.metrics.reading import Script, answer_score, answer_scores, best_threshold, reading_scores, script_for
from bertsmith.metrics.treebank import treebank_words
from bertsmith.metrics.uncertainty import compare_paired

SCRIPTS: list[Script] = ["squad", "squad-1.1", "cmrc"]
MIXED = st.text(alphabet="北京市，。《》·abThe an.,'\"-:1 \n") | st.text(max_size=20)

TAKEN_OUT = "-:_*^/\\~`+=“”’"
SEPARATORS = "\x1c\x1d\x1e\x1f"
"""White space to Python and to NLTK as it was; not to NLTK since it looks for white space with the module `regex`."""
ENGLISH = st.text(alphabet="ab19 .,;'\"!?()[]<>{}«»‘„–—@#$%&…\n") | st.lists(
    st.sampled_from(
        [
            "cannot",
            "gonna",
            "wanna",
            "d'ye",
            "more'n",
            "'tis",
            "'twas",
            "it's",
            "i'll",
            "don't",
            "dogs'",
            "''",
            '"',
            "'",
            ".",
            "...",
            ",",
            "3,000",
            " ",
            "( ",
            "no",
            "'re",
        ]
    )
).map("".join)


@pytest.mark.parametrize(("name", "script"), [("squad", "squad"), ("cmrc", "cmrc")])
def test_every_published_case(shared_data: Path, name: str, script: Script):
    cases = [json.loads(line) for line in (shared_data / "metric_cases" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(cases) == 2000
    scores = [answer_score(case["prediction"], case["answers"], script) for case in cases]
    assert [score.exact for score in scores] == [case["exact"] for case in cases]
    np.testing.assert_allclose([score.f1 for score in scores], [case["f1"] for case in cases], atol=1e-9)


@example("CANNOT'TIS'TWAS")
@given(ENGLISH | st.text(alphabet=st.characters(exclude_characters=TAKEN_OUT + SEPARATORS)))
def test_english_words_are_those_of_nltk(text: str):
    text = text.lower()
    assert treebank_words(text) == NLTKWordTokenizer().tokenize(text)


@pytest.mark.parametrize(
    ("script", "prediction", "answers", "exact", "f1"),
    [
        ("squad", "the Cat!", ["a cat"], 1, 1),
        ("squad", "in the year 1985", ["1985", "year 1985"], 0, 4 / 5),  # 2 of the 3 words, all of the 2
        ("squad", "well known", ["well-known"], 0, 0),  # the hyphen leaves no space
        ("squad", "“cat”", ["cat"], 0, 0),  # not ASCII
        ("squad", "cat cat dog", ["cat dog dog"], 0, 2 / 3),  # a bag: cat once, dog once
        ("squad", "", ["cat"], 0, 0),
        ("squad", "the", ["cat", "?"], 1, 1),  # nothing is left of either
        ("squad-1.1", "the", ["cat", "?"], 1, 0),
        ("squad", "北京", ["北京市"], 0, 0),
        ("cmrc", "北京", ["北京市"], 0, 4 / 5),
        ("cmrc", "北", ["北"], 1, 1),
        ("cmrc", "北", ["京"], 0, 0),
        ("cmrc", "市北京", ["北京市"], 0, 2 / 3),  # in one piece
        ("cmrc", "北x京", ["北京"], 0, 2 / 5),
        ("cmrc", "《红楼梦》。", ["红楼梦"], 1, 1),
        ("cmrc", "红楼梦.", ["红楼梦"], 0, 6 / 7),  # not of the list: a word of its own
        ("cmrc", "1985-1987", ["19851987"], 1, 1),  # the hyphen leaves no space
        ("cmrc", "New York", ["new  york"], 0, 1),  # spaces count for one of the two
        ("cmrc", "AC Milan队", ["ac milan"], 0, 4 / 5),
        ("cmrc", "。", ["，"], 1, 0),
        ("cmrc", "㐀", ["㐀a"], 0, 0),  # not of U+4E00–U+9FA5: it and a are one word
        ("cmrc", "北京", ["上海", "北京", "北京市"], 1, 1),
    ],
)
def test_by_hand(script: Script, prediction: str, answers: list[str], exact: float, f1: float):
    score = answer_score(prediction, answers, script)
    assert (score.exact, score.f1) == (exact, pytest.approx(f1))


@pytest.mark.parametrize("script", SCRIPTS)
def test_without_an_answer_silence_is_right(script: Script):
    assert [answer_score(said, [], script).f1 for said in ("", "  ", "。" if script == "cmrc" else "?", "42")] == [1, 1, 1, 0]


@given(MIXED, MIXED, st.sampled_from(SCRIPTS))
def test_what_holds_always(first: str, second: str, script: Script):
    forth, back = answer_score(first, [second], script), answer_score(second, [first], script)
    assert 0 <= forth.f1 <= 1
    assert forth.exact in (0.0, 1.0)
    assert forth == back
    assert answer_score(first, [first], script).exact == 1


@given(st.text(alphabet="北京市上海", min_size=1), st.sampled_from(SCRIPTS))
def test_equal_is_all_right(text: str, script: Script):
    assert answer_score(text, [text, "天"], script).f1 == 1


def test_script_by_language(shared_data: Path):
    assert script_for(["1985"]) == script_for([]) == script_for(["", "the Yangtze (长江)"]) == "squad"
    for name in ("cmrc2018/dev.json", "drcd/dev.json"):
        articles = json.loads((shared_data / name).read_text(encoding="utf-8"))["data"]
        assert script_for([paragraph["context"] for article in articles for paragraph in article["paragraphs"]]) == "cmrc"


def test_scores_of_a_set():
    predictions, answers = ["北京", "", "上海", ""], [["北京市"], [], [], ["天"]]
    assert reading_scores(predictions, answers) == {
        "exact": 0.25,
        "f1": pytest.approx((0.8 + 1) / 4),
        "has_answer_exact": 0.0,
        "has_answer_f1": pytest.approx(0.4),
        "no_answer_exact": 0.5,
        "no_answer_f1": 0.5,
    }
    assert reading_scores(["a b"], [["b"]]) == {"exact": 1.0, "f1": 1.0}
    assert set(reading_scores([""], [[]])) == {"exact", "f1", "no_answer_exact", "no_answer_f1"}


def test_answers_of_which_nothing_is_left_do_not_count_in_squad_2():
    said = ["the", "the"], [["cat", "?"], ["?"]]
    assert [score.f1 for score in answer_scores(*said, "squad")] == [0, 1]
    assert [score.f1 for score in answer_scores(*said, "squad-1.1")] == [0, 0]
    assert [score.exact for score in answer_scores(*said, "squad-1.1")] == [1, 1]


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match="0 predictions for 0 questions"):
        reading_scores([], [])
    with pytest.raises(DataError, match="1 predictions for 2 questions"):
        answer_scores(["a"], [["a"], ["b"]])
    with pytest.raises(DataError, match="2 no_answer_scores for 1 questions"):
        reading_scores(["a"], [["a"]], [0.1, 0.2])


def test_scores_of_questions_can_be_compared():
    answers = [["北京市"]] * 30
    first, second = (np.array([score.f1 for score in answer_scores([said] * 30, answers)]) for said in ("北京", "北京市"))
    assert compare_paired(first, second, rounds=200).difference == pytest.approx(0.2)


def test_threshold_by_hand():
    """Sorted by the score: right, half, wrong to answer, right. From 1 question without an answer: 2, 2.5, 1.5, 2.5 of 4."""
    answers = [["Rome"], ["Rome now"], [], ["Oslo"]]
    scores = reading_scores(["Rome", "Rome then", "Bonn", "Oslo"], answers, [0.1, 0.2, 0.3, 0.4])
    assert (scores["best_f1"], scores["best_f1_threshold"]) == (2.5 / 4, 0.2)
    assert (scores["best_exact"], scores["best_exact_threshold"]) == (2 / 4, 0.1)
    none = reading_scores(["Bonn", "Bonn"], [[], ["Rome"]], [0.5, 0.6])
    assert (none["best_f1"], none["best_f1_threshold"]) == (0.5, 0.0)


def test_threshold_counts_an_article_as_an_answer():
    """As the published script does, though the exact score of it is 1."""
    assert best_threshold(np.array([1.0]), np.array([False]), np.array([False]), np.array([0.5])) == (1.0, 0.0)
    said = reading_scores(["the", "Rome"], [[], ["Rome"]], [0.1, 0.2])
    assert said["exact"] == 1.0
    assert (said["best_exact"], said["best_exact_threshold"]) == (0.5, 0.0)


question = st.tuples(st.sampled_from([0.0, 0.4, 1.0]), st.booleans(), st.booleans())


@given(st.lists(question, min_size=1, max_size=8), st.randoms())
def test_threshold_by_its_definition(questions: list[tuple[float, bool, bool]], random):
    """For scores above 0 that are all different: the best of all thresholds, each applied as it says."""
    overlaps, answerable, silent = (np.array(column) for column in zip(*questions, strict=True))
    silent &= ~answerable
    scores = np.where(answerable, overlaps, silent)
    doubts = np.arange(1, len(questions) + 1) / 10
    random.shuffle(doubts)

    def applied(threshold: float) -> float:
        return float(np.where(doubts > threshold, ~answerable, scores).mean())

    best, threshold = best_threshold(scores.astype(float), answerable, silent, doubts)
    assert best == pytest.approx(max(applied(at) for at in (0.0, *doubts)))
    assert applied(threshold) == pytest.approx(best)
