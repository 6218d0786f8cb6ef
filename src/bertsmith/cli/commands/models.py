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
    """List model families, or what a model's folder holds."""
    from bertsmith.checkpoint.locate import builtin_models
    from bertsmith.cli.catalogue import print_table, rows_of
    from bertsmith.cli.output import emit
    from bertsmith.models import families

    if model is not None:
        facts = _facts(model)
        emit(facts) if as_json else print_table({name.replace("_", " "): _shown(value) for name, value in facts.items()})
        return
    built_in = [f"builtin:{name}" for name in builtin_models()]
    if as_json:
        emit({"families": rows_of(families), "builtin": built_in})
        return
    typer.echo("Model families, by the model_type of their config.json:\n")
    print_table(rows_of(families))
    typer.echo(f"\nBuilt-in models: {', '.join(built_in) or 'none'}")


def _facts(model: str) -> dict[str, Any]:
    """What a model's folder holds: its shape, its vocabulary, which heads are trained and which are not there, its task."""
    from bertsmith.inspecting.inspection import facts_of
    from bertsmith.models import load

    checkpoint = load(model)
    tokens = [checkpoint.tokenizer.token(number) for number in range(checkpoint.tokenizer.vocabulary_size)]
    return {
        "model": model,
        "folder": str(checkpoint.folder),
        **facts_of(checkpoint),
        "chinese_characters": sum(len(token) == 1 and "\u4e00" <= token <= "\u9fff" for token in tokens),
        "trained_heads": sorted(checkpoint.stored_heads),
        "absent_heads": sorted(set(checkpoint.model.family.heads) - checkpoint.stored_heads),
        "labels": list(checkpoint.labels),
        "task": dict(checkpoint.task),
    }


def _shown(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict) and value:
        return literal(value)
    return str(value or "none")
