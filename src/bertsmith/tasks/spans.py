"""From the scores of tokens to the spans of a text: the best ends of every window, and the best spans of all windows of a question together.

::

    windows ──best_ends──▶ the 20 best starts and ends of each ──merged──▶ the best spans of the question, in characters, best first

A span is scored by the start score of its first token and the end score of its last, and scores of different windows are compared as they are. As the
published code does it, only the 20 best starts and the 20 best ends of a window are tried with each other, and of spans with the same text the best
one counts. We differ in that these are the best of the tokens that may be chosen; there, tokens of the question and of other windows are among them,
and are then left out.

Reference: google-research/bert `run_squad.py` `write_predictions`; `transformers` `compute_predictions_logits`, up to its version 4.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

TRIED = 20
"""Starts and ends of a window that are tried with each other, and spans of a question that share its probability."""

SLAB = 512
"""Windows that are looked at together."""

Scores = Float[np.ndarray, "_ 2"]
"""Start and end score of every token."""


class Ends(NamedTuple):
    """The best first and last tokens of some windows, a row a window, best first; where a window has no more, their scores are minus infinity.

    Attributes:
        first: Numbers of first tokens.
        last: Numbers of last tokens.
        start_scores: Of the first.
        end_scores: Of the last.
    """

    first: Int[np.ndarray, "windows tokens"]
    last: Int[np.ndarray, "windows tokens"]
    start_scores: Float[np.ndarray, "windows tokens"]
    end_scores: Float[np.ndarray, "windows tokens"]


class Choice(NamedTuple):
    """A span of a text that may be the answer.

    Attributes:
        text: As it stands there.
        start: Its first character.
        end: The character after its last.
        score: The sum of its start and its end score.
    """

    text: str
    start: int
    end: int
    score: float


class Part(NamedTuple):
    """What is known of a window over a text.

    Attributes:
        begins: Where its tokens begin, in characters.
        ends: Where they end.
        first: Its best first tokens.
        last: Its best last tokens.
        start_scores: Of the first.
        end_scores: Of the last.
    """

    begins: Int[np.ndarray, " tokens"]
    ends: Int[np.ndarray, " tokens"]
    first: Int[np.ndarray, " tried"]
    last: Int[np.ndarray, " tried"]
    start_scores: Float[np.ndarray, " tried"]
    end_scores: Float[np.ndarray, " tried"]


def best_ends(windows: Sequence[Scores], may_begin: Sequence[Bool[np.ndarray, " _"]]) -> Ends:
    """The best first and last tokens of every window.

    Args:
        windows: Scores of their tokens.
        may_begin: Which tokens may be the first.

    Example:
        >>> found = best_ends([np.array([[0.0, 0.0], [5.0, 1.0], [1.0, 3.0]])], [np.array([True, False, True])])
        >>> found.first[0, :2].tolist(), found.last[0, :2].tolist()
        ([2, 0], [2, 1])
    """
    slabs = [_best_of_slab(windows[place : place + SLAB], may_begin[place : place + SLAB]) for place in range(0, len(windows), SLAB)]
    if not slabs:
        return Ends(*np.empty((2, 0, TRIED), np.int64), *np.empty((2, 0, TRIED)))
    return Ends(*(np.concatenate(columns) for columns in zip(*slabs, strict=True)))


def merged(context: str, parts: Sequence[Part], longest: int, most: int = TRIED) -> list[Choice]:
    """The best spans of all windows over a text, best first; of several with the same text, the best.

    Args:
        context: The text.
        parts: Its windows.
        longest: Tokens of the longest span.
        most: Spans.
    """
    parts = [part for part in parts if len(part.begins)]
    if not parts:
        return []
    begins, ends = np.stack([part.begins[part.first] for part in parts]), np.stack([part.ends[part.last] for part in parts])
    scores = np.stack([_pairs(part, longest) for part in parts])
    found: dict[str, Choice] = {}
    for place in np.argsort(-scores, axis=None, kind="stable"):
        window, first, last = np.unravel_index(place, scores.shape)
        score = float(scores[window, first, last])
        if len(found) == most or math.isinf(score):
            break
        start, end = visible(context, int(begins[window, first]), int(ends[window, last]))
        text = context[start:end]
        if text and text not in found:
            found[text] = Choice(text, start, end, score)
    return list(found.values())


def visible(text: str, start: int, end: int) -> tuple[int, int]:
    """A span of a text without the white space around it, and with the marks that belong to its last character, which tokenizers drop.

    Example:
        >>> visible(" cafe\u0301 ", 0, 5)
        (1, 6)
    """
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    while start < end < len(text) and unicodedata.category(text[end]).startswith("M"):
        end += 1
    return start, end


def tokens_of_span(begins: Int[np.ndarray, " tokens"], ends: Int[np.ndarray, " tokens"], start: int, end: int) -> tuple[int, int] | None:
    """The first and the last token that hold a part of a span; None where no token does.

    Args:
        begins: Where tokens begin, in characters, in order.
        ends: Where they end.
        start: First character of the span.
        end: The character after its last.

    Example:
        "play", "##ing" and "fields", and the span "in", which is a part of the second:

        >>> tokens_of_span(np.array([0, 4, 8]), np.array([4, 7, 14]), 4, 6)
        (1, 1)
    """
    first = int(np.searchsorted(ends, start, side="right"))
    last = int(np.searchsorted(begins, end, side="left")) - 1
    return (first, last) if first <= last else None


def shares(scores: Sequence[float]) -> Float[np.ndarray, " scores"]:
    """How the probability is shared among spans by their scores."""
    if not scores:
        return np.empty(0)
    powers = np.exp(np.array(scores, np.float64) - max(scores))
    return powers / powers.sum()


def _pairs(part: Part, longest: int) -> Float[np.ndarray, "tried tried"]:
    """The scores of the spans from every first to every last token; minus infinity where there is none."""
    scores = part.start_scores[:, None] + part.end_scores
    length = part.last - part.first[:, None] + 1
    return np.where((length >= 1) & (length <= longest), scores, -np.inf)


def _best_of_slab(windows: Sequence[Scores], may_begin: Sequence[Bool[np.ndarray, " _"]]) -> Ends:
    width = max(TRIED, *(len(scores) for scores in windows))
    starts, ends = np.full((2, len(windows), width), -np.inf)
    for place, (scores, allowed) in enumerate(zip(windows, may_begin, strict=True)):
        starts[place, : len(scores)] = np.where(allowed, scores[:, 0], -np.inf)
        ends[place, : len(scores)] = scores[:, 1]
    first, last = _highest(starts), _highest(ends)
    starts, ends = np.take_along_axis(starts, first, 1), np.take_along_axis(ends, last, 1)
    return Ends(np.where(np.isneginf(starts), 0, first), np.where(np.isneginf(ends), 0, last), starts, ends)


def _highest(scores: Float[np.ndarray, "rows columns"]) -> Int[np.ndarray, "rows tried"]:
    """The places of the highest scores of every row, the highest first; the first of equal ones."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :TRIED]
