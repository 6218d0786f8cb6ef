"""What can be said of a question without a model: whether it can be used, what is right, which tokens that is, and what a guess would be."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from bertsmith.core.types import IGNORED, Example
from bertsmith.data.answers import answers_of, realigned
from bertsmith.data.readers import wrong_text
from bertsmith.tasks.marked import Compared, Mark
from bertsmith.tasks.spans import tokens_of_span
from bertsmith.tasks.tables import Table
from bertsmith.text.sentences import split_sentences
from bertsmith.text.tokenizer import Pieces

Target = tuple[int, int] | Literal["none", "lost"]
"""First and last token of an answer in its context; "none" where the question has none, "lost" where no token holds it."""

WORD = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+")
"""A Chinese character, or a word between others."""

GRADES = ("right", "partly right", "wrong", "nothing said")
"""How a question may have been answered."""

NO_ANSWERS = "no answers (a question that has none has the empty list)"
NOT_THERE = "no answer is in the context"
MENDINGS = {
    None: "an answer is not in the context; the others are used",
    "trimmed": "an answer stands in the context without the punctuation at its ends",
    "alike": "an answer stands in the context with other spaces or widths",
    "moved": "an answer is not at its start, but elsewhere in the context",
}
"""What is said of a question for the worst of its answers, the worst first."""


def wrong_question(example: Example, *, labelled: bool) -> str:
    """Why an example is of no use; empty where it is.

    Example:
        >>> wrong_question(Example({"question": "谁？", "context": " "}), labelled=True)
        'context is empty; no answers (a question that has none has the empty list)'
    """
    reasons = [_wrong_text(example, "question"), _wrong_text(example, "context"), wrong_answers(example) if labelled else ""]
    return "; ".join(reason for reason in reasons if reason)


def wrong_answers(example: Example) -> str:
    """Why the answers of an example are none; empty where they are."""
    if example.get("answers") is None:
        return NO_ANSWERS
    try:
        answers_of(example["answers"])
    except ValueError as error:
        return str(error)
    return ""


def left_out_or_mended(example: Example, *, training: bool) -> tuple[str, str]:
    """Why an example is left out, or what is to be said of one that stays; empty where nothing is.

    Raises:
        ValueError: Its answers are none.

    Example:
        >>> late = Example({"question": "何时？", "context": "他在1985年来。", "answers": [{"text": "1985年", "start": 3}]})
        >>> left_out_or_mended(late, training=True)
        ('', 'an answer is not at its start, but elsewhere in the context')
    """
    if example.get("answers") is None:
        return NO_ANSWERS, ""
    answers = answers_of(example["answers"])
    if not answers or _wrong_text(example, "context"):
        return "", ""  # what is wrong with a context is said when it is encoded
    places = [realigned(example["context"], answer["text"], answer["start"]) for answer in answers]
    found = {place and place.how for place in places}
    if found != {None}:
        return "", next((said for how, said in MENDINGS.items() if how in found), "")
    return (NOT_THERE, "") if training else ("", f"{NOT_THERE}; it is measured against all the same")


def target_of(example: Example, context: Pieces) -> Target:
    """The tokens of the first answer that is in the context."""
    answers = answers_of(example["answers"])
    for answer in answers:
        place = realigned(example["context"], answer["text"], answer["start"])
        found = place and tokens_of_span(context.offsets[:, 0], context.offsets[:, 1], place.start, place.end)
        if found:
            return found
    return "lost" if answers else "none"


def target_within(target: Target, begin: int, end: int, place: int) -> Int[np.ndarray, "2"]:
    """First and last token of the answer in the sequence of a window: [CLS] where it does not hold all of it.

    Args:
        target: In tokens of the context.
        begin: The window's first token of the context.
        end: The one after its last.
        place: Where the context begins in the sequence.

    Example:
        >>> [target_within((5, 7), begin, begin + 5, place=9).tolist() for begin in (0, 3, 6)]
        [[0, 0], [11, 13], [0, 0]]
    """
    if isinstance(target, str):
        return np.full(2, IGNORED if target == "lost" else 0, np.int64)
    first, last = target
    return np.array([place + first - begin, place + last - begin] if begin <= first and last < end else [0, 0], np.int64)


def right_answers(example: Example) -> list[str]:
    """The texts that are right; where a file has `aliases`, which its official script scores by (MRQA), these."""
    answers, aliases = answers_of(example["answers"]), example.get("aliases")
    return [str(alias) for alias in aliases] if answers and isinstance(aliases, list) and aliases else [answer["text"] for answer in answers]


def right_places(example: Example) -> list[tuple[int, int]]:
    """Where the right answers stand in the context, in order; of those that overlap, the first that the file names.

    Example:
        >>> answers = [{"text": "1985年", "start": 2}, {"text": "1985", "start": 2}, {"text": "他", "start": 0}, {"text": "她", "start": 9}]
        >>> right_places(Example({"context": "他在1985年来。", "answers": answers}))
        [(0, 1), (2, 7)]
    """
    kept: list[tuple[int, int]] = []
    for answer in answers_of(example["answers"]):
        place = realigned(example["context"], answer["text"], answer["start"])
        if place is not None and all(place.end <= start or end <= place.start for start, end in kept):
            kept.append((place.start, place.end))
    return sorted(kept)


def compared(example: Example, said: Mapping[str, Any]) -> Compared:
    """The right answers in the context, beside the one that was found: a prediction of `extractive_qa`."""
    right = tuple(Mark(start, end, "answer", 1.0) for start, end in right_places(example))
    found = (Mark(said["start"], said["end"], "answer", said["score"]),) if said["answer"] else ()
    return Compared("context", example["context"], right, found)


def grades(examples: Sequence[Example], said: Sequence[str], scores: Sequence[float]) -> Table:
    """How many questions are answered rightly, partly, wrongly and not at all, of those with an answer and of those without one.

    Args:
        examples: Questions.
        said: The answer to each; empty for none.
        scores: The F1 of each, 0-1.

    Example:
        >>> asked = [Example({"question": "谁？", "context": "他", "answers": answers}) for answers in ([{"text": "他", "start": 0}], [])]
        >>> grades(asked, ["", "他"], [0.0, 0.0]).rows[1]
        {'questions': 'without an answer', 'right': 0, 'partly right': 0, 'wrong': 1, 'nothing said': 0}
    """
    kinds = ["with an answer" if right_answers(example) else "without an answer" for example in examples]
    found = ["nothing said" if not text else _grade(score) for text, score in zip(said, scores, strict=True)]
    counts = Counter(zip(kinds, found, strict=True))
    rows = [{"questions": kind, **{grade: counts[kind, grade] for grade in GRADES}} for kind in sorted(set(kinds))]
    return Table("What is said", "Right is an F1 of 100%, wrong one of 0%. Where there is no answer, it is right to say nothing.", rows)


def nearest_sentence(question: str, context: str) -> str:
    """The sentence of a context that shares most words with a question, Chinese characters counting as words; the first of equals.

    Example:
        >>> nearest_sentence("Who wrote Hamlet?", "London is large. Shakespeare wrote Hamlet. He lived there.")
        'Shakespeare wrote Hamlet.'
    """
    words = frozenset(WORD.findall(question.lower()))
    return max(_sentences(context), key=lambda sentence: len(words & sentence[1]))[0]


@lru_cache(maxsize=16)  # questions about one context follow each other
def _sentences(context: str) -> list[tuple[str, frozenset[str]]]:
    return [(sentence.strip(), frozenset(WORD.findall(sentence.lower()))) for sentence in split_sentences(context)]


def _grade(score: float) -> str:
    return "right" if score == 1 else "partly right" if score else "wrong"


def _wrong_text(example: Example, column: str) -> str:
    text = example.get(column)
    reason = "" if text is None else wrong_text(text)
    return f"no {column}" if text is None else reason and f"{column} {reason}"
