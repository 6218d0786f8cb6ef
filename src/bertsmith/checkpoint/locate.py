"""From the name of a model to a folder: a path, `builtin:NAME`, or a name on the Hub.

The network is touched only for a name that is neither a folder nor built in, and not even then where the Hub's cache already holds it and
`HF_HUB_OFFLINE` is set. This is the only file that knows the Hub.
"""

from __future__ import annotations

import re
from pathlib import Path

from bertsmith.checkpoint.folder import whole
from bertsmith.core.errors import CheckpointError
from bertsmith.core.registry import nearest

BUILTIN = Path(__file__).resolve().parent.parent / "builtin" / "models"
FILES = ["*.json", "*.txt", "*.model", "*.spm", "*.safetensors", "LICENSE*", "LICENCE*", "NOTICE*", "README.md"]
PICKLED = ["pytorch_model*.bin", "adapter_model.bin"]
"""Fetched only where there is no safetensors file: many models on the Hub hold their weights in both forms."""


def builtin_models() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.name for path in BUILTIN.iterdir() if (path / "config.json").is_file()) if BUILTIN.is_dir() else []


def locate(name: str) -> Path:
    """The folder that a model's name stands for.

    Args:
        name: A folder, `builtin:NAME`, or `owner/name` on the Hub with an optional `@revision`.

    Raises:
        CheckpointError: Nothing of that name, here or there; or links in the folder lead out of it.
    """
    if name.startswith("builtin:"):
        return _builtin(name.removeprefix("builtin:"))
    folder = whole(Path(name).expanduser())
    if name and folder.is_dir():
        _check_links(folder)
        return folder
    if name and folder.exists():
        raise CheckpointError(f"{name} is a file; a model is a folder with config.json, the weights and the tokenizer's files")
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*(@[\w./-]+)?|\w[\w-]*", name):
        raise CheckpointError(f"there is no folder {name!r}")
    return _from_hub(name)


def _check_links(folder: Path) -> None:
    """That nothing which is read of a folder lies outside it.

    In a snapshot of the Hub's cache everything is a link, and leads to the model's own place there.
    """
    place = folder.resolve()
    own = place.parent.parent if place.parent.name == "snapshots" else place
    files = {
        file for pattern in [*FILES, *PICKLED, "*/config.json"] for file in folder.glob(pattern) if file.is_symlink() or file.parent.is_symlink()
    }
    outside = sorted(f"{file.relative_to(folder)} → {file.resolve()}" for file in files if not file.resolve().is_relative_to(own))
    if outside:
        raise CheckpointError(f"links in {folder} lead out of it, and are not followed: put the files themselves there", outside)


def _builtin(name: str) -> Path:
    known = builtin_models()
    if name not in known:
        raise CheckpointError(f"no built-in model {name!r}{nearest(name, known)}; there are: {', '.join(known) or 'none'}")
    return BUILTIN / name


def _from_hub(name: str) -> Path:
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    repository, _, revision = name.partition("@")
    try:
        return _fetched(repository, revision or None)
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, HFValidationError, OSError) as error:
        if isinstance(error, HFValidationError | RepositoryNotFoundError | RevisionNotFoundError):
            reason = "has no model of that name"
        elif isinstance(error, LocalEntryNotFoundError | OfflineModeIsEnabled):
            reason = "cannot be reached"
        else:
            reason = f"could not give it: {str(error).strip().splitlines()[0]}"
        raise CheckpointError(
            f"there is no folder {name!r}, and the Hub {reason}. Without a network, give the path of a folder, or 'builtin:NAME'"
        ) from error


def _fetched(repository: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    folder = Path(snapshot_download(repository, revision=revision, allow_patterns=FILES))
    if any(folder.glob("*.safetensors")):
        return folder
    return Path(snapshot_download(repository, revision=revision, allow_patterns=[*FILES, *PICKLED]))
