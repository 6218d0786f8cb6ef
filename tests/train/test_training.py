import copy
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from bertsmith.core.errors import InterruptedRunError, RecipeError
from bertsmith.core.progress import Silence
from bertsmith.data.store import FeatureStore
from bertsmith.objectives.mlm import MaskedLanguageModel
from bertsmith.train import Training, TrainOptions, evaluate
from bertsmith.tuning.frozen import Frozen
from tests.train.conftest import tiny_model

HERE = Path(__file__).parent


def training(checkpoint, task, rows, folder, *, seed=5, valid=None, progress=None, **options):
    return Training(
        model=checkpoint.model,
        tokenizer=checkpoint.tokenizer,
        objective=task,
        rows=rows,
        valid=valid,
        options=TrainOptions(**{"epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "precision": "float32", **options}),
        seed=seed,
        folder=folder,
        progress=progress or Silence(),
    )


def recorded(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def same_weights(first, second):
    return all(torch.equal(one, other) for one, other in zip(first.state_dict().values(), second.state_dict().values(), strict=True))


def test_training_learns(tokenizer, task, rows, tmp_path):
    checkpoint = tiny_model(tokenizer)
    before = evaluate(checkpoint.model, task, rows, tokenizer).metrics["accuracy"]
    result = training(checkpoint, task, rows, tmp_path, epochs=30, learning_rate=5e-3).run()
    assert result.steps == 150
    assert evaluate(checkpoint.model, task, rows, tokenizer).metrics["accuracy"] > max(0.9, before)
    losses = [line["loss"] for line in recorded(tmp_path)]
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


def test_one_step_is_the_update_that_torch_makes(tokenizer, task, rows, tmp_path):
    """Loss, gradient, clipping and AdamW by hand, for one batch of all rows."""
    checkpoint = tiny_model(tokenizer, dropout=0.0)
    by_hand = copy.deepcopy(checkpoint.model).train()
    batch = task.collate([rows[row] for row in range(len(rows))], [], tokenizer)
    decayed = [weight for weight in by_hand.parameters() if weight.ndim > 1]
    others = [weight for weight in by_hand.parameters() if weight.ndim <= 1]
    optimiser = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], lr=1e-3)
    (task.loss(by_hand, batch)["single"] / len(rows)).backward()
    torch.nn.utils.clip_grad_norm_(by_hand.parameters(), 0.01)
    optimiser.step()
    options = {"steps": 1, "batch_size": len(rows), "weight_decay": 0.1, "clip": 0.01, "warmup_rate": 0.0}
    training(checkpoint, task, rows, tmp_path, **options).run()
    for ours, theirs in zip(checkpoint.model.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_passes_of_any_size_give_the_gradient_of_the_whole_batch(tokenizer, task, rows, tmp_path):
    whole, parts = tiny_model(tokenizer, dropout=0.0), tiny_model(tokenizer, dropout=0.0)
    training(whole, task, rows, tmp_path / "whole", batch_size=40, pass_tokens=10_000).run()
    training(parts, task, rows, tmp_path / "parts", batch_size=40, pass_tokens=20).run()
    for one, other in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)
    losses = [[line["loss"] for line in recorded(tmp_path / name)] for name in ("whole", "parts")]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def test_masked_tokens_are_averaged_over_the_whole_batch(tokenizer, examples, tmp_path):
    """Passes with different numbers of masked tokens weigh by that number."""
    objective = MaskedLanguageModel(unit="token", max_length=16)
    rows = FeatureStore.build(objective.encode(examples, tokenizer))
    whole, parts = tiny_model(tokenizer, dropout=0.0, mlm=0), tiny_model(tokenizer, dropout=0.0, mlm=0)
    training(whole, objective, rows, tmp_path / "whole", batch_size=40, steps=2).run()
    training(parts, objective, rows, tmp_path / "parts", batch_size=40, steps=2, pass_tokens=16).run()
    for one, other in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(tokenizer, task, rows, tmp_path):
    first, second, third = (tiny_model(tokenizer) for _ in range(3))
    training(first, task, rows, tmp_path / "1").run()
    torch.rand(7)
    training(second, task, rows, tmp_path / "2").run()
    training(third, task, rows, tmp_path / "3", seed=6).run()
    assert same_weights(first.model, second.model)
    assert not same_weights(first.model, third.model)


class StopAt(Silence):
    """Ask for a stop while a certain step is being taken."""

    def __init__(self, step):
        self.left = step

    def advance(self, amount=1, **numbers):
        if numbers:
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("step", [1, 4, 7])
def test_a_stopped_training_goes_on_to_the_same_bits(tokenizer, task, rows, tmp_path, step):
    options = {"valid": rows, "keep": "best:accuracy", "evaluate_every": 3}
    whole, stopped = tiny_model(tokenizer), tiny_model(tokenizer)
    expected = training(whole, task, rows, tmp_path / "whole", **options).run()
    with pytest.raises(InterruptedRunError, match=rf"SIGTERM after step {step} of 10; go on with --resume"):
        training(stopped, task, rows, tmp_path / "stopped", progress=StopAt(step), **options).run()
    fresh = tiny_model(tokenizer)
    result = training(fresh, task, rows, tmp_path / "stopped", **options).run(resume=True)
    assert result.resumed_at == step
    assert same_weights(whole.model, fresh.model)
    assert (result.steps, result.kept_step, result.metrics, result.tokens) == (expected.steps, expected.kept_step, expected.metrics, expected.tokens)
    timeless = [[{**line, "seconds": None} for line in recorded(tmp_path / name)] for name in ("whole", "stopped")]
    assert timeless[0] == timeless[1]


def test_without_resume_a_training_starts_anew(tokenizer, task, rows, tmp_path):
    with pytest.raises(InterruptedRunError):
        training(tiny_model(tokenizer), task, rows, tmp_path, progress=StopAt(4)).run()
    again, whole = tiny_model(tokenizer), tiny_model(tokenizer)
    assert training(again, task, rows, tmp_path).run().resumed_at == 0
    training(whole, task, rows, tmp_path / "whole").run()
    assert same_weights(again.model, whole.model)
    assert recorded(tmp_path) == recorded(tmp_path / "whole")


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_bits(tokenizer, task, rows, tmp_path):
    """SIGKILL at moments that nobody chose, over and over, until the training is through."""
    whole = tiny_model(tokenizer)
    training(whole, task, rows, tmp_path / "whole", epochs=12, checkpoint_every=0).run()
    kills = 0
    for delay in (0.15, 0.3, 0.45, 0.6, 60.0):
        command = [sys.executable, str(HERE / "killed.py"), str(tmp_path / "killed")]
        with subprocess.Popen(command, cwd=HERE.parents[1], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()  # it is about to take steps
            killer = threading.Timer(delay, process.kill)
            killer.start()
            kills += process.wait() == -signal.SIGKILL
            killer.cancel()
    assert kills >= 2, "the training was over before it could be killed: make it longer"
    assert (tmp_path / "killed" / "weights.pt").is_file()
    weights = torch.load(tmp_path / "killed" / "weights.pt", weights_only=True)
    assert all(torch.equal(weights[name], weight) for name, weight in whole.model.state_dict().items())
    assert recorded(tmp_path / "killed") == recorded(tmp_path / "whole")


@pytest.mark.slow
def test_two_processes_give_the_losses_of_one(tokenizer, task, rows, tmp_path):
    whole = tiny_model(tokenizer, dropout=0.0)
    training(whole, task, rows, tmp_path / "one", batch_size=7).run()
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        str(HERE / "two_processes.py"),
        str(tmp_path / "two"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, cwd=HERE.parents[1], env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = recorded(tmp_path / "one"), recorded(tmp_path / "two")
    assert [line["loss"] for line in two] == pytest.approx([line["loss"] for line in one], abs=1e-5)
    assert [line["tokens"] for line in two] == [line["tokens"] for line in one]
    weights = torch.load(tmp_path / "two" / "weights.pt", weights_only=True)
    for name, weight in whole.model.state_dict().items():
        torch.testing.assert_close(weights[name], weight, atol=1e-5, rtol=1e-4)


def test_the_best_weights_are_kept(tokenizer, task, rows, tmp_path):
    checkpoint = tiny_model(tokenizer)
    result = training(checkpoint, task, rows, tmp_path, valid=rows, epochs=6, learning_rate=2e-2, keep="best:accuracy", evaluate_every=2).run()
    values = {line["step"]: line["valid"]["accuracy"] for line in recorded(tmp_path) if "valid" in line}
    assert result.metrics["accuracy"] == max(values.values())
    assert values[result.kept_step] == max(values.values())
    assert evaluate(checkpoint.model, task, rows, tokenizer).metrics["accuracy"] == pytest.approx(max(values.values()))


def test_training_stops_when_patience_runs_out(tokenizer, task, rows, tmp_path):
    frozen = tiny_model(tokenizer)
    job = training(frozen, task, rows, tmp_path, valid=rows, epochs=50, learning_rate=1e-12, patience=2, evaluate_every=5)
    result = job.run()
    assert result.stopped_early
    assert result.steps == 15


def test_frozen_weights_stay(tokenizer, task, rows, tmp_path):
    checkpoint = tiny_model(tokenizer)
    before = copy.deepcopy(checkpoint.model)
    tuning = Frozen(layers=1)
    tuning.apply(checkpoint.model)
    job = training(checkpoint, task, rows, tmp_path)
    Training(
        model=job.model,
        tokenizer=tokenizer,
        objective=task,
        rows=rows,
        options=job.options,
        tuning=tuning,
        seed=1,
        folder=tmp_path,
        progress=Silence(),
    ).run()
    pairs = list(zip(before.named_parameters(), checkpoint.model.named_parameters(), strict=True))
    changed = {name for (name, old), (_, new) in pairs if not torch.equal(old, new)}
    assert changed
    assert not any(name.startswith(("backbone.embeddings", "backbone.blocks.0")) for name in changed)
    assert any(name.startswith("backbone.blocks.1") for name in changed)


def test_bfloat16_stays_close_to_float32(tokenizer, task, rows, tmp_path):
    exact, rounded = tiny_model(tokenizer, dropout=0.0), tiny_model(tokenizer, dropout=0.0)
    training(exact, task, rows, tmp_path / "32").run()
    result = training(rounded, task, rows, tmp_path / "16", precision="bfloat16").run()
    assert result.precision == "bfloat16"
    losses = [[line["loss"] for line in recorded(tmp_path / name)] for name in ("32", "16")]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert losses[0] != losses[1]
    assert all(weight.dtype == torch.float32 for weight in rounded.model.parameters())


def test_nothing_to_train_on_is_said(tokenizer, task, tmp_path):
    with pytest.raises(RecipeError, match="no usable example"):
        training(tiny_model(tokenizer), task, FeatureStore.build(iter([])), tmp_path)


def test_an_unknown_metric_is_said_with_those_there_are(tokenizer, task, rows, tmp_path):
    with pytest.raises(RecipeError, match=r"'f2'.*accuracy"):
        training(tiny_model(tokenizer), task, rows, tmp_path, valid=rows, keep="best:f2", evaluate_every=1).run()


def test_half_a_checkpoint_is_never_loaded(tokenizer, task, rows, tmp_path, monkeypatch):
    """The disk fills up while the second checkpoint is written: the first one is there, whole, and the training says what happened."""
    from bertsmith.core.errors import CheckpointError
    from bertsmith.train import resume

    written = []
    real = resume.save_file

    def full_disk(tensors, path, *args, **kwargs):
        written.append(path)
        if len(written) > 2:
            raise OSError(28, "No space left on device")
        real(tensors, path, *args, **kwargs)

    monkeypatch.setattr(resume, "save_file", full_disk)
    with pytest.raises(CheckpointError, match="No space left"):
        training(tiny_model(tokenizer), task, rows, tmp_path, checkpoint_every=0).run()
    monkeypatch.undo()
    again, whole = tiny_model(tokenizer), tiny_model(tokenizer)
    assert training(again, task, rows, tmp_path).run(resume=True).resumed_at == 1
    training(whole, task, rows, tmp_path / "whole").run()
    assert same_weights(again.model, whole.model)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_checkpoint_that_was_just_being_replaced_is_found(tokenizer, task, rows, tmp_path):
    """A kill between the two moves of a replacement: the old checkpoint stands aside, and nothing stands in its place."""
    with pytest.raises(InterruptedRunError):
        training(tiny_model(tokenizer), task, rows, tmp_path, progress=StopAt(4)).run()
    aside = tmp_path / ".checkpoint.old-abcdefgh"
    aside.mkdir()
    (tmp_path / "checkpoint").rename(aside / "checkpoint")
    assert training(tiny_model(tokenizer), task, rows, tmp_path).run(resume=True).resumed_at == 4


def test_progress_hears_of_every_step(tokenizer, task, rows, tmp_path):
    class Counting(Silence):
        steps = 0

        def advance(self, amount=1, **numbers):
            self.steps += "loss" in numbers

    progress = Counting()
    started = time.monotonic()
    result = training(tiny_model(tokenizer), task, rows, tmp_path, progress=progress).run()
    assert progress.steps == result.steps == 10
    assert 0 < result.seconds <= time.monotonic() - started
    assert result.tokens == 2 * rows.lengths.sum()
