"""Shipped recipes can be run: as they stand they are recipes, and with their data in place they are dry-run."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertsmith.recipe import parse, read_recipe, to_toml
from bertsmith.recipe.run import run
from bertsmith.recipe.schema import BUILTIN, STAGE
from bertsmith.tasks.base import Task

FOLDER = Path(__file__).resolve().parent.parent.parent / "recipes"
RECIPES = sorted(FOLDER.rglob("*.toml"))
DATA = (
    "chnsenticorp/*.tsv",
    "fewclue/bustm/*.json",
    "fewclue/eprstmt/*_0.json",
    "fewclue/eprstmt/test_public.json",
    "ocnli/*.json",
    "sst2/*.txt",
    "trec/*.txt",
)
LINES = 300
OFFLINE = "builtin:mini-zh"
"""Stands for models of the Hub."""


@pytest.fixture(scope="module")
def beginnings(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first lines of every file that a recipe reads, in a folder like that of the whole files."""
    folder = tmp_path_factory.mktemp("data")
    for file in (file for pattern in DATA for file in shared_data.glob(pattern)):
        place = folder / file.relative_to(shared_data)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:LINES]))
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


def test_there_are_recipes():
    assert {file.stem for file in RECIPES} >= {"reviews", "chnsenticorp", "ocnli-bustm", "sst2-minilm", "tapt-english", "pretrain"}


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_a_recipe_is_one_and_says_what_it_shows_how_it_is_run_and_where_its_data_is(file: Path):
    recipe = read_recipe(file)
    assert parse(to_toml(recipe)) == recipe
    comment = "".join(line for line in file.read_text(encoding="utf-8").splitlines(keepends=True) if line.startswith("#"))
    assert f"bertsmith run {file.relative_to(FOLDER.parent)}" in comment
    assert all(f"# {word}:" in comment for word in ("Shows", "Run", "Data"))


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_a_recipe_is_dry_run_on_its_data(file: Path, beginnings: Path, corpus: Path, tmp_path: Path):
    text = file.read_text(encoding="utf-8")
    place = [f"data_root={corpus if 'corpus.txt' in text else beginnings}"] if "data_root" in text else []
    from_hub = [stage.name for stage in read_recipe(file).stages if isinstance(stage.start, str) and not stage.start.startswith((STAGE, BUILTIN))]
    recipe = read_recipe(file, [*place, *(f"stage.{name}.from={OFFLINE}" for name in from_hub)])
    result = run(recipe, tmp_path / "out", dry_run=True)
    assert [stage.action for stage in result.plan] == ["run"] * len(recipe.stages)
    for stage, planned in zip(recipe.stages, result.plan, strict=True):
        if isinstance(stage.objective, Task):
            assert planned.rows["train"] > 30
            assert planned.steps is not None
    assert not any("cannot be read" in note for note in result.notes)
    assert not (tmp_path / "out").exists()
