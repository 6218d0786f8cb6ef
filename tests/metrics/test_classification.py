"""One label an example: scikit-learn's numbers, hand cases and the rules for what is absent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from bertsmith.core.errors import DataError
from bertsmith.metrics.classification import accuracy, classification_scores, confusion_matrix, label_scores

NUM_LABELS = 5
label = st.integers(0, NUM_LABELS - 1)
decisions = st.lists(st.tuples(label, label), min_size=1, max_size=40).map(lambda pairs: np.array(pairs).T)


@given(decisions)
def test_scores_are_those_of_scikit_learn(pairs):
    labels, predictions = pairs
    scores = classification_scores(labels, predictions, NUM_LABELS, positive=3)
    present = np.union1d(labels, predictions)
    assert scores["accuracy"] == pytest.approx(oracle.accuracy_score(labels, predictions)) == accuracy(labels, predictions)
    assert scores["macro_f1"] == pytest.approx(oracle.f1_score(labels, predictions, labels=present, average="macro", zero_division=0))
    assert scores["micro_f1"] == pytest.approx(oracle.f1_score(labels, predictions, labels=range(NUM_LABELS), average="micro"))
    assert scores["f1"] == pytest.approx(oracle.f1_score(labels == 3, predictions == 3, zero_division=0))
    if len(present) > 1:
        assert scores["matthews"] == pytest.approx(oracle.matthews_corrcoef(labels, predictions))


@given(decisions)
def test_table_and_matrix_are_those_of_scikit_learn(pairs):
    labels, predictions = pairs
    known = range(NUM_LABELS)
    assert confusion_matrix(labels, predictions, NUM_LABELS) == oracle.confusion_matrix(labels, predictions, labels=known).tolist()
    table = label_scores(labels, predictions, NUM_LABELS)
    expected = oracle.precision_recall_fscore_support(labels, predictions, labels=known, zero_division=0)
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        np.testing.assert_allclose([getattr(row, name) for row in table], values)


def test_absent_labels():
    everything_right = np.array([0, 2, 2])
    scores = classification_scores(everything_right, everything_right, 4)
    assert scores["macro_f1"] == 1.0, "labels 1 and 3 occur nowhere and cost nothing"
    never_predicted = classification_scores(np.array([0, 0, 1]), np.array([0, 0, 0]), 4)
    assert never_predicted["macro_f1"] == pytest.approx(0.4), "F1 0.8 of label 0 and 0 of label 1"
    assert label_scores(everything_right, everything_right, 4)[3].support == 0


@pytest.mark.parametrize(("labels", "predictions"), [([1, 1], [0, 1]), ([0, 1], [1, 1]), ([1, 1], [1, 1])])
def test_matthews_of_a_constant_is_zero(labels, predictions):
    assert classification_scores(np.array(labels), np.array(predictions), 2)["matthews"] == 0.0


def test_narrow_integers_do_not_overflow():
    labels = np.repeat(np.arange(200, dtype=np.int16), 3)
    matrix = confusion_matrix(labels, labels, 200)
    assert [matrix[index][index] for index in range(200)] == [3] * 200


def test_nothing_to_score_is_refused():
    nothing = np.zeros(0, dtype=np.int64)
    with pytest.raises(DataError, match="0 examples"):
        accuracy(nothing, nothing)
    with pytest.raises(DataError, match="0 examples"):
        classification_scores(nothing, nothing, 2)
