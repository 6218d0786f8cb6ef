"""What reading gives: the examples, and an account of where they came from and what was wrong.

A `Dataset` is a value. Nothing is thrown away without a trace: lines that could not be read are its `problems`, rows without a gold label are
`dropped`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

from bertsmith.core.amounts import plural
from bertsmith.core.errors import DataError
from bertsmith.core.randomness import generator_at
from bertsmith.core.types import Example


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with one line.

    Attributes:
        file: The file as the user wrote it.
        line: From 1.
        message: What is wrong and, where it is not obvious, how to mend it.
        place: Where in that line, for formats whose rows are not lines: `data[0].paragraphs[2].qas[1]`.
    """

    file: str
    line: int
    message: str
    place: str = ""

    @staticmethod
    def of(row: Example, message: str) -> Problem:
        """Something that is wrong with a row."""
        return Problem(row.file, row.line, message, row.place)

    @property
    def where(self) -> str:
        """`file:line`, and the place where there is one."""
        return Example({}, self.file, self.line, self.place).where

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


SHOWN_LINES, SHOWN_PLACES = 5, 3
"""Lines that cannot be read, and rows of which something is to be said, that are shown to a person; there may be thousands."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file that was read.

    Attributes:
        name: As the user wrote it, or as the pattern found it.
        format: The format it was read as: `jsonl`, `tsv`, …
        sha256: Of its bytes, or of its rows if it came from the Hub.
        num_rows: Rows that could be read.
        columns: Which column of the file became `text`, `text_pair`, `label`; those that the user named or that were recognised by their names.
    """

    name: str
    format: str
    sha256: str
    num_rows: int
    columns: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Dataset(Sequence[Example]):
    """Examples in the order of their files.

    Attributes:
        examples: The rows.
        files: What was read.
        problems: Lines that could not be read and were skipped.
        dropped_rows: Rows that were left out on purpose: those of a labelled set that have no label, those that a task cannot use.
        mended_rows: Rows that a task uses although they had a mistake, and what was done about it.

    Example:
        >>> rows = Dataset.of([{"text": "很好", "label": "1"}, {"text": "不好", "label": "0"}])
        >>> len(rows), rows[0]["text"], rows.label_counts
        (2, '很好', {'1': 1, '0': 1})
    """

    examples: Sequence[Example]
    files: tuple[SourceFile, ...] = ()
    problems: tuple[Problem, ...] = ()
    dropped_rows: tuple[Problem, ...] = ()
    mended_rows: tuple[Problem, ...] = ()

    @staticmethod
    def of(rows: Iterable[Mapping[str, Any] | Example]) -> Dataset:
        """A data set from rows of Python, whose columns already have the names that tasks know."""
        return Dataset([row if isinstance(row, Example) else Example(row) for row in rows])

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | Sequence[Example]:
        return self.examples[index]

    @property
    def columns(self) -> dict[str, str]:
        """Which columns of the files became which; the first file's choice where files differ."""
        return {name: column for file in reversed(self.files) for name, column in file.columns.items()}

    @property
    def dropped(self) -> dict[str, int]:
        """Why rows were left out, and how many for each reason."""
        return dict(Counter(row.message for row in self.dropped_rows))

    @property
    def mended(self) -> dict[str, int]:
        """What was mended, and in how many rows."""
        return dict(Counter(row.message for row in self.mended_rows))

    def remarks(self) -> Iterator[str]:
        """What a person should know of what is not there, or not as it was: how much for each reason, and where.

        Example:
            >>> next(Dataset((), dropped_rows=tuple(Problem("a.tsv", line, "no label") for line in range(2, 9))).remarks())
            '7 rows were left out: no label (a.tsv:2, a.tsv:3, a.tsv:4 and 4 more)'
        """
        if self.problems:
            shown = "; ".join(map(str, self.problems[:SHOWN_LINES])) + _and_more(self.problems, "; and", SHOWN_LINES)
            count = len(self.problems)
            yield f"{plural(count, 'row')} could not be read and {_was(count)} left out: {shown}"
        for rows, done in ((self.dropped_rows, "left out"), (self.mended_rows, "mended")):
            for message, alike in by_message(rows).items():
                places = ", ".join(row.where for row in alike[:SHOWN_PLACES]) + _and_more(alike, " and", SHOWN_PLACES)
                yield f"{plural(len(alike), 'row')} {_was(len(alike))} {done}: {message} ({places})"

    @property
    def label_counts(self) -> dict[str, int]:
        """How often each label occurs, in order of first appearance; rows without one are not counted."""
        return dict(Counter(str(row["label"]) for row in self.examples if row.get("label") is not None))

    def take(self, number: int, seed: int, *, per_label: bool = False) -> Dataset:
        """A random sample, in the order of the file.

        Samples of one seed are nested: the 8 rows of `take(8, seed)` are among the 16 of `take(16, seed)`.

        Args:
            number: How many rows, or how many of each label.
            seed: What the choice depends on.
            per_label: Take `number` rows of every label.

        Raises:
            DataError: There are fewer rows than that, in the whole or of some label.

        Example:
            >>> rows = Dataset.of([{"text": str(i), "label": i % 2} for i in range(10)])
            >>> rows.take(2, seed=1, per_label=True).label_counts
            {'0': 2, '1': 2}
        """
        groups: dict[str, list[int]] = {}
        for index, row in enumerate(self.examples):
            groups.setdefault(str(row.get("label")) if per_label else "all rows", []).append(index)
        short = [f"{name}: {len(group)}" for name, group in groups.items() if len(group) < number]
        if short or not groups:
            raise DataError(f"cannot take {number} rows{' of every label' if per_label else ''}: there are fewer", short)
        chosen = sorted(group[place] for name, group in groups.items() for place in generator_at(seed, "take", name).permutation(len(group))[:number])
        return replace(self, examples=[self.examples[index] for index in chosen])


def by_message(rows: Iterable[Problem]) -> dict[str, list[Problem]]:
    """Problems of one kind together, in order of first appearance."""
    groups: dict[str, list[Problem]] = {}
    for row in rows:
        groups.setdefault(row.message, []).append(row)
    return groups


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _and_more(found: Sequence[Any], joint: str, shown: int) -> str:
    return f"{joint} {len(found) - shown:,} more" if len(found) > shown else ""
