"""The stack of blocks: what it refuses, what it lets be seen."""

import pytest
import torch

from bertsmith.core.types import Batch
from bertsmith.layers.attention import SelfAttention
from bertsmith.layers.encoder import Block
from bertsmith.layers.feed_forward import FeedForward
from bertsmith.layers.layout import Layout
from bertsmith.models.bert import Bert
from bertsmith.models.family import Model

FAMILY = Bert(vocab_size=30, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12, max_position_embeddings=10)


def batch(length: int, rows: int = 2) -> Batch:
    ids = torch.arange(1, rows * length + 1).view(rows, length) % 29 + 1
    return Batch(ids, torch.ones_like(ids), torch.zeros_like(ids))


@pytest.fixture(scope="module")
def model() -> Model:
    built = FAMILY.build_model({})
    built.reinitialise(torch.Generator().manual_seed(0))
    return built.eval()


def test_a_sequence_as_long_as_the_positions_fits_and_a_longer_one_is_refused(model: Model):
    assert model(batch(10)).padded().shape == (2, 10, 8)
    with pytest.raises(ValueError, match="a sequence of 11 tokens is longer than the 10 that the model has positions for"):
        model(batch(11))


def test_an_empty_sequence_is_refused(model: Model):
    empty = batch(3)
    empty.attention_mask[1] = 0
    with pytest.raises(ValueError, match="sequence 1 of the batch has no token"):
        model(empty)


def test_a_trace_shows_what_was_computed(model: Model):
    trace = model.backbone.trace(batch(5))
    assert len(trace.states) == 3
    assert len(trace.attention) == 2
    assert torch.equal(trace.states[0], trace.embeddings.total)
    torch.testing.assert_close(trace.states[-1], model(batch(5)).padded())
    assert trace.attention[0].shape == (2, 2, 5, 5)


def test_blocks_are_applied_in_order(model: Model):
    states, layout = model.backbone.embeddings, model(batch(4)).layout
    expected = states(batch(4), layout)
    for block in model.backbone.blocks:
        expected = block(expected, layout)
    torch.testing.assert_close(model(batch(4)).states, expected)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize(
    ("dropouts", "heard"),
    [
        ({"dropout": 1.0}, []),
        ({"dropout": 1.0, "attention_dropout": 0.0}, ["attention.output"]),
        ({"dropout": 0.0, "attention_dropout": 1.0}, ["feed_forward.narrow"]),
    ],
)
def test_the_two_additions_may_have_dropouts_of_their_own(norm_first: bool, dropouts: dict[str, float], heard: list[str]):
    """At a rate of 1 nothing is left of what is added, whatever it is."""
    block = Block(SelfAttention(8, 2, 0.0), FeedForward(8, 12, "relu"), hidden=8, epsilon=1e-5, norm_first=norm_first, **dropouts)
    states, layout = torch.randn(4, 8), Layout.of(torch.ones(1, 4, dtype=torch.long))
    found: list[str] = []
    for name in ("attention.output", "feed_forward.narrow"):
        before = block(states, layout)
        torch.nn.init.normal_(block.get_submodule(name).bias)
        found += [] if torch.equal(block(states, layout), before) else [name]
    assert found == heard
