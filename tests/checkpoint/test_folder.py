"""The files of a model folder: whatever is wrong with them is said, nothing in them is run, and nothing half-written is left."""

import errno
import json
import os
import pickle
import shutil
import stat
import warnings
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from bertsmith.checkpoint import folder as folder_module
from bertsmith.checkpoint.folder import check_weights, put_in_order, read_json, read_weights, whole, write_json, write_weights, written_whole
from bertsmith.core.errors import CheckpointError

WEIGHTS = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(4)}


def assert_read(folder: Path) -> None:
    found = read_weights(folder)
    assert found.keys() == WEIGHTS.keys()
    assert all(torch.equal(found[name], weight) for name, weight in WEIGHTS.items())


class TestJson:
    def test_there_and_back_with_chinese_readable(self, tmp_path: Path):
        write_json(tmp_path / "x.json", {"标签": ["好", 1, None]})
        assert "标签" in (tmp_path / "x.json").read_text(encoding="utf-8")
        assert read_json(tmp_path / "x.json") == {"标签": ["好", 1, None]}

    def test_the_folder_of_a_run_has_its_model_below_it(self, tmp_path: Path):
        (tmp_path / "model").mkdir()
        write_json(tmp_path / "model" / "config.json", {"model_type": "bert"})
        with pytest.raises(CheckpointError, match=rf"its model is {tmp_path / 'model'}"):
            read_json(tmp_path / "config.json")

    def test_an_adapter_is_no_model(self, tmp_path: Path):
        write_json(tmp_path / "adapter_config.json", {"peft_type": "LORA"})
        with pytest.raises(CheckpointError, match=r"holds an adapter and no model.*merge_adapter"):
            read_json(tmp_path / "config.json")
        with pytest.raises(CheckpointError, match="the tokenizer's files"):
            read_json(tmp_path / "tokenizer.json")

    @pytest.mark.parametrize(
        ("content", "complaint"),
        [
            (b"", "is not valid JSON"),
            (b'{"a": 1', "is not valid JSON"),
            (b'{"a": "\xff"}', "is not valid JSON"),
            (b"[" * 100_000, "is not valid JSON"),
            (b"[1]", "holds a JSON list, not an object"),
            (b'"text"', "holds a JSON str, not an object"),
        ],
        ids=["empty", "cut off", "not UTF-8", "too deep", "a list", "a string"],
    )
    def test_what_is_no_object_is_refused(self, content: bytes, complaint: str, tmp_path: Path):
        (tmp_path / "config.json").write_bytes(content)
        with pytest.raises(CheckpointError, match=complaint) as caught:
            read_json(tmp_path / "config.json")
        assert str(tmp_path / "config.json") in str(caught.value)

    def test_a_missing_file_says_what_a_model_folder_holds(self, tmp_path: Path):
        with pytest.raises(CheckpointError, match=r"config.json is missing: a model folder holds"):
            read_json(tmp_path / "config.json")

    def test_a_huge_file_is_not_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(folder_module, "LARGEST_JSON", 10)
        (tmp_path / "config.json").write_text('{"a": 123456789}')
        with pytest.raises(CheckpointError, match="has 16 bytes; at most 10 are read"):
            read_json(tmp_path / "config.json")

    def test_a_file_that_may_not_be_read_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        (tmp_path / "config.json").write_text("{}")
        monkeypatch.setattr(Path, "read_text", _denied)
        with pytest.raises(CheckpointError, match=r"config.json cannot be read: Permission denied"):
            read_json(tmp_path / "config.json")


def _denied(*_: Any, **__: Any) -> NoReturn:
    raise PermissionError(errno.EACCES, "Permission denied")


class TestReadingWeights:
    def test_safetensors(self, tmp_path: Path):
        write_weights(tmp_path, WEIGHTS)
        assert_read(tmp_path)

    def test_shards(self, tmp_path: Path):
        save_file({"a": WEIGHTS["a"]}, tmp_path / "x-1.safetensors")
        save_file({"b": WEIGHTS["b"]}, tmp_path / "x-2.safetensors")
        _index(tmp_path, {"a": "x-1.safetensors", "b": "x-2.safetensors"})
        assert_read(tmp_path)

    def test_pickle(self, tmp_path: Path):
        torch.save(WEIGHTS, tmp_path / "pytorch_model.bin")
        assert_read(tmp_path)

    def test_safetensors_are_preferred(self, tmp_path: Path):
        write_weights(tmp_path, WEIGHTS)
        (tmp_path / "pytorch_model.bin").write_bytes(b"never opened")
        assert_read(tmp_path)

    def test_views_of_one_storage_are_written_whole(self, tmp_path: Path):
        block = torch.arange(12.0).view(3, 4)
        write_weights(tmp_path, {"t": block.T, "half": block[:, :2]})
        found = read_weights(tmp_path)
        assert torch.equal(found["t"], block.T)
        assert torch.equal(found["half"], block[:, :2])

    def test_a_folder_without_weights_says_what_it_has(self, tmp_path: Path):
        (tmp_path / "tf_model.h5").write_bytes(b"x")
        with pytest.raises(CheckpointError, match=r"no weights in .*: expected model.safetensors or pytorch_model.bin .*; found tf_model.h5"):
            read_weights(tmp_path)
        (tmp_path / "tf_model.h5").unlink()
        with pytest.raises(CheckpointError, match="found nothing"):
            read_weights(tmp_path)


