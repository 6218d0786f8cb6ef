"""A corner of the world that is small enough to train in seconds: a vocabulary, a model of one layer, reviews and raw text."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bertsmith.models.loading import create, save
from bertsmith.recipe import parse
from bertsmith.recipe.result import RunResult
from bertsmith.recipe.run import run
from bertsmith.text.tokenizer import Tokenizer

GOOD, BAD, NEUTRAL = "好很棒喜欢爱", "坏差烂讨厌恨", "我你他的是在有这那书店酒店房间"
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(GOOD + BAD + NEUTRAL)]
TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 64}


@dataclass
class Listener:
    """Progress that remembers."""

    notes: list[str] = field(default_factory=list)
    work: list[str] = field(default_factory=list)
    at_step: Callable[[int], None] | None = None
    steps: int = 0

    def begin(self, what: str, total: float | None, unit: str) -> None:
        self.work.append(what)

    def advance(self, amount: float = 1, **numbers: float) -> None:
        if "loss" in numbers:
            self.steps += 1
            if self.at_step:
                self.at_step(self.steps)

    def end(self) -> None:
        pass

    def note(self, message: str) -> None:
        self.notes.append(message)

    def told(self, words: str) -> bool:
        return any(words in note for note in self.notes)


def review(generator: random.Random) -> tuple[str, str]:
    """A text and its label."""
    label = generator.choice("01")
    words = generator.choices(NEUTRAL, k=generator.randint(4, 10)) + generator.choices(GOOD if label == "1" else BAD, k=4)
    return "".join(words), label


def write_world(folder: Path) -> None:
    """Everything that the recipes of these tests name."""
    generator = random.Random(1)
    for name, rows in (("train", 48), ("valid", 16), ("test", 16)):
        lines = [f"{label}\t{text}\n" for text, label in (review(generator) for _ in range(rows))]
        (folder / f"{name}.tsv").write_text("label\ttext\n" + "".join(lines), encoding="utf-8")
    raw = [review(generator)[0] + ("\n\n" if number % 4 == 0 else "\n") for number in range(80)]
    (folder / "raw.txt").write_text("".join(raw), encoding="utf-8")
    (folder / "vocab.txt").write_text("\n".join(TOKENS) + "\n", encoding="utf-8")
    save(create("bert", Tokenizer.from_tokens(TOKENS), TINY, {"mlm": 0}, seed=1), folder / "base")
    save(create("bert", Tokenizer.from_tokens(TOKENS), TINY, {}, seed=1), folder / "headless")


@pytest.fixture(scope="session")
def made_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    return folder


@pytest.fixture
def world(made_world: Path, tmp_path: Path) -> Path:
    """A folder of this test's own with links to what every test may read."""
    for file in made_world.iterdir():
        (tmp_path / file.name).symlink_to(file)
    return tmp_path


ADAPT: dict[str, Any] = {
    "name": "adapt",
    "from": "base",
    "objective": {"name": "mlm", "unit": "token", "max_length": 32},
    "data": {"train": "raw.txt"},
    "train": {"steps": 4, "learning_rate": 1e-3, "precision": "float32"},
}
MATCH: dict[str, Any] = {
    "name": "match",
    "from": "stage:adapt",
    "task": {"name": "single", "max_length": 32},
    "data": {"train": "train.tsv", "valid": "valid.tsv", "test": "test.tsv"},
    "train": {"epochs": 2, "batch_size": 16, "learning_rate": 5e-3, "precision": "float32"},
}


def changed(stage: dict[str, Any], **tables: Any) -> dict[str, Any]:
    """A stage with other values; a table is merged into the stage's."""
    merged = {name: {**stage[name], **value} for name, value in tables.items() if isinstance(value, dict) and isinstance(stage.get(name), dict)}
    return {**stage, **tables, **merged}


def run_stages(world: Path, *stages: dict[str, Any], out: str = "out", seed: int = 1, **options: Any) -> RunResult:
    return run(parse({"seed": seed, "stage": list(stages)}, world / "recipe.toml"), world / out, **options)
