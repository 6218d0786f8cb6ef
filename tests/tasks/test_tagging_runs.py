"""Tagging from files to a model, and from a model to entities, in a world where names of people and of places are told by their words."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bertsmith.core.errors import RecipeError
from bertsmith.core.types import Example
from bertsmith.inference.engine import Engine
from bertsmith.models import create, load, save
from bertsmith.recipe import parse
from bertsmith.recipe.result import RunResult
from bertsmith.recipe.run import run
from bertsmith.tasks.tagged_text import BROKEN
from bertsmith.text.tokenizer import Tokenizer
from tests.cli.conftest import Cli, cli  # noqa: F401

FIRST, LAST, PLACES, VERBS, REST = (
    ["ann", "bob", "carl", "dora"],
    ["smith", "jones"],
    ["rome", "oslo", "paris"],
    ["saw", "met", "left"],
    list("我在的了去"),
)
TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 64}
STAGE: dict[str, Any] = {
    "name": "names",
    "from": "base",
    "task": {"name": "tagging", "max_length": 24},
    "data": {"train": ["train.conll", "train.jsonl"], "valid": "valid.conll", "test": "test.conll"},
    "train": {"epochs": 8, "batch_size": 8, "learning_rate": 1e-2, "precision": "float32", "keep": "best:f1"},
}


@dataclass(frozen=True)
class Sentence:
    tokens: list[str]
    tags: list[str]

    @property
    def conll(self) -> str:
        return "".join(f"{token}\t{tag}\n" for token, tag in zip(self.tokens, self.tags, strict=True)) + "\n"

    @property
    def json(self) -> str:
        """The same as a text with spans, all tokens with a space between."""
        text, entities = " ".join(self.tokens), []
        place = 0
        for token, tag in zip(self.tokens, self.tags, strict=True):
            if tag.startswith("B"):
                entities.append({"start": place, "end": place + len(token), "label": tag[2:]})
            elif tag.startswith("I"):
                entities[-1]["end"] = place + len(token)
            place += len(token) + 1
        return json.dumps({"text": text, "entities": entities}) + "\n"


def sentence(generator: random.Random) -> Sentence:
    parts = [
        ([generator.choice(FIRST), generator.choice(LAST)], ["B-PER", "I-PER"]),
        ([generator.choice(PLACES)], ["B-LOC"]),
        ([generator.choice(VERBS)], ["O"]),
        ([generator.choice(REST), generator.choice(REST)], ["O", "O"]),
    ]
    chosen = generator.choices(parts, k=generator.randint(2, 5))
    return Sentence([token for tokens, _ in chosen for token in tokens], [tag for _, tags in chosen for tag in tags])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tagging")
    generator = random.Random(1)
    for name, count in (("train.conll", 48), ("valid.conll", 16), ("test.conll", 16)):
        (folder / name).write_text("".join(sentence(generator).conll for _ in range(count)), encoding="utf-8")
    (folder / "train.jsonl").write_text("".join(sentence(generator).json for _ in range(24)), encoding="utf-8")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *FIRST, *LAST, *PLACES, *VERBS, *REST]
    save(create("bert", Tokenizer.from_tokens(vocabulary), TINY, {}, seed=1), folder / "base")
    return folder


def run_stage(world: Path, out: Path, **changes: Any) -> RunResult:
    merged = {**STAGE, **{name: {**STAGE[name], **value} if isinstance(value, dict) else value for name, value in changes.items()}}
    return run(parse({"seed": 1, "stage": [merged]}, world / "recipe.toml"), out)


@pytest.fixture(scope="module", params=[{"crf": False}, {"crf": True, "scheme": "bioes"}], ids=["plain", "crf"])
def trained(request: pytest.FixtureRequest, world: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return run_stage(world, tmp_path_factory.mktemp("out") / "run", task=request.param)


def test_a_toy_set_is_learned_from_files_of_both_kinds(trained: RunResult):
    [stage] = trained.stages
    assert stage.data["train"]["rows"] == 72
    assert (stage.metrics["test"]["f1"] or 0) > 0.95
    assert stage.metrics["test"].keys() >= {"f1", "precision", "recall", "macro_f1", "strict_f1", "f1_LOC", "f1_PER"}
    assert not any("also in the training data" in note and "16 of 16" in note for note in stage.notes)


def test_predictions_are_written_beside_what_is_right(trained: RunResult):
    lines = [json.loads(line) for line in (trained.folder / "stages/names/predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 16
    wanted = ("start", "end", "label", "text")
    exact = [[{name: entity[name] for name in wanted} for entity in line["entities"]] == line["gold"] for line in lines]
    assert sum(exact) >= 14
    assert all(line["text"][entity["start"] : entity["end"]] == entity["text"] for line in lines for entity in line["entities"])


def test_the_model_folder_knows_its_tags(trained: RunResult):
    checkpoint = load(str(trained.model))
    assert checkpoint.labels[0] == "O"
    assert checkpoint.task["labels"] == ["LOC", "PER"]
    assert {label[2:] for label in checkpoint.labels[1:]} == {"LOC", "PER"}


def test_predict_takes_a_text_conll_and_json(trained: RunResult, world: Path, tmp_path: Path, cli: Cli):  # noqa: F811
    said = cli("predict", trained.model, "--text", "我在rome了 ann smith")
    assert said.status == 0
    assert [(entity["text"], entity["label"]) for entity in said.json["entities"]] == [("rome", "LOC"), ("ann smith", "PER")]
    (tmp_path / "new.txt").write_text("ann smith saw rome\n的了\n", encoding="utf-8")
    assert [[entity["label"] for entity in line["entities"]] for line in cli("predict", trained.model, tmp_path / "new.txt").lines] == [
        ["PER", "LOC"],
        [],
    ]
    ran = cli("predict", trained.model, world / "test.conll")
    assert (ran.status, len(ran.lines)) == (0, 16)
    assert ran.lines[0].keys() == {"line", "text", "entities", "tags"}
    (tmp_path / "new.jsonl").write_text('{"id": 7, "tokens": ["我", "在", "oslo"]}\n{"id": 8}\n{"id": 9, "text": "bob jones"}\n', encoding="utf-8")
    mixed = cli("predict", trained.model, tmp_path / "new.jsonl")
    assert mixed.status == 2
    assert [line["id"] for line in mixed.lines] == [7, 9]
    assert mixed.lines[0]["tags"][2][2:] == "LOC"
    assert "new.jsonl:2: no text and no tokens" in mixed.err


def test_evaluate(trained: RunResult, world: Path, cli: Cli):  # noqa: F811
    ran = cli("evaluate", trained.model, world / "test.conll")
    assert ran.status == 0
    assert ran.json["metrics"]["f1"] == pytest.approx(trained.stages[0].metrics["test"]["f1"], abs=1e-9)
    assert ran.json["main_metric"] == "f1"
    assert ran.json["baseline"]["f1"] == 0
    assert ran.json["interval"]["low"] <= ran.json["metrics"]["f1"] <= ran.json["interval"]["high"]


def test_inspect_shows_the_entities(trained: RunResult, cli: Cli):  # noqa: F811
    ran = cli("inspect", trained.model, "我在rome了", "--json")
    assert ran.status == 0
    assert ran.json["prediction"]["entities"][0]["text"] == "rome"
    shown = cli("inspect", trained.model, "我在rome了")
    assert shown.status == 0
    assert "LOC" in shown.out


def test_a_long_text_is_read_in_windows(trained: RunResult):
    tokens = ["我", "去"] * 10 + ["ann", "smith"] + ["的", "了"] * 12 + ["oslo"] + ["在"] * 30
    engine = Engine.open(trained.model, precision="float32", device="cpu")
    [prediction] = engine.predict([Example({"tokens": tokens})])
    assert [(entity["text"], entity["label"]) for entity in prediction["entities"]] == [("ann smith", "PER"), ("oslo", "LOC")]
    assert prediction["tags"][20][2:] == "PER"


def test_broken_tags_are_mended_and_counted(world: Path, tmp_path: Path):
    broken = (world / "valid.conll").read_text(encoding="utf-8").replace("B-LOC", "I-LOC")
    (world / "broken.conll").write_text(broken, encoding="utf-8")
    [stage] = run_stage(world, tmp_path / "out", data={"valid": "broken.conll"}, train={"epochs": 1}).stages
    [(reason, count)] = stage.data["valid"]["mended"].items()
    assert reason == BROKEN
    assert count > 5
    assert any(f"valid: {count} rows were mended: {BROKEN}" in note for note in stage.notes)


def test_bad_rows_stop_a_run_with_their_places(world: Path, tmp_path: Path):
    (world / "bad.jsonl").write_text(
        '{"text": "a b", "entities": [{"start": 0, "end": 9, "label": "A"}]}\n{"text": "a", "entities": "none"}\n', encoding="utf-8"
    )
    with pytest.raises(RecipeError) as caught:
        run_stage(world, tmp_path / "out", data={"train": "bad.jsonl"})
    assert "bad.jsonl:1: entity 'A' at 0 to 9 is not inside the text" in str(caught.value)
    assert "bad.jsonl:2: entities are 'none' (str)" in str(caught.value)


def test_the_same_types_keep_the_last_layer_of_an_earlier_stage(trained: RunResult, world: Path, tmp_path: Path):
    task = {"crf": trained.stages[0].objective == "tagging" and load(str(trained.model)).task.get("crf", False)}
    scheme = load(str(trained.model)).task["scheme"]
    again = run_stage(
        world,
        tmp_path / "out",
        **{"from": str(trained.model)},
        task={**task, "scheme": scheme},
        train={"epochs": 0.2, "learning_rate": 1e-9, "keep": "last"},
    )
    assert not any("begins anew" in note or "is new" in note for note in again.stages[0].notes)
    assert (again.stages[0].metrics["test"]["f1"] or 0) > 0.95
