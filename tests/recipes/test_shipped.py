"""Shipped recipes can be run: as they stand they are recipes, and with their data in place they are dry-run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bertsmith.models import create, load, save
from bertsmith.recipe import parse, read_recipe, to_toml
from bertsmith.recipe.run import run
from bertsmith.recipe.schema import BUILTIN, STAGE
from bertsmith.tasks.base import Task
from recipes.halves import write_halves

FOLDER = Path(__file__).resolve().parent.parent.parent / "recipes"
RECIPES = sorted(FOLDER.rglob("*.toml"))
DATA = (
    "chnsenticorp/*.tsv",
    "fewclue/bustm/*.json",
    "fewclue/eprstmt/*_0.json",
    "fewclue/eprstmt/test_public.json",
    "news_commentary_en_zh/*.tsv",
    "ocnli/*.json",
    "peopledaily/*.txt",
    "sst2/*.txt",
    "trec/*.txt",
    "wnut17/*.conll",
)
DIALOGUES = 300
LINES = 300
TOKENS = 6_000
"""Lines of a file that has a token in each."""
PARTS = {f"peopledaily/{part}.txt": "peopledaily/train.txt" for part in ("train.2k", "train.10k", "valid")}
"""What a recipe asks to be cut out of a file."""
READING = {"cmrc2018/dev.json": 100, "drcd/dev.json": 10, "drcd/test.json": 5}
"""Articles of nested files."""
OFFLINE = "builtin:mini-zh"
"""Stands for models of the Hub."""


@pytest.fixture(scope="module")
def beginnings(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first lines of every file that a recipe reads, in a folder like that of the whole files."""
    folder = tmp_path_factory.mktemp("data")
    for file in (file for pattern in DATA for file in shared_data.glob(pattern)):
        place = folder / file.relative_to(shared_data)
        place.parent.mkdir(parents=True, exist_ok=True)
        lines = TOKENS if file.parent.name in ("wnut17", "peopledaily") else LINES
        place.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:lines]))
    for part, whole in PARTS.items():
        (folder / part).write_bytes((folder / whole).read_bytes())
    for name, articles in READING.items():
        content = json.loads((shared_data / name).read_text(encoding="utf-8"))
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps({**content, "data": content["data"][:articles]}), encoding="utf-8")
    write_halves(folder / "cmrc2018/dev.json", folder / "cmrc2018")
    dialogues = json.loads((shared_data / "c3/dev.json").read_text(encoding="utf-8"))[:DIALOGUES]
    (folder / "c3").mkdir()
    (folder / "c3/dev.json").write_text(json.dumps(dialogues, ensure_ascii=False), encoding="utf-8")
    write_halves(folder / "c3/dev.json", folder / "c3")
    return folder


@pytest.fixture(scope="module")
def corpus(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What corpus.py would write, in small."""
    folder = tmp_path_factory.mktemp("corpus")
    lines = (shared_data / "corpora/cluecorpussmall_sample.txt").read_text(encoding="utf-8").splitlines()
    (folder / "corpus.txt").write_text("\n".join(lines[:200]), encoding="utf-8")
    (folder / "valid.txt").write_text("\n".join(lines[200:300]), encoding="utf-8")
    (folder / "vocab.txt").symlink_to(shared_data / "vocab/google_zh_vocab.txt")
    return folder


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stands for models of the Hub that write, which the built-in one does not."""
    folder = tmp_path_factory.mktemp("models") / "writer"
    sizes = {f"{side}_{size}": 2 for side in ("encoder", "decoder") for size in ("layers", "attention_heads", "ffn_dim")}
    save(create("bart", load(OFFLINE).tokenizer, {"d_model": 8, **sizes}, {"lm": 0}), folder)
    return folder


def test_there_are_recipes():
    assert {file.stem for file in RECIPES} >= {"reviews", "chnsenticorp", "ocnli-bustm", "sst2-minilm", "tapt-english", "pretrain", "c3"}


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_a_recipe_is_one_and_says_what_it_shows_how_it_is_run_and_where_its_data_is(file: Path):
    recipe = read_recipe(file)
    assert parse(to_toml(recipe)) == recipe
    comment = "".join(line for line in file.read_text(encoding="utf-8").splitlines(keepends=True) if line.startswith("#"))
    assert f"bertsmith run {file.relative_to(FOLDER.parent)}" in comment
    assert all(f"# {word}:" in comment for word in ("Shows", "Run", "Data"))


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_a_recipe_is_dry_run_on_its_data(file: Path, beginnings: Path, corpus: Path, writer: Path, tmp_path: Path):
    text = file.read_text(encoding="utf-8")
    place = [f"data_root={corpus if 'corpus.txt' in text else beginnings}"] if "data_root" in text else []
    from_hub = [stage for stage in read_recipe(file).stages if isinstance(stage.start, str) and not stage.start.startswith((STAGE, BUILTIN))]
    stands_in = {stage.name: writer if "lm" in stage.objective.heads() else OFFLINE for stage in from_hub}
    recipe = read_recipe(file, [*place, *(f"stage.{name}.from={model}" for name, model in stands_in.items())])
    result = run(recipe, tmp_path / "out", dry_run=True)
    assert [stage.action for stage in result.plan] == ["run"] * len(recipe.stages)
    for stage, planned in zip(recipe.stages, result.plan, strict=True):
        if isinstance(stage.objective, Task):
            assert planned.rows["train"] > 30
            assert planned.steps is not None
    assert not any("cannot be read" in note for note in result.notes)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [[1, 2, 3], {"version": "1", "data": [1, 2, 3]}])
def test_halves_share_no_text(content: Any, tmp_path: Path):
    (tmp_path / "whole.json").write_text(json.dumps(content))
    halves = [json.loads(file.read_text()) for file in write_halves(tmp_path / "whole.json", tmp_path)]
    assert halves == ([[1, 3], [2]] if isinstance(content, list) else [{"version": "1", "data": [1, 3]}, {"version": "1", "data": [2]}])
