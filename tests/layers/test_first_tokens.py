"""States of first tokens alone: the same values, and the same gradients of all weights, as when every token is computed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from bertsmith.layers.encoder import Encoder
from bertsmith.models import families
from bertsmith.models.family import Model
from bertsmith.testing.tiny import ragged, tiny_family, tiny_model, without_dropout


def small(name: str, heads: dict[str, int], **config: Any) -> tuple[Model, Any]:
    family = without_dropout(tiny_family(families[name], config or None))
    return tiny_model(family, heads), family


def gradients(model: Model, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("name", ["bert", "roberta", "albert", "electra", "modernbert", "gpt2"])
def test_values_and_gradients_are_those_of_all_tokens(name: str):
    model, family = small(name, {})
    backbone, batch = model.backbone, ragged(family)
    assert isinstance(backbone, Encoder)
    whole, alone = backbone(batch).first(), backbone(batch, only_first=True).first()
    torch.testing.assert_close(alone, whole, atol=1e-5, rtol=1e-5)
    weights = torch.randn_like(whole)
    expected, found = gradients(model, (whole * weights).sum()), gradients(model, (alone * weights).sum())
    assert found.keys() == expected.keys()
    for weight, gradient in expected.items():
        torch.testing.assert_close(found[weight], gradient, atol=1e-5, rtol=1e-4, msg=lambda text, weight=weight: f"{weight}: {text}")


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_a_sentence_head_is_given_no_more_than_it_looks_at(name: str):
    model, family = small(name, {"classification": 3, "tagging": 3})
    batch = ragged(family)
    sequences, tokens = len(batch.input_ids), int(batch.attention_mask.sum())
    assert len(model.states_for("classification", batch).states) == sequences
    assert len(model.states_for("tagging", batch).states) == tokens
    for head in ("classification",):
        torch.testing.assert_close(model.heads[head](model.states_for(head, batch)), model.heads[head](model(batch)), atol=1e-5, rtol=1e-5)


def test_the_order_is_that_of_the_batch():
    model, family = small("bert", {})
    batch = ragged(family)
    turned = type(batch)(batch.input_ids.flip(0), batch.attention_mask.flip(0), batch.token_type_ids.flip(0))
    alone = [model.backbone(one, only_first=True).first() for one in (batch, turned)]  # pyright: ignore[reportCallIssue]
    torch.testing.assert_close(alone[0].flip(0), alone[1], atol=1e-5, rtol=1e-5)


def test_dropout_is_drawn_for_first_tokens_too():
    family = tiny_family(families["bert"], {"hidden_dropout_prob": 0.5, "attention_probs_dropout_prob": 0.5})
    model = tiny_model(family, {}).train()
    batch = ragged(family)
    one, other = (model.backbone(batch, only_first=True).first() for _ in range(2))  # pyright: ignore[reportCallIssue]
    assert not torch.equal(one, other)
