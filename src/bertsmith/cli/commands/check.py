"""`bertsmith check`: the data doctor."""

from typing import Annotated

import typer

from bertsmith.cli.failure import MISTAKE
from bertsmith.cli.options import AsJson, Columns, Data, Format, column_names

EXAMPLE = "  bertsmith check train.tsv --task single --test test.tsv --model builtin:mini-zh"


def check(
    data: Data,
    *,
    task: Annotated[str, typer.Option("--task", metavar="NAME", help="What the data is for: see bertsmith tasks.")],
    model: Annotated[str | None, typer.Option("--model", metavar="MODEL", help="Whose tokenizer counts tokens and unknown characters.")] = None,
    valid: Annotated[str | None, typer.Option("--valid", metavar="FILE", help="The data to choose checkpoints by.")] = None,
    test: Annotated[str | None, typer.Option("--test", metavar="FILE", help="The data to score.")] = None,
    max_length: Annotated[
        int | None,
        typer.Option("--max-length", metavar="N", min=8, help="Tokens that training will keep of a row; the task's own number by default."),
    ] = None,
    columns: Columns = None,
    format_name: Format = None,
    as_json: AsJson = False,
) -> None:
    """Look for what is wrong with labelled data.

    Label balance, duplicates, rows shared between train and test, texts that will be cut, characters the vocabulary lacks, labels that look wrong.
    The exit status is 2 if something would make training fail or its result worthless.
    """
    from bertsmith.checkpoint.locate import locate
    from bertsmith.cli.output import emit
    from bertsmith.data.doctor import examine
    from bertsmith.data.readers import read
    from bertsmith.tasks import tasks
    from bertsmith.text.tokenizer import Tokenizer

    kind, named = tasks[task], column_names(columns)
    sets = [
        None if name is None else read(name, columns=named, format=format_name, skip_bad_lines=True, needed=kind.columns)
        for name in (data, valid, test)
    ]
    assert sets[0] is not None, "DATA is always given"
    tokenizer = None if model is None else Tokenizer.from_folder(locate(model))
    report = examine(
        sets[0],
        sets[1],
        sets[2],
        task=task,
        wrong_label=kind.wrong_label,
        judge=kind(),
        tokenizer=tokenizer,
        max_length=max_length or kind.max_length,
    )
    if as_json:
        emit(report.to_dict())
    else:
        typer.echo("\n".join(report.lines()))
    if report.of("error"):
        raise typer.Exit(MISTAKE)