class TestWeightsThatCannotBeRead:
    def test_a_file_that_may_not_be_read_is_said_to_be_that(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        write_weights(tmp_path, WEIGHTS)
        monkeypatch.setattr(Path, "open", _denied)
        for look in (read_weights, check_weights):
            with pytest.raises(CheckpointError, match=r"model.safetensors cannot be read: Permission denied$"):
                look(tmp_path)

    def test_a_folder_in_the_place_of_a_file_is_said_to_be_that(self, tmp_path: Path):
        (tmp_path / "model.safetensors").mkdir()
        for look in (read_weights, check_weights):
            with pytest.raises(CheckpointError, match=r"model.safetensors cannot be read: Is a directory$"):
                look(tmp_path)

    @pytest.mark.parametrize("keep", [0, 4, 60, -1])
    def test_a_cut_off_file_is_found_without_reading_it(self, keep: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        write_weights(tmp_path, WEIGHTS)
        monkeypatch.setattr(folder_module, "load_file", None)
        check_weights(tmp_path)
        file = tmp_path / "model.safetensors"
        file.write_bytes(file.read_bytes()[:keep])
        with pytest.raises(CheckpointError, match=r"model.safetensors cannot be read \(\d+ bytes\): .*copy it again"):
            check_weights(tmp_path)

    def test_a_plain_pickle_is_refused_without_a_warning_of_torch(self, tmp_path: Path):
        (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"a": 1}, protocol=4))
        with warnings.catch_warnings(record=True, action="always") as said, pytest.raises(CheckpointError, match="not a file of tensors alone"):
            read_weights(tmp_path)
        assert said == []

    @pytest.mark.parametrize("keep", [0, 4, 8, 60, -1])
    def test_safetensors_that_are_cut_off(self, keep: int, tmp_path: Path):
        write_weights(tmp_path, WEIGHTS)
        file = tmp_path / "model.safetensors"
        file.write_bytes(file.read_bytes()[:keep])
        with pytest.raises(CheckpointError, match=r"model.safetensors cannot be read \(\d+ bytes\): .*copy it again"):
            read_weights(tmp_path)

    @pytest.mark.parametrize(
        "content", [b"\xff" * 64, (2**50).to_bytes(8, "little") + b"{}", b"<html>404</html>"], ids=["noise", "huge header", "a page"]
    )
    def test_safetensors_that_are_something_else(self, content: bytes, tmp_path: Path):
        (tmp_path / "model.safetensors").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"model.safetensors cannot be read"):
            read_weights(tmp_path)

    @pytest.mark.parametrize("zipped", [True, False])
    @pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
    def test_a_pickle_that_is_cut_off(self, zipped: bool, share: float, tmp_path: Path):
        file = tmp_path / "pytorch_model.bin"
        torch.save(WEIGHTS, file, _use_new_zipfile_serialization=zipped)
        whole = file.read_bytes()
        file.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(CheckpointError, match=r"(?i)pytorch_model.bin.*copy it again"):
            read_weights(tmp_path)

    @pytest.mark.parametrize("content", [b"hello world", b"<html>", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"])
    def test_a_pickle_that_is_something_else(self, content: bytes, tmp_path: Path):
        (tmp_path / "pytorch_model.bin").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"(?i)pytorch_model.bin.*copy it again"):
            read_weights(tmp_path)

    @pytest.mark.parametrize(
        "content", [{"model": WEIGHTS}, [WEIGHTS["a"]], {"a": 1}, WEIGHTS["a"]], ids=["nested", "a list", "a number", "a tensor"]
    )
    def test_a_pickle_of_something_else(self, content: object, tmp_path: Path):
        torch.save(content, tmp_path / "pytorch_model.bin")
        with pytest.raises(CheckpointError, match="does not hold a dictionary of tensors"):
            read_weights(tmp_path)


class Harmful:
    """Runs a command when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.trace}",)


class TestCodeInAPickle:
    @pytest.mark.filterwarnings("ignore:Detected pickle protocol")
    @pytest.mark.parametrize("form", ["zip", "before torch 1.6", "bare"])
    def test_it_is_not_run(self, form: str, tmp_path: Path):
        trace, file = tmp_path / "harm", tmp_path / "pytorch_model.bin"
        if form == "bare":
            file.write_bytes(pickle.dumps(Harmful(trace)))
        else:
            torch.save({"a": WEIGHTS["a"], "b": Harmful(trace)}, file, _use_new_zipfile_serialization=form == "zip")
        with pytest.raises(CheckpointError, match="it carries code, which was not run"):
            read_weights(tmp_path)
        assert not trace.exists()

    def test_it_would_have_run(self, tmp_path: Path):
        pickle.loads(pickle.dumps(Harmful(tmp_path / "harm")))
        assert (tmp_path / "harm").exists()


def _index(folder: Path, weight_map: Any) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


class TestAnIndexOfShards:
    def test_missing_shards_are_all_named(self, tmp_path: Path):
        save_file({"a": WEIGHTS["a"]}, tmp_path / "1.safetensors")
        _index(tmp_path, {"a": "1.safetensors", "b": "2.safetensors", "c": "3.safetensors", "d": "2.safetensors"})
        with pytest.raises(CheckpointError, match=r"names 3 shards; 2 are not there: copy the whole folder again") as caught:
            read_weights(tmp_path)
        assert caught.value.problems == ("2.safetensors", "3.safetensors")

    @pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/passwd", "sub/x.safetensors"])
    def test_files_outside_the_folder_are_not_read(self, name: str, tmp_path: Path):
        inside = tmp_path / "model"
        inside.mkdir()
        save_file(WEIGHTS, tmp_path / "outside.safetensors")
        _index(inside, {"a": name})
        with pytest.raises(CheckpointError, match="names files outside its folder") as caught:
            read_weights(inside)
        assert caught.value.problems == (name,)

    @pytest.mark.parametrize("name", ["..", "."])
    def test_folders_are_not_shards(self, name: str, tmp_path: Path):
        _index(tmp_path, {"a": name})
        with pytest.raises(CheckpointError, match=r"index.json names"):
            read_weights(tmp_path)

    @pytest.mark.parametrize("weight_map", [None, [], "x", {"a": 1}, {"a": None}, {"a": ["x"]}])
    def test_a_map_that_is_none_is_refused(self, weight_map: object, tmp_path: Path):
        _index(tmp_path, weight_map)
        with pytest.raises(CheckpointError, match="has no weight_map that gives a file name for every weight"):
            read_weights(tmp_path)

    def test_an_empty_map_is_refused(self, tmp_path: Path):
        _index(tmp_path, {})
        with pytest.raises(CheckpointError, match="names 0 shards"):
            read_weights(tmp_path)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A folder that is already there, with something in it."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "kept.txt").write_text("kept")
    return folder


def assert_as_before(old: Path) -> None:
    assert [path.name for path in old.parent.iterdir()] == [old.name]
    assert [path.name for path in old.iterdir()] == ["kept.txt"]
    assert (old / "kept.txt").read_text() == "kept"


def kill_between_the_moves(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave what SIGKILL leaves after the old folder has moved aside and before the new one has moved in: nothing is mended, nothing removed."""
    rename = Path.rename

    def killing(self: Path, target: Path) -> Path:
        if target == folder:
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", killing)
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt), written_whole(folder) as draft:
            (draft / "new.txt").write_text("new")


