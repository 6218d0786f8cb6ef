"""The tokenizer on its own: arrays, truncation, threads, odd text, and files that are broken."""

import json
import pickle
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, BertTokenizer, XLMRobertaTokenizer

from bertsmith.core.errors import CheckpointError, RecipeError
from bertsmith.text import files
from bertsmith.text.tokenizer import Tokenizer, longest_first
from tests.text.folders import handmade

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*SPECIAL, "我", "爱", "北", "京", "bert", "##s", "e"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_tokens(WORDS)


def test_arrays(tokenizer: Tokenizer) -> None:
    encoding = tokenizer.encode("我爱 BERTs", "北")
    assert encoding.input_ids.dtype == encoding.token_type_ids.dtype == encoding.offsets.dtype == np.int32
    assert encoding.tokens == ["[CLS]", "我", "爱", "bert", "##s", "[SEP]", "北", "[SEP]"]
    assert encoding.offsets.tolist() == [[0, 0], [0, 1], [1, 2], [3, 7], [7, 8], [0, 0], [0, 1], [0, 0]]
    assert encoding.truncated == 0
    pieces = tokenizer.pieces("我 爱")
    assert (pieces.input_ids.tolist(), pieces.offsets.tolist()) == ([5, 6], [[0, 1], [2, 3]])


def test_nothing_in_nothing_out(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode_many([]) == []
    assert tokenizer.encode("").input_ids.tolist() == [tokenizer.cls_id, tokenizer.sep_id]
    assert tokenizer.pieces("").input_ids.shape == (0,)
    assert tokenizer.pieces("").offsets.shape == (0, 2)


def test_names(tokenizer: Tokenizer) -> None:
    assert [tokenizer.pad_id, tokenizer.unknown_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id] == [0, 1, 2, 3, 4]
    assert tokenizer.special_ids == {0, 1, 2, 3, 4}
    assert tokenizer.vocabulary_size == len(WORDS)
    assert (tokenizer.num_special(pair=False), tokenizer.num_special(pair=True)) == (2, 3)
    assert (tokenizer.token(np.int32(9)), tokenizer.id("爱"), tokenizer.id("恨")) == ("bert", 6, None)
    for number in (-1, len(WORDS)):
        with pytest.raises(IndexError, match="no token has the id"):
            tokenizer.token(number)


def test_accents_and_case_keep_their_offsets(tokenizer: Tokenizer) -> None:
    assert tokenizer.pieces("É e\u0301").offsets.tolist() == [[0, 1], [2, 3]]


def test_offsets_count_characters_not_bytes_or_surrogates(tokenizer: Tokenizer) -> None:
    assert tokenizer.pieces("𠀀😀 我").offsets[-1].tolist() == [3, 4]


def test_half_a_surrogate_pair_is_one_unknown_character(tokenizer: Tokenizer) -> None:
    assert tokenizer.pieces("我\ud83d爱").input_ids.tolist() == tokenizer.pieces("我\ufffd爱").input_ids.tolist()
    assert tokenizer.encode("我\ud83d", "\udc00爱").offsets[-2].tolist() == [1, 2]


def test_what_is_no_text_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(TypeError):
        tokenizer._run([None], special=True)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 90))
def test_longest_first_takes_from_the_longer(first: int, second: int, budget: int) -> None:
    kept = longest_first(first, second, budget)
    assert sum(kept) == min(budget, first + second)
    assert kept[0] <= first
    assert kept[1] <= second
    if kept[0] < first:  # one token more or less is a matter of rounding
        assert kept[0] >= kept[1] - 1
    if kept[1] < second:
        assert kept[1] >= kept[0] - 1


@given(st.text(alphabet="我爱北京e ", max_size=30), st.none() | st.text(alphabet="我爱北京e ", max_size=30), st.integers(3, 40))
def test_truncated_is_what_was_cut(tokenizer: Tokenizer, text: str, text_pair: str | None, length: int) -> None:
    whole, cut = tokenizer.encode(text, text_pair), tokenizer.encode(text, text_pair, max_length=length)
    assert len(cut.input_ids) == min(length, len(whole.input_ids))
    assert cut.truncated == len(whole.input_ids) - len(cut.input_ids)
    assert [token for token in cut.tokens if token in SPECIAL[2:4]] == [token for token in whole.tokens if token in SPECIAL[2:4]]
    assert len(cut.tokens) == len(cut.input_ids) == len(cut.token_type_ids) == len(cut.offsets)


