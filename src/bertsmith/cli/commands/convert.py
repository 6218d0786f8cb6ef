"""`bertsmith convert`: any readable checkpoint to a clean folder."""

from pathlib import Path
from typing import Annotated

import typer

from bertsmith.cli.options import Model

EXAMPLE = "  bertsmith convert downloads/old-bert clean/bert"


def convert(model: Model, out: Annotated[Path, typer.Argument(metavar="OUT", help="A folder that does not exist yet.")]) -> None:
    """Write any readable checkpoint as a clean folder.

    Shards, pickled weights, old names and a tokenizer in whatever files go in; safetensors and a tokenizer.json that open in transformers come out.
    README, licence and generation_config.json are taken over.
    """
    from bertsmith.cli.output import emit, say
    from bertsmith.models.converting import convert as converted

    found = converted(model, out)
    for change in found.changes:
        say(f"changed: {change}")
    built = found.checkpoint.model
    emit({"folder": str(out), "heads": sorted(built.heads), "num_parameters": built.num_parameters, "changes": found.changes})
