"""`bertsmith convert`: any readable checkpoint to a clean folder."""

from pathlib import Path
from typing import Annotated

import typer

from bertsmith.cli.options import Model
from bertsmith.core.errors import RecipeError

EXAMPLE = "  bertsmith convert downloads/old-bert clean/bert"


def convert(model: Model, out: Annotated[Path, typer.Argument(metavar="OUT", help="A folder that does not exist yet.")]) -> None:
    """Write any readable checkpoint as a clean folder.

    Shards, pickled weights and old names go in; safetensors that open in transformers come out.
    """
    from bertsmith.checkpoint.folder import file_in_the_way
    from bertsmith.cli.output import emit
    from bertsmith.models import load, save

    if file := file_in_the_way(out):
        raise RecipeError(f"{file} is a file; name a new folder")
    if out.is_dir() and any(out.iterdir()):
        raise RecipeError(f"{out} exists and is not empty; name a new folder")
    checkpoint = load(model)
    save(checkpoint, out)
    emit({"folder": str(out), "heads": sorted(checkpoint.model.heads), "num_parameters": checkpoint.model.num_parameters})
