"""`bertsmith evaluate`: how good a fine-tuned model is on labelled data, and where it is wrong."""

from typing import Annotated

import typer

from bertsmith.cli.options import Columns, Data, Format, Model, Precision, TaskName, column_names

EXAMPLE = """\
  bertsmith evaluate runs/reviews/model test.tsv
  bertsmith evaluate runs/reviews/model test.tsv --errors errors.html"""


def evaluate(
    model: Model,
    data: Data,
    *,
    errors: Annotated[
        str | None,
        typer.Option("--errors", metavar="FILE", help="Write where the model is wrong: a page (.html) or JSON lines (.jsonl)."),
    ] = None,
    task: TaskName = None,
    columns: Columns = None,
    format_name: Format = None,
    precision: Precision = "auto",
) -> None:
    """Measure a fine-tuned model on labelled data.

    One JSON object: the task's metrics, an interval for the main one, what an answer without reading would score, and the metrics of every label.
    With --errors, also the worst cases, what is taken for what, how well groups of examples are done, and what only this kind of task can tell.
    """
    from bertsmith.cli.error_files import check_error_file, write_errors
    from bertsmith.cli.measuring import measures, outcome_of
    from bertsmith.cli.opening import opened_for_use
    from bertsmith.cli.output import emit, say
    from bertsmith.cli.progress import terminal_progress
    from bertsmith.cli.truncation import say_truncated
    from bertsmith.data.readers import read
    from bertsmith.inference.engine import Engine

    if errors is not None:
        check_error_file(errors)
    checkpoint, found_task = opened_for_use(model, task)
    dataset = found_task.usable(read(data, columns=column_names(columns), format=format_name, needed=found_task.columns))
    engine = Engine(checkpoint, found_task, precision=precision)
    with terminal_progress() as progress:
        outcome = outcome_of(engine, dataset, progress)
    found = measures(found_task, outcome, dataset)
    for remark in (*dataset.remarks(), *filter(None, {found_task.passed_over(row) for row in dataset})):
        say(remark)
    say_truncated(found["truncated"], found["n"], engine)
    emit({"model": model, "data": data, **found})
    if errors is not None:
        write_errors(errors, found_task, outcome, model=model, data=data)
        say(f"written: {errors}")
