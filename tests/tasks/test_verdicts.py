"""What is said of a question, and from which doubt on nothing is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.tasks.spans import Choice
from bertsmith.tasks.verdicts import Verdict, threshold_between

SHARES = st.floats(0, 1) | st.floats(0, 1e-9) | st.floats(1 - 1e-9, 1)


@given(SHARES, SHARES)
def test_a_threshold_parts_what_it_stands_between(one: float, other: float):
    low, high = sorted((one, other))
    threshold = threshold_between(low, high)
    assert low <= threshold
    assert threshold < high or threshold == low


@pytest.mark.parametrize(("low", "high", "threshold"), [(0.0, 1.0, 0.5), (0.5, 1.0, 0.5), (1.0, 1.0, 1.0), (0.0, 1e-14, 0.0), (0.0, 0.0, 0.0)])
def test_where_it_is_even_or_at_an_end(low: float, high: float, threshold: float):
    assert threshold_between(low, high) == threshold


def test_no_score_is_too_large_to_be_told():
    assert Verdict([Choice("a", 0, 1, 5000.0)], silence=0.0).no_answer == pytest.approx(0, abs=1e-300)
    assert Verdict([Choice("a", 0, 1, 0.0)], silence=5000.0).no_answer == 1.0
    nothing = {"answer": "", "start": None, "end": None, "score": 1.0}
    assert Verdict([], silence=0.0).told(0.5, 3) == {**nothing, "no_answer": 1.0, "n_best": [nothing]}
