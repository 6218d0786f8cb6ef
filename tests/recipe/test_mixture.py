"""Stages with parts: several objectives over one encoder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from bertsmith.core.errors import InterruptedRunError, RecipeError
from bertsmith.models.family import families
from bertsmith.models.loading import load
from bertsmith.recipe import parse, to_toml
from bertsmith.recipe.gains import _lines
from bertsmith.tasks.mixture import Mixture
from bertsmith.tasks.text_to_text import TextToText
from bertsmith.testing.tiny import tiny_family, tiny_model
from bertsmith.tuning.lora import merge_adapter
from tests.recipe.conftest import MATCH, Listener, changed, run_stages

TEXTS = {"name": "text", "objective": {"name": "mlm", "unit": "token", "max_length": 32}, "data": {"train": "raw.txt", "valid": 0.2}}
REVIEWS = {"name": "reviews", "task": {"name": "single", "max_length": 32}, "data": MATCH["data"]}
LENGTHS = {"name": "ratings", "task": {"name": "regression", "max_length": 32}, "data": MATCH["data"]}


def together(*parts: dict[str, Any], **values: Any) -> dict[str, Any]:
    alone = {name: value for name, value in changed(MATCH, **values).items() if name not in {"task", "data"}}
    return {**alone, "name": "together", "from": "base", "part": list(parts)}


def run_together(world: Path, *parts: dict[str, Any], **values: Any):
    return run_stages(world, together(*parts, **values))


def test_parts_learn_together_and_each_leaves_a_model_of_its_own(world: Path):
    result = run_together(world, REVIEWS, LENGTHS, train={"epochs": 10, "batch_size": 8, "learning_rate": 3e-3})
    metrics = result.stages[0].metrics["test"]
    assert metrics["reviews.accuracy"] > 0.8
    assert metrics["ratings.spearman"] > 0.5
    assert metrics["mean"] == pytest.approx((metrics["reviews.accuracy"] + metrics["ratings.spearman"]) / 2)
    folder = world / "out/stages/together"
    reviews, ratings = (load(str(folder / "parts" / name / "model")) for name in ("reviews", "ratings"))
    assert (reviews.labels, ratings.labels) == (("0", "1"), ("score",))
    assert torch.equal(reviews.model.backbone.embeddings.token.weight, ratings.model.backbone.embeddings.token.weight), "one encoder"
    said = [json.loads(line) for line in (folder / "parts/reviews/predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    right = sum(line["label"] == line["gold"] for line in said) / len(said)
    assert right == pytest.approx(metrics["reviews.accuracy"])
    assert not load(str(folder / "model")).stored_heads


def test_two_heads_of_one_name_are_two_heads(world: Path):
    result = run_together(world, REVIEWS, {**REVIEWS, "name": "again"}, train={"epochs": 1, "batch_size": 8})
    folder = world / "out/stages/together/parts"
    one, other = (load(str(folder / name / "model")).model.heads["classification"].get_submodule("output") for name in ("reviews", "again"))
    assert not torch.equal(one.get_parameter("weight"), other.get_parameter("weight"))
    assert result.stages[0].metrics["test"].keys() >= {"reviews.accuracy", "again.accuracy"}


def test_a_pretraining_objective_beside_a_task(world: Path):
    result = run_together(world, REVIEWS, TEXTS, train={"epochs": 2, "batch_size": 8})
    assert result.stages[0].metrics["valid"]["text.loss"] > 0
    assert result.stages[0].metrics["valid"]["mean"] == result.stages[0].metrics["valid"]["reviews.accuracy"], "a loss is not in the mean"
    assert "mlm" in load(str(world / "out/stages/together/parts/text/model")).stored_heads
    assert result.stages[0].data.keys() == {"reviews/train", "reviews/valid", "reviews/test", "text/train", "text/valid"}


@pytest.mark.parametrize("tuning", ["full", {"name": "lora", "rank": 2, "targets": ["query", "value", "widen"]}])
def test_each_part_keeps_the_weights_with_which_it_was_best(world: Path, tuning: Any):
    train = {"epochs": 6, "batch_size": 8, "learning_rate": 3e-3, "keep": "best"}
    result = run_stages(world, {**together(REVIEWS, LENGTHS, train=train), "tuning": tuning})
    lines = [json.loads(line) for line in (world / "out/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    history = [line["valid"] for line in lines if "valid" in line]
    for metric in ("reviews.accuracy", "ratings.spearman"):
        assert result.stages[0].metrics["valid"][metric] == pytest.approx(max(values[metric] for values in history))


@pytest.mark.parametrize("keep", ["last", "best", "best:loss", "best:text.loss"])
def test_where_no_task_is_measured_the_losses_are(world: Path, keep: str):
    again = {**TEXTS, "name": "again", "objective": {"name": "mlm", "unit": "word", "max_length": 32}}
    metrics = run_together(world, TEXTS, again, train={"epochs": 1, "batch_size": 8, "keep": keep}).stages[0].metrics["valid"]
    assert metrics["loss"] == pytest.approx((metrics["text.loss"] + metrics["again.loss"]) / 2)
    assert "mean" not in metrics


def test_a_metric_that_no_part_has_is_told_before_the_first_step(world: Path):
    with pytest.raises(RecipeError) as caught:
        run_together(world, REVIEWS, TEXTS, train={"keep": "best:accuracy"})
    [problem] = caught.value.problems
    assert "train.keep: got 'best:accuracy' (did you mean 'reviews.accuracy'?); what is measured: reviews.accuracy" in problem
    assert problem.endswith("text.loss, text.perplexity, mean")


def test_a_later_stage_starts_from_the_shared_encoder(world: Path):
    after = {**changed(MATCH, train={"epochs": 1, "batch_size": 8}), "name": "after", "from": "stage:together"}
    result = run_stages(world, together(REVIEWS, LENGTHS, train={"epochs": 1, "batch_size": 8}), after)
    assert [stage.name for stage in result.stages] == ["together", "after"]


def test_what_the_configuration_of_the_start_says_is_said_of_all_that_comes_of_it(world: Path):
    shutil.copytree((world / "base").resolve(), world / "described")
    file = world / "described/config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "license": "mit", "eos_token_id": 3}))
    after = {**changed(MATCH, train={"epochs": 1}), "name": "after", "from": "stage:together"}
    run_stages(world, {**together(REVIEWS, LENGTHS, train={"epochs": 1}), "from": "described"}, after)
    for place in ("together", "together/parts/reviews", "together/parts/ratings", "after"):
        content = json.loads((world / "out/stages" / place / "model/config.json").read_text())
        assert (content["license"], content["eos_token_id"]) == ("mit", 3), place


def test_a_part_sees_how_the_model_writes():
    model = tiny_model(tiny_family(families["gpt2"]), {"lm": 0})
    model.generation = {"num_beams": 3}
    mixture = Mixture(parts={"summaries": TextToText()})
    parts = model.with_heads({"summaries:lm": model.heads["lm"]})
    assert mixture.view(parts, "summaries").generation == {"num_beams": 3}


def test_it_goes_on_where_it_was_stopped(world: Path, tmp_path: Path):
    train = {"epochs": 3, "batch_size": 8, "keep": "best", "evaluate_every": 2, "checkpoint_every": 0}
    whole = run_stages(world, together(REVIEWS, LENGTHS, train=train), out=tmp_path / "whole")

    def stop(step: int) -> None:
        if step == 7:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError):
        run_stages(world, together(REVIEWS, LENGTHS, train=train), out=tmp_path / "cut", progress=Listener(at_step=stop))
    resumed = run_stages(world, together(REVIEWS, LENGTHS, train=train), out=tmp_path / "cut", resume=True)
    assert resumed.stages[0].resumed_at > 0
    assert resumed.stages[0].metrics == whole.stages[0].metrics
    for name in ("reviews", "ratings"):
        one, other = ((tmp_path / run / "stages/together/parts" / name / "model/model.safetensors").read_bytes() for run in ("whole", "cut"))
        assert one == other


def test_what_is_done_is_not_done_again_and_a_changed_part_is(world: Path):
    stage = together(REVIEWS, LENGTHS, train={"epochs": 1, "batch_size": 8})
    run_stages(world, stage)
    assert run_stages(world, stage).stages[0].cached
    other = together(REVIEWS, {**LENGTHS, "task": {"name": "regression", "minimum": 0, "max_length": 32}}, train={"epochs": 1, "batch_size": 8})
    assert not run_stages(world, other).stages[0].cached


def test_a_resolved_recipe_with_parts_reads_as_the_same_recipe(world: Path):
    recipe = parse({"stage": [together(REVIEWS, TEXTS, mixture={"sampling": "temperature", "weights": {"text": 0.5}})]}, world / "recipe.toml")
    assert parse(to_toml(recipe), world / "recipe.toml") == recipe


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (together(REVIEWS), "write [[stage.part]], in two pairs of brackets, at least twice"),
        (together(REVIEWS, REVIEWS), "part[0] has the name 'reviews' already"),
        ({**together(REVIEWS, LENGTHS), "task": "single"}, "the stage has parts; write it below one of [[stage.part]]"),
        ({**MATCH, "mixture": {}}, "there is nothing to mix"),
        (together(REVIEWS, LENGTHS, mixture={"weights": {"review": 2.0}}), "no part has this name (did you mean 'reviews'?)"),
        (together(REVIEWS, {**LENGTHS, "tasks": "single"}), "unknown key (did you mean 'task'?)"),
        (together(REVIEWS, LENGTHS, mixture={"sampling": "random"}), "sampling"),
        (together(REVIEWS, {**LENGTHS, "data": {"train": "nowhere.tsv"}}), "part[1].data.train: there is no file"),
    ],
)
def test_mistakes_are_told_with_their_places(world: Path, stage: dict[str, Any], message: str):
    with pytest.raises(RecipeError) as caught:
        run_stages(world, stage)
    assert any(message in problem for problem in caught.value.problems), caught.value.problems


def test_mistakes_of_parts_hide_neither_each_other_nor_those_of_the_mixture(world: Path):
    wrong = {"sampling": "equal", "temperature": 0.5, "cap": -3, "weights": {"revews": 2.0, "ratings": -1.0}}
    stage = together(REVIEWS, {**REVIEWS, "task": "singel"}, {**LENGTHS, "data": {"trian": "x"}}, mixture=wrong)
    with pytest.raises(RecipeError) as caught:
        run_stages(world, stage)
    problems = "\n".join(caught.value.problems)
    for wanted in (
        "part[1].task.name: unknown task 'singel'",
        "part[1].name: part[0] has the name 'reviews' already",
        "part[2].data.trian: unknown key",
        "mixture.weights.revews: no part has this name (did you mean 'reviews'?)",
        "temperature is 0.5",
        "cap is -3",
        "weights.ratings is -1.0",
    ):
        assert wanted in problems


def test_a_part_is_compared_with_the_stage_that_trained_it_alone(world: Path):
    train = {"epochs": 3, "batch_size": 8}
    alone = {**changed(MATCH, train=train), "from": "base"}
    other = {**alone, "name": "other", "task": {"name": "single", "max_length": 24}}
    result = run_stages(world, alone, other, together(REVIEWS, LENGTHS, train=train))
    [gain] = [note for note in result.stages[-1].notes if "which trained it alone" in note]
    assert "part 'reviews'" in gain
    assert "against stage 'match'" in gain
    assert "16 test examples" in gain
    folder = world / "out/stages"
    files = [folder / "match/predictions.jsonl", folder / "together/parts/reviews/predictions.jsonl"]
    means = [sum(json.loads(line)["correct"] for line in file.read_text(encoding="utf-8").splitlines()) / 16 for file in files]
    assert f" {abs(means[1] - means[0]):.3f} in accuracy" in gain


def test_what_a_part_gained_is_its_metric_and_a_test_over_its_examples(world: Path):
    train = {"epochs": 3, "batch_size": 8}
    alone = {**changed(MATCH, train=train), "from": "base"}
    result = run_stages(world, alone, together(REVIEWS, LENGTHS, train=train))
    [gain] = result.stages[-1].parts["reviews"]["gains"]
    assert (gain["against"], gain["metric"], gain["examples"]) == ("match", "accuracy", 16)
    assert gain["alone"] == result.stages[0].metrics["test"]["accuracy"]
    assert gain["together"] == result.stages[1].metrics["test"]["reviews.accuracy"]
    assert gain["difference"] == pytest.approx(gain["together"] - gain["alone"])
    [note] = [note for note in result.stages[-1].notes if "which trained it alone" in note]
    assert note.endswith(f"accuracy {gain['together']:.3f}, alone {gain['alone']:.3f}")
    assert result.stages[-1].parts["ratings"]["gains"] == []


def test_what_the_training_was_to_each_part_is_written_down(world: Path):
    data = {"train": "train.tsv", "test": "test.tsv"}
    train = {"epochs": 4, "batch_size": 8, "learning_rate": 3e-3, "keep": "best"}
    stage = together({**REVIEWS, "data": data}, LENGTHS, {**LENGTHS, "name": "more", "data": data}, train=train)
    result = run_stages(world, {**stage, "mixture": {"weights": {"more": 0.5}}}).stages[0]
    lines = [json.loads(line) for line in (world / "out/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    history = [(line["step"], line["valid"]["ratings.spearman"]) for line in lines if "valid" in line]
    assert result.parts["ratings"]["kept_step"] == max(history, key=lambda pair: (pair[1], -pair[0]))[0]
    assert result.parts["reviews"]["kept_step"] == result.kept_step, "without validation data, that of all of them"
    for name, part in result.parts.items():
        assert part["steps"] == sum(line.get("part") == name for line in lines)
        assert part["epochs"] == round(part["steps"] / 6, 3)
    assert result.parts["more"]["steps"] < result.parts["ratings"]["steps"]


def test_a_part_whose_turn_never_comes_is_told(world: Path):
    stage = together(REVIEWS, {**LENGTHS, "name": "a"}, {**LENGTHS, "name": "b"}, train={"epochs": 0.001, "batch_size": 8})
    remarks = [note for note in run_stages(world, stage, out="dry", dry_run=True).notes if "has no turn in 1 of the 18 steps of an epoch" in note]
    assert len(remarks) == 2
    assert set(remarks) <= set(run_stages(world, stage).stages[0].notes)
    assert not run_stages(world, changed(stage, train={"epochs": 1}), out="whole", dry_run=True).notes


def test_a_stage_that_had_less_to_train_on_is_not_what_a_part_is_compared_with(world: Path):
    alone = {**changed(MATCH, data={"valid": 0.25}, train={"epochs": 1, "batch_size": 8}), "from": "base"}
    result = run_stages(world, alone, together(REVIEWS, LENGTHS, train={"epochs": 1, "batch_size": 8}))
    assert not [note for note in result.stages[-1].notes if "which trained it alone" in note]


@pytest.mark.parametrize("tuning", ["layer_decay", {"name": "frozen", "layers": 1}])
def test_techniques_that_leave_the_weights_where_they_are(world: Path, tuning: Any):
    stage = {**together(REVIEWS, LENGTHS, train={"epochs": 2, "batch_size": 8, "keep": "best"}), "tuning": tuning}
    assert "mean" in run_stages(world, stage).stages[0].metrics["test"]


def test_lora_leaves_ordinary_models_and_an_adapter_of_each(world: Path):
    train = {"epochs": 3, "batch_size": 8, "learning_rate": 3e-3, "keep": "best"}
    after = {**changed(MATCH, train={"epochs": 1}), "name": "after", "from": "stage:together"}
    run_stages(world, {**together(REVIEWS, LENGTHS, train=train), "tuning": {"name": "lora", "rank": 2}}, after)
    folder = world / "out/stages/together"
    for place, heads in (("", {}), ("parts/reviews", {"classification": 2}), ("parts/ratings", {"classification": 1})):
        rebuilt, left = load(str(world / "base"), heads).model, load(str(folder / place / "model")).model
        before = rebuilt.backbone.state_dict()["blocks.0.attention.query.weight"].clone()
        merge_adapter(rebuilt, folder / place / "adapter")
        for name, weight in left.state_dict().items():
            torch.testing.assert_close(rebuilt.state_dict()[name], weight, msg=f"{place}: {name}")
        assert not torch.equal(before, rebuilt.backbone.state_dict()["blocks.0.attention.query.weight"]), "it has learned something"


def test_a_part_learns_from_its_validation_data_what_it_would_learn_alone(world: Path):
    for name in ("train", "valid", "test"):
        rows = [line.split("\t") for line in (world / f"{name}.tsv").read_text(encoding="utf-8").splitlines()[1:]]
        lines = [json.dumps({"text": text, "label": ["good"] if label == "1" else []}, ensure_ascii=False) for label, text in rows]
        (world / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    data = {name: f"{name}.jsonl" for name in ("train", "valid", "test")}
    praise = {"name": "praise", "task": {"name": "multi_label", "max_length": 32}, "data": data}
    [stage] = run_together(world, REVIEWS, praise, train={"epochs": 1, "batch_size": 8}).stages
    threshold = load(str(world / "out/stages/together/parts/praise/model")).task["threshold"]
    assert any(f"stage 'together': part 'praise': chosen on the validation data: threshold = {threshold:.4g}" in note for note in stage.notes)


def test_a_line_separator_inside_a_text_ends_no_line(tmp_path: Path):
    file = tmp_path / "predictions.jsonl"
    file.write_text('{"text": "一\u2028二", "correct": 1.0}\n{"text": "三\x85", "correct": 0.0}\n', encoding="utf-8")
    assert [line["correct"] for line in _lines(file)] == [1.0, 0.0]


def test_a_stage_that_began_elsewhere_is_not_compared_with(world: Path):
    train = {"epochs": 1, "batch_size": 8}
    alone = {**changed(MATCH, train=train), "from": "headless"}
    result = run_stages(world, alone, together(REVIEWS, LENGTHS, train=train))
    assert not [note for note in result.stages[-1].notes if "which trained it alone" in note]


def test_entities_are_compared_by_f1_over_all_of_them(world: Path):
    for name in ("train", "test"):
        rows = [line.split("\t")[1] for line in (world / f"{name}.tsv").read_text(encoding="utf-8").splitlines()[1:]]
        texts = ["\n".join(f"{character} {'B-GOOD' if character in '好很棒喜欢爱' else 'O'}" for character in text) for text in rows]
        (world / f"{name}.conll").write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    words = {"task": {"name": "tagging", "max_length": 32}, "data": {"train": "train.conll", "test": "test.conll"}}
    train = {"epochs": 3, "batch_size": 8, "learning_rate": 5e-3, "precision": "float32"}
    result = run_stages(world, {"name": "alone", "from": "base", **words, "train": train}, together({"name": "words", **words}, LENGTHS, train=train))
    [gain] = result.stages[-1].parts["words"]["gains"]
    assert gain["difference"] == pytest.approx(gain["together"] - gain["alone"])
    for place, f1 in (("alone", gain["alone"]), ("together/parts/words", gain["together"])):
        lines = [json.loads(line) for line in (world / "out/stages" / place / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
        spans = [[{(one["start"], one["end"], one["label"]) for one in said} for said in (line["entities"], line["gold"])] for line in lines]
        assert [line["counts"] for line in lines] == [[len(said & gold), len(said), len(gold)] for said, gold in spans]
        found, said, gold = (sum(column) for column in zip(*(line["counts"] for line in lines), strict=True))
        assert f1 == pytest.approx(2 * found / (said + gold))
