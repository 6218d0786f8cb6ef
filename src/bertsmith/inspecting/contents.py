"""What is in a model's folder: its shape, its vocabulary, which heads are trained and which are not there. No weight's value is read for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bertsmith.checkpoint.folder import read_json, read_weights, weight_files
from bertsmith.checkpoint.licence import licence_of
from bertsmith.inspecting.inspection import facts_of
from bertsmith.models.loading import Checkpoint, outline
from bertsmith.models.stored import architectures_of
from bertsmith.objectives.remedy import recipe_for, without_head
from bertsmith.text.tokenizer import Tokenizer

ADAPTER = "adapter_config.json"


def contents_of(model: str) -> dict[str, Any]:
    """Everything that a model's folder tells of it.

    Args:
        model: A folder, a name on the Hub, or `builtin:NAME`.

    Raises:
        CheckpointError: As for `load`, but for values that are not finite.

    Example:
        >>> found = contents_of("builtin:mini-zh")
        >>> found["family"], found["trained_heads"], found["num_parameters"], found["precisions"]
        ('bert', ['mlm'], 5413440, ['float16'])
    """
    checkpoint = outline(model)
    folder = checkpoint.folder
    assert folder is not None, "it was opened from a folder"
    config = read_json(folder / "config.json")
    licence = licence_of(folder, config)
    return {
        "model": model,
        "folder": str(folder),
        **facts_of(checkpoint),
        "architectures": architectures_of(config),
        "tokenizer": _kind(checkpoint.tokenizer),
        "chinese_characters": _chinese(checkpoint.tokenizer),
        "trained_heads": sorted(checkpoint.stored_heads),
        "absent_heads": sorted(set(checkpoint.model.family.heads) - checkpoint.stored_heads),
        "labels": list(checkpoint.labels),
        "task": dict(checkpoint.task),
        "adapter": _adapter(folder),
        **_files(folder),
        "licence": licence and licence.name,
        "licence_source": licence and licence.source,
        "notes": list(_notes(checkpoint, model)),
    }


def _kind(tokenizer: Tokenizer) -> str:
    lowered = tokenizer.encode("ABC").tokens == tokenizer.encode("abc").tokens
    return f"{tokenizer.kind}, lower-cased" if lowered else tokenizer.kind


def _chinese(tokenizer: Tokenizer) -> int:
    tokens = (tokenizer.token(number) for number in range(tokenizer.vocabulary_size))
    return sum(len(token) == 1 and "\u4e00" <= token <= "\u9fff" for token in tokens)


def _files(folder: Path) -> dict[str, Any]:
    files = weight_files(folder)
    precisions = {str(weight.dtype).removeprefix("torch.") for weight in read_weights(folder).values() if weight.is_floating_point()}
    return {
        "weight_files": [file.name for file in files],
        "weight_bytes": sum(file.stat().st_size for file in files),
        "precisions": sorted(precisions),
    }


def _adapter(folder: Path) -> str | None:
    """Where the adapter is that belongs to the model: in its folder, or beside it in the folder of a run's stage."""
    places = (folder, folder / "adapter", folder.parent / "adapter")
    return next((str(place) for place in places if (place / ADAPTER).is_file()), None)


def _notes(checkpoint: Checkpoint, model: str) -> Iterator[str]:
    tokenizer = checkpoint.tokenizer
    if gaps := [number for number in range(tokenizer.vocabulary_size) if not tokenizer.token(number)]:
        yield (
            f"{len(gaps):,} of the {tokenizer.vocabulary_size:,} ids of the vocabulary have no token (the first is {gaps[0]}): its file leaves them "
            "out, or lists tokens twice. No text ever has them; if the model knows them, fetch the tokenizer's files again"
        )
    yield from _missing_heads(checkpoint, model)


def _missing_heads(checkpoint: Checkpoint, model: str) -> Iterator[str]:
    """Heads of pre-training that are not there, and what to do about it; a fine-tuned model is expected to have lost them."""
    heads = checkpoint.model.family.heads
    if any(heads[name].labelled for name in checkpoint.stored_heads):
        return
    for name in sorted(set(heads) - checkpoint.stored_heads):
        if not heads[name].labelled and recipe_for(name, model) is not None:
            yield without_head(name, model)
