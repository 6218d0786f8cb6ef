"""CSV and TSV, with and without a header.

TSV is taken literally, as it is in every research release: a quotation mark is a character of the text. CSV follows RFC 4180, where a quoted field
may hold commas and line feeds. A quotation mark that is never closed would swallow the rest of a file; here it costs its own line, and reading goes
on with the next.
"""

from __future__ import annotations

import csv
from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import NamedTuple

from bertsmith.core.errors import DataError
from bertsmith.data.columns import looks_like_header
from bertsmith.data.dataset import Problem
from bertsmith.data.formats.base import Reading, Row, formats
from bertsmith.data.lines import MAX_LINE_BYTES, Line, read_lines
from bertsmith.data.sources import Source

SAMPLE = 200
"""So many records are looked at to tell whether there is a header and how many columns there are."""

LONGEST_RECORD = 1 << 20
"""Characters that are looked through for the end of a quoted cell: a stray quotation mark is not to cost a reading of the whole file."""


class Record(NamedTuple):
    """The cells of a row, and the line it begins in."""

    line: int
    cells: list[str]


Records = Iterator[Record | Problem]


class Table:
    """A table of cells between commas (or semicolons) or tabs, with or without a header.

    Args:
        suffixes: Endings of such files.
        split: From lines to records.
    """

    def __init__(self, suffixes: tuple[str, ...], split: Callable[[Source, Iterator[Line | Problem]], Records]) -> None:
        self.suffixes = suffixes
        self._split = split

    def rows(self, source: Source, reading: Reading) -> Iterator[Row | Problem]:
        """Rows by the names of the header, or by position ("0", "1", …) where there is none.

        Raises:
            DataError: Two columns of the header have the same name.
        """
        records = self._split(source, read_lines(source, encoding=reading.encoding))
        first = list(islice(records, SAMPLE))
        sample = [record.cells for record in first if isinstance(record, Record)]
        names = [str(place) for place in range(_usual_width(sample))]
        headed = bool(sample) and looks_like_header(sample, reading.columns)
        if headed:
            names = [name.strip() or str(place) for place, name in enumerate(sample[0])]
            _refuse_twins(source, names)
        for record in chain(first, records):
            if isinstance(record, Problem):
                yield record
            elif headed:
                headed = False
            elif len(record.cells) != len(names):
                yield Problem(source.name, record.line, f"{len(record.cells)} columns, {len(names)} expected")
            else:
                yield Row(record.line, dict(zip(names, record.cells, strict=True)))


def _usual_width(sample: list[list[str]]) -> int:
    return Counter(map(len, sample)).most_common(1)[0][0] if sample else 0


def _refuse_twins(source: Source, names: list[str]) -> None:
    twins = [name for name, count in Counter(names).items() if count > 1]
    if twins:
        raise DataError(f"{source.name} has several columns of the same name: {', '.join(twins)}")


def split_tsv(source: Source, lines: Iterator[Line | Problem]) -> Records:
    """A record a line, cells between tabs."""
    del source
    for line in lines:
        if isinstance(line, Problem):
            yield line
        elif line.text.strip():
            yield Record(line.number, [_unquote(cell) for cell in line.text.split("\t")])


def _unquote(cell: str) -> str:
    """Undoes the quoting of a spreadsheet, which shows in doubled quotation marks inside; any other quotation mark is meant."""
    inner = cell[1:-1]
    if len(cell) > 2 and cell[0] == cell[-1] == '"' and '""' in inner and '"' not in inner.replace('""', ""):
        return inner.replace('""', '"')
    return cell


def split_csv(source: Source, lines: Iterator[Line | Problem]) -> Records:
    """Records of RFC 4180; the delimiter is `;` if the first line has one and no comma."""
    waiting: deque[Line | Problem] = deque()
    delimiter = ""
    csv.field_size_limit(max(csv.field_size_limit(), 2 * MAX_LINE_BYTES))
    for line in _returning(waiting, lines):
        if isinstance(line, Problem):
            yield line
            continue
        delimiter = delimiter or (";" if ";" in line.text and "," not in line.text else ",")
        if not line.text.strip():
            continue
        if '"' not in line.text:
            yield Record(line.number, line.text.split(delimiter))
        else:
            yield _quoted_record(source, line, _returning(waiting, lines), waiting, delimiter)


def _returning(waiting: deque[Line | Problem], lines: Iterator[Line | Problem]) -> Iterator[Line | Problem]:
    """The lines that were given back, then the others."""
    while True:
        if waiting:
            yield waiting.popleft()
        elif (line := next(lines, None)) is not None:
            yield line
        else:
            return


def _quoted_record(source: Source, start: Line, lines: Iterator[Line | Problem], waiting: deque[Line | Problem], delimiter: str) -> Record | Problem:
    """One record that has quotation marks in it. Lines that turn out not to belong to it go back to `waiting`."""
    taken: list[Line | Problem] = []

    def feed() -> Iterator[str]:
        yield start.text + "\n"
        size = 0
        for line in lines:
            taken.append(line)
            if isinstance(line, Problem) or (size := size + len(line.text)) > LONGEST_RECORD:
                return
            yield line.text + "\n"

    try:
        return Record(start.number, next(csv.reader(feed(), delimiter=delimiter, strict=True)))
    except csv.Error as error:
        waiting.extendleft(reversed(taken))
        return Problem(source.name, start.number, f"not CSV: {error}; a quotation mark inside a quoted field is written twice")


formats.register("tsv")(Table((".tsv", ".tab"), split_tsv))
formats.register("csv")(Table((".csv",), split_csv))
