"""Splinter: questions one by one and many at once, as in fine-tuning and in pre-training, are scored as in `transformers`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from bertsmith.core.types import Batch
from bertsmith.layers.heads import span_scores
from bertsmith.models import load, save
from tests.parity.peers import QUESTION, Pair, assert_close, assert_gradients_equal, inputs, pair, peer_config, peer_model, ragged, save_peer

SEPARATOR = 3


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pair("splinter", "span", tmp_path_factory.mktemp("peer"))


def pretraining(folder: Path) -> Pair:
    """A model with the class that is pre-trained; its weights have the same names."""
    peer = transformers.SplinterForPreTraining(peer_config("splinter")).eval()
    peer.load_state_dict(peer_model("splinter", "span").state_dict())
    return Pair("splinter", "span", peer, load(str(save_peer(peer, folder))))


def with_questions(batch: Batch, places: list[tuple[int, int]]) -> Batch:
    """The batch with question tokens at these places and at no others."""
    input_ids = batch.input_ids.masked_fill(batch.input_ids == QUESTION, QUESTION + 1)
    for row, column in places:
        input_ids[row, column] = QUESTION
    return replace(batch, input_ids=input_ids)


def stacked(output: Any, dim: int) -> Tensor:
    return torch.stack([output.start_logits, output.end_logits], dim=dim)


@torch.no_grad()
def assert_one_question_is_equal(both: Pair, batch: Batch) -> None:
    real = batch.attention_mask.bool()
    scores = span_scores(both.checkpoint.model.heads["span"], both.checkpoint.model(batch), batch)
    expected = stacked(both.peer(**inputs(batch)), 2)
    assert_close(scores[real], expected[real])
    assert_close(scores.softmax(1), expected.softmax(1))


@pytest.mark.parametrize("places", [[(0, 2), (1, 0), (2, 11), (3, 5), (4, 0)], [(0, 2), (0, 4), (1, 2), (1, 1)], []], ids=["one", "several", "none"])
def test_the_first_question_of_a_sequence_is_asked_or_its_first_token(places: list[tuple[int, int]], both: Pair):
    assert_one_question_is_equal(both, with_questions(ragged("splinter"), places))


def test_masked_separators_are_as_in_the_authors_code(both: Pair):
    batch = ragged("splinter", lengths=(9, 12, 5))
    input_ids = batch.input_ids.masked_fill(batch.input_ids == SEPARATOR, 6)
    input_ids[:, 3] = SEPARATOR
    kept = batch.attention_mask.masked_fill(input_ids == SEPARATOR, 0)
    batch = with_questions(Batch(input_ids, kept, torch.zeros_like(kept)), [(0, 2), (1, 1), (2, 4)])
    assert_one_question_is_equal(both, batch)
    scores = span_scores(both.checkpoint.model.heads["span"], both.checkpoint.model(batch), batch)
    assert scores[:, 3].isneginf().all()


def test_many_questions_of_a_sequence_are_equal_to_pretraining(tmp_path: Path):
    both = pretraining(tmp_path)
    batch = with_questions(ragged("splinter"), [(0, 2), (0, 4), (0, 6), (1, 1), (2, 11), (2, 0), (3, 5), (4, 0)])
    asked, real = batch.input_ids == QUESTION, batch.attention_mask.bool()
    with torch.no_grad():
        scores = both.checkpoint.model.heads["span"](both.checkpoint.model(batch), asked)
        expected = stacked(both.peer(**inputs(batch)), 3)
    owners = asked.nonzero()[:, 0]
    order = torch.cat([torch.arange(int(count)) for count in asked.sum(1)])  # of a question in its own sequence; a row of the peer is filled up
    assert scores.shape == (8, 12, 2)
    assert_close(scores[real[owners]], expected[owners, order][real[owners]])


def test_the_loss_of_pretraining_and_its_gradients_are_equal(tmp_path: Path):
    both = pretraining(tmp_path)
    batch = with_questions(ragged("splinter"), [(0, 2), (0, 4), (0, 6), (1, 1), (2, 11), (2, 0), (3, 5)])
    batch = Batch(batch.input_ids[:4], batch.attention_mask[:4], batch.token_type_ids[:4])
    starts, ends = torch.tensor([1, 3, 5, 2, 7, 1, 8]), torch.tensor([1, 4, 6, 2, 9, 2, 8])
    scores = both.checkpoint.model.heads["span"](both.checkpoint.model(batch), batch.input_ids == QUESTION)
    loss = (F.cross_entropy(scores[..., 0], starts) + F.cross_entropy(scores[..., 1], ends)) / 2
    places = torch.tensor([[2, 4, 6], [1, 0, 0], [0, 11, 0], [5, 0, 0]])  # the peer's own question_positions are the same, filled up with 0
    real = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 0, 0]]).bool()
    rectangles = [torch.zeros(4, 3, dtype=torch.long).masked_scatter(real, numbers) for numbers in (starts, ends)]
    expected = both.peer(**inputs(batch), question_positions=places, start_positions=rectangles[0], end_positions=rectangles[1]).loss
    assert_close(loss, expected, "loss")
    loss.backward()
    expected.backward()
    assert assert_gradients_equal(both) > 40


class TestBothKindsOfCheckpoints:
    def test_with_the_head_of_the_pretraining(self, tmp_path: Path):
        both = pretraining(tmp_path)
        assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["SplinterForPreTraining"]
        assert both.checkpoint.stored_heads == {"span"}
        assert both.checkpoint.fresh_heads == frozenset()

    def test_without_it(self, tmp_path: Path):
        folder = save_peer(peer_model("splinter", "encoder"), tmp_path)
        assert not any("qass" in name for name in load_file(folder / "model.safetensors"))
        assert load(str(folder)).stored_heads == frozenset()
        asked = load(str(folder), {"span": 0})
        assert asked.fresh_heads == {"span"}
        head = asked.model.heads["span"]
        assert 0.01 < head.start_product.weight.std() < 0.04, "drawn, with the configuration's spread"
        assert (head.end.norm.weight == 1).all()

    def test_a_fresh_head_is_saved_and_opens_in_transformers(self, tmp_path: Path):
        folder = save_peer(peer_model("splinter", "encoder"), tmp_path / "theirs")
        asked = load(str(folder), {"span": 0})
        save(asked, tmp_path / "ours")
        again, found = transformers.AutoModelForQuestionAnswering.from_pretrained(tmp_path / "ours", output_loading_info=True)
        assert {key: names for key, names in found.items() if names} == {}
        assert again.config.question_token_id == QUESTION
        assert_one_question_is_equal(Pair("splinter", "span", again.eval(), asked), ragged("splinter"))
