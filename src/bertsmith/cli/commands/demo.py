"""`bertsmith demo`: the main job on the built-in model and data."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = "  bertsmith demo --out demo"


def demo(out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the results are written.")] = Path("demo")) -> None:
    """Show the whole chain on built-in model and data, offline.

    Raw text → adapted model → fine-tuned model → predictions, and what each stage was worth.
    """
    from bertsmith.cli.output import emit
    from bertsmith.cli.progress import terminal_progress
    from bertsmith.demo import run as run_demo

    with terminal_progress() as progress:
        result = run_demo(out, progress)
    emit(result.to_dict())
