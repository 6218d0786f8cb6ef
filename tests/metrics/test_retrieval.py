"""Finding the right one: by hand, by sorting, and the rule for equal scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.core.errors import DataError
from bertsmith.metrics.retrieval import ranks, retrieval_scores


def test_by_hand():
    """Ranks 1, 3 and 2."""
    scores = np.array([[0.9, 0.1, 0.2, 0.3], [0.5, 0.4, 0.3, 0.6], [0.0, 0.7, 0.8, 0.1]])
    right = np.array([0, 1, 1])
    assert ranks(scores, right).tolist() == [1, 3, 2]
    assert retrieval_scores(scores, right, depths=(1, 2, 4)) == pytest.approx(
        {"recall@1": 1 / 3, "recall@2": 2 / 3, "recall@4": 1, "mrr": (1 + 1 / 3 + 1 / 2) / 3}
    )


def test_equal_scores_and_what_is_no_number_find_nothing():
    right = np.array([0])
    assert ranks(np.ones((1, 5)), right).tolist() == [5]
    assert ranks(np.array([[np.nan, 0.1, 0.2]]), right).tolist() == [3]
    assert ranks(np.array([[0.5, np.nan, 0.2]]), right).tolist() == [2]


@given(st.permutations(range(6)), st.integers(0, 5))
def test_different_scores_are_sorted(scores: list[int], right: int):
    order = sorted(range(6), key=lambda place: -scores[place])
    assert ranks(np.array([scores], dtype=float), np.array([right])).tolist() == [order.index(right) + 1]
    found = retrieval_scores(np.array([scores], dtype=float), np.array([right]), depths=range(1, 7))
    values = [found[f"recall@{depth}"] for depth in range(1, 7)]
    assert values == sorted(values)
    assert values[-1] == 1
    assert 0 < found["mrr"] <= 1


def test_nothing_is_refused():
    with pytest.raises(DataError):
        retrieval_scores(np.zeros((0, 3)), np.zeros(0, dtype=int))
