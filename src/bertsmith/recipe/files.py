"""Files of a run: written whole or not at all, hashed, linked instead of copied."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from bertsmith.checkpoint.folder import written_whole
from bertsmith.core.strict_json import strict
from bertsmith.data.sources import Source, find_sources

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def write_text(file: Path, text: str) -> None:
    """Write a file that takes its name only when it is complete."""
    draft = file.with_name(f".{file.name}.part")
    with draft.open("w", encoding="utf-8") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    draft.replace(file)


def write_json(file: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object; what is not a number (an undefined metric) becomes null."""
    write_text(file, json.dumps(strict(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or what it was raised from, is a lack of space."""
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, OSError) and cause.errno in FULL


def read_json(file: Path) -> dict[str, Any] | None:
    """A JSON object; None where there is none that can be read."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def digest(value: Any) -> str:
    """A hash of a JSON value, the same for equal values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:32]


def file_digest(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def folder_digest(files: Iterable[Path]) -> str:
    """A hash of some files' names and contents."""
    return digest({file.name: file_digest(file) for file in files})


def source_digests(names: str | tuple[str, ...]) -> dict[str, str]:
    """The SHA-256 of every data file that some names stand for. Of a data set on the Hub only the name is known.

    Raises:
        DataError: Lists what cannot be found.
    """
    sources: list[Source] = find_sources(names)
    return {source.name: source.name if source.is_hub else source.sha256() for source in sources}


def link_folder(folder: Path, target: Path) -> None:
    """The same files in another place: as hard links, or copied where the file system has none."""
    with written_whole(target) as draft:
        shutil.copytree(folder, draft, copy_function=_linked, dirs_exist_ok=True)


def _linked(file: str, place: str) -> None:
    try:
        os.link(file, place)
    except OSError:
        shutil.copy2(file, place)
