"""Ids, segments, offsets and truncation are those of transformers, on real text in three scripts, whatever files a tokenizer comes in."""

import json
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
from transformers import AutoTokenizer, BertTokenizer, RobertaTokenizer
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from bertsmith.text.tokenizer import Tokenizer

Pair = tuple[Tokenizer, PreTrainedTokenizerBase]
ODD_TEXTS = [
    *("", " ", "\n\t", "#@$%^", "1/2 ½", "０１２", "ｆｕｌｌ", "㈱①Ⅳ", "x" * 300, "a\u0301b", "a\u200bb\u00adc", "\ufeffabc"),
    *("用Python3.11编程，好吗？", "２０２３年１２月", "鿿龘𠀀𪚥", "カタカナとひらがな", "تجربة", "Ünïcödé café naïve", "don't  stop..."),
    *("😀你好👨‍👩‍👧!", "[MASK]的[SEP]", "a<mask> <s>"),
]


def real_texts(folder: Path) -> list[str]:
    """Some of everything: tokenised English, web Chinese, Traditional and Simplified paragraphs."""
    lines = []
    for name in ("sst2/train.txt", "trec/train.txt"):
        with (folder / name).open(encoding="utf-8", errors="replace") as file:
            lines += [line.strip().partition(" ")[2] for line in islice(file, 50)]
    with (folder / "chnsenticorp/train.tsv").open(encoding="utf-8") as file:
        lines += [line.strip().partition("\t")[2] for line in islice(file, 1, 50)]
    with (folder / "ocnli/dev.json").open(encoding="utf-8") as file:
        lines += [json.loads(line)["sentence1"] for line in islice(file, 50)]
    for name in ("drcd/dev.json", "cmrc2018/trial.json"):
        paragraphs = [
            part["context"] for article in json.loads((folder / name).read_text(encoding="utf-8"))["data"] for part in article["paragraphs"]
        ]
        lines += paragraphs[:20]
    return lines + ODD_TEXTS


def bert_folder(folder: Path, vocabulary: Path, **settings: object) -> Path:
    shutil.copyfile(vocabulary, folder / "vocab.txt")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    return folder


