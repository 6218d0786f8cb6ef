"""What only models with a decoder have: states of both sides, labels that are shifted, BART's classifier; and the forms of their folders."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from transformers.models.bart.modeling_bart import shift_tokens_right

from bertsmith.core.errors import CheckpointError
from bertsmith.core.types import IGNORED, Batch
from bertsmith.generation.running import Parts
from bertsmith.inference.fused_decoder import FusedDecoder, fused
from bertsmith.layers.cache import Cache
from bertsmith.layers.decoder import EncoderDecoder, shifted
from bertsmith.models import Checkpoint, load, save
from bertsmith.testing.tiny import answered
from bertsmith.text.tokenizer import Tokenizer
from tests.parity.peers import (
    FAMILIES,
    LABELS,
    VOCABULARY,
    Pair,
    assert_close,
    assert_gradients_equal,
    inputs,
    ours,
    pair,
    peer_config,
    peer_model,
    ragged,
    save_peer,
    theirs,
)

WITH_TARGETS = [family for family, kind in FAMILIES.items() if kind.targets]
EOS = 3


def backbone(checkpoint: Checkpoint) -> EncoderDecoder:
    assert isinstance(checkpoint.model.backbone, EncoderDecoder)
    return checkpoint.model.backbone


@pytest.mark.parametrize("sides", [("right", "left"), ("left", "right")], ids="-".join)
@pytest.mark.parametrize("family", WITH_TARGETS)
def test_states_of_both_sides_are_equal_when_source_and_target_are_padded_on_different_sides(family: str, sides: tuple[str, str], tmp_path: Path):
    both = pair(family, "encoder", tmp_path)
    batch = replace(ragged(family, sides[0]), target=ragged(family, sides[1], lengths=(2, 12, 1, 9, 4)).target)
    with torch.no_grad():
        expected = both.peer(**inputs(batch, both.peer))
        encoded = backbone(both.checkpoint).encoder(batch)
        assert_close(encoded.at(batch.attention_mask.bool()), expected.encoder_last_hidden_state[batch.attention_mask.bool()], "encoder states")
        assert_close(ours(both.checkpoint, "encoder", batch), theirs(both.peer, "encoder", batch), "decoder states")


@pytest.mark.parametrize("family", WITH_TARGETS)
def test_the_loss_of_labels_with_gaps_and_padding_on_the_left_is_equal(family: str, tmp_path: Path):
    both, batch = pair(family, "lm", tmp_path), ragged(family, "left")
    assert batch.target is not None
    labels = batch.target.input_ids.masked_fill(batch.target.attention_mask == 0, IGNORED)
    labels[:, -2] = IGNORED
    encoded = both.checkpoint.model(replace(batch, target=backbone(both.checkpoint).target(labels)))
    chosen = labels != IGNORED
    loss = F.cross_entropy(both.checkpoint.model.heads["lm"](encoded.at(chosen)), labels[chosen])
    expected = both.peer(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=labels).loss
    assert_close(loss, expected, "loss")
    loss.backward()
    expected.backward()
    assert assert_gradients_equal(both) == len(list(both.checkpoint.model.parameters()))


def in_steps(checkpoint: Checkpoint, batch: Batch) -> Tensor:
    """What the fused decoder says in bfloat16, token by token."""
    assert batch.target is not None
    parts, width = fused(Parts.of(checkpoint.model), torch.bfloat16), batch.target.input_ids.shape[1]
    assert isinstance(parts.decoder, FusedDecoder)
    assert parts.encoder is not None
    assert parts.remember is not None
    cache = Cache(parts.layers, torch.ones_like(batch.target.input_ids[:, :1]).bool(), width - 1)
    parts.remember(parts.encoder(batch), cache)
    states = [parts.decoder.step(column, cache) for column in batch.target.input_ids.split(1, dim=1)]
    return parts.head(torch.cat(states, dim=1)[answered(batch)])


@pytest.mark.parametrize("how", ["whole", "autocast", "in steps"])
@pytest.mark.parametrize("family", WITH_TARGETS)
def test_bfloat16_is_within_its_rounding(family: str, how: str, tmp_path: Path):
    """All roundings together err by less than the step from one number of bfloat16 to the next; and not farther from float32 than the peer."""
    both, batch = pair(family, "lm", tmp_path), ragged(family)
    with torch.inference_mode():
        exact = theirs(both.peer, "lm", batch)
        with torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast"):
            if how != "autocast":
                both.peer.to(torch.bfloat16)
            rounded = theirs(both.peer, "lm", batch).float()
            if how == "whole":
                both.checkpoint.model.to(torch.bfloat16)
            mine = (in_steps(both.checkpoint, batch) if how == "in steps" else ours(both.checkpoint, "lm", batch)).float()
    error, of_peer = ((scores - exact).norm() / exact.norm() for scores in (mine, rounded))
    assert 0 < error < torch.finfo(torch.bfloat16).eps
    assert error < 1.3 * of_peer


def test_labels_are_shifted_as_in_transformers():
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        labels = torch.randint(0, 9, (4, 7), generator=generator)
        labels[torch.rand(4, 7, generator=generator) < 0.4] = IGNORED
        assert torch.equal(shifted(labels, 5, 1).input_ids, shift_tokens_right(labels, 1, 5))


def closed(batch: Batch) -> Batch:
    """Sources alone, each with one end of sequence, where BART's classifier looks."""
    lengths = batch.attention_mask.sum(1)
    places = batch.attention_mask.cumsum(1) * batch.attention_mask
    ids = torch.where(batch.input_ids == EOS, EOS + 1, batch.input_ids)
    return replace(batch, input_ids=torch.where(places == lengths[:, None], EOS, ids), target=None)


