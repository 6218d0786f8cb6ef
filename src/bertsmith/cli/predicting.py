"""What `predict` and `embed` do with their rows: the bad ones aside, the good ones in order, with what says which row it was."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bertsmith.cli.inputs import STANDARD_INPUT, input_rows
from bertsmith.cli.output import Writer, json_line
from bertsmith.cli.vectors import Vector
from bertsmith.core.errors import DataError
from bertsmith.core.progress import Progress, followed
from bertsmith.core.types import Example
from bertsmith.data.dataset import Problem
from bertsmith.inference.engine import Engine
from bertsmith.tasks import Prediction, Task

MANY_PROBLEMS = 1000
"""Bad lines after which it is asked whether there are more of them than of good ones."""

ECHOED = ("id", "idx", "index", "qid", "guid", "text", "text_pair")
"""Columns that a prediction repeats."""


def rows_to_predict(
    task: Task, source: str | None, text: str | None, text_pair: str | None, *, columns: Mapping[str, str], format_name: str | None
) -> Iterator[Example | Problem]:
    """The rows of an input, or the one text that was given.

    Raises:
        DataError: The input cannot be read, or the one text lacks its second.
    """
    needed = [column for column in task.columns if column != "label"]
    if source is not None:
        return input_rows(source, columns=columns, format_name=format_name, needed=needed)
    values = {name: value for name, value in (("text", text), ("text_pair", text_pair)) if value is not None}
    missing = [column for column in needed if not values.get(column, "").strip()]
    if missing:
        raise DataError(f"the task {task.name!r} needs {' and '.join(missing)}: give --{missing[0].replace('_', '-')}")
    return iter([Example(values)])


def predicted(engine: Engine, rows: Iterable[Example | Problem], problems: list[Problem], progress: Progress) -> Iterator[tuple[Example, Prediction]]:
    """Every good row with its prediction, in order; the bad ones go to `problems`."""
    waiting: deque[Example] = deque()
    for prediction in followed(engine.predict(_noted(good_rows(rows, problems), waiting)), progress, "predict", None, "rows"):
        yield waiting.popleft(), prediction


def embedded(
    engine: Engine, rows: Iterable[Example | Problem], problems: list[Problem], progress: Progress, *, pooling: str, normalise: bool
) -> Iterator[tuple[Example, Vector]]:
    """Every good row with the vector of its text, in order; the bad ones go to `problems`."""
    waiting: deque[Example] = deque()
    texts = (str(example["text"]) for example in _noted(good_rows(rows, problems), waiting))
    for vector in followed(engine.vectors(texts, pooling, normalise=normalise), progress, "embed", None, "rows"):
        yield waiting.popleft(), vector


def good_rows(rows: Iterable[Example | Problem], problems: list[Problem]) -> Iterator[Example]:
    """The rows that could be read; the others go to `problems`.

    Raises:
        DataError: There are a thousand of the others, and they are in the majority: the input is not what it is taken for.
    """
    good = 0
    for row in rows:
        if not isinstance(row, Problem):
            good += 1
            yield row
            continue
        problems.append(row)
        if len(problems) >= MANY_PROBLEMS and len(problems) > good:
            refuse_bad_lines(problems, good)


def write_lines(results: Iterable[tuple[Example, Mapping[str, Any]]], source: str | None, file: Writer) -> int:
    """A line of JSON a result, each written at once: whoever reads a pipe need not wait for a buffer to fill.

    Args:
        results: Rows and what was found for them.
        source: What the user asked to be read, which need not be repeated.
        file: Where the lines go.

    Returns:
        How many there were.
    """
    count = 0
    for example, result in results:
        file.write(json_line({**echo(example, source), **result}) + "\n")
        file.flush()
        count += 1
    return count


def echo(example: Example, source: str | None) -> dict[str, Any]:
    """What says which row a result is of: its file, where there are several, its line, its id, its texts."""
    file = {"file": example.file} if example.file not in {source, STANDARD_INPUT, ""} else {}
    line = {"line": example.line} if example.line else {}
    return {**file, **line, **{name: example[name] for name in ECHOED if name in example.values}}


def refuse_bad_lines(problems: list[Problem], count: int) -> None:
    """List the lines that could not be read.

    Raises:
        DataError: There are any.
    """
    if problems:
        raise DataError(
            f"{len(problems)} of {len(problems) + count} lines could not be read; the other {count} were done", [str(one) for one in problems]
        )


def _noted(examples: Iterable[Example], waiting: deque[Example]) -> Iterator[Example]:
    for example in examples:
        waiting.append(example)
        yield example
