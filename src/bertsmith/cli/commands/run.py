"""`bertsmith run`: train what a recipe says."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from bertsmith.core.errors import InterruptedRunError

EXAMPLE = """\
  bertsmith run recipes/reviews.toml --dry-run
  bertsmith run recipes/reviews.toml --set seed=2 --set stage.adapt.train.epochs=5 --out runs/reviews-2"""


def run(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="What is trained, on what, from where.")],
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change a value of the recipe. May be repeated.")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Where results are written  [default: runs/RECIPE]")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, train nothing.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was interrupted.")] = False,
) -> None:
    """Train what a recipe says.

    Its stages are trained one after the other and evaluated; they leave folders that open in transformers, and a page about it all, report.html.
    Standard output gets one JSON object. Under torchrun, several processes share the training.
    """
    from bertsmith.cli.output import emit
    from bertsmith.cli.progress import terminal_progress
    from bertsmith.cli.run_tables import run_summary, run_table
    from bertsmith.cli.terminal import text_console
    from bertsmith.recipe import read_recipe
    from bertsmith.recipe.processes import is_first
    from bertsmith.recipe.run import run as run_recipe
    from bertsmith.report import write_report

    folder = out or Path("runs") / recipe.stem
    parsed = read_recipe(recipe, overrides or [])
    try:
        with terminal_progress() as progress:
            result = run_recipe(parsed, folder, resume=resume, dry_run=dry_run, progress=progress)
    except (KeyboardInterrupt, InterruptedRunError) as error:
        if dry_run:
            raise
        again = ["bertsmith", "run", str(recipe), *(part for one in overrides or [] for part in ("--set", one)), "--out", str(folder), "--resume"]
        raise InterruptedRunError(f"{str(error) or 'interrupted'}\nGo on with: {shlex.join(again)}") from error
    if not is_first():
        return
    console = text_console(stderr=True)
    console.print(run_table(result))
    if not dry_run:
        console.print(f"Report: {write_report(folder)}")
    emit(run_summary(result))
