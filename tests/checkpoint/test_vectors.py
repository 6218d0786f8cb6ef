"""The files of sentence-transformers: what they say is read, what is written says the same, and what is not computed is told."""

import json
from pathlib import Path
from typing import Any

import pytest

from bertsmith.checkpoint.vectors import VectorSettings, read_vector_settings, write_vector_settings
from bertsmith.core.errors import CheckpointError

OLD = "sentence_transformers.models."
NEW = {
    "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
    "Pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    "Normalize": "sentence_transformers.base.modules.normalize.Normalize",
}


def made(folder: Path, *kinds: str, **files: dict[str, Any]) -> Path:
    """A folder with these modules, as releases before the sixth name them, and these files."""
    modules = [
        {"idx": number, "name": str(number), "path": f"{number}_{kind}" if number else "", "type": OLD + kind} for number, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    for name, content in files.items():
        file = folder / {"pooling": "1_Pooling/config.json", "transformer": "sentence_bert_config.json"}.get(name, f"{name}.json")
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(content))
    return folder


def read(folder: Path) -> VectorSettings:
    found = read_vector_settings(folder)
    assert found is not None
    return found


def test_a_folder_without_modules_says_nothing(tmp_path: Path):
    assert read_vector_settings(tmp_path) is None


def test_a_folder_of_an_old_release(tmp_path: Path):
    pooling = {"word_embedding_dimension": 8, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    folder = made(tmp_path, "Transformer", "Pooling", pooling=pooling, transformer={"max_seq_length": 128, "do_lower_case": True})
    assert read(folder) == VectorSettings(pooling="cls", normalise=False, max_length=128, lowercase=True)


def test_a_folder_of_the_sixth_release(tmp_path: Path):
    folder = made(tmp_path, *NEW, pooling={"embedding_dimension": 8, "pooling_mode": "mean", "include_prompt": True}, transformer={})
    (folder / "modules.json").write_text(
        json.dumps([{"idx": 0, "name": "0", "path": f"1_{kind}" if kind == "Pooling" else "", "type": kind_path} for kind, kind_path in NEW.items()])
    )
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 256}))
    prompts = {"prompts": {"query": "Q: ", "document": ""}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    assert read(folder) == VectorSettings(pooling="mean", normalise=True, max_length=256, prompt="Q: ")


def test_no_limit_is_none(tmp_path: Path):
    folder = made(tmp_path, "Transformer", "Pooling", transformer={"max_seq_length": None})
    assert read(folder).max_length is None
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 1000000000000000019884624838656}')
    assert read(folder) == VectorSettings(normalise=False)


def test_prompts_that_nobody_asked_for_are_left_out(tmp_path: Path):
    folder = made(tmp_path, "Transformer", "Pooling", config_sentence_transformers={"prompts": {"query": "Q: "}, "default_prompt_name": None})
    assert read(folder).prompt == ""


def test_what_does_nothing_but_in_training_is_left_out(tmp_path: Path):
    assert read(made(tmp_path, "Transformer", "Pooling", "Dropout", "Normalize")).problems == ()


@pytest.mark.parametrize(
    ("kinds", "pooling", "problem"),
    [
        (["Transformer", "Pooling", "Dense"], {}, "its modules are Transformer, Pooling, Dense; computed are Transformer and Pooling"),
        (["Transformer"], {}, "its modules are Transformer;"),
        (["WordEmbeddings", "Pooling"], {}, "its modules are WordEmbeddings, Pooling;"),
        (["Transformer", "Pooling"], {"pooling_mode_max_tokens": True}, "its pooling is max; computed are mean and cls"),
        (["Transformer", "Pooling"], {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, "its pooling is cls and mean;"),
        (["Transformer", "Pooling"], {"pooling_mode": ["mean", "lasttoken"]}, "its pooling is mean and lasttoken;"),
    ],
)
def test_what_is_not_computed_is_a_problem_for_who_wants_the_vectors(tmp_path: Path, kinds: list[str], pooling: dict[str, Any], problem: str):
    settings = read(made(tmp_path, *kinds, pooling=pooling))
    assert settings.problems[0].startswith(problem)
    with pytest.raises(CheckpointError, match="vectors that are not computed here; name a pooling"):
        settings.check()
    write_vector_settings(settings, tmp_path / "nowhere", 8)


def test_a_prompt_that_is_left_out_of_the_pooling_is_a_problem(tmp_path: Path):
    asked = {"prompts": {"a": "A: "}, "default_prompt_name": "a"}
    folder = made(tmp_path, "Transformer", "Pooling", pooling={"include_prompt": False}, config_sentence_transformers=asked)
    assert read(folder).problems == ("the prompt 'A: ' is read and left out of the pooling",)


@pytest.mark.parametrize("content", ["{", "[]", "[1]", '{"type": "x"}', '[{"type": "a.Pooling"}]', '[{"type": "a.Pooling", "path": "../elsewhere"}]'])
def test_a_damaged_file_is_a_problem_too(tmp_path: Path, content: str):
    (tmp_path / "modules.json").write_text(content)
    assert len(read(tmp_path).problems) == 1


def test_a_damaged_file_of_a_module_is_a_problem(tmp_path: Path):
    folder = made(tmp_path, "Transformer", "Pooling", pooling={})
    (folder / "1_Pooling" / "config.json").write_text("{")
    assert "is not valid JSON" in read(folder).problems[0]


@pytest.mark.parametrize(
    "settings",
    [
        VectorSettings(),
        VectorSettings(pooling="cls", normalise=False, max_length=128),
        VectorSettings(max_length=64, prompt="为这个句子生成表示：", lowercase=True),
    ],
)
def test_what_is_written_is_read_again(tmp_path: Path, settings: VectorSettings):
    write_vector_settings(settings, tmp_path, 8)
    assert read(tmp_path) == settings


def test_the_files_are_those_of_the_published_minilm(tmp_path: Path):
    """Its modules and pooling, as they are on the Hub since 2021."""
    write_vector_settings(VectorSettings(max_length=256), tmp_path, 384)
    modules = json.loads((tmp_path / "modules.json").read_text())
    assert modules == [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    assert json.loads((tmp_path / "1_Pooling" / "config.json").read_text()) == {
        "word_embedding_dimension": 384,
        "pooling_mode_cls_token": False,
        "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }
    assert json.loads((tmp_path / "sentence_bert_config.json").read_text()) == {"max_seq_length": 256, "do_lower_case": False}
