"""Reading and writing the files of a model folder: `config.json` and the weights, whole or in shards.

Safetensors is what we write. Pickled `.bin` files are read with `weights_only=True`, which cannot run code. A folder is written beside its final
place and moved there when it is complete, so that a half-written one is never found. Where an older one is replaced, it stands aside for a moment; a
writer that is killed in that moment leaves it there, and there it is found.
"""

from __future__ import annotations

import glob
import json
import os
import pickle
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from bertsmith.core.errors import CheckpointError

WEIGHTS, PICKLED_WEIGHTS = "model.safetensors", "pytorch_model.bin"
LARGEST_JSON = 50 * 2**20


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object from a file of at most 50 MiB.

    Raises:
        CheckpointError: The file is missing, too large, not UTF-8, not JSON, or not an object.
    """
    if not file.is_file():
        raise CheckpointError(f"{file} is missing: {_why_missing(file)}")
    if file.stat().st_size > LARGEST_JSON:
        raise CheckpointError(f"{file} has {file.stat().st_size:,} bytes; at most {LARGEST_JSON:,} are read")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise CheckpointError(f"{file} is not valid JSON: {error}") from error
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{file} holds a JSON {type(content).__name__}, not an object")
    return cast("dict[str, Any]", content)


def _why_missing(file: Path) -> str:
    if file.name == "config.json" and (file.parent / "model" / file.name).is_file():
        return f"the folder is that of a run; its model is {file.parent / 'model'}"
    if file.name == "config.json" and (file.parent / "adapter_config.json").is_file():
        return "the folder holds an adapter and no model; bertsmith.tuning.lora.merge_adapter adds it to the model that it was trained on"
    return "a model folder holds config.json, the weights and the tokenizer's files"


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object, indented, keeping Chinese readable."""
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All weights of a folder by their published names, from whichever file set it has.

    Raises:
        CheckpointError: No weights, or a pickle that carries anything but tensors; lists everything that is wrong with shards: one is missing or cut
            off, a weight is in two of them or not where the index has it.
    """
    files = weight_files(folder)
    if len(files) == 1:
        return read_file(files[0])
    weights: dict[str, Tensor] = {}
    homes: dict[str, str] = {}
    problems: list[str] = []
    for file in files:
        try:
            found = read_file(file)
        except CheckpointError as error:
            problems.append(str(error))
            continue
        problems += [f"{name} is in {homes[name]} and in {file.name}" for name in sorted(found.keys() & weights.keys())]
        homes |= dict.fromkeys(found, file.name)
        weights |= found
    problems = problems or _misplaced(folder, homes)
    if problems:
        raise CheckpointError(f"the shards of {folder} do not make one model: copy the whole folder again", problems)
    return weights


def _misplaced(folder: Path, homes: Mapping[str, str]) -> list[str]:
    """Weights that are not in the shard where the index says that they are."""
    [index] = [folder / f"{name}.index.json" for name in (WEIGHTS, PICKLED_WEIGHTS) if (folder / f"{name}.index.json").is_file()][:1]
    named = cast("dict[str, str]", read_json(index)["weight_map"])
    return [f"{name} is not in {shard}, where {index.name} has it" for name, shard in named.items() if homes.get(name) != shard]


def check_weights(folder: Path) -> None:
    """Find out, without reading weights, what is wrong with their files: each can be opened, and one of safetensors is as long as its header says.

    Raises:
        CheckpointError: No weights, a missing or truncated shard, a file that cannot be opened.
    """
    for file in weight_files(folder):
        _check_opens(file)
        if file.suffix == ".safetensors":
            with _safetensors_errors(file), safe_open(file, "pt"):
                pass


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a folder's weights: one, or the shards that its index names.

    Raises:
        CheckpointError: There is none, or a shard is missing or would lie outside the folder.
    """
    for name in (WEIGHTS, PICKLED_WEIGHTS):
        if (folder / name).exists():
            return [folder / name]
        if (folder / f"{name}.index.json").is_file():
            return _shards(folder, folder / f"{name}.index.json")
    found = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
    raise CheckpointError(f"no weights in {folder}: expected {WEIGHTS} or {PICKLED_WEIGHTS} (or an index of shards); found {found}")


def _shards(folder: Path, index: Path) -> list[Path]:
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(shard, str) for shard in places.values()):
        raise CheckpointError(f"{index} has no weight_map that gives a file name for every weight: copy it again")
    shards = sorted(set(cast("dict[str, str]", places).values()))
    outside = [shard for shard in shards if Path(shard).name != shard]
    if outside:
        raise CheckpointError(f"{index} names files outside its folder", outside)
    missing = [shard for shard in shards if not (folder / shard).is_file()]
    if missing or not shards:
        raise CheckpointError(f"{index} names {len(shards)} shards; {len(missing)} are not there: copy the whole folder again", missing)
    return [folder / shard for shard in shards]


