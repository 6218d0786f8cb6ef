"""What `embed --nearest` does: the texts of a corpus that are most like each row of the input."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from bertsmith.cli.predicting import Account, echo, embedded, good_rows, refuse_bad_lines
from bertsmith.cli.vectors import Matrix, read_array
from bertsmith.core.errors import RecipeError
from bertsmith.core.progress import Progress
from bertsmith.core.types import Example
from bertsmith.data.dataset import Problem
from bertsmith.inference.engine import CHUNK, Engine
from bertsmith.inference.neighbours import DIGITS, kept_on_disk, nearest

Rows = Iterable[Example | Problem]


@dataclass(frozen=True)
class Corpus:
    """Texts that are searched.

    Attributes:
        lines: What is said of each where it is found: its line, its text.
        vectors: One each, on disk.
    """

    lines: Sequence[Mapping[str, Any]]
    vectors: Matrix


@dataclass(frozen=True)
class Search:
    """How texts are made into vectors and compared.

    Attributes:
        engine: The model.
        pooling: By name; None for what the model's folder says.
        top: How many neighbours.
        account: Of lines that could not be read, and of texts that were cut off.
        progress: Who wants to know.
    """

    engine: Engine
    pooling: str | None
    top: int
    account: Account
    progress: Progress

    @contextmanager
    def corpus(self, rows: Rows, name: str, saved: Path | None) -> Generator[Corpus]:
        """Texts with their vectors.

        Args:
            rows: The texts.
            name: What the user asked to be read.
            saved: A file of their vectors.

        Raises:
            RecipeError: The file is not one of vectors, or not of these texts.
            DataError: There are no texts, or so many bad lines that they were not read to their end.
        """
        lines: list[Mapping[str, Any]] = []
        if saved is not None:
            lines = [echo(example, name) for example in good_rows(rows, self.account)]
            self._require_all(lines)
            yield Corpus(lines, _of_the_same(read_array(saved), len(lines), saved, name))
            return

        def vectors() -> Iterator[np.ndarray]:
            for example, vector in self.vectors(rows):
                lines.append(echo(example, name))
                yield vector

        with kept_on_disk(vectors(), self.engine.hidden_size) as array:
            self._require_all(lines)
            yield Corpus(lines, array)

    def _require_all(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Neighbours are looked for among all texts, or not at all."""
        if self.account.gave_up:
            refuse_bad_lines(self.account, len(lines))

    def vectors(self, rows: Rows) -> Iterator[tuple[Example, np.ndarray]]:
        """Every good row with the vector of its text."""
        return embedded(self.engine, rows, self.account, self.progress, pooling=self.pooling, normalise=True)

    def neighbours(self, rows: Rows, corpus: Corpus) -> Iterator[tuple[Example, dict[str, Any]]]:
        """Every good row with the texts that are most like it, in order."""
        found = self.vectors(rows)
        while chunk := list(islice(found, CHUNK)):
            scores, places = nearest(np.stack([vector for _, vector in chunk]), corpus.vectors, self.top)
            for (example, _), row_scores, row_places in zip(chunk, scores.tolist(), places.tolist(), strict=True):
                near = [{**corpus.lines[place], "score": round(score, DIGITS)} for place, score in zip(row_places, row_scores, strict=True)]
                yield example, {"neighbours": near}


def _of_the_same(vectors: Matrix, count: int, file: Path, name: str) -> Matrix:
    if len(vectors) != count:
        raise RecipeError(
            f"{file} has {len(vectors):,} vectors and {name} has {count:,} texts that can be read: the one was not made of the other. "
            f"Make it again: bertsmith embed MODEL {name} --output {file}"
        )
    return vectors
