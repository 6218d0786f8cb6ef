"""Cross-entropy over a vocabulary, some tokens at a time: PyTorch's values and gradients, whatever the size of the pieces."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bertsmith.layers import vocabulary_loss as module
from bertsmith.layers.vocabulary_loss import vocabulary_loss


def inputs(tokens: int = 7, width: int = 6, vocabulary: int = 50, scale: float = 1.0) -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = [(tokens, width), (vocabulary, width), (vocabulary,)]
    labels = torch.randint(vocabulary, (tokens,), generator=generator)
    return [(scale * torch.randn(shape, generator=generator)).requires_grad_() for shape in shapes], labels


def by_pytorch(states: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    return F.cross_entropy(F.linear(states, weight, bias).float(), labels, reduction="sum", label_smoothing=smoothing)


@pytest.mark.parametrize("at_a_time", [1, 100, 10_000])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_values_and_gradients_are_those_of_pytorch(scale: float, smoothing: float, at_a_time: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "AT_A_TIME", at_a_time)
    given, labels = inputs(scale=scale)
    mine, theirs = vocabulary_loss(*given, labels, smoothing), by_pytorch(*given, labels, smoothing)
    torch.testing.assert_close(mine, theirs)
    found, expected = torch.autograd.grad(mine / 3, given), torch.autograd.grad(theirs / 3, given)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6 * max(1, scale), rtol=1e-5)


def test_worked_by_hand():
    states = torch.tensor([[1.0]], requires_grad=True)
    weight, bias = torch.tensor([[0.0], [0.0]]), torch.tensor([0.0, math.log(3.0)], requires_grad=True)
    loss = vocabulary_loss(states, weight, bias, torch.tensor([0]))  # probabilities 1/4 and 3/4
    loss.backward()
    assert loss.item() == pytest.approx(math.log(4))
    assert bias.grad is not None
    assert bias.grad.tolist() == pytest.approx([-0.75, 0.75])
    assert states.grad is not None
    assert states.grad.item() == 0


def test_no_tokens_lose_nothing():
    given, labels = inputs(tokens=0)
    loss = vocabulary_loss(*given, labels)
    assert loss.item() == 0
    assert [float(gradient.abs().sum()) for gradient in torch.autograd.grad(loss, given)] == [0, 0, 0]


def test_what_is_frozen_has_no_gradient():
    (states, weight, bias), labels = inputs()
    vocabulary_loss(states, weight.detach(), bias.detach(), labels).backward()
    [expected] = torch.autograd.grad(by_pytorch(states, weight, bias, labels), [states])
    torch.testing.assert_close(states.grad, expected)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_where_nobody_wants_gradients_none_are_computed(mode: type[torch.no_grad], monkeypatch: pytest.MonkeyPatch):
    given, labels = inputs()
    expected = by_pytorch(*given, labels)
    monkeypatch.setattr(module, "_add", lambda *_: pytest.fail("a gradient was computed"))
    with mode():
        torch.testing.assert_close(vocabulary_loss(*given, labels), expected.detach())


def test_a_second_gradient_is_refused():
    given, labels = inputs()
    loss = vocabulary_loss(*given, labels)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_bfloat16_is_used_where_the_rest_of_the_model_uses_it():
    given, labels = inputs(tokens=40, width=32)
    with torch.autocast("cpu", torch.bfloat16):
        mine, theirs = vocabulary_loss(*given, labels), by_pytorch(*given, labels)
    exact = by_pytorch(*given, labels)
    assert mine.dtype == torch.float32
    assert mine.item() != exact.item(), "it was computed in float32"
    torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=0)
    for one, other in zip(torch.autograd.grad(mine, given), torch.autograd.grad(exact, given), strict=True):
        assert one.dtype == torch.float32
        assert (one - other).abs().max() < 0.05 * other.abs().max()
