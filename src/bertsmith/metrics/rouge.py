"""ROUGE: what a summary has in common with one that a person wrote (Lin 2004).

`rouge1` and `rouge2` count words and pairs of words, `rougeL` takes the longest sequence of words that both have in the same order, with gaps, and
`rougeLsum` does so sentence by sentence, a sentence being a line. Each has a precision (over what was written), a recall (over the reference) and F1.

For English they are those of the package `rouge-score` without its stemmer, which is NLTK's: who wants it passes a `tokens` that calls it. It
drops every character outside a–z and 0–9, so Chinese scores 0 whatever it says. Here Chinese is measured by the character or by the word, with
Latin words and numbers whole, and without punctuation as in English. Which of the two has to be said beside the number; they are not comparable.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from bertsmith.metrics.texts import References, is_chinese, reference_lists
from bertsmith.text.words import segmenters, split_words

Tokens = Callable[[str], list[str]]
"""Cuts a text into what is counted."""


@dataclass(frozen=True, slots=True)
class RougeScore:
    """One of the four.

    Attributes:
        precision: Share of what was written that is in the reference, in [0, 1]; 0 where nothing was written.
        recall: Share of the reference that was written, in [0, 1]; 0 where it is empty.
        f1: Harmonic mean of the two.
    """

    precision: float
    recall: float
    f1: float


def english_tokens(text: str) -> list[str]:
    """Runs of the letters a–z and of digits, in small letters, as `rouge-score` has them.

    Example:
        >>> english_tokens("It's COVID-19, naïve!")
        ['it', 's', 'covid', '19', 'na', 've']
    """
    return re.findall("[a-z0-9]+", text.lower())


def chinese_characters(text: str) -> list[str]:
    """Every Chinese character, and words and numbers of other scripts as a whole; no punctuation.

    Example:
        >>> chinese_characters("用Python编程，真好！")
        ['用', 'python', '编', '程', '真', '好']
    """
    return _visible(text, "characters")


def chinese_words(text: str) -> list[str]:
    """The same by the words that jieba finds.

    Example:
        >>> chinese_words("用Python学习自然语言处理，真好！")
        ['用', 'python', '学习', '自然语言', '处理', '真', '好']
    """
    return _visible(text, "jieba")


def rouge(prediction: str, references: Sequence[str], tokens: Tokens = english_tokens) -> dict[str, RougeScore]:
    """`rouge1`, `rouge2`, `rougeL` and `rougeLsum` of one text; of several references, for each of the four the one with the best F1.

    Args:
        prediction: What was written.
        references: What was wanted, one text or several that are equally right; at least one.
        tokens: Cuts a text into what is counted.

    Example:
        All 4 words are among the 6 of the reference, 2 of the 3 pairs among its 5.

        >>> scores = rouge("the cat lay on", ["the cat lay down on it"])
        >>> scores["rouge1"].precision, round(scores["rouge1"].recall, 3), scores["rouge1"].f1, scores["rouge2"].f1
        (1.0, 0.667, 0.8, 0.5)
    """
    scores = [_against(prediction, reference, tokens) for reference in references]
    return {name: max((each[name] for each in scores), key=lambda score: score.f1) for name in scores[0]}


def rouge_scores(predictions: Sequence[str], references: References, tokens: Tokens | None = None) -> dict[str, float]:
    """Mean F1 over the examples: `rouge1`, `rouge2`, `rougeL` and `rougeLsum`, each in [0, 1].

    Args:
        predictions: What was written.
        references: For every prediction a text, or several that are equally right.
        tokens: Cuts a text into what is counted; without one, `chinese_characters` where the references are Chinese, otherwise `english_tokens`.

    Raises:
        DataError: If there is nothing to score, or not a reference for every prediction.

    Example:
        >>> rouge_scores(["天气很好"], ["今天天气很好"])["rouge1"]
        0.8
    """
    lists = reference_lists(predictions, references)
    if tokens is None:
        tokens = chinese_characters if is_chinese(text for each in lists for text in each) else english_tokens
    scores = [rouge(prediction, each, tokens) for prediction, each in zip(predictions, lists, strict=True)]
    return {name: float(np.mean([score[name].f1 for score in scores])) for name in scores[0]}


def _visible(text: str, segmenter: str) -> list[str]:
    return [word for word in split_words(text.lower(), segmenters[segmenter]) if word[0].isalnum()]


def _against(prediction: str, reference: str, tokens: Tokens) -> dict[str, RougeScore]:
    written, wanted = tokens(prediction), tokens(reference)
    lines, wanted_lines = ([tokens(line) for line in text.split("\n")] for text in (prediction, reference))
    return {
        "rouge1": _common_runs(written, wanted, 1),
        "rouge2": _common_runs(written, wanted, 2),
        "rougeL": _score(_longest(written, wanted), len(written), len(wanted)),
        "rougeLsum": _score(_common_lines(lines, wanted_lines), sum(map(len, lines)), sum(map(len, wanted_lines))),
    }


def _score(common: int, written: int, wanted: int) -> RougeScore:
    if not common:
        return RougeScore(0.0, 0.0, 0.0)
    return RougeScore(common / written, common / wanted, 2 * common / (written + wanted))


def _common_runs(written: list[str], wanted: list[str], length: int) -> RougeScore:
    first, second = (Counter(zip(*(words[skip:] for skip in range(length)), strict=False)) for words in (written, wanted))
    return _score((first & second).total(), first.total(), second.total())


def _longest(written: list[str], wanted: list[str]) -> int:
    """Length of the longest common subsequence."""
    last = 0
    for row in _rows(wanted, written):
        last = int(row[-1])
    return last


def _rows(first: list[str], second: list[str]) -> Iterator[Int[np.ndarray, " second_and_1"]]:
    """The table of the longest common subsequence: for each start of `first` the lengths for all starts of `second`, the empty ones included."""
    lengths = np.zeros(len(second) + 1, dtype=np.int64)
    yield lengths
    for word in first:
        same = np.array([word == other for other in second], dtype=bool)
        lengths = np.append(0, np.maximum.accumulate(np.maximum(lengths[1:], lengths[:-1] + same)))
        yield lengths


def _common_lines(lines: list[list[str]], wanted: list[list[str]]) -> int:
    """Words of the reference that stand in a common subsequence of their line and any line that was written, none oftener than it was written."""
    left = Counter(word for line in lines for word in line)
    common = 0
    for sentence in wanted:
        places = set[int]().union(*(_places(sentence, line) for line in lines))
        for place in sorted(places):
            if left[sentence[place]] > 0:
                left[sentence[place]] -= 1
                common += 1
    return common


def _places(wanted: list[str], written: list[str]) -> set[int]:
    """Where in `wanted` one of the longest common subsequences stands: of several that which `rouge-score` finds, for unions of others differ."""
    table = list(_rows(wanted, written))
    places: set[int] = set()
    row, column = len(wanted), len(written)
    while row and column:
        if wanted[row - 1] == written[column - 1]:
            row, column = row - 1, column - 1
            places.add(row)
        elif table[row][column - 1] > table[row - 1][column]:
            column -= 1
        else:
            row -= 1
    return places
