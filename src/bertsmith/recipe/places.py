"""What relative paths in a recipe are relative to.

A recipe that lies beside its data can be run from anywhere: paths begin in its folder, or in its `data_root`. What is not there but in the current
folder is taken from there, as one expects of a path that was typed (`--set data_root=…`). All paths of a `Recipe` are absolute; what has a name
instead (`builtin:`, `hub:`) keeps it, wherever it lies on this machine.
"""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from pathlib import Path

from bertsmith.data.sources import BUILTIN, HUB


@dataclass(frozen=True)
class Folders:
    """Where paths of one recipe begin.

    Attributes:
        recipe: The folder of its file.
        data: Where its data is.
    """

    recipe: Path
    data: Path

    @staticmethod
    def of(recipe: Path, data_root: str) -> Folders:
        """The folders of a recipe that lies in the folder `recipe` and has this `data_root`; an empty one is none."""
        return Folders(recipe, Path(found(data_root, recipe)) if data_root else recipe)

    def model(self, name: str) -> str:
        """A model's folder, made absolute; a name that is no folder, and does not look like one, is left for the Hub."""
        path = found(name, self.recipe)
        looks_like_path = name.startswith((".", "~", "/")) or name.count("/") > 1
        return path if looks_like_path or Path(path).exists() else name

    def tokenizer(self, path: str) -> str:
        """The tokenizer of a new model, made absolute; a vocabulary may lie with the recipe or with the data."""
        return found(path, self.recipe, self.data)

    def files(self, names: str | tuple[str, ...]) -> str | tuple[str, ...]:
        """Data files, made absolute; names on the Hub and of the package's own data stay as they are."""
        return self._file(names) if isinstance(names, str) else tuple(map(self._file, names))

    def _file(self, name: str) -> str:
        return name if name.startswith((HUB, BUILTIN)) else found(name, self.data)


def found(path: str, *folders: Path) -> str:
    """A path or pattern, made absolute: in the first of `folders` where it is, else in the current one if it is there, else in the first."""
    candidates = [os.path.normpath(start / Path(path).expanduser()) for start in (*folders, Path.cwd())]
    return next((candidate for candidate in candidates if _exists(candidate)), candidates[0])


def _exists(path: str) -> bool:
    return Path(path).exists() or (glob.has_magic(path) and bool(glob.glob(path, recursive=True)))  # noqa: PTH207 - a pattern may be absolute
