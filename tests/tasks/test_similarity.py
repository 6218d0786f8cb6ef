"""Cosines that are to follow a number: both losses by hand, and the correlations."""

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from torch.nn import functional as F

from bertsmith.core.errors import DataError
from bertsmith.tasks.outcome import Outcome
from bertsmith.tasks.similarity import Similarity, disorder
from tests.tasks.sentences import TOKENIZER, batch_of, examples, saying

MODEL = saying(0.0)


def pairs(*labels: Any) -> list[Any]:
    return examples(*({"text": "a", "text_pair": "b", "label": label} for label in labels))


def turned(*cosines: float) -> torch.Tensor:
    """Vectors of pairs that have these cosines."""
    return torch.tensor([vector for cosine in cosines for vector in ([1.0, 0.0], [cosine, math.sqrt(1 - cosine**2)])])


def loss_of(task: Similarity, labels: list[float], cosines: list[float], monkeypatch: pytest.MonkeyPatch) -> float:
    batch, _ = batch_of(task, pairs(*labels))
    monkeypatch.setattr(Similarity, "unit_vectors", lambda *_: turned(*cosines))
    assert batch.counts == {"similarity": len(labels)}
    return task.loss(MODEL, batch)["similarity"].item()


def test_the_cosine_is_to_be_the_number_between_its_bounds(monkeypatch: pytest.MonkeyPatch):
    task = Similarity(criterion="cosine", minimum=0.0, maximum=5.0)
    assert loss_of(task, [5, 1, 0], [0.9, 0.5, -0.2], monkeypatch) == pytest.approx(0.1**2 + 0.3**2 + 0.2**2, rel=1e-5)
    assert task.rows_are_independent


def test_the_order_of_pairs_by_hand(monkeypatch: pytest.MonkeyPatch):
    """Numbers 2, 0, 1: the cosines of the second and third are to be below the first's, and the second's below the third's."""
    first, second, third = 0.6, 0.8, 0.0
    expected = math.log(1 + math.exp(second - first) + math.exp(third - first) + math.exp(second - third))
    task = Similarity(temperature=1.0)
    assert loss_of(task, [2, 0, 1], [first, second, third], monkeypatch) == pytest.approx(3 * expected, rel=1e-5)
    assert not task.rows_are_independent


def test_pairs_of_one_number_have_no_order(monkeypatch: pytest.MonkeyPatch):
    assert loss_of(Similarity(), [1, 1, 1], [0.1, 0.5, 0.9], monkeypatch) == 0


def test_it_is_cosent_as_it_is_published():
    """Written down anew, pair by pair: log(1 + sum of exp(20 (cosine of i - cosine of j)) for every i that has a smaller number than j)."""
    generator = np.random.default_rng(4)
    cosines, labels = generator.uniform(-1, 1, 12), generator.integers(0, 4, 12)
    total = sum(math.exp(20 * (cosines[i] - cosines[j])) for i, j in product(range(12), repeat=2) if labels[i] < labels[j])
    found = disorder(torch.from_numpy(20 * cosines), torch.from_numpy(labels.astype(np.float64)))
    assert found.item() == pytest.approx(math.log1p(total), rel=1e-9)


def test_large_differences_do_not_overflow():
    assert disorder(torch.tensor([2000.0, 0.0]), torch.tensor([0.0, 1.0])).item() == pytest.approx(2000)


def test_bounds_are_those_of_the_training_data():
    fitted = Similarity().fitted(pairs("1", 3.5, 2))
    assert (fitted.minimum, fitted.maximum) == (1, 3.5)
    given = Similarity(minimum=0.0, maximum=5.0)
    assert given.fitted(pairs(1, 2)) == given


def test_every_wrong_label_is_listed_with_its_place():
    with pytest.raises(DataError) as caught:
        Similarity(minimum=0.0, maximum=5.0).fitted(pairs(1, "much", None, float("nan"), 7, -1, 5))
    assert caught.value.problems == (
        "train.tsv:3: label 'much' is not a number",
        "train.tsv:4: no label",
        "train.tsv:5: label 'nan' is not a number",
        "train.tsv:6: label 7 is above maximum = 5.0",
        "train.tsv:7: label -1 is below minimum = 0.0",
    )
    with pytest.raises(DataError, match="every label of the training data is 1; at least two different"):
        Similarity().fitted(pairs(1, "1.0"))


def test_a_pair_has_two_texts_and_a_number():
    rows = examples(
        {"text": "a", "label": 1}, {"text_pair": "a", "label": 1}, {"text": "a", "text_pair": "b"}, {"text": "a", "text_pair": "b", "label": "x"}
    )
    with pytest.raises(DataError) as caught:
        list(Similarity().encode(rows, TOKENIZER))
    assert caught.value.problems == (
        "train.tsv:2: no text_pair",
        "train.tsv:3: no text",
        "train.tsv:4: no label",
        "train.tsv:5: label 'x' is not a number",
    )
    [row] = Similarity().encode(rows[2:3], TOKENIZER, labelled=False)
    assert row.keys() == {"input_ids", "sizes", "truncated"}


def outcome(labels: list[float], cosines: list[float]) -> Outcome:
    _, rows = batch_of(Similarity(), pairs(*labels))
    return Outcome([vectors.numpy() for vectors in turned(*cosines).split(2)], rows, pairs(*labels))


def test_metrics_are_correlations_of_cosines_and_numbers():
    metrics = Similarity().metrics(outcome([0, 1, 2, 3], [0.0, 0.1, 0.8, 0.6]))
    assert metrics["spearman"] == pytest.approx(0.8)
    assert metrics["pearson"] == pytest.approx(np.corrcoef([0, 1, 2, 3], [0.0, 0.1, 0.8, 0.6])[0, 1], rel=1e-5)


def test_what_every_pair_scores_adds_up_to_spearman():
    labels, cosines = [3.0, 1.0, 4.0, 1.5, 9.0, 2.0], [0.2, 0.1, 0.5, 0.6, 0.4, -0.3]
    found = outcome(labels, cosines)
    count = len(labels)
    squares = -Similarity().correct(found).sum() * count**2
    assert squares == pytest.approx(np.square(rankdata(labels) - rankdata(cosines)).sum())
    assert Similarity().metrics(found)["spearman"] == pytest.approx(1 - 6 * squares / (count * (count**2 - 1)))
    interval = Similarity().interval(found)
    assert -1 <= interval.low < Similarity().metrics(found)["spearman"] < interval.high <= 1


def test_what_is_right():
    assert [Similarity().gold(example) for example in pairs("2.5", None, "x")] == [2.5, None, None]


@pytest.mark.parametrize("bounds", [(5.0, 0.0), (1.0, 1.0)])
def test_bounds_must_be_in_order(bounds: tuple[float, float]):
    with pytest.raises(ValueError, match="minimum must be the smaller"):
        Similarity(minimum=bounds[0], maximum=bounds[1])


def test_the_vectors_are_of_length_1():
    batch, _ = batch_of(Similarity(), pairs(0, 1))
    torch.testing.assert_close(F.normalize(Similarity().unit_vectors(MODEL, batch), dim=1), Similarity().unit_vectors(MODEL, batch))