class TestWritingWhole:
    def test_the_folder_appears_when_it_is_complete(self, tmp_path: Path):
        with written_whole(tmp_path / "deep" / "model") as draft:
            (draft / "a").write_text("x")
            assert not (tmp_path / "deep" / "model").exists()
        assert (tmp_path / "deep" / "model" / "a").read_text() == "x"
        assert [path.name for path in (tmp_path / "deep").iterdir()] == ["model"]

    def test_an_older_folder_is_replaced_with_all_that_was_in_it(self, old: Path):
        with written_whole(old) as draft:
            (draft / "new.txt").write_text("new")
        assert [path.name for path in old.parent.iterdir()] == ["model"]
        assert [path.name for path in old.iterdir()] == ["new.txt"]

    def test_everybody_may_read_what_was_written(self, tmp_path: Path):
        with written_whole(tmp_path / "model") as draft:
            write_weights(draft, WEIGHTS)
            write_json(draft / "config.json", {})
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [tmp_path / "model", *(tmp_path / "model").iterdir()]}
        assert modes == {"model": 0o755, "model.safetensors": 0o644, "config.json": 0o644}

    @pytest.mark.parametrize(
        "error",
        [OSError(errno.ENOSPC, "No space left on device"), SafetensorError("I/O error: No space left on device (os error 28)")],
        ids=["a file of ours", "weights"],
    )
    def test_a_full_disk_leaves_the_old_folder_and_no_draft(self, error: Exception, old: Path):
        with (
            pytest.raises(CheckpointError, match=r"cannot write .*model: .*No space left on device.*; nothing there was changed. Make room"),
            written_whole(old),
        ):
            raise error
        assert_as_before(old)

    def test_a_disk_that_is_full_when_files_are_put_on_it_is_noticed(self, old: Path, monkeypatch: pytest.MonkeyPatch):
        def full(_: int) -> NoReturn:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(CheckpointError, match="No space left on device"), written_whole(old) as draft:
            (draft / "a").write_text("x")
        assert_as_before(old)

    def test_another_failure_passes_through_and_leaves_no_draft(self, old: Path):
        with pytest.raises(KeyboardInterrupt), written_whole(old):
            raise KeyboardInterrupt
        assert_as_before(old)

    def test_a_move_that_fails_puts_the_old_folder_back(self, old: Path, monkeypatch: pytest.MonkeyPatch):
        rename = Path.rename

        def failing(self: Path, target: Path) -> Path:
            if target == old and (self / "new.txt").exists():
                raise OSError(errno.EIO, "Input/output error")
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", failing)
        with pytest.raises(CheckpointError, match="Input/output error; nothing there was changed"), written_whole(old) as draft:
            (draft / "new.txt").write_text("new")
        assert_as_before(old)

    def test_what_a_writer_leaves_that_is_killed_between_the_two_moves_is_found_and_put_back(self, old: Path, monkeypatch: pytest.MonkeyPatch):
        kill_between_the_moves(old, monkeypatch)
        assert not old.exists()
        assert (whole(old) / "kept.txt").read_text() == "kept"
        put_in_order(old)
        assert_as_before(old)
        assert whole(old) == old

    def test_the_next_writer_puts_everything_in_order(self, old: Path, monkeypatch: pytest.MonkeyPatch):
        kill_between_the_moves(old, monkeypatch)
        with pytest.raises(KeyboardInterrupt), written_whole(old):
            raise KeyboardInterrupt
        assert_as_before(old)

    def test_drafts_of_killed_writers_are_removed_and_those_of_other_folders_are_not(self, old: Path):
        theirs = [f".{name}.{kind}-abc_1234" for name in ("model-2", "model.old", "model.new-abc_1234", "odel") for kind in ("new", "old")]
        for name in (*theirs, ".model.new-abc_1234", ".model.old-abc_1234"):
            (old.parent / name / "half").mkdir(parents=True)
        with written_whole(old) as draft:
            (draft / "new.txt").write_text("new")
        assert sorted(path.name for path in old.parent.iterdir()) == sorted(["model", *theirs])

    def test_of_two_old_folders_none_is_chosen_and_none_lost(self, tmp_path: Path):
        for end in ("aaaaaaaa", "bbbbbbbb"):
            (tmp_path / f".model.old-{end}" / "model").mkdir(parents=True)
        put_in_order(tmp_path / "model")
        with pytest.raises(KeyboardInterrupt), written_whole(tmp_path / "model"):
            raise KeyboardInterrupt
        assert len(list(tmp_path.glob(".model.old-*/model"))) == 2

    def test_a_file_is_not_overwritten_by_a_folder(self, tmp_path: Path):
        (tmp_path / "model").write_text("a letter")
        with pytest.raises(CheckpointError, match="it is a file, and a model is a folder; give another name"), written_whole(tmp_path / "model"):
            pytest.fail("the block must not run")
        assert (tmp_path / "model").read_text() == "a letter"

    def test_a_place_that_cannot_be_written_is_named(self, tmp_path: Path):
        (tmp_path / "file").write_text("x")
        with pytest.raises(CheckpointError, match=r"cannot write .*: .*/file is a file"), written_whole(tmp_path / "file" / "model"):
            pytest.fail("the block must not run")
        (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
        with pytest.raises(CheckpointError, match=r"cannot write to .*/dangling: "), written_whole(tmp_path / "dangling" / "model"):
            pytest.fail("the block must not run")
