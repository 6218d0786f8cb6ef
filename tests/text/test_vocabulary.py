"""A trained vocabulary: its order, what is in it, that it is the same every time, and that it writes text."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.core.errors import RecipeError
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, train_vocabulary

TEXTS = ["自然语言处理 natural language processing", "語言模型 language models, 語言", "自然 Natural processes", "the languages of nature 自然"] * 3


def test_order_and_content() -> None:
    vocabulary = train_vocabulary(TEXTS, 120)
    assert tuple(vocabulary[:5]) == SPECIAL_TOKENS == ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    assert len(set(vocabulary)) == len(vocabulary) <= 120
    assert {"自", "语", "語", "模", ",", "n", "##n", "language"} <= set(vocabulary)
    characters = [token for token in vocabulary[5:] if len(token) == 1]
    assert vocabulary[5 : 5 + len(characters)] == sorted(characters)


def test_chinese_characters_have_no_continuing_form() -> None:
    assert not [token for token in train_vocabulary(TEXTS, 1000) if token.startswith("##") and token[2] >= "一"]


def test_size_is_the_total() -> None:
    assert len(train_vocabulary(TEXTS, 70)) == 70


def test_rare_characters_are_left_out() -> None:
    texts = ["龘 常 常", "q常 常常 zz"]
    assert "龘" not in train_vocabulary(texts, 100)
    assert "龘" in train_vocabulary(texts, 100, min_count=1)
    assert {"z", "##z"} <= set(train_vocabulary(texts, 100))
    assert "q" not in train_vocabulary(texts, 100)


def test_case() -> None:
    assert "n" in train_vocabulary(["Nn Nn"], 100)
    assert "N" not in train_vocabulary(["Nn Nn"], 100)
    assert {"N", "##n", "Nn"} <= set(train_vocabulary(["Nn Nn"], 100, lowercase=False))
    assert "e" in train_vocabulary(["é é"], 100)


def test_too_small_says_what_is_needed() -> None:
    needed = len(train_vocabulary(TEXTS, 1000, min_count=3)) - len(
        [token for token in train_vocabulary(TEXTS, 1000, min_count=3) if len(token.removeprefix("##")) > 1]
    )
    with pytest.raises(RecipeError, match=rf"vocabulary of 20 .* {needed + len(SPECIAL_TOKENS)} characters .* min_count \(now 3\)"):
        train_vocabulary(TEXTS, 20, min_count=3)


@pytest.mark.parametrize("texts", [[], [""], ["   "]])
def test_no_text_gives_the_special_tokens(texts: list[str]) -> None:
    assert train_vocabulary(texts, 10) == list(SPECIAL_TOKENS)


def test_odd_texts_are_read() -> None:
    assert "字" in train_vocabulary(["字\ud800字", "\x00", "x" * 10_000, "😀😀"], 100)


def test_the_order_of_texts_and_the_process_do_not_matter(tmp_path: Path) -> None:
    english = [" ".join(words) for words in itertools.permutations("banana bandana cabana canal balance abandon".split(), 3)]
    expected = train_vocabulary(english, 80)
    assert train_vocabulary(iter(english[::-1]), 80) == expected
    (tmp_path / "texts.txt").write_text("\n".join(english))
    program = "import sys; from bertsmith.text.vocabulary import train_vocabulary; print(*train_vocabulary(open(sys.argv[1]), 80))"
    for seed in ("1", "2"):
        command = [sys.executable, "-c", program, str(tmp_path / "texts.txt")]
        printed = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
        assert printed.stdout.split() == expected


@given(st.lists(st.text(alphabet="abcd自然语 ,é", max_size=30), max_size=5))
def test_what_was_seen_often_enough_can_be_written(texts: list[str]) -> None:
    tokenizer = Tokenizer.from_tokens(train_vocabulary(texts, 1000, min_count=1))
    for pieces in tokenizer.pieces_many(texts):
        assert tokenizer.unknown_id not in pieces.input_ids


def test_real_text(shared_data: Path) -> None:
    lines = (shared_data / "corpora/cluecorpussmall_sample.txt").read_text(encoding="utf-8").split("\n")[:3000]
    vocabulary = train_vocabulary(lines, 4000)
    tokenizer = Tokenizer.from_tokens(vocabulary)
    pieces = tokenizer.pieces_many(lines)
    unknown = sum(int((row.input_ids == tokenizer.unknown_id).sum()) for row in pieces)
    assert len(vocabulary) > 2500
    assert 0 < unknown < 0.01 * sum(len(row.input_ids) for row in pieces)
