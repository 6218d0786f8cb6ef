"""Which tokens begin a word: hand-made cases, an independent second implementation, and what must hold whatever a segmenter returns."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.core.errors import UnknownNameError
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.words import Segmenter, segmenters, split_words, word_starts

MIXED = st.text(alphabet="我爱北京天安门鬼谷子漢語學術々〇𠀀aB1１é\u0301\ufe0f\u200d😀👩🏽，。.,' \n\t\u3000\u200b\x00\ue000カな한ا") | st.text()


def by_characters(text: str) -> np.ndarray:
    """Offsets of a tokenizer that makes a token of every character."""
    places = np.arange(len(text))
    return np.stack([places, places + 1], axis=1).astype(np.int32).reshape(-1, 2)


def words_of(text: str, segmenter: str | Segmenter = "jieba") -> list[str]:
    """`split_words` by the name of a segmenter, or by a function."""
    return split_words(text, segmenters[segmenter] if isinstance(segmenter, str) else segmenter)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("用Python3.11编程", ["用", "Python3", ".", "11", "编程"]),
        ("自然语言处理很有意思。", ["自然语言", "处理", "很", "有意思", "。"]),
        ("2008年3月", ["2008", "年", "3", "月"]),
        ("２００８年１２月", ["２００８", "年", "１２", "月"]),
        ("梵語的學術研究，由德國學者陸特開創", ["梵語", "的", "學術研究", "，", "由", "德國", "學者", "陸特", "開創"]),
        ("café naïve cafe\u0301", ["café", "naïve", "cafe\u0301"]),
        ("don't stop...", ["don", "'", "t", "stop", ".", ".", "."]),
        ("好😀😀吗", ["好", "😀", "😀", "吗"]),
        ("👩🏽‍🔬和👨‍👩‍👧来", ["👩🏽‍🔬", "和", "👨‍👩‍👧", "来"]),
        ("❤️好", ["❤️", "好"]),
        ("漢字カタカナ한국어", ["漢字", "カタカナ한국어"]),
        ("二〇〇八年", ["二", "〇", "〇", "八年"]),
        ("我们 去\u3000北京\n吧", ["我们", "去", "北京", "吧"]),
        ("co\u00adoperate a\u200bb", ["co\u00adoperate", "a\u200bb"]),
        ("a_b-c", ["a", "_", "b", "-", "c"]),
        ("这款T恤衫", ["这", "款", "T", "恤衫"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_segmented_beforehand() -> None:
    assert words_of("我 爱 北京天安门 ，好", "spaces") == ["我", "爱", "北京天安门", "，", "好"]


def test_characters() -> None:
    assert words_of("我爱北京 abc", "characters") == ["我", "爱", "北", "京", "abc"]


def test_unknown_segmenter_names_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="characters, jieba, spaces"):
        _ = segmenters["jeiba"]


def test_empty_text() -> None:
    assert word_starts("", by_characters(""), segmenters["jieba"]).shape == (0,)
    assert word_starts("我们", by_characters(""), segmenters["jieba"]).shape == (0,)


def bert(*tokens: str) -> Tokenizer:
    return Tokenizer.from_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *tokens])


def starts_of(tokenizer: Tokenizer, text: str) -> list[int]:
    return word_starts(text, tokenizer.pieces(text).offsets, segmenters["jieba"]).astype(int).tolist()


def test_wordpiece_pieces_stay_with_their_word() -> None:
    tokenizer = bert("token", "##ize", "##rs", "处", "理", "自", "然")
    assert starts_of(tokenizer, "Tokenizers处理自然") == [1, 0, 0, 1, 0, 1, 0]


def test_unknown_tokens_keep_their_place() -> None:
    tokenizer = bert("处", "的")
    assert starts_of(tokenizer, "处理的😀emoji𠮷") == [1, 0, 1, 1, 1]  # the emoji and the word behind it are one [UNK]


def test_a_piece_across_a_boundary_begins_a_word_only_by_its_first_character() -> None:
    offsets = np.array([[0, 1], [1, 3], [3, 4]], dtype=np.int32)
    assert word_starts("处理自然", offsets, lambda run: ["处理", "自然"]).tolist() == [True, False, False]


def test_white_space_goes_with_the_word_after_it() -> None:
    offsets = np.array([[0, 1], [1, 2], [2, 5], [5, 7], [7, 8], [8, 9]], dtype=np.int32)
    assert word_starts("  abc de\n ", offsets, segmenters["jieba"]).tolist() == [True, False, False, True, False, True]


def test_byte_level_tokens_of_one_character_are_one_word(shared_data: Path, tmp_path: Path) -> None:
    tokens = (shared_data / "vocab/huggingface_gpt2_vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    (tmp_path / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (tmp_path / "merges.txt").write_bytes((shared_data / "vocab/huggingface_gpt2_merges.txt").read_bytes())
    tokenizer = Tokenizer.from_folder(tmp_path)
    text = "Unbelievably good 处理 😀!"
    pieces = tokenizer.pieces(text)
    starts = word_starts(text, pieces.offsets, segmenters["jieba"])
    assert tokenizer.decode(pieces.input_ids[: np.flatnonzero(starts)[1]]) == "Unbelievably"
    assert [text[start] for start in pieces.offsets[starts, 0]] == ["U", "g", "处", "😀", "!"]
    assert len(starts) > 10


@given(MIXED)
def test_whole_texts_begin_with_a_word(text: str) -> None:
    if text:
        assert word_starts(text, by_characters(text), segmenters["jieba"])[0]


def is_han(character: str) -> bool:
    code = ord(character)
    ranges = ((0x3021, 0x3029), (0x3038, 0x303B), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))
    return character in "々〇" or any(low <= code <= high for low, high in ranges)


def kind(character: str) -> str:
    if character.isspace():
        return "space"
    category = unicodedata.category(character)
    if is_han(character):
        return "han"
    if category[0] == "M" or category in {"Cc", "Cf"} or character in "🏻🏼🏽🏾🏿":
        return "extending"
    return "letter" if category[0] in "LN" else "symbol"


def slow_starts(text: str) -> list[bool]:
    """Every Han character a word, one character at a time: the rules once more, without arrays."""
    boundaries, previous, joiner = [], "space", False
    for character in text:
        now = kind(character)
        if now == "extending":
            boundaries.append(False)
            joiner = character == "\u200d" and previous != "space"
            continue
        boundaries.append(now != "space" and not joiner and (now != previous or now in {"han", "symbol"}))
        previous, joiner = now, False
    visible = []
    kept = "space"
    for character in text:
        kept = kept if kind(character) == "extending" else kind(character)
        visible.append(kept != "space")
    firsts = [next((place for place in range(start, len(text)) if visible[place]), len(text)) for start in range(len(text))]
    return [[*boundaries, True][place] and (number == 0 or firsts[number - 1] != place) for number, place in enumerate(firsts)]


@given(MIXED)
def test_equal_to_the_rules_written_once_more(text: str) -> None:
    if any(0x33480 <= ord(character) < 0xE0000 or ord(character) >= 0xE0000 for character in text):
        return  # private and unassigned planes, where the database has nothing to say
    assert word_starts(text, by_characters(text), segmenters["characters"]).tolist() == slow_starts(text)


@given(MIXED, st.lists(st.text(max_size=3), max_size=4))
def test_a_segmenter_that_does_not_add_up_gives_characters(text: str, nonsense: list[str]) -> None:
    got = word_starts(text, by_characters(text), lambda run: [*nonsense, "x"])
    assert np.array_equal(got, word_starts(text, by_characters(text), segmenters["characters"]))


@given(MIXED)
def test_only_han_runs_are_segmented(text: str) -> None:
    seen: list[str] = []

    def record(run: str) -> list[str]:
        seen.append(run)
        return [run]

    word_starts(text, by_characters(text), record)
    assert all(is_han(run[0]) for run in seen)
    assert all(is_han(character) or kind(character) == "extending" for run in seen for character in run)


@given(MIXED)
def test_segmenters_add_up(text: str) -> None:
    for name, segmenter in segmenters.items():
        assert "".join(segmenter(text)) == text, name


@given(st.text(alphabet="我爱北京天安门自然语言处理研究漢語學術", min_size=1))
def test_jieba_never_cuts_where_characters_do_not(text: str) -> None:
    fine = word_starts(text, by_characters(text), segmenters["characters"])
    for name in segmenters:
        assert not np.any(word_starts(text, by_characters(text), segmenters[name]) & ~fine)


def test_traditional_is_cut_like_simplified() -> None:
    assert [len(word) for word in segmenters["jieba"]("蘋果電腦發表會")] == [len(word) for word in segmenters["jieba"]("苹果电脑发表会")]
    assert segmenters["jieba"]("乾隆皇帝") == ["乾隆皇帝"]  # a character that Simplified Chinese keeps is left alone


def test_words_of_real_text_add_up(shared_data: Path) -> None:
    tokenizer = Tokenizer.from_vocabulary(shared_data / "vocab/google_zh_vocab.txt")
    articles = json.loads((shared_data / "drcd/dev.json").read_text(encoding="utf-8"))["data"]
    lines = (shared_data / "corpora/cluecorpussmall_sample.txt").read_text(encoding="utf-8").split("\n")[:400]
    texts = [*(part["context"] for article in articles[:30] for part in article["paragraphs"]), *filter(None, lines)]
    for text, pieces in zip(texts, tokenizer.pieces_many(texts), strict=True):
        starts = word_starts(text, pieces.offsets, segmenters["jieba"])
        assert starts[0]
        assert 0.4 < starts.mean() < 0.95 or len(starts) < 60
        for start in pieces.offsets[starts, 0][[tokenizer.token(number).startswith("##") for number in pieces.input_ids[starts]]]:
            assert not text[start - 1 : start + 1].isalnum(), "a sub-word was cut off between two letters"
