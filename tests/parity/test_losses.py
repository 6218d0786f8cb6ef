"""Losses of objectives and tasks are those that `transformers` computes itself, with the gradients of all weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bertsmith.core.randomness import generator_at
from bertsmith.core.types import IGNORED, Batch, Example
from bertsmith.objectives import Objective
from bertsmith.objectives.mlm import MaskedLanguageModel
from bertsmith.tasks.multi_label import MultiLabel
from bertsmith.tasks.multiple_choice import MultipleChoice
from bertsmith.tasks.pair import SentencePair
from bertsmith.tasks.regression import Regression
from bertsmith.tasks.single import SingleSentence
from bertsmith.text.tokenizer import Tokenizer
from tests.parity.peers import LABELS, VOCABULARY, Pair, as_choices, assert_close, assert_gradients_equal, inputs, pair, ragged

FIVE = torch.tensor([0, 2, 1, 1, 0])
NAMES = ("a", "b", "c")
assert len(NAMES) == LABELS

TASKS: dict[str, tuple[Objective, Tensor, Tensor]] = {
    "single": (SingleSentence(labels=NAMES), FIVE[:, None], FIVE),
    "pair": (SentencePair(labels=NAMES), FIVE[:, None], FIVE),
    "multi_label": (MultiLabel(labels=NAMES), *[(torch.arange(15).view(5, 3) % 4 == 0).float()] * 2),
    "regression": (Regression(labels=("score",)), *[torch.tensor([[0.5], [-1.0], [2.0], [0.0], [3.5]])] * 2),
}


def assert_same_loss(both: Pair, objective: Objective, batch: Batch, labels: Tensor) -> None:
    [(name, summed)] = objective.loss(both.checkpoint.model, batch).items()
    loss, expected = summed / batch.counts[name], both.peer(**inputs(batch), labels=labels).loss
    assert_close(loss, expected, "loss")
    loss.backward()
    expected.backward()
    assert assert_gradients_equal(both) > 30


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta"])
@pytest.mark.parametrize("name", TASKS)
def test_a_tasks_loss_is_equal(family: str, name: str, tmp_path: Path):
    task, ours, theirs = TASKS[name]
    problem: dict[str, Any] = {"problem_type": getattr(task, "problem_type", None), "num_labels": 1 if name == "regression" else LABELS}
    both = pair(family, "classification", tmp_path, **problem)
    batch = ragged(family)
    assert_same_loss(both, task, Batch(**inputs(batch), labels={"label": ours}, counts={name: 5}), theirs)


@pytest.mark.parametrize("family", ["bert", "roberta", "electra", "modernbert"])
def test_the_loss_of_multiple_choice_is_equal(family: str, tmp_path: Path):
    both, batch, right = pair(family, "choice", tmp_path), ragged(family, lengths=(7, 3, 12, 12, 1, 5)), torch.tensor([2, 0])
    labels = {"label": right[:, None], "choices": torch.tensor([3, 3])}
    counted = Batch(batch.input_ids, batch.attention_mask, batch.token_type_ids, labels, {"multiple_choice": 2})
    loss = MultipleChoice().loss(both.checkpoint.model, counted)["multiple_choice"] / 2
    expected = both.peer(**as_choices(inputs(batch, both.peer), 3), labels=right).loss
    assert_close(loss, expected, "loss")
    loss.backward()
    expected.backward()
    assert assert_gradients_equal(both) > 20


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta"])
def test_the_loss_of_masked_language_modelling_is_equal(family: str, tmp_path: Path):
    batch = ragged(family)
    hidden = (torch.rand(batch.input_ids.shape, generator=torch.Generator().manual_seed(4)) < 0.4) & batch.attention_mask.bool()
    labels = batch.input_ids.masked_fill(~hidden, IGNORED)
    counted = Batch(**inputs(batch), labels={"mlm": labels}, counts={"mlm": int(hidden.sum())})
    assert_same_loss(pair(family, "mlm", tmp_path), MaskedLanguageModel(), counted, labels)


def test_masked_language_modelling_takes_the_same_steps(tmp_path: Path):
    """Masks of our own drawing, new ones at every step; the optimiser is that of torch on both sides."""
    both, objective, tokenizer = pair("bert", "mlm", tmp_path), MaskedLanguageModel(unit="token", max_length=20), Tokenizer.from_tokens(VOCABULARY)
    rows = list(objective.encode([Example({"text": "中国人在这个大国上" * repeats}) for repeats in (1, 2, 1)], tokenizer))
    options: dict[str, Any] = {"lr": 1e-3, "weight_decay": 0.01}
    ours, theirs = torch.optim.AdamW(both.checkpoint.model.parameters(), **options), torch.optim.AdamW(both.peer.parameters(), **options)
    losses: list[float] = []
    for step in range(8):
        batch = objective.collate(rows, [generator_at(1, step, row) for row in range(len(rows))], tokenizer)
        loss = objective.loss(both.checkpoint.model, batch)["mlm"] / batch.counts["mlm"]
        expected = both.peer(**inputs(batch), labels=batch.labels["mlm"]).loss
        assert_close(loss, expected, f"loss of step {step}")
        for term, optimiser in ((loss, ours), (expected, theirs)):
            optimiser.zero_grad()
            term.backward()
            optimiser.step()
        losses.append(loss.item())
    assert len(set(losses)) == 8, "every step has its own masks and weights"