def test_a_length_without_room_is_refused(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("我爱", max_length=2).tokens == ["[CLS]", "[SEP]"]
    with pytest.raises(RecipeError, match="max_length is 2; the special tokens alone are 3"):
        tokenizer.encode("我", "爱", max_length=2)


def test_a_hundred_thousand_tokens_are_cut_quickly(tokenizer: Tokenizer) -> None:
    start = time.process_time()
    encoding = tokenizer.encode("我爱北京" * 25_000, "我" * 1000, max_length=512)
    assert time.process_time() - start < 10
    assert (len(encoding.input_ids), encoding.truncated) == (512, 101_003 - 512)
    assert np.bincount(encoding.token_type_ids).tolist() == [2 + 255, 1 + 254] or np.bincount(encoding.token_type_ids).tolist() == [2 + 254, 1 + 255]


def test_threads_may_ask_for_different_lengths(tokenizer: Tokenizer) -> None:
    lengths = [3, 7, 11, 19] * 25
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda length: len(tokenizer.encode("我爱北京" * 10, max_length=length).input_ids), lengths))
    assert got == lengths


def test_pickled_for_a_worker(tokenizer: Tokenizer) -> None:
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again.encode("我爱", "berts").input_ids.tolist() == tokenizer.encode("我爱", "berts").input_ids.tolist()


def write(folder: Path, **files: object) -> Path:
    """Files by name ('__' for the dot): text, bytes, or what is to be JSON."""
    for name, content in files.items():
        file = folder / name.replace("__", ".")
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder


VOCABULARY = "\n".join(WORDS) + "\n"


def test_windows_lines_and_a_byte_order_mark_do_not_move_ids(tmp_path: Path) -> None:
    write(tmp_path, vocab__txt=b"\xef\xbb\xbf" + VOCABULARY.replace("\n", "\r\n").encode())
    assert Tokenizer.from_folder(tmp_path).encode("我爱berts").input_ids.tolist() == [2, 5, 6, 9, 10, 3]


def test_tokens_that_look_like_line_ends_keep_their_line(tmp_path: Path) -> None:
    write(tmp_path, vocab__txt="\n".join([*SPECIAL, "\u2028", "\x85", "", "我"]))
    assert Tokenizer.from_folder(tmp_path).id("我") == 8


def test_settings_of_a_wrong_type_are_all_named(tmp_path: Path) -> None:
    wrong = {"do_lower_case": "yes", "unk_token": 5, "mask_token": {"lstrip": True}, "additional_special_tokens": [7]}
    write(tmp_path, vocab__txt="\n".join(SPECIAL), tokenizer_config__json={**wrong, "cls_token": None, "add_bos_token": False})
    with pytest.raises(CheckpointError, match="cannot be used; mend them") as caught:
        Tokenizer.from_folder(tmp_path)
    assert [problem.split()[0] for problem in caught.value.problems] == list(wrong)
    write(tmp_path, vocab__txt="\n".join(SPECIAL), tokenizer_config__json={"added_tokens_decoder": {"five": "x"}})
    with pytest.raises(CheckpointError, match=r"added_tokens_decoder is \{'five': 'x'\}"):
        Tokenizer.from_folder(tmp_path)
    write(tmp_path, vocab__txt="\n".join(SPECIAL), tokenizer_config__json={}, added_tokens__json={"<a>": "5"})
    with pytest.raises(CheckpointError, match=r"added_tokens\.json is not a vocabulary"):
        Tokenizer.from_folder(tmp_path)


def test_a_token_listed_twice_has_its_last_line(tmp_path: Path) -> None:
    write(tmp_path, vocab__txt="\n".join([*SPECIAL, "我", "爱", "我"]), config__json={"model_type": "bert"})
    tokenizer = Tokenizer.from_folder(tmp_path)
    assert tokenizer.encode("我爱").input_ids.tolist() == BertTokenizer.from_pretrained(tmp_path)("我爱")["input_ids"] == [2, 7, 6, 3]
    assert tokenizer.vocabulary_size == 8
    assert (tokenizer.token(5), tokenizer.token(7)) == ("", "我")
    tokenizer.save(tmp_path / "saved")
    assert Tokenizer.from_folder(tmp_path / "saved").encode("我爱").input_ids.tolist() == [2, 7, 6, 3]


