"""Attention with dropout computes what its formula says, forwards and backwards."""

import pytest
import torch
from torch import Tensor

from bertsmith.layers.dropout import dropped_out
from bertsmith.layers.dropped_attention import weighted_with_dropout

ROWS, HEADS, QUERIES, KEYS, SIZE = 3, 2, 4, 6, 5


def parts(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Query, key and value as they lie in the product of a layer: heads inside tokens."""
    generator = torch.Generator().manual_seed(0)
    packed = [torch.randn(ROWS, length, HEADS, SIZE, dtype=dtype, generator=generator) for length in (QUERIES, KEYS, KEYS)]
    return [part.requires_grad_().transpose(1, 2) for part in packed]


def step_by_step(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, rate: float) -> Tensor:
    scores = query @ key.transpose(2, 3) / SIZE**0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return dropped_out(scores.softmax(-1), rate) @ value


MASKS = {
    "none": None,
    "of keys": torch.arange(KEYS)[None, None, None] < torch.tensor([6, 2, 4])[:, None, None, None],
    "of pairs": torch.ones(QUERIES, KEYS, dtype=torch.bool).tril()[None, None],
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
def test_values_and_gradients_are_those_of_the_formula(mask: Tensor | None):
    found = []
    for attention in (weighted_with_dropout, step_by_step):
        torch.manual_seed(1)
        query, key, value = parts()
        attended = attention(query, key, value, mask, 0.3)
        weights = torch.linspace(-1, 1, attended.numel()).view(attended.shape)
        found.append((attended, *torch.autograd.grad((attended * weights).sum(), (query, key, value))))
    for ours, wanted in zip(*found, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-5, atol=1e-6)


def test_gradients_are_the_slopes():
    def attention(*given: Tensor) -> Tensor:
        torch.manual_seed(1)
        return weighted_with_dropout(*given, MASKS["of keys"], 0.3)

    assert torch.autograd.gradcheck(attention, tuple(part.detach().contiguous().requires_grad_() for part in parts(torch.float64)))


def test_something_is_dropped_and_something_is_left():
    query, key, _ = parts()
    attended = weighted_with_dropout(query, key, torch.ones(ROWS, HEADS, KEYS, SIZE), None, 0.5)
    assert attended.min() < 0.9
    assert attended.max() > 1.1


@pytest.mark.parametrize(("rows", "queries"), [(0, 2), (2, 0)])
def test_nothing_that_looks_is_nothing_attended(rows: int, queries: int):
    query = torch.randn(rows, HEADS, queries, SIZE, requires_grad=True)
    other = torch.randn(rows, HEADS, KEYS, SIZE, requires_grad=True)
    weighted_with_dropout(query, other, other, None, 0.1).sum().backward()
    assert query.grad is not None
    assert query.grad.shape == query.shape
    assert other.grad is not None
    assert not other.grad.any()


def test_bfloat16_goes_through_in_both_directions():
    query, key, value = parts()
    with torch.autocast("cpu", torch.bfloat16):
        torch.manual_seed(1)
        rough = weighted_with_dropout(query, key, value, None, 0.3)
    gradients = torch.autograd.grad(rough.sum(), (query, key, value))
    torch.manual_seed(1)
    exact = weighted_with_dropout(query, key, value, None, 0.3)
    torch.testing.assert_close(rough.float(), exact, rtol=0.03, atol=0.03)
    for ours, wanted in zip(gradients, torch.autograd.grad(exact.sum(), (query, key, value)), strict=True):
        torch.testing.assert_close(ours.float(), wanted, rtol=0.05, atol=0.05)