def roberta_folder(folder: Path, data: Path, **settings: object) -> Path:
    tokens = (data / "vocab/huggingface_gpt2_vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    shutil.copyfile(data / "vocab/huggingface_gpt2_merges.txt", folder / "merges.txt")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text(json.dumps({"model_type": "roberta"}))
    return folder


def bert(name: str, **settings: object) -> Callable[[Path, Path], Pair]:
    def build(folder: Path, data: Path) -> Pair:
        bert_folder(folder, data / "vocab" / name, **settings)
        return Tokenizer.from_folder(folder), BertTokenizer.from_pretrained(folder)

    return build


def roberta(**settings: object) -> Callable[[Path, Path], Pair]:
    def build(folder: Path, data: Path) -> Pair:
        roberta_folder(folder, data, **settings)
        return Tokenizer.from_folder(folder), RobertaTokenizer.from_pretrained(folder)

    return build


KINDS = {
    "chinese": bert("google_zh_vocab.txt", do_lower_case=False),
    "chinese-lowercase": bert("google_zh_vocab.txt"),
    "uncased": bert("google_uncased_en_vocab.txt"),
    "cased": bert("google_cased_en_vocab.txt", do_lower_case=False),
    "accents-off-case-on": bert("google_cased_en_vocab.txt", do_lower_case=False, strip_accents=True),
    "chinese-characters-not-split": bert("google_zh_vocab.txt", tokenize_chinese_chars=False),
    "roberta": roberta(),
    "roberta-prefix-space": roberta(add_prefix_space=True),
}


@pytest.fixture(scope="module", params=list(KINDS))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Pair:
    return KINDS[request.param](tmp_path_factory.mktemp(request.param), shared_data)


@pytest.fixture(scope="module")
def texts(shared_data: Path) -> list[str]:
    return real_texts(shared_data)


def assert_equal(ours: Tokenizer, theirs: PreTrainedTokenizerBase, first: list[str], second: list[str] | None, length: int | None) -> None:
    expected = theirs(
        first, second, truncation="longest_first" if length else False, max_length=length, return_offsets_mapping=True, return_token_type_ids=True
    )
    whole = theirs(first, second)["input_ids"]
    for row, got in enumerate(ours.encode_many(first, second, max_length=length)):
        assert got.input_ids.tolist() == expected["input_ids"][row], first[row]
        assert got.token_type_ids.tolist() == expected["token_type_ids"][row]
        assert [tuple(span) for span in got.offsets.tolist()] == expected["offset_mapping"][row]
        assert got.truncated == len(whole[row]) - len(expected["input_ids"][row])


def test_single_texts(pair: Pair, texts: list[str]) -> None:
    assert_equal(*pair, texts, None, None)


def test_pairs(pair: Pair, texts: list[str]) -> None:
    assert_equal(*pair, texts, texts[::-1], None)


@pytest.mark.parametrize("length", [64, 128])
def test_truncated(pair: Pair, texts: list[str], length: int) -> None:
    assert_equal(*pair, texts, None, length)
    assert_equal(*pair, texts, texts[::-1], length)


@pytest.mark.parametrize("length", [4, 5, 6, 7, 16, 17])
def test_truncated_to_almost_nothing(pair: Pair, texts: list[str], length: int) -> None:
    short = [text[:40] for text in texts[::8]]  # transformers keeps every combination of what it cut off
    assert_equal(*pair, short, None, length)
    assert_equal(*pair, short, [text[5:20] for text in short], length)


def test_pieces_are_the_text_without_special_tokens(pair: Pair, texts: list[str]) -> None:
    ours, theirs = pair
    expected = theirs(texts, add_special_tokens=False, return_offsets_mapping=True)
    for row, got in enumerate(ours.pieces_many(texts)):
        assert got.input_ids.tolist() == expected["input_ids"][row]
        assert [tuple(span) for span in got.offsets.tolist()] == expected["offset_mapping"][row]


def test_names_of_special_tokens(pair: Pair) -> None:
    ours, theirs = pair
    expected = (theirs.cls_token_id, theirs.sep_token_id, theirs.pad_token_id, theirs.mask_token_id, theirs.unk_token_id)
    assert (ours.cls_id, ours.sep_id, ours.pad_id, ours.mask_id, ours.unknown_id) == expected
    assert ours.special_ids == set(theirs.all_special_ids)
    assert ours.vocabulary_size == len(theirs)
    assert (ours.num_special(False), ours.num_special(True)) == (theirs.num_special_tokens_to_add(False), theirs.num_special_tokens_to_add(True))


def test_decode(pair: Pair, texts: list[str]) -> None:
    ours, theirs = pair
    for text in texts[::20]:
        ids = ours.encode(text).input_ids
        assert ours.decode(ids) == theirs.decode(ids.tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert ours.decode(ids, skip_special=False) == theirs.decode(ids.tolist(), clean_up_tokenization_spaces=False)


def test_saved_folder_opens_in_transformers_and_here(pair: Pair, texts: list[str], tmp_path: Path) -> None:
    ours, theirs = pair
    ours.save(tmp_path)
    kind = "roberta" if isinstance(theirs, RobertaTokenizer) else "bert"
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    opened = AutoTokenizer.from_pretrained(tmp_path)
    assert type(opened) is type(theirs)
    assert (
        opened.special_tokens_map.items() >= {role: getattr(theirs, role) for role in ("cls_token", "sep_token", "pad_token", "mask_token")}.items()
    )
    again = Tokenizer.from_folder(tmp_path)
    for tokenizer in (ours, again):
        assert_equal(tokenizer, opened, texts, texts[::-1], 48)
    (tmp_path / "tokenizer_config.json").unlink()
    assert Tokenizer.from_folder(tmp_path).encode_many(texts)[7].tokens == ours.encode(texts[7]).tokens
