"""A question, its choices, and the one that is right."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bertsmith.core.errors import DataError
from bertsmith.core.types import Example
from bertsmith.data.dataset import Dataset
from bertsmith.inference.engine import Engine
from bertsmith.models import create
from bertsmith.models.loading import Checkpoint, load, save
from bertsmith.recipe.writing import component_table
from bertsmith.tasks.multiple_choice import MultipleChoice, choice_number
from bertsmith.tasks.opening import task_of
from bertsmith.tasks.outcome import Outcome
from bertsmith.text.tokenizer import Tokenizer
from tests.tasks.sentences import SMALL, TOKENIZER, batch_of, examples

TASK = MultipleChoice()
TWO = {"question": "a", "choices": ["b", "c d"], "context": "e f g", "label": 1}
THREE = {"question": "h", "choices": ["i", "j", "好"], "label": "j"}


def checkpoint() -> Checkpoint:
    return create("bert", TOKENIZER, {**SMALL, "initializer_range": 0.5}, {"choice": 0}, seed=3)


def tokens(ids: np.ndarray) -> str:
    return " ".join(TOKENIZER.token(number) for number in ids)


def test_every_choice_is_a_sequence_behind_context_and_question():
    [row] = TASK.encode(examples(TWO), TOKENIZER)
    assert tokens(row["input_ids"]) == "[CLS] e f g [SEP] a b [SEP] [CLS] e f g [SEP] a c d [SEP]"
    assert row["choices"].tolist() == [8, 9]
    assert row["token_type_ids"].tolist() == [0] * 5 + [1] * 3 + [0] * 5 + [1] * 4
    assert row["label"].tolist() == [1]
    assert row["truncated"].tolist() == [0]


@pytest.mark.parametrize("context", [None, ""])
def test_without_a_context_the_question_comes_first(context: str | None):
    [row] = TASK.encode(examples({**THREE, "context": context}), TOKENIZER)
    assert tokens(row["input_ids"]) == "[CLS] h [SEP] i [SEP] [CLS] h [SEP] j [SEP] [CLS] h [SEP] 好 [SEP]"
    assert row["label"].tolist() == [1]


def test_the_context_is_cut_first_then_the_beginning_of_the_question():
    row = {"question": "a b c", "choices": ["d e", "f"], "context": "g h i j", "label": 0}
    cut, more, most = (next(iter(MultipleChoice(max_length=length).encode(examples(row), TOKENIZER))) for length in (10, 9, 8))
    assert tokens(cut["input_ids"]) == "[CLS] g h [SEP] a b c d e [SEP] [CLS] g h i [SEP] a b c f [SEP]"
    assert cut["truncated"].tolist() == [2 + 1]
    assert tokens(more["input_ids"]) == "[CLS] g [SEP] a b c d e [SEP] [CLS] g h [SEP] a b c f [SEP]"
    assert tokens(most["input_ids"]) == "[CLS] [SEP] a b c d e [SEP] [CLS] g [SEP] a b c f [SEP]"
    [longest] = MultipleChoice(max_length=8).encode(examples({**row, "question": "j i a b c"}), TOKENIZER)
    assert tokens(longest["input_ids"]) == "[CLS] [SEP] a b c d e [SEP] [CLS] [SEP] i a b c f [SEP]"


def test_questions_with_different_numbers_of_choices_are_one_batch():
    batch, rows = batch_of(TASK, examples(TWO, THREE))
    assert batch.input_ids.shape == (5, 9)
    assert batch.attention_mask.sum(1).tolist() == [8, 9, 5, 5, 5]
    assert batch.counts == {"multiple_choice": 2}
    assert len(rows[0]["input_ids"]) == 17, "batches by tokens count the tokens of all choices"
    with torch.no_grad():
        outputs = TASK.outputs(checkpoint().model, batch)
        alone = [TASK.outputs(checkpoint().model, batch_of(TASK, examples(row))[0])[0] for row in (TWO, THREE)]
    assert [len(output) for output in outputs] == [2, 3]
    for together, single in zip(outputs, alone, strict=True):
        assert torch.allclose(together, single, atol=1e-5)


def test_the_loss_is_the_cross_entropy_of_each_question_summed(monkeypatch: pytest.MonkeyPatch):
    batch, _ = batch_of(TASK, examples(TWO, THREE))
    scores = [torch.tensor([0.0, 1.0], requires_grad=True), torch.tensor([2.0, 0.0, 1.0], requires_grad=True)]
    monkeypatch.setattr(MultipleChoice, "outputs", lambda *_: scores)
    loss = TASK.loss(checkpoint().model, batch)["multiple_choice"]
    expected = np.log(1 + np.exp(-1)) + np.log(1 + np.exp(2) + np.exp(1))
    assert loss.item() == pytest.approx(expected, abs=1e-5)
    loss.backward()
    for given, right in zip(scores, (1, 1), strict=True):
        gradient = given.detach().softmax(0)
        gradient[right] -= 1
        assert given.grad is not None
        assert torch.allclose(given.grad, gradient, atol=1e-6), "padding takes no part"


def test_what_nothing_can_be_predicted_for():
    rows = examples({"question": "q", "choices": ["a"]}, {"question": "q", "choices": ["a", "b"]}, {"question": "q", "choices": "ab"})
    assert [TASK.wrong_input(row) for row in rows] == [
        "choices has only 'a'; at least two are needed",
        "",
        "choices is 'ab' (str), not a list of texts",
    ]


def test_predictions_metrics_and_the_random_baseline():
    rows = list(TASK.encode(examples(TWO, THREE), TOKENIZER))
    outcome = Outcome([np.array([0.0, np.log(3)], np.float32), np.array([0.0, 0.0, 5.0], np.float32)], rows, examples(TWO, THREE))
    first, second = TASK.decode(outcome)
    assert first == {"choice": "c d", "label": 1, "score": 0.75, "scores": [0.25, 0.75]}
    assert (second["choice"], second["label"], len(second["scores"])) == ("好", 2, 3)
    assert TASK.metrics(outcome) == {"accuracy": 0.5}
    assert TASK.correct(outcome).tolist() == [1.0, 0.0]
    assert TASK.baseline(outcome) == {"accuracy": pytest.approx((1 / 2 + 1 / 3) / 2)}
    assert [TASK.gold(example) for example in outcome.examples] == ["c d", "j"]
    assert TASK.gold(Example({"question": "a", "choices": ["b", "c"]})) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"choices": []}, "choices is empty"),
        ({"choices": ["b"]}, "choices has only 'b'; at least two are needed"),
        ({"choices": "b,c"}, "choices is 'b,c' (str), not a list of texts"),
        ({"choices": None}, "no choices"),
        ({"choices": ["b", 7]}, "choice 1 is '7' (int), not a text"),
        ({"choices": ["b", " "]}, "choice 1 is empty"),
        ({"question": "  "}, "question is empty"),
        ({"question": None}, "no question"),
        ({"context": ["e"]}, "context is \"['e']\" (list), not a text"),
        ({"label": 2}, "label 2 is no choice: there are 2, numbered from 0 to 1"),
        ({"label": -1}, "label -1 is no choice: there are 2, numbered from 0 to 1"),
        ({"label": "x"}, "label 'x' is none of the choices 'b', 'c d'"),
        ({"label": "--1"}, "label '--1' is none of the choices 'b', 'c d'"),
        ({"label": True}, "label 'True' is none of the choices 'b', 'c d'"),
        ({"label": None}, "no label"),
        ({"label": ""}, "no label"),
        ({"question": "", "choices": []}, "question is empty; choices is empty"),
    ],
)
def test_every_mistake_is_listed_with_its_place(change: dict[str, Any], message: str):
    with pytest.raises(DataError) as caught:
        list(TASK.encode(examples(TWO, {**TWO, **change}, THREE, {**TWO, **change}), TOKENIZER))
    assert caught.value.problems == (f"train.tsv:3: {message}", f"train.tsv:5: {message}")


@pytest.mark.parametrize(("label", "settled"), [(0, 0), (3, 0), ("b", 0), (2, 2), ("d", 2)])
def test_a_choice_that_is_there_twice_is_left_out_and_counted(label: Any, settled: int):
    data = Dataset(examples(TWO, {**THREE, "choices": ["b", "c ", "d", " b"], "label": label}))
    found = TASK.settled(data, training=True)
    assert found.mended == {"a choice was there twice; one of the two was left out": 1}
    assert [str(row) for row in found.mended_rows] == ["train.tsv:3: a choice was there twice; one of the two was left out"]
    assert found[0] is data[0]
    assert (found[1]["choices"], found[1]["label"], found[1].where) == (["b", "c", "d"], settled, "train.tsv:3")


def test_what_cannot_be_mended_is_left_to_be_listed():
    data = Dataset(examples({**TWO, "choices": ["b", "b"], "label": 5}, {**TWO, "choices": ["b", "b"], "label": 1}, {**TWO, "choices": [1, 1]}))
    found = TASK.settled(data)
    assert [found[0], found[2]] == [data[0], data[2]]
    with pytest.raises(DataError) as caught:
        list(TASK.encode(found, TOKENIZER))
    assert [problem.partition(": ")[2] for problem in caught.value.problems] == [
        "label 5 is no choice: there are 2, numbered from 0 to 1",
        "choices has only 'b'; at least two are needed",
        "choice 0 is '1' (int), not a text; choice 1 is '1' (int), not a text",
    ]


@pytest.mark.parametrize(("label", "number"), [(0, 0), ("1", 0), (1, 1), (1.0, 1), ("2", 2), (" no", 1)])
def test_a_label_is_a_number_or_a_choice(label: Any, number: int):
    assert choice_number(label, ["1", "no", "x"]) == number


def test_labels_are_not_for_it():
    with pytest.raises(ValueError, match="every question has choices of its own"):
        MultipleChoice(labels=("a", "b"))
    assert TASK.fitted(examples(TWO)) == TASK


def test_a_saved_model_answers_as_before(tmp_path: Path):
    made = checkpoint()
    save(Checkpoint(made.model, made.tokenizer, (), {**component_table(TASK), "problem_type": TASK.problem_type}), tmp_path)
    opened = load(str(tmp_path))
    assert opened.stored_heads == {"choice"}
    assert task_of(opened, "it") == TASK
    (tmp_path / "bertsmith.json").unlink()
    assert task_of(load(str(tmp_path)), "it").name == "multiple_choice", "the head tells"
    unlabelled = [{name: value for name, value in row.items() if name != "label"} for row in (TWO, THREE)]
    found = list(Engine(opened, TASK, precision="float32").predict(examples(*unlabelled)))
    with torch.no_grad():
        outputs = TASK.outputs(made.model, batch_of(TASK, examples(TWO, THREE))[0])
    for said, output in zip(found, outputs, strict=True):
        assert said["scores"] == pytest.approx(output.softmax(0).tolist(), abs=1e-5)
        assert said["label"] == int(output.argmax())


def test_a_fresh_head_keeps_the_pooler_of_the_model(tmp_path: Path):
    pretrained = create("bert", TOKENIZER, SMALL, {"mlm": 0, "nsp": 0})
    save(pretrained, tmp_path)
    opened = load(str(tmp_path), {"choice": 0})
    assert opened.fresh_heads == {"choice"}
    ours, theirs = opened.model.heads["choice"].state_dict(), pretrained.model.heads["nsp"].state_dict()
    assert torch.equal(ours["pooler.dense.weight"], theirs["pooler.dense.weight"])


def test_texts_keep_their_words_apart():
    tokenizer = Tokenizer.from_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "who", "me", "##me", "x"])
    [row] = TASK.encode(examples({"question": "who", "choices": ["me", "x"], "context": "x", "label": 0}), tokenizer)
    assert [tokenizer.token(number) for number in row["input_ids"]][:6] == ["[CLS]", "x", "[SEP]", "who", "me", "[SEP]"]