def test_other_names_of_special_tokens(tmp_path: Path) -> None:
    tokens = ["<pad>", "<unk>", "<s>", "</s>", "<mask>", "我"]
    names = {"cls_token": "<s>", "sep_token": {"content": "</s>", "lstrip": False}, "unk_token": "<unk>"}
    write(tmp_path, vocab__txt="\n".join(tokens), special_tokens_map__json=names, config__json={"model_type": "bert"})
    tokenizer = Tokenizer.from_folder(tmp_path)
    assert tokenizer.encode("我<mask>鬼").tokens == ["<s>", "我", "<mask>", "<unk>", "</s>"]
    tokenizer.save(tmp_path / "saved")
    write(tmp_path / "saved", config__json={"model_type": "bert"})
    assert AutoTokenizer.from_pretrained(tmp_path / "saved")("我<mask>鬼")["input_ids"] == [2, 5, 4, 1, 3]


@pytest.mark.parametrize(
    "files",
    [
        {"added_tokens__json": {"[Q]": 12, "新词": 13}},
        {"tokenizer_config__json": {"added_tokens_decoder": {"13": {"content": "新词"}, "12": {"content": "[Q]", "special": True}}}},
        {"tokenizer_config__json": {"additional_special_tokens": ["[Q]"]}, "added_tokens__json": {"[Q]": 12, "新词": 13}},
    ],
)
def test_added_tokens(tmp_path: Path, files: dict[str, object]) -> None:
    write(tmp_path, vocab__txt=VOCABULARY, config__json={"model_type": "bert"}, **files)
    tokenizer = Tokenizer.from_folder(tmp_path)
    expected = BertTokenizer.from_pretrained(tmp_path)("我[Q]新词爱")["input_ids"]
    assert tokenizer.encode("我[Q]新词爱").input_ids.tolist() == expected == [2, 5, 12, 13, 6, 3]
    assert tokenizer.vocabulary_size == 14
    tokenizer.save(tmp_path / "saved")
    write(tmp_path / "saved", config__json={"model_type": "bert"})
    assert Tokenizer.from_folder(tmp_path / "saved").encode("我[Q]新词爱").input_ids.tolist() == expected
    assert AutoTokenizer.from_pretrained(tmp_path / "saved")("我[Q]新词爱")["input_ids"] == expected


def test_added_tokens_that_do_not_fit(tmp_path: Path) -> None:
    write(tmp_path, vocab__txt=VOCABULARY, added_tokens__json={"[Q]": 40, "[R]": 41})
    with pytest.raises(CheckpointError, match=r"added tokens(.|\n)*'\[Q\]' is listed as 40 and would get 12(.|\n)*'\[R\]'"):
        Tokenizer.from_folder(tmp_path)


def test_padding_and_truncation_in_the_file_are_not_applied(tmp_path: Path) -> None:
    Tokenizer.from_tokens(WORDS).save(tmp_path)
    backend = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    backend.enable_truncation(4)
    backend.enable_padding(length=16)
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.from_folder(tmp_path)
    assert [len(encoding.input_ids) for encoding in tokenizer.encode_many(["我爱北京", "我"])] == [6, 3]


def test_the_settings_overrule_the_pipeline_as_in_transformers(tmp_path: Path) -> None:
    Tokenizer.from_tokens(WORDS, lowercase=True).save(tmp_path)
    write(tmp_path, tokenizer_config__json={"tokenizer_class": "BertTokenizer", "do_lower_case": False}, config__json={"model_type": "bert"})
    expected = AutoTokenizer.from_pretrained(tmp_path)("BERT bert")["input_ids"]
    assert Tokenizer.from_folder(tmp_path).encode("BERT bert").input_ids.tolist() == expected == [2, 1, 9, 3]
    write(tmp_path, tokenizer_config__json={"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": False})
    assert Tokenizer.from_folder(tmp_path).encode("BERT").input_ids.tolist() == [2, 9, 3]


def test_the_recommended_length_is_kept(tmp_path: Path) -> None:
    write(tmp_path, vocab__txt=VOCABULARY, tokenizer_config__json={"model_max_length": 512})
    Tokenizer.from_folder(tmp_path).save(tmp_path / "saved")
    write(tmp_path / "saved", config__json={"model_type": "bert"})
    assert AutoTokenizer.from_pretrained(tmp_path / "saved").model_max_length == 512


def unigram_folder(folder: Path, lines: list[str]) -> XLMRobertaTokenizer:
    """An XLM-R tokenizer over a small vocabulary, written by transformers."""
    backend = tokenizers.Tokenizer(tokenizers.models.Unigram())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    backend.train_from_iterator(
        lines, tokenizers.trainers.UnigramTrainer(vocab_size=2000, special_tokens=special, unk_token="<unk>", show_progress=False)
    )
    vocabulary = [(token, score) for token, score in json.loads(backend.to_str())["model"]["vocab"]]
    theirs = XLMRobertaTokenizer(vocab=[*vocabulary, ("<mask>", 0.0)])
    theirs.save_pretrained(folder)
    write(folder, config__json={"model_type": "xlm-roberta"})
    return theirs


