"""Running recipes: the chain, what is kept of it, and what happens when it is run again, changed or stopped."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from bertsmith.core.errors import CheckpointError, InterruptedRunError, RecipeError
from bertsmith.data.sources import builtin_path
from bertsmith.models.family import Model
from bertsmith.models.loading import load
from bertsmith.recipe import parse, read_recipe, to_toml
from bertsmith.recipe import run as run_module
from bertsmith.recipe import stage as stage_module
from bertsmith.recipe.planning import OBJECTIVE_METRICS
from bertsmith.report import write_report
from tests.recipe.conftest import ADAPT, MATCH, TINY, Listener, changed, run_stages


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_a_chain_adapts_then_learns_and_leaves_everything_behind(world: Path):
    result = run_stages(world, ADAPT, changed(MATCH, train={"epochs": 10, "batch_size": 8}))
    adapt, match = result.stages
    assert (adapt.steps, match.steps) == (4, 60)
    assert match.metrics["test"]["accuracy"] > 0.8, "good and bad words are easy to tell apart"
    assert match.metrics.keys() == {"valid", "test"}
    assert match.data["train"]["rows"] == 48
    assert match.data["train"]["labels"].keys() == {"0", "1"}
    assert len(match.data["test"]["files"][0]["sha256"]) == 64
    assert match.seconds.keys() == {"encode", "load", "train", "evaluate", "save"}
    assert match.machine["precision"] == "float32"
    assert match.versions.keys() >= {"python", "torch", "bertsmith", "tokenizers"}

    out = world / "out"
    assert json.loads((out / "result.json").read_text())["stages"] == json.loads(json.dumps([stage.to_dict() for stage in result.stages]))
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["stage"] == "adapt"] == [1, 2, 3, 4]
    assert sum("valid" in line for line in lines if line["stage"] == "match") == 10
    assert not list(out.rglob("checkpoint"))
    assert read_recipe(out / "recipe.toml") == parse({"stage": [ADAPT, changed(MATCH, train={"epochs": 10, "batch_size": 8})]}, world / "recipe.toml")

    last = load(str(result.model))
    assert last.labels == ("0", "1")
    assert last.task["name"] == "single"
    assert (result.model / "model.safetensors").samefile(out / "stages/match/model/model.safetensors")


def test_every_prediction_on_the_test_data_is_left_as_it_was_measured(world: Path):
    match = run_stages(world, changed(MATCH, **{"from": "base"})).stages[0]
    file = world / "out/stages/match/predictions.jsonl"
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    rows = [row.split("\t") for row in (world / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    assert [(line["line"], line["gold"], line["text"]) for line in lines] == [(number, *row) for number, row in enumerate(rows, 2)]
    assert sum(line["label"] == line["gold"] for line in lines) / 16 == match.metrics["test"]["accuracy"]
    assert all(line["score"] == line["scores"][line["label"]] for line in lines)
    page = write_report(world / "out").read_text(encoding="utf-8")
    assert "The 16 predictions of the stage <b>match</b>" in page
    file.unlink()
    assert run_stages(world, changed(MATCH, **{"from": "base"})).stages[0].cached
    assert "predictions of the stage" not in write_report(world / "out").read_text(encoding="utf-8")


def test_predictions_of_other_tasks_have_the_label_as_it_stands_in_the_data(world: Path):
    task = {"name": "regression", "max_length": 32}
    run_stages(world, changed(MATCH, **{"from": "base", "task": task}))
    [first, *_] = (world / "out/stages/match/predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(first).keys() == {"line", "text", "score", "gold", "correct"}
    assert json.loads(first)["gold"] in {0.0, 1.0}


def test_the_recipe_in_the_folder_of_a_stage_runs_that_stage_alone(world: Path):
    run_stages(world, ADAPT, MATCH)
    alone = read_recipe(world / "out/stages/match/recipe.toml")
    assert alone.stages[0].start == str(world / "out/stages/adapt/model")
    again = run_module.run(alone, world / "again")
    assert weights(again.model) == weights(world / "out/model")


@pytest.mark.slow
def test_transformers_opens_the_model_and_says_the_same(world: Path):
    transformers = pytest.importorskip("transformers")
    model = run_stages(world, changed(MATCH, **{"from": "base"})).model
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(model).eval()
    inputs = transformers.AutoTokenizer.from_pretrained(model)(["我很喜欢这书店", "酒店烂"], return_tensors="pt", padding=True)
    assert theirs.config.id2label == {0: "0", 1: "1"}
    ours = load(str(model))
    task = parse({"stage": [changed(MATCH, **{"from": "base"})]}, world / "r.toml").stages[0].objective
    from bertsmith.core.types import Batch

    with torch.no_grad():
        scores = task.scores(ours.model, Batch(**inputs))
        torch.testing.assert_close(scores, theirs(**inputs).logits, atol=1e-5, rtol=1e-5)


def test_the_same_recipe_gives_the_same_weights_and_another_seed_others(world: Path):
    one = run_stages(world, MATCH | {"from": "base"}, out="one")
    two = run_stages(world, MATCH | {"from": "base"}, out="two")
    three = run_stages(world, MATCH | {"from": "base"}, out="three", seed=2)
    assert weights(one.model) == weights(two.model) != weights(three.model)
    assert one.stages[0].key == two.stages[0].key != three.stages[0].key


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(world: Path):
    before = set(world.rglob("*"))
    result = run_stages(world, ADAPT, MATCH, dry_run=True)
    assert set(world.rglob("*")) == before
    assert result.stages == ()
    assert [(stage.name, stage.action, stage.steps) for stage in result.plan] == [("adapt", "run", 4), ("match", "run", 6)]
    assert result.plan[1].rows == {"train": 48, "valid": 16, "test": 16}
    run_stages(world, ADAPT, MATCH)
    result = run_stages(world, ADAPT, changed(MATCH, train={"epochs": 3}), dry_run=True)
    assert [stage.action for stage in result.plan] == ["cached", "run"]
    assert result.plan[1].why == "changed: train.epochs was 2.0, is 3.0"
    json.dumps(result.to_dict())


def test_a_dry_run_does_not_ask_the_hub(world: Path):
    result = run_stages(world, MATCH | {"from": "nobody/no-such-model"}, dry_run=True)
    assert result.plan[0].why == "the model has to be fetched from the Hub first"
    assert result.plan[0].rows["train"] == 48


def test_what_is_done_is_not_done_again(world: Path):
    first = run_stages(world, ADAPT, MATCH)
    stages = files(world / "out/stages")
    listener = Listener()
    second = run_stages(world, ADAPT, MATCH, progress=listener)
    assert listener.steps == 0
    assert listener.told("stage 'match' (2 of 2): already done with the same inputs, not run again")
    assert [stage.cached for stage in second.stages] == [True, True]
    assert second.stages == first.stages
    assert files(world / "out/stages") == stages


@pytest.mark.parametrize(
    ("adapt", "match", "run_again"),
    [
        (ADAPT, changed(MATCH, train={"epochs": 3}), ["match"]),
        (ADAPT, changed(MATCH, task={"max_length": 24}), ["match"]),
        (ADAPT, changed(MATCH, data={"test": "valid.tsv"}), ["match"]),
        (ADAPT, changed(MATCH, seed=5), ["match"]),
        (ADAPT, changed(MATCH, **{"from": "base"}), ["match"]),
        (changed(ADAPT, train={"steps": 5}), MATCH, ["adapt", "match"]),
        (changed(ADAPT, **{"from": "headless"}), MATCH, ["adapt", "match"]),
    ],
)
def test_a_change_runs_the_stages_that_it_concerns_again(world: Path, adapt: dict, match: dict, run_again: list[str]):
    run_stages(world, ADAPT, MATCH)
    result = run_stages(world, adapt, match)
    assert [stage.name for stage in result.stages if not stage.cached] == run_again


def test_other_contents_of_a_data_file_are_a_change_and_another_place_is_none(world: Path):
    run_stages(world, MATCH | {"from": "base"})
    moved = world / "moved.tsv"
    moved.write_bytes((world / "train.tsv").read_bytes())
    assert run_stages(world, changed(MATCH, **{"from": "base"}, data={"train": "moved.tsv"})).stages[0].cached
    moved.write_bytes(moved.read_bytes() + "1\t很棒很棒\n".encode())
    listener = Listener()
    assert not run_stages(world, changed(MATCH, **{"from": "base"}, data={"train": "moved.tsv"}), progress=listener).stages[0].cached
    assert listener.told("begins, changed: data.train")


def test_a_stage_that_was_renamed_keeps_its_key_but_is_another_folder(world: Path):
    first = run_stages(world, ADAPT)
    second = run_stages(world, ADAPT, ADAPT | {"name": "copy"})
    assert second.stages[1].key == first.stages[0].key
    assert weights(world / "out/stages/copy/model") == weights(world / "out/stages/adapt/model")


def test_a_stage_without_its_model_or_its_last_line_is_not_done(world: Path):
    run_stages(world, ADAPT)
    before = weights(world / "out/stages/adapt/model")
    (world / "out/stages/adapt/result.json").unlink()
    assert not run_stages(world, ADAPT).stages[0].cached
    (world / "out/stages/adapt/model/config.json").unlink()
    assert not run_stages(world, ADAPT).stages[0].cached
    (world / "out/stages/adapt/result.json").write_text('{"name": "adapt"')
    assert not run_stages(world, ADAPT).stages[0].cached
    assert weights(world / "out/stages/adapt/model") == before


def test_folders_that_are_not_this_run_s(world: Path):
    (world / "out").mkdir()
    (world / "out/.hidden").touch()
    run_stages(world, ADAPT)
    with pytest.raises(RecipeError, match=r"holds the run of another recipe \(stages adapt; this one has other\)"):
        run_stages(world, ADAPT | {"name": "other"})
    (world / "full").mkdir()
    (world / "full/thesis.txt").write_text("precious")
    with pytest.raises(RecipeError, match=r"is not empty and is not the folder of a run \(it holds thesis.txt\); name another one with --out"):
        run_stages(world, ADAPT, out="full")
    with pytest.raises(RecipeError, match="is a file; name a folder"):
        run_stages(world, ADAPT, out="raw.txt")
    with pytest.raises(RecipeError, match=r"/raw\.txt is a file; name a folder"):
        run_stages(world, ADAPT, out="raw.txt/deep/out")
    (world / "dangling").symlink_to(world / "nowhere")
    with pytest.raises(RecipeError, match=r"cannot write .*/dangling/out: .*; name another folder with --out"):
        run_stages(world, ADAPT, out="dangling/out")
    assert [file.name for file in (world / "full").iterdir()] == ["thesis.txt"]


def test_two_runs_do_not_work_in_one_folder(world: Path):
    refused: list[str] = []

    def another(_: int) -> None:
        with pytest.raises(RecipeError) as caught:
            run_stages(world, changed(ADAPT, train={"steps": 2}))
        refused.append(str(caught.value))

    run_stages(world, ADAPT, progress=Listener(at_step=another))
    assert len(refused) == 4
    assert "another run is working in" in refused[0]


LONG = changed(ADAPT, train={"steps": 12, "checkpoint_every": 0.0})
"""Writes a checkpoint at every step."""


def stopped_at(step: int, number: signal.Signals) -> Listener:
    return Listener(at_step=lambda now: os.kill(os.getpid(), number) if now == step else None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_goes_on_to_the_same_bits(world: Path, number: signal.Signals):
    whole = run_stages(world, changed(ADAPT, train={"steps": 12}), MATCH, out="whole")
    with pytest.raises(InterruptedRunError, match=r"stage 'adapt' \(1 of 2\): .*--resume"):
        run_stages(world, LONG, MATCH, progress=stopped_at(5, number))
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    listener = Listener()
    resumed = run_stages(world, LONG, MATCH, resume=True, progress=listener)
    assert listener.told("stage 'adapt' (1 of 2): goes on, was interrupted at step 5")
    assert resumed.stages[0].resumed_at == 5
    assert weights(resumed.model) == weights(whole.model)
    steps = [json.loads(line)["step"] for line in (world / "out/stages/adapt/metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 13))


def test_a_run_that_was_never_begun_is_not_gone_on_with_in_silence(world: Path):
    listener = Listener()
    run_stages(world, ADAPT, resume=True, progress=listener)
    assert listener.told("/out to go on with: it begins from the start")
    listener = Listener()
    run_stages(world, ADAPT, resume=True, progress=listener)
    assert not listener.told("to go on with")


def test_a_run_that_is_killed_while_it_replaces_its_checkpoint_goes_on(world: Path):
    with pytest.raises(InterruptedRunError):
        run_stages(world, LONG, progress=stopped_at(5, signal.SIGINT))
    stage = world / "out/stages/adapt"
    (stage / ".checkpoint.old-abc_1234").mkdir()
    (stage / "checkpoint").rename(stage / ".checkpoint.old-abc_1234/checkpoint")
    (stage / ".checkpoint.new-abc_1234").mkdir()
    with pytest.raises(RecipeError, match="was interrupted at step 5: go on with --resume"):
        run_stages(world, LONG)
    resumed = run_stages(world, LONG, resume=True)
    assert resumed.stages[0].resumed_at == 5
    assert not list(stage.glob(".*"))


def test_an_unfinished_stage_is_neither_begun_anew_nor_gone_on_with_unasked(world: Path):
    with pytest.raises(InterruptedRunError):
        run_stages(world, LONG, progress=stopped_at(5, signal.SIGINT))
    before = files(world / "out")
    with pytest.raises(RecipeError, match=r"stage 'adapt' was interrupted at step 5: go on with --resume, or delete .*stages/adapt to begin anew"):
        run_stages(world, LONG)
    with pytest.raises(RecipeError, match=r"was interrupted at step 5, and has changed since \(train.steps was 12, is 13\)"):
        run_stages(world, changed(LONG, train={"steps": 13}), resume=True)
    assert files(world / "out") == before


SCRIPT = """
import sys
from pathlib import Path
from bertsmith.recipe import read_recipe
from bertsmith.recipe.run import run
run(read_recipe(Path(sys.argv[1])), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_to_the_same_bits(world: Path):
    stage = changed(ADAPT, train={"steps": 24, "checkpoint_every": 0.0}, data={"valid": 0.2})
    recipe = world / "recipe.toml"
    recipe.write_text(to_toml(parse({"stage": [stage]}, recipe)), encoding="utf-8")
    state = world / "out/stages/adapt/checkpoint/state.json"
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(recipe), str(world / "out")])
    try:
        deadline = time.monotonic() + 120
        while not (state.is_file() and json.loads(state.read_text())["step"] >= 4):
            assert process.poll() is None, "it has to be running to be killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
    except (FileNotFoundError, json.JSONDecodeError):
        pass  # caught in the moment of replacement: as good a moment as any
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    resumed = run_module.run(read_recipe(recipe), world / "out", resume=True)
    assert 0 < resumed.stages[0].resumed_at < 24
    whole = run_module.run(read_recipe(recipe, ["stage.adapt.train.checkpoint_every="]), world / "whole")
    assert weights(resumed.model) == weights(whole.model)
    assert resumed.stages[0].metrics == whole.stages[0].metrics


