"""One label by way of a gap in a sentence."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from bertsmith.core.errors import CheckpointError, DataError, RecipeError
from bertsmith.core.types import Example
from bertsmith.inference.engine import Engine
from bertsmith.models import Checkpoint, create, families, load, save
from bertsmith.models.family import Model
from bertsmith.tasks.opening import task_of
from bertsmith.tasks.outcome import Outcome
from bertsmith.tasks.prompted import Prompted
from bertsmith.testing import check_task
from bertsmith.testing.tiny import TEXTS, randomise, tiny_family, tiny_tokenizer
from bertsmith.text.tokenizer import Tokenizer
from tests.tasks.sentences import SMALL, TOKENIZER, batch_of, examples, labelled

LETTERS = {"yes": ("a", "b"), "no": "c"}
TASK = Prompted(template="{text}好[MASK]", verbalizer=LETTERS)
LONG = Prompted(template="{text}[MASK]差", verbalizer={"yes": ("a", "b c"), "no": ("d", "好 差 e")})
"""Words of one, two and three tokens."""


def saying(shares: dict[str, float]) -> Model:
    """A model that gives these probabilities to these tokens in every gap."""
    model = create("bert", TOKENIZER, SMALL, {"mlm": 0}).model
    scores = torch.full((TOKENIZER.vocabulary_size,), -100.0)
    for token, share in shares.items():
        number = TOKENIZER.id(token)
        assert number is not None
        scores[number] = math.log(share)
    with torch.no_grad():
        model.heads["mlm"].get_parameter("norm.weight").zero_()
        model.heads["mlm"].get_parameter("norm.bias").zero_()
        model.heads["mlm"].get_parameter("bias").copy_(scores)
    return model


def said(task: Prompted, model: Model, rows: Sequence[Example]) -> Outcome:
    batch, features = batch_of(task, rows)
    with torch.no_grad():
        return Outcome([output.numpy() for output in task.outputs(model, batch)], features, rows, TOKENIZER)


class TestOptions:
    def test_labels_are_those_of_the_verbalizer_in_its_order(self):
        assert TASK.labels == ("yes", "no")
        assert TASK.words == {"yes": ("a", "b"), "no": ("c",)}
        assert Prompted(labels=("no", "yes"), verbalizer=LETTERS).words == {"no": ("c",), "yes": ("a", "b")}

    def test_without_a_verbalizer_labels_are_their_own_words(self):
        task = Prompted().fitted(labelled("b", "a"))
        assert task.words == {"a": ("a",), "b": ("b",)}

    def test_the_training_data_does_not_change_what_is_given(self):
        assert TASK.fitted(labelled("yes", "yes")) == TASK

    @pytest.mark.parametrize(
        ("options", "wrong"),
        [
            (
                {"template": "{text}", "verbalizer": {"a": (), "b": "x"}},
                ["template is '{text}': it has no [MASK]", "verbalizer gives no words to 'a'"],
            ),
            (
                {"labels": ("a", "c"), "verbalizer": {"a": "x", "b": "y"}},
                ["no words for the label 'c'", "words for 'b', which is not one of the labels"],
            ),
            ({"verbalizer": {"a": "x", "b": ("y", "x")}}, ["verbalizer gives the word 'x' to 'a' and to 'b'"]),
            ({"verbalizer": {"a": "x"}}, ["labels has only 'a'; a classifier needs at least two"]),
            ({"max_length": 3}, ["max_length is 3"]),
        ],
    )
    def test_impossible_ones_are_refused_all_at_once(self, options: dict[str, Any], wrong: list[str]):
        with pytest.raises(ValueError, match=r"\w") as caught:
            Prompted(**options)
        assert [part for part in wrong if part not in str(caught.value)] == []

    def test_what_the_vocabulary_cannot_do_is_said_before_anything_is_encoded(self):
        with pytest.raises(RecipeError, match="the task 'prompted' has no labels; give a verbalizer: verbalizer ="):
            Prompted().check(TOKENIZER)
        with pytest.raises(RecipeError) as caught:
            list(Prompted(verbalizer={"yes": "甲", "no": ("a", "乙")}).encode(iter(()), TOKENIZER))
        assert len(caught.value.problems) == 2
        with pytest.raises(RecipeError, match="take 7 tokens"):
            Prompted(template="{text} a b [MASK]", verbalizer={"yes": "a b c", "no": "c"}, max_length=14).check(TOKENIZER)

    def test_the_head_must_be_trained_unless_it_is_told_otherwise(self):
        assert TASK.heads()["mlm"].pretrained
        assert not Prompted(verbalizer=LETTERS, untrained_head=True).heads()["mlm"].pretrained


class TestEncoding:
    def test_features_of_words_of_one_token(self):
        [row] = TASK.encode(examples({"text": "d e", "label": "no"}), TOKENIZER)
        assert {name: (values.tolist(), values.dtype.name) for name, values in row.items()} == {
            "input_ids": ([2, 8, 9, 15, 4, 3], "int32"),
            "lengths": ([6], "int32"),
            "gaps": ([4], "int32"),
            "truncated": ([0], "int32"),
            "label": ([1], "int64"),
        }

    def test_words_of_several_lengths_have_a_sequence_for_every_length(self):
        batch, [row, _] = batch_of(LONG, examples({"text": "d", "label": "no"}, {"text": "d e", "label": "yes"}))
        assert row["input_ids"].tolist() == [2, 8, 4, 16, 3, 2, 8, 4, 4, 16, 3, 2, 8, 4, 4, 4, 16, 3]
        assert row["lengths"].tolist() == [5, 6, 7]
        assert batch.input_ids.tolist()[:3] == [[2, 8, 4, 16, 3, 0, 0, 0], [2, 8, 4, 4, 16, 3, 0, 0], [2, 8, 4, 4, 4, 16, 3, 0]]
        assert batch.attention_mask.sum(1).tolist() == [5, 6, 7, 6, 7, 8]
        assert torch.equal(batch.labels["gaps"], batch.input_ids == TOKENIZER.mask_id)
        assert batch.counts == {"prompted": 2}

    def test_every_length_sees_the_same_text_and_none_is_too_long(self):
        task = Prompted(template="{text}[MASK]差", verbalizer=LONG.verbalizer, max_length=14)
        [row] = task.encode(examples({"text": "d e f g h i j a b c", "label": "no"}), TOKENIZER)
        sequences = np.split(row["input_ids"], np.cumsum(row["lengths"])[:-1])
        assert [len(sequence) for sequence in sequences] == [12, 13, 14]
        assert len({tuple(sequence[:9]) for sequence in sequences}) == 1
        assert all(sequence[-2:].tolist() == [16, 3] for sequence in sequences)
        assert row["truncated"].tolist() == [2]

    def test_a_mask_in_the_text_is_not_scored(self):
        batch, _ = batch_of(TASK, examples({"text": "[MASK] a [MASK]", "label": "no"}))
        assert batch.labels["gaps"].nonzero().tolist() == [[0, 5]]

    def test_the_texts_of_the_template_are_needed(self):
        task = Prompted(template="{text}[MASK]{text_pair}", verbalizer=LETTERS)
        with pytest.raises(DataError) as caught:
            list(
                task.encode(examples({"text": "a", "label": "no"}, {"text_pair": "a", "label": "maybe"}, {"text": "a", "text_pair": "b"}), TOKENIZER)
            )
        assert caught.value.problems == ("train.tsv:2: no text_pair", "train.tsv:3: no text", "train.tsv:4: no label")
        assert [row["input_ids"].tolist() for row in task.encode(examples({"text": "a", "text_pair": "b"}), TOKENIZER, labelled=False)] == [
            [2, 5, 4, 6, 3]
        ]

    def test_a_second_text_that_the_template_does_not_take_is_not_read(self):
        [row] = TASK.encode(examples({"text": "a", "text_pair": "b", "label": "no"}), TOKENIZER)
        assert row["input_ids"].tolist() == [2, 5, 15, 4, 3]


class TestScores:
    def test_of_words_of_one_token(self):
        model = saying({"a": 0.4, "b": 0.1, "c": 0.3, "d": 0.2})
        outcome = said(TASK, model, labelled("yes", "no"))
        assert np.exp(outcome.scores[0]).tolist() == pytest.approx([0.4, 0.1, 0.3], rel=1e-5)
        share = 0.2 / (0.2 + 0.3)  # √(0.4 · 0.1) against 0.3
        assert TASK.decode(outcome)[0] == {
            "label": "no",
            "score": pytest.approx(0.6),
            "scores": {"yes": pytest.approx(share), "no": pytest.approx(0.6)},
        }
        assert TASK.metrics(outcome)["accuracy"] == 0.5
        assert TASK.correct(outcome).tolist() == [0, 1]

    def test_of_words_of_several_tokens(self):
        model = saying({"a": 0.4, "b": 0.1, "c": 0.2, "d": 0.1, "好": 0.1, "差": 0.05, "e": 0.05})
        [found] = np.exp(said(LONG, model, labelled("yes")).scores)
        assert found.tolist() == pytest.approx([0.4, 0.1 * 0.2, 0.1, 0.1 * 0.05 * 0.05], rel=1e-5)

    def test_of_words_of_several_tokens_by_their_mean(self):
        model = saying({"a": 0.4, "b": 0.1, "c": 0.2, "d": 0.1, "好": 0.1, "差": 0.05, "e": 0.05})
        task = Prompted(template=LONG.template, verbalizer=LONG.verbalizer, scoring="mean")
        [found] = np.exp(said(task, model, labelled("yes")).scores)
        assert found.tolist() == pytest.approx([0.4, math.sqrt(0.1 * 0.2), 0.1, (0.1 * 0.05 * 0.05) ** (1 / 3)], rel=1e-5)

    def test_what_a_word_gets_without_a_text_can_be_taken_off(self):
        verbalizer = {"yes": ("a", "b c"), "no": "d"}
        model = create("bert", TOKENIZER, {**SMALL, "initializer_range": 0.5}, {"mlm": 0}).model
        rows = examples({"text": "e f g", "label": "yes"}, {"text": "h", "label": "no"})
        for scoring in ("joint", "mean"):
            plain = Prompted(template="好{text}[MASK]差", verbalizer=verbalizer, scoring=scoring)
            calibrated = replace(plain, calibrate=True)
            [nothing] = said(plain, model, examples({"text": "", "label": "no"})).scores
            np.testing.assert_allclose(said(calibrated, model, rows).scores, said(plain, model, rows).scores - nothing, atol=1e-5)

    def test_what_is_marked_is_the_gap(self):
        outcome = said(TASK, saying({"a": 0.4, "b": 0.1, "c": 0.3, "d": 0.2}), examples({"text": "d [MASK]", "label": "no"}))
        found = TASK.marked(outcome)
        assert found.text == "d [MASK]好[MASK]"
        assert [(mark.start, mark.end, mark.name) for mark in found.marks] == [(9, 15, "no")]
        assert found.marks[0].score == pytest.approx(0.6, abs=1e-5)
        assert dict(zip(found.names, found.scores[0].tolist(), strict=True)) == pytest.approx({"a": 0.5, "b": 0.125, "c": 0.375}, abs=1e-5)
        assert found.spans.tolist() == [[9, 15]]

    def test_the_loss_is_minus_the_log_of_the_right_labels_share_summed(self):
        model = saying({"a": 0.4, "b": 0.1, "c": 0.3, "d": 0.2})
        batch, _ = batch_of(TASK, labelled("yes", "no", "no"))
        assert TASK.loss(model, batch)["prompted"].item() == pytest.approx(-math.log(0.4) - 2 * math.log(0.6), rel=1e-5)

    def test_nothing_said_is_nothing_decoded(self):
        assert TASK.decode(Outcome([])) == []

    def test_the_commonest_label_is_the_baseline(self):
        outcome = said(TASK, saying({"a": 1.0, "b": 1.0, "c": 1.0}), labelled("yes", "no", "no"))
        assert TASK.baseline(outcome)["accuracy"] == pytest.approx(2 / 3)


def peers(family: str, words: Sequence[str], folder: Path) -> tuple[Checkpoint, Any]:
    """One random model, here and in `transformers`."""
    kind = families[family]
    tokenizer = tiny_tokenizer(tiny_family(kind), [*TEXTS, *words, "It was、。"])
    config = tiny_family(kind, {"vocab_size": tokenizer.vocabulary_size}, longest=256).to_config()
    checkpoint = create(family, tokenizer, {name: value for name, value in config.items() if name != "model_type"}, {"mlm": 0})
    randomise(checkpoint.model, seed=3)
    save(checkpoint, folder)
    return load(str(folder)), transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()


def expected(peer: Any, tokenizer: Tokenizer, text: str, word: str, before: str, after: str) -> Tensor:
    """The log probability of a word in its gap, token by token, as one would write it down: `text` + `before` + word + `after`."""
    ids = tokenizer.encode(text + before + word + after).input_ids.tolist()
    rest = tokenizer.encode(text + before.rstrip()).input_ids[:-1].tolist()
    end = len(ids) - len(tokenizer.pieces(after).input_ids) - 1
    hidden = [number if not len(rest) <= place < end else tokenizer.mask_id for place, number in enumerate(ids)]
    with torch.no_grad():
        scores = peer(input_ids=torch.tensor([hidden])).logits[0].log_softmax(1)
    return torch.stack([scores[place, ids[place]] for place in range(len(rest), end)]).sum()


@pytest.mark.parametrize("family", ["bert", "roberta", "albert", "distilbert", "modernbert", "electra", "xlm-roberta"])
def test_words_have_the_probability_that_a_masked_language_model_of_transformers_gives_them(family: str, tmp_path: Path):
    verbalizer = {"good": ("好", "很好"), "bad": ("差", "一点也不好"), "so so": "真"}
    words = [word for words in verbalizer.values() for word in ([words] if isinstance(words, str) else words)]
    checkpoint, peer = peers(family, words, tmp_path / "model")
    task = Prompted(template="{text} It was [MASK]。", verbalizer=verbalizer, max_length=256)
    rows = list(task.encode([Example({"text": text}) for text in TEXTS], checkpoint.tokenizer, labelled=False))
    with torch.no_grad():
        found = torch.stack(list(task.outputs(checkpoint.model, task.collate(rows, [], checkpoint.tokenizer))))
    wanted = [[expected(peer, checkpoint.tokenizer, text, word, " It was ", "。") for word in words] for text in TEXTS]
    torch.testing.assert_close(found, torch.tensor(wanted), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_one_token_in_a_gap_is_what_the_fill_mask_pipeline_says(family: str, tmp_path: Path):
    letters = ("x", "y", "z")
    checkpoint, peer = peers(family, letters, tmp_path / "model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    fill = transformers.pipeline("fill-mask", model=peer, tokenizer=tokenizer, device="cpu")
    task = Prompted(template="{text}([MASK])", verbalizer={letter: letter for letter in letters}, max_length=256)
    engine = Engine(checkpoint, task, precision="float32")
    for text, prediction in zip(TEXTS, engine.predict([Example({"text": text}) for text in TEXTS]), strict=True):
        said = {one["token_str"].strip(): one["score"] for one in fill(f"{text}({tokenizer.mask_token})", targets=list(letters))}
        total = sum(said.values())
        assert prediction["scores"] == pytest.approx({letter: said[letter] / total for letter in letters}, abs=1e-4)


@pytest.mark.parametrize(("family", "scoring"), [("bert", "joint"), ("bert", "mean"), ("roberta", "joint"), ("modernbert", "mean")])
def test_words_of_several_lengths_conform(family: str, scoring: Any):
    verbalizer = {"0": ("好", "很好"), "1": ("差", "一点也不好"), "2": "一般"}
    rows = [
        Example({"text": text, "text_pair": TEXTS[-1 - number], "label": str(number % 3), "words": "很好差一点也不一般，？"}, "train.tsv", number + 1)
        for number, text in enumerate(TEXTS)
    ]
    options: Any = {"max_length": 400, "scoring": scoring, "calibrate": scoring == "mean"}  # a character is three tokens where they are bytes
    check_task(Prompted(template="{text}？[MASK]，{text_pair}", verbalizer=verbalizer, **options), examples=rows, family=family)


class TestFolders:
    def made(self, folder: Path, heads: dict[str, int]) -> str:
        save(create("bert", TOKENIZER, SMALL, heads), folder)
        return str(folder)

    def test_a_table_is_all_that_a_pretrained_model_needs(self, tmp_path: Path):
        model = self.made(tmp_path / "model", {"mlm": 0})
        table = {"name": "prompted", "template": "{text}好[MASK]", "verbalizer": {"yes": ["a", "b"], "no": "c"}}
        task = task_of(load(model), model, table)
        assert task == Prompted(template="{text}好[MASK]", verbalizer=LETTERS, max_length=128)
        [prediction] = Engine.open(model, table).predict([Example({"text": "d"})])
        assert sum(prediction["scores"].values()) == pytest.approx(1, abs=1e-5)

    def test_a_model_without_the_head_is_refused_with_the_way_out(self, tmp_path: Path):
        model = self.made(tmp_path / "model", {})
        with pytest.raises(CheckpointError, match=r"holds no trained mlm head, so it cannot fill a hidden token\. Continue pre-training first"):
            task_of(load(model), model, {"name": "prompted", "verbalizer": {"yes": "a", "no": "b"}})

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ({"name": "prompted"}, "the task 'prompted' has no labels; give a verbalizer"),
            (
                {"name": "prompted", "verbalizer": {"yes": "甲", "no": "b"}},
                "'甲' of the label 'yes' has something in it that the vocabulary cannot write",
            ),
            ({"name": "prompted", "verbalizer": {"yes": 3}}, "it must be a table, each value a string or a list of strings"),
            ({"name": "prompted", "templat": "{text}"}, "task.templat: unknown key (did you mean 'template'?)"),
            ({"name": ["prompted"]}, "it must be a string"),
            ("prompted", "see `bertsmith tasks prompted`"),
        ],
    )
    def test_tables_that_cannot_be_used(self, tmp_path: Path, table: Any, message: str):
        model = self.made(tmp_path / "model", {"mlm": 0})
        with pytest.raises((RecipeError, CheckpointError)) as caught:
            task_of(load(model), model, table)
        assert message in str(caught.value)

    def test_a_table_counts_whatever_the_folder_says(self, tmp_path: Path):
        checkpoint = create("bert", TOKENIZER, SMALL, {"mlm": 0})
        task = {"name": "prompted", "labels": ["yes", "no"], "verbalizer": {"yes": "a", "no": "b"}}
        save(Checkpoint(checkpoint.model, TOKENIZER, task=task), tmp_path / "model")
        model = str(tmp_path / "model")
        assert json.loads((tmp_path / "model/bertsmith.json").read_text())["task"] == task
        assert task_of(load(model), model).labels == ("yes", "no")
        assert task_of(load(model), model, {"name": "prompted", "verbalizer": {"1": "c", "0": "d"}}).labels == ("1", "0")