def read_file(file: Path) -> dict[str, Tensor]:
    """All tensors of one file, safetensors or a pickle of tensors alone.

    Raises:
        CheckpointError: The file is missing, may not be read, is cut off, or carries anything but tensors.
    """
    _check_opens(file)
    if file.suffix == ".safetensors":
        with _safetensors_errors(file):
            return load_file(file)
    try:
        with warnings.catch_warnings(action="ignore"):  # of a file that is refused, in words that are not for whoever named it
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{file} ({file.stat().st_size:,} bytes) is not a file of tensors alone: it carries code, which was not run, "
            "or it is no weights file at all. Copy it again, or ask for a safetensors file"
        ) from error
    except Exception as error:  # what is cut off can raise anything: KeyError, IndexError, struct.error, …
        raise CheckpointError(f"{file} cannot be read ({file.stat().st_size:,} bytes): {error}; it is probably cut off: copy it again") from error
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(f"{file} does not hold a dictionary of tensors")
    return cast("dict[str, Tensor]", content)


def _check_opens(file: Path) -> None:
    """What the operating system says of a file, before a library says something else of it."""
    if not file.exists():
        raise CheckpointError(f"{file} is missing: copy the whole folder again")
    try:
        file.open("rb").close()
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror}") from error


@contextmanager
def _safetensors_errors(file: Path) -> Generator[None]:
    try:
        yield
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{file} cannot be read ({file.stat().st_size:,} bytes): {error}; it is probably cut off: copy it again") from error


def write_weights(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Write `model.safetensors` with the metadata that `transformers` looks for."""
    contiguous = {name: weight.detach().cpu().contiguous() for name, weight in weights.items()}
    save_file(contiguous, folder / WEIGHTS, metadata={"format": "pt"})


def file_in_the_way(folder: Path) -> Path | None:
    """What has the name of a folder, or of one that it lies in, and is none; None where a folder can be made."""
    return next((path for path in (folder, *folder.parents) if path.exists() and not path.is_dir()), None)


@contextmanager
def written_whole(folder: Path) -> Generator[Path]:
    """A folder to write into, which takes its final name only when the block ends without an error.

    An older folder of that name is replaced; where the block fails, it stays as it was. What a writer that was killed has left behind is put in order
    first.

    Raises:
        CheckpointError: The disk is full, the place cannot be written, or a file has that name.
    """
    if blocking := file_in_the_way(folder):
        found = "it" if blocking == folder else str(blocking)
        raise CheckpointError(f"cannot write {folder}: {found} is a file, and a model is a folder; give another name")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        put_in_order(folder)
        draft = _aside(folder, "new")
    except OSError as error:
        raise CheckpointError(f"cannot write to {folder.parent}: {error.strerror}") from error
    try:
        yield draft
        draft.chmod(0o755)
        _sync(draft)
        _replace(draft, folder)
    except (OSError, SafetensorError) as error:  # a full disk is the one for our files and the other for weights
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"cannot write {folder}: {reason}; nothing there was changed. Make room or give another place") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def whole(folder: Path) -> Path:
    """Where the last whole version of a folder is: in its place or, where a writer was killed while it replaced it, beside it."""
    if folder.exists():
        return folder
    found = [old / folder.name for old in _left_behind(folder, "old") if (old / folder.name).is_dir()]
    return found[0] if len(found) == 1 else folder


def put_in_order(folder: Path) -> None:
    """Give the last whole version of a folder its name again, and remove what else killed writers have left of it. Nobody may be writing it."""
    place = whole(folder)
    if place != folder:
        place.rename(folder)
    for rest in [*_left_behind(folder, "new"), *(_left_behind(folder, "old") if folder.exists() else [])]:
        shutil.rmtree(rest, ignore_errors=True)


def _aside(folder: Path, kind: str) -> Path:
    return Path(tempfile.mkdtemp(prefix=f".{folder.name}.{kind}-", dir=folder.parent))


def _left_behind(folder: Path, kind: str) -> list[Path]:
    """What `_aside` has made: names end in eight characters of its choice."""
    return sorted(folder.parent.glob(f".{glob.escape(folder.name)}.{kind}-{'[a-z0-9_]' * 8}"))


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o644)  # safetensors leaves its files to their owner alone
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _replace(draft: Path, folder: Path) -> None:
    if not folder.exists():
        draft.rename(folder)
        return
    old = _aside(folder, "old")
    folder.rename(old / folder.name)
    try:
        draft.rename(folder)
    except OSError:
        (old / folder.name).rename(folder)
        old.rmdir()
        raise
    shutil.rmtree(old, ignore_errors=True)
