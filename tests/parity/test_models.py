"""Forward, loss and gradients are those of `transformers`, for every family and head."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bertsmith.core.types import IGNORED, Batch
from bertsmith.layers.decoder import EncoderDecoder
from bertsmith.layers.heads import span_scores
from tests.parity.peers import (
    FAMILIES_AND_HEADS,
    LABELS,
    SENTENCE_HEADS,
    Pair,
    as_choices,
    assert_close,
    assert_gradients_equal,
    inputs,
    ours,
    pair,
    ragged,
    theirs,
)


@pytest.fixture(scope="module", params=FAMILIES_AND_HEADS, ids="-".join)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pair(*request.param, tmp_path_factory.mktemp("peer"))


def test_outputs_with_padding_on_the_right_are_equal(both: Pair):
    batch = ragged(both.family)
    with torch.no_grad():
        assert_close(ours(both.checkpoint, both.head, batch), theirs(both.peer, both.head, batch))


def test_outputs_without_padding_are_equal(both: Pair):
    batch = ragged(both.family, lengths=(6, 6))
    with torch.no_grad():
        assert_close(ours(both.checkpoint, both.head, batch), theirs(both.peer, both.head, batch))


def test_outputs_with_padding_on_the_left_are_equal(both: Pair):
    batch = ragged(both.family, side="left")
    with torch.no_grad():
        expected = _at_first_token(both.peer, batch) if both.head in SENTENCE_HEADS else theirs(both.peer, both.head, batch)
        assert_close(ours(both.checkpoint, both.head, batch), expected)


def _at_first_token(peer: Any, batch: Batch) -> Tensor:
    """The peer's sentence head on every sequence's first token; left to itself it takes column 0, which is padding here."""
    if hasattr(peer, "score"):
        return peer(**inputs(batch, peer)).logits  # looks for the last token itself
    states = peer.base_model(**inputs(batch, peer)).last_hidden_state
    first = states[torch.arange(len(states)), batch.attention_mask.argmax(1)][:, None]
    if hasattr(peer, "pre_classifier"):
        return peer.classifier(peer.pre_classifier(first[:, 0]).relu())
    if hasattr(peer, "head"):
        return peer.classifier(peer.head(first[:, 0]))
    if hasattr(peer, "sequence_summary"):
        return peer.classifier(peer.sequence_summary(first))
    if hasattr(peer, "albert"):
        return peer.classifier(peer.albert.pooler_activation(peer.albert.pooler(first[:, 0])))
    pooler = getattr(peer.base_model, "pooler", None)
    head = peer.cls if hasattr(peer, "cls") else peer.classifier
    return head(first if pooler is None else pooler(first))


def _replaced_losses(both: Pair, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    batch = ragged(both.family)
    real, scores = batch.attention_mask.bool(), ours(both.checkpoint, both.head, batch).squeeze(1)
    labels = torch.randint(0, 2, real.shape, generator=generator)
    return F.binary_cross_entropy_with_logits(scores, labels[real].float()), both.peer(**inputs(batch, both.peer), labels=labels).loss


def test_losses_and_the_gradients_of_all_weights_are_equal(both: Pair):
    both.peer.zero_grad()
    both.checkpoint.model.zero_grad()
    loss, expected = LOSSES[both.head](both, torch.Generator().manual_seed(3))
    assert_close(loss, expected, "loss")
    loss.backward()
    expected.backward()
    assert assert_gradients_equal(both) >= len(list(both.checkpoint.model.backbone.parameters()))


def _encoder_losses(both: Pair, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    batch = ragged(both.family)
    states = ours(both.checkpoint, both.head, batch)
    weights = torch.randn(states.shape, generator=generator) / states.numel()
    return (states * weights).sum(), (theirs(both.peer, both.head, batch) * weights).sum()


def _token_losses(both: Pair, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    batch = ragged(both.family, side="left")
    real, scores = batch.attention_mask.bool(), ours(both.checkpoint, both.head, batch)
    labels = torch.randint(0, scores.shape[1], real.shape, generator=generator).masked_fill(~real, -100)
    return F.cross_entropy(scores, labels[real]), both.peer(**inputs(batch, both.peer), labels=labels).loss


def _sentence_losses(both: Pair, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    batch = ragged(both.family)
    scores = ours(both.checkpoint, both.head, batch)
    labels = torch.randint(0, scores.shape[1], scores.shape[:1], generator=generator)
    return F.cross_entropy(scores, labels), both.peer(**inputs(batch, both.peer), labels=labels).loss


def _span_losses(both: Pair, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    batch = ragged(both.family, lengths=(9, 9, 9))  # with padding, the peer would let it compete for the answer
    scores = span_scores(both.checkpoint.model.heads["span"], both.checkpoint.model(batch), batch)
    starts, ends = torch.randint(0, 9, (2, 3), generator=generator)
    given = {"start_positions": starts.clone(), "end_positions": ends.clone()}  # Splinter's peer works on them in place
    loss = (F.cross_entropy(scores[..., 0], starts) + F.cross_entropy(scores[..., 1], ends)) / 2
    return loss, both.peer(**inputs(batch, both.peer), **given).loss


def _next_token_losses(both: Pair, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    batch = ragged(both.family)
    if batch.target is not None:
        return _target_losses(both, batch, batch.target)
    encoded, real = both.checkpoint.model(batch), batch.attention_mask.bool()
    foretelling = real & F.pad(real[:, 1:], (0, 1))
    scores = both.checkpoint.model.heads["lm"](encoded.at(foretelling))
    loss = F.cross_entropy(scores, batch.input_ids[:, 1:][foretelling[:, :-1]])
    return loss, both.peer(**inputs(batch, both.peer), labels=batch.input_ids.masked_fill(~real, -100)).loss


def _target_losses(both: Pair, batch: Batch, target: Batch) -> tuple[Tensor, Tensor]:
    model, labels = both.checkpoint.model, target.input_ids.masked_fill(target.attention_mask == 0, IGNORED)
    assert isinstance(model.backbone, EncoderDecoder)
    scores = model.heads["lm"](model(replace(batch, target=model.backbone.target(labels))).at(labels != IGNORED))
    expected = both.peer(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=labels).loss
    return F.cross_entropy(scores, labels[labels != IGNORED]), expected


def _choice_losses(both: Pair, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    batch = ragged(both.family, lengths=(7, 3, 12, 12, 1, 5))
    labels = torch.randint(0, 3, (2,), generator=generator)
    scores = ours(both.checkpoint, both.head, batch).view(2, 3)
    return F.cross_entropy(scores, labels), both.peer(**as_choices(inputs(batch, both.peer), 3), labels=labels).loss


LOSSES: dict[str, Callable[[Pair, torch.Generator], tuple[Tensor, Tensor]]] = {
    "encoder": _encoder_losses,
    "mlm": _token_losses,
    "lm": _next_token_losses,
    "tagging": _token_losses,
    "nsp": _sentence_losses,
    "classification": _sentence_losses,
    "span": _span_losses,
    "replaced": _replaced_losses,
    "choice": _choice_losses,
}


def test_the_classifier_has_as_many_outputs_as_the_peer(both: Pair):
    if both.head in {"classification", "tagging"}:
        assert len(both.checkpoint.labels) == LABELS
    assert both.checkpoint.fresh_heads == frozenset()


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta"])
def test_token_embeddings_take_the_place_of_ids(family: str, tmp_path: Path):
    both = pair(family, "encoder", tmp_path)
    batch = ragged(family)
    embeddings = torch.randn(*batch.input_ids.shape, 24, generator=torch.Generator().manual_seed(1))
    mine, yours = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
    states = ours(both.checkpoint, "encoder", batch, mine)
    expected = theirs(both.peer, "encoder", batch, input_ids=None, inputs_embeds=yours)
    assert_close(states, expected)
    states.square().mean().backward()
    expected.square().mean().backward()
    assert mine.grad is not None
    assert_close(mine.grad, yours.grad, "gradient of the embeddings")


CHANGES: list[dict[str, Any]] = [
    *({"hidden_act": name} for name in ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "tanh")),
    {"layer_norm_eps": 0.1},
    {"type_vocab_size": 1},
    {"num_attention_heads": 1},
    {"num_hidden_layers": 1},
    {"pad_token_id": 3},
    {"classifier_dropout": 0.5},
    {"initializer_range": 0.5},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
@pytest.mark.parametrize(("family", "head"), [("bert", "mlm"), ("roberta", "mlm"), ("bert", "classification")])
def test_variants_of_the_configuration_are_equal(family: str, head: str, change: dict[str, Any], tmp_path: Path):
    both = pair(family, head, tmp_path, **change)
    batch = ragged("roberta")  # one segment, which every variant has
    with torch.no_grad():
        assert_close(ours(both.checkpoint, head, batch), theirs(both.peer, head, batch))


def test_every_layers_states_and_attention_are_equal(tmp_path: Path):
    both = pair("bert", "encoder", tmp_path, attn_implementation="eager")
    batch = ragged("bert")
    real = batch.attention_mask.bool()
    with torch.no_grad():
        expected = both.peer(**inputs(batch, both.peer), output_hidden_states=True, output_attentions=True)
        trace = both.checkpoint.model.backbone.trace(batch)
    for layer, (state, wanted) in enumerate(zip(trace.states, expected.hidden_states, strict=True)):
        assert_close(state[real], wanted[real], f"states of layer {layer}")
    for layer, (weights, wanted) in enumerate(zip(trace.attention, expected.attentions, strict=True)):
        assert_close(weights.transpose(1, 2)[real], wanted.transpose(1, 2)[real], f"attention of layer {layer}")
