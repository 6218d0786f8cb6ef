"""What is wrong with data and models is found before the first step, all of it, with its place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bertsmith.core.errors import RecipeError
from bertsmith.recipe import preparing
from tests.recipe.conftest import ADAPT, MATCH, Listener, changed, run_stages

ALONE = MATCH | {"from": "base"}


def problems(world: Path, *stages: dict, **options: object) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        run_stages(world, *stages, **options)
    assert not (world / "out/stages").exists()
    return list(caught.value.problems)


def test_all_that_is_wrong_is_found_at_once_and_before_anything_is_written(world: Path):
    (world / "unknown.tsv").write_text("label\ttext\n1\t好\n2\t坏\n1\t爱\n很\t好\n")
    found = problems(
        world,
        changed(ADAPT, data={"train": "rwa.txt"}, **{"from": "./no-such-model"}),
        changed(ALONE, data={"valid": "unknown.tsv"}),
        changed(ALONE, name="third", data={"test": "tset.tsv"}, train={"keep": "best:acuracy"}),
        changed(ALONE, name="fourth", tuning={"name": "frozen", "layers": 9}, task={"max_length": 500}),
    )
    said = "\n".join(found)
    assert "stage 'adapt' (stage[0]).from: " in said
    assert "no-such-model" in said
    assert "stage 'adapt' (stage[0]).data.train: there is no file" in said
    assert "(did you mean 'raw.txt'?)" in said
    assert "stage 'match' (stage[1]).data.valid: 2 examples cannot be used for the task 'single'" in said
    assert "unknown.tsv:3: label '2' is not one of '0', '1'" in said
    assert "unknown.tsv:5: label '很' is not one of '0', '1'" in said
    assert "stage 'third' (stage[2]).data.test: there is no file" in said
    assert "stage 'fourth' (stage[3]).tuning: layers is 9, and the model has 2 blocks" in said
    assert "stage 'fourth' (stage[3]).task.max_length: got 500; the model has 64 positions" in said
    assert len(found) == 6


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (changed(ALONE, train={"keep": "best:acuracy"}), ".train.keep: got 'best:acuracy' (did you mean 'accuracy'?); what is measured: accuracy, "),
        (
            changed(ADAPT, data={"valid": 0.1}, train={"keep": "best:accuracy"}),
            ".train.keep: got 'best:accuracy'; what is measured: loss, perplexity",
        ),
        (changed(ADAPT, train={"keep": "best"}), ".train: keep = 'best': there is no validation data; give data.valid"),
        (changed(ADAPT, train={"patience": 2, "evaluate_every": 5}), "train: patience and evaluate_every: there is no validation data"),
        (changed(ALONE, data={"train": "raw.txt"}), "data.train: "),
        (changed(ALONE, data={"columns": {"text": "txt"}}), "no column 'txt' for text (did you mean 'text'?)"),
        (changed(ALONE, data={"train": "*.nothing"}), "data.train: no file matches the pattern"),
        (changed(ALONE, data={"train": "base"}), "data.train: "),
        (changed(ALONE, **{"from": "raw.txt"}), "from: "),
        (changed(ALONE, **{"from": "broken"}), "config.json is missing"),
        (
            changed(ALONE, **{"from": {"family": "bert", "tokenizer": "vocab.txt", "vocab_size": 3}}),
            "from: the vocabulary in a new bert model has 31 tokens and the model embeds 3",
        ),
        (changed(ALONE, **{"from": {"family": "bert", "tokenizer": "no.txt"}}), "from: "),
        (changed(ALONE, task={"name": "pair"}), "no column is known to be text_pair"),
        (changed(ALONE, task={"name": "single", "labels": ["1", "2"]}), "label '0' is not one of '1', '2'"),
        (changed(ALONE, data={"train": "one.tsv"}), "only the label '1' in 2 examples"),
        (changed(ALONE, data={"train": "bad.tsv"}), "bad.tsv:3: "),
        (changed(ALONE, data={"train": "empty.tsv"}), "is empty"),
    ],
)
def test_a_mistake_that_only_files_can_tell(world: Path, stage: dict, message: str, dry_run: bool):
    (world / "broken").mkdir()
    (world / "one.tsv").write_text("label\ttext\n1\t好\n1\t爱\n")
    (world / "bad.tsv").write_text("label\ttext\n1\t好\n1\n0\t坏\n")
    (world / "empty.tsv").touch()
    found = problems(world, stage, dry_run=dry_run)
    assert all(message in problem for problem in found), found
    assert all(problem.startswith(f"stage '{stage['name']}' (stage[0])") for problem in found)


def test_all_data_files_of_all_stages_are_reported_together(world: Path):
    (world / "bad.jsonl").write_text('{"text": "好"}\n' * 3 + "no json\n")
    (world / "other.tsv").write_text("label\ttext\n7\t好\n")
    found = problems(
        world,
        changed(ADAPT, data={"train": "gone.txt", "valid": "base"}),
        changed(ALONE, data={"train": "bad.jsonl", "valid": "gone.tsv", "test": "base"}),
        changed(ALONE, name="third", data={"valid": "other.tsv", "test": "other.tsv"}),
        dry_run=True,
    )
    places = [problem.partition(": ")[0].partition(").")[2] for problem in found]
    assert sorted(places) == ["data.test", "data.test", "data.train", "data.train", "data.valid", "data.valid", "data.valid"]


def test_broken_weights_of_a_later_stage_are_found_before_the_first_one(world: Path):
    shutil.copytree(world / "base", world / "cut")
    whole = (world / "cut/model.safetensors").read_bytes()
    (world / "cut/model.safetensors").write_bytes(whole[:-10])
    [found] = problems(world, ADAPT, MATCH | {"from": "cut"}, dry_run=True)
    assert found.startswith("stage 'match' (stage[1]).from: ")
    assert "model.safetensors cannot be read" in found


def test_bad_raw_text_is_found_before_the_first_step(world: Path):
    (world / "raw.jsonl").write_text('{"text": "好"}\n' * 300 + "no json\n")
    listener = Listener()
    stages = [ADAPT, changed(ADAPT, name="second", data={"train": "raw.jsonl"})]
    with pytest.raises(RecipeError, match=r"stage 'second' .*data.train: 1 rows? cannot be read(.|\n)*raw.jsonl:301: "):
        run_stages(world, *stages, progress=listener)
    assert listener.steps == 0
    result = run_stages(world, ADAPT, changed(ADAPT, name="second", data={"train": "raw.jsonl", "skip_bad_lines": True}), progress=listener)
    assert listener.told("stage 'second': train: 1 row could not be read and was left out")
    assert result.stages[1].data["train"]["skipped"] == 1


@pytest.mark.parametrize("valid", [None, 0.3])
def test_lines_that_were_left_out_are_told_of_when_the_encoded_text_is_used_again(world: Path, valid: float | None):
    (world / "raw.jsonl").write_text('{"text": "好好好好"}\n' * 30 + "no json\n")
    data = {"train": "raw.jsonl", "skip_bad_lines": True, **({} if valid is None else {"valid": valid})}
    for steps in (2, 3):
        listener = Listener()
        [stage] = run_stages(world, changed(ADAPT, data=data, train={"steps": steps}), progress=listener).stages
        assert not stage.cached
        assert listener.told("train: 1 row could not be read and was left out")
        assert stage.data["train"]["skipped"] == 1
        assert [line.partition(": ")[0] for line in stage.data["train"]["skipped_lines"]] == [f"{world / 'raw.jsonl'}:31"]


def test_text_that_another_release_has_encoded_is_encoded_anew(world: Path, monkeypatch: pytest.MonkeyPatch):
    run_stages(world, ADAPT)
    [before] = (world / "out/cache").iterdir()
    monkeypatch.setattr(preparing, "version", lambda _: "99.0")
    run_stages(world, changed(ADAPT, train={"steps": 3}))
    assert len({before, *(world / "out/cache").iterdir()}) == 2


def test_a_technique_that_leaves_nothing_to_train_is_refused(world: Path):
    (world / "pairs.jsonl").write_text('{"text": "我好", "text_pair": "你好"}\n' * 8)
    stage = {"name": "embed", "from": "base", "task": {"name": "embedding", "max_length": 16}, "data": {"train": "pairs.jsonl"}, "tuning": "frozen"}
    [found] = problems(world, stage, dry_run=True)
    assert found == (
        "stage 'embed' (stage[0]).tuning: 'frozen' lets the whole encoder rest, and there is no head on it: nothing is left to train; "
        "let less rest, or take another technique"
    )


def test_the_user_is_told_of_what_was_left_out_cut_off_and_met_before(world: Path):
    lines = (world / "train.tsv").read_text().splitlines()
    (world / "mixed.tsv").write_text("\n".join([*lines, "-\t很好", "broken", "1\t" + "好" * 80]) + "\n")
    (world / "leaked.tsv").write_text("\n".join([*lines[:4], "1\t好好好"]) + "\n")
    data = {"train": "mixed.tsv", "test": "leaked.tsv", "valid": 0.1, "skip_bad_lines": True}
    listener = Listener()
    result = run_stages(world, changed(ALONE, data=data, task={"max_length": 12}), progress=listener)
    assert listener.told("stage 'match': train: 1 row was left out: label '-' (no gold label)")
    assert listener.told("1 row could not be read and was left out")
    assert listener.told("mixed.tsv:51")
    assert listener.told("test: 3 of 4 texts are also in the training data")
    assert listener.told("of the texts are longer than max_length = 12 and lose their end")
    match = result.stages[0]
    assert match.data["train"]["dropped"] == {"label '-' (no gold label)": 1}
    assert match.data["train"]["skipped"] == 1
    assert match.data["train"]["dropped_rows"] == {"label '-' (no gold label)": [f"{world / 'mixed.tsv'}:50"]}
    assert [line.partition(": ")[0] for line in match.data["train"]["skipped_lines"]] == [f"{world / 'mixed.tsv'}:51"]
    assert match.data["train"]["rows"] + match.data["valid"]["rows"] == 49
    assert match.data["train"]["truncated"] > 0
    assert sorted(match.notes) == sorted(note for note in listener.notes if note.startswith("stage 'match':"))


def test_a_share_of_raw_text_is_held_out_once_and_found_again(world: Path):
    stage = changed(ADAPT, data={"valid": 0.25})
    first = run_stages(world, stage).stages[0]
    rows = {split: first.data[split]["rows"] for split in ("train", "valid")}
    assert 0 < rows["valid"] < rows["train"]
    listener = Listener()
    second = run_stages(world, changed(stage, train={"steps": 5}), progress=listener).stages[0]
    assert not any(what.startswith("encode") for what in listener.work)
    assert {split: second.data[split]["rows"] for split in rows} == rows
    whole = run_stages(world, ADAPT, out="whole").stages[0]
    assert whole.data["train"]["rows"] == sum(rows.values())


def test_a_share_so_small_that_nothing_is_held_out_is_said(world: Path):
    with pytest.raises(RecipeError, match=r"data\.train: not one row is left"):
        run_stages(world, changed(ADAPT, data={"valid": 1e-9}))


def test_an_undefined_metric_is_null_in_the_files(world: Path):
    run_stages(world, ALONE)
    content = (world / "out/result.json").read_text()
    json.loads(content, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
