"""How long texts are, in characters and in tokens, and what the vocabulary cannot write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from bertsmith.core.amounts import plural
from bertsmith.core.types import Example
from bertsmith.data.checks.finding import Finding, Patient, percent, place, shorten, texts_of
from bertsmith.data.checks.kinds import strings

CHUNK = 1024
"""Texts that are tokenised together."""

MANY_LONG = 0.05
MANY_UNKNOWN = 0.01
"""Shares from which a note becomes a warning."""


@runtime_checkable
class CutsTokens(Protocol):
    """What is needed of a tokenizer."""

    @property
    def unknown_id(self) -> int:
        """The token for what the vocabulary cannot write; -1 where there is none."""
        ...

    def num_special(self, pair: bool) -> int:
        """Special tokens of a text or a pair."""
        ...

    def pieces_many(self, texts: Sequence[str]) -> Sequence[Any]:
        """For each text, its `input_ids` and the `offsets` of its tokens."""
        ...


@dataclass(frozen=True, slots=True)
class Lengths:
    """The lengths of the rows of a split.

    Attributes:
        characters: Of every row; both texts of a pair together.
        tokens: Of every row, with special tokens; None without a tokenizer.
        unknown: What became [UNK], and how often.
    """

    characters: np.ndarray
    tokens: np.ndarray | None = None
    unknown: Counter[str] = field(default_factory=Counter[str])

    def summary(self, max_length: int) -> dict[str, Any]:
        """Median, 95th percentile and maximum."""
        told: dict[str, Any] = {"characters": _spread(self.characters)}
        if self.tokens is not None:
            told["tokens"] = _spread(self.tokens) | {"share_over_max_length": round(float((self.tokens > max_length).mean()), 6)}
            told["unknown_rate"] = round(self.unknown.total() / max(int(self.tokens.sum()), 1), 6)
        return told


def measure(rows: Sequence[Example], tokenizer: CutsTokens | None) -> Lengths:
    """The lengths of what is read at once of some rows; nothing is truncated."""
    rows = [_with_longest_choice(row) for row in rows]
    characters = np.array([sum(map(len, texts_of(row))) for row in rows])
    if tokenizer is None:
        return Lengths(characters)
    tokens, unknown = [], Counter[str]()
    for start in range(0, len(rows), CHUNK):
        texts = [texts_of(row) for row in rows[start : start + CHUNK]]
        pieces = iter(tokenizer.pieces_many([text for pair in texts for text in pair]))
        for pair in texts:
            length = tokenizer.num_special(len(pair) > 1)
            for text, piece in zip(pair, pieces, strict=False):
                length += len(piece.input_ids)
                unknown.update(text[begin:end] for begin, end in piece.offsets[piece.input_ids == tokenizer.unknown_id].tolist())
            tokens.append(length)
    return Lengths(characters, np.array(tokens), unknown)


def _with_longest_choice(row: Example) -> Example:
    """A question with one of its choices, for each is read by itself; another row as it is."""
    choices = strings(row.get("choices"))
    if not choices or "question" not in row.values:
        return row
    return replace(row, values={**row.values, "text": f"{row['question']} {max(choices, key=len)}"})


def check_lengths(patient: Patient, lengths: Mapping[str, Lengths], max_length: int) -> Iterator[Finding]:
    """Texts that would be cut, and tokens that the vocabulary lacks."""
    yield from _differing(lengths)
    tokens = {name: measured.tokens for name, measured in lengths.items() if measured.tokens is not None}
    if not tokens:
        return
    long = [(row, count) for name in tokens for row, count in zip(patient.splits[name], tokens[name].tolist(), strict=True) if count > max_length]
    if long:
        yield _over_length(patient, sorted(long, key=lambda item: -item[1]), sum(map(len, tokens.values())), max_length)
    yield from _unknown(lengths, sum(int(count.sum()) for count in tokens.values()))


def _over_length(patient: Patient, long: Sequence[tuple[Example, int]], total: int, max_length: int) -> Finding:
    are = "is" if len(long) == 1 else "are"
    message = f"{plural(len(long), 'row')} ({percent(len(long), total)}) {are} longer than {max_length} tokens; the longest has {long[0][1]:,}"
    places = tuple(place(row, plural(count, "token")) for row, count in long)
    in_windows = patient.kind in ("answers", "tags")
    advice = "the rest is cut off; raise max_length up to what the model can take, or split the texts"
    advice = "they are read in windows that overlap" if in_windows else advice
    return Finding("over_length", "warning" if len(long) >= MANY_LONG * total and not in_windows else "note", message, len(long), places, advice)


def _unknown(lengths: Mapping[str, Lengths], total: int) -> Iterator[Finding]:
    unknown = sum((measured.unknown for measured in lengths.values()), Counter[str]())
    count = unknown.total()
    if count:
        places = tuple(f"{_named(piece)}  {plural(times, 'time')}" for piece, times in unknown.most_common(50))
        are = "is" if count == 1 else "are"
        message = f"{plural(count, 'token')} ({percent(count, total)}) of {plural(len(unknown), 'kind')} {are} not in the vocabulary: [UNK]"
        advice = "all of them look the same to the model; replace the frequent ones, add them to the vocabulary, or take another checkpoint"
        yield Finding("unknown_tokens", "warning" if count >= MANY_UNKNOWN * total else "note", message, count, places, advice)


def _named(piece: str) -> str:
    return f"{piece!r} (U+{ord(piece):04X})" if len(piece) == 1 else repr(shorten(piece, 40))


def _differing(lengths: Mapping[str, Lengths]) -> Iterator[Finding]:
    medians = {name: float(np.median(measured.characters)) for name, measured in lengths.items() if len(measured.characters)}
    usual = medians["train"]
    for name, median in medians.items():
        if max(median, usual) >= 2 * max(min(median, usual), 1):
            message = f"texts of {name} have another length than those of train: a median of {median:.0f} characters, {usual:.0f} in train"
            yield Finding("length_shift", "note", message, 1, advice="are they of the same kind?")


def _spread(values: np.ndarray) -> dict[str, int]:
    if not len(values):
        return {"median": 0, "p95": 0, "max": 0}
    return {"median": int(np.median(values)), "p95": int(np.percentile(values, 95)), "max": int(values.max())}
