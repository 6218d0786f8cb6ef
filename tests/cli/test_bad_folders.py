"""What a bad model folder is answered with: one message with all of it, exit status 2, no traceback, nothing written."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from bertsmith.models import create, save
from bertsmith.text.tokenizer import Tokenizer
from tests.cli.conftest import CONFIG, VOCABULARY, Cli

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
WORDS = "bert.embeddings.word_embeddings.weight"
NORM = "bert.embeddings.LayerNorm.weight"
Damage = Callable[[Path], object]


@pytest.fixture
def folder(models: Path, tmp_path: Path) -> Path:
    """A copy of a good folder, to be damaged."""
    place = tmp_path / "model"
    place.mkdir()
    for file in (models / "pretrained").iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    return place


def change(folder: Path, **changes: Any) -> None:
    content = {**json.loads((folder / "config.json").read_text()), **changes}
    (folder / "config.json").write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))


def edit(folder: Path, edited: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / WEIGHTS)
    edited(weights)
    save_file(weights, folder / WEIGHTS)


def shard(folder: Path, *, pickled: bool = False) -> list[Path]:
    """Cut the weights into three files with an index."""
    weights = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    name = "pytorch_model-0000{}-of-00003.bin" if pickled else "model-0000{}-of-00003.safetensors"
    homes = {weight: name.format(1 + number % 3) for number, weight in enumerate(weights)}
    for home in sorted(set(homes.values())):
        part = {weight: weights[weight] for weight in weights if homes[weight] == home}
        torch.save(part, folder / home) if pickled else save_file(part, folder / home)
    index = "pytorch_model.bin.index.json" if pickled else INDEX
    (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": homes}))
    return sorted(folder / home for home in set(homes.values()))


def remap(folder: Path, **places: str) -> None:
    """Have the index give other files for some weights."""
    content = json.loads((folder / INDEX).read_text())
    content["weight_map"] |= places
    (folder / INDEX).write_text(json.dumps(content))


class Harmful:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.trace}",)


def of_another_family(folder: Path) -> None:
    change(folder, model_type="roberta", pad_token_id=1)


def missing_extra_and_wrong(folder: Path) -> None:
    edit(folder, lambda weights: (weights.pop(NORM), weights.update({"bert.extra.weight": torch.ones(2), WORDS: torch.ones(3, 16)})))


def unknown_arithmetic(folder: Path) -> None:
    change(folder, position_embedding_type="relative_key", is_decoder=True, qk_norm=True, hidden_act="swiglu")


def smaller_embedding(folder: Path) -> None:
    change(folder, vocab_size=50)
    edit(folder, lambda weights: weights.update({WORDS: weights[WORDS][:50].clone(), "cls.predictions.bias": torch.zeros(50)}))


def missing_shards(folder: Path) -> None:
    for file in shard(folder)[1:]:
        file.unlink()


def truncated_shards(folder: Path) -> None:
    for file in shard(folder)[:2]:
        file.write_bytes(file.read_bytes()[:-40])


def weights_in_two_shards(folder: Path) -> None:
    first, second, _ = shard(folder)
    save_file({**load_file(second), **load_file(first)}, second)


def weights_in_no_shard(folder: Path) -> None:
    first = shard(folder)[0]
    weights = load_file(first)
    weights.pop(min(weights))
    save_file(weights, first)


def pickle_with_code(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({WORDS: Harmful(folder / "harm")}, protocol=2))


def shards_with_code(folder: Path) -> None:
    for file in shard(folder, pickled=True)[:2]:
        torch.save({"a": Harmful(folder / "harm")}, file)


def shards_elsewhere(folder: Path) -> None:
    shard(folder)
    remap(folder, **{WORDS: "../outside.safetensors", NORM: "/etc/passwd"})


def links_out(folder: Path) -> None:
    for name in (WEIGHTS, "config.json"):
        (folder / name).rename(folder.parent / name)
        (folder / name).symlink_to(folder.parent / name)


BAD: dict[Damage, list[str]] = {
    of_another_family: ["do not belong to a roberta model", "is model_type in", "config.json right?", "their names are those of bert", WORDS],
    missing_extra_and_wrong: [
        f"{NORM} is missing",
        "bert.extra.weight is there; no bert model has it",
        f"{WORDS} has the shape [3, 16]; config.json asks for [118, 16]",
    ],
    unknown_arithmetic: ["position_embedding_type is 'relative_key'", "is_decoder is True", "qk_norm is True"],
    smaller_embedding: ["has 118 tokens and the model embeds 50: they are not of one model"],
    missing_shards: ["names 3 shards; 2 are not there", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors"],
    truncated_shards: ["the shards of", "model-00001-of-00003.safetensors cannot be read", "model-00002-of-00003.safetensors cannot be read"],
    weights_in_two_shards: ["the shards of", " is in model-00001-of-00003.safetensors and in model-00002-of-00003.safetensors"],
    weights_in_no_shard: ["the shards of", " is not in model-00001-of-00003.safetensors, where model.safetensors.index.json has it"],
    pickle_with_code: ["pytorch_model.bin", "carries code, which was not run"],
    shards_with_code: ["pytorch_model-00001-of-00003.bin", "pytorch_model-00002-of-00003.bin", "carries code, which was not run"],
    shards_elsewhere: ["names files outside its folder", "../outside.safetensors", "/etc/passwd"],
    links_out: ["lead out of it, and are not followed", "config.json →", f"{WEIGHTS} →"],
}


@pytest.mark.parametrize("damage", BAD, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("command", ["models", "convert", "embed"])
def test_a_bad_folder_is_one_message(command: str, damage: Damage, cli: Cli, folder: Path, tmp_path: Path):
    damage(folder)
    out = tmp_path / "out"
    ran = cli(command, folder, *{"models": [], "convert": [out], "embed": ["-"]}[command], stdin="你好\n")
    assert ran.status == 2, ran.err
    assert ran.out == ""
    assert ran.err.count("error: ") == 1
    assert "Traceback" not in ran.err
    assert str(folder) in ran.err
    lacking = [part for part in BAD[damage] if part not in ran.err]
    assert lacking == [], ran.err
    assert not (folder / "harm").exists()
    assert not out.exists()


def test_values_that_are_not_finite_are_found_where_values_are_read(cli: Cli, folder: Path, tmp_path: Path):
    edit(folder, lambda weights: weights[NORM].fill_(float("nan")))
    ran = cli("convert", folder, tmp_path / "out")
    assert ran.status == 2
    assert "hold NaN or infinity" in ran.err
    assert NORM in ran.err
    assert cli("models", folder, "--json").json["trained_heads"] == ["mlm"]


def test_a_snapshot_of_the_hubs_cache_is_read_through_its_links(cli: Cli, models: Path, tmp_path: Path):
    blobs, snapshot = tmp_path / "models--a--b" / "blobs", tmp_path / "models--a--b" / "snapshots" / "0123"
    for place in (blobs, snapshot):
        place.mkdir(parents=True)
    for number, file in enumerate(sorted((models / "pretrained").iterdir())):
        (blobs / str(number)).write_bytes(file.read_bytes())
        (snapshot / file.name).symlink_to(Path("../../blobs") / str(number))
    assert cli("models", snapshot, "--json").json["trained_heads"] == ["mlm"]


def test_a_link_within_the_folder_is_followed(cli: Cli, folder: Path):
    (folder / WEIGHTS).rename(folder / "weights.0001")
    (folder / WEIGHTS).symlink_to("weights.0001")
    assert cli("models", folder, "--json").json["trained_heads"] == ["mlm"]


def test_every_family_names_the_one_whose_weights_were_given_to_it(cli: Cli, tmp_path: Path):
    tokenizer = Tokenizer.from_tokens(VOCABULARY)
    save(create("electra", tokenizer, {**CONFIG, "embedding_size": 8}, {"replaced": 0}), tmp_path / "model")
    change(tmp_path / "model", model_type="bert", embedding_size=...)
    ran = cli("models", tmp_path / "model")
    assert ran.status == 2
    assert "do not belong to a bert model" in ran.err
    assert "their names are those of electra" in ran.err
