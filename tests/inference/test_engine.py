"""The engine: order, streams, independence of the batch, what it decides and what it says about it."""

from dataclasses import replace
from itertools import count, islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertsmith.core import precision
from bertsmith.core.errors import CheckpointError, DataError, RecipeError
from bertsmith.core.types import Batch, Example
from bertsmith.inference import engine as engine_module
from bertsmith.inference.engine import Engine
from bertsmith.inference.fused import FusedEncoder
from bertsmith.models.bart import Bart
from bertsmith.models.loading import Checkpoint, save
from bertsmith.tasks.pair import SentencePair
from bertsmith.tasks.single import SingleSentence
from bertsmith.testing.tiny import tiny_family, tiny_model, tiny_tokenizer
from bertsmith.tuning.lora import Lora
from tests.inference.conftest import WORDS, tiny_checkpoint

TINY = tiny_checkpoint()
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join), max_size=12)


def examples(*texts: str) -> list[Example]:
    return [Example({"text": text}) for text in texts]


@given(texts=TEXTS, batch_tokens=st.sampled_from([1, 20, 50, 1000]))
@settings(max_examples=30, deadline=None)
def test_predictions_depend_on_their_own_text_only_and_keep_its_place(task, texts, batch_tokens):
    engine, single = Engine(TINY, task, batch_tokens=batch_tokens), Engine(TINY, task)
    together = list(engine.predict(examples(*texts)))
    expected = [next(single.predict(examples(text))) for text in texts]
    assert [one["label"] for one in together] == [one["label"] for one in expected]
    assert [one["score"] for one in together] == pytest.approx([one["score"] for one in expected], abs=1e-5)


def test_chunks_are_put_together_in_order(task, tiny, monkeypatch):
    texts = [" ".join(WORDS[: 1 + number % 13]) for number in range(50)]
    expected = Engine(tiny, task).embed(texts)
    monkeypatch.setattr(engine_module, "CHUNK", 7)
    assert np.allclose(Engine(tiny, task).embed(texts), expected, atol=1e-5)
    assert np.abs(np.diff(expected, axis=0)).max(1).min() > 1e-3, "neighbours differ, so a change of order would show"


def test_an_endless_stream_gives_predictions(task, tiny, monkeypatch):
    monkeypatch.setattr(engine_module, "CHUNK", 10)
    taken = []

    def endless():
        for number in count():
            taken.append(number)
            yield Example({"text": WORDS[number % len(WORDS)]})

    assert len(list(islice(Engine(tiny, task).predict(endless()), 15))) == 15
    assert len(taken) == 20, "no more than the chunk at hand is read ahead"


def test_a_folder_tells_its_task(task, tiny, tmp_path):
    table = {"name": "single", "labels": list(task.labels), "max_length": 9}
    save(replace(tiny, labels=task.labels, task=table), tmp_path / "model")
    engine = Engine.open(tmp_path / "model", precision="float32")
    assert engine.task == replace(task, max_length=9)
    by_hand = Engine(tiny, replace(task, max_length=9), precision="float32")
    rows = [Example({"text": "the cat sat on the mat and then it flew"})]
    found, expected = next(engine.predict(rows)), next(by_hand.predict(rows))
    assert found["label"] == expected["label"]
    assert found["scores"] == pytest.approx(expected["scores"], abs=1e-5)


def test_a_model_without_a_task_is_opened_to_make_vectors():
    engine = Engine.open("builtin:mini-zh")
    assert engine.task is None
    assert engine.embed(["今天天气很好"]).shape == (1, 256)
    with pytest.raises(RecipeError, match=r"there is nothing to predict: .*Fine-tune the model with `bertsmith run"):
        next(engine.predict(examples("今天天气很好")))
    with pytest.raises(CheckpointError, match=r"builtin:mini-zh was not fine-tuned for a task .*trained heads: mlm"):
        Engine.open("builtin:mini-zh", "single")


def test_nothing_gives_nothing(task, tiny):
    engine = Engine(tiny, task)
    assert list(engine.predict([])) == []
    assert engine.outputs([]) == []
    assert engine.embed([]).shape == (0, 24)


def test_an_empty_text_has_a_prediction(task, tiny):
    assert next(Engine(tiny, task).predict(examples("")))["label"] in task.labels


def test_a_very_long_text_is_cut_to_the_positions_of_the_model(task, tiny):
    long = "cat " * 20_000
    engine = Engine(tiny, task, batch_tokens=16)
    assert engine.describe()["max_length"] == 40, "the task asks for 64"
    short, longest = engine.predict(examples("dog", long))
    assert longest == next(engine.predict(examples("cat " * 38)))
    assert short != longest
    assert np.allclose(engine.embed([long]), engine.embed(["cat " * 38]))


def test_unusable_examples_are_listed_with_their_lines(task, tiny):
    rows = [Example({"text": "cat"}, "a.txt", 1), Example({}, "a.txt", 2)]
    with pytest.raises(DataError, match=r"a\.txt:2: no text"):
        list(Engine(tiny, task).predict(rows))


def test_pairs(tiny):
    engine = Engine(tiny, SentencePair(labels=("no", "yes", "maybe")))
    one, other = engine.predict([Example({"text": "a cat", "text_pair": "a dog"}), Example({"text": "a dog", "text_pair": "a cat"})])
    assert one["scores"] != other["scores"]


