"""Marian's tokenizer: two SentencePiece models, one vocabulary."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, MarianTokenizer

from bertsmith.core.errors import CheckpointError, RecipeError
from bertsmith.text.tokenizer import Tokenizer
from tests.text import folders

pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
ODD = ["", " ", "  a  b ", "😀 你好", ">>zho<< Hello there", ">>zho<<Hello", "a</s>b <pad>", "<s>", "x" * 200, "２００ ﬁ½", "a\tb\u3000c\n", "<unk>"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    return folders.marian_folder(tmp_path_factory.mktemp("marian") / "marian", shared_data)


@pytest.fixture(scope="module")
def ours(folder: Path) -> Tokenizer:
    return Tokenizer.from_folder(folder)


@pytest.fixture(scope="module")
def theirs(folder: Path) -> MarianTokenizer:
    with pytest.warns(UserWarning, match="sacremoses"):
        tokenizer = AutoTokenizer.from_pretrained(folder)
    assert type(tokenizer) is MarianTokenizer
    return tokenizer


def assert_equal(got: list[list[int]], expected: list[list[int]]) -> None:
    """Equal but for the order of pieces that are equally likely ("~~ ~" and "~ ~~"), which rounding decides."""
    others = [(ours, theirs) for ours, theirs in zip(got, expected, strict=True) if ours != theirs]
    assert [sorted(ours) for ours, _ in others] == [sorted(theirs) for _, theirs in others]
    assert len(others) < len(got) / 200


def test_both_languages(ours: Tokenizer, theirs: MarianTokenizer, shared_data: Path) -> None:
    english, chinese = folders.lines_of(shared_data)
    assert_equal([row.input_ids.tolist() for row in ours.encode_many(english)], theirs(english)["input_ids"])
    assert_equal([row.input_ids.tolist() for row in ours.target.encode_many(chinese)], theirs(text_target=chinese)["input_ids"])
    assert [row.input_ids.tolist() for row in ours.encode_many(ODD)] == theirs(ODD)["input_ids"]
    assert [row.input_ids.tolist() for row in ours.target.encode_many(ODD)] == theirs(text_target=ODD)["input_ids"]
    assert ours.target.target is ours.target
    assert ours.encode("however").input_ids.tolist() != ours.target.encode("however").input_ids.tolist()


def test_bpe_on_what_it_can_write(shared_data: Path, tmp_path: Path) -> None:
    english, chinese, ids = folders.marian_of(shared_data, "bpe")
    folder = folders.put(tmp_path / "bpe", "marian", {"source.spm": english, "target.spm": chinese, "vocab.json": ids})
    ours, theirs = Tokenizer.from_folder(folder), MarianTokenizer.from_pretrained(folder)
    for tokenizer, lines, key in zip((ours, ours.target), folders.lines_of(shared_data), ("text", "text_target"), strict=True):
        some = [(row.input_ids.tolist(), ids) for row, ids in zip(tokenizer.encode_many(lines), theirs(**{key: lines})["input_ids"], strict=True)]
        known = [pair for pair in some if tokenizer.unknown_id not in pair[0]]
        assert len(known) > len(some) / 2
        assert [got for got, _ in known] == [expected for _, expected in known]


def test_names(ours: Tokenizer, theirs: MarianTokenizer) -> None:
    for tokenizer in (ours, ours.target):
        assert (tokenizer.pad_id, tokenizer.eos_id, tokenizer.unknown_id) == (theirs.pad_token_id, 0, 1)
        assert tokenizer.bos_id is None
        assert tokenizer.special_ids == {0, 1, theirs.pad_token_id}
        assert tokenizer.vocabulary_size == len(theirs)
        assert tokenizer.num_special(pair=False) == 1
        assert (tokenizer.id("</s>"), tokenizer.token(0), tokenizer.id("nowhere")) == (0, "</s>", None)
        with pytest.raises(CheckpointError, match=r"no mask_token; it has unk_token <unk>, pad_token <pad>, eos_token </s>"):
            _ = tokenizer.mask_id
    with pytest.raises(RecipeError, match="two texts need a sep_token"):
        ours.encode("a", "b")
    with pytest.raises(IndexError, match="no token has the id"):
        ours.token(ours.vocabulary_size)


def test_offsets_and_pieces(ours: Tokenizer) -> None:
    encoding = ours.encode("The film", max_length=3)
    assert encoding.tokens[-1] == "</s>"
    assert encoding.truncated == len(ours.encode("The film").input_ids) - len(encoding.input_ids)
    text = "the film , however , is good"
    pieces = ours.pieces(text)
    covered = [text[begin:end].strip() for begin, end in pieces.offsets.tolist()]
    assert [ours.token(number).strip("▁") for number in pieces.input_ids] == covered


def test_decode(ours: Tokenizer, theirs: MarianTokenizer, shared_data: Path) -> None:
    english, chinese = folders.lines_of(shared_data)
    for tokenizer, lines in ((ours, english[::40]), (ours.target, chinese[::40])):
        for line in lines:
            ids = tokenizer.encode(line).input_ids
            assert ours.decode(ids) == tokenizer.decode(ids) == theirs.decode(ids.tolist(), skip_special_tokens=True)
            if line.isascii() and 1 not in ids:
                assert tokenizer.decode(ids) == line


def test_ids_that_no_token_has_are_left_out(ours: Tokenizer) -> None:
    ids = ours.encode("the film").input_ids.tolist()
    assert ours.decode([-100, *ids, ours.vocabulary_size]) == ours.decode(ids)


def test_saved(folder: Path, ours: Tokenizer, shared_data: Path, tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(ours)).save(tmp_path)
    folders.put(tmp_path, "marian", {})
    for name in ("source.spm", "target.spm", "vocab.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert (settings["tokenizer_class"], settings["source_lang"], settings["model_max_length"]) == ("MarianTokenizer", "en", 512)
    opened, again = AutoTokenizer.from_pretrained(tmp_path), Tokenizer.from_folder(tmp_path)
    english, chinese = (lines[::10] for lines in folders.lines_of(shared_data))
    assert_equal([row.input_ids.tolist() for row in again.encode_many(english)], opened(english)["input_ids"])
    assert [row.input_ids.tolist() for row in again.target.encode_many(chinese)] == [
        row.input_ids.tolist() for row in ours.target.encode_many(chinese)
    ]


def files_of(folder: Path) -> dict[str, Any]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source.spm": None}, r"has no source\.spm; Marian's tokenizer is source\.spm, target\.spm and vocab\.json"),
        ({"target.spm": None, "vocab.json": None}, r"has no target\.spm and no vocab\.json"),
        ({"source.spm": None, "target.spm": None}, r"has no source\.spm and no target\.spm"),
        ({"vocab.json": {"</s>": 0, "<unk>": 1, "<pad>": 2, "▁a": 3}}, r"source\.spm and vocab\.json do not belong together: 1 of 1,49\d pieces"),
        ({"vocab.json": ["a"]}, "holds a JSON list"),
        ({"vocab.json": {"a": "0"}}, r"vocab\.json is not a vocabulary: the ids of 1 tokens are not whole numbers(.|\n)*'a': '0'"),
        ({"vocab.json": {"a": 10**12}}, r"vocab\.json is not a vocabulary"),
        ({"source.spm": b"version https://git-lfs.github.com/spec/v1\noid"}, r"source\.spm is a pointer of Git LFS"),
        ({"target.spm": b'{"model_type": "marian"}'}, r"target\.spm is not a SentencePiece model"),
        ({"tokenizer_config.json": {"separate_vocabs": True}}, "only Marian models with one vocabulary"),
        ({"tokenizer_config.json": {"eos_token": "[END]"}}, r"vocab\.json of .* lacks tokens that are needed(.|\n)*eos_token: \[END\]"),
    ],
)
def test_broken(folder: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    files = {name: content for name, content in {**files_of(folder), **changes}.items() if content is not None}
    with pytest.raises(CheckpointError, match=message):
        Tokenizer.from_folder(folders.put(tmp_path / "broken", None, files))


def test_a_source_that_was_cut_off(folder: Path, tmp_path: Path) -> None:
    files = files_of(folder)
    for length in (10, 1000, len(files["source.spm"]) // 2):
        with pytest.raises(CheckpointError, match=r"source\.spm is not a SentencePiece model .*cut off"):
            Tokenizer.from_folder(folders.put(tmp_path / "cut", None, {**files, "source.spm": files["source.spm"][:length]}))
