"""What `evaluate --errors` writes: an error analysis, as a page or as JSON lines."""

from pathlib import Path

from bertsmith.cli.output import json_line, opened_output, writable
from bertsmith.core.errors import RecipeError
from bertsmith.tasks import Outcome, Task

PAGE, LINES = (".html", ".htm"), (".jsonl", ".json")


def check_error_file(name: str) -> None:
    """Find out that an analysis can be written before the work is done that it is about.

    Raises:
        RecipeError: The name's ending does not say what to write, or the file cannot be written.
    """
    if Path(name).suffix.lower() not in (*PAGE, *LINES):
        raise RecipeError(f"--errors is {name}; its ending says what is written: .html for a page, .jsonl for JSON lines")
    writable(name)


def write_errors(name: str, task: Task, outcome: Outcome, *, model: str, data: str) -> None:
    """Write the analysis of an outcome.

    Args:
        name: Of the file.
        task: What the outcome is of.
        outcome: With rows and examples.
        model: What the user called it.
        data: Likewise.
    """
    from bertsmith.report.errors import analysed, error_lines

    analysis = analysed(task, outcome)
    with opened_output(name) as file:
        if Path(name).suffix.lower() in LINES:
            for line in error_lines(analysis):
                file.write(json_line(line) + "\n")
        else:
            from bertsmith.report.error_page import error_page

            file.write(error_page(analysis, model=model, data=data))
