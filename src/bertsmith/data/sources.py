"""From what the user wrote — a path, a pattern, '-', 'hub:owner/name', 'builtin:NAME/FILE' — to things that can be opened."""

from __future__ import annotations

import glob
import hashlib
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bertsmith.core.errors import DataError
from bertsmith.core.registry import nearest

HUB = "hub:"
BUILTIN = "builtin:"
DATA = Path(__file__).resolve().parent.parent / "builtin" / "data"
"""The data that comes with the package."""

STANDARD_INPUT = "-"


@dataclass(frozen=True, slots=True)
class Source:
    """Something with rows in it.

    Attributes:
        name: As the user wrote it, or as the pattern found it.
        path: Where its bytes are; None if they came through standard input or are on the Hub.
        data: Its bytes, where it has no path.
    """

    name: str
    path: Path | None = None
    data: bytes = field(default=b"", repr=False)

    @property
    def is_hub(self) -> bool:
        """Whether it is a data set of the Hub rather than bytes."""
        return self.name.startswith(HUB)

    @property
    def suffix(self) -> str:
        """The ending of its name in lower case: `.jsonl`."""
        return self.path.suffix.lower() if self.path else ""

    def open(self) -> io.BufferedIOBase:
        """Its bytes, from the beginning."""
        if self.path is None:
            return io.BytesIO(self.data)
        try:
            return self.path.open("rb")
        except OSError as error:
            raise DataError(f"{self.name} cannot be opened: {error.strerror}") from error

    def head(self, size: int = 1 << 16) -> bytes:
        """Its first bytes."""
        with self.open() as file:
            return file.read(size)

    def sha256(self) -> str:
        """The hash of its bytes, in hexadecimal."""
        with self.open() as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def find_sources(sources: str | Path | Sequence[str | Path]) -> list[Source]:
    """Every file that paths and patterns stand for, in order, each once.

    Args:
        sources: Paths, patterns (`data/*.txt`, `**` for any depth; their files are sorted by name), `-` for standard input,
            `hub:owner/name?split=train`, `builtin:NAME/FILE`.

    Raises:
        DataError: A path that does not exist (with the nearest name that does), a folder, a pattern that matches nothing; all of them at once.
    """
    written = [sources] if isinstance(sources, str | Path) else list(sources)
    found: dict[str, Source] = {}
    problems: list[str] = []
    for name in map(str, written):
        try:
            found |= {_identity(source): source for source in _expand(name)}
        except DataError as error:
            problems.append(error.summary)
    if len(problems) == 1 and len(written) == 1:
        raise DataError(problems[0])
    if problems:
        raise DataError(f"{len(problems)} of {len(written)} sources cannot be read", problems)
    if not found:
        raise DataError("no file was named")
    return list(found.values())


def builtin_path(name: str) -> str:
    """Where data of the package lies, for `builtin:NAME/FILE`; any other name as it is.

    Example:
        >>> builtin_path("train.tsv"), builtin_path("builtin:reviews/train.tsv") == str(DATA / "reviews" / "train.tsv")
        ('train.tsv', True)
    """
    return str(DATA / name.removeprefix(BUILTIN)) if name.startswith(BUILTIN) else name


def _identity(source: Source) -> str:
    return str(source.path.resolve()) if source.path else source.name


def _expand(name: str) -> list[Source]:
    if name.startswith(HUB):
        return [Source(name)]
    if name == STANDARD_INPUT:
        return [Source("standard input", data=sys.stdin.buffer.read())]
    path = Path(builtin_path(name)).expanduser()
    if path.is_dir():
        raise DataError(f"{name} is a folder; name a file in it, or a pattern such as {name.rstrip('/')}/*.jsonl")
    if path.exists():
        return [Source(name, path)]
    if glob.has_magic(name):
        paths = sorted(entry for entry in map(Path, glob.glob(str(path), recursive=True)) if entry.is_file())  # noqa: PTH207 (the pattern may be absolute)
        if not paths:
            raise DataError(f"no file matches the pattern {name}")
        return [Source(str(entry), entry) for entry in paths]
    raise DataError(_missing(name, path))


def _missing(name: str, path: Path) -> str:
    """Says how far the path is right."""
    if path.parent.is_dir():
        return f"there is no file {name}{nearest(path.name, [entry.name for entry in path.parent.iterdir()])}"
    folder = path.parent
    while not folder.parent.is_dir() and not folder.is_file():
        folder = folder.parent
    if folder.is_file():
        return f"there is no file {name}: {folder} is a file, not a folder"
    return f"there is no file {name}: the folder {folder} does not exist{nearest(folder.name, [entry.name for entry in folder.parent.iterdir()])}"
