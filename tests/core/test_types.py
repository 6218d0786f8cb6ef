"""What travels through the package."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.core.types import Batch, Example, Loss


@pytest.mark.parametrize(
    ("example", "where"),
    [(Example({}, "a.tsv", 3), "a.tsv:3"), (Example({}, "a.tsv"), "a.tsv"), (Example({}, "", 3), "example:3"), (Example({}), "example")],
)
def test_an_example_says_where_it_came_from(example: Example, where: str):
    assert example.where == where


def test_an_example_is_read_by_column():
    example = Example({"text": "a", "label": None})
    assert example["text"] == "a"
    assert example.get("label", "x") is None
    assert example.get("text_pair") is None
    assert example.get("text_pair", "x") == "x"
    with pytest.raises(KeyError):
        example["text_pair"]


def test_a_batch_counts_real_tokens_and_moves_whole():
    ids = torch.tensor([[1, 2, 0], [3, 0, 0]])
    batch = Batch(ids, (ids > 0).long(), torch.zeros_like(ids), {"label": torch.tensor([1, 0])}, {"single": 2})
    assert batch.num_tokens == 3
    moved = batch.to(torch.device("meta"))
    assert {moved.input_ids.device.type, moved.attention_mask.device.type, moved.token_type_ids.device.type, moved.labels["label"].device.type} == {
        "meta"
    }
    assert moved.counts == batch.counts


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(1, 1000)), min_size=1))
def test_the_mean_of_added_losses_is_the_mean_over_all_things(parts: list[tuple[float, int]]):
    total = sum((Loss(loss, count) for loss, count in parts), Loss())
    assert total.mean == pytest.approx(sum(loss for loss, _ in parts) / sum(count for _, count in parts))


def test_the_mean_of_nothing_is_not_a_number():
    assert math.isnan(Loss().mean)
