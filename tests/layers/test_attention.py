"""Attention: what dropout does to it, and what can be looked at."""

import pytest
import torch
from torch import Tensor

from bertsmith.layers.attention import SelfAttention, Sight, attend, weighted
from bertsmith.layers.layout import Layout

MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 0, 1]])
LAYOUT = Layout.of(MASK)


def states() -> Tensor:
    return torch.randn(int(MASK.sum()), 8, generator=torch.Generator().manual_seed(2))


def attention(dropout: float = 0.0) -> SelfAttention:
    torch.manual_seed(0)
    return SelfAttention(8, 2, dropout)


def test_dropout_acts_while_training_only():
    torch.manual_seed(1)
    module = attention(0.5)
    module.train()
    assert not torch.equal(module(states(), LAYOUT), module(states(), LAYOUT))
    module.eval()
    assert torch.equal(module(states(), LAYOUT), module(states(), LAYOUT))


@pytest.mark.parametrize("one_group", [True, False])
def test_dropout_keeps_the_expectation(one_group: bool):
    torch.manual_seed(1)
    layout = Layout.of(MASK, one_group=one_group)
    query, key, value = (states().view(-1, 2, 4) for _ in range(3))
    value = value + 5  # so that the expectation is not near zero
    mean = torch.stack([attend(query, key, value, layout, 0.2) for _ in range(200)]).mean(0)
    torch.testing.assert_close(mean, attend(query, key, value, layout), rtol=0.15, atol=0.0)


@pytest.mark.parametrize("one_group", [True, False])
def test_dropout_of_everything_but_nothing_is_attention(one_group: bool):
    """The step-by-step path of dropout computes what the fused one computes."""
    layout = Layout.of(MASK, one_group=one_group)
    query, key, value = (states().view(-1, 2, 4) for _ in range(3))
    torch.testing.assert_close(attend(query, key, value, layout, 1e-9), attend(query, key, value, layout))


def test_probabilities_sum_to_one_and_are_zero_at_padding():
    shares = attention().probabilities(states(), LAYOUT)
    assert shares.shape == (4, 2, 4, 4)
    torch.testing.assert_close(shares.sum(-1), MASK[:, None, :].expand(4, 2, 4).float())
    assert (shares * (1 - MASK)[:, None, None, :] == 0).all()


def test_probabilities_are_those_that_are_computed_with():
    module = attention()
    shares = module.probabilities(states(), LAYOUT)
    values = LAYOUT.pad(module.value(states())).unflatten(2, (2, 4)).transpose(1, 2)
    expected = LAYOUT.pack(module.output((shares @ values).transpose(1, 2).flatten(2)))
    torch.testing.assert_close(module(states(), LAYOUT), expected)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="hidden size 10 is not a multiple of the 3 attention heads"):
        SelfAttention(10, 3, 0.0)


@pytest.mark.parametrize("dropout", [0.0, 1e-9])
@pytest.mark.parametrize("one_group", [True, False])
def test_near_sight_in_pieces_is_near_sight(one_group: bool, dropout: float, monkeypatch: pytest.MonkeyPatch):
    layout = Layout.of((torch.arange(40) < torch.tensor([40, 1, 38, 17, 40])[:, None]).long(), one_group=one_group)
    generator = torch.Generator().manual_seed(6)
    query, key, value = (torch.randn(136, 2, 4, generator=generator).requires_grad_() for _ in range(3))
    results: list[Tensor] = []
    for far in (100, 2):  # with a mask, and in pieces from 6 tokens on
        monkeypatch.setattr("bertsmith.layers.attention.FAR", far)
        seen = attend(query, key, value, layout, dropout, Sight(window=3))
        results += [seen, *torch.autograd.grad(seen.square().sum(), (query, key, value))]
    for expected, found in zip(results[:4], results[4:], strict=True):
        torch.testing.assert_close(found, expected)
    whole = attend(query, key, value, layout)
    assert not torch.allclose(results[0], whole, atol=1e-2)


def test_near_sight_of_a_long_text_takes_memory_that_grows_with_its_length(monkeypatch: pytest.MonkeyPatch):
    sizes: list[int] = []

    def measured(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float = 0.0) -> Tensor:
        assert mask is not None
        sizes.append(mask.numel())
        return weighted(query, key, value, mask, dropout)

    monkeypatch.setattr("bertsmith.layers.attention.weighted", measured)
    for length in (400, 800, 1600):
        query = torch.zeros(length, 1, 4)
        attend(query, query, query, Layout.of(torch.ones(1, length, dtype=torch.long)), sight=Sight(window=8))
    assert sizes == [24 * length for length in (400, 800, 1600)]


def test_where_everything_is_near_there_is_no_mask():
    assert Sight(window=8).mask(9, torch.device("cpu")) is None
    assert Sight(window=8).mask(10, torch.device("cpu")) is not None
