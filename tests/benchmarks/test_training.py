"""The arithmetic of the training race and its page; the race itself is no test."""

import numpy as np
import pytest
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.training import SIDES, check_start, curve, mean_and_deviation, report, within_noise
from benchmarks.training_sides import training_flops
from bertsmith.core.randomness import generator_at
from bertsmith.layers.heads import VocabularyHead
from bertsmith.models import create
from bertsmith.models.family import Model
from bertsmith.objectives.mlm import MaskedLanguageModel
from bertsmith.tasks.single import SingleSentence
from bertsmith.text.tokenizer import Tokenizer

SHAPE = {"layers": 2, "hidden": 16, "inner": 24}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]


def counted(objective, head: dict[str, int], rows: list[dict[str, np.ndarray]]) -> int:
    """What PyTorch counts over a forward and a backward pass."""
    config = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    checkpoint = create("bert", Tokenizer.from_tokens(WORDS), config, head)
    batch = objective.collate(rows, [generator_at(0, row) for row in range(len(rows))], checkpoint.tokenizer)
    with FlopCounterMode(display=False) as counter:
        (loss,) = objective.loss(checkpoint.model.train(), batch).values()
        loss.backward()
    return counter.get_total_flops()


def rows_of(lengths: list[int], **fields: np.ndarray) -> list[dict[str, np.ndarray]]:
    ids = [np.r_[2, np.arange(length - 2) % 20 + 5, 3].astype(np.int32) for length in lengths]
    return [{"input_ids": row, "word_starts": np.ones(len(row), np.uint8), **fields} for row in ids]


def compute_every_state(monkeypatch: pytest.MonkeyPatch):
    """As the other sides do, and by products that PyTorch counts: those that add to what is there are none of them."""
    monkeypatch.setattr(Model, "forward", lambda self, batch, **_: self.backbone(batch))
    monkeypatch.setattr(VocabularyHead, "loss", lambda self, states, labels: F.cross_entropy(self(states), labels, reduction="sum"))


@pytest.mark.parametrize("lengths", [[9], [12, 12, 12], [5, 30]])
def test_the_arithmetic_of_fine_tuning_is_what_pytorch_counts(lengths: list[int], monkeypatch: pytest.MonkeyPatch):
    compute_every_state(monkeypatch)
    task = SingleSentence(labels=("a", "b", "c"))
    expected = counted(task, {"classification": 3}, rows_of(lengths, label=np.array([1], np.int64)))
    assert training_flops({**SHAPE, "labels": 3}, lengths) == expected


@pytest.mark.parametrize("lengths", [[9], [22, 22], [8, 40]])
def test_the_arithmetic_of_pre_training_is_what_pytorch_counts(lengths: list[int], monkeypatch: pytest.MonkeyPatch):
    compute_every_state(monkeypatch)
    expected = counted(MaskedLanguageModel(unit="token"), {"mlm": 0}, rows_of(lengths))
    assert training_flops({**SHAPE, "vocabulary": len(WORDS)}, lengths) == expected


def test_means_are_shown_with_their_deviation():
    assert mean_and_deviation([1.0, 2.0, 3.0]) == "2.000 ± 1.000"
    assert mean_and_deviation([1.0]) == "1.000"


def test_a_curve_has_equal_parts():
    assert curve([4.0, 2.0, 1.0, 1.0], 2) == [3.0, 1.0]
    assert curve([4.0, 2.0]) == [4.0, 2.0]
    parts = curve(list(range(25)))
    assert len(parts) == 10
    assert parts == sorted(parts)


def test_noise_is_told_from_a_difference():
    assert within_noise([1.00, 1.02, 0.98], [1.01, 0.99, 1.03]) is True
    assert within_noise([1.00, 1.02, 0.98], [1.51, 1.49, 1.53]) is False
    assert within_noise([1.0], [1.0]) is None


def run(seconds: float, held_out: float) -> dict:
    accuracy = {"dev": held_out / 2, "test": held_out / 4}
    return {"seconds": seconds, "peak": 500.0, "precision": "float32", "losses": [2.0, held_out], "held_out": [2.0, held_out], "accuracy": accuracy}


def results() -> dict:
    runs = {
        "bertsmith": [run(1.0, 1.00), run(2.0, 1.02), run(1.0, 0.98)],
        "plain": [run(4.0, 1.50), run(6.0, 1.51), run(5.0, 1.49)],
        "best": [run(2.0, 1.01), run(2.0, 0.99), run(2.0, 1.03)],
    }
    data = {
        "updates": 2,
        "epochs": 1,
        "tokens": 1200,
        "median_length": 20,
        "longest": 40,
        "held_out": 8,
        "shape": {**SHAPE, "labels": 2},
        "flops": 4e9,
        "threads": 2,
    }
    conditions = {
        "processor": "A",
        "cores": 2,
        "instructions": ["avx2"],
        "load": 0.1,
        "date": "2020-02-02",
        "versions": {"torch": "1"},
        "command": "run",
    }
    floor = [{"float32": 16.0}, {"float32": 99.0}, {"float32": 15.0}]
    return {"finetune": {"quick": False, "repetitions": 3, "conditions": conditions, "data": data, "runs": {**runs, "floor": floor}}}


def test_the_page_compares_within_repetitions():
    page = report(results())
    assert "| bertsmith | float32 | 1,200 (600–1,200) | 4.00 (3.00–5.00) | 2.00 (1.00–2.00) | 500 (500–500) | 25% |" in page
    assert "| transformers, as it comes | 2.000 ± 0.000 | 1.500 ± 0.010 | 2.0000 | 1.500 ± 0.010 | differs |" in page
    assert "| transformers, best setting | 2.000 ± 0.000 | 1.010 ± 0.020 | 2.0000 | 1.010 ± 0.020 | within noise |" in page
    assert "16 GFLOP/s in float32" in page
    assert "smoke" not in page


def test_the_page_tells_how_long_a_whole_training_took_and_what_came_of_it():
    page = report(results())
    assert "| bertsmith | 1 (1–2) | 50.0 ± 1.0 | 25.0 ± 0.5 |" in page
    without = results()
    for side in SIDES:
        for one in without["finetune"]["runs"][side]:
            del one["accuracy"]
    assert "accuracy" not in report(without)


def test_a_repetition_that_was_disturbed_counts_for_the_losses_alone():
    disturbed = results()
    del disturbed["finetune"]["runs"]["plain"][1]["seconds"]
    page = report(disturbed)
    assert "| bertsmith | float32 | 1,200 (1,200–1,200) | 4.50 (4.00–5.00) | 2.00 (2.00–2.00) |" in page
    assert "The times of 1 of the" in page
    assert "left out" not in report(results())
    assert "| transformers, as it comes | 2.000 ± 0.000 | 1.500 ± 0.010 |" in page


def test_a_smoke_run_says_that_it_is_one():
    quick = results()
    quick["finetune"]["quick"] = True
    assert "smoke run" in report(quick)


def test_sides_that_compute_something_else_are_not_compared():
    runs = results()["finetune"]["runs"]
    check_start("finetune", runs)
    for side in SIDES:
        runs[side][-1]["held_out"][0] += 0.01 if side == "best" else 0
    with pytest.raises(SystemExit, match="same loss"):
        check_start("finetune", runs)
