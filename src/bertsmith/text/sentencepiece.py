"""SentencePiece models, read without the library.

A `.model` (or `.spm`) file is a protocol buffer: a list of numbered fields, each with its type of wire and its value, some of which are such lists
themselves. Of `sentencepiece_model.proto` (google/sentencepiece) this is what a tokenizer needs::

    1  pieces, one field each        1 text   2 score   3 kind (normal where absent)
    2  how it was trained            3 algorithm (unigram where absent)   35 whether bytes stand for unknown characters
    3  how text is normalised        2 table of characters   3 whether a space is put before the text

The pieces stand first and the rest behind them, so a file that was cut off between two fields, which is well-formed, lacks the rest and is refused.
The table of characters is a double-array trie that `tokenizers` walks without looking where it steps: `_check_table` looks.
"""

import math
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, NamedTuple

import numpy as np
from tokenizers import models

from bertsmith.core.errors import CheckpointError

VARINT, FIXED_64, LENGTH, FIXED_32 = 0, 1, 2, 5
WIDTHS = {FIXED_64: 8, FIXED_32: 4}
LONGEST_VARINT = 10
BLOCK = 256
"""Places of the trie that one step can reach: a byte's worth."""


class Kind(IntEnum):
    """What a piece is."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


KINDS = frozenset(Kind)


class Piece(NamedTuple):
    """One entry of the vocabulary; its score is a log probability, or in a BPE model the negative rank of its merge."""

    text: str
    score: float
    kind: int = Kind.NORMAL


@dataclass(frozen=True, slots=True)
class SentencePieces:
    """What a SentencePiece model says.

    Attributes:
        pieces: The vocabulary in the order of its own ids, which are not always those of the model that uses it.
        algorithm: How a word is cut: the likeliest pieces, or merges.
        table: The table of characters for `normalizers.Precompiled`; empty where text is taken as it is.
        byte_fallback: Whether what no piece can write becomes its UTF-8 bytes.
        prefix: Whether a space is put before the text.
    """

    pieces: tuple[Piece, ...]
    algorithm: Literal["unigram", "bpe"]
    table: bytes = b""
    byte_fallback: bool = False
    prefix: bool = True

    def model(self, pieces: tuple[Piece, ...], unknown: int) -> models.Unigram | models.BPE:
        """The algorithm over a vocabulary, which is that of this file or made from it.

        Args:
            pieces: In the order of ids.
            unknown: The id of the piece for what no other can write.
        """
        if self.algorithm == "unigram":
            return models.Unigram([(piece.text, piece.score) for piece in pieces], unknown, self.byte_fallback)
        ids = {piece.text: number for number, piece in enumerate(pieces)}
        token = pieces[unknown].text
        return models.BPE(ids, _merges(pieces), unk_token=token, fuse_unk=True, byte_fallback=self.byte_fallback)


def parse_sentencepiece(content: bytes, source: str) -> SentencePieces:
    """Read a SentencePiece model.

    Args:
        content: The bytes of the file.
        source: What it is called in messages.

    Raises:
        CheckpointError: It is not such a model, or was cut off or damaged, or its algorithm is neither Unigram nor BPE.
    """
    try:
        return _parsed(content)
    except (ValueError, struct.error) as error:
        hint = "it may have been cut off, or be another kind of file under this name: fetch it again"
        raise CheckpointError(f"{source} is not a SentencePiece model ({error}); {hint}") from error


def _parsed(content: bytes) -> SentencePieces:
    raw_pieces: list[bytes] = []
    trained = normalised = None
    for number, wire, value in _fields(content):
        if number in (1, 2, 3) and wire != LENGTH:
            raise ValueError(f"field {number} has the wire type {wire} instead of {LENGTH}")
        if number == 1:
            raw_pieces.append(_bytes(value))
        elif number == 2:
            trained = _message(_bytes(value), {3: VARINT, 35: VARINT})
        elif number == 3:
            normalised = _message(_bytes(value), {2: LENGTH, 3: VARINT})
    if not raw_pieces or trained is None or normalised is None:
        missing = "pieces" if not raw_pieces else "training" if trained is None else "normalisation"
        raise ValueError(f"it has no {missing}")
    pieces = tuple(_piece(raw) for raw in raw_pieces)
    _check_pieces(pieces)
    table = _bytes(normalised.get(2, b""))
    if table:
        _check_table(table)
    return SentencePieces(pieces, _algorithm(trained.get(3, 1)), table, bool(trained.get(35, 0)), bool(normalised.get(3, 1)))


def _algorithm(number: int | bytes) -> Literal["unigram", "bpe"]:
    if number == 1:
        return "unigram"
    if number == 2:
        return "bpe"
    raise ValueError(f"its algorithm has the number {number!r}; 1 (Unigram) and 2 (BPE) can be read")


def _piece(raw: bytes) -> Piece:
    fields = _message(raw, {1: LENGTH, 2: FIXED_32, 3: VARINT})
    (score,) = struct.unpack("<f", _bytes(fields.get(2, bytes(4))))
    return Piece(_bytes(fields.get(1, b"")).decode("utf-8"), score, int(fields.get(3, Kind.NORMAL)))


def _check_pieces(pieces: tuple[Piece, ...]) -> None:
    counts = Counter(piece.text for piece in pieces)
    twice = [text for text, count in counts.items() if count > 1]
    if "" in counts or twice:
        raise ValueError("a piece is empty" if "" in counts else f"the piece {twice[0]!r} stands in it twice")
    if wrong := [piece for piece in pieces if not math.isfinite(piece.score) or piece.kind not in KINDS]:
        raise ValueError(f"the piece {wrong[0].text!r} has the score {wrong[0].score} and the kind {wrong[0].kind}")
    unknown = sum(piece.kind == Kind.UNKNOWN for piece in pieces)
    if unknown != 1:
        raise ValueError(f"it has {unknown} unknown tokens instead of one")


def _check_table(table: bytes) -> None:
    """See that no text can lead out of a table of characters: 4 bytes of size, the trie (darts-clone), the texts that characters are replaced by."""
    size = int.from_bytes(table[:4], "little")
    if not BLOCK * 4 <= size <= len(table) - 4 or size % 4:
        raise ValueError(f"its table of characters has {len(table):,} bytes and a trie of {size:,}")
    units, texts = np.frombuffer(table, "<u4", size // 4, 4), np.frombuffer(table, np.uint8, offset=4 + size)
    table[4 + size :].decode("utf-8")
    walked = units >> 31 == 0
    walked[0] = True  # whatever it holds, every walk begins there
    places = np.flatnonzero(walked)
    nodes = units[places]
    children = places ^ ((nodes >> 10) << ((nodes & 512) >> 6)).astype(np.int64)
    if (children | (BLOCK - 1)).max(initial=0) >= len(units):
        raise ValueError("its table of characters points outside of itself")
    starts = units[children[(nodes >> 8) & 1 == 1]] & 0x7FFFFFFF
    if starts.max(initial=0) >= max(1, len(texts)) or (texts[starts] & 0xC0 == 0x80).any():
        raise ValueError("its table of characters points outside of its texts")


def _merges(pieces: tuple[Piece, ...]) -> list[tuple[str, str]]:
    """All ways to put a piece together from two others, the best piece first: SentencePiece stores the pieces alone."""
    known = {piece.text for piece in pieces if piece.kind in (Kind.NORMAL, Kind.USER_DEFINED)}
    ranked = sorted((piece for piece in pieces if piece.kind == Kind.NORMAL), key=lambda piece: -piece.score)
    cuts = ((text[:place], text[place:]) for text, _, _ in ranked for place in range(1, len(text)))
    return [(left, right) for left, right in cuts if left in known and right in known]


def _message(message: bytes, wires: Mapping[int, int]) -> dict[int, int | bytes]:
    """Those fields of a message that are asked for, by number; of a field that occurs several times the last one counts."""
    found: dict[int, int | bytes] = {}
    for number, wire, value in _fields(message):
        if number in wires:
            if wire != wires[number]:
                raise ValueError(f"field {number} has the wire type {wire} instead of {wires[number]}")
            found[number] = value
    return found


def _fields(message: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """The number, the type of wire and the value of every field."""
    place, end = 0, len(message)
    while place < end:
        key, place = _varint(message, place)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, place = _varint(message, place)
            yield number, wire, value
            continue
        size, place = _varint(message, place) if wire == LENGTH else (WIDTHS.get(wire, -1), place)
        if number == 0 or size < 0:
            raise ValueError(f"byte {place:,}: no field has the number {number} and the wire type {wire}")
        if size > end - place:
            raise ValueError(f"byte {place:,}: a field of {size:,} bytes where {end - place:,} are left")
        yield number, wire, message[place : place + size]
        place += size


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """A whole number, seven bits a byte, the lowest first; and where it ends."""
    value = 0
    for count, byte in enumerate(message[place : place + LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, place + count + 1
    raise ValueError(f"byte {place:,}: a number that does not end")


def _bytes(value: int | bytes) -> bytes:
    assert isinstance(value, bytes), "the type of wire was checked"
    return value