def test_xlm_roberta(shared_data: Path, tmp_path: Path) -> None:
    lines = (shared_data / "corpora/cluecorpussmall_sample.txt").read_text(encoding="utf-8").split("\n")[:500]
    lines += (shared_data / "sst2/dev.txt").read_text(encoding="utf-8").split("\n")[:500]
    theirs, texts = unigram_folder(tmp_path, lines), [*lines[::25], "", " ", "a  b", "用 Python😀"]
    ours = Tokenizer.from_folder(tmp_path)
    ours.save(tmp_path / "saved")
    write(tmp_path / "saved", config__json={"model_type": "xlm-roberta"})
    opened = AutoTokenizer.from_pretrained(tmp_path / "saved")
    for tokenizer in (ours, Tokenizer.from_folder(tmp_path / "saved")):
        for length in (None, 40):
            got = tokenizer.encode_many(texts, texts[::-1], max_length=length)
            for oracle in (theirs, opened):
                expected = oracle(texts, texts[::-1], truncation="longest_first" if length else False, max_length=length, return_offsets_mapping=True)
                assert [row.input_ids.tolist() for row in got] == expected["input_ids"]
                assert [[tuple(span) for span in row.offsets.tolist()] for row in got] == expected["offset_mapping"]
                assert "token_type_ids" not in expected
    assert not any(row.token_type_ids.any() for row in ours.encode_many(texts, texts))
    assert (ours.cls_id, ours.pad_id, ours.sep_id, ours.unknown_id, ours.mask_id) == (0, 1, 2, 3, theirs.mask_token_id)


def test_a_pipeline_that_is_not_quite_berts_is_saved_as_it_is(tmp_path: Path) -> None:
    Tokenizer.from_tokens(WORDS).save(tmp_path)
    parts = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    parts["model"]["max_input_chars_per_word"] = 3
    write(tmp_path, tokenizer__json=parts)
    tokenizer = Tokenizer.from_folder(tmp_path)
    tokenizer.save(tmp_path / "saved")
    write(tmp_path / "saved", config__json={"model_type": "bert"})
    opened = AutoTokenizer.from_pretrained(tmp_path / "saved")("我 bert", "我")
    encoding = tokenizer.encode("我 bert", "我")
    assert (encoding.input_ids.tolist(), encoding.token_type_ids.tolist()) == (opened["input_ids"], opened["token_type_ids"])
    assert encoding.tokens == ["[CLS]", "我", "[UNK]", "[SEP]", "我", "[SEP]"]


def test_a_byte_level_mask_takes_its_space_along(tmp_path: Path) -> None:
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "Ġ", "a", "Ġa"]
    write(
        tmp_path,
        vocab__json={token: number for number, token in enumerate(tokens)},
        merges__txt="#version: 0.2\nĠ a\n",
        config__json={"model_type": "roberta"},
    )
    tokenizer = Tokenizer.from_folder(tmp_path)
    assert tokenizer.encode("a a <mask>").tokens == ["<s>", "a", "Ġa", "<mask>", "</s>"]
    tokenizer.save(tmp_path / "saved")
    write(tmp_path / "saved", config__json={"model_type": "roberta"})
    assert AutoTokenizer.from_pretrained(tmp_path / "saved")("a a <mask>")["input_ids"] == [0, 6, 7, 4, 2]


