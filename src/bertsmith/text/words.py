"""Where words begin, for masking whole words and for anything else that must not cut one in two.

WordPiece makes a token of every Chinese character; the words come from a segmenter. Boundaries are found on the characters of the original text, then
looked up for every token by its offset, so that nothing depends on how a tokenizer writes its pieces::

    text         用Python3.11编程，真好
    words        用 Python3 . 11 编程 ， 真好
    tokens       用 python ##3 . 11 编 程 ， 真 好
    starts       1  1      0   1 1  1  0  1  1  0

- White space ends a word. A punctuation mark, a symbol or an emoji is a word of its own.
- A run of letters and digits of any script, with its combining marks, is one word; where Han characters meet others, a word ends.
- Inside a run of Han characters the segmenter decides. It sees one run at a time: what stands around a run moves 1 boundary in 5,000 with jieba, and
  runs hold no space that a segmenter could lose. If its words do not add up to the run, the characters of that run are the words.
- A token starts a word if a boundary lies at its first visible character and the token before it does not stand there as well: byte-level tokenizers
  make several tokens of one character. White space on its own goes with the word after it.
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib import resources
from itertools import accumulate, pairwise

import numpy as np
from jaxtyping import Bool, Int, UInt8

from bertsmith.core.registry import Registry

Segmenter = Callable[[str], Sequence[str]]
"""Cuts a run of Han characters into words that add up to it."""

segmenters: Registry[Segmenter] = Registry("segmenter", "bertsmith.text")

SPACE, LETTER, HAN, SYMBOL, EXTENDING = range(5)
KIND_OF_CATEGORY: Mapping[str, int] = {
    **dict.fromkeys(("Lu", "Ll", "Lt", "Lm", "Lo", "Nd", "Nl", "No"), LETTER),
    **dict.fromkeys(("Mn", "Mc", "Me", "Cc", "Cf"), EXTENDING),
}
HAN_RANGES = (
    (0x3005, 0x3006),
    (0x3007, 0x3008),
    (0x3021, 0x302A),
    (0x3038, 0x303C),
    (0x3400, 0x4DC0),
    (0x4E00, 0xA000),
    (0xF900, 0xFB00),
    (0x20000, 0x40000),
)
SKIN_TONES = (0x1F3FB, 0x1F400)
TAGS_AND_SELECTORS = (0xE0000, 0xE0200)
ZERO_WIDTH_JOINER = 0x200D


@segmenters.register("jieba")
def jieba(run: str) -> list[str]:
    """Words of jieba's dictionary and of its model for unknown words. Traditional Chinese is looked up by its simplified characters.

    Example:
        >>> jieba("自然语言处理"), jieba("梵語的學術研究")
        (['自然语言', '处理'], ['梵語', '的', '學術研究'])
    """
    import rjieba

    words = rjieba.cut(run.translate(_simplified_forms()))
    ends = list(accumulate(map(len, words)))
    return [run[end - len(word) : end] for end, word in zip(ends, words, strict=True)]


@segmenters.register("spaces")
def spaces(run: str) -> list[str]:
    """For text that was segmented beforehand, with spaces between words: what stands between two spaces is not cut further.

    Example:
        >>> spaces("自然语言处理")
        ['自然语言处理']
    """
    return [run]


@segmenters.register("characters")
def characters(run: str) -> list[str]:
    """Every character is a word.

    Example:
        >>> characters("处理")
        ['处', '理']
    """
    return list(run)


def word_starts(text: str, offsets: Int[np.ndarray, "tokens 2"], segmenter: Segmenter) -> Bool[np.ndarray, " tokens"]:
    """Which tokens begin a word.

    Args:
        text: The original text.
        offsets: Where each token stands in it, in characters, in order: those of `Tokenizer.pieces(text)`, or a slice of them.
        segmenter: Cuts runs of Han characters: `segmenters["jieba"]` or any function from a run to its words.

    Returns:
        True where a token begins a new word. The first token of a whole text always does.

    Example:
        >>> offsets = np.array([[0, 1], [1, 7], [7, 8], [8, 9], [9, 10]])
        >>> word_starts("用Python编程！", offsets, segmenters["jieba"]).astype(int).tolist()
        [1, 1, 1, 0, 1]
    """
    kinds, extending, joined = _kinds(text)
    boundaries = _boundaries(text, kinds, segmenter) & ~extending & ~joined
    boundaries = np.append(boundaries, True)  # white space at the end is a word of its own
    places = np.append(np.where(kinds == SPACE, len(kinds), np.arange(len(kinds))), len(kinds))
    visible = np.minimum.accumulate(places[::-1])[::-1][offsets[:, 0]]
    starts = boundaries[visible]
    starts[1:] &= visible[1:] != visible[:-1]
    return starts


def split_words(text: str, segmenter: Segmenter) -> list[str]:
    """The words of a text, punctuation marks included, white space not.

    Args:
        text: Any text.
        segmenter: Cuts runs of Han characters, as for `word_starts`.

    Example:
        >>> split_words("用 Python3.11 编程！", segmenters["jieba"])
        ['用', 'Python3', '.', '11', '编程', '！']
    """
    offsets = np.arange(len(text))[:, None] + [0, 1]
    starts = np.flatnonzero(word_starts(text, offsets, segmenter)).tolist()
    pieces = (text[start:end].strip() for start, end in pairwise([*starts, len(text)]))
    return [piece for piece in pieces if piece]


def _kinds(text: str) -> tuple[UInt8[np.ndarray, " length"], Bool[np.ndarray, " length"], Bool[np.ndarray, " length"]]:
    """The kind of every character, that of its base for one which extends another; which extend; which are joined to what stands before them."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    kinds = _kind_of_code()[codes]
    extending = kinds == EXTENDING
    bases = np.maximum.accumulate(np.where(extending, 0, np.arange(len(codes))))
    kinds = kinds[bases]
    kinds[kinds == EXTENDING] = SPACE  # there is nothing before them to extend
    joined = np.zeros(len(codes), dtype=bool)
    joined[1:] = (codes[:-1] == ZERO_WIDTH_JOINER) & (kinds[:-1] != SPACE)
    return kinds, extending, joined


