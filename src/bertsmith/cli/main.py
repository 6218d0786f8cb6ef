"""The entry point of `bertsmith`: which commands there are, and the exit status they end with."""

import importlib
import io
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from bertsmith.cli.failure import report

COMMANDS = tuple("demo run predict evaluate inspect check embed convert models objectives tasks tunings".split())
"""In the order of the help; each is a module of `bertsmith.cli.commands`."""

OVERVIEW = """\
\b
Start here:
  bertsmith demo                            the whole chain, offline, in minutes
  bertsmith run RECIPE.toml --dry-run       what a recipe would do
  bertsmith COMMAND --help                  options, with an example

\b
MODEL is a folder, a name on the Hub, or builtin:NAME. Results go to standard
output, everything else to standard error. Exit status: 0 success, 2 a mistake
that you can mend or an interruption, 1 a failure of bertsmith."""


def _show_version(wanted: bool) -> bool:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"bertsmith {version('bertsmith')}")
        raise typer.Exit
    return wanted


def _overview(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)] = False,
) -> None:
    """Train, adapt and use BERT-family models, in English and Chinese, offline."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: Without the program's name; those of the process by default, and `--help` where there are none.

    Returns:
        The exit status; see `bertsmith.cli.failure`.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # whatever the locale: JSON is UTF-8
    try:
        _invoke(given or ["--help"])
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        return report(error, given)
    return 0


def _invoke(arguments: list[str]) -> None:
    """Run the one command that is named, without importing the others."""
    named = arguments[0] in COMMANDS
    app = application(arguments[:1] if named else COMMANDS)
    if not named:
        app.callback(epilog=OVERVIEW)(_overview)
    command = typer.main.get_command(app)
    with command.make_context(" ".join(["bertsmith", *arguments[:named]]), arguments[named:]) as context:
        command.invoke(context)


def application(names: Sequence[str]) -> typer.Typer:
    """The command line with some of its commands."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    for name in names:
        module = importlib.import_module(f"bertsmith.cli.commands.{name}")
        app.command(name, epilog=f"\b\nExample:\n{module.EXAMPLE}")(getattr(module, name))
    return app
