"""The three embeddings: added, normalised, and each to be had by itself."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.core.types import Batch
from bertsmith.layers.embeddings import Embeddings, after_padding, columns
from bertsmith.layers.layout import Layout

BATCH = Batch(torch.tensor([[5, 6, 7], [8, 9, 0]]), torch.tensor([[1, 1, 1], [1, 1, 0]]), torch.tensor([[0, 0, 1], [0, 1, 0]]))
LAYOUT = Layout.of(BATCH.attention_mask)


@pytest.fixture
def embeddings() -> Embeddings:
    torch.manual_seed(0)
    return Embeddings(vocabulary=12, hidden=4, max_positions=6, segments=2, epsilon=1e-12, dropout=0.0)


def test_a_token_is_the_normalised_sum_of_what_it_is_where_it_stands_and_its_segment(embeddings: Embeddings):
    summed = embeddings.token.weight[9] + embeddings.position.weight[1] + embeddings.segment.weight[1]
    expected = (summed - summed.mean()) / summed.std(correction=0)
    padded = LAYOUT.pad(embeddings(BATCH, LAYOUT))
    torch.testing.assert_close(padded[1, 1], expected)
    assert (padded[1, 2] == 0).all()


def test_each_part_can_be_pulled_out(embeddings: Embeddings):
    parts = embeddings.parts(BATCH, LAYOUT)
    assert torch.equal(parts.token[0], embeddings.token.weight[[5, 6, 7]])
    assert torch.equal(parts.position[0], embeddings.position.weight[:3])
    assert torch.equal(parts.segment[0], embeddings.segment.weight[[0, 0, 1]])
    assert torch.equal(LAYOUT.pack(parts.total), embeddings(BATCH, LAYOUT))
    for part in (parts.token, parts.position, parts.segment, parts.total):
        assert (part[1, 2] == 0).all()


def test_other_vectors_can_stand_in_for_the_tokens(embeddings: Embeddings):
    own = embeddings.token(BATCH.input_ids)
    assert torch.equal(embeddings(BATCH, LAYOUT, own), embeddings(BATCH, LAYOUT))
    assert not torch.allclose(embeddings(BATCH, LAYOUT, own + torch.eye(4)[0]), embeddings(BATCH, LAYOUT))


def test_reserved_positions_shorten_what_fits():
    module = Embeddings(vocabulary=3, hidden=2, max_positions=6, segments=1, epsilon=1e-5, dropout=0.0, reserved_positions=2)
    assert module.max_length == 4


def test_a_column_is_a_position():
    assert columns(torch.tensor([[7, 7], [7, 0]])).tolist() == [[0, 1], [0, 1]]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(0, 3))
def test_positions_are_counted_from_behind_the_padding_id(ids: list[int], padding: int):
    positions = after_padding(padding)(torch.tensor([ids]))[0].tolist()
    real = [position for position, number in zip(positions, ids, strict=True) if number != padding]
    assert real == list(range(padding + 1, padding + 1 + len(real)))
    assert all(position == padding for position, number in zip(positions, ids, strict=True) if number == padding)
