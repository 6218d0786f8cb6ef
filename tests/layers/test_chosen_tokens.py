"""States of some tokens alone: the same values, and the same gradients of all weights, as when every token is computed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from bertsmith.core.types import IGNORED, Batch
from bertsmith.layers.encoder import Encoder
from bertsmith.layers.layout import Layout
from bertsmith.models import families
from bertsmith.models.family import Model
from bertsmith.objectives.mlm import MaskedLanguageModel
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
    whole, alone = backbone(batch).first(), backbone(batch, only=batch.first_tokens()).first()
    torch.testing.assert_close(alone, whole, atol=1e-5, rtol=1e-5)
    weights = torch.randn_like(whole)
    expected, found = gradients(model, (whole * weights).sum()), gradients(model, (alone * weights).sum())
    assert found.keys() == expected.keys()
    for weight, gradient in expected.items():
        torch.testing.assert_close(found[weight], gradient, atol=1e-5, rtol=1e-4, msg=lambda text, weight=weight: f"{weight}: {text}")


def some(batch: Batch, share: float) -> Tensor:
    """Random tokens, so that some sequences have several and others none."""
    drawn = torch.rand(batch.input_ids.shape, generator=torch.Generator().manual_seed(3)) < share
    return drawn & batch.attention_mask.bool()


@pytest.mark.parametrize("one_group", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.6, 1.0])
@pytest.mark.parametrize("name", ["bert", "albert", "modernbert", "gpt2"])
def test_any_tokens_may_be_chosen(name: str, share: float, one_group: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Layout, "of", staticmethod(partial(Layout.of, one_group=one_group)))
    model, family = small(name, {})
    batch = ragged(family)
    chosen = some(batch, share)
    whole, found = model(batch).at(chosen), model(batch, only=chosen)
    assert len(found.states) == chosen.sum()
    torch.testing.assert_close(found.at(chosen), whole, atol=1e-5, rtol=1e-5)
    weights = torch.randn_like(whole)
    expected, mine = gradients(model, (whole * weights).sum()), gradients(model, (found.at(chosen) * weights).sum())
    for weight, gradient in expected.items():
        torch.testing.assert_close(mine[weight], gradient, atol=1e-5, rtol=1e-4, msg=lambda text, weight=weight: f"{weight}: {text}")


def test_the_loss_over_hidden_words_is_that_of_all_states(monkeypatch: pytest.MonkeyPatch):
    model, family = small("bert", {"mlm": 0})
    batch = ragged(family)
    labels = torch.where(some(batch, 0.3), batch.input_ids, IGNORED)
    batch = replace(batch, labels={"mlm": labels}, counts={"mlm": 1})
    task = MaskedLanguageModel()
    mine = task.loss(model, batch)["mlm"]
    monkeypatch.setattr(model, "forward", lambda batch, **_: model.backbone(batch))  # pyright: ignore[reportUnknownLambdaType]
    torch.testing.assert_close(mine, task.loss(model, batch)["mlm"], atol=1e-5, rtol=1e-5)


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
    alone = [model(one, only=one.first_tokens()).first() for one in (batch, turned)]
    torch.testing.assert_close(alone[0].flip(0), alone[1], atol=1e-5, rtol=1e-5)


def test_dropout_is_drawn_for_first_tokens_too():
    family = tiny_family(families["bert"], {"hidden_dropout_prob": 0.5, "attention_probs_dropout_prob": 0.5})
    model = tiny_model(family, {}).train()
    batch = ragged(family)
    one, other = (model(batch, only=batch.first_tokens()).first() for _ in range(2))
    assert not torch.equal(one, other)