def on_the_left(rows: Tensor, batch: Batch) -> Tensor:
    """The same rows with their padding on the other side."""
    return torch.stack([row.roll(len(row) - int(length)) for row, length in zip(rows, batch.attention_mask.sum(1), strict=True)])


@pytest.fixture
def classifier(tmp_path: Path) -> Pair:
    return pair("bart", "classification", tmp_path / "theirs")


class TestClassifier:
    def test_scores_loss_and_gradients_are_equal(self, classifier: Pair):
        batch, labels = closed(ragged("bart")), torch.tensor([0, 2, 1, 1, 0])
        scores, expected = ours(classifier.checkpoint, "classification", batch), classifier.peer(**inputs(batch, classifier.peer), labels=labels)
        assert_close(scores, expected.logits)
        F.cross_entropy(scores, labels).backward()
        expected.loss.backward()
        assert assert_gradients_equal(classifier) == len(list(classifier.checkpoint.model.parameters()))

    def test_padding_on_the_left_leaves_the_decoder_as_it_is(self, classifier: Pair):
        right = closed(ragged("bart"))
        left = replace(right, **{name: on_the_left(getattr(right, name), right) for name in ("input_ids", "attention_mask")})
        target = {"input_ids": shift_tokens_right(right.input_ids, 0, EOS), "attention_mask": right.attention_mask}
        with torch.no_grad():
            source = classifier.peer.model.encoder(input_ids=left.input_ids, attention_mask=left.attention_mask).last_hidden_state
            states = classifier.peer.model.decoder(**target, encoder_hidden_states=source, encoder_attention_mask=left.attention_mask)
            last = states.last_hidden_state[torch.arange(5), right.attention_mask.sum(1) - 1]
            assert_close(ours(classifier.checkpoint, "classification", left), classifier.peer.classification_head(last))

    def test_what_we_write_opens_in_transformers(self, classifier: Pair, tmp_path: Path):
        save(classifier.checkpoint, tmp_path / "ours")
        again, found = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "ours", output_loading_info=True)
        assert {key: names for key, names in found.items() if names} == {}
        assert (type(again).__name__, again.config.num_labels) == ("BartForSequenceClassification", LABELS)
        batch = closed(ragged("bart"))
        with torch.no_grad():
            assert_close(ours(classifier.checkpoint, "classification", batch), again.eval()(**inputs(batch, again)).logits)


def rewritten(folder: Path, change: dict[str, str | None]) -> Path:
    """The same folder with some weights under another name, or taken out."""
    weights = load_file(folder / "model.safetensors")
    moved = {change.get(name, name): weight for name, weight in weights.items()}
    assert moved.keys() != weights.keys()
    save_file({name: weight for name, weight in moved.items() if name is not None}, folder / "model.safetensors")
    return folder


def assert_opens(folder: Path, both: Pair) -> None:
    batch = ragged(both.family)
    with torch.no_grad():
        assert_close(ours(load(str(folder)), "lm", batch), theirs(both.peer, "lm", batch))


