"""Reading labelled data and raw text, in any ordinary format.

::

    "reviews/*.tsv" ──sources──▶ bytes ──lines──▶ lines ──format──▶ rows ──columns──▶ Examples
                                     └────────── problems, each with its line ──────────┘

`read` takes everything into memory and judges it as a whole: all bad lines are reported together, rows without a gold label are left out and counted.
`read_texts` streams, for raw text that need not fit into memory; `stream` hands on row by row, for use.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from bertsmith.core.amounts import plural
from bertsmith.core.errors import DataError
from bertsmith.core.types import Example
from bertsmith.data.columns import choose_columns, renamed
from bertsmith.data.dataset import Dataset, Problem, SourceFile
from bertsmith.data.formats.base import Reading, Row, formats
from bertsmith.data.recognise import recognise, refuse_packed
from bertsmith.data.sources import Source, find_sources

SAMPLE = 200
"""Rows whose columns are looked at to recognise which is which."""

MAX_PROBLEMS = 1000
"""Streaming stops at so many bad lines: the file is not what it is taken for."""

TEXTS = ("text", "text_pair")

FILLED = (*TEXTS, "question", "context")
"""Columns that hold a text where they are needed."""

SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Table:
    """A source that has been opened: what it is, and what comes out of it."""

    source: Source
    format: str
    columns: dict[str, str]
    rows: Iterator[Row | Problem]


def read(
    sources: str | Path | Sequence[str | Path],
    *,
    columns: Mapping[str, str | int] | None = None,
    format: str | None = None,  # noqa: A002
    encoding: str = "utf-8",
    skip_bad_lines: bool = False,
    keep_unlabelled: bool = False,
    needed: Sequence[str] = ("text",),
) -> Dataset:
    """Read files into memory.

    Args:
        sources: Paths, patterns, `-` for standard input, `hub:owner/name?split=train&config=zh`, `builtin:NAME/FILE`; one or several.
        columns: Which column of the file is `text`, `text_pair`, `label`, …; a number is a position, from 0. Without it, usual names are recognised
            (`sentence1` and `sentence2`, `premise` and `hypothesis`, `gold_label`, …); in a table without header, labels and texts by their looks.
        format: `jsonl`, `csv`, `tsv`, `labelled` (`label text` lines), `text` (one example a line), `conll`, `squad`, `mrqa`, `c3`, `parquet`, `hub`;
            recognised where not given.
        encoding: Of the bytes.
        skip_bad_lines: Leave lines out that cannot be read, and record them in `problems`.
        keep_unlabelled: Keep rows without a label in a set whose other rows have one; otherwise they are left out and counted in `dropped`. A label
            of `-` counts as none (SNLI, OCNLI: the annotators did not agree). An empty string is a label's value and left to the task to judge.
        needed: Columns that must be there; `text`, `text_pair`, `question` and `context` among them must also be filled.

    Returns:
        The examples, in the order of the files.

    Raises:
        DataError: Something is wrong with the files, with columns, or with lines; all bad lines are listed.
    """
    loaded = _load(find_sources(sources), Reading(encoding, columns or {}), format, needed)
    examples = [example for _, found, _ in loaded for example in found]
    problems = [problem for _, _, bad in loaded for problem in bad]
    if problems and not skip_bad_lines:
        raise _bad_lines(problems, len(examples) + len(problems))
    kept, dropped = (examples, []) if keep_unlabelled else drop_unlabelled(examples)
    if not kept:
        raise DataError("not one line can be used", [str(problem) for problem in (*problems, *dropped)])
    return Dataset(kept, tuple(file for file, _, _ in loaded), tuple(problems), tuple(dropped))


def read_texts(
    sources: str | Path | Sequence[str | Path],
    *,
    columns: Mapping[str, str | int] | None = None,
    format: str | None = None,  # noqa: A002
    encoding: str = "utf-8",
    problems: list[Problem] | None = None,
) -> Iterator[Example]:
    """Stream raw text: examples of `text` and `document`, a number that tells which lines belong together.

    In plain text a document ends at a blank line. In any other format a row is a document, and `text` and `text_pair` are its lines; rows that follow
    each other with the same value in a column `document` are one.

    Args:
        sources: As for `read`.
        columns: As for `read`.
        format: As for `read`.
        encoding: As for `read`.
        problems: Bad lines are added to it and skipped. Without it they are errors, raised together once everything has been read.

    Raises:
        DataError: As for `read`; for bad lines at the end of the stream, or after the first 1,000 of them.
    """
    bad: list[Problem] = [] if problems is None else problems
    reading = Reading(encoding, columns or {})
    document, last = -1, None
    for source in find_sources(sources):
        table = _open(source, reading, format, ("text",))
        for row in _good(_flawless(table, ("text",)), bad, strict=problems is None):
            place = (row.file, row["document"] if "document" in row.values else (row.line, row.place))
            document, last = document + (place != last), place
            for name in TEXTS:
                if name in row.values:
                    yield Example({"text": row.values[name], "document": document}, row.file, row.line, row.place)
    if problems is None and bad:
        raise _bad_lines(bad)


def stream(
    sources: Iterable[Source],
    *,
    columns: Mapping[str, str | int] | None = None,
    format: str | None = None,  # noqa: A002
    encoding: str = "utf-8",
    needed: Sequence[str] = ("text",),
) -> Iterator[Example | Problem]:
    """Hand on row by row what is to be predicted, and every bad line in its place.

    A text is judged as `read` judges it, but a second one only where it is needed.

    Args:
        sources: What `find_sources` has found.
        columns: As for `read`.
        format: As for `read`.
        encoding: As for `read`.
        needed: As for `read`.

    Raises:
        DataError: A source cannot be read at all, or a column is not there.
    """
    reading = Reading(encoding, columns or {})
    for source in sources:
        table = _open(source, reading, format, needed)
        yield from _examples(table, needed, [name for name in FILLED if name in needed])


def drop_unlabelled(examples: Sequence[Example]) -> tuple[list[Example], list[Problem]]:
    """Leave out what has no gold label, if anything has one.

    Returns:
        The rows that stay, and for every other one why it does not.
    """
    reasons = [_no_label(example.get("label")) for example in examples]
    if all(reasons):
        return list(examples), []
    kept = [example for example, reason in zip(examples, reasons, strict=True) if not reason]
    return kept, [Problem.of(example, reason) for example, reason in zip(examples, reasons, strict=True) if reason]


def _no_label(label: Any) -> str:
    if isinstance(label, float) and math.isnan(label):
        return "label NaN (no number)"
    if label is None:
        return "no label"
    return "label '-' (no gold label)" if label == "-" else ""


def _load(
    sources: Sequence[Source], reading: Reading, name: str | None, needed: Sequence[str]
) -> list[tuple[SourceFile, list[Example], list[Problem]]]:
    """All files, or what is wrong with all of those that cannot be read. Documents are numbered through."""
    loaded: list[tuple[SourceFile, list[Example], list[Problem]]] = []
    failures: list[DataError] = []
    documents = 0
    for source in sources:
        try:
            table = _open(source, reading, name, needed)
            found, bad = _split(_flawless(table, needed))
            if not found and not bad:
                raise DataError(f"{source.name} has no rows")
        except DataError as error:
            failures.append(error)
            continue
        if table.format == "text" and found:
            found = [replace(row, values={**row.values, "document": row["document"] + documents}) for row in found]
            documents = found[-1]["document"] + 1
        loaded.append((SourceFile(source.name, table.format, _digest(source, found), len(found), table.columns), found, bad))
    _raise_failures(failures)
    return loaded


def _open(source: Source, reading: Reading, name: str | None, needed: Sequence[str]) -> Table:
    if not source.is_hub:
        refuse_packed(source)
        if not source.head(1):
            raise DataError(f"{source.name} is empty")
    name = name or recognise(source, reading.encoding)
    rows = formats[name].rows(source, reading)
    first = list(islice(rows, SAMPLE))
    while not any(isinstance(row, Row) for row in first) and len(first) < MAX_PROBLEMS and (row := next(rows, None)):
        first.append(row)
    sample = [row.values for row in first if isinstance(row, Row)]
    chosen = choose_columns(source.name, sample, reading.columns, needed) if sample else {}
    return Table(source, name, chosen, chain(first, rows))


def _flawless(table: Table, needed: Sequence[str]) -> Iterator[Example | Problem]:
    """Rows that a model may learn from."""
    recognised = set(table.columns) if "text" in needed else set[str]()
    return _examples(table, needed, [name for name in FILLED if name in needed or (name in TEXTS and name in recognised)])


def _examples(table: Table, needed: Sequence[str], texts: Sequence[str]) -> Iterator[Example | Problem]:
    file, columns = table.source.name, table.columns
    for row in table.rows:
        if isinstance(row, Problem):
            yield row
            continue
        values = renamed(row.values, columns)
        wrong = [f"no column {columns.get(name, name)!r}" for name in needed if name not in values and name != "label"]
        wrong += [f"{name} {reason}" for name in texts if name in values and (reason := wrong_text(values[name]))]
        yield Problem(file, row.line, "; ".join(wrong), row.place) if wrong else Example(values, file, row.line, row.place)


def wrong_text(text: Any) -> str:
    """What is wrong with a text, if anything is.

    Example:
        >>> wrong_text("很好"), wrong_text(" ")
        ('', 'is empty')
    """
    if text is None:
        return "is missing"
    if not isinstance(text, str):
        return f"is {str(text)[:40]!r} ({type(text).__name__}), not a string"
    if not text.strip():
        return "is empty"
    if not text.isascii() and SURROGATE.search(text):
        return "holds half a surrogate pair (a character cut in two by \\u escapes)"
    return "holds a NUL character" if "\0" in text else ""


def _split(items: Iterator[Example | Problem]) -> tuple[list[Example], list[Problem]]:
    examples: list[Example] = []
    problems: list[Problem] = []
    for item in items:
        if isinstance(item, Problem):
            problems.append(item)
        else:
            examples.append(item)
    return examples, problems


def _good(items: Iterator[Example | Problem], problems: list[Problem], *, strict: bool) -> Iterator[Example]:
    """The examples; what could not be read goes to `problems`."""
    for item in items:
        if isinstance(item, Example):
            yield item
            continue
        problems.append(item)
        if strict and len(problems) >= MAX_PROBLEMS:
            raise _bad_lines(problems)


def _digest(source: Source, examples: Sequence[Example]) -> str:
    if not source.is_hub:
        return source.sha256()
    digest = hashlib.sha256()
    for example in examples:
        digest.update(json.dumps(dict(example.values), sort_keys=True, default=str).encode())
    return digest.hexdigest()


def _raise_failures(failures: Sequence[DataError]) -> None:
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise DataError(f"{len(failures)} files cannot be read", [line for error in failures for line in (error.summary, *error.problems)])


def _bad_lines(problems: Sequence[Problem], total: int | None = None) -> DataError:
    count = f"{len(problems)} of {plural(total, 'row')}" if total else plural(len(problems), "row")
    return DataError(f"{count} cannot be read; mend them, or have a recipe skip them: skip_bad_lines = true", [str(problem) for problem in problems])
