import copy
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from bertsmith.core.errors import CheckpointError, InterruptedRunError, RecipeError
from bertsmith.core.progress import Silence
from bertsmith.core.randomness import generator_at
from bertsmith.data.store import FeatureStore, JoinedRows
from bertsmith.models import create
from bertsmith.objectives.mlm import MaskedLanguageModel
from bertsmith.tasks.mixture import Mixture
from bertsmith.train import Evaluation, Training, TrainOptions, evaluate, loop, resume
from bertsmith.train.mixing import Mixing
from bertsmith.tuning.frozen import Frozen
from tests.train.conftest import TINY, tiny_model

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


def test_masks_are_drawn_anew_however_often_a_part_of_a_mixture_has_its_turn(tokenizer, task, examples, rows, tmp_path, monkeypatch):
    text = MaskedLanguageModel(unit="token", max_length=16)
    few = FeatureStore.build(text.encode(examples[:8], tokenizer))
    heads = tiny_model(tokenizer, mlm=0, classification=2).model
    model = heads.with_heads({"text:mlm": heads.heads["mlm"], "label:classification": heads.heads["classification"]})
    drawn = []
    monkeypatch.setattr(loop, "generator_at", lambda *place: drawn.append(place) or generator_at(*place))
    Training(
        model=model,
        tokenizer=tokenizer,
        objective=Mixture(parts={"text": text, "label": task}),
        rows=JoinedRows([few, rows]),
        mixing=Mixing(sampling="equal"),
        options=TrainOptions(epochs=2, batch_size=4, precision="float32"),
        seed=1,
        folder=tmp_path,
    ).run()
    of_text = [place for place in drawn if place[-1] < len(few)]
    assert len(of_text) >= 4 * len(few), "it has more turns than there are epochs"
    assert len(set(drawn)) == len(drawn)


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


def test_the_estimate_of_a_training_that_goes_on_is_of_the_steps_that_are_left(tokenizer, task, rows, tmp_path):
    class Work(Silence):
        total, done = 0.0, 0.0

        def begin(self, what, total, unit):
            self.total = total

        def advance(self, amount=1, **numbers):
            self.done += amount

    with pytest.raises(InterruptedRunError):
        training(tiny_model(tokenizer), task, rows, tmp_path, progress=StopAt(4)).run()
    progress = Work()
    training(tiny_model(tokenizer), task, rows, tmp_path, progress=progress).run(resume=True)
    assert (progress.total, progress.done) == (6, 6)


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


