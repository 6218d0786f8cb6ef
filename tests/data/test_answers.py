"""Answers: found where they really stand, exactly or but for width and white space."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.data.answers import Placed, answers_of, realigned
from bertsmith.data.readers import read

CONTEXT = "甲方为北京大学（北大），乙方为北京大学出版社。"


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        ("北京大学", 3, Placed(3, 7, "there")),
        ("北京大学", 15, Placed(15, 19, "there")),
        ("北京大学", 4, Placed(3, 7, "moved")),
        ("北京大学", 10, Placed(15, 19, "moved")),
        ("北京大学", 9, Placed(3, 7, "moved")),  # as near to the second: the earlier one
        ("北京大学", 0, Placed(3, 7, "moved")),
        ("北京大学", -1, Placed(3, 7, "moved")),
        ("北京大学", 999, Placed(15, 19, "moved")),
        ("(北大)", 7, Placed(7, 11, "alike")),
        ("北京 大学\n（北大）", 0, Placed(3, 11, "alike")),
        (" 出版社。 ", 0, Placed(19, 23, "alike")),
        ("北京 大学", 16, Placed(15, 19, "alike")),
        ("清华", 3, None),
        ("出版社！", 0, Placed(19, 22, "trimmed")),
        ("《北京 大学》，", 14, Placed(15, 19, "trimmed")),
        ("！", 3, None),
        (" ", 3, None),
        ("", 3, None),
        ("甲", 0, Placed(0, 1, "there")),
    ],
)
def test_where_an_answer_stands(text, start, expected):
    assert realigned(CONTEXT, text, start) == expected


def test_what_is_found_alike_is_in_the_context_s_own_characters():
    context = "价格为 １２.５ 元，约合 ② 美元"
    placed = realigned(context, "12.5元", 0)
    assert placed is not None
    assert context[placed.start : placed.end] == "１２.５ 元"
    assert realigned(context, "2美元", 0) == Placed(14, 18, "alike")


def test_an_accent_may_be_a_character_of_its_own_or_a_part_of_one():
    apart, composed = "er lebt in Zu\u0308rich, dann in Zug", "er lebt in Zürich, dann in Zug"
    assert realigned(apart, "Zürich", 11) == Placed(11, 18, "alike")
    assert realigned(composed, "Zu\u0308rich", 11) == Placed(11, 17, "alike")
    assert realigned("cafe\u0301 noir", "café", 0) == Placed(0, 5, "alike"), "with its accent"
    assert realigned("\u0301a", "A", 0) is None


def test_overlapping_places_are_all_looked_at():
    assert realigned("aaaa", "aa", 1) == Placed(1, 3, "there")
    assert realigned("baaab", "aa", 3) == Placed(2, 4, "moved")


@given(st.text("ab（( ", max_size=30), st.integers(0, 30), st.integers(1, 5), st.integers(-1, 40))
def test_what_is_in_the_context_is_found_at_the_nearest_place(context, begin, length, start):
    text = context[begin : begin + length]
    placed = realigned(context, text, start)
    if not text.strip():
        assert placed is None
        return
    places = [place for place in range(len(context)) if context.startswith(text, place)]
    assert placed is not None
    assert context[placed.start : placed.end] == text
    assert placed.start == min(places, key=lambda place: (abs(place - max(start, 0)), place))
    assert (placed.how == "there") == (start in places)


@given(st.text(max_size=30), st.text(max_size=4), st.integers(-5, 40))
def test_places_are_within_any_context(context, text, start):
    placed = realigned(context, text, start)
    if placed is not None:
        assert 0 <= placed.start < placed.end <= len(context)
    elif text.strip():
        assert text not in context


@pytest.mark.parametrize("value", [[], {"text": [], "answer_start": []}])
def test_no_answers(value):
    assert answers_of(value) == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a", "answers is 'a', not a list"),
        ({"text": ["a"]}, "without the lists 'text' and 'answer_start'"),
        ({"text": ["a"], "answer_start": []}, "1 texts and 0 starts"),
        ({"text": ["a"], "answer_start": [None]}, "answers[0] has no start"),
        ([{"text": "a", "start": 1}, {"text": "a", "start": True}], "answers[1] has the start 'True'"),
        ([{"text": 3, "start": 1}], "answers[0] has the text '3', which is no string"),
        ([["a", 1]], "answers[0] is"),
    ],
)
def test_answers_that_cannot_be_read(value, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the text is what is looked at)
        answers_of(value)
    assert message in str(caught.value)


def test_misplaced_answers_of_cmrc(shared_data):
    """Two hundred answers of its dev set are not where they are said to be."""
    dataset = read(shared_data / "cmrc2018" / "dev.json", needed=("question", "context"))
    answers = [(row["context"], answer["text"], answer["start"]) for row in dataset for answer in row["answers"]]
    how = Counter(placed.how if (placed := realigned(*answer)) else "nowhere" for answer in answers)
    assert how == {"there": 9457, "moved": 7, "trimmed": 160, "nowhere": 33}
