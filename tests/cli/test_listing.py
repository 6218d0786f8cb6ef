"""`bertsmith models MODEL`: what is really in a folder, without reading values, and the way out where a pre-trained head is missing."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bertsmith.checkpoint.licence import Licence, licence_of
from bertsmith.cli.opening import opened_to_look
from bertsmith.core.errors import CheckpointError
from bertsmith.inspecting import inspect
from bertsmith.inspecting.contents import contents_of
from bertsmith.models import create, families, load, save
from bertsmith.models.loading import outline
from bertsmith.objectives.base import HeadRequest
from bertsmith.objectives.remedy import recipe_for, without_head
from bertsmith.recipe.schema import parse
from bertsmith.tasks.opening import task_of
from bertsmith.tasks.single import SingleSentence
from bertsmith.text.tokenizer import Tokenizer
from tests.cli.conftest import CONFIG, VOCABULARY, Cli

WAY_OUT = "Continue pre-training first"


def test_a_pre_trained_folder(models: Path):
    found = contents_of(str(models / "pretrained"))
    assert (found["trained_heads"], found["notes"], found["labels"], found["task"]) == (["mlm"], [], [], {})
    assert found["absent_heads"] == sorted(set(families["bert"].heads) - {"mlm"})
    assert found["num_parameters"] == load(str(models / "pretrained")).model.num_parameters
    assert (found["num_layers"], found["hidden_size"], found["max_length"], found["vocabulary_size"]) == (2, 16, 64, 118)
    assert (found["tokenizer"], found["precisions"], found["architectures"]) == ("WordPiece, lower-cased", ["float32"], ["BertForMaskedLM"])
    assert found["weight_bytes"] == (models / "pretrained" / "model.safetensors").stat().st_size


def test_a_fine_tuned_folder_is_not_told_to_be_pre_trained(models: Path):
    found = contents_of(str(models / "single"))
    assert (found["labels"], found["task"]["name"], found["trained_heads"]) == (["差", "好"], "single", ["classification"])
    assert "mlm" in found["absent_heads"]
    assert found["notes"] == []


def test_a_folder_without_the_head_for_hidden_tokens_says_so_and_offers_the_way_out(cli: Cli, models: Path):
    ran = cli("models", models / "bare")
    assert ran.status == 0
    assert "trained heads       none" in ran.out
    assert f"{models / 'bare'} holds no trained mlm head, so it cannot fill a hidden token. {WAY_OUT}" in ran.out
    [note] = cli("models", models / "bare", "--json").json["notes"]
    stage = parse(note[note.index("[[stage]]") :]).stages[0]
    assert (stage.start, type(stage.objective).name) == (str(models / "bare"), "mlm")


def test_ids_that_a_vocabulary_leaves_out_are_told(cli: Cli, models: Path, tmp_path: Path):
    for file in (models / "pretrained").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "tokenizer.json").unlink()
    tokens = (tmp_path / "vocab.txt").read_text(encoding="utf-8").split("\n")
    tokens[7] = tokens[9]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens), encoding="utf-8")
    ran = cli("models", tmp_path)
    assert ran.status == 0
    assert "note: 1 of the 118 ids of the vocabulary have no token (the first is 7)" in ran.out
    assert cli("inspect", tmp_path, "很[MASK]").status == 0
    assert not any("no token" in note for note in contents_of(str(models / "pretrained"))["notes"])


def test_the_built_in_model_names_its_licence():
    found = contents_of("builtin:mini-zh")
    assert (found["licence"], found["licence_source"]) == ("apache-2.0", "README.md")


def test_a_mask_that_nothing_can_fill_is_answered_with_the_way_out(cli: Cli, models: Path):
    ran = cli("inspect", models / "bare", "很[MASK]")
    assert ran.status == 0
    said = " ".join(ran.out.split())
    assert WAY_OUT in said
    assert f'from = "{models / "bare"}"' in said
    checkpoint, _ = opened_to_look(str(models / "pretrained"))
    assert not inspect(checkpoint, "很[MASK]").notes


def test_a_task_that_needs_the_head_is_refused_with_the_way_out(models: Path):
    class Filled(SingleSentence):
        def heads(self) -> dict[str, HeadRequest]:
            return {"mlm": HeadRequest(pretrained=True)}

    from bertsmith.tasks import tasks

    tasks.register("filled")(Filled)
    try:
        checkpoint = replace(load(str(models / "bare")), task={"name": "filled", "labels": ["a", "b"]})
        with pytest.raises(CheckpointError, match=WAY_OUT):
            task_of(checkpoint, "some/model")
        task_of(replace(load(str(models / "pretrained")), task=checkpoint.task), "some/model")
    finally:
        tasks._things.pop("filled")


def test_a_head_that_no_objective_trains():
    assert recipe_for("nsp", "m") is None
    assert without_head("nsp", "m") == "m holds no trained nsp head; take a model that has one"


def test_values_are_not_read(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert all(weight.is_meta for weight in outline(str(models / "pretrained")).model.parameters())
    for file in (models / "pretrained").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    save_file({name: weight.fill_(torch.nan) for name, weight in weights.items()}, tmp_path / "model.safetensors")
    assert contents_of(str(tmp_path))["trained_heads"] == ["mlm"]
    with pytest.raises(CheckpointError, match="hold NaN"):
        load(str(tmp_path))


def test_a_large_folder_is_listed_at_once(tmp_path: Path):
    sizes = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12, "vocab_size": 30000}
    place = tmp_path / "large"
    with torch.device("meta"):
        shapes = families["bert"].from_config({"model_type": "bert", **sizes}).build_model({"pooler": 0})
    table = shapes.family.table(["pooler"])
    save(create("bert", Tokenizer.from_tokens(VOCABULARY), CONFIG), place)
    save_file({table.theirs(name) or "": torch.zeros(weight.shape) for name, weight in shapes.state_dict().items()}, place / "model.safetensors")
    config = (place / "config.json").read_text(encoding="utf-8")
    for key, value in {**sizes, "max_position_embeddings": 512}.items():
        config = config.replace(f'"{key}": {CONFIG.get(key, len(VOCABULARY))}', f'"{key}": {value}')
    (place / "config.json").write_text(config, encoding="utf-8")
    took: list[float] = []
    for _ in range(3):
        started = time.process_time()
        assert contents_of(str(place))["weight_bytes"] > 400e6
        took.append(time.process_time() - started)
    assert min(took) < 0.5


@pytest.mark.parametrize(
    ("files", "config", "expected"),
    [
        ({"README.md": "---\nlanguage: zh\nlicense: apache-2.0\n---\n# x"}, {}, Licence("apache-2.0", "README.md")),
        ({"README.md": "---\r\nlicense:\r\n- mit\r\n---\r\n"}, {}, Licence("mit", "README.md")),
        ({"README.md": "# x\nlicense: mit"}, {"license": "cc-by-4.0"}, Licence("cc-by-4.0", "config.json")),
        ({"LICENSE": "    Apache License\n   Version 2.0, January 2004"}, {}, Licence("apache-2.0", "LICENSE")),
        ({"LICENSE.txt": "Do what you want."}, {}, Licence("LICENSE.txt", "LICENSE.txt")),
        ({"README.md": "# x"}, {"license": None}, None),
    ],
)
def test_the_licence_is_found_where_the_folder_says_so(files: dict[str, str], config: dict[str, object], expected: Licence | None, tmp_path: Path):
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert licence_of(tmp_path, config) == expected


def test_an_adapter_beside_a_model_is_named(models: Path, tmp_path: Path):
    save(load(str(models / "pretrained")), tmp_path / "model")
    assert contents_of(str(tmp_path / "model"))["adapter"] is None
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    assert contents_of(str(tmp_path / "model"))["adapter"] == str(tmp_path / "adapter")
