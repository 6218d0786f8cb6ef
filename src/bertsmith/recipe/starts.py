"""What a stage starts from, as far as it can be known without reading weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bertsmith.checkpoint.folder import check_weights, read_json
from bertsmith.checkpoint.locate import locate
from bertsmith.models.family import Family, families
from bertsmith.models.loading import Checkpoint, check_tokenizer, create, family_of, load
from bertsmith.recipe.files import digest, file_digest, folder_digest
from bertsmith.recipe.schema import BUILTIN, NewModel
from bertsmith.text.tokenizer import Tokenizer

MODEL_FILES = (".json", ".txt", ".model", ".spm", ".safetensors", ".bin")
"""Endings of the files that make a model what it is."""


@dataclass(frozen=True)
class Start:
    """A model before its weights are read.

    Attributes:
        family: Its configuration.
        tokenizer: Its tokenizer.
        digest: A hash of everything that it consists of.
        place: Its folder, or how to make it.
    """

    family: Family
    tokenizer: Tokenizer
    digest: str
    place: Path | NewModel

    def opened(self, heads: Mapping[str, int], seed: int) -> Checkpoint:
        """The model itself; see `load` and `create`."""
        if isinstance(self.place, Path):
            return load(str(self.place), heads, seed=seed)
        return create(self.place.family, self.tokenizer, self.place.config, heads, seed=seed)


def is_here(start: str | NewModel) -> bool:
    """Whether it can be looked at without asking the Hub."""
    return isinstance(start, NewModel) or start.startswith(BUILTIN) or Path(start).is_absolute()


def examined(start: str | NewModel) -> Start:
    """Look at a model.

    Raises:
        CheckpointError: Something of it is missing, or cannot be built.
        UnknownNameError: Its family is not known.
    """
    return _new(start) if isinstance(start, NewModel) else _in_folder(locate(start))


def _in_folder(folder: Path) -> Start:
    config = read_json(folder / "config.json")
    family, tokenizer = family_of(config, folder), Tokenizer.from_folder(folder)
    check_tokenizer(tokenizer, family, str(folder))
    check_weights(folder)
    files = sorted(file for file in folder.iterdir() if file.suffix in MODEL_FILES)
    return Start(family, tokenizer, folder_digest(files), folder)


def _new(model: NewModel) -> Start:
    place = Path(model.tokenizer)
    tokenizer = Tokenizer.from_folder(place) if place.is_dir() else Tokenizer.from_vocabulary(place, lowercase=model.lowercase)
    values = {"vocab_size": tokenizer.vocabulary_size, "pad_token_id": tokenizer.pad_id, **model.config}
    family = families[model.family].from_config(values, f"the configuration of a new {model.family} model")
    files = sorted(file for file in place.iterdir() if file.suffix in MODEL_FILES) if place.is_dir() else [place]
    vocabulary = [model.lowercase, *(file_digest(file) for file in files)]
    check_tokenizer(tokenizer, family, f"a new {model.family} model")
    return Start(family, tokenizer, digest([model.family, dict(model.config), vocabulary]), model)
