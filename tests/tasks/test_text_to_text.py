"""Writing as a task: what it reads, what it learns, what it measures, what it says of bad data."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bertsmith.core.errors import DataError, RecipeError
from bertsmith.core.types import Example
from bertsmith.data.dataset import Dataset
from bertsmith.data.store import FeatureStore
from bertsmith.inference.engine import Engine
from bertsmith.models import Checkpoint, create
from bertsmith.models.family import families
from bertsmith.tasks import Outcome
from bertsmith.tasks.opening import task_of
from bertsmith.tasks.targets import closed, end_of, until
from bertsmith.tasks.text_to_text import TextToText
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.train.evaluation import evaluate
from bertsmith.train.loop import Training
from bertsmith.train.options import TrainOptions

LETTERS = "abcdefgh"
TOKENIZER = Tokenizer.from_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *"今天气很好我们"])
ENDS = {"decoder_start_token_id": 3, "eos_token_id": 3, "bos_token_id": 2, "forced_eos_token_id": 3}
SIZES = {"d_model": 48, "max_position_embeddings": 24, "dropout": 0.0} | {
    f"{side}_{size}": value for side in ("encoder", "decoder") for size, value in (("layers", 1), ("attention_heads", 4), ("ffn_dim", 96))
}
CONFIGS: dict[str, dict[str, Any]] = {
    "bart": {**SIZES, **ENDS},
    "gpt2": {"n_layer": 2, "n_embd": 48, "n_head": 4, "n_positions": 32, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
}
TASK = TextToText(max_length=12, max_new_tokens=12, beams=2)


def made(family: str, **changes: Any) -> Checkpoint:
    return create(family, TOKENIZER, {**CONFIGS[family], **changes}, {"lm": 0}, seed=1)


def reversals(count: int, seed: int) -> list[Example]:
    """Letters, and the same from behind."""
    generator = np.random.default_rng(seed)
    rows = [generator.choice(list(LETTERS[:6]), generator.integers(2, 4)).tolist() for _ in range(count)]
    return [Example({"text": " ".join(row), "target": " ".join(row[::-1])}) for row in rows]


def outcome_of(texts: list[str], examples: Sequence[Example]) -> Outcome:
    """As if these texts had been written."""
    outputs = [np.array([0.5, *TOKENIZER.encode(text).input_ids], np.float32) for text in texts]
    return Outcome(outputs, [{"input_ids": np.zeros(1, np.int32)}] * len(texts), examples, TOKENIZER)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "learning_rate"), [("bart", 2e-3), ("gpt2", 4e-3)])
def test_letters_are_learned_to_be_written_from_behind(family: str, learning_rate: float, tmp_path: Path):
    checkpoint = made(family)
    rows = FeatureStore.build(TASK.encode(reversals(2000, seed=1), TOKENIZER))
    options = TrainOptions(steps=300, batch_tokens=700, learning_rate=learning_rate, precision="float32")
    Training(model=checkpoint.model, tokenizer=TOKENIZER, objective=TASK, rows=rows, options=options, seed=1, folder=tmp_path).run()
    unseen = reversals(60, seed=2)
    found = list(Engine(checkpoint, TASK, precision="float32").predict([Example({"text": one["text"]}) for one in unseen]))
    right = [said["output"] == one["target"] for said, one in zip(found, unseen, strict=True)]
    assert np.mean(right) > 0.9
    assert np.mean([said["score"] for said in found]) > 0.8, "it knows that it is right"
    store = FeatureStore.build(TASK.encode(unseen, TOKENIZER))
    metrics = evaluate(checkpoint.model, TASK, store, TOKENIZER, examples=unseen).metrics
    assert metrics["exact_match"] == pytest.approx(np.mean(right)), "what is measured in a run is what is predicted"
    assert evaluate(checkpoint.model, TASK, store, TOKENIZER, examples=unseen, by_loss=True).metrics["perplexity"] < 1.2


class TestFeatures:
    def test_source_and_target(self):
        [row] = TASK.encode([Example({"text": "a b", "target": "c"})], TOKENIZER)
        assert {name: (values.tolist(), str(values.dtype)) for name, values in row.items()} == {
            "input_ids": ([2, 5, 6, 3], "int32"),
            "truncated": ([0], "int32"),
            "target_ids": ([2, 7, 3], "int32"),
            "target_truncated": ([0], "int32"),
        }

    def test_what_is_too_long_loses_its_end_and_is_counted_by_side(self):
        task = TextToText(max_length=8, max_new_tokens=4)
        [row] = task.encode([Example({"text": "a b c d e f g h", "target": "h g f"})], TOKENIZER)
        assert (row["input_ids"].tolist(), row["truncated"].tolist()) == ([2, 5, 6, 7, 8, 9, 10, 3], [2])
        assert (row["target_ids"].tolist(), row["target_truncated"].tolist()) == ([2, 12, 11, 3], [1])

    def test_a_batch_by_tokens_counts_both_sides(self):
        store = FeatureStore.build(TASK.encode([Example({"text": "a b", "target": "c"}), Example({"text": "a", "target": "b c d e"})], TOKENIZER))
        assert store.lengths.tolist() == [4 + 3, 3 + 6]
        batch = TASK.collate(list(store), [], TOKENIZER)
        assert batch.num_tokens == 16
        assert batch.counts == {"text_to_text": 9}

    def test_a_prefix_stands_before_every_source(self):
        [row] = replace(TASK, prefix="h ").encode([Example({"text": "a"})], TOKENIZER, labelled=False)
        assert row["input_ids"].tolist() == [2, 12, 5, 3]

    def test_where_the_tokenizer_closes_no_text_the_end_of_texts_does(self, tmp_path: Path):
        gpt2 = byte_level(tmp_path)
        end = end_of(gpt2)
        assert gpt2.token(end) == "<|endoftext|>"
        [(ids, cut), (short, none)] = closed(["abcdef", "a"], gpt2, 4)
        assert (ids[-1], len(ids), cut.tolist()) == (end, 4, [3])
        assert (short[-1], len(short), none.tolist()) == (end, 2, [0])

    def test_of_several_targets_the_first_is_trained_on(self):
        [row] = TASK.encode([Example({"text": "a", "target": ["", "c", "d"]})], TOKENIZER)
        assert row["target_ids"].tolist() == [2, 7, 3]


def byte_level(folder: Path) -> Tokenizer:
    import json

    from tokenizers.pre_tokenizers import ByteLevel

    tokens = ["<|endoftext|>", *sorted(ByteLevel.alphabet())]
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    (folder / "config.json").write_text('{"model_type": "gpt2"}', encoding="utf-8")
    return Tokenizer.from_folder(folder)


class TestBadData:
    def test_examples_that_cannot_be_used_are_all_listed(self):
        values: list[dict[str, Any]] = [
            {"text": "a", "target": "b"},
            {"target": "b"},
            {"text": " ", "target": "b"},
            {"text": "a"},
            {"text": "a", "target": ""},
            {"text": "a", "target": [["b"]]},
            {"text": "a", "target": {"title": "b"}},
            {"text": "a", "target": 3},
        ]
        with pytest.raises(DataError) as caught:
            list(TASK.encode([Example(one, "news.jsonl", line) for line, one in enumerate(values, 1)], TOKENIZER))
        assert caught.value.problems == (
            "news.jsonl:2: text is missing",
            "news.jsonl:3: text is empty",
            "news.jsonl:4: no target",
            "news.jsonl:5: target is empty",
            "news.jsonl:6: target is \"['b']\" (list), not a string",
            "news.jsonl:7: target is \"{'title': 'b'}\" (dict), not a string",
            "news.jsonl:8: target is '3' (int), not a string",
        )

    def test_rows_without_a_target_are_left_out_and_counted(self):
        rows = [
            {"text": "a", "target": "b"},
            {"text": "a", "target": " "},
            {"text": "a"},
            {"text": "a", "target": []},
            {"text": "a", "target": ["", "c"]},
        ]
        data = Dataset([Example(row, "news.jsonl", line) for line, row in enumerate(rows, 1)])
        settled = TASK.settled(data, training=True)
        assert [row.line for row in settled] == [1, 5]
        assert settled.dropped == {"target is empty": 1, "no target": 2}
        assert [row.line for row in settled.dropped_rows] == [2, 3, 4]
        assert settled.mended == {}
        several = Dataset.of([{"text": "a", "target": ["b", "c"]}])
        assert TASK.settled(several, training=True).mended == {"several targets: the first is trained on": 1}
        assert TASK.settled(several).mended == {}, "all of them are measured by"

    def test_options_that_cannot_be(self):
        for wrong, said in (
            ({"beams": 0}, "beams is 0; it must be at least 1"),
            ({"min_new_tokens": 200}, "min_new_tokens is 200 and max_new_tokens 128"),
            ({"label_smoothing": 1.0}, "label_smoothing is 1.0"),
            ({"labels": ("a", "b")}, "texts are written and not chosen"),
            ({"repetition_penalty": 0.0}, "repetition_penalty is 0.0"),
            ({"max_length": 4}, "max_length is 4"),
        ):
            with pytest.raises(ValueError, match=said):
                TextToText(**wrong)

    def test_a_target_has_room_for_a_token_of_its_own(self):
        """By BERT's vocabulary two tokens stand around it."""
        row = [Example({"text": "a", "target": "b"})]
        with pytest.raises(RecipeError, match="max_new_tokens is 2; 2 of them begin and end a target, and a text needs at least one more"):
            list(replace(TASK, max_new_tokens=2).encode(row, TOKENIZER))
        assert [len(features["target_ids"]) for features in replace(TASK, max_new_tokens=3).encode(row, TOKENIZER)] == [3]

    def test_a_tokenizer_without_an_end_is_refused(self, tmp_path: Path):
        endless = byte_level(tmp_path)
        endless.role_ids = {}
        with pytest.raises(RecipeError, match="no token that ends a text"):
            end_of(endless)

    def test_what_a_model_has_no_positions_for(self):
        bart, gpt2 = (families[name].from_config(CONFIGS[name] | {"vocab_size": 20, "pad_token_id": 0}) for name in CONFIGS)
        assert list(TASK.misfits(bart)) == list(TASK.misfits(gpt2)) == []
        assert dict(replace(TASK, max_new_tokens=30).misfits(bart)) == {"max_new_tokens": "got 30; the model has 24 positions"}
        [(name, message)] = replace(TASK, max_length=30).misfits(gpt2)
        assert name == "max_length"
        assert "max_length = 30 and max_new_tokens = 12 are one sequence to a decoder alone, and the model has 32 positions" in message
        within = TextToText().within(gpt2)
        assert within.max_length + within.max_new_tokens - 1 == 32
        assert list(within.misfits(gpt2)) == []
        assert (TextToText().within(bart).max_length, TextToText().within(bart).max_new_tokens) == (24, 24)


