"""Several labels an example: scikit-learn's numbers and an exhaustive search for the threshold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, f1_score

from bertsmith.core.errors import DataError
from bertsmith.metrics.multi_label import best_threshold, multi_label_scores

SHAPE = (6, 3)
label_sets = arrays(np.bool_, SHAPE)
probabilities = arrays(np.float32, SHAPE, elements=st.floats(0, 1, width=32))


@given(label_sets, probabilities, st.sampled_from([0.25, 0.5, 0.9]))
def test_scores_are_those_of_scikit_learn(labels, scores, threshold):
    predictions = scores.astype(np.float64) >= threshold  # in float32, 0.9 would be rounded up and count as reached by what lies below it
    found = multi_label_scores(labels, scores, threshold)
    occurs = (labels | predictions).any(axis=0)
    assert found["micro_f1"] == pytest.approx(f1_score(labels, predictions, average="micro", zero_division=0))
    assert found["subset_accuracy"] == pytest.approx(accuracy_score(labels, predictions))
    by_label = f1_score(labels, predictions, average=None, zero_division=0)
    assert found["macro_f1"] == pytest.approx(by_label[occurs].mean() if occurs.any() else 0.0)


@given(label_sets, probabilities)
def test_no_threshold_beats_the_best(labels, scores):
    chosen = multi_label_scores(labels, scores, best_threshold(labels, scores))["micro_f1"]
    tried = [multi_label_scores(labels, scores, float(threshold))["micro_f1"] for threshold in np.unique(scores)]
    assert chosen == pytest.approx(max(tried))


def test_threshold_lies_in_the_middle_of_the_gap():
    labels = np.array([[True, True, False, False]])
    assert best_threshold(labels, np.array([[0.9, 0.8, 0.2, 0.1]])) == pytest.approx(0.5)
    assert best_threshold(labels[:, :2], np.array([[0.9, 0.6]])) == pytest.approx(0.3), "nothing is to be refused"


def test_threshold_parts_neighbouring_numbers():
    upper = np.float64(0.7)
    lower = np.nextafter(upper, 0)
    threshold = best_threshold(np.array([[True, False]]), np.array([[upper, lower]]))
    assert lower < threshold <= upper


def test_nothing_gold():
    nothing = np.zeros((2, 2), dtype=bool)
    assert best_threshold(nothing, np.full((2, 2), 0.1)) == 0.5
    assert multi_label_scores(nothing, np.full((2, 2), 0.1)) == {"micro_f1": 0.0, "macro_f1": 0.0, "subset_accuracy": 1.0}


def test_nothing_to_score_is_refused():
    with pytest.raises(DataError, match="0 examples"):
        multi_label_scores(np.zeros((0, 2), dtype=bool), np.zeros((0, 2)))
