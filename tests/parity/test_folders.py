"""Folders go both ways: what we write opens in `transformers` with nothing missing, and what it writes, now or in former years, opens here."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from bertsmith.core.errors import CheckpointError
from bertsmith.models import create, load, save
from bertsmith.text.tokenizer import Tokenizer
from tests.parity.peers import (
    FAMILIES,
    FAMILIES_AND_HEADS,
    OLD_FAMILIES_AND_HEADS,
    VOCABULARY,
    Pair,
    assert_close,
    inputs,
    ours,
    pair,
    peer_class,
    peer_model,
    ragged,
    save_peer,
    theirs,
)

BERT_AND_ROBERTA = ["bert", "roberta", "xlm-roberta"]
AUTO = {
    "encoder": transformers.AutoModel,
    "mlm": transformers.AutoModelForMaskedLM,
    "lm": transformers.AutoModelForCausalLM,
    "replaced": transformers.AutoModelForPreTraining,
    "nsp": transformers.AutoModelForNextSentencePrediction,
    "classification": transformers.AutoModelForSequenceClassification,
    "tagging": transformers.AutoModelForTokenClassification,
    "span": transformers.AutoModelForQuestionAnswering,
    "choice": transformers.AutoModelForMultipleChoice,
}


def reopened(folder: Path, head: str, *, targets: bool = False) -> Any:
    """What `transformers` makes of a folder; all weights must have been found, and no others."""
    auto = transformers.AutoModelForSeq2SeqLM if targets and head == "lm" else AUTO[head]
    peer, found = auto.from_pretrained(folder, output_loading_info=True)
    assert {key: names for key, names in found.items() if names} == {}
    return peer.eval()


def assert_same(both: Pair, again: Any) -> None:
    batch = ragged(both.family)
    with torch.no_grad():
        assert_close(ours(both.checkpoint, both.head, batch), theirs(again, both.head, batch))


@pytest.mark.parametrize(("family", "head"), FAMILIES_AND_HEADS)
def test_what_we_write_opens_in_transformers(family: str, head: str, tmp_path: Path):
    both = pair(family, head, tmp_path / "theirs")
    save(both.checkpoint, tmp_path / "ours")
    again = reopened(tmp_path / "ours", head, targets=FAMILIES[family].targets)
    assert type(again).__name__ == peer_class(family, head)
    assert again.config.architectures == [type(again).__name__]
    assert_same(both, again)


@pytest.mark.parametrize("family", BERT_AND_ROBERTA)
@pytest.mark.parametrize("head", ["mlm", "classification", "tagging", "span", "choice"])
def test_a_new_model_opens_in_transformers(family: str, head: str, tmp_path: Path):
    tokenizer = Tokenizer.from_tokens(VOCABULARY)
    sizes = {
        "type_vocab_size": 2,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 20,
    }
    new = create(family, tokenizer, sizes, {head: 5})
    save(replace(new, labels=tuple("abcde") if head in {"classification", "tagging"} else ()), tmp_path)
    again = reopened(tmp_path, head)
    assert_same(Pair("bert", head, None, new), again)  # with BERT's two segments
    if head in {"classification", "tagging"}:
        assert again.config.id2label == dict(enumerate("abcde"))
        assert again.config.label2id == {label: number for number, label in enumerate("abcde")}


def test_labels_that_nobody_named_are_counted(tmp_path: Path):
    new = create("bert", Tokenizer.from_tokens(VOCABULARY), {"hidden_size": 12, "num_hidden_layers": 1}, {"classification": 4})
    save(new, tmp_path)
    assert reopened(tmp_path, "classification").config.num_labels == 4
    assert load(str(tmp_path)).labels == ("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3")


def test_both_heads_of_pretraining_are_one_class_of_transformers(tmp_path: Path):
    peer = transformers.BertForPreTraining(peer_model("bert", "mlm").config).eval()
    checkpoint = load(str(save_peer(peer, tmp_path / "theirs")))
    assert set(checkpoint.model.heads) == {"mlm", "nsp"}
    save(checkpoint, tmp_path / "ours")
    again, found = transformers.AutoModelForPreTraining.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert {key: names for key, names in found.items() if names} == {}
    assert again.config.architectures == ["BertForPreTraining"]
    batch = ragged("bert")
    with torch.no_grad():
        expected = again(**inputs(batch))
        real = batch.attention_mask.bool()
        assert_close(ours(checkpoint, "mlm", batch), expected.prediction_logits[real])
        assert_close(ours(checkpoint, "nsp", batch), expected.seq_relationship_logits)


@pytest.mark.parametrize(("family", "head"), FAMILIES_AND_HEADS)
def test_a_sharded_folder_opens(family: str, head: str, tmp_path: Path):
    peer = peer_model(family, head)
    folder = save_peer(peer, tmp_path, max_shard_size="10KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    assert_same(Pair(family, head, peer, load(str(folder))), peer)


def test_a_sharded_pickle_opens(tmp_path: Path):
    both = pair("bert", "mlm", tmp_path)
    weights = _published(both.peer)
    (tmp_path / "model.safetensors").unlink()
    shards = {name: f"pytorch_model-0000{1 + number % 3}-of-00003.bin" for number, name in enumerate(weights)}
    for shard in set(shards.values()):
        torch.save({name: weight for name, weight in weights.items() if shards[name] == shard}, tmp_path / shard)
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": shards}))
    assert_same(replace(both, checkpoint=load(str(tmp_path))), both.peer)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize(("family", "head"), FAMILIES_AND_HEADS)
def test_a_pickle_of_tensors_with_copies_of_tied_weights_opens(family: str, head: str, zipped: bool, tmp_path: Path):
    peer = peer_model(family, head)
    folder = save_peer(peer, tmp_path)
    (folder / "model.safetensors").unlink()
    torch.save(peer.state_dict(), folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    assert_same(Pair(family, head, peer, load(str(folder))), peer)


@pytest.mark.parametrize(("family", "head"), OLD_FAMILIES_AND_HEADS)
def test_norms_by_their_first_names_open(family: str, head: str, tmp_path: Path):
    peer = peer_model(family, head)
    folder = save_peer(peer, tmp_path)
    old = {_old_name(name): weight for name, weight in _published(peer).items()}
    assert sum(name.endswith("LayerNorm.gamma") for name in old) >= 2
    save_file(old, folder / "model.safetensors")
    assert_same(Pair(family, head, peer, load(str(folder))), peer)


@pytest.mark.parametrize("family", BERT_AND_ROBERTA)
@pytest.mark.parametrize("prefixed", [True, False])
@pytest.mark.parametrize("pooler", [True, False])
def test_a_bare_encoder_opens_with_and_without_its_name_and_its_pooler(family: str, prefixed: bool, pooler: bool, tmp_path: Path):
    peer = peer_model(family, "encoder")
    folder = save_peer(peer, tmp_path / "theirs")
    base = {"xlm-roberta": "roberta"}.get(family, family)
    weights = {name: weight for name, weight in _published(peer).items() if pooler or not name.startswith("pooler")}
    save_file({f"{base}.{name}" if prefixed else name: weight for name, weight in weights.items()}, folder / "model.safetensors")
    checkpoint = load(str(folder))
    assert set(checkpoint.model.heads) == ({"pooler"} if pooler else set())
    assert_same(Pair(family, "encoder", peer, checkpoint), peer)
    if pooler:
        save(checkpoint, tmp_path / "ours")
        again = reopened(tmp_path / "ours", "encoder")
        batch = ragged(family)
        with torch.no_grad():
            mine = checkpoint.model.heads["pooler"](checkpoint.model(batch))
            assert_close(mine, peer(**inputs(batch)).pooler_output)
            assert_close(mine, again(**inputs(batch)).pooler_output)


@pytest.mark.parametrize(
    ("family", "copy"), [("bert", "cls.predictions.decoder"), ("roberta", "lm_head.decoder"), ("xlm-roberta", "lm_head.decoder")]
)
@pytest.mark.parametrize("part", ["weight", "bias"])
def test_a_vocabulary_head_that_is_not_tied_is_refused(family: str, copy: str, part: str, tmp_path: Path):
    folder = save_peer(peer_model(family, "mlm"), tmp_path)
    weights = load_file(folder / "model.safetensors")
    original = "cls.predictions.bias" if family == "bert" else "lm_head.bias"
    if part == "weight":
        original = f"{'bert' if family == 'bert' else 'roberta'}.embeddings.word_embeddings.weight"
    weights[f"{copy}.{part}"] = weights[original] + 1e-3
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=rf"{copy}.{part} differs from {original}"):
        load(str(folder))
    assert load(str(folder), {"classification": 2}).fresh_heads == {"classification"}  # where the head is not wanted, it does not matter
    weights[f"{copy}.{part}"] = weights[original].clone()
    save_file(weights, folder / "model.safetensors")
    assert load(str(folder)).stored_heads == {"mlm"}


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_a_tied_weight_may_be_stored_by_the_name_of_its_copy_alone(family: str, tmp_path: Path):
    peer = peer_model(family, "mlm")
    folder = save_peer(peer, tmp_path)
    weights = load_file(folder / "model.safetensors")
    for copy, original in load(str(folder)).model.family.head("mlm").weights.copies.items():
        weights[copy] = weights.pop(original)
    save_file(weights, folder / "model.safetensors")
    assert_same(Pair(family, "mlm", peer, load(str(folder))), peer)


def test_half_precision_weights_are_read_as_float32(tmp_path: Path):
    peer = peer_model("bert", "mlm").to(torch.bfloat16)
    folder = save_peer(peer, tmp_path)
    checkpoint = load(str(folder))
    assert {weight.dtype for weight in checkpoint.model.parameters()} == {torch.float32}
    assert_same(Pair("bert", "mlm", peer, checkpoint), peer.float())


def _published(peer: Any) -> dict[str, Tensor]:
    """The weights as a checkpoint of today holds them: tied ones once."""
    copies = ("cls.predictions.decoder.weight", "cls.predictions.decoder.bias", "lm_head.decoder.weight", "lm_head.decoder.bias")
    return {name: weight.clone() for name, weight in peer.state_dict().items() if name not in copies}


def _old_name(name: str) -> str:
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
