"""`bertsmith models`: the families that can be opened and the models that come with the package; with MODEL, what is in its folder."""

from typing import Annotated, Any

import typer

from bertsmith.cli.options import AsJson
from bertsmith.core.literals import literal

EXAMPLE = "  bertsmith models builtin:mini-zh"


def models(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="Show what is in this folder, Hub model or builtin:NAME.")] = None,
    as_json: AsJson = False,
) -> None:
    """List model families, or what a model's folder holds.

    Of a folder: its shape, its vocabulary and its licence, which heads are trained and which are not there, and what to do about that. Weights are
    not loaded for it.
    """
    from bertsmith.checkpoint.locate import builtin_models
    from bertsmith.cli.catalogue import print_table, rows_of
    from bertsmith.cli.output import emit
    from bertsmith.models import families

    if model is not None:
        from bertsmith.inspecting.contents import contents_of

        facts = contents_of(model)
        emit(facts) if as_json else _show(facts)
        return
    built_in = [f"builtin:{name}" for name in builtin_models()]
    if as_json:
        emit({"families": rows_of(families), "builtin": built_in})
        return
    typer.echo("Model families, by the model_type of their config.json:\n")
    print_table(rows_of(families))
    typer.echo(f"\nBuilt-in models: {', '.join(built_in) or 'none'}")


def _show(facts: dict[str, Any]) -> None:
    from bertsmith.cli.catalogue import print_table

    rows = {name.replace("_", " "): _shown(value) for name, value in facts.items() if name not in {"notes", "licence_source"}}
    if facts["licence"]:
        rows["licence"] = f"{facts['licence']} ({facts['licence_source']})"
    print_table(rows)
    for note in facts["notes"]:
        typer.echo(f"\nnote: {note}")


def _shown(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict) and value:
        return literal(value)
    return str(value or "none")
