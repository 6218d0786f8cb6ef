"""The nearest of many: as by sorting everything, whatever the blocks; ties in the order of the rows."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertsmith.core.errors import RecipeError
from bertsmith.inference import neighbours
from bertsmith.inference.neighbours import kept_on_disk, nearest


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def by_sorting(queries: np.ndarray, corpus: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """In float64, one query after the other."""
    scores, rows = [], []
    for query in queries.astype(np.float64):
        lengths = np.linalg.norm(query) * np.linalg.norm(corpus.astype(np.float64), axis=1)
        cosines = np.array([one @ query / length if length else 0.0 for one, length in zip(corpus, lengths, strict=True)]).round(6)
        order = sorted(range(len(corpus)), key=lambda row: (-cosines[row], row))[:top]
        scores.append(cosines[order])
        rows.append(order)
    return np.array(scores), np.array(rows)


@given(
    queries=st.integers(1, 9),
    corpus=st.integers(1, 30),
    top=st.integers(1, 12),
    block=st.integers(1, 11),
    first=st.integers(1, 11),
    seed=st.integers(0, 9),
    kinds=st.integers(1, 30),
)
@settings(max_examples=150, deadline=None)
def test_it_is_what_sorting_finds(queries: int, corpus: int, top: int, block: int, first: int, seed: int, kinds: int):
    """Rows of few kinds, so that there are ties, within a block and across blocks."""
    asked, different = drawn(queries, 5, seed=seed), np.eye(31, 5, dtype=np.float32) + drawn(31, 5, seed=seed + 1)
    offered = different[np.random.default_rng(seed).integers(kinds, size=corpus)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "BLOCK", block)
        patch.setattr(neighbours, "FIRST", first)
        scores, rows = nearest(asked, offered, top)
    expected_scores, expected_rows = by_sorting(asked, offered, top)
    assert scores.shape == rows.shape == (queries, min(top, corpus))
    np.testing.assert_allclose(scores, expected_scores, atol=2e-6)
    differing = rows != expected_rows  # by less than what float32 can tell
    assert np.abs(scores - expected_scores)[differing].max(initial=0) <= 2e-6
    assert all(len(set(row)) == len(row) for row in rows.tolist())
    for row, own in zip(rows.tolist(), scores.tolist(), strict=True):
        assert sorted(zip([-score for score in own], row, strict=True)) == list(zip([-score for score in own], row, strict=True))


@pytest.mark.parametrize("block", [1, 2, 3, 4, 5, 100])
def test_of_equal_ones_the_earlier_row_comes_first(monkeypatch: pytest.MonkeyPatch, block: int):
    monkeypatch.setattr(neighbours, "BLOCK", block)
    corpus = np.array([[0, 1], [3, 4], [1, 0], [0.6, 0.8], [2, 0], [6, 8], [1, 0]], np.float32)
    scores, rows = nearest(np.array([[1, 0], [0, 5]], np.float32), corpus, top=5)
    assert rows.tolist() == [[2, 4, 6, 1, 3], [0, 1, 3, 5, 2]]
    np.testing.assert_allclose(scores, [[1, 1, 1, 0.6, 0.6], [1, 0.8, 0.8, 0.8, 0]], atol=1e-7)


def test_all_rows_may_be_the_same():
    scores, rows = nearest(np.ones((3, 4), np.float32), np.ones((9, 4), np.float32), top=4)
    assert rows.tolist() == [[0, 1, 2, 3]] * 3
    assert scores.tolist() == [[1.0] * 4] * 3


def test_thousands_of_ties_take_no_more_memory_than_their_products():
    """Of 8 million equal cosines, those behind the first few are not looked at."""
    asked, offered = np.ones((2048, 4), np.float32), np.ones((8192, 4), np.float32)
    tracemalloc.start()
    try:
        _, rows = nearest(asked, offered, top=3)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (rows == [0, 1, 2]).all()
    assert peak < 4 * len(asked) * neighbours.BLOCK * 4


def test_what_differs_in_the_seventh_decimal_is_a_tie():
    scores, rows = nearest(np.array([[1, 0]], np.float32), np.array([[1, 5e-4], [1, 0]], np.float32), top=2)
    assert scores.tolist() == [[1.0, 1.0]]
    assert rows.tolist() == [[0, 1]]


def test_a_vector_without_a_direction_is_like_no_other():
    scores, rows = nearest(np.array([[0, 0], [1, 1]], np.float32), np.array([[0, 0], [1, 1], [-1, -1]], np.float32), top=3)
    assert scores.tolist() == [[0, 0, 0], [1, 0, -1]]
    assert rows.tolist() == [[0, 1, 2], [1, 0, 2]]


@pytest.mark.parametrize("scale", [1e-22, 1e22])
def test_lengths_do_not_matter_however_small_or_large(scale: float):
    """Their squares are beyond float32."""
    asked, offered = drawn(4, 8, seed=1), drawn(9, 8, seed=2)
    expected = nearest(asked, offered, 9)
    found = nearest(asked * np.float32(scale), offered * np.float32(scale), 9)
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_allclose(found[0], expected[0], atol=2e-6)


def test_halves_are_compared_as_exactly_as_other_numbers():
    asked, offered = (drawn(count, 8, seed=count) * 300 for count in (4, 9))
    halves = asked.astype(np.float16), offered.astype(np.float16)
    expected = nearest(*(side.astype(np.float32) for side in halves), 9)
    found = nearest(*halves, 9)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(value: float, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(neighbours, "BLOCK", 2)
    spoilt = drawn(6, 4)
    spoilt[3, 1] = value
    for sides, name in (((drawn(2, 4), spoilt), "corpus"), ((spoilt, drawn(2, 4)), "queries")):
        with pytest.raises(RecipeError, match=f"row 3 of the {name}, counted from 0, is of length (nan|inf): its numbers must be finite"):
            nearest(*sides, 1)


def test_no_cosine_is_a_negative_zero():
    assert not np.signbit(nearest(np.array([[1, 0]], np.float32), np.array([[-1e-9, 1]], np.float32), 1)[0]).any()


def test_nothing_has_nothing_near():
    assert nearest(np.empty((0, 4), np.float32), drawn(3, 4), 2)[1].shape == (0, 2)
    assert nearest(drawn(3, 4), np.empty((0, 4), np.float32), 2)[1].shape == (3, 0)


def test_vectors_of_different_models_are_refused():
    with pytest.raises(RecipeError, match="vectors of 4 numbers cannot be compared with vectors of 5"):
        nearest(drawn(1, 4), drawn(1, 5))
    with pytest.raises(RecipeError, match="top is 0"):
        nearest(drawn(1, 4), drawn(1, 4), top=0)


def test_vectors_are_kept_on_disk(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(neighbours, "BLOCK", 4)
    vectors = drawn(10, 3)
    with kept_on_disk(iter(vectors), 3) as kept:
        assert isinstance(kept, np.memmap)
        assert kept.tolist() == vectors.tolist()
        assert nearest(vectors[:1], kept, top=1)[1].tolist() == [[0]]
    with kept_on_disk([], 3) as kept:
        assert kept.shape == (0, 3)
