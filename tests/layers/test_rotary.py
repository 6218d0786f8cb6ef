"""Rotary positions: what they do to queries and keys, and attention with them, packed and step by step."""

import pytest
import torch

from bertsmith.layers.attention import SelfAttention, Sight
from bertsmith.layers.cache import Cache
from bertsmith.layers.layout import Layout
from bertsmith.layers.rotary import Rotary, turned

ROTARY = Rotary(100.0)


def test_a_pair_of_columns_is_turned_by_its_place():
    states = torch.zeros(3, 1, 4)
    states[:, 0, 1] = 1.0  # the slow pair is made of columns 1 and 3
    result = turned(states, ROTARY.waves(torch.tensor([0, 1, 7]), 4)).squeeze(1)
    angles = torch.tensor([0.0, 1.0, 7.0]) / 10.0
    torch.testing.assert_close(result, torch.stack([angles * 0, angles.cos(), angles * 0, angles.sin()], 1))


def test_products_depend_on_distances_alone():
    query, key = torch.randn(2, 1, 2, 8, generator=torch.Generator().manual_seed(0))
    products = [
        (turned(query, ROTARY.waves(torch.tensor([place + 3]), 8)) * turned(key, ROTARY.waves(torch.tensor([place]), 8))).sum(-1)
        for place in (0, 5, 1000)
    ]
    torch.testing.assert_close(products[1], products[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(products[2], products[0], rtol=0, atol=1e-3)
    assert not torch.allclose(products[0], (query * key).sum(-1), atol=1e-2)


def test_bfloat16_is_turned_in_float32():
    states = torch.randn(4, 2, 8, generator=torch.Generator().manual_seed(1)).bfloat16()
    waves = ROTARY.waves(torch.arange(4) + 2000, 8)
    assert torch.equal(turned(states, waves), turned(states.float(), waves).bfloat16())


def attention(sight: Sight, rotary: Rotary | None = ROTARY) -> SelfAttention:
    torch.manual_seed(0)
    return SelfAttention(8, 2, 0.0, sight, rotary=rotary, bias=False).eval()


def test_there_is_no_bias_where_none_is_asked_for():
    assert sorted(dict(attention(Sight()).named_parameters())) == ["key.weight", "output.weight", "query.weight", "value.weight"]


@pytest.mark.parametrize("one_group", [True, False])
@pytest.mark.parametrize("sight", [Sight(), Sight(window=1), Sight(causal=True)], ids=str)
def test_a_sequence_is_the_same_alone_and_with_padding_anywhere(sight: Sight, one_group: bool):
    mask = torch.tensor([[0, 1, 1, 0, 1, 1], [1, 1, 1, 1, 1, 1], [1, 0, 0, 0, 0, 1]])
    states = torch.randn(3, 6, 8, generator=torch.Generator().manual_seed(2))
    module, layout = attention(sight), Layout.of(mask, one_group=one_group)
    together = layout.pad(module(layout.pack(states), layout))
    for row, kept in enumerate(mask.bool()):
        alone = Layout.of(torch.ones(1, int(kept.sum()), dtype=torch.long))
        torch.testing.assert_close(together[row][kept], module(states[row][kept], alone))


def test_places_matter():
    states, layout = torch.randn(4, 8, generator=torch.Generator().manual_seed(3)), Layout.of(torch.ones(1, 4, dtype=torch.long))
    order = torch.tensor([2, 0, 3, 1])
    for rotary, same in ((ROTARY, False), (None, True)):
        module = attention(Sight(), rotary)
        assert torch.allclose(module(states[order], layout), module(states, layout)[order], atol=1e-5) == same


def test_probabilities_are_those_that_are_computed_with():
    layout = Layout.of(torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]))
    states, module = torch.randn(8, 8, generator=torch.Generator().manual_seed(4)), attention(Sight(window=2))
    values = layout.pad(module.value(states)).unflatten(2, (2, 4)).transpose(1, 2)
    shares = module.probabilities(states, layout)
    assert (shares[0, :, 0, 3:] == 0).all()
    torch.testing.assert_close(module(states, layout), layout.pack(module.output((shares @ values).transpose(1, 2).flatten(2))))


def test_steps_compute_what_the_whole_computes():
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    states = torch.randn(2, 7, 8, generator=torch.Generator().manual_seed(5))
    module, cache = attention(Sight(causal=True)), Cache(1, mask.bool(), 3)
    steps = [states[:, :4], *states[:, 4:].split(1, dim=1)]
    found = torch.cat([module.step(step, cache.layers[0], cache.mask(step.shape[1])) for step in steps], 1)
    whole = torch.cat([mask, torch.ones(2, 3, dtype=torch.long)], 1)
    layout = Layout.of(whole)
    torch.testing.assert_close(found[whole.bool()], layout.pad(module(layout.pack(states), layout))[whole.bool()])