@pytest.mark.parametrize("family", WITH_TARGETS)
class TestFolders:
    @pytest.mark.parametrize("name", ["model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight"])
    def test_the_shared_embedding_may_have_any_of_its_names(self, family: str, name: str, tmp_path: Path):
        both = pair(family, "lm", tmp_path)
        assert_opens(rewritten(tmp_path, {"model.shared.weight": name}), both)

    @pytest.mark.parametrize("name", ["model.decoder.embed_tokens.weight", "lm_head.weight"])
    def test_embeddings_that_are_not_shared_are_refused(self, family: str, name: str, tmp_path: Path):
        weights = load_file(save_peer(peer_model(family, "lm"), tmp_path) / "model.safetensors")
        save_file({**weights, name: weights["model.shared.weight"] + 1e-3}, tmp_path / "model.safetensors")
        with pytest.raises(CheckpointError, match=rf"{name} differs from model.shared.weight"):
            load(str(tmp_path))

    def test_a_bias_that_is_not_there_is_zero(self, family: str, tmp_path: Path):
        both = pair(family, "lm", tmp_path)
        both.peer.final_logits_bias.zero_()
        folder = rewritten(tmp_path, {"final_logits_bias": None})
        assert load(str(folder)).stored_heads == {"lm"}
        assert_opens(folder, both)

    def test_a_bare_model_has_a_language_model_all_the_same_if_it_is_asked_for(self, family: str, tmp_path: Path):
        folder = save_peer(peer_model(family, "encoder"), tmp_path)
        checkpoint = load(str(folder), {"lm": 0})
        assert (checkpoint.stored_heads, checkpoint.fresh_heads) == (frozenset(), frozenset()), "tied weights and zeros: nothing is drawn"
        expected = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
        batch = ragged(family)
        with torch.no_grad():
            assert_close(ours(checkpoint, "lm", batch), theirs(expected, "lm", batch))

    def test_the_configuration_goes_there_and_back(self, family: str, tmp_path: Path):
        peer = peer_model(family, "lm", forced_eos_token_id=4, init_std=0.5, activation_dropout=0.25, attention_dropout=0.125)
        checkpoint = load(str(save_peer(peer, tmp_path / "theirs")))
        save(checkpoint, tmp_path / "ours")
        again = transformers.AutoConfig.from_pretrained(tmp_path / "ours")
        for key, value in checkpoint.model.family.to_config().items():
            assert getattr(again, key, None) == value, key
            assert getattr(peer.config, key, None) == value, key


@pytest.mark.parametrize("family", ["marian", "pegasus"])
@pytest.mark.parametrize("stored", [True, False])
def test_positions_are_computed_where_a_folder_lacks_them(family: str, stored: bool, tmp_path: Path):
    both = pair(family, "lm", tmp_path)
    left_out = ("lm_head", "embed_tokens") if stored else ("lm_head", "embed_tokens", "embed_positions")
    weights = {name: weight.clone() for name, weight in both.peer.state_dict().items() if not any(part in name for part in left_out)}
    save_file(weights, tmp_path / "model.safetensors")
    assert_opens(tmp_path, both)


@pytest.mark.parametrize("width", [24, 25])
def test_waves_are_those_of_transformers(width: int):
    from transformers.models.marian.modeling_marian import MarianSinusoidalPositionalEmbedding

    from bertsmith.layers.embeddings import SinusoidalPositions

    assert_close(SinusoidalPositions(50, width).weight, MarianSinusoidalPositionalEmbedding(50, width).create_weight())


def test_a_chinese_bart_has_the_vocabulary_of_bert(tmp_path: Path):
    """As `fnlp/bart-base-chinese`: model_type bart, BERT's vocabulary and special tokens, weights as transformers 4 wrote them."""
    special: dict[str, Any] = {"bos_token_id": 2, "eos_token_id": EOS, "decoder_start_token_id": EOS, "forced_eos_token_id": EOS}
    peer = transformers.BartForConditionalGeneration(peer_config("bart", **special)).eval()
    Tokenizer.from_tokens(VOCABULARY).save(tmp_path)
    config = {**peer.config.to_dict(), "normalize_embedding": True, "num_hidden_layers": 2, "extra_pos_embeddings": 2, "no_repeat_ngram_size": 3}
    (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": ["BartForConditionalGeneration"]}))
    torch.save(peer.state_dict(), tmp_path / "pytorch_model.bin")
    checkpoint = load(str(tmp_path))
    encoding = checkpoint.tokenizer.encode("我是中国人", "the model")
    assert encoding.input_ids[-1] == EOS
    assert encoding.token_type_ids.max() == 1
    ids, segments = (torch.from_numpy(row)[None].long() for row in (encoding.input_ids, encoding.token_type_ids))
    target = checkpoint.model.backbone.target(ids)  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
    with torch.no_grad():
        scores: Tensor = checkpoint.model.heads["lm"](checkpoint.model(Batch(ids, torch.ones_like(ids), segments, target=target)).states)
        assert_close(scores, peer(input_ids=ids, labels=ids).logits[0])
