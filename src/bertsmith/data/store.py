"""Encoded features, kept flat: one long array a field, and where each row begins in it.

A million small numpy arrays cost ten times the memory of what they hold. Here a field of all rows is one array, and a row is a view of it. The same
layout serves in memory and in a folder, where the arrays are mapped and only what is touched is read::

    input_ids.values.npy     101 2769 102 | 101 872 1962 102 | …
    input_ids.offsets.npy    0 3 7 …
    store.json               rows, fields, checksums

A folder is written under another name and renamed when it is complete, so a half-written one is never opened.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from io import BytesIO, IOBase
from itertools import islice
from pathlib import Path
from typing import Any, overload
from uuid import uuid4

import numpy as np
from jaxtyping import Int, Shaped

from bertsmith.core.errors import DataError
from bertsmith.core.types import Features

MANIFEST = "store.json"
VERSION = 1

TOKENS = ("input_ids", "target_ids")
"""Fields of what a model reads."""

CHUNK = 1024
"""Rows that are gathered before they are written."""

Flat = Shaped[np.ndarray[Any, Any], " values"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of all rows.

    Attributes:
        values: All rows, one after the other.
        offsets: Row `i` is `values[offsets[i] : offsets[i + 1]]`.
    """

    values: Flat
    offsets: Int[np.ndarray[Any, Any], " rows_and_one"]

    def row(self, index: int) -> Flat:
        """One row, as a view."""
        return self.values[self.offsets.item(index) : self.offsets.item(index + 1)]


class FeatureStore(Sequence[Features]):
    """Features of many rows, in little memory or on disk. The arrays it gives are views and cannot be written to.

    Args:
        fields: By name; all of the same number of rows.
        num_rows: That number.

    Example:
        >>> store = FeatureStore.build([{"input_ids": np.array([101, 102])}, {"input_ids": np.array([101, 8, 102])}])
        >>> len(store), store[1]["input_ids"].tolist(), store.lengths.tolist()
        (2, [101, 8, 102], [2, 3])
    """

    def __init__(self, fields: Mapping[str, Field], num_rows: int) -> None:
        self.fields = dict(fields)
        self._num_rows = num_rows

    @staticmethod
    def build(rows: Iterable[Features], folder: Path | None = None) -> FeatureStore:
        """Gather rows as they come.

        Args:
            rows: All with the same fields, each field of one type; a field may have another length in every row.
            folder: Where to keep them; memory then holds 1,024 rows at a time. It must not exist. Without it they are kept in memory.

        Raises:
            DataError: The folder exists or cannot be written; nothing is left behind.
            ValueError: Rows differ in their fields or in a field's type.
        """
        if folder is None:
            return _built_in_memory(rows)
        if folder.exists():
            raise DataError(f"{folder} exists already; a feature store is written to a new folder")
        _build_folder(rows, folder, key="")
        return FeatureStore.open(folder)

    @staticmethod
    def open(folder: Path) -> FeatureStore:
        """Map a folder that `build` has written.

        Raises:
            DataError: It is not one, or is damaged.
        """
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            if manifest["version"] != VERSION:
                raise ValueError(f"its version is {manifest['version']}, {VERSION} is expected")
            fields = {name: _opened_field(folder, name, manifest["num_rows"], sums) for name, sums in manifest["fields"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"the feature store {folder} is damaged or is none: {error}; delete the folder, and it will be built anew") from error
        return FeatureStore(fields, manifest["num_rows"])

    @staticmethod
    def cached(folder: Path, key: str, make: Callable[[], Iterable[Features]]) -> FeatureStore:
        """What `make` gives, built once for a key and opened from then on.

        Args:
            folder: Holds one store a key.
            key: Names everything that the features depend on: the data's hashes, the tokenizer, the objective. Of any length.
            make: Called if there is no store for the key yet.

        Raises:
            DataError: The store cannot be written, or there is a damaged one.
        """
        place = folder / hashlib.sha256(key.encode()).hexdigest()[:32]
        if not place.exists():
            with suppress(FileExistsError):  # another process was faster; its store is as good as ours
                _build_folder(make(), place, key)
        return FeatureStore.open(place)

    @property
    def lengths(self) -> Int[np.ndarray[Any, Any], " rows"]:
        """Tokens of every row, int32: of `input_ids`, and of `target_ids` where there is a target."""
        counts = [np.diff(self.fields[name].offsets) for name in TOKENS if name in self.fields]
        return np.sum(counts, axis=0, dtype=np.int32) if counts else np.zeros(self._num_rows, np.int32)

    def __len__(self) -> int:
        return self._num_rows

    @overload
    def __getitem__(self, index: int) -> Features: ...
    @overload
    def __getitem__(self, index: slice) -> list[Features]: ...
    def __getitem__(self, index: int | slice) -> Features | list[Features]:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(self._num_rows))]
        row = index + self._num_rows if index < 0 else index
        if not 0 <= row < self._num_rows:
            raise IndexError(f"row {index} of {self._num_rows}")
        return {name: field.row(row) for name, field in self.fields.items()}

    def __iter__(self) -> Iterator[Features]:
        return (self[row] for row in range(self._num_rows))


PART = "part"
"""The field that says which part of joined rows a row is from."""


