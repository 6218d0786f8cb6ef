"""Arguments and options that several commands have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import typer

from bertsmith.core.errors import RecipeError

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A folder, a name on the Hub, or builtin:NAME.")]
Input = Annotated[
    str, typer.Argument(metavar="INPUT", help="A file or a pattern in any format, hub:owner/name, builtin:NAME/FILE, or '-' for standard input.")
]
Data = Annotated[str, typer.Argument(metavar="DATA", help="Labelled data: a file or a pattern in any format, hub:owner/name, or builtin:NAME/FILE.")]
TaskName = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="TASK",
        help="The task, where the model's folder does not say it: its name, or its table as in a recipe, '{ name = …, … }' or a .toml file.",
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column", metavar="NAME=COLUMN", help="Which column of the file is text, text_pair, label, …; recognised otherwise. May be repeated."
    ),
]
Format = Annotated[
    str | None,
    typer.Option("--format", metavar="NAME", help="jsonl, csv, tsv, labelled, text, conll, squad, mrqa, c3 or parquet; recognised otherwise."),
]
Precision = Annotated[Literal["auto", "float32", "bfloat16"], typer.Option("--precision", help="What matrix products are computed in.")]
Name = Annotated[str | None, typer.Argument(metavar="NAME", help="Show all about this one.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


def column_names(columns: Sequence[str] | None) -> dict[str, str]:
    """The columns that `--column` names.

    Raises:
        RecipeError: One is not `name=column`.

    Example:
        >>> column_names(["text=sentence1", "text_pair=sentence2"])
        {'text': 'sentence1', 'text_pair': 'sentence2'}
    """
    pairs = [column.partition("=") for column in columns or []]
    wrong = [f"--column {''.join(pair)}" for pair in pairs if not all(pair)]
    if wrong:
        raise RecipeError("--column takes NAME=COLUMN, such as text=sentence1", wrong)
    return {name: column for name, _, column in pairs}
