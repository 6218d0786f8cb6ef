"""What is said of a question when all windows over its text have been read: the answer, how probable it is, and whether there is one at all.

::

    scores of all windows ──verdicts──▶ the best spans, and the score of saying nothing ──answer, told──▶ what is said
                                                                        └──threshold_between──▶ from which doubt on nothing is said
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from bertsmith.tasks.outcome import Outcome
from bertsmith.tasks.spans import TRIED, Choice, Part, best_ends, merged, shares

EVEN = 0.5
"""The probability from which on a question has no answer where nothing better is known: SQuAD's threshold 0."""

SMALLEST = 1e-12
"""Probabilities are told apart down to it, and as near to 1."""


class Verdict(NamedTuple):
    """What is known of a question when it has been asked of all windows.

    Attributes:
        choices: The best spans, best first.
        silence: The score of saying nothing: the lowest of all windows.
    """

    choices: list[Choice]
    silence: float

    @property
    def no_answer(self) -> float:
        """How probable it is that there is no answer, beside the best one, 0-1."""
        return 1 / (1 + math.exp(min(700.0, self.choices[0].score - self.silence))) if self.choices else 1.0

    @property
    def nothing(self) -> Choice:
        """The span that stands for no answer."""
        return Choice("", 0, 0, self.silence)

    def answer(self, threshold: float | None) -> Choice:
        """The best span, or `nothing` where there is none, or where it is likelier than a threshold that none is right.

        Args:
            threshold: 0-1; None where every question has an answer.

        Example:
            >>> verdict = Verdict([Choice("1985", 3, 7, 2.0)], silence=3.0)
            >>> verdict.answer(None).text, verdict.answer(0.5).text, round(verdict.no_answer, 2)
            ('1985', '', 0.73)
        """
        silent = not self.choices or (threshold is not None and self.no_answer > threshold)
        return self.nothing if silent else self.choices[0]

    def told(self, threshold: float | None, n_best: int) -> dict[str, Any]:
        """The answer as a prediction, with the best spans and how the probability is shared among the best 20; with a threshold, also the doubt."""
        nothing = [] if threshold is None else [self.nothing]
        best = sorted([*self.choices, *nothing], key=lambda choice: -choice.score)[:TRIED]
        listed = [_listed(choice, share) for choice, share in zip(best, shares([choice.score for choice in best]).tolist(), strict=True)]
        answer = self.answer(threshold)
        said = next((one for one in listed if one["answer"] == answer.text), _listed(answer, 0.0))
        doubt = {} if threshold is None else {"no_answer": round(self.no_answer, 6)}
        return {**said, **doubt, "n_best": listed[:n_best]}


def verdicts(outcome: Outcome, longest: int) -> list[Verdict]:
    """One a question.

    Args:
        outcome: Of `extractive_qa`: rows are windows, and what was said of one are the scores of [CLS] and of every token of the context.
        longest: Tokens of the longest answer.
    """
    own: list[list[int]] = [[] for _ in outcome.examples]
    for place, number in enumerate(outcome.owners.tolist()):
        own[number].append(place)
    mine = [row["widest"].astype(np.bool_) for row in outcome.rows]
    found = best_ends([output[1:] for output in outcome.outputs], mine)
    parts = [Part(row["begins"], row["ends"], *each) for row, *each in zip(outcome.rows, *found, strict=True)]
    silence = [float(output[0].sum()) for output in outcome.outputs]
    return [
        Verdict(merged(example["context"], [parts[place] for place in places], longest), min(silence[place] for place in places))
        for example, places in zip(outcome.examples, own, strict=True)
    ]


def threshold_between(low: float, high: float) -> float:
    """A threshold from `low` on, but below `high`: an even one where that is possible, otherwise the one whose odds are in the middle.

    Args:
        low: The largest doubt with which an answer is still given, 0-1.
        high: The smallest with which none is, 0-1; 1 where there is no such doubt.

    Example:
        >>> threshold_between(0.2, 0.9), round(threshold_between(0.8, 0.95), 3), threshold_between(1.0, 1.0)
        (0.5, 0.897, 1.0)
    """
    if low <= EVEN < high:
        return EVEN
    odds = [math.log(share / (1 - share)) for share in np.clip([low, high], SMALLEST, 1 - SMALLEST).tolist()]
    middle = 1 / (1 + math.exp(-sum(odds) / 2))
    return middle if low <= middle < high else low  # doubts beyond the smallest that are told apart


def _listed(choice: Choice, share: float) -> dict[str, Any]:
    place = (choice.start, choice.end) if choice.text else (None, None)
    return {"answer": choice.text, "start": place[0], "end": place[1], "score": round(share, 6)}
