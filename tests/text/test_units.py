"""What can be tagged, and which piece stands for it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.units import joined, marks_of, words

TOKENIZER = Tokenizer.from_tokens(
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"我爱北京的abc0123,.", *(f"##{letter}" for letter in "abc0123"), "new", "york", "windows"]
)


def of_text(text: str) -> list[str]:
    return [text[start:end] for start, end in words(text)]


class TestTokensToText:
    @pytest.mark.parametrize(
        ("tokens", "text"),
        [
            (["New", "York", "."], "New York ."),
            (["我", "爱", "北", "京"], "我爱北京"),
            (["用", "GPU", "的", "3", "D"], "用GPU的3 D"),
            (["１", "９", "年", "，", "“", "好"], "１ ９年，“好"),
            (["カ", "メ", "ラ", "OK"], "カメラOK"),
            (["A", "", "B"], "A  B"),
            ([], ""),
        ],
    )
    def test_a_space_stands_between_what_is_not_chinese_or_japanese(self, tokens: list[str], text: str):
        assert joined(tokens)[0] == text

    @given(st.lists(st.text(min_size=1, max_size=4) | st.text(alphabet="我，カaB１ ", min_size=1, max_size=3), max_size=12))
    def test_every_token_is_found_where_it_is_said_to_stand(self, tokens: list[str]):
        text, units = joined(tokens)
        assert [text[start:end] for start, end in units] == tokens


class TestWordsOfAText:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("I love  New York!", ["I", "love", "New", "York", "!"]),
            ("我爱北京 ", ["我", "爱", "北", "京"]),
            ("用Windows11的人", ["用", "Windows11", "的", "人"]),
            ("東京タワーへ行くABCは", ["東", "京", "タ", "ワ", "ー", "へ", "行", "く", "ABC", "は"]),
            ("don't", ["don", "'", "t"]),
            ("café\u0301 👩🏽", ["café\u0301", "👩🏽"]),
            ("", []),
            (" \n", []),
        ],
    )
    def test_examples(self, text: str, expected: list[str]):
        assert of_text(text) == expected

    @given(st.text(alphabet="我爱カな゛aB1１é\u0301😀，. \n\u3000\u200bก") | st.text())
    def test_they_are_all_that_is_not_white_space_in_order(self, text: str):
        units = words(text)
        assert "".join("".join(of_text(text)).split()) == "".join(text.split())
        assert (units[:, 0] < units[:, 1]).all()
        assert (units[1:, 0] >= units[:-1, 1]).all()


class TestMarks:
    def marks(self, text: str, units: np.ndarray) -> list[tuple[str, int, int]]:
        pieces = TOKENIZER.pieces(text)
        marks = marks_of(text, units, pieces.offsets)
        tokens = [TOKENIZER.token(number) for number in pieces.input_ids[marks.pieces]]
        return list(zip(tokens, marks.units.tolist(), marks.lasts.tolist(), strict=True))

    def test_the_first_piece_of_a_word_stands_for_it(self):
        text = "我爱windows11 abc的"
        assert self.marks(text, words(text)) == [("我", 0, 0), ("爱", 1, 1), ("windows", 2, 2), ("a", 3, 3), ("的", 4, 4)]

    def test_a_token_without_a_piece_goes_with_the_one_that_has_it(self):
        text, units = joined(["我", "a", "b", "c"])
        assert self.marks(text, units) == [("我", 0, 0), ("a", 1, 1), ("b", 2, 2), ("c", 3, 3)]
        dense = np.array([[0, 1], [1, 2], [2, 3], [3, 4]])
        offsets = np.array([[0, 1], [1, 4]])  # one piece for three tokens, as SentencePiece has for Chinese words
        marks = marks_of("我北京的", dense, offsets)
        assert (marks.pieces.tolist(), marks.units.tolist(), marks.lasts.tolist()) == ([0, 1], [0, 1], [0, 3])

    def test_a_token_that_the_tokenizer_passes_over_is_not_marked(self):
        text, units = joined(["a", "\u0096", "b"])
        assert self.marks(text, units) == [("a", 0, 0), ("b", 2, 2)]

    def test_a_piece_with_the_space_before_a_word_stands_for_the_word(self):
        text, offsets = "ab  cd", np.array([[0, 2], [2, 3], [3, 5], [5, 6]])  # ab, a lone space, " c", d
        marks = marks_of(text, np.array([[0, 2], [4, 6]]), offsets)
        assert (marks.pieces.tolist(), marks.units.tolist()) == ([0, 2], [0, 1])

    def test_nothing_to_mark(self):
        for text, units in (("", np.zeros((0, 2), np.int64)), ("\u0096", np.array([[0, 1]]))):
            assert self.marks(text, units) == []

    def test_unknown_words_are_marked_too(self):
        assert self.marks("zzz 我", words("zzz 我")) == [("[UNK]", 0, 0), ("我", 1, 1)]

    @given(st.lists(st.sampled_from(["我", "北", "new", "york", "abc", "zz", "0", ",", "\u0096"]), max_size=30))
    def test_every_token_that_is_not_passed_over_is_marked_once_and_in_order(self, tokens: list[str]):
        text, units = joined(tokens)
        found = self.marks(text, units)
        assert [number for _, number, _ in found] == [number for number, token in enumerate(tokens) if token != "\u0096"]


@pytest.mark.parametrize("name", ["google_zh_vocab.txt"])
def test_real_sentences_lose_no_token(shared_data: Path, name: str):
    tokenizer = Tokenizer.from_vocabulary(shared_data / "vocab" / name)
    sentences = (shared_data / "peopledaily/dev.txt").read_text(encoding="utf-8").split("\n\n")[:500]
    for sentence in filter(None, sentences):
        tokens = [line.split(" ")[0] for line in sentence.strip().splitlines()]
        text, units = joined(tokens)
        marks = marks_of(text, units, tokenizer.pieces(text).offsets)
        assert marks.units.tolist() == list(range(len(tokens))), text
