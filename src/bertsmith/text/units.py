"""What can be tagged: the tokens of a file, or the words of a plain text; and which piece of a tokenizer stands for each.

::

    text       用 Windows11 的人         of tokens (用, Windows11, 的, 人) or a plain text
    units      用 Windows11 的 人
    pieces     用 windows ##11 的 人
    marked     0  1            3  4      a unit's first piece stands for it

- Tokens are joined with a space; without one where the character on either side is Chinese or Japanese, their punctuation included.
- The words of a plain text are those of `words`, with every Chinese character and every kana a word of its own.
- A unit that has no piece of its own, because the one before it shares the piece (SentencePiece has pieces of several Chinese characters), goes with
  that one. One that a tokenizer passes over altogether (a control character) is not marked at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from jaxtyping import Int

from bertsmith.text.words import characters, word_starts

DENSE = re.compile(
    "[\u3000-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff9f\U00020000-\U0003ffff]"
)
"""Characters that are written without spaces: Chinese and Japanese ones and their punctuation, but no full-width letters and digits."""

KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa\u30fc][\u3099\u309a]?")

Units = Int[np.ndarray, "units 2"]
"""Where every unit stands in its text, in characters, end exclusive; in order, and none over another."""


def joined(tokens: Sequence[str]) -> tuple[str, Units]:
    """The text that some tokens are of, and where each stands in it.

    Example:
        >>> text, units = joined(["我", "爱", "New", "York", "!"])
        >>> text, units.tolist()
        ('我爱New York !', [[0, 1], [1, 2], [2, 5], [6, 10], [11, 12]])
    """
    parts: list[str] = []
    units = np.zeros((len(tokens), 2), np.int64)
    place, after_dense = 0, True
    for number, token in enumerate(tokens):
        if not after_dense and not _is_dense(token[:1]):
            parts.append(" ")
            place += 1
        units[number] = place, place + len(token)
        parts.append(token)
        place, after_dense = place + len(token), _is_dense(token[-1:])
    return "".join(parts), units


def words(text: str) -> Units:
    """The words of a plain text.

    Example:
        >>> text = "用Windows11的人 …"
        >>> [text[start:end] for start, end in words(text)]
        ['用', 'Windows11', '的', '人', '…']
    """
    if not text:
        return np.zeros((0, 2), np.int64)
    starts = word_starts(text, np.arange(len(text))[:, None] + [0, 1], characters)
    for kana in KANA.finditer(text):
        starts[[place for place in kana.span() if place < len(text)]] = True
    stretches = pairwise([*np.flatnonzero(starts).tolist(), len(text)])
    trimmed = (_trimmed(text, start, end) for start, end in stretches)
    return np.array([(start, end) for start, end in trimmed if start < end], np.int64).reshape(-1, 2)


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """The units that a piece stands for.

    Attributes:
        pieces: The piece that stands for each.
        units: Their numbers.
        lasts: For each, the last unit that goes with it; mostly itself.
    """

    pieces: Int[np.ndarray, " marked"]
    units: Int[np.ndarray, " marked"]
    lasts: Int[np.ndarray, " marked"]


def marks_of(text: str, units: Units, offsets: Int[np.ndarray, "pieces 2"]) -> Marks:
    """Which piece stands for which unit: the first that shows something of it.

    Args:
        text: The text.
        units: Of it.
        offsets: Where its pieces stand: those of `Tokenizer.pieces(text)`.

    Example:
        >>> marks = marks_of("ab cd", np.array([[0, 2], [3, 5]]), np.array([[0, 1], [1, 2], [2, 5]]))
        >>> marks.pieces.tolist(), marks.units.tolist()
        ([0, 2], [0, 1])
    """
    if not len(units) or not len(offsets):
        nothing = np.zeros(0, np.int64)
        return Marks(nothing, nothing, nothing)
    visible = _next_visible(text)[offsets[:, 0]]
    owners = np.searchsorted(units[:, 0], visible, side="right") - 1
    inside = (visible < offsets[:, 1]) & (owners >= 0) & (visible < units[owners, 1])
    marked, first = np.unique(owners[inside], return_index=True)
    lasts = marked.copy()
    missing = np.setdiff1d(np.flatnonzero(units[:, 0] < units[:, 1]), marked)
    covering = np.searchsorted(offsets[:, 0], units[missing, 0], side="right") - 1
    shared = (covering >= 0) & inside[covering] & (units[missing, 0] < offsets[covering, 1])
    np.maximum.at(lasts, np.searchsorted(marked, owners[covering[shared]]), missing[shared])
    return Marks(np.flatnonzero(inside)[first], marked, lasts)


@lru_cache(maxsize=1 << 14)
def _is_dense(character: str) -> bool:
    return DENSE.match(character) is not None


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    stripped = text[start:end].lstrip()
    return end - len(stripped), end - len(stripped) + len(stripped.rstrip())


def _next_visible(text: str) -> Int[np.ndarray, " characters_and_one"]:
    """For every character the first one from there on that is no white space; the end of the text where there is none."""
    places = np.array([len(text) if character.isspace() else place for place, character in enumerate(text)] + [len(text)], np.int64)
    return np.minimum.accumulate(places[::-1])[::-1]
