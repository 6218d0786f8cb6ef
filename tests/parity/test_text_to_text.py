"""Training to write: losses, gradients and texts are those of `transformers`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers.trainer_pt_utils import LabelSmoother

from bertsmith.core.types import IGNORED, Batch, Example
from bertsmith.generation.forcing import forced
from bertsmith.inference.engine import Engine
from bertsmith.models import load, save
from bertsmith.objectives.base import pad
from bertsmith.tasks.text_to_text import TextToText
from bertsmith.text.tokenizer import Tokenizer
from tests.parity.peers import TARGETED, VOCABULARY, Pair, assert_close, assert_gradients_equal, pair, peer_model, save_peer

TOKENIZER = Tokenizer.from_tokens(VOCABULARY)
END = 3
TEXTS = [("我是中国人", "the model"), ("大", "有一个大国"), ("the model the model", "人"), ("在这个国中", "中国"), ("不了", "以他 the a")]
EXAMPLES = [Example({"text": text, "target": target}) for text, target in TEXTS]
TASK = TextToText(max_length=12, max_new_tokens=8)


def batch_of(task: TextToText = TASK) -> Batch:
    return task.collate(list(task.encode(EXAMPLES, TOKENIZER)), [], TOKENIZER)


def inputs(batch: Batch) -> dict[str, Any]:
    """What a peer with a decoder of its own is given: labels are shifted there."""
    assert batch.target is not None
    labels = batch.target.input_ids.masked_fill(batch.target.attention_mask == 0, IGNORED)
    return {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask, "labels": labels}


def in_one() -> dict[str, Any]:
    """What GPT-2 is given: source and target put together by hand, labels at the target alone."""
    sides = [(TOKENIZER.encode(text).input_ids, TOKENIZER.encode(target).input_ids) for text, target in TEXTS]
    rows = [torch.tensor([*source, *target]) for source, target in sides]
    labels = [torch.tensor([*[IGNORED] * len(source), *target]) for source, target in sides]
    ids, wanted = pad([row.numpy() for row in rows], 0), pad([row.numpy() for row in labels], IGNORED)
    return {"input_ids": ids, "attention_mask": pad([torch.ones_like(row).numpy() for row in rows], 0), "labels": wanted}


def assert_same_loss(both: Pair, given: dict[str, Any]) -> None:
    batch = batch_of()
    [summed] = TASK.loss(both.checkpoint.model, batch).values()
    loss, expected = summed / batch.counts["text_to_text"], both.peer(**given).loss
    assert_close(loss, expected, "loss")
    loss.backward()
    expected.backward()
    assert assert_gradients_equal(both) > 20


@pytest.mark.parametrize("family", sorted(TARGETED))
def test_the_loss_of_a_target_is_equal(family: str, tmp_path: Path):
    assert_same_loss(pair(family, "lm", tmp_path), inputs(batch_of()))


def test_the_loss_of_a_decoder_alone_is_that_of_labels_at_the_target_only(tmp_path: Path):
    assert_same_loss(pair("gpt2", "lm", tmp_path), in_one())


def test_a_decoder_alone_reads_source_and_target_as_one(tmp_path: Path):
    model = pair("gpt2", "lm", tmp_path).checkpoint.model
    read, places, labels = forced(model, batch_of())
    ids, _ = in_one()["input_ids"], None
    for row, (wanted, asked) in enumerate(zip(ids, in_one()["labels"], strict=True)):
        real = read.attention_mask[row].bool()
        whole = wanted[: int(real.sum()) + 1]
        assert read.input_ids[row][real].tolist() == whole[:-1].tolist(), "all but the last token, which is foretold and not read"
        said = labels[int(places[:row].sum()) : int(places[: row + 1].sum())].tolist()
        assert said == asked[asked != IGNORED].tolist()
        assert places[row][real].tolist() == (asked[1 : len(whole)] != IGNORED).tolist(), "every place is asked for the token after it"


@pytest.mark.parametrize("family", sorted(TARGETED))
def test_smoothed_losses_are_equal_in_training_and_plain_ones_in_evaluation(family: str, tmp_path: Path):
    both, batch = pair(family, "lm", tmp_path), batch_of()
    task, given = replace(TASK, label_smoothing=0.1), inputs(batch)
    output = both.peer(**given)
    smoothed = LabelSmoother(epsilon=0.1)(output, given["labels"])
    for training, expected in ((True, smoothed), (False, output.loss)):
        both.checkpoint.model.train(training)
        assert_close(task.loss(both.checkpoint.model, batch)["text_to_text"] / batch.counts["text_to_text"], expected, "loss")


@pytest.mark.parametrize("family", sorted(TARGETED))
@pytest.mark.parametrize("precise", [{"beams": 1}, {"beams": 3, "length_penalty": 2.0, "no_repeat_ngram": 2, "min_new_tokens": 3}])
def test_a_folder_that_was_trained_writes_in_transformers_what_it_writes_here(family: str, precise: dict[str, Any], tmp_path: Path):
    both = pair(family, "lm", tmp_path / "peer")
    task = replace(TASK, **precise)
    told = {**both.checkpoint.model.generation, **task.generation_config(TOKENIZER)}
    both.checkpoint.model.generation = {key: value for key, value in told.items() if value is not None}
    save(replace(both.checkpoint, tokenizer=TOKENIZER), tmp_path / "ours")
    peer = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "ours").eval()
    written = [one["output"] for one in Engine(load(str(tmp_path / "ours")), task, precision="float32").predict(EXAMPLES)]
    for text, (source, _) in zip(written, TEXTS, strict=True):
        ids = torch.from_numpy(TOKENIZER.encode(source).input_ids).long()[None]
        expected = peer.generate(ids, attention_mask=torch.ones_like(ids))[0, 1:]
        assert text == TOKENIZER.text_of(expected)
    assert all(written)


def test_a_published_folder_writes_by_its_own_options(tmp_path: Path):
    import json

    from bertsmith.tasks.opening import task_of

    peer = peer_model("bart", "lm", max_position_embeddings=40)
    save_peer(peer, tmp_path)
    TOKENIZER.save(tmp_path)
    told = {"num_beams": 3, "max_length": 9, "min_length": 4, "eos_token_id": END, "decoder_start_token_id": 2, "bad_words_ids": [[5]]}
    (tmp_path / "generation_config.json").write_text(json.dumps(told))
    checkpoint = load(str(tmp_path))
    task = task_of(checkpoint, "folder")
    assert isinstance(task, TextToText)
    assert (task.beams, task.max_new_tokens, task.min_new_tokens, task.max_length) == (3, 8, 3, 40)
    peer.generation_config = transformers.GenerationConfig(**told, pad_token_id=0)
    for (source, _), found in zip(TEXTS, Engine(checkpoint, task, precision="float32").predict(EXAMPLES), strict=True):
        ids = torch.from_numpy(TOKENIZER.encode(source).input_ids).long()[None]
        assert found["output"] == TOKENIZER.text_of(peer.generate(ids, attention_mask=torch.ones_like(ids))[0, 1:])
