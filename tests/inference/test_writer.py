"""Texts in, texts out: by the options that a model was published with, whatever the batches."""

import json
from pathlib import Path

import pytest
import torch
from transformers import GenerationConfig

from bertsmith.core.errors import DataError, RecipeError
from bertsmith.core.types import Batch
from bertsmith.generation import Generation, generate
from bertsmith.inference.writer import Writer
from bertsmith.models import Checkpoint, create, load, save
from bertsmith.text.tokenizer import Tokenizer
from tests.parity.peers import VOCABULARY, peer_model, save_peer

PADDING, POSITIONS = 0, 40
WORDS = list("abcdefghijklmnopqrstuvwxyz")


def continuing() -> Checkpoint:
    tokenizer = Tokenizer.from_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])
    return create("gpt2", tokenizer, {"n_layer": 2, "n_embd": 24, "n_head": 3, "n_positions": 20, "initializer_range": 0.5}, {"lm": 0}, seed=3)


def test_a_writer_goes_on_with_texts_in_their_order():
    checkpoint = continuing()
    texts = ["a b c d", "x", "q r s", "a b", "c d e f g h", *WORDS]
    options = Generation(max_new_tokens=6, eos_token_id=3, suppressed=(0, 1, 2, 4))
    writer = Writer(checkpoint, precision="float32")
    found = writer.write(texts, options)
    for text, continuation in zip(texts, found, strict=True):
        ids = torch.from_numpy(checkpoint.tokenizer.pieces(text).input_ids).long()[None]
        (((alone,),)) = generate(checkpoint.model, Batch(ids, torch.ones_like(ids), torch.zeros_like(ids)), options)
        assert continuation == checkpoint.tokenizer.text_of(alone.input_ids)
    assert len(set(found)) > 5
    assert writer.write([], options) == []


def test_what_a_writer_draws_does_not_depend_on_batches(monkeypatch: pytest.MonkeyPatch):
    writer, texts = Writer(continuing(), precision="float32"), ["a b c d", "x", "q r s", "a b", "a b"]
    options = Generation(max_new_tokens=6, sample=True, seed=7)
    found = writer.write(texts, options)
    monkeypatch.setattr("bertsmith.inference.writer.WRITTEN", 1)
    assert writer.write(texts, options) == found
    assert found[3] != found[4], "two rows draw for themselves"


def test_of_a_long_beginning_the_end_is_read():
    writer = Writer(continuing(), precision="float32")
    options = Generation(max_new_tokens=11)
    assert writer.write(["z " * 30 + "a b c d e f g h i j"], options) == writer.write(["a b c d e f g h i j"], options)
    with pytest.raises(RecipeError, match="max_new_tokens is 21; the model has positions for 20 tokens"):
        writer.write(["a"], Generation(max_new_tokens=21))
    with pytest.raises(DataError, match=r"2 texts have no token to begin with(.|\n)*text 1 is ''"):
        writer.write(["a", "", " "], options)


def test_a_writer_writes_as_the_model_was_published(tmp_path: Path):
    peer = peer_model("bart", "lm", max_position_embeddings=POSITIONS)
    save_peer(peer, tmp_path)
    Tokenizer.from_tokens(VOCABULARY).save(tmp_path)
    told = {"num_beams": 3, "max_length": 9, "min_length": 3, "eos_token_id": 3, "decoder_start_token_id": 2, "forced_eos_token_id": 3}
    (tmp_path / "generation_config.json").write_text(json.dumps(told))
    writer = Writer(load(str(tmp_path)), precision="float32")
    assert writer.options == Generation(beams=3, max_new_tokens=8, min_new_tokens=2, eos_token_id=3, decoder_start_token_id=2, forced_eos_token_id=3)
    texts = ["我的model", "the人中", "大" * 60]
    peer.generation_config = GenerationConfig(**told, pad_token_id=PADDING)
    encodings = [writer.tokenizer.encode(text, max_length=POSITIONS) for text in texts]
    expected = [peer.generate(torch.from_numpy(one.input_ids).long()[None])[0, 1:] for one in encodings]
    assert writer.write(texts) == [writer.tokenizer.text_of(row) for row in expected]
    assert writer.written(texts, Generation(max_new_tokens=4))[0][0].input_ids[-1] == 3, "ids that options leave out are the model's"


def test_a_saved_model_keeps_the_token_that_ends_its_texts(tmp_path: Path):
    checkpoint = continuing()
    assert Writer(checkpoint, precision="float32").options.eos_token_id is None, "the published one is not in so small a vocabulary"
    tokenizer = checkpoint.tokenizer
    save(create("gpt2", tokenizer, {"n_layer": 1, "n_embd": 8, "n_head": 1, "n_positions": 20, "eos_token_id": 3}, {"lm": 0}), tmp_path / "model")
    assert Writer(load(str(tmp_path / "model")), precision="float32").options.eos_token_id == 3