def test_scores_are_those_of_the_model(task, tiny):
    engine = Engine(tiny, task)
    rows = list(task.encode(examples(*WORDS, "the cat sat on the mat"), tiny.tokenizer, labelled=False))
    with torch.inference_mode():
        batch = task.collate(rows, [np.random.default_rng()] * len(rows), tiny.tokenizer)
        expected = task.scores(tiny.model, batch).numpy()
    assert np.allclose(engine.outputs(rows), expected, atol=1e-5)
    assert isinstance(engine._model.backbone, FusedEncoder)
    assert not isinstance(tiny.model.backbone, FusedEncoder), "the checkpoint itself is as it was"


def test_embedding_is_the_normalised_mean_or_the_first_state(tiny):
    engine, text = Engine(tiny), "the cat sat on the mat"
    encoding = tiny.tokenizer.encode(text)
    ids = torch.from_numpy(encoding.input_ids).long()[None]
    with torch.inference_mode():
        states = tiny.model(Batch(ids, torch.ones_like(ids), torch.zeros_like(ids))).padded()[0].numpy()
    mean, first = states.mean(0), states[0]
    assert np.allclose(engine.embed([text, "dog"], normalise=False)[0], mean, atol=1e-5)
    assert np.allclose(engine.embed([text, "dog"])[0], mean / np.linalg.norm(mean), atol=1e-5)
    assert np.allclose(engine.embed([text, "dog"], "cls", normalise=False)[0], first, atol=1e-5)
    assert np.allclose(engine.pooled([{"input_ids": encoding.input_ids}])[0], mean / np.linalg.norm(mean), atol=1e-5)
    assert np.allclose(engine.embed([text], max_length=4), engine.embed(["the cat"]), atol=1e-5)


def test_a_model_that_cannot_be_fused_is_computed_as_it_is(task, tiny):
    expected = Engine(tiny, task).embed(["the cat", "it was good"])
    Lora(rank=2).apply(tiny.model)
    engine = Engine(tiny, task)
    assert engine.describe()["encoder"] == "ordinary: attention.query of block 0 is a LoraLinear"
    assert np.allclose(engine.embed(["the cat", "it was good"]), expected, atol=1e-5), "a fresh adapter changes nothing"
    assert list(engine.predict(examples("the cat", "it was good")))


def test_the_ordinary_encoder_computes_in_bfloat16_too(task, tiny):
    Lora(rank=2).apply(tiny.model)
    exact, rounded = (Engine(tiny, precision=name).embed(WORDS) for name in ("float32", "bfloat16"))
    assert rounded.dtype == np.float32
    assert not np.array_equal(exact, rounded)
    assert (exact * rounded).sum(1).min() > 0.995


def test_bfloat16_is_close_on_random_weights(tiny):
    exact, rounded = (Engine(tiny, precision=name).embed(WORDS) for name in ("float32", "bfloat16"))
    assert not np.array_equal(exact, rounded)
    assert (exact * rounded).sum(1).min() > 0.995


@pytest.mark.parametrize(("has", "chosen"), [(True, "bfloat16"), (False, "float32")])
def test_auto_takes_what_the_processor_multiplies_in(tiny, monkeypatch, has, chosen):
    for question in precision.CPU_QUESTIONS:
        assert hasattr(torch.cpu, question), "torch has renamed it"
        monkeypatch.setattr(torch.cpu, question, lambda: has)
    assert Engine(tiny, device="cpu").describe()["precision"] == chosen
    assert Engine(tiny, device="cpu", precision="float32").describe()["precision"] == "float32"


def test_describe_tells_what_was_decided(tiny):
    told = Engine(tiny, precision="float32", device="cpu", batch_tokens=99).describe()
    assert told["device"] == "cpu"
    assert told["batch_tokens"] == 99
    assert str(told["encoder"]).startswith("fused")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "float16"}, "precision is 'float16'; allowed: 'auto', 'float32', 'bfloat16'"),
        ({"batch_tokens": 0}, "batch_tokens is 0"),
        ({"device": "gpu"}, "device is 'gpu'"),
    ],
)
def test_impossible_options_are_refused(tiny, options, message):
    with pytest.raises(RecipeError, match=message):
        Engine(tiny, **options)


def test_unknown_pooling_and_missing_task_are_refused(tiny):
    with pytest.raises(RecipeError, match="pooling is 'max'; allowed: 'mean', 'cls'"):
        Engine(tiny).embed(["cat"], "max")
    with pytest.raises(RecipeError, match="texts is one text, 'the cat'; give a list of them"):
        Engine(tiny).embed("the cat")
    with pytest.raises(RecipeError, match="without a task"):
        next(Engine(tiny).predict(examples("cat")))


def test_a_model_that_writes_predicts_and_has_no_vectors():
    family = tiny_family(Bart, {"pad_token_id": 0})
    tokenizer = tiny_tokenizer(family)
    task = SingleSentence(labels=("a", "b"))
    engine = Engine(Checkpoint(tiny_model(family, {"classification": 2}), tokenizer), task, precision="float32", device="cpu")
    assert engine.describe()["encoder"] == "ordinary: it has a decoder"
    rows = list(task.encode(examples("天气很好", "A good book", "slow"), tokenizer, labelled=False))
    alone = np.stack([engine.outputs([row])[0] for row in rows])
    np.testing.assert_allclose(engine.outputs(rows), alone, atol=1e-5)
    with pytest.raises(CheckpointError, match="the states of a bart model are those of a target that it writes"):
        engine.embed(["good"])
