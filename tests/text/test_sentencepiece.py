"""SentencePiece models read without the library: equal to what it reads, and nothing damaged gets through."""

import math
import struct
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2
from tokenizers import Regex, models, normalizers, pre_tokenizers

from bertsmith.core.errors import CheckpointError
from bertsmith.text.sentencepiece import Kind, Piece, SentencePieces, parse_sentencepiece
from tests.text import folders

PIECES = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3), ("▁", -1.5, 1), ("北", -2.0, 1), ("<n>", 0.0, 4), ("x", -3.0, 5)]
SMALL = folders.handmade(PIECES)


def backend_of(model: SentencePieces) -> tokenizers.Tokenizer:
    """SentencePiece's own pipeline."""
    backend = tokenizers.Tokenizer(model.model(model.pieces, next(number for number, piece in enumerate(model.pieces) if piece.kind == Kind.UNKNOWN)))
    table = [normalizers.Precompiled(model.table)] if model.table else []
    backend.normalizer = normalizers.Sequence([*table, normalizers.Replace(Regex(" {2,}"), " "), normalizers.Replace(Regex("^ | $"), "")])
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    return backend


def test_pieces() -> None:
    model = parse_sentencepiece(SMALL, "small")
    assert model == SentencePieces(tuple(Piece(*piece) for piece in PIECES), "unigram")
    assert parse_sentencepiece(folders.handmade(PIECES, 2), "small").algorithm == "bpe"


@pytest.mark.parametrize("algorithm", ["unigram", "bpe"])
@pytest.mark.parametrize("rule", ["nmt_nfkc", "nfkc_cf", "identity"])
def test_real_models(algorithm: str, rule: str, shared_data: Path) -> None:
    english, chinese = folders.lines_of(shared_data)
    content = folders.trained([*english[::4], *chinese[::4]], 3500, model_type=algorithm, normalization_rule_name=rule)
    model, message = parse_sentencepiece(content, "trained"), sentencepiece_model_pb2.ModelProto.FromString(content)
    assert [tuple(piece) for piece in model.pieces] == [(piece.piece, piece.score, piece.type) for piece in message.pieces]
    assert (model.algorithm, model.table, model.prefix) == (algorithm, message.normalizer_spec.precompiled_charsmap, True)
    texts = [*english[::3], *chinese[::3], "😀😀 😀a", "  a  b ", "２００ ﬁ½\u3000", "1,2"]
    expected = SentencePieceProcessor(model_proto=content).encode(texts)
    got = [encoding.ids for encoding in backend_of(model).encode_batch(texts, add_special_tokens=False)]
    others = [(ours, theirs) for ours, theirs in zip(got, expected, strict=True) if ours != theirs]
    assert all(sorted(ours) == sorted(theirs) for ours, theirs in others)  # "~~ ~" and "~ ~~" are equally likely: rounding decides
    assert len(others) < len(texts) / 200


def test_bytes_for_what_no_piece_can_write(shared_data: Path) -> None:
    content = folders.trained(folders.lines_of(shared_data)[0], 1000, byte_fallback=True)
    model = parse_sentencepiece(content, "bytes")
    assert model.byte_fallback
    text = "a 北京"
    assert backend_of(model).encode(text).ids == SentencePieceProcessor(model_proto=content).encode(text)


def changed(**changes: object) -> bytes:
    message = sentencepiece_model_pb2.ModelProto.FromString(SMALL)
    for path, value in changes.items():
        owner = message
        *parents, last = path.split("__")
        for parent in parents:
            owner = getattr(owner, parent)
        setattr(owner, last, value)
    return message.SerializeToString()