class JoinedRows(Sequence[Features]):
    """The rows of several parts, one part after the other; every row says in the field `part` which it is from, counted from 0.

    Args:
        parts: The rows of each part, which may have other fields than those of another part.

    Example:
        >>> rows = FeatureStore.build([{"input_ids": np.array([101, 102])}])
        >>> JoinedRows([rows, rows])[1]["part"].tolist()
        [1]
    """

    def __init__(self, parts: Sequence[FeatureStore]) -> None:
        self.parts = tuple(parts)
        self.begins = np.cumsum([0, *(len(part) for part in self.parts)])

    @property
    def lengths(self) -> Int[np.ndarray[Any, Any], " rows"]:
        """Tokens of every row."""
        return np.concatenate([part.lengths for part in self.parts])

    def __len__(self) -> int:
        return int(self.begins[-1])

    @overload
    def __getitem__(self, index: int) -> Features: ...
    @overload
    def __getitem__(self, index: slice) -> list[Features]: ...
    def __getitem__(self, index: int | slice) -> Features | list[Features]:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        part = int(np.searchsorted(self.begins, index, side="right")) - 1
        return {**self.parts[part][index - int(self.begins[part])], PART: np.array([part], np.int32)}


class _Column:
    """An array that grows at its end and becomes an .npy file; its header is written again, with the final length, when that is known."""

    def __init__(self, file: IOBase, dtype: np.dtype[Any]) -> None:
        self._file = file
        self.dtype = dtype
        self.count = 0
        self.checksum = 0
        self._write_header()
        self.start = file.tell()

    def append(self, values: Flat) -> None:
        data = values.tobytes()
        self._file.write(data)
        self.checksum = zlib.crc32(data, self.checksum)
        self.count += len(values)

    def finish(self) -> None:
        self._file.seek(0)
        self._write_header()
        assert self._file.tell() == self.start, "numpy pads the header, so that its length does not depend on the array's"
        self._file.flush()

    def _write_header(self) -> None:
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (self.count,)}
        np.lib.format.write_array_header_1_0(self._file, header)


class _Writer:
    """Appends rows to the columns of their fields.

    Args:
        open_file: Gives the file that a column is written to.
    """

    def __init__(self, open_file: Callable[[str], IOBase]) -> None:
        self._open_file = open_file
        self.columns: dict[str, tuple[_Column, _Column]] = {}
        self.num_rows = 0

    def write(self, rows: Iterable[Features]) -> None:
        """Append rows, some at a time."""
        rows = iter(rows)
        while chunk := list(islice(rows, CHUNK)):
            if not self.columns:
                self.columns = {name: self._new_columns(name, values) for name, values in chunk[0].items()}
            for number, row in enumerate(chunk, self.num_rows):
                self._check(number, row)
            for name, (values, offsets) in self.columns.items():
                offsets.append(np.cumsum([len(row[name]) for row in chunk]) + values.count)
                values.append(np.concatenate([row[name] for row in chunk]))
            self.num_rows += len(chunk)
        for pair in self.columns.values():
            for column in pair:
                column.finish()

    def _check(self, number: int, row: Features) -> None:
        if row.keys() != self.columns.keys():
            raise ValueError(f"row {number} has the fields {sorted(row)}, the rows before it {sorted(self.columns)}")
        for name, array in row.items():
            dtype = self.columns[name][0].dtype
            if array.dtype != dtype or array.ndim != 1:
                raise ValueError(f"row {number}: {name} is {array.dtype} of {array.ndim} dimensions; {dtype} of one is expected")

    def _new_columns(self, name: str, values: Flat) -> tuple[_Column, _Column]:
        if values.dtype.hasobject:
            raise ValueError(f"{name} holds Python objects; numbers are expected")
        offsets = _Column(self._open_file(f"{name}.offsets.npy"), np.dtype(np.int64))
        offsets.append(np.zeros(1, np.int64))
        return _Column(self._open_file(f"{name}.values.npy"), values.dtype), offsets


def _built_in_memory(rows: Iterable[Features]) -> FeatureStore:
    files: dict[str, BytesIO] = {}
    writer = _Writer(lambda name: files.setdefault(name, BytesIO()))
    writer.write(rows)

    def view(name: str, column: _Column) -> Flat:
        array = np.frombuffer(files[name].getbuffer(), column.dtype, column.count, column.start)
        array.flags.writeable = False
        return array

    columns = writer.columns.items()
    fields = {name: Field(view(f"{name}.values.npy", values), view(f"{name}.offsets.npy", offsets)) for name, (values, offsets) in columns}
    return FeatureStore(fields, writer.num_rows)


def _build_folder(rows: Iterable[Features], folder: Path, key: str) -> None:
    """Write a store beside its place, then move it there.

    Raises:
        FileExistsError: Somebody else has built it in the meantime.
    """
    temporary = folder.parent / f".{folder.name}.{uuid4().hex[:8]}.part"
    try:
        temporary.mkdir(parents=True)
        _write(rows, temporary, key)
        _move(temporary, folder)
    except OSError as error:
        if isinstance(error, FileExistsError):
            raise
        raise DataError(f"the feature store {folder} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(rows: Iterable[Features], folder: Path, key: str) -> None:
    with ExitStack() as files:
        writer = _Writer(lambda name: files.enter_context((folder / name).open("wb")))
        writer.write(rows)
    fields = {name: {"values": values.checksum, "offsets": offsets.checksum} for name, (values, offsets) in writer.columns.items()}
    manifest = {"version": VERSION, "num_rows": writer.num_rows, "key": key, "fields": fields}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")


def _move(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise FileExistsError(error.errno, error.strerror, str(folder)) from error
        raise


def _opened_field(folder: Path, name: str, num_rows: int, checksums: Mapping[str, int]) -> Field:
    values, offsets = (_mapped(folder / f"{name}.{part}.npy", checksums[part]) for part in ("values", "offsets"))
    if offsets.shape != (num_rows + 1,) or offsets[-1] != len(values):
        raise ValueError(f"the offsets of {name} do not fit its values")
    return Field(values, offsets)


def _mapped(path: Path, checksum: int) -> Flat:
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    if zlib.crc32(mapped) != checksum:
        raise ValueError(f"{path.name} has another checksum")
    return np.asarray(mapped)
