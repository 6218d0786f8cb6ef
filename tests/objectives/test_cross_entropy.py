"""Cross-entropy in the memory of the scores: PyTorch's values and gradients, and nothing kept that is wrong afterwards."""

import math

import pytest
import torch
from torch.nn import functional as F

from bertsmith.objectives.cross_entropy import summed_cross_entropy


def scores_and_labels(tokens: int = 7, vocabulary: int = 50, scale: float = 5.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return scale * torch.randn(tokens, vocabulary, generator=generator), torch.randint(vocabulary, (tokens,), generator=generator)


@pytest.mark.parametrize("scale", [0.1, 5.0, 500.0])
def test_value_and_gradient_are_those_of_pytorch(scale: float):
    scores, labels = scores_and_labels(scale=scale)
    found, expected = (scores.clone().requires_grad_() for _ in range(2))
    mine, theirs = summed_cross_entropy(found.clone(), labels), F.cross_entropy(expected, labels, reduction="sum")
    torch.testing.assert_close(mine, theirs)
    (mine / 3).backward()
    (theirs / 3).backward()
    torch.testing.assert_close(found.grad, expected.grad, atol=1e-7, rtol=1e-5)


def test_worked_by_hand():
    scores = torch.tensor([[0.0, math.log(3.0)]], requires_grad=True)
    loss = summed_cross_entropy(scores.clone(), torch.tensor([0]))  # probabilities 1/4 and 3/4
    loss.backward()
    assert loss.item() == pytest.approx(math.log(4))
    assert scores.grad is not None
    assert scores.grad.tolist()[0] == pytest.approx([-0.75, 0.75])


def test_no_tokens_lose_nothing():
    scores = torch.zeros(0, 9, requires_grad=True)
    loss = summed_cross_entropy(scores.clone(), torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0
    assert scores.grad is not None
    assert scores.grad.shape == (0, 9)


def test_a_second_gradient_from_what_has_been_overwritten_is_refused():
    scores, labels = scores_and_labels()
    loss = summed_cross_entropy(scores.requires_grad_().clone(), labels)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
