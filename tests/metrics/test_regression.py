"""Numbers: scipy's and scikit-learn's values where they are defined, our rule where they are not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from bertsmith.core.errors import DataError
from bertsmith.metrics.regression import mean_squared_error, pearson, regression_scores, spearman

number = st.integers(-50, 50).map(lambda value: value / 4)
pairs = st.lists(st.tuples(number, number), min_size=2, max_size=30).map(lambda rows: np.array(rows).T)


@given(pairs)
def test_scores_are_those_of_scipy(columns):
    from scipy import stats

    targets, predictions = columns
    assert mean_squared_error(targets, predictions) == pytest.approx(oracle.mean_squared_error(targets, predictions))
    if np.ptp(targets) == 0 or np.ptp(predictions) == 0:
        assert pearson(targets, predictions) == spearman(targets, predictions) == 0.0
    else:
        assert pearson(targets, predictions) == pytest.approx(stats.pearsonr(targets, predictions).statistic, abs=1e-12)
        assert spearman(targets, predictions) == pytest.approx(stats.spearmanr(targets, predictions).statistic, abs=1e-12)


def test_a_constant_whose_mean_is_rounded_is_still_constant():
    constant = np.full(7, 0.1)
    assert pearson(np.arange(7.0), constant) == 0.0


def test_large_and_small_numbers_keep_their_correlation():
    line = np.arange(5, dtype=np.float64)
    assert pearson(line * 1e200, line * 1e-200) == pytest.approx(1.0)
    assert pearson((1e6 + line).astype(np.float32), line.astype(np.float32)) == pytest.approx(1.0)


def test_a_diverged_model_is_not_merely_uncorrelated():
    scores = regression_scores(np.array([1.0, 2.0, 3.0]), np.array([1.0, np.nan, 3.0]))
    assert all(np.isnan(score) for score in scores.values())


def test_nothing_to_score_is_refused():
    with pytest.raises(DataError, match="0 examples"):
        pearson(np.zeros(0), np.zeros(0))
