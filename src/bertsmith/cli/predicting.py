"""What `predict` and `embed` do with their rows: the bad ones aside, the good ones in order, with what says which row it was."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bertsmith.cli.inputs import STANDARD_INPUT
from bertsmith.cli.output import Writer, json_line
from bertsmith.cli.truncation import count_truncated
from bertsmith.cli.vectors import Matrix, Vector
from bertsmith.core.amounts import plural
from bertsmith.core.chunks import characters, chunks
from bertsmith.core.errors import DataError
from bertsmith.core.progress import Progress, followed, work
from bertsmith.core.types import Example
from bertsmith.data.dataset import Problem
from bertsmith.data.readers import stream, wrong_text
from bertsmith.data.sources import Source
from bertsmith.inference.engine import Engine
from bertsmith.tasks import Outcome, Prediction, Task

Result = TypeVar("Result")

MANY_PROBLEMS = 1000
"""Bad lines after which reading ends if there are more of them than of good ones."""

OPTIONS = ("text", "text_pair", "question", "context")
"""Columns of the one row that can be given without a file."""

ECHOED = ("id", "idx", "index", "qid", "guid", "text", "text_pair", "question")
"""Columns that a prediction repeats."""


def rows_to_predict(
    task: Task, sources: Sequence[Source], given: Mapping[str, str], *, columns: Mapping[str, str], format_name: str | None
) -> Iterator[Example | Problem]:
    """The rows of an input, or the one row that was given by its columns where there is no input.

    Raises:
        DataError: The input cannot be read, or the one row lacks a column, or has one that nobody reads.
    """
    needed = list(task.needed())
    if sources:
        return stream(sources, columns=columns, format=format_name, needed=needed)
    if unread := [_option(name) for name in given if name not in (*task.reads, *needed)]:
        reads = "one text" if needed in (["text"], []) else " and ".join(needed)
        raise DataError(f"the task {task.name!r} reads {reads}: leave {' and '.join(unread)} out")
    missing = [column for column in needed if not given.get(column, "").strip()]
    if missing:
        option = f"{_option(missing[0])}, or " if missing[0] in OPTIONS else ""
        raise DataError(f"the task {task.name!r} needs {' and '.join(missing)}: give {option}a row of an INPUT")
    if wrong := [f"{_option(name)} {reason}" for name, value in given.items() if (reason := _wrong_argument(value))]:
        raise DataError("; ".join(wrong))
    return iter([Example(given)])


def _wrong_argument(value: str) -> str:
    """What is wrong with a text of the command line; bytes that Python could not decode are half surrogate pairs there."""
    return "is not UTF-8; set the terminal to UTF-8" if any("\udc80" <= character <= "\udcff" for character in value) else wrong_text(value)


def _option(column: str) -> str:
    return f"--{column.replace('_', '-')}"


@dataclass
class Account:
    """What the user is told when all rows are done.

    Attributes:
        problems: Lines that could not be read.
        gave_up: Whether there were so many of them that the rest of the input was left.
        truncated: How many texts were longer than the model takes.
        passed_over: What of the rows was not read, in words.
    """

    problems: list[Problem] = field(default_factory=list[Problem])
    gave_up: bool = False
    truncated: int = 0
    passed_over: set[str] = field(default_factory=set[str])


def predicted(engine: Engine, rows: Iterable[Example | Problem], account: Account, progress: Progress) -> Iterator[tuple[Example, Prediction]]:
    """Every good row with its prediction, in order."""
    task = engine.task
    assert task is not None, "it was opened for use"

    def predict(examples: list[Example]) -> Sequence[Prediction]:
        features = list(task.encode(examples, engine.tokenizer, labelled=False))
        account.truncated += count_truncated(features)
        account.passed_over.update(filter(None, map(task.passed_over, examples)))
        with work(progress, "score", len(features), "sequences"):
            outputs = engine.outputs(features, progress)
        return task.decode(Outcome(outputs, features, examples, engine.tokenizer))

    return followed(_by_chunks(good_rows(_judged(task, rows), account), predict, engine.chunk), progress, "predict", None, "rows")


def embedded(
    engine: Engine, rows: Iterable[Example | Problem], account: Account, progress: Progress, *, pooling: str | None, normalise: bool | None
) -> Iterator[tuple[Example, Vector]]:
    """Every good row with the vector of its text, in order."""

    def embed(examples: list[Example]) -> Matrix:
        features = engine.rows_of([str(example["text"]) for example in examples])
        account.truncated += count_truncated(features)
        return engine.pooled(features, pooling, normalise=normalise)

    return followed(_by_chunks(good_rows(rows, account), embed, engine.chunk), progress, "embed", None, "rows")


def _judged(task: Task, rows: Iterable[Example | Problem]) -> Iterator[Example | Problem]:
    """The rows, with a problem in the place of those that the task cannot use."""
    for row in rows:
        if not isinstance(row, Problem) and (reason := task.wrong_input(row)):
            yield Problem.of(row, reason)
        else:
            yield row


def good_rows(rows: Iterable[Example | Problem], account: Account) -> Iterator[Example]:
    """The rows that could be read; the others go to the account. After a thousand of these, where they are the majority, no more are read.

    Raises:
        DataError: There are no rows, or only others: the input is not what it is taken for.
    """
    good = bad = 0
    for row in rows:
        if not isinstance(row, Problem):
            good += 1
            yield row
            continue
        bad += 1
        account.problems.append(row)
        if bad >= MANY_PROBLEMS and bad > good:
            account.gave_up = True
            break
    if not good:
        refuse_bad_lines(account, good)
        raise DataError("the input has no rows; there is nothing to do")


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
    """What says which row a result is of: its file, where there are several, its line and its place there, its id, its texts."""
    file = {"file": example.file} if example.file not in {source, STANDARD_INPUT, ""} else {}
    line = {"line": example.line} if example.line else {}
    place = {"place": example.place} if example.place else {}
    return {**file, **line, **place, **{name: example[name] for name in ECHOED if name in example.values}}


def lines_left_out(last: Mapping[str, int], count: int) -> str:
    """Says how many lines before the last example are no example, if there are any: from there on, rows are not lines.

    Args:
        last: The line of the last example of every file.
        count: Examples.

    Example:
        >>> lines_left_out({"new.txt": 4}, 2)
        '; 2 lines of the input have none (blank, unreadable, or a header), so rows of the array are not lines of the input'
    """
    others = sum(last.values()) - count
    if others <= 0:
        return ""
    lines = "1 line of the input has none" if others == 1 else f"{others:,} lines of the input have none"
    return f"; {lines} (blank, unreadable, or a header), so rows of the array are not lines of the input"


def refuse_bad_lines(account: Account, count: int) -> None:
    """List the lines that could not be read.

    Args:
        account: Holds them.
        count: How many others there were.

    Raises:
        DataError: There are any.
    """
    problems = account.problems
    if problems:
        others = f"the other {count:,} {'was' if count == 1 else 'were'} done" if count else "nothing was done"
        rest = "; so many are bad that what follows was not read" if account.gave_up else ""
        read = f"{len(problems):,} of {plural(len(problems) + count, 'row')}"
        raise DataError(f"{read} could not be read; {others}{rest}", [str(one) for one in problems])


def _by_chunks(examples: Iterator[Example], compute: Callable[[list[Example]], Iterable[Result]], size: int) -> Iterator[tuple[Example, Result]]:
    """Examples with their results, computed for as many of them at once as are sorted together."""
    for chunk in chunks(examples, size, characters):
        yield from zip(chunk, compute(chunk), strict=True)
