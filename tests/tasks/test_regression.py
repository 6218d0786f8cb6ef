"""One text or a pair, one number."""

from typing import Any

import numpy as np
import pytest
import torch

from bertsmith.core.errors import DataError
from bertsmith.data.dataset import Dataset
from bertsmith.models import create
from bertsmith.tasks.outcome import Outcome
from bertsmith.tasks.regression import Regression
from tests.tasks.sentences import SMALL, TOKENIZER, batch_of, examples, labelled, saying

TASK = Regression().fitted(labelled(1, 2))
SCORES = np.array([[5.5], [2.0], [-1.0]], np.float32)


def test_numbers_are_read_from_numbers_and_from_text():
    rows = list(TASK.encode(labelled(1, "2.5", " 3 ", -1e-3), TOKENIZER))
    assert np.concatenate([row["label"] for row in rows]).tolist() == pytest.approx([1.0, 2.5, 3.0, -0.001])
    assert TASK.labels == ("score",)
    assert TASK.heads()["classification"].labels == 1


def test_every_mistake_is_listed_with_its_place():
    with pytest.raises(DataError) as caught:
        list(TASK.encode(labelled(1, "much", None, float("nan"), "inf", "", True, [3], "2020_1"), TOKENIZER))
    assert caught.value.problems == (
        "train.tsv:3: label 'much' is not a number",
        "train.tsv:4: no label",
        "train.tsv:5: label 'nan' is not a number",
        "train.tsv:6: label 'inf' is not a number",
        "train.tsv:7: no label",
        "train.tsv:8: label 'True' is not a number",
        "train.tsv:9: label '[3]' is not a number",
        "train.tsv:10: label '2020_1' is not a number",
    )


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ((3, "3.0", 3), "every label of the training data is 3; at least two different numbers are needed"),
        ((None, ""), "has no label that is a number"),
        ((), "has no label that is a number"),
        (("a", 1, 2), "1 label cannot be used(.|\n)*train.tsv:2: label 'a' is not a number"),
        ((1e300, 10**400, 2), "2 labels cannot be used(.|\n)*label 1e\\+300 is too far from 0: at most 1e\\+15(.|\n)*label '1000+' is not a number"),
    ],
)
def test_labels_that_cannot_be_learned_from_are_refused(labels: tuple[Any, ...], message: str):
    with pytest.raises(DataError, match=message):
        Regression().fitted(labelled(*labels))


def test_the_loss_is_the_squared_error_summed():
    batch, _ = batch_of(TASK, labelled(1, 4.5))
    assert TASK.loss(saying(3.0), batch)["regression"].item() == pytest.approx(2**2 + 1.5**2)
    assert batch.counts == {"regression": 2}


def test_predictions_are_kept_inside_the_bounds():
    assert TASK.decode(Outcome(list(SCORES))) == [{"score": 5.5}, {"score": 2.0}, {"score": -1.0}]
    assert Regression(minimum=0, maximum=5).decode(Outcome(list(SCORES))) == [{"score": 5.0}, {"score": 2.0}, {"score": 0.0}]
    assert Regression(maximum=5).decode(Outcome(list(SCORES)))[2] == {"score": -1.0}


def test_metrics_are_those_of_what_is_predicted():
    _, features = batch_of(TASK, labelled(5, 2, 0))
    bounded = Regression(minimum=0, maximum=5)
    assert bounded.metrics(Outcome(list(SCORES), features))["mean_squared_error"] == 0
    assert bounded.metrics(Outcome(list(SCORES), features))[TASK.best_metric] == pytest.approx(1)
    assert TASK.metrics(Outcome(list(SCORES), features))["mean_squared_error"] == pytest.approx((0.5**2 + 1) / 3)
    assert TASK.correct(Outcome(list(SCORES), features)).tolist() == [-0.25, 0.0, -1.0]


def test_a_pair_has_a_number_too():
    [row] = TASK.encode(examples({"text": "a", "text_pair": "b", "label": 3}), TOKENIZER)
    assert row["token_type_ids"].tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("bounds", [{"minimum": 5, "maximum": 0}, {"minimum": 1, "maximum": 1}])
def test_bounds_must_be_in_order(bounds: dict[str, float]):
    with pytest.raises(ValueError, match="minimum must be the smaller"):
        Regression(**bounds)


def test_a_fresh_head_begins_where_the_labels_are():
    model = create("bert", TOKENIZER, {**SMALL, "initializer_range": 0.5}, {"classification": 1}, seed=4).model
    batch, _ = batch_of(TASK, labelled(60, 100, 80))
    with torch.no_grad():
        before = torch.stack(list(TASK.outputs(model, batch)))
        TASK.begin(model, labelled(60, 100, "80"))
        after = torch.stack(list(TASK.outputs(model, batch)))
    assert torch.allclose(after, 80 + before * np.sqrt((20**2 + 20**2) / 3), rtol=1e-5)


def test_what_an_analysis_needs():
    [said] = TASK.decode(Outcome([np.array([2.25], np.float32)]))
    assert TASK.answer(said) == 2.25
    assert TASK.confidence(said) is None
    assert TASK.groups(labelled("3.5")[0]) == {"label": 3.5}
    assert TASK.label_counts(Dataset(labelled(1, 2))) == {}, "numbers are not counted one by one"


def test_there_is_one_number_and_not_several():
    with pytest.raises(ValueError, match="labels has 2 names, and there is one number"):
        Regression(labels=("a", "b"))