def _boundaries(text: str, kinds: UInt8[np.ndarray, " length"], segmenter: Segmenter) -> Bool[np.ndarray, " length"]:
    """At which characters a word begins."""
    before = np.concatenate([[SPACE], kinds[:-1]])[: len(kinds)]
    boundaries = (kinds != SPACE) & ((kinds != before) | (kinds == SYMBOL))
    han = np.concatenate([[False], kinds == HAN, [False]])
    edges = np.flatnonzero(han[1:] != han[:-1]).tolist()
    found: list[int] = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if end - start > 1:
            found += _words(text[start:end], start, segmenter)
    boundaries[found] = True
    return boundaries


def _words(run: str, start: int, segmenter: Segmenter) -> list[int]:
    """Where the words of a run begin; a superfluous place at its end is left out."""
    words = segmenter(run)
    if "".join(words) != run:
        return list(range(start, start + len(run)))
    return list(accumulate(map(len, words[:-1]), initial=start))


@lru_cache(maxsize=1)
def _simplified_forms() -> dict[int, str]:
    lines = resources.files("bertsmith.text").joinpath("traditional.txt").read_text(encoding="utf-8").splitlines()
    traditional, simplified = (line for line in lines if not line.startswith("#"))
    return {ord(character): form for character, form in zip(traditional, simplified, strict=True)}


@lru_cache(maxsize=1)
def _kind_of_code() -> UInt8[np.ndarray, " codes"]:
    """The kind of every code point, `(0x110000,)`."""
    kinds = np.full(0x110000, SYMBOL, dtype=np.uint8)
    characters = [chr(code) for code in range(0x20000)]
    kinds[: len(characters)] = [KIND_OF_CATEGORY.get(unicodedata.category(character), SYMBOL) for character in characters]
    kinds[[code for code, character in enumerate(characters) if character.isspace()]] = SPACE
    for start, end in HAN_RANGES:
        kinds[start:end] = HAN
    kinds[slice(*SKIN_TONES)] = EXTENDING
    kinds[slice(*TAGS_AND_SELECTORS)] = EXTENDING
    return kinds
