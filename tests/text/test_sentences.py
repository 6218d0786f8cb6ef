"""Sentences add up to the text and end where a reader would end them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.text.sentences import split_sentences

CASES = {
    "chinese marks": ["今天好！", "明天呢？", "不知道；", "算了。"],
    "curly quotes": ["他说：“走吧。”", "她没有走。"],
    "traditional quotes": ["他說：「走吧！」", "她沒有走。"],
    "nested quotes": ["他说：“她说‘好。’”", "完了。"],
    "brackets": ["他走了（真的。）", "她没有。"],
    "straight quotes that close": ['他说："走吧。"', "她没有走。"],
    "straight quotes that open": ["他走了。", '"真的？"', "她问。"],
    "straight quotes around two sentences": ['他说："走吧。', '快点。"', "她没有走。"],
    "a straight quote too many": ['屏幕15"。\n', '他说："走吧。"', "好。"],
    "ellipsis": ["他走了……", "她没有。"],
    "marks in a row": ["什么？！", "真的！！！", "好。"],
    "half-width marks in chinese": ["不错.", "下次再来!", "好吗?", "好"],
    "numbers in chinese": ["价格是3.5元。", "1.接电源 2.按钮"],
    "lines": ["第一行\n", "第二行\r\n\n", "第三行"],
    "a line after a full stop": ["Done.\n", "and more"],
    "english": ["It works. ", "Does it? ", "Yes! ", "Good."],
    "titles": ["Dr. Li met Mr. Smith. ", "They left."],
    "initials": ["J. K. Rowling wrote it. ", "So did I. ", "And you."],
    "decimals": ["It cost $3.50. ", "Version 2.0 is out."],
    "abbreviations": ["Fruit, e.g. apples, is good. ", "The U.S. Senate met."],
    "seldom last": ["Apples etc. are fruit. ", "We sell apples etc. ", "They do not."],
    "number or no": ["See No. 5 and Fig. 3. ", "No. ", "It is not."],
    "addresses": ["www.example.com is up. ", "Really."],
    "speech goes on": ['"Why?" he asked. ', "Nobody knew."],
    "speech ends": ['He said "Stop!" ', "Then he left."],
    "english ellipsis goes on": ["Well... maybe. ", "Or not."],
    "tokenised lower case": ["a good film . ", "is it ? ", "it is"],
    "both languages": ["我用 Python 3.11. ", "很好。", "Is it? ", "是的！"],
    "no end": ["没有句号"],
    "only marks": ["。。。"],
    "blank": ["   "],
    "empty": [],
}


@pytest.mark.parametrize("name", CASES)
def test_sentences(name: str) -> None:
    assert split_sentences("".join(CASES[name])) == CASES[name]


@given(st.text(alphabet="中a A1.。!！?？…；\n\r\t\"'“”」)） ") | st.text())
def test_pieces_add_up_and_are_not_empty(text: str) -> None:
    pieces = split_sentences(text)
    assert "".join(pieces) == text
    assert all(pieces)


@given(st.text(alphabet="中文ab ", min_size=1, max_size=5).filter(str.strip), st.sampled_from("。！？；"))
def test_chinese_marks_always_end_a_sentence(word: str, mark: str) -> None:
    first = word.strip() + mark
    assert split_sentences(first + "后" + mark)[0] == first


def test_long_texts_take_linear_time() -> None:
    assert len(split_sentences("很好。" * 20_000)) == 20_000
    assert len(split_sentences("a. " * 5_000)) == 5_000
    assert len(split_sentences('"' * 300_000 + "。" + " " * 300_000 + "a" * 300_000)) == 2