LONG = b"\xff" * 9 + b"\x01"
BROKEN = {
    "empty": (b"", "it has no pieces"),
    "text": (b"hello, this is no model", "no field has the number 13 and the wire type 4"),
    "truncated varint": (b"\x0a\xff", "byte 1: a number that does not end"),
    "endless varint": (b"\xff" * 20, "byte 0: a number that does not end"),
    "huge length": (b"\x0a" + LONG, "a field of [0-9,]+ bytes where 0 are left"),
    "group": (b"\x0b", "no field has the number 1 and the wire type 3"),
    "field 0": (b"\x02\x00", "no field has the number 0"),
    "pieces of another wire": (b"\x08\x01" + SMALL, "field 1 has the wire type 0 instead of 2"),
    "score of another wire": (b"\x0a\x05\x0a\x01a\x10\x01" + SMALL, "field 2 has the wire type 0 instead of 5"),
    "cut off behind the pieces": (SMALL[: SMALL.index(b"\x18\x01\xc0\x02") - 2], "it has no training"),
    "not utf-8": (SMALL.replace("北".encode(), b"\xff\xfe\xfd"), "'utf-8' codec"),
    "twice": (folders.handmade([*PIECES, PIECES[4]]), "the piece '北' stands in it twice"),
    "an empty piece": (folders.handmade([*PIECES, ("", 0.0, 1)]), "a piece is empty"),
    "no unknown": (folders.handmade(PIECES[1:]), "0 unknown tokens"),
    "two unknowns": (folders.handmade([*PIECES, ("<u>", 0.0, 2)]), "2 unknown tokens"),
    "no number": (folders.handmade([*PIECES, ("y", math.nan, 1)]), "'y' has the score nan"),
    "infinite": (folders.handmade([*PIECES, ("y", math.inf, 1)]), "'y' has the score inf"),
    "another kind": (b"\x0a\x05\x0a\x01a\x18\x09" + SMALL, "the kind 9"),
    "words": (changed(trainer_spec__model_type=3), "its algorithm has the number 3"),
    "short table": (changed(normalizer_spec__precompiled_charsmap=b"abc"), "table of characters has 3 bytes"),
    "table with a trie longer than itself": (changed(normalizer_spec__precompiled_charsmap=struct.pack("<I", 4096) + bytes(1024)), "a trie of 4,096"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken(name: str) -> None:
    content, message = BROKEN[name]
    with pytest.raises(CheckpointError, match=f"x.model is not a SentencePiece model .*{message}.*fetch it again"):
        parse_sentencepiece(content, "x.model")


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(CheckpointError, match="is not a SentencePiece model"):
        parse_sentencepiece(content, "x.model")


@given(st.integers(0, len(SMALL) - 1))
def test_whatever_is_cut_off_is_noticed(length: int) -> None:
    with pytest.raises(CheckpointError, match="is not a SentencePiece model"):
        parse_sentencepiece(SMALL[:length], "x.model")


@given(st.integers(0, len(SMALL) - 1), st.integers(0, 255))
def test_a_damaged_byte_is_refused_or_gives_a_model_that_works(place: int, byte: int) -> None:
    content = SMALL[:place] + bytes([byte]) + SMALL[place + 1 :]
    try:
        model = parse_sentencepiece(content, "x.model")
    except CheckpointError:
        return
    assert backend_of(model).encode("北 a<n>").ids


TABLE = sentencepiece_model_pb2.ModelProto.FromString(folders.trained(["a b"] * 9, 7, hard_vocab_limit=False)).normalizer_spec.precompiled_charsmap


def test_a_real_table_is_let_through() -> None:
    assert parse_sentencepiece(changed(normalizer_spec__precompiled_charsmap=TABLE), "x.model").table == TABLE


@pytest.mark.parametrize(
    ("place", "unit", "message"),
    [
        (0, 0x7FFFFE00, "outside of itself"),
        (97, 0x100 | 97, "outside of its texts"),
        (300, 0x7FFFFE00, "outside of itself"),
        (0, 0xFFFFFE00, "outside of itself"),
    ],
)
def test_a_table_that_leads_outside_is_refused(place: int, unit: int, message: str) -> None:
    units = np.zeros(512, "<u4")
    units[96] = 0xFFFFFFFF
    units[place] = unit
    table = struct.pack("<I", 2048) + units.tobytes() + b"abc\x00"
    with pytest.raises(CheckpointError, match=message):
        parse_sentencepiece(changed(normalizer_spec__precompiled_charsmap=table), "x.model")


@settings(max_examples=300)
@given(st.integers(0, 2000) | st.integers(0, len(TABLE) - 1), st.binary(min_size=1, max_size=4), st.text(max_size=20))
def test_a_damaged_table_is_refused_or_normalises_something(place: int, damage: bytes, text: str) -> None:
    table = (TABLE[:place] + damage + TABLE[place + len(damage) :])[: len(TABLE)]
    try:
        model = parse_sentencepiece(changed(normalizer_spec__precompiled_charsmap=table), "x.model")
    except CheckpointError:
        return
    assert isinstance(normalizers.Precompiled(model.table).normalize_str(text + "ﬁ½Ａe\u0301"), str)


def test_merges_are_those_of_the_pieces() -> None:
    pieces = (
        Piece("<unk>", 0.0, 2),
        Piece("ab", -0.0),
        Piece("abc", -1.0),
        Piece("a", -2.0),
        Piece("b", -3.0),
        Piece("c", -4.0),
        Piece("bc", -5.0, 5),
    )
    model = SentencePieces(pieces, "bpe").model(pieces, 0)
    assert isinstance(model, models.BPE)
    assert [token.value for token in model.tokenize("abcb")] == ["abc", "b"]
    assert [token.value for token in model.tokenize("bc")] == ["b", "c"]