PIECES = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3), ("▁", -1.5, 1), ("北", -2.0, 1)]
BROKEN: dict[str, tuple[dict[str, object], str]] = {
    "nothing": ({}, "has no tokenizer: tokenizer.json, or vocab.txt, or vocab.json with merges.txt"),
    "no merges": ({"vocab__json": {}}, "it has vocab.json, not the other"),
    "no vocabulary": ({"merges__txt": ""}, "it has merges.txt, not the other"),
    "sentencepiece": ({"spiece__model": b"\x00"}, "spiece.model is not a SentencePiece model .*fetch it again"),
    "cut off": ({"tokenizer__json": '{"version": "1.0", "mod'}, "tokenizer.json is not a tokenizer .*cut off"),
    "not a tokenizer": ({"tokenizer__json": {"a": 1}}, "tokenizer.json is not a tokenizer"),
    "deep": ({"vocab__txt": VOCABULARY, "tokenizer_config__json": "[" * 100_000}, "tokenizer_config.json is not JSON"),
    "not utf-8": ({"vocab__txt": "我".encode("gb18030")}, r"vocab.txt is not UTF-8 text \(byte 0\)"),
    "empty": ({"vocab__txt": ""}, "vocab.txt is empty"),
    "settings cut off": ({"vocab__txt": VOCABULARY, "tokenizer_config__json": "{"}, "tokenizer_config.json is not JSON"),
    "settings a list": ({"vocab__txt": VOCABULARY, "tokenizer_config__json": []}, "holds a JSON list, an object is needed"),
    "roles": ({"vocab__txt": "[UNK]\n[CLS]\n[PAD]"}, r"lacks tokens that are needed(.|\n)*sep_token: \[SEP\] or </s>(.|\n)*mask_token"),
    "named role": ({"vocab__txt": VOCABULARY, "tokenizer_config__json": {"cls_token": "[X]"}}, r"cls_token: \[X\]"),
    "merges of another": ({"vocab__json": {"a": 0}, "merges__txt": "b c"}, "vocab.json and merges.txt .* do not belong together"),
    "merges with one side": ({"vocab__json": {"a": 0}, "merges__txt": "b"}, "do not belong together"),
    "ids that are no numbers": ({"vocab__json": {"a": "0"}, "merges__txt": ""}, r"vocab.json is not a vocabulary(.|\n)*'a': '0'"),
    "no ids": ({"vocab__json": {}, "merges__txt": ""}, "vocab.json is not a vocabulary: it has no token"),
    "merges cut off": ({"vocab__json": {"a": 0, "b": 1, "ab": 2, "abab": 3}, "merges__txt": "a b\n"}, "nothing is merged to 1 of 4 tokens, .*'abab'"),
    "a vocabulary under the name of merges": ({"vocab__json": {"a": 0, "ab": 1}, "merges__txt": "a\nab\n"}, "do not belong together"),
    "a Git LFS pointer": ({"vocab__txt": "version https://git-lfs.github.com/spec/v1\noid sha256:1"}, "vocab.txt is a pointer of Git LFS"),
    "another class": ({"vocab__txt": VOCABULARY, "tokenizer_config__json": {"tokenizer_class": "BertJapaneseTokenizer"}},
        "vocab.txt of .* and the tokenizer_class BertJapaneseTokenizer is not one; name one of these"),
    "another family's model": ({"spiece__model": handmade(PIECES), "config__json": {"model_type": "t5"}},
        "spiece.model of .* and the model_type t5 is not one.*AlbertTokenizer, PegasusTokenizer, XLMRobertaTokenizer"),
    "nothing says whose model": ({"tokenizer__model": handmade(PIECES)}, "tokenizer.model of .* and nothing says which"),
    "ALBERT's model is of another family": ({"spiece__model": handmade(PIECES)}, r"lacks tokens that are needed(.|\n)*sep_token: \[SEP\]"),
    "PEGASUS' model is of another family": ({"spiece__model": handmade(PIECES), "config__json": {"model_type": "pegasus"}},
        "spiece.model: PEGASUS's SentencePiece models begin with <pad> </s> <unk>, this one with <unk> <s> </s>"),
    "a text under the name of a model": ({"sentencepiece__bpe__model": "我爱北京\n" * 50}, "sentencepiece.bpe.model is not a SentencePiece model"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_folders(name: str, tmp_path: Path) -> None:
    files, message = BROKEN[name]
    with pytest.raises(CheckpointError, match=message) as caught:
        Tokenizer.from_folder(write(tmp_path, **files))
    assert str(tmp_path) in str(caught.value)


def test_missing_folder_and_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no folder .*nowhere"):
        Tokenizer.from_folder(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"cannot read .*nowhere.txt: No such file"):
        Tokenizer.from_vocabulary(tmp_path / "nowhere.txt")


def test_huge_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LARGEST_FILE", 10)
    with pytest.raises(CheckpointError, match=r"vocab.txt has \d+ bytes, a vocabulary at most 10"):
        Tokenizer.from_folder(write(tmp_path, vocab__txt=VOCABULARY))


def test_a_folder_that_cannot_be_written(tmp_path: Path, tokenizer: Tokenizer) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot write the tokenizer to"):
        tokenizer.save(tmp_path / "file")


@pytest.mark.parametrize("lowercase", [True, False])
def test_case_of_a_vocabulary_file(tmp_path: Path, lowercase: bool, request: pytest.FixtureRequest) -> None:
    build: Callable[..., Tokenizer] = Tokenizer.from_vocabulary
    tokenizer = build(write(tmp_path, vocab__txt=VOCABULARY) / "vocab.txt", lowercase=lowercase)
    assert tokenizer.pieces("BERT").input_ids.tolist() == ([9] if lowercase else [1])