class TestMeasures:
    examples = (Example({"text": "a b c d", "target": "a b c"}), Example({"text": "e f", "target": ["h", "e g"]}))

    def test_rouge_by_hand(self):
        scores = TASK.metrics(outcome_of(["a b c", "e"], self.examples))
        assert scores["rouge1"] == pytest.approx((1 + 2 / 3) / 2), "against the better of two: 1 of 1 and 1 of 2"
        assert scores["rouge2"] == pytest.approx(0.5)
        assert scores["exact_match"] == 0.5
        assert TASK.correct(outcome_of(["a b c", "e"], self.examples)).tolist() == pytest.approx([1.0, 2 / 3])

    def test_case_and_blanks_do_not_make_a_text_wrong(self):
        examples = [Example({"text": "a", "target": "  A  b "})]
        assert TASK.metrics(outcome_of(["a b"], examples))["exact_match"] == 1

    def test_chinese_is_counted_by_the_character_or_by_the_word(self):
        examples = [Example({"text": "我们", "target": "今天天气很好"})]
        said = outcome_of(["天气很好"], examples)
        assert TASK.metrics(said)["rouge1"] == pytest.approx(0.8)
        assert replace(TASK, unit="word").metrics(said)["rouge1"] < 0.8
        assert replace(TASK, unit="english").metrics(said)["rouge1"] == 0, "which has no word for it"

    def test_written_chinese_has_no_blanks(self):
        assert TASK.decode(outcome_of(["今天天气很好"], [Example({"text": "a"})])) == [{"output": "今天天气很好", "score": 0.5}]
        assert TOKENIZER.text_of(TOKENIZER.encode("我们 a b 好").input_ids) == "我们a b好"

    def test_what_stands_behind_the_end_is_not_part_of_the_text(self):
        ids = TOKENIZER.encode("a b").input_ids
        outcome = Outcome([np.array([0.9, *ids, 7, 8], np.float32)], [], [Example({"text": "a"})], TOKENIZER)
        assert TASK.decode(outcome)[0]["output"] == "a b"
        assert until(np.array([7, 8]), 3).tolist() == [7, 8]

    def test_the_baseline_is_the_beginning_of_the_source(self):
        examples = [Example({"text": "a b. c d. e f.", "target": "a b."}), Example({"text": "g. h.", "target": "h."})]
        found = TASK.baseline(outcome_of(["a", "a"], examples))
        assert found["rougeL"] == pytest.approx(0.5), "the first sentence: right for the one, wrong for the other"
        two = [Example({"text": "a b. c d. e f.", "target": "a b. c d."})]
        assert TASK.baseline(outcome_of(["a"], two))["rougeL"] == 1, "as many sentences as the target has"

    def test_the_interval_holds_the_score(self):
        target = " ".join(LETTERS)
        examples = [Example({"text": "a", "target": target}) for _ in range(30)]
        outcome = outcome_of([target[: 9 + 2 * (number % 4)] for number in range(30)], examples)
        for task in (TASK, replace(TASK, measure="bleu")):
            interval, score = task.interval(outcome), task.metrics(outcome)[task.best_metric]
            assert interval.low < score < interval.high, task.measure

    def test_translations(self):
        task = replace(TASK, measure="bleu")
        outcome = outcome_of(["a b c", "e"], self.examples)
        assert set(task.metrics(outcome)) == {"bleu", "chrf", "exact_match"}
        assert task.correct(outcome)[0] == pytest.approx(1)
        assert task.correct(outcome)[1] < 1
        assert task.baseline(outcome)["chrf"] > 0.4, "the source itself"
        assert {"rougeL", "bleu"} <= set(replace(TASK, measure="both").metrics(outcome))


