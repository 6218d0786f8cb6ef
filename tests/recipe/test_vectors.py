"""Stages that train vectors: what is read, what is left in the folder, and what is refused before anything is trained."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertsmith.checkpoint.vectors import VectorSettings
from bertsmith.core.errors import CheckpointError, RecipeError
from bertsmith.inference.engine import Engine
from bertsmith.models.loading import create, load, save
from bertsmith.tasks.opening import task_of
from bertsmith.text.tokenizer import Tokenizer
from tests.recipe.conftest import TINY, TOKENS, Listener, changed, run_stages

EMBED: dict[str, Any] = {
    "name": "embed",
    "from": "headless",
    "task": {"name": "embedding", "pooling": "cls", "max_length": 24},
    "data": {"train": "pairs.jsonl", "test": "pairs.jsonl"},
    "train": {"epochs": 1, "batch_size": 4, "learning_rate": 1e-3, "precision": "float32"},
}
ROWS = [
    {"text": f"我{one}{other}", "text_pair": f"你{other}{one}", "label": 1} for one, other in zip("好很棒喜欢爱坏差", "书店酒房间烂讨厌", strict=True)
]


@pytest.fixture
def pairs(world: Path) -> Path:
    write(world / "pairs.jsonl", [*ROWS, {"text": "我", "text_pair": "书", "label": 0}])
    return world


def write(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def test_the_folder_makes_the_vectors_that_were_trained(pairs: Path):
    listener = Listener()
    result = run_stages(pairs, EMBED, progress=listener)
    [stage] = result.stages
    assert stage.metrics["test"].keys() == {"recall@1", "recall@5", "recall@10", "mrr"}
    assert (stage.data["train"]["rows"], stage.steps) == (8, 2)
    assert listener.told("train: 1 row was left out: label 0: its texts do not belong together")

    opened = load(str(result.model))
    assert opened.vectors == VectorSettings(pooling="cls", normalise=True, max_length=24)
    assert json.loads((result.model / "modules.json").read_text())[1]["path"] == "1_Pooling"
    assert json.loads((result.model / "1_Pooling" / "config.json").read_text())["pooling_mode_cls_token"] is True

    task = task_of(opened, "the model")
    engine = Engine(opened, task, precision="float32")
    lines = [json.loads(line) for line in (pairs / "out/stages/embed/predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    first, second = (engine.embed([line[name] for line in lines]) for name in ("text", "text_pair"))
    np.testing.assert_allclose((first * second).sum(1), [line["score"] for line in lines], atol=1e-5)
    assert {line["gold"] for line in lines} == {1.0}
    assert not np.allclose(first, Engine(load(str(result.model)), precision="float32").embed([line["text"] for line in lines], "mean"), atol=1e-3)


def test_predictions_of_the_engine_are_those_of_the_task(pairs: Path):
    """All tokens are computed, not the first one alone, where there is no head that could say which are needed."""
    for pooling in ("mean", "cls"):
        stage = changed(EMBED, task={"pooling": pooling})
        result = run_stages(pairs, stage, out=pooling)
        engine = Engine.open(result.model, precision="float32")
        lines = [json.loads(line) for line in (pairs / pooling / "stages/embed/predictions.jsonl").read_text(encoding="utf-8").splitlines()]
        examples = load_examples(lines)
        np.testing.assert_allclose([one["score"] for one in engine.predict(examples)], [line["score"] for line in lines], atol=1e-5)


def load_examples(lines: list[dict[str, Any]]) -> list[Any]:
    from bertsmith.core.types import Example

    return [Example({"text": line["text"], "text_pair": line["text_pair"]}) for line in lines]


def test_a_similarity_goes_on_from_an_embedding(pairs: Path):
    task = {"name": "similarity", "pooling": "mean", "max_length": 24}
    listener = Listener()
    result = run_stages(pairs, EMBED, {**EMBED, "name": "match", "from": "stage:embed", "task": task}, progress=listener)
    assert result.stages[1].metrics["test"].keys() == {"spearman", "pearson"}
    assert result.stages[1].data["train"]["rows"] == 9
    assert load(str(result.model)).task["maximum"] == 1.0
    assert listener.told("the folder makes vectors with the pooling 'cls'; they are trained with 'mean'")


def test_a_classifier_that_begins_with_such_a_folder_is_none_itself(pairs: Path):
    result = run_stages(pairs, EMBED, {**EMBED, "name": "match", "from": "stage:embed", "task": {"name": "pair", "max_length": 32}})
    assert not (result.model / "modules.json").exists()
    assert (pairs / "out/stages/embed/model/modules.json").exists()


def test_texts_alone_are_said_to_be_their_own_pairs(pairs: Path):
    listener = Listener()
    texts = changed(EMBED, data={"train": "raw.txt", "test": "pairs.jsonl"}, train={"steps": 2})
    del texts["train"]["epochs"]
    assert run_stages(pairs, texts, progress=listener).stages[0].metrics["test"]["mrr"] > 0
    assert listener.told("train: 80 rows were mended: no text_pair: the text itself is its pair")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"train": "raw.txt", "valid": 0.2}}, "data.valid: the task 'embedding' can use none of its 16 rows"),
        ({"data": {"train": "raw.txt", "valid": "raw.txt"}}, "data.valid: the task 'embedding' can use none of its 80 rows"),
        ({"task": {"temperature": 0}}, "task: temperature is 0; it must be greater than 0"),
        ({"task": {"pooling": "max"}}, 'task.pooling: got "max"; it must be "mean" or "cls"'),
        ({"task": {"max_length": 65}}, "task.max_length: got 65; the model has 64 positions"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_trained(pairs: Path, changes: dict[str, Any], message: str):
    with pytest.raises(RecipeError) as caught:
        run_stages(pairs, changed(EMBED, **changes))
    assert message in str(caught.value)


def test_a_model_that_writes_has_no_vectors_to_train(pairs: Path):
    config = {
        "d_model": 16,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 16,
    }
    ids = {"eos_token_id": 3, "decoder_start_token_id": 2, "decoder_ffn_dim": 16, "max_position_embeddings": 64}
    save(create("bart", Tokenizer.from_tokens(TOKENS), {**config, **ids}, {}, seed=1), pairs / "writer")
    with pytest.raises(RecipeError, match="a bart model has states of the target that it writes, not of a text alone"):
        run_stages(pairs, changed(EMBED, **{"from": "writer"}))


# --- folders of sentence-transformers


def published(folder: Path, **settings: Any) -> Path:
    save(replace(create("bert", Tokenizer.from_tokens(TOKENS), TINY, {}, seed=1), vectors=VectorSettings(**settings)), folder)
    return folder


def test_a_task_by_name_takes_the_pooling_of_the_folder(tmp_path: Path):
    folder = published(tmp_path / "model", pooling="cls", max_length=20)
    task = task_of(load(str(folder)), "it", "similarity")
    assert (task.name, task.vectors, task.max_length) == ("similarity", VectorSettings(pooling="cls", max_length=20), 20)


def test_a_task_by_name_reads_no_text_otherwise_than_the_folder(tmp_path: Path):
    prompted = load(str(published(tmp_path / "prompted", prompt="很")))
    with pytest.raises(CheckpointError, match="the folder has '很A text' read for 'A text', and the task 'similarity' reads texts as they are"):
        task_of(prompted, "it", "similarity")
    assert task_of(prompted, "it", {"name": "similarity", "pooling": "mean"}).name == "similarity"
    lowered = load(str(published(tmp_path / "lowered", lowercase=True)))
    assert task_of(lowered, "it", "similarity").name == "similarity", "the vocabulary lower-cases in any case"


def test_that_a_folder_has_texts_changed_is_said_where_it_is_trained(pairs: Path):
    published(pairs / "prompted", pooling="cls", prompt="很")
    listener = Listener()
    run_stages(pairs, changed(EMBED, **{"from": "prompted"}), progress=listener)
    assert listener.told("the folder has '很A text' read for 'A text'; what is trained reads texts as they are")


def test_vectors_are_as_the_folder_says(tmp_path: Path):
    texts = ["我好你坏书店", "爱书" * 10]
    plain = Engine(load(str(published(tmp_path / "plain"))), precision="float32")
    said = Engine(load(str(published(tmp_path / "said", pooling="cls", normalise=False, max_length=6, prompt="很"))), precision="float32")
    assert said.describe()["max_length"] == 6
    expected = plain.embed([f"很{text}" for text in texts], "cls", normalise=False, max_length=6)
    np.testing.assert_allclose(said.embed(texts), expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(said.embed(texts, normalise=True), axis=1), 1, atol=1e-5)
    assert np.abs(np.linalg.norm(said.embed(texts), axis=1) - 1).min() > 0.1
