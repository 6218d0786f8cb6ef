"""ROUGE: the numbers of rouge-score in English, Chinese by hand."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from bertsmith.core.errors import DataError
from bertsmith.metrics.rouge import RougeScore, chinese_characters, chinese_words, english_tokens, rouge, rouge_scores

NAMES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
ORACLE = RougeScorer(NAMES)
ENGLISH = st.text(alphabet="aB1 \n.é'") | st.lists(st.sampled_from(["the", "cat", "dog", "sat", "on", "\n", ",", "U.S."])).map(" ".join) | st.text()


def assert_equal(prediction: str, references: list[str]) -> None:
    theirs = ORACLE.score_multi(references, prediction)
    ours = rouge(prediction, references)
    assert list(ours) == NAMES
    for name in NAMES:
        assert ours[name].f1 == pytest.approx(theirs[name].fmeasure)
        if len(references) == 1:  # of several that are equally good, either may be given
            assert (ours[name].precision, ours[name].recall) == pytest.approx((theirs[name].precision, theirs[name].recall))


@given(ENGLISH, st.lists(ENGLISH, min_size=1, max_size=3))
def test_english_is_that_of_rouge_score(prediction: str, references: list[str]):
    assert_equal(prediction, references)


def test_real_english_is_that_of_rouge_score(shared_data: Path):
    """Sentences against those after them, then whole paragraphs of three lines."""
    file = shared_data / "news_commentary_en_zh" / "sample.tsv"
    lines = [line.split("\t")[0] for line in file.read_text(encoding="utf-8").splitlines()[:600]]
    for first, second in zip(lines[:-1:2], lines[1::2], strict=True):
        assert_equal(first, [second])
    paragraphs = ["\n".join(lines[start : start + 3]) for start in range(0, 150, 3)]
    for first, second in zip(paragraphs[:-1:2], paragraphs[1::2], strict=False):
        assert_equal(first, [second])


@pytest.mark.parametrize(
    ("prediction", "reference", "tokens", "wanted"),
    [
        # by the character 5 of 6 and 5 of 7, pairs 3 of 5 and 3 of 6
        ("北京明天下雨。", "北京明天有大雨，", chinese_characters, {"rouge1": (5 / 6, 5 / 7), "rouge2": (3 / 5, 3 / 6), "rougeL": (5 / 6, 5 / 7)}),
        # by the word: 北京 明天 下雨 against 北京 明天 有 大雨
        ("北京明天下雨。", "北京明天有大雨，", chinese_words, {"rouge1": (2 / 3, 2 / 4), "rouge2": (1 / 2, 1 / 3), "rougeL": (2 / 3, 2 / 4)}),
        # the order counts for pairs and sequences
        ("雨大", "大雨", chinese_characters, {"rouge1": (1, 1), "rouge2": (0, 0), "rougeL": (1 / 2, 1 / 2)}),
        # oftener than in the reference is no better
        ("好好好好", "好", chinese_characters, {"rouge1": (1 / 4, 1), "rouge2": (0, 0), "rougeL": (1 / 4, 1)}),
        # Latin words and numbers are whole
        ("2024年用Python", "2024年用python3", chinese_characters, {"rouge1": (3 / 4, 3 / 4), "rouge2": (2 / 3, 2 / 3), "rougeL": (3 / 4, 3 / 4)}),
        ("", "大雨", chinese_characters, dict.fromkeys(NAMES, (0, 0))),
        ("。", "！", chinese_characters, dict.fromkeys(NAMES, (0, 0))),
    ],
)
def test_chinese_by_hand(prediction: str, reference: str, tokens, wanted: dict[str, tuple[float, float]]):
    scores = rouge(prediction, [reference], tokens)
    for name, values in wanted.items():
        assert (scores[name].precision, scores[name].recall) == pytest.approx(values), name


def test_lines_are_compared_each_with_each():
    """Two lines in another order: as one sequence half of it is common, line by line all of it is."""
    scores = rouge("天气很好\n我们出门", ["我们出门\n天气很好"], chinese_characters)
    assert scores["rougeL"].f1 == 0.5
    assert scores["rougeLsum"] == RougeScore(1.0, 1.0, 1.0)


def test_best_reference_is_chosen_for_each_score():
    """One has the words, the other the sequence."""
    scores = rouge("abcd", ["dcba", "abxyzuv"], list)
    assert scores["rouge1"].f1 == 1.0
    assert scores["rouge2"].f1 == pytest.approx(2 / (3 + 6))
    assert scores["rougeL"].f1 == pytest.approx(4 / 11)


def test_language_decides_how_to_cut():
    assert rouge_scores(["天气很好"], [["今天天气很好"]]) == rouge_scores(["天气很好"], ["今天天气很好"], chinese_characters)
    assert rouge_scores(["天气很好"], ["今天天气很好"], english_tokens)["rouge1"] == 0
    assert rouge_scores(["a cat", "x"], ["the cat", ["x", "y"]])["rouge1"] == pytest.approx((0.5 + 1) / 2)


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(DataError, match="0 predictions and 0 references"):
        rouge_scores([], [])
    with pytest.raises(DataError, match="1 of 2 examples") as error:
        rouge_scores(["a", "b"], ["a", []])
    assert error.value.problems == ("example 2: no reference",)


@given(
    st.text(alphabet="天气很好ab ，\n", max_size=12),
    st.text(alphabet="天气很好ab ，\n", max_size=12),
    st.sampled_from([chinese_characters, chinese_words]),
)
def test_what_holds_always(first: str, second: str, tokens):
    forth, back = rouge(first, [second], tokens), rouge(second, [first], tokens)
    for name in NAMES:
        assert 0 <= forth[name].f1 <= 1
        if name != "rougeLsum":  # it looks from the lines of the reference
            assert forth[name] == RougeScore(back[name].recall, back[name].precision, back[name].f1)
    if tokens(first):
        assert rouge(first, [first], tokens)["rouge1"].f1 == rouge(first, [first], tokens)["rougeL"].f1 == 1
