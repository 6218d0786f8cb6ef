"""The feature store: what goes in comes out, in memory and from a folder, and a damaged folder is refused."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertsmith.core.errors import DataError
from bertsmith.data import store as module
from bertsmith.data.store import FeatureStore

ROWS = [{"input_ids": np.arange(n, dtype=np.int32), "label": np.array([n / 2], np.float32)} for n in (3, 0, 5)]


def same(left, right):
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert one.keys() == other.keys()
        for name, values in one.items():
            assert values.dtype == other[name].dtype
            np.testing.assert_array_equal(values, other[name])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.lists(st.integers(0, 30000), max_size=9), st.lists(st.booleans(), max_size=3)), max_size=8), st.integers(1, 4))
def test_rows_come_back_from_memory_and_folder(rows, chunk):
    rows = [{"input_ids": np.array(ids, np.int32), "flags": np.array(flags, np.bool_)} for ids, flags in rows]
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", chunk)
        for store in (
            FeatureStore.build(iter(rows)),
            FeatureStore.build(iter(rows), Path(folder, "store")),
            FeatureStore.open(Path(folder, "store")),
        ):
            same(list(store), rows)
            assert store.lengths.dtype == np.int32
            assert store.lengths.tolist() == [len(row["input_ids"]) for row in rows]


def test_rows_by_index(tmp_path):
    store = FeatureStore.build(ROWS, tmp_path / "store")
    same([store[-1]], ROWS[-1:])
    same(store[1:], ROWS[1:])
    with pytest.raises(IndexError):
        store[3]


def test_rows_cannot_be_written_to(tmp_path):
    for store in (FeatureStore.build(ROWS), FeatureStore.build(ROWS, tmp_path / "store")):
        with pytest.raises(ValueError, match="read-only"):
            store[0]["input_ids"][0] = 7


@pytest.mark.parametrize(
    "bad", [{"input_ids": np.zeros(2, np.int32)}, {**ROWS[0], "label": np.zeros(1, np.int64)}, {**ROWS[0], "label": np.float32(1)}]
)
def test_rows_that_differ_are_refused_and_nothing_is_left(tmp_path, bad):
    with pytest.raises(ValueError, match="row 3"):
        FeatureStore.build([*ROWS, bad], tmp_path / "store")
    assert list(tmp_path.iterdir()) == []


def test_a_build_that_breaks_off_leaves_nothing(tmp_path):
    def rows():
        yield ROWS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FeatureStore.cached(tmp_path, "key", rows)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_overwritten(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(DataError, match="exists already"):
        FeatureStore.build(ROWS, tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        FeatureStore.build(ROWS, tmp_path / "file" / "store")


def test_a_full_disk_is_said_and_cleaned_up(tmp_path, monkeypatch):
    def full(rows, folder, key):
        (folder / "begun").write_text("")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_write", full)
    with pytest.raises(DataError, match="No space left"):
        FeatureStore.build(ROWS, tmp_path / "store")
    assert list(tmp_path.iterdir()) == []


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [shorten, flip, Path.unlink])
@pytest.mark.parametrize("name", ["input_ids.values.npy", "label.offsets.npy", "store.json"])
def test_a_damaged_store_is_refused(tmp_path, name, damage):
    FeatureStore.build(ROWS, tmp_path / "store")
    damage(tmp_path / "store" / name)
    with pytest.raises(DataError, match="damaged"):
        FeatureStore.open(tmp_path / "store")


def test_offsets_that_do_not_fit_are_refused(tmp_path):
    FeatureStore.build(ROWS, tmp_path / "store")
    manifest = json.loads((tmp_path / "store" / "store.json").read_text())
    (tmp_path / "store" / "store.json").write_text(json.dumps({**manifest, "num_rows": 2}))
    with pytest.raises(DataError, match="do not fit"):
        FeatureStore.open(tmp_path / "store")


def test_objects_are_refused():
    with pytest.raises(ValueError, match="objects"):
        FeatureStore.build([{"input_ids": np.array([{}], dtype=object)}])


def test_a_key_is_built_once(tmp_path):
    calls = []

    def make():
        calls.append(1)
        return iter(ROWS)

    for _ in range(2):
        same(FeatureStore.cached(tmp_path / "cache", "a key / of any form", make), ROWS)
    FeatureStore.cached(tmp_path / "cache", "another key", make)
    assert len(calls) == 2


def test_two_processes_may_build_the_same_key(tmp_path):
    def make():
        FeatureStore.cached(tmp_path, "key", lambda: ROWS)  # the other process finishes while we are at it
        return ROWS[:1]

    same(FeatureStore.cached(tmp_path, "key", make), ROWS)
    assert len(list(tmp_path.iterdir())) == 1
