"""What a task can show of one text: the places that it found, and how sure it is of every token."""

from __future__ import annotations

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
        """The text, cut at the marks.

        Example:
            >>> marked = Marked("in 1985.", (Mark(3, 7, "answer", 0.9),), (), np.empty((0, 2), int), np.empty((0, 0)))
            >>> [(part, mark and mark.name) for part, mark in marked.pieces()]
            [('in ', None), ('1985', 'answer'), ('.', None)]
        """
        parts: list[tuple[str, Mark | None]] = []
        done = 0
        for mark in self.marks:
            parts += [(self.text[done : mark.start], None), (self.text[mark.start : mark.end], mark)]
            done = mark.end
        return [(part, mark) for part, mark in [*parts, (self.text[done:], None)] if part]

    def excerpt(self, characters: int) -> Marked:
        """As much of it as can be looked at, around the first mark; an ellipsis stands for what is left out.

        Example:
            >>> marked = Marked("written in 1985, he says", (Mark(11, 15, "answer", 0.9),), (), np.empty((0, 2), int), np.empty((0, 0)))
            >>> marked.excerpt(8).text, marked.excerpt(8).marks[0].start
            ('…n 1985, …', 3)
        """
        if len(self.text) <= characters:
            return self
        middle = (self.marks[0].start + self.marks[0].end) // 2 if self.marks else 0
        start = min(max(0, middle - characters // 2), len(self.text) - characters)
        end, before, after = start + characters, "…" * (start > 0), "…" * (start + characters < len(self.text))
        shift = start - len(before)
        kept = (self.spans[:, 0] >= start) & (self.spans[:, 1] <= end)
        marks = tuple(replace(mark, start=mark.start - shift, end=mark.end - shift) for mark in self.marks if start <= mark.start and mark.end <= end)
        return Marked(f"{before}{self.text[start:end]}{after}", marks, self.names, self.spans[kept] - shift, self.scores[kept])

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        tokens = [
            {"start": start, "end": end, **dict(zip(self.names, scores, strict=True))}
            for (start, end), scores in zip(self.spans.tolist(), self.scores.tolist(), strict=True)
        ]
        return {"text": self.text, "marks": [{name: getattr(mark, name) for name in Mark.__slots__} for mark in self.marks], "tokens": tokens}
