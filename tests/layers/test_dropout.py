"""The dropout of our own draws what dropout has to draw."""

import pytest
import torch

from bertsmith.layers.dropout import Dropout, dropped_out


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_share_that_is_dropped_is_the_rate_and_the_mean_stays(rate: float, dtype: torch.dtype):
    torch.manual_seed(0)
    kept = dropped_out(torch.ones(1000, 1000, dtype=dtype), rate)
    assert (kept == 0).double().mean().item() == pytest.approx(rate, abs=0.002)
    assert kept.dtype == dtype
    assert kept[kept != 0].unique().tolist() == [pytest.approx(1 / (1 - rate), rel=1e-2 if dtype == torch.bfloat16 else 1e-6)]


def test_neighbours_are_dropped_independently():
    torch.manual_seed(0)
    dropped = (dropped_out(torch.ones(400_000), 0.1) == 0).double()
    for distance in (1, 2, 3, 4, 8):
        together = (dropped[:-distance] * dropped[distance:]).mean().item()
        assert together == pytest.approx(0.01, abs=0.001)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (5, 7), (0, 4), (2, 3, 5)])
def test_any_shape(shape: tuple[int, ...]):
    assert dropped_out(torch.ones(shape), 0.5).shape == shape


def test_the_seed_decides_and_nothing_else():
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(dropped_out(torch.ones(1000), 0.3))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_the_gradient_goes_where_the_values_went():
    torch.manual_seed(0)
    values = torch.randn(1000, requires_grad=True)
    kept = dropped_out(values, 0.25)
    kept.sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, torch.where(kept == 0, 0.0, 1 / 0.75))


@pytest.mark.parametrize(("rate", "kept"), [(0.0, 1.0), (1.0, 0.0)])
def test_all_or_nothing(rate: float, kept: float):
    assert dropped_out(torch.ones(100), rate).unique().tolist() == [kept]


def test_nothing_is_dropped_when_the_model_is_used():
    layer, values = Dropout(0.5).eval(), torch.randn(100)
    assert layer(values) is values
    assert (layer.train()(values) == 0).any()
