"""Writing on the command line: a model is trained, measured, used and looked at; bad data is said with its lines."""

import json
from pathlib import Path
from typing import Any

import pytest

from bertsmith.models import load
from bertsmith.text.tokenizer import Tokenizer
from tests.cli.conftest import Cli

LETTERS = "abcdefgh"
MODEL = {
    "decoder_start_token_id": 3,
    "eos_token_id": 3,
    "bos_token_id": 2,
    "forced_eos_token_id": 3,
    "d_model": 16,
    "max_position_embeddings": 32,
} | {f"{side}_{size}": value for side in ("encoder", "decoder") for size, value in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 16))}


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def letters(number: int) -> str:
    return " ".join(LETTERS[(number + step) % 8] for step in range(3 + number % 3))


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Data and a recipe; of the sources some are too long, and of the targets."""
    Tokenizer.from_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS]).save(tmp_path / "tokenizer")
    rows = [{"text": letters(number), "target": letters(number)[:3], "id": number} for number in range(60)]
    (tmp_path / "train.jsonl").write_text(lines([*rows, {"text": "a " * 50, "target": "b " * 50}, {"text": "a", "target": ""}]), encoding="utf-8")
    (tmp_path / "test.jsonl").write_text(lines([*rows[:8], {"text": "a b", "target": ["c", "a"]}]), encoding="utf-8")
    table = ", ".join(f"{name} = {value}" for name, value in MODEL.items())
    (tmp_path / "recipe.toml").write_text(
        f"""
[[stage]]
name = "letters"
from = {{ family = "bart", tokenizer = "tokenizer", {table} }}
task = {{ name = "text_to_text", max_length = 12, max_new_tokens = 6, beams = 2 }}
data = {{ train = "train.jsonl", valid = "test.jsonl", test = "test.jsonl" }}
train = {{ epochs = 2, batch_tokens = 200, learning_rate = 3e-3, keep = "best", precision = "float32" }}
""",
        encoding="utf-8",
    )
    return tmp_path


def test_from_a_recipe_to_texts(cli: Cli, world: Path):
    ran = cli("run", world / "recipe.toml", "--out", world / "run")
    assert ran.status == 0, ran.err
    assert "train: 1 row was left out: target is empty" in ran.err
    assert "train: 2% of the texts are longer than max_length = 12" in ran.err
    assert "train: 2% of the targets are longer than max_new_tokens = 6" in ran.err
    result = json.loads((world / "run/result.json").read_text(encoding="utf-8"))["stages"][0]
    assert {"rougeL", "exact_match"} <= result["metrics"]["test"].keys()
    evaluations = [json.loads(line) for line in (world / "run/metrics.jsonl").read_text(encoding="utf-8").splitlines() if "valid" in line]
    assert [set(line["valid"]) for line in evaluations] == [{"loss", "perplexity"}] * 2, "during training, what is quick"
    predictions = [json.loads(line) for line in (world / "run/stages/letters/predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert predictions[-1]["gold"] == ["c", "a"]

    model = world / "run/model"
    assert json.loads((model / "generation_config.json").read_text(encoding="utf-8"))["num_beams"] == 2
    new = world / "new.jsonl"
    new.write_text(lines([{"text": "a b c", "id": 7}, {"text": "a " * 40}, {"text": ""}]), encoding="utf-8")
    ran = cli("predict", model, new)
    assert ran.status == 2
    assert "text is empty" in ran.err
    assert "1 of 2 texts is longer than max_length = 12; the end was cut off" in ran.err
    first, second = ran.lines
    assert set(first) == {"line", "id", "text", "output", "score"}
    assert (first["line"], first["id"], second["line"]) == (1, 7, 2)
    assert 0 <= first["score"] <= 1

    measured = cli("evaluate", model, world / "test.jsonl").json
    assert measured["metrics"]["rougeL"] == pytest.approx(result["metrics"]["test"]["rougeL"], abs=1e-3)
    assert (measured["main_metric"], measured["n"]) == ("rougeL", 9)
    assert 0 < measured["baseline"]["rougeL"] < 1
    seen = cli("inspect", model, "a b c")
    assert (seen.status, seen.err) == (0, "")
    assert f"prediction: output {first['output']}" in seen.out
    assert cli("check", world / "test.jsonl", "--task", "text_to_text", "--model", model).status == 0


def test_what_a_published_model_says_without_training(cli: Cli, world: Path):
    from dataclasses import replace

    from bertsmith.models import create, save

    checkpoint = create("bart", Tokenizer.from_folder(world / "tokenizer"), {**MODEL, "init_std": 0.5}, {"lm": 0}, seed=2)
    save(replace(checkpoint, task={}), world / "published")
    assert load(str(world / "published")).stored_heads == {"lm"}
    ran = cli("predict", world / "published", "--text", "a b")
    assert ran.status == 0, ran.err
    assert {"text", "output", "score"} == ran.json.keys()
    ran = cli("evaluate", world / "published", world / "test.jsonl", "--errors", world / "errors.jsonl")
    assert ran.status == 0, ran.err
    rows = [json.loads(line) for line in (world / "errors.jsonl").read_text(encoding="utf-8").splitlines()]
    kinds = [row["written texts"] for row in rows if row.get("table") == "Cut off while writing"]
    assert "max_new_tokens = 32 reached" in kinds, "as many as the model has positions for"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"text": "a", "target": ""}, {"text": "b", "target": None}], "the task 'text_to_text' can use none of its 2 rows"),
        ([{"text": "a", "target": "b"}, {"text": "c", "target": {"b": 1}}], "train.jsonl:2: target is"),
        ([{"text": "a", "target": "b"}, {"text": "", "target": "b"}], "train.jsonl:2: text is empty"),
        ([{"text": "a", "summary_of_it": "b"}], "no column is known to be target"),
    ],
)
def test_bad_data_ends_a_run_before_it_begins(cli: Cli, world: Path, rows: list[dict[str, Any]], said: str):
    (world / "train.jsonl").write_text(lines(rows), encoding="utf-8")
    ran = cli("run", world / "recipe.toml", "--out", world / "run", "--dry-run")
    assert ran.status == 2
    assert said in ran.err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("max_new_tokens=40", "task.max_new_tokens: got 40; the model has 32 positions"),
        ("beams=0", "beams is 0; it must be at least 1"),
        ("measure=accuracy", 'it must be "rouge" or "bleu" or "both"'),
    ],
)
def test_bad_options_end_a_run_before_it_begins(cli: Cli, world: Path, change: str, said: str):
    ran = cli("run", world / "recipe.toml", "--out", world / "run", "--dry-run", "--set", f"stage.letters.task.{change}")
    assert ran.status == 2
    assert said in ran.err


def test_weights_cannot_be_kept_by_what_is_not_measured(cli: Cli, world: Path):
    ran = cli("run", world / "recipe.toml", "--out", world / "run", "--dry-run", "--set", "stage.letters.train.keep=best:rougeL")
    assert ran.status == 2
    assert "what is measured: loss, perplexity" in ran.err
    ways = ("--set", "stage.letters.train.keep=best:rougeL", "--set", "stage.letters.task.validate_by=text")
    assert cli("run", world / "recipe.toml", "--out", world / "run", "--dry-run", *ways).status == 0


def test_a_model_without_a_language_models_head_is_refused(cli: Cli, world: Path, models: Path):
    ran = cli("run", world / "recipe.toml", "--out", world / "run", "--dry-run", "--set", f"stage.letters.from={models / 'pretrained'}")
    assert ran.status == 2
    assert "bert models have no head 'lm'" in ran.err