def in_two_processes(script, folder):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(HERE / script), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, cwd=HERE.parents[1], env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_two_processes_give_the_losses_of_one(tokenizer, task, rows, tmp_path):
    whole = tiny_model(tokenizer, dropout=0.0)
    training(whole, task, rows, tmp_path / "one", batch_size=13).run()
    in_two_processes("two_processes.py", tmp_path / "two")
    one, two = recorded(tmp_path / "one"), recorded(tmp_path / "two")
    assert [line["loss"] for line in two] == pytest.approx([line["loss"] for line in one], abs=1e-5)
    assert [line["tokens"] for line in two] == [line["tokens"] for line in one]
    weights = torch.load(tmp_path / "two" / "weights.pt", weights_only=True)
    for name, weight in whole.model.state_dict().items():
        torch.testing.assert_close(weights[name], weight, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_two_processes_stop_together(tmp_path):
    """By the score that the first of them measures, whatever the other one does; and at a signal that only one of them gets."""
    in_two_processes("stopping_processes.py", tmp_path)
    assert [(tmp_path / f"patience-{rank}.txt").read_text() for rank in (0, 1)] == ["4 steps, stopped early: True"] * 2
    told = [(tmp_path / f"signal-{rank}.txt").read_text() for rank in (0, 1)]
    assert told[0].startswith("stopped by another process after step 3 of 10")
    assert told[1].startswith("stopped by SIGTERM after step 3 of 10")
    assert json.loads((tmp_path / "signal/checkpoint/state.json").read_text())["step"] == 3


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


def test_a_score_that_is_no_number_is_worse_than_any_other(tokenizer, task, rows, tmp_path, monkeypatch):
    scores = iter([math.nan, 0.5, 0.6, math.nan])
    monkeypatch.setattr(loop, "evaluate", lambda *_, **__: Evaluation({"accuracy": next(scores)}))
    result = training(tiny_model(tokenizer), task, rows, tmp_path, valid=rows, steps=4, evaluate_every=1, keep="best").run()
    assert (result.kept_step, result.metrics) == (3, {"accuracy": 0.6})
    valid = [line["valid"] for line in recorded(tmp_path) if "valid" in line]
    assert valid == [{"accuracy": None}, {"accuracy": 0.5}, {"accuracy": 0.6}, {"accuracy": None}]


@pytest.mark.parametrize(("metric", "best"), [("f1_loss", 2), ("reviews.loss", 1), ("mean_squared_error", 1)])
def test_what_is_better_is_said_by_the_whole_name_of_a_metric(metric, best, tokenizer, task, rows, tmp_path, monkeypatch):
    """`f1_loss` is how well entities of the type "loss" are found."""
    scores = iter([0.2, 0.8, 0.5])
    monkeypatch.setattr(loop, "evaluate", lambda *_, **__: Evaluation({metric: next(scores)}))
    result = training(tiny_model(tokenizer), task, rows, tmp_path, valid=rows, steps=3, evaluate_every=1, keep=f"best:{metric}").run()
    assert result.kept_step == best


def test_a_training_that_diverges_is_said(tokenizer, task, rows, tmp_path):
    with pytest.raises(RecipeError, match=r"the training has diverged: at step \d+ of 10 the loss is .*; lower learning_rate \(1e\+30\)"):
        training(tiny_model(tokenizer), task, rows, tmp_path, learning_rate=1e30).run()


def test_nothing_left_to_train_is_said(tokenizer, task, rows, tmp_path):
    bare = create("bert", tokenizer, TINY, {}, seed=3)
    Frozen().apply(bare.model)
    with pytest.raises(RecipeError, match="'full' lets the whole encoder rest, and there is no head on it"):
        training(bare, task, rows, tmp_path)


def test_what_accelerate_is_told_elsewhere_changes_nothing(tokenizer, task, rows, tmp_path, monkeypatch):
    """`accelerate launch` sets these; a recipe says what it wants of both."""
    plain, launched = tiny_model(tokenizer), tiny_model(tokenizer)
    training(plain, task, rows, tmp_path / "plain", steps=2).run()
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        training(launched, task, rows, tmp_path / "launched", steps=2).run()
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
    assert recorded(tmp_path / "plain") == recorded(tmp_path / "launched")
    assert same_weights(plain.model, launched.model)


def test_freed_memory_is_given_back_now_and_then(tokenizer, task, rows, tmp_path, monkeypatch):
    times: list[int] = []
    monkeypatch.setattr("bertsmith.train.loop.give_back", lambda: times.append(1))
    training(tiny_model(tokenizer), task, rows, tmp_path, steps=25).run()
    assert len(times) == 25 // loop.GIVEN_BACK_EVERY


@pytest.mark.parametrize(("variable", "name"), [("ACCELERATE_USE_FSDP", "FSDP"), ("ACCELERATE_USE_DEEPSPEED", "DeepSpeed")])
def test_a_launch_that_splits_the_weights_is_refused(tokenizer, task, rows, tmp_path, monkeypatch, variable, name):
    monkeypatch.setenv(variable, "true")
    with pytest.raises(RecipeError, match=f"launched with {name}, which splits the weights"):
        training(tiny_model(tokenizer), task, rows, tmp_path)
    monkeypatch.setenv(variable, "false")
    training(tiny_model(tokenizer), task, rows, tmp_path)


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


def test_what_an_optimiser_has_gathered_goes_where_its_weights_are():
    """That of a fused one counts its steps there too; left behind on the processor, the first step on a GPU after a pause would fail."""
    weight = torch.nn.Parameter(torch.zeros(2, 2, device="meta"))
    optimiser = torch.optim.AdamW([weight], fused=True)
    resume._restore(optimiser, {"0.step": torch.tensor(3.0), "0.exp_avg": torch.ones(2, 2), "0.exp_avg_sq": torch.ones(2, 2)})
    assert {name: value.device.type for name, value in optimiser.state[weight].items()} == dict.fromkeys(("step", "exp_avg", "exp_avg_sq"), "meta")


@pytest.mark.parametrize("file", ["weights.safetensors", "optimiser.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_said(tokenizer, task, rows, tmp_path, file):
    with pytest.raises(InterruptedRunError):
        training(tiny_model(tokenizer), task, rows, tmp_path, progress=StopAt(4)).run()
    damaged = tmp_path / "checkpoint" / file
    damaged.write_bytes(damaged.read_bytes()[:-20])
    with pytest.raises(CheckpointError, match=rf"a training cannot go on from .*checkpoint: (.|\n)*{file}(.|\n)*to begin anew, delete {tmp_path}"):
        training(tiny_model(tokenizer), task, rows, tmp_path).run(resume=True)


def test_a_checkpoint_of_another_model_is_said(tokenizer, task, rows, tmp_path):
    with pytest.raises(InterruptedRunError):
        training(tiny_model(tokenizer), task, rows, tmp_path, progress=StopAt(4)).run()
    with pytest.raises(CheckpointError, match=r"cannot go on from (.|\n)*size mismatch for heads.classification"):
        training(tiny_model(tokenizer, classification=3), task, rows, tmp_path).run(resume=True)


def test_lines_that_are_kept_survive_a_kill_while_others_are_forgotten(tokenizer, task, rows, tmp_path, monkeypatch):
    with pytest.raises(InterruptedRunError):
        training(tiny_model(tokenizer), task, rows, tmp_path, progress=StopAt(4)).run()
    before = recorded(tmp_path)

    def half(file, text, **_):
        with file.open("w", encoding="utf-8") as opened:
            opened.write(text[: len(text) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(KeyboardInterrupt):
        training(tiny_model(tokenizer), task, rows, tmp_path).run(resume=True)
    assert recorded(tmp_path) == before


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