@pytest.mark.slow
def test_two_processes_work_on_one_run(world: Path):
    quiet = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    new = {"family": "bert", "tokenizer": "vocab.txt", **TINY, **quiet}
    parts = [
        {"name": "reviews", "task": MATCH["task"], "data": MATCH["data"]},
        {"name": "text", "objective": ADAPT["objective"], "data": ADAPT["data"]},
    ]
    together = {"name": "together", "from": "stage:adapt", "part": parts, "train": {"epochs": 1, "batch_size": 8, "precision": "float32"}}
    stages = [ADAPT | {"from": new}, changed(MATCH, tuning={"name": "lora", "rank": 2}), together]
    recipe = world / "recipe.toml"
    recipe.write_text(to_toml(parse({"stage": stages}, recipe)), encoding="utf-8")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "-m", "bertsmith", "run", str(recipe), "--out", str(world / "two")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["folder"] == str(world / "two"), "one of them says what was done"
    two = json.loads((world / "two/result.json").read_text())["stages"]
    assert [stage["machine"]["processes"] for stage in two] == [2, 2, 2]
    one = run_stages(world, *stages, out="one")
    for name in ("one", "two"):
        assert (world / name / "stages/match/adapter/adapter_config.json").is_file()
    losses = [[json.loads(line).get("loss", 0.0) for line in (world / name / "metrics.jsonl").read_text().splitlines()] for name in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert two[1]["metrics"]["test"]["accuracy"] == one.stages[1].metrics["test"]["accuracy"]


def test_ctrl_c_outside_training_is_told_plainly(world: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stage_module, "save", interrupted)
    with pytest.raises(InterruptedRunError, match=r"stage 'adapt' \(1 of 1\): stopped; .* go on with --resume"):
        run_stages(world, ADAPT)
    monkeypatch.undo()
    assert run_stages(world, ADAPT, resume=True).stages[0].steps == 4


def test_of_a_dry_run_that_is_interrupted_nothing_is_said_to_be_kept(world: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "plan", interrupted)
    with pytest.raises(InterruptedRunError, match=r"^interrupted$"):
        run_stages(world, ADAPT, dry_run=True)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_full_disk_is_told_plainly_and_what_was_done_stays(world: Path, monkeypatch: pytest.MonkeyPatch, wrapped: bool):
    run_stages(world, ADAPT)

    def full(*_: object, **__: object) -> None:
        error = OSError(errno.ENOSPC, "No space left on device")
        if wrapped:
            raise CheckpointError("cannot write it") from error
        raise error

    monkeypatch.setattr(stage_module, "save", full)
    with pytest.raises(
        RecipeError, match=r"the disk of .* is full; finished stages and the last checkpoint are kept: free some space and go on with --resume"
    ):
        run_stages(world, ADAPT, MATCH)
    monkeypatch.undo()
    again = run_stages(world, ADAPT, MATCH, resume=True)
    assert [stage.cached for stage in again.stages] == [True, False]


def test_a_file_that_must_not_be_read_is_not_taken_for_a_folder_that_must_not_be_written(world: Path, monkeypatch: pytest.MonkeyPatch):
    def closed(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/data/closed/train.tsv")

    monkeypatch.setattr(run_module, "plan", closed)
    with pytest.raises(RecipeError, match=r"^/data/closed/train.tsv cannot be used: Permission denied$"):
        run_stages(world, ADAPT)


def test_what_a_model_can_do_before_is_measured_where_it_is_trained(world: Path, monkeypatch: pytest.MonkeyPatch):
    places: list[str] = []

    def measured(model: Model, *_: object, **__: object) -> None:
        places.append(model.device.type)
        raise KeyboardInterrupt

    monkeypatch.setattr(stage_module, "device", lambda: torch.device("meta"))
    monkeypatch.setattr(stage_module, "evaluate", measured)
    with pytest.raises(InterruptedRunError):
        run_stages(world, changed(ADAPT, data={"valid": 0.2}))
    assert places == ["meta"]


def test_a_place_that_cannot_be_written_is_told_plainly(world: Path):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    (world / "closed").mkdir(mode=0o500)
    with pytest.raises(RecipeError, match=r"cannot write .*; name another folder with --out"):
        run_stages(world, ADAPT, out="closed/out")


def test_what_is_said_to_be_measured_of_an_objective_is_measured(world: Path):
    result = run_stages(world, changed(ADAPT, data={"valid": 0.2}))
    assert result.stages[0].metrics["valid"].keys() >= set(OBJECTIVE_METRICS)


def test_a_technique_leaves_an_ordinary_model_and_what_is_its_own(world: Path):
    result = run_stages(world, changed(MATCH, **{"from": "base"}, tuning={"name": "lora", "rank": 2}))
    assert (world / "out/stages/match/adapter/adapter_config.json").is_file()
    assert not any("lora" in name.lower() for name in load(str(result.model)).model.state_dict())


def test_a_new_model_is_made_of_a_vocabulary(world: Path):
    new = {"family": "bert", "tokenizer": "vocab.txt", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    listener = Listener()
    result = run_stages(world, ADAPT | {"from": new}, progress=listener)
    assert load(str(result.model)).model.family.hidden_size == 8
    assert result.stages[0].start == "new bert"
    assert not listener.told("random"), "of a new model nobody expects anything else"


def test_a_head_that_the_model_lacks_is_said(world: Path):
    listener = Listener()
    result = run_stages(world, ADAPT | {"from": "headless"}, progress=listener)
    assert listener.told("the published Chinese-BERT-wwm models")
    assert any("the published Chinese-BERT-wwm models" in note for note in result.stages[0].notes)
    listener = Listener()
    run_stages(world, ADAPT, MATCH, out="two", progress=listener)
    assert not listener.told("Chinese-BERT-wwm")
    assert listener.told("stage 'match': the classification head is new; it has: mlm")


def test_a_dry_run_says_which_pre_trained_heads_are_random(world: Path):
    told = "stage 'adapt': the model comes without weights for predicting hidden tokens"
    listener = Listener()
    assert run_stages(world, ADAPT | {"from": "headless"}, MATCH, dry_run=True, progress=listener).notes == tuple(listener.notes)
    assert [note.startswith(told) for note in listener.notes] == [True], "a fresh classifier is what everybody expects"
    for earlier in (ADAPT | {"name": "first"}, MATCH | {"name": "first", "from": "base"}):
        listener = Listener()
        run_stages(world, earlier, ADAPT | {"from": "stage:first"}, dry_run=True, progress=listener)
        assert listener.told(told) == ("task" in earlier)
    listener = Listener()
    parts = [
        {"name": "raw", **{key: ADAPT[key] for key in ("objective", "data")}},
        {"name": "labels", **{key: MATCH[key] for key in ("task", "data")}},
    ]
    run_stages(world, {"name": "both", "from": "headless", "train": {"steps": 1}, "part": parts}, dry_run=True, progress=listener)
    assert listener.told("stage 'both': part 'raw': the model comes without weights")


def test_a_dry_run_finds_weights_that_do_not_fit(world: Path):
    shutil.copytree((world / "base").resolve(), world / "broken")
    config = world / "broken/config.json"
    config.write_text(config.read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'))
    with pytest.raises(RecipeError, match=r"stage 'adapt' \(stage\[0\]\).from: the weights in \S+ do not fit its config.json(\n.*){16} is missing"):
        run_stages(world, ADAPT | {"from": "broken"}, dry_run=True)


def test_pre_training_is_measured_before_and_after(world: Path):
    result = run_stages(world, changed(ADAPT, data={"valid": 0.2}, train={"steps": 30}))
    metrics = result.stages[0].metrics
    assert metrics["valid"]["loss"] < metrics["before"]["loss"]
    fresh = run_stages(world, changed(ADAPT, data={"valid": 0.2}, **{"from": "headless"}), out="fresh")
    assert "before" not in fresh.stages[0].metrics


def test_a_head_for_other_labels_begins_anew_and_one_for_the_same_goes_on(world: Path):
    other = world / "words.tsv"
    other.write_text((world / "train.tsv").read_text().replace("0\t", "bad\t").replace("1\t", "good\t"))
    first = changed(MATCH, name="first", data={"train": "words.tsv", "valid": 0.2, "test": "words.tsv"}, **{"from": "base"})
    listener = Listener()
    run_stages(world, first, MATCH | {"from": "stage:first"}, progress=listener)
    assert listener.told("stage 'match': the last layer begins anew, for the model was trained on other labels (bad, good)")
    listener = Listener()
    run_stages(world, MATCH | {"from": "base", "name": "first"}, MATCH | {"from": "stage:first"}, out="same", progress=listener)
    assert not listener.told("stage 'match': the last layer begins anew")
    assert not listener.told("stage 'match': the classification head is new")


def test_the_data_of_the_package_is_named_the_same_everywhere(world: Path):
    name = "builtin:reviews/valid.tsv"
    stage = MATCH | {"from": "base", "data": dict.fromkeys(("train", "valid", "test"), name), "train": {"steps": 1}}
    first = run_stages(world, stage)
    written = (world / "out/recipe.toml").read_text()
    assert f'train = "{name}"' in written
    assert "/builtin/" not in written + (world / "out/result.json").read_text() + write_report(world / "out").read_text()
    absolute = changed(stage, data={"train": builtin_path(name)})
    assert run_stages(world, absolute).stages[0].key == first.stages[0].key, "what was done by its path stays done"


def test_a_threshold_is_chosen_on_the_validation_data_and_kept_with_the_model(world: Path):
    for name in ("train", "valid", "test"):
        rows = [line.split("\t") for line in (world / f"{name}.tsv").read_text(encoding="utf-8").splitlines()[1:]]
        lines = [json.dumps({"text": text, "label": ["good"] if label == "1" else []}, ensure_ascii=False) for label, text in rows]
        (world / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    data = {name: f"{name}.jsonl" for name in ("train", "valid", "test")}
    stage = changed(MATCH, **{"from": "base", "task": {"name": "multi_label", "max_length": 32}, "data": data, "train": {"epochs": 1}})
    listener = Listener()
    [tuned] = run_stages(world, stage, progress=listener).stages
    threshold = load(str(world / "out/model")).task["threshold"]
    assert listener.told(f"chosen on the validation data: threshold = {threshold:.4g}")
    assert tuned.data["train"]["labels"].keys() == {"good"}
    [fixed] = run_stages(world, changed(stage, task={"threshold": 0.5}), out="fixed").stages
    assert tuned.metrics["valid"]["micro_f1"] >= fixed.metrics["valid"]["micro_f1"]
    predictions = [json.loads(line) for line in (world / "out/stages/match/predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    clear = [line for line in predictions if abs(line["scores"]["good"] - threshold) > 2e-6]  # scores are written with six digits
    assert clear
    assert all((line["scores"]["good"] > threshold) == (line["labels"] == ["good"]) for line in clear)
    found = sum(line["labels"] == line["gold"] == ["good"] for line in predictions)
    given, there = (sum(line[key] == ["good"] for line in predictions) for key in ("labels", "gold"))
    assert tuned.metrics["test"]["micro_f1"] == pytest.approx(2 * found / (given + there))


def test_large_numbers_are_learned_as_well_as_small_ones(world: Path):
    for name in ("train", "test"):
        rows = [line.split("\t") for line in (world / f"{name}.tsv").read_text(encoding="utf-8").splitlines()[1:]]
        lines = [f"{60 + 20 * int(label)}\t{text}" for label, text in rows]
        (world / f"{name}-large.tsv").write_text("\n".join(["label\ttext", *lines]), encoding="utf-8")
    data = {"train": "train-large.tsv", "test": "test-large.tsv"}
    stage = changed(MATCH, **{"from": "base", "task": {"name": "regression", "max_length": 32}, "train": {"epochs": 20, "batch_size": 8}})
    [found] = run_stages(world, {**stage, "data": data}).stages
    assert found.metrics["test"]["mean_squared_error"] < 0.5 * 10**2, "half of what always saying 70 costs"
