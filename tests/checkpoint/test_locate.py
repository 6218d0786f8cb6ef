"""From a model's name to its folder, without a network."""

from pathlib import Path
from typing import Any, NoReturn

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

from bertsmith.checkpoint import locate as locate_module
from bertsmith.checkpoint.locate import builtin_models, locate
from bertsmith.core.errors import CheckpointError


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """What the Hub was asked for; it has everything, with weights in safetensors."""
    asked: list[dict[str, Any]] = []

    def snapshot_download(repository: str, **how: Any) -> str:
        asked.append({"repository": repository, **how})
        return str(tmp_path / "cache")

    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "model.safetensors").touch()
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return asked


def test_a_folder_is_taken_as_it_is(tmp_path: Path, hub: list[Any]):
    assert locate(str(tmp_path)) == tmp_path
    assert hub == []


def test_a_folder_that_a_killed_writer_has_left_aside_is_found(tmp_path: Path, hub: list[Any]):
    aside = tmp_path / ".model.old-abc_1234" / "model"
    aside.mkdir(parents=True)
    assert locate(str(tmp_path / "model")) == aside
    assert hub == []


def test_a_folder_of_the_users_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: list[Any]):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    assert locate("~/model") == tmp_path / "model"
    monkeypatch.chdir(tmp_path)
    assert locate("model") == Path("model")
    assert hub == []


def test_a_file_is_no_model(tmp_path: Path):
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"is a file; a model is a folder with config\.json, the weights and the tokenizer's files"):
        locate(str(tmp_path / "model.safetensors"))


@pytest.mark.parametrize("name", ["/nowhere/at/all", "./nowhere", "a/b/c", "..\\x", "a b", "", "https://example.org/model"])
def test_what_cannot_be_a_name_on_the_hub_is_not_asked_for(name: str, hub: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="there is no folder"):
        locate(name)
    assert hub == []


def test_a_name_on_the_hub_is_asked_for_with_its_revision_and_only_the_files_of_a_model(hub: list[dict[str, Any]]):
    locate("google-bert/bert-base-chinese@main")
    locate("bert-base-uncased")
    assert [(asked["repository"], asked["revision"]) for asked in hub] == [("google-bert/bert-base-chinese", "main"), ("bert-base-uncased", None)]
    assert not {"*.h5", "*.msgpack", "*.onnx", "*.py"} & set(hub[0]["allow_patterns"])


def test_pickled_weights_are_fetched_only_where_there_are_no_others(hub: list[dict[str, Any]], tmp_path: Path):
    assert locate("owner/both") == tmp_path / "cache"
    assert not [pattern for asked in hub for pattern in asked["allow_patterns"] if pattern.endswith(".bin")]
    (tmp_path / "cache" / "model.safetensors").unlink()
    assert locate("owner/old") == tmp_path / "cache"
    assert "pytorch_model*.bin" in hub[-1]["allow_patterns"]
    assert "*.bin" not in hub[-1]["allow_patterns"]  # OpenVINO's weights are called so, too


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OfflineModeIsEnabled("offline"), "cannot be reached"),
        (LocalEntryNotFoundError("not cached"), "cannot be reached"),
        (OSError("no route"), "could not give it: no route"),
    ],
)
def test_without_a_network_the_message_says_what_to_give_instead(error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch):
    def failing(*_: Any, **__: Any) -> NoReturn:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", failing)
    with pytest.raises(
        CheckpointError, match=rf"there is no folder 'nobody/nothing', and the Hub {reason}.*give the path of a folder, or 'builtin:NAME'"
    ):
        locate("nobody/nothing")


@pytest.mark.parametrize("name", ["-bad/name", "a..b", "x" * 200])
def test_a_name_that_the_hub_does_not_allow_is_the_users_mistake(name: str):
    with pytest.raises(CheckpointError, match="there is no folder"):
        locate(name)


@pytest.fixture
def builtin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("mini-zh", "tiny-en", "unfinished"):
        (tmp_path / name).mkdir()
    for name in ("mini-zh", "tiny-en"):
        (tmp_path / name / "config.json").write_text("{}")
    monkeypatch.setattr(locate_module, "BUILTIN", tmp_path)
    return tmp_path


def test_a_built_in_model_is_found_by_its_name(builtin: Path):
    assert builtin_models() == ["mini-zh", "tiny-en"]
    assert locate("builtin:mini-zh") == builtin / "mini-zh"


def test_an_unknown_built_in_model_is_answered_with_those_there_are(builtin: Path):
    with pytest.raises(CheckpointError, match=r"no built-in model 'mini-hz' \(did you mean 'mini-zh'\?\); there are: mini-zh, tiny-en"):
        locate("builtin:mini-hz")
    with pytest.raises(CheckpointError, match=r"no built-in model '\.\./mini-zh'"):
        locate("builtin:../mini-zh")


def test_a_package_without_built_in_models_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(locate_module, "BUILTIN", tmp_path / "missing")
    assert builtin_models() == []
    with pytest.raises(CheckpointError, match="there are: none"):
        locate("builtin:mini-zh")
