"""`bertsmith evaluate`: how good a fine-tuned model is on labelled data."""

from bertsmith.cli.options import Columns, Data, Format, Model, Precision, TaskName, column_names

EXAMPLE = "  bertsmith evaluate runs/reviews/model test.tsv"


def evaluate(
    model: Model, data: Data, task: TaskName = None, columns: Columns = None, format_name: Format = None, precision: Precision = "auto"
) -> None:
    """Measure a fine-tuned model on labelled data.

    One JSON object: the task's metrics, an interval for the main one, and what the same answer to everything would score.
    """
    from bertsmith.cli.measuring import measured
    from bertsmith.cli.opening import opened_for_use
    from bertsmith.cli.output import emit
    from bertsmith.cli.progress import terminal_progress
    from bertsmith.cli.truncation import say_truncated
    from bertsmith.data.readers import read
    from bertsmith.inference.engine import Engine

    checkpoint, found_task = opened_for_use(model, task)
    dataset = found_task.settled(read(data, columns=column_names(columns), format=format_name, needed=found_task.columns))
    engine = Engine(checkpoint, found_task, precision=precision)
    with terminal_progress() as progress:
        found = measured(engine, dataset, progress)
    say_truncated(found["truncated"], found["n"], engine)
    emit({"model": model, "data": data, **found})
