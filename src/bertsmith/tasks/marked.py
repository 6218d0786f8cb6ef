"""What a task can show of one text: the places that it found, how sure it is of every token, and the places that it should have found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True, slots=True)
class Mark:
    """A place of a text that a task found.

    Attributes:
        start: Its first character.
        end: The character after its last.
        name: What it was found to be.
        score: How sure that is, 0-1.
    """

    start: int
    end: int
    name: str
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Marked:
    """One text as a task sees it.

    Attributes:
        text: Where it looked.
        marks: What it found there, in order, without overlaps.
        names: Of the scores of every token; what a token is not, such as a tag "O", is better left out.
        spans: Where every token stands in the text, in characters, end exclusive.
        scores: Of every token, one for every name, 0-1.
    """

    text: str
    marks: tuple[Mark, ...]
    names: tuple[str, ...]
    spans: Int[np.ndarray, "tokens 2"]
    scores: Float[np.ndarray, "tokens names"]

    def pieces(self) -> list[tuple[str, Mark | None]]:
        """The text, cut at the marks."""
        return pieces(self.text, self.marks)

    def excerpt(self, characters: int) -> Marked:
        """As much of it as can be looked at, around the first mark; an ellipsis stands for what is left out.

        Example:
            >>> marked = Marked("written in 1985, he says", (Mark(11, 15, "answer", 0.9),), (), np.empty((0, 2), int), np.empty((0, 0)))
            >>> marked.excerpt(8).text, marked.excerpt(8).marks[0].start
            ('…n 1985, …', 3)
        """
        window = _window(len(self.text), self.marks[:1], characters)
        text, marks = _cut(self.text, self.marks, window)
        kept, shift = (self.spans[:, 0] >= window.start) & (self.spans[:, 1] <= window.stop), window.start - (window.start > 0)
        return Marked(text, marks, self.names, self.spans[kept] - shift, self.scores[kept])

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        tokens = [
            {"start": start, "end": end, **dict(zip(self.names, scores, strict=True))}
            for (start, end), scores in zip(self.spans.tolist(), self.scores.tolist(), strict=True)
        ]
        return {"text": self.text, "marks": [{name: getattr(mark, name) for name in Mark.__slots__} for mark in self.marks], "tokens": tokens}


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison, as it is shown.

    Attributes:
        pieces: The text, cut at the marks; with each, whether the other side has the same.
        left_out: Marks that are outside of what is shown.
    """

    pieces: tuple[tuple[str, Mark | None, bool], ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class Compared:
    """The places of a text that are right, and those that were found.

    Attributes:
        column: The text's, in the data.
        text: The text.
        right: In order, without overlaps.
        said: Likewise.
    """

    column: str
    text: str
    right: tuple[Mark, ...]
    said: tuple[Mark, ...]

    def sides(self, characters: int) -> tuple[Side, Side]:
        """What is right and what was said, as much of the text as can be looked at: around the first mark that the other side does not have.

        Example:
            >>> sides = Compared("text", "王芳在上海", (Mark(0, 2, "PER", 1), Mark(3, 5, "LOC", 1)), (Mark(0, 2, "PER", 0.7),)).sides(100)
            >>> [[(part, mark and mark.name, agreed) for part, mark, agreed in side.pieces] for side in sides]
            [[('王芳', 'PER', True), ('在', None, False), ('上海', 'LOC', False)], [('王芳', 'PER', True), ('在上海', None, False)]]
        """
        both = {_place(mark) for mark in self.right} & {_place(mark) for mark in self.said}
        missed, invented = ([mark for mark in marks if _place(mark) not in both] for marks in (self.right, self.said))
        return self._side(self.right, both, missed or invented, characters), self._side(self.said, both, invented or missed, characters)

    def _side(self, marks: tuple[Mark, ...], both: set[tuple[int, int, str]], looked_at: list[Mark], characters: int) -> Side:
        window = _window(len(self.text), looked_at[:1], characters)
        text, shown = _cut(self.text, marks, window)
        agreed = set(_cut(self.text, tuple(mark for mark in marks if _place(mark) in both), window)[1])
        return Side(tuple((part, mark, mark in agreed) for part, mark in pieces(text, shown)), len(marks) - len(shown))


def pieces(text: str, marks: tuple[Mark, ...]) -> list[tuple[str, Mark | None]]:
    """A text, cut at marks that are in order and do not overlap.

    Example:
        >>> [(part, mark and mark.name) for part, mark in pieces("in 1985.", (Mark(3, 7, "answer", 0.9),))]
        [('in ', None), ('1985', 'answer'), ('.', None)]
    """
    parts: list[tuple[str, Mark | None]] = []
    done = 0
    for mark in marks:
        parts += [(text[done : mark.start], None), (text[mark.start : mark.end], mark)]
        done = mark.end
    return [(part, mark) for part, mark in [*parts, (text[done:], None)] if part]


def _window(length: int, looked_at: Sequence[Mark], characters: int) -> slice:
    """So many characters around a mark, or from the beginning on."""
    middle = (looked_at[0].start + looked_at[0].end) // 2 if looked_at else 0
    start = max(0, min(middle - characters // 2, length - characters))
    return slice(start, min(start + characters, length))


def _cut(text: str, marks: tuple[Mark, ...], window: slice) -> tuple[str, tuple[Mark, ...]]:
    """A part of a text with an ellipsis where something is left out, and its marks, as far as they are in it."""
    before, after = "…" * (window.start > 0), "…" * (window.stop < len(text))
    shift = window.start - len(before)
    parts = ((mark, max(mark.start, window.start), min(mark.end, window.stop)) for mark in marks)
    kept = tuple(replace(mark, start=start - shift, end=end - shift) for mark, start, end in parts if start < end)
    return f"{before}{text[window]}{after}", kept


def _place(mark: Mark) -> tuple[int, int, str]:
    return mark.start, mark.end, mark.name
