"""Any readable folder to a clean one, and an account of what became of everything in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from bertsmith.checkpoint.folder import WEIGHTS, read_json, read_weights, weight_files, written_whole
from bertsmith.checkpoint.weights import modern_name
from bertsmith.core.errors import CheckpointError
from bertsmith.models.loading import TASK_FILE, Checkpoint, load, write

KEPT = ("README.md", "LICENSE*", "LICENCE*", "NOTICE*", "generation_config.json")
"""Files that are taken over as they are."""

SHOWN = 6
"""Names that are listed of many."""


@dataclass(frozen=True)
class Conversion:
    """What was written, and how it differs from what was read.

    Attributes:
        checkpoint: The model.
        changes: One line each.
    """

    checkpoint: Checkpoint
    changes: tuple[str, ...]


def convert(name: str, out: Path) -> Conversion:
    """Write a model as a clean folder: one file of safetensors by present names, `config.json`, `tokenizer.json`.

    Args:
        name: A folder, `builtin:NAME`, or a name on the Hub.
        out: A folder that does not exist yet, or is empty.

    Raises:
        CheckpointError: As for `load` and `save`; or there is something at `out`.
    """
    if out.is_dir() and any(out.iterdir()):
        raise CheckpointError(f"{out} exists and is not empty; name a new folder")
    checkpoint = load(name)
    folder = checkpoint.folder
    assert folder is not None, "it was opened from a folder"
    with written_whole(out) as draft:
        write(checkpoint, draft)
        for file in (file for pattern in KEPT for file in sorted(folder.glob(pattern)) if file.is_file()):
            shutil.copyfile(file, draft / file.name)
        return Conversion(checkpoint, tuple(_changes(folder, draft, checkpoint.model.family.base)))


def _changes(old: Path, new: Path, base: str) -> Iterator[str]:
    yield from _files(old, new)
    before, after = read_weights(old), read_weights(new)
    precisions = {str(weight.dtype).removeprefix("torch.") for weight in before.values() if weight.is_floating_point()} - {"float32"}
    if precisions:
        yield f"weights were {' and '.join(sorted(precisions))}, and are float32"
    yield from _names(before, after, base)
    gone = sorted(read_json(old / "config.json").keys() - read_json(new / "config.json").keys() - {"transformers_version", "dtype"})
    if gone:
        yield f"config.json no longer has {', '.join(gone)}: nothing that is computed depends on them"


def _files(old: Path, new: Path) -> Iterator[str]:
    stored = weight_files(old)
    if len(stored) > 1:
        yield f"{len(stored)} shards are one file, {WEIGHTS}"
    if stored[0].suffix != ".safetensors":
        yield f"pickled weights are safetensors: nobody has to trust {stored[0].name} any more"
    there = {file.name for file in new.iterdir()}
    for made in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        if made in there and not (old / made).is_file():
            yield f"{made} was made from the tokenizer's other files"
    known = there | {file.name for file in stored} | {f"{stored[0].name.split('-')[0]}{stored[0].suffix}.index.json", TASK_FILE}
    rest = (path for path in old.iterdir() if path.name not in known and not path.name.startswith("."))
    if left := sorted(f"{path.name}/" if path.is_dir() else path.name for path in rest):
        yield f"left behind: {_listed(left)}"


def _names(before: dict[str, Tensor], after: dict[str, Tensor], base: str) -> Iterator[str]:
    modern = {name: modern_name(name) for name in before.keys() - after.keys()}
    new = {name: next((form for form in (now, f"{base}.{now}", now.removeprefix(f"{base}.")) if form in after), None) for name, now in modern.items()}
    renamed = sorted(f"{name} is {now}" for name, now in new.items() if now is not None)
    dropped = sorted(name for name, now in new.items() if now is None)
    if renamed:
        yield f"{len(renamed)} weights have their present names: {_listed(renamed)}"
    if dropped:
        yield f"{len(dropped)} weights are not stored any more, for they say nothing of their own: {_listed(dropped)}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
