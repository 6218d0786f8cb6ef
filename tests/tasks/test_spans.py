"""From scores to spans: as the published loops find them, in characters of the text, and back."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.tasks.spans import TRIED, Part, best_ends, merged, shares, tokens_of_span, visible
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.windows import widest, windows

CHARACTERS = "我爱北京 Zürich cafe\u0301 \U0001f600\U0001f468\u200d\U0001f469\u3000ab c\t１２，。!?é"
TOKENIZER = Tokenizer.from_tokens(
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"我爱北京，。!?zurichcafeb1", *(f"##{letter}" for letter in "urichafeb12")]
)


def plain_loops(windows_of_scores: list[np.ndarray], may_begin: list[np.ndarray], longest: int) -> list[tuple[float, int, int, int]]:
    """The published search: score, window, first and last token, best first."""
    found: list[tuple[float, int, int, int]] = []
    for number, (scores, allowed) in enumerate(zip(windows_of_scores, may_begin, strict=True)):
        starts = sorted((place for place in range(len(scores)) if allowed[place]), key=lambda place: -scores[place, 0])[:TRIED]
        ends = sorted(range(len(scores)), key=lambda place: -scores[place, 1])[:TRIED]
        for start in starts:
            found += [(float(scores[start, 0]) + float(scores[end, 1]), number, start, end) for end in ends if start <= end < start + longest]
    return sorted(found, key=lambda one: -one[0])


def scored(length: int, size: int, step: int, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Windows with random scores, and which of their tokens are theirs."""
    over, generator = windows(length, size, step), np.random.default_rng(seed)
    return [generator.normal(size=(end - begin, 2)).astype(np.float32) for begin, end in over], widest(over)


@given(st.integers(0, 120), st.integers(1, 50), st.integers(1, 60), st.integers(0, 10**6), st.integers(1, 12), st.sampled_from(["ab", "abcdefghij"]))
def test_the_best_spans_are_those_of_the_published_loops(length: int, size: int, step: int, seed: int, longest: int, letters: str):
    """Also where a text repeats itself: what is there twice counts once, however many of its places are among the best."""
    scores, mine = scored(length, size, step, seed)
    text = "".join(np.random.default_rng(seed).choice(list(letters), length))
    begins = [np.arange(begin, end) for begin, end in windows(length, size, step)]
    expected: dict[str, float] = {}
    for score, window, first, last in plain_loops(scores, mine, longest):
        expected.setdefault(text[begins[window][first] : begins[window][last] + 1], score)
    found = merged(text, parts_of(scores, mine, begins), longest)
    assert [choice.text for choice in found] == list(expected)[:TRIED]
    assert [choice.score for choice in found] == pytest.approx(list(expected.values())[:TRIED], abs=1e-6)
    assert all(text[choice.start : choice.end] == choice.text for choice in found)


def test_windows_do_not_depend_on_their_neighbours():
    generator = np.random.default_rng(0)
    some = [generator.normal(size=(size, 2)).astype(np.float32) for size in (3, 200, 1, 30)] * 300
    may = [np.ones(len(scores), np.bool_) for scores in some]
    together = best_ends(some, may)
    for place in (0, 1, 2, 3, 599, 1199):
        alone = best_ends([some[place]], [may[place]])
        for ours, own in zip(together, alone, strict=True):
            np.testing.assert_array_equal(ours[place], own[0])


def parts_of(scores: list[np.ndarray], may_begin: list[np.ndarray], begins: list[np.ndarray]) -> list[Part]:
    """Windows over a text whose characters are its tokens."""
    return [Part(places, places + 1, *best) for places, *best in zip(begins, *best_ends(scores, may_begin), strict=True)]


def test_windows_are_merged_by_score_and_equal_texts_are_one():
    scores = [np.array([[9.0, 0], [0, 9], [0, 0], [0, 0]]), np.array([[8.0, 0], [0, 8], [0, 0], [0, 9.5]])]
    parts = parts_of(scores, [np.ones(4, np.bool_)] * 2, [np.arange(4), np.arange(2, 6)])
    found = merged("ababcd", parts, 5)
    assert [(choice.text, choice.start, choice.end, choice.score) for choice in found[:2]] == [("ab", 0, 2, 18.0), ("abcd", 2, 6, 17.5)]
    assert [choice.text for choice in found].count("ab") == 1, "the one at 2, of 16, is the same text"
    assert len(merged("ababcd", parts, 5, most=3)) == 3


def test_a_window_without_tokens_and_no_window_have_no_spans():
    [part] = parts_of([np.empty((0, 2), np.float32)], [np.empty(0, np.bool_)], [np.empty(0, np.int64)])
    assert merged("abc", [part], 5) == []
    assert merged("abc", [], 5) == []
    assert best_ends([], []).first.shape == (0, TRIED)


@pytest.mark.parametrize(
    ("text", "span", "expected"),
    [
        ("  北京 ", (0, 5), "北京"),
        ("cafe\u0301s", (0, 4), "cafe\u0301"),
        ("北京", (0, 2), "北京"),
        (" \t ", (0, 3), ""),
        ("\u0301a", (0, 0), ""),
    ],
)
def test_what_is_shown_of_a_span(text: str, span: tuple[int, int], expected: str):
    start, end = visible(text, *span)
    assert text[start:end] == expected


@given(st.text(CHARACTERS, max_size=60), st.data())
def test_every_answer_is_within_the_span_of_its_tokens(text: str, data: Any):
    offsets = TOKENIZER.pieces(text).offsets
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    found = tokens_of_span(offsets[:, 0], offsets[:, 1], start, end)
    covered = {place for first, last in offsets.tolist() for place in range(first, last)}
    if found is None:
        assert not covered & set(range(start, end)), "no token holds any of it"
        return
    first, last = found
    begin, stop = int(offsets[first, 0]), int(offsets[last, 1])
    assert covered & set(range(start, end)) <= set(range(begin, stop)), "all of it that tokens hold"
    assert offsets[first, 1] > start, "and no token more"
    assert offsets[last, 0] < end


def test_shares_add_up_and_do_not_overflow():
    assert shares([1000.0, 1000.0, 0.0]).tolist() == [0.5, 0.5, 0.0]
    assert shares([]).tolist() == []
    assert shares([0.0, float(np.log(3))]).tolist() == pytest.approx([0.25, 0.75])
