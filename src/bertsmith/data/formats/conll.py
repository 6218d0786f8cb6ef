"""CoNLL: a token and its tag a line, sentences between blank lines.

A line that is wrong costs its sentence. That is one problem: it says what is wrong with the first such line, and names the others. Whether the tags
follow one another as their scheme has it is not asked here: the task counts what does not, since published sets have some of it.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from bertsmith.data.columns import is_position
from bertsmith.data.dataset import Problem
from bertsmith.data.formats.base import Reading, Row, formats
from bertsmith.data.lines import Line, read_lines
from bertsmith.data.sources import Source

SAMPLE = 200
"""So many lines are looked at to tell how many columns there are."""

SHOWN = 10
"""Further wrong lines of a sentence that are named."""

TAG = re.compile(r"O|[BIESMLU]-(?!O\Z)\S.*")
"""A tag of any of the usual schemes: BIO, BIOES, BMES, BILOU. O is no type."""

SPACES = re.compile(r" +")
DOCUMENT = "-DOCSTART-"


class Conll:
    """Lines of columns between tabs or spaces: the token first, its tag last; `columns = { tokens = 1, tags = 2 }` chooses others.

    Blank lines and `-DOCSTART-` end a sentence. Lines that begin with `# ` before the first token of a sentence, and do not end in a tag, are
    comments. Where every line is a single column, there are tokens without tags.
    """

    suffixes = (".conll", ".bio", ".iob", ".iob2", ".bioes", ".bmes")

    def rows(self, source: Source, reading: Reading) -> Iterator[Row | Problem]:
        """Rows of `tokens` and `tags`, and of further columns by position; the line is that of the first token."""
        lines = read_lines(source, encoding=reading.encoding)
        first = list(islice(lines, SAMPLE))
        width = _usual_width([line.text for line in first if isinstance(line, Line)])
        names = ["tokens", *map(str, range(1, width - 1)), "tags"][:width]
        place = _tag_place(reading.columns.get("tags", width - 1), width)
        for sentence in _sentences(chain(first, lines)):
            yield from _read(source.name, sentence, names, place)


formats.register("conll")(Conll())


def looks_like_conll(lines: Sequence[str]) -> bool:
    """Whether lines, of which some may be wrong, are of this format: nearly all have the same number of columns and end in a tag.

    Example:
        >>> looks_like_conll(["John B-PER", "sleeps O", ""]), looks_like_conll(["John sleeps", "so do I"])
        (True, False)
    """
    rows = [cells for line in lines if (cells := cells_of(line)) and not _is_apart(line, cells)]
    tagged = [cells for cells in rows if len(cells) > 1 and TAG.fullmatch(cells[-1]) and " " not in cells[0]]
    usual = max(Counter(map(len, tagged)).values(), default=0)
    certain = len(rows) >= 10 or any(cells[-1] != "O" for cells in tagged)
    return certain and usual * 5 >= len(rows) * 4


def cells_of(line: str) -> list[str]:
    """The columns of a line; none if it is blank."""
    if not line.strip(" \t"):
        return []
    return [cell.strip(" ") for cell in line.split("\t")] if "\t" in line else SPACES.split(line.strip(" "))


def _is_apart(line: str, cells: Sequence[str]) -> bool:
    """Whether a line before the first token of a sentence belongs to none: the beginning of a document, or a comment."""
    return cells[0] == DOCUMENT or (line.startswith("# ") and not TAG.fullmatch(cells[-1]))


def _usual_width(lines: Iterable[str]) -> int:
    widths = Counter(len(cells) for line in lines if (cells := cells_of(line)) and not _is_apart(line, cells))
    return widths.most_common(1)[0][0] if widths else 0


def _tag_place(column: str | int, width: int) -> int | None:
    """Which column the tags are; None where there are none."""
    place = int(column) if is_position(column) else width - 1
    return place if 0 < place < width else None


def _sentences(lines: Iterable[Line | Problem]) -> Iterator[list[tuple[Line, list[str]] | Problem]]:
    """Lines that belong together, with their cells."""
    sentence: list[tuple[Line, list[str]] | Problem] = []
    for line in lines:
        cells = cells_of(line.text) if isinstance(line, Line) else []
        ends = isinstance(line, Line) and (not cells or cells[0] == DOCUMENT)
        if ends:
            if sentence:
                yield sentence
                sentence = []
        elif isinstance(line, Problem):
            sentence.append(line)
        elif sentence or not _is_apart(line.text, cells):
            sentence.append((line, cells))
    if sentence:
        yield sentence


def _read(file: str, sentence: Sequence[tuple[Line, list[str]] | Problem], names: Sequence[str], place: int | None) -> Iterator[Row | Problem]:
    wrong: list[Problem] = []
    rows: list[list[str]] = []
    for item in sentence:
        if isinstance(item, Problem):
            wrong.append(item)
            continue
        line, cells = item
        if reason := _wrong_cells(cells, len(names), place):
            wrong.append(Problem(file, line.number, reason))
        rows.append(cells)
    first, last = (item.line if isinstance(item, Problem) else item[0].number for item in (sentence[0], sentence[-1]))
    lines = f"line {first}" if first == last else f"lines {first}-{last}"
    if wrong:
        yield Problem(file, wrong[0].line, f"{wrong[0].message}{_also([one.line for one in wrong[1:]])} (it costs the sentence of {lines})")
    else:
        yield Row(first, {name: list(map(sys.intern, column)) for name, column in zip(names, zip(*rows, strict=True), strict=True)})


def _also(lines: Sequence[int]) -> str:
    """The other wrong lines of a sentence."""
    if not lines:
        return ""
    more = f" and {len(lines) - SHOWN:,} more" if len(lines) > SHOWN else ""
    return f"; wrong too: {'line' if len(lines) == 1 else 'lines'} {', '.join(map(str, lines[:SHOWN]))}{more}"


def _wrong_cells(cells: Sequence[str], width: int, place: int | None) -> str:
    if len(cells) == 1 < width:
        return f"no tag after the token {cells[0][:40]!r}"
    if len(cells) != width:
        return f"{len(cells)} columns, {width} expected"
    if not cells[0]:
        return "no token before the tag"
    tag = "O" if place is None else cells[place]
    return "" if tag == "O" or TAG.fullmatch(tag) else f"tag {tag[:40]!r} is neither O nor a type after B-, I-, E-, S-, M-, L- or U-, such as B-PER"