class TestOpening:
    def test_a_language_model_with_an_encoder_is_taken_to_answer(self):
        bart = replace(made("bart"), stored_heads=frozenset({"lm"}), fresh_heads=frozenset())
        assert isinstance(task_of(bart, "folder"), TextToText)
        assert task_of(bart, "folder") == TextToText(max_length=24, beams=1), "nothing is published, but for the lengths, which are the task's"

    def test_a_decoder_alone_has_to_be_told(self):
        gpt2 = replace(made("gpt2"), stored_heads=frozenset({"lm"}), fresh_heads=frozenset())
        with pytest.raises(Exception, match="was not fine-tuned for a task that is known here"):
            task_of(gpt2, "folder")
        assert isinstance(task_of(gpt2, "folder", "text_to_text"), TextToText)


def test_a_source_is_cut_to_the_positions_that_writing_leaves():
    checkpoint = made("gpt2")
    engine = Engine(checkpoint, TextToText(beams=1), precision="float32")
    assert engine.describe()["max_length"] == 32 + 1 - 16
    assert str(engine.describe()["decoder"]).startswith("fused")
    long, same = engine.predict([Example({"text": "a " * 500}), Example({"text": "a " * 15})])
    assert long == same, "both are [CLS], fifteen letters, [SEP]"


def test_an_engine_writes_what_the_model_itself_writes_and_in_small_pieces():
    checkpoint = made("bart")
    examples = reversals(40, seed=4)
    engine = Engine(checkpoint, TASK, precision="float32")
    rows = list(TASK.encode(examples, TOKENIZER, labelled=False))
    with torch.no_grad():
        plain = TASK.outputs(checkpoint.model, TASK.collate(rows, [], TOKENIZER))
    for fused, ordinary in zip(engine.outputs(rows), plain, strict=True):
        assert np.allclose(fused, ordinary.numpy(), atol=1e-4)
    assert engine.chunk < 1000, "nobody waits for thousands of texts to see the first"
