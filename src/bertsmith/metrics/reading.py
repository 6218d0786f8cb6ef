"""Reading comprehension: how much of the right answer is in the one that was given, by the published scripts.

Two numbers for every question, the best over its right answers: `exact`, whether they are the same after some tidying, and `f1`, how much they have
in common. What tidying and what in common mean is a script's own business, peculiarities included, for scores are compared with those of papers:

`squad` (SQuAD 2.0, `evaluate-v2.0.py`)
    Small letters, without ASCII punctuation, without *a*, *an* and *the*; words between spaces; F1 over the bag of words. Punctuation goes without
    leaving a space (*well-known* is one word), and other than ASCII punctuation stays. Of a data set, right answers of which nothing is left do not
    count as such; a question that has no others is one without an answer.
`squad-1.1` (SQuAD 1.1, `evaluate-v1.1.py`, also that of MRQA)
    The same, but answers of which nothing is left count, and their F1 is 0 even where `exact` is 1.
`cmrc` (CMRC 2018, `cmrc2018_evaluate.py`, also for DRCD)
    Small letters, without the 32 marks of a list; every Chinese character is a word, what stands between them is cut as English; F1 over the longest
    stretch that both have in common, which need not be long: *北京市* and *市北京* share 2 of 3. The list lacks `，`'s ASCII sister, `.`, `!`, `?`,
    brackets, `‘` and `…`; spaces count for `exact` and not for F1; characters after `龥` (U+9FA5) and Japanese are no Chinese to it; and an answer
    that is all punctuation has F1 0 even where `exact` is 1. The one difference: the script has NLTK look for ends of sentences by a model that is
    downloaded, and cuts off a full stop there; here that is done at the end of each English stretch only.

None of the scripts but SQuAD 2.0's knows questions without an answer. Here the rule for them is the same throughout: right is to say nothing.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import chain
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from bertsmith.core.errors import DataError
from bertsmith.metrics.classification import require_examples
from bertsmith.metrics.texts import is_chinese
from bertsmith.metrics.treebank import treebank_words

Script = Literal["squad", "squad-1.1", "cmrc"]

ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)
ARTICLES = re.compile(r"\b(?:a|an|the)\b")
CMRC_PUNCTUATION = str.maketrans("", "", "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
CMRC_CHINESE = re.compile("[\u4e00-\u9fa5]")
CMRC_PIECES = re.compile("[\u4e00-\u9fa5]|[^\u4e00-\u9fa5]+")


@dataclass(frozen=True, slots=True)
class AnswerScore:
    """How good one answer is.

    Attributes:
        exact: 1.0 where it is one of the right ones, otherwise 0.0.
        f1: How much it has in common with the nearest of them, in [0, 1].
    """

    exact: float
    f1: float


def script_for(texts: Sequence[str]) -> Script:
    """The script that fits a data set's texts: `cmrc` for Chinese ones, otherwise `squad`.

    Args:
        texts: Answers, better contexts: the answers alone may be numbers and names.

    Example:
        >>> script_for(["红楼梦是清代作家曹雪芹的作品"]), script_for(["in 1985"])
        ('cmrc', 'squad')
    """
    return "cmrc" if is_chinese(texts) else "squad"


def answer_score(prediction: str, answers: Sequence[str], script: Script = "squad") -> AnswerScore:
    """Exact match and F1 of one prediction, the best over the right answers.

    Args:
        prediction: The text of the answer; empty to say that there is none.
        answers: Texts of the right ones; empty for a question without an answer.
        script: Whose score to give.

    Example:
        >>> answer_score("The cat", ["cat", "a black cat"])
        AnswerScore(exact=1.0, f1=1.0)
        >>> answer_score("曹雪芹", ["清代作家曹雪芹"], "cmrc")  # 3 of 3 characters, 3 of 7
        AnswerScore(exact=0.0, f1=0.6)
        >>> answer_score("the", [])  # nothing is left of it, and nothing is right
        AnswerScore(exact=1.0, f1=1.0)
    """
    if not answers:
        silent = float(not (_cmrc_text(prediction) if script == "cmrc" else _squad_words(prediction)))
        return AnswerScore(silent, silent)
    exact, f1 = SCRIPTS[script]
    return AnswerScore(max(float(exact(prediction, answer)) for answer in answers), max(f1(prediction, answer) for answer in answers))


def answer_scores(predictions: Sequence[str], answers: Sequence[Sequence[str]], script: Script | None = None) -> list[AnswerScore]:
    """`answer_score` of every question of a data set, for paired tests and for looking at mistakes.

    For `squad`, right answers of which nothing is left after tidying are left out first, as its script does.

    Args:
        predictions: One for every question.
        answers: The right ones of every question; empty where there is none.
        script: Whose score to give; without one, what `script_for` finds in the answers.

    Raises:
        DataError: If there are no questions, or not as many predictions.
    """
    if not answers or len(predictions) != len(answers):
        raise DataError(f"{len(predictions)} predictions for {len(answers)} questions: as many of each are needed, and at least 1")
    chosen = script or script_for(list(chain.from_iterable(answers)))
    if chosen == "squad":
        answers = [[answer for answer in right if _squad_words(answer)] for right in answers]
    return [answer_score(prediction, right, chosen) for prediction, right in zip(predictions, answers, strict=True)]


def reading_scores(
    predictions: Sequence[str], answers: Sequence[Sequence[str]], no_answer_scores: Sequence[float] | None = None, *, script: Script | None = None
) -> dict[str, float]:
    """`exact` and `f1` of a data set, each in [0, 1].

    Where some questions have no answer, there are also `has_answer_exact`, `has_answer_f1`, `no_answer_exact` and `no_answer_f1` over the questions
    of either kind, if there are any. With `no_answer_scores` there are `best_exact`, `best_exact_threshold`, `best_f1` and `best_f1_threshold`, as
    `best_threshold` finds them.

    Args:
        predictions: One for every question, empty to say that there is none.
        answers: The right ones of every question; empty where there is none.
        no_answer_scores: How probable it is that a question has no answer, in [0, 1].
        script: Whose score to give; without one, what `script_for` finds in the answers.

    Raises:
        DataError: If there are no questions, or not as many predictions.

    Example:
        >>> reading_scores(["in Paris", "Rome", ""], [["Paris"], [], []])  # doctest: +NORMALIZE_WHITESPACE
        {'exact': 0.3333333333333333, 'f1': 0.5555555555555555,
         'has_answer_exact': 0.0, 'has_answer_f1': 0.6666666666666666, 'no_answer_exact': 0.5, 'no_answer_f1': 0.5}
    """
    scores = answer_scores(predictions, answers, script)
    if no_answer_scores is not None and len(no_answer_scores) != len(answers):
        raise DataError(f"{len(no_answer_scores)} no_answer_scores for {len(answers)} questions: one for each is needed")
    columns = {"exact": np.array([score.exact for score in scores]), "f1": np.array([score.f1 for score in scores])}
    answerable = np.array([len(right) > 0 for right in answers])
    result = {name: float(column.mean()) for name, column in columns.items()}
    for kind, rows in (("has_answer", answerable), ("no_answer", ~answerable)):
        if rows.any() and not answerable.all():
            result |= {f"{kind}_{name}": float(column[rows].mean()) for name, column in columns.items()}
    if no_answer_scores is not None:
        silent = np.array([prediction == "" for prediction in predictions])
        for name, column in columns.items():
            result[f"best_{name}"], result[f"best_{name}_threshold"] = best_threshold(column, answerable, silent, np.array(no_answer_scores, float))
    return result


def best_threshold(
    scores: Float[np.ndarray, " questions"],
    answerable: Bool[np.ndarray, " questions"],
    silent: Bool[np.ndarray, " questions"],
    no_answer_scores: Float[np.ndarray, " questions"],
) -> tuple[float, float]:
    """The best mean score that is to be had by saying nothing where `no_answer_scores` is above a threshold, and the threshold.

    To be chosen on validation data. It is `find_best_thresh` of SQuAD 2.0 with what is odd about it: it starts from 0.0 as the threshold above
    which every question lies, which wants scores that are not negative; of questions with the same score it may take some to lie below the
    threshold; and to say *the* where there is no answer is wrong here although `exact` is 1.

    Args:
        scores: Of the predictions as they are, in [0, 1].
        answerable: Whether a question has an answer.
        silent: Whether the prediction is empty.
        no_answer_scores: How probable it is that there is no answer, in [0, 1].

    Returns:
        The score in [0, 1], and the threshold: the lowest of several equally good ones.

    Raises:
        DataError: If there are no questions.

    Example:
        The first is answered rightly, the second has no answer: the threshold parts them.

        >>> best_threshold(np.array([1.0, 0.0]), np.array([True, False]), np.array([False, False]), np.array([0.2, 0.9]))
        (1.0, 0.2)
    """
    require_examples(scores)
    order = np.argsort(no_answer_scores, kind="stable")
    gains = np.where(answerable, scores, -(~silent).astype(np.float64))[order]
    totals = np.concatenate([[(~answerable).sum()], gains]).cumsum()
    best = int(np.argmax(totals))
    return float(totals[best] / len(scores)), float(no_answer_scores[order[best - 1]]) if best else 0.0


def _squad_words(text: str) -> list[str]:
    return ARTICLES.sub(" ", text.lower().translate(ASCII_PUNCTUATION)).split()


def _squad_exact(prediction: str, answer: str) -> bool:
    return _squad_words(prediction) == _squad_words(answer)


def _squad_1_f1(prediction: str, answer: str) -> float:
    first, second = _squad_words(prediction), _squad_words(answer)
    return _f1((Counter(first) & Counter(second)).total(), first, second)


def _squad_2_f1(prediction: str, answer: str) -> float:
    return _squad_1_f1(prediction, answer) or float(not _squad_words(prediction) and not _squad_words(answer))


def _cmrc_text(text: str) -> str:
    return text.lower().strip().translate(CMRC_PUNCTUATION)


def _cmrc_words(text: str) -> list[str]:
    pieces = CMRC_PIECES.findall(_cmrc_text(text))
    return [word for piece in pieces for word in ([piece] if CMRC_CHINESE.match(piece) else treebank_words(piece))]


def _cmrc_exact(prediction: str, answer: str) -> bool:
    return _cmrc_text(prediction) == _cmrc_text(answer)


def _cmrc_f1(prediction: str, answer: str) -> float:
    first, second = _cmrc_words(prediction), _cmrc_words(answer)
    return _f1(SequenceMatcher(None, first, second, autojunk=False).find_longest_match().size, first, second)


def _f1(common: int, first: Sequence[str], second: Sequence[str]) -> float:
    return 2 * common / (len(first) + len(second)) if common else 0.0


SCRIPTS: dict[Script, tuple[Callable[[str, str], bool], Callable[[str, str], float]]] = {
    "squad": (_squad_exact, _squad_2_f1),
    "squad-1.1": (_squad_exact, _squad_1_f1),
    "cmrc": (_cmrc_exact, _cmrc_f1),
}
