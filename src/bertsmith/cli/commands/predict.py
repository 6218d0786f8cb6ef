"""`bertsmith predict`: any input in, JSON lines out, as they come."""

import sys
from typing import Annotated

import typer

from bertsmith.cli.options import Columns, Format, Model, Precision, TaskName, column_names
from bertsmith.core.errors import RecipeError

EXAMPLE = """\
  bertsmith predict runs/reviews/model new.tsv --output predicted.jsonl
  cat new.txt | bertsmith predict runs/reviews/model - | head
  bertsmith predict runs/match/model --text "How old are you?" --text-pair "What is your age?"
  bertsmith predict runs/reading/model --question "谁写了《红楼梦》？" --context "《红楼梦》的作者是曹雪芹。"
"""


def predict(
    model: Model,
    source: Annotated[
        str | None,
        typer.Argument(metavar="INPUT", help="A file or a pattern in any format, hub:owner/name, builtin:NAME/FILE, or '-' for standard input."),
    ] = None,
    *,
    output: Annotated[str, typer.Option("--output", metavar="FILE", help="Where the JSON lines go; '-' is standard output.")] = "-",
    text: Annotated[str | None, typer.Option("--text", metavar="TEXT", help="One text, in the place of INPUT.")] = None,
    text_pair: Annotated[str | None, typer.Option("--text-pair", metavar="TEXT", help="The second text of the pair.")] = None,
    question: Annotated[str | None, typer.Option("--question", metavar="TEXT", help="One question, in the place of INPUT.")] = None,
    context: Annotated[str | None, typer.Option("--context", metavar="TEXT", help="The text that answers it.")] = None,
    task: TaskName = None,
    columns: Columns = None,
    format_name: Format = None,
    precision: Precision = "auto",
) -> None:
    """Predict with a fine-tuned model, row by row.

    Every row gives one line of JSON, with the row's line number, its id and its texts. Lines that cannot be read do not stop the others and are
    listed at the end; the exit status is then 2.
    """
    from bertsmith.cli.inputs import input_sources
    from bertsmith.cli.opening import opened_for_use
    from bertsmith.cli.output import STANDARD, opened_output, say
    from bertsmith.cli.predicting import Account, predicted, refuse_bad_lines, rows_to_predict, write_lines
    from bertsmith.cli.progress import terminal_progress
    from bertsmith.cli.truncation import say_truncated
    from bertsmith.inference.engine import Engine

    named = {"text": text, "text_pair": text_pair, "question": question, "context": context}
    given = {name: value for name, value in named.items() if value is not None}
    if source is None and not given:
        raise RecipeError("name an INPUT (a file, or '-' for standard input), or give one --text TEXT, or a --question with its --context")
    if source is not None and given:
        raise RecipeError(f"--{next(iter(given)).replace('_', '-')} is in the place of an INPUT, which has its texts in columns; give one of the two")
    sources = [] if source is None else input_sources(source, output)
    checkpoint, found_task = opened_for_use(model, task)
    engine = Engine(checkpoint, found_task, precision=precision)
    rows = rows_to_predict(found_task, sources, given, columns=column_names(columns), format_name=format_name)
    account = Account()
    with opened_output(output) as file, terminal_progress(bars=output != STANDARD or not sys.stdout.isatty()) as progress:
        count = write_lines(predicted(engine, rows, account, progress), source, file)
    for remark in account.passed_over:
        say(remark)
    say_truncated(account.truncated, count, engine)
    refuse_bad_lines(account, count)
