"""`bertsmith demo`: the main job on the built-in model and data."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from bertsmith.core.errors import InterruptedRunError

EXAMPLE = "  bertsmith demo --out demo"


def demo(out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the results are written.")] = Path("demo")) -> None:
    """Show the whole chain on built-in model and data, offline.

    Raw text → adapted model → fine-tuned model → predictions, and what each stage was worth.
    """
    from bertsmith.cli.output import emit
    from bertsmith.cli.progress import terminal_progress
    from bertsmith.demo import run as run_demo

    try:
        with terminal_progress() as progress:
            result = run_demo(out, progress)
    except (KeyboardInterrupt, InterruptedRunError) as error:
        raise InterruptedRunError(f"interrupted; what is done is kept. Go on with: {shlex.join(['bertsmith', 'demo', '--out', str(out)])}") from error
    emit(result.to_dict())
