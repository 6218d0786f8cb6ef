"""Answers of reading comprehension: as files write them, and where they really stand.

Published sets hold answers that are not at their `answer_start`: some were counted in another version of the text, some differ from it by a space
or by the width of a bracket. `realigned` finds them again, and says how; what to do with the rest, and to count both, is the task's business.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from functools import lru_cache
from typing import Any, Literal, NamedTuple, cast

Answer = dict[str, Any]
"""`{"text": str, "start": int}`; the start counts the context's characters, from 0."""


class Placed(NamedTuple):
    """Where an answer stands.

    Attributes:
        start: Its first character in the context.
        end: The character after its last one: `context[start:end]` is the answer in the context's own characters.
        how: `there`: where its file says; `moved`: the same characters at another place; `alike`: but for width and white space; `trimmed`: but for
            punctuation at its ends, too.
    """

    start: int
    end: int
    how: Literal["there", "moved", "alike", "trimmed"]


def realigned(context: str, text: str, start: int) -> Placed | None:
    r"""Where an answer stands in its context.

    It stays where its file says if it is there; otherwise it is at the nearest place where the same characters are; otherwise at the nearest where
    they are but for full and half width, how accents are written (NFKC) and white space; otherwise so without the punctuation that it begins and
    ends with.

    Args:
        context: What the answer is part of.
        text: Of the answer.
        start: Where its file says that it begins; -1 where it does not say, which gives the first place.

    Returns:
        None if the context does not hold it, and for an answer of nothing but white space.

    Example:
        >>> realigned("今天是2018年，不是2018年", "2018年", 12)
        Placed(start=11, end=16, how='moved')
        >>> realigned("今天（周一）在下雨", "(周一) 在", 0)
        Placed(start=2, end=7, how='alike')
        >>> realigned("in Zu\u0308rich", "Zürich", 3)
        Placed(start=3, end=10, how='alike')
        >>> realigned("今天在下雨，很冷", "在下雨。", -1)
        Placed(start=2, end=5, how='trimmed')
        >>> realigned("今天在下雨", "下雪", 3) is None
        True
    """
    if not text.strip():
        return None
    if start >= 0 and context.startswith(text, start):
        return Placed(start, start + len(text), "there")
    nearest = _nearest(context, text, start)
    if nearest >= 0:
        return Placed(nearest, nearest + len(text), "moved")
    return _alike(context, text, start, "alike") or _alike(context, _trimmed(text), start, "trimmed")


def answers_of(value: Any) -> list[Answer]:
    """The answers of a row, in whichever of the usual ways they are written.

    Args:
        value: A list of objects with `text` and `start` or `answer_start` (SQuAD), or an object with a list of each (data sets of the Hub).

    Raises:
        ValueError: Says what is wrong with it.

    Example:
        >>> answers_of([{"text": "周一", "answer_start": 3}]), answers_of({"text": ["周一"], "answer_start": [3]})
        ([{'text': '周一', 'start': 3}], [{'text': '周一', 'start': 3}])
    """
    if isinstance(value, dict):
        value = _by_row(cast("dict[str, Any]", value))
    if not isinstance(value, list):
        raise ValueError(f"answers is {str(value)[:40]!r}, not a list of objects with 'text' and 'start'")  # noqa: TRY004
    return [_answer(f"answers[{number}]", answer) for number, answer in enumerate(cast("list[Any]", value))]


def _by_row(columns: dict[str, Any]) -> list[dict[str, Any]]:
    starts = columns.get("start", columns.get("answer_start"))
    texts = columns.get("text")
    if not isinstance(texts, list) or not isinstance(starts, list):
        raise ValueError("answers is an object without the lists 'text' and 'answer_start'")  # noqa: TRY004 (wrong is the file, not the caller)
    pairs = cast("list[Any]", texts), cast("list[Any]", starts)
    if len(pairs[0]) != len(pairs[1]):
        raise ValueError(f"answers has {len(pairs[0])} texts and {len(pairs[1])} starts")
    return [{"text": text, "start": start} for text, start in zip(*pairs, strict=True)]


def _answer(name: str, value: Any) -> Answer:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {str(value)[:40]!r}, not an object with 'text' and 'start'")  # noqa: TRY004
    given = cast("dict[str, Any]", value)
    text, start = given.get("text"), given.get("start", given.get("answer_start"))
    if not isinstance(text, str):
        raise ValueError(f"{name} has no text" if text is None else f"{name} has the text {str(text)[:40]!r}, which is no string")  # noqa: TRY004
    if not text.strip():
        raise ValueError(f"{name} is empty; a question without an answer has none: []")
    if not isinstance(start, int) or isinstance(start, bool):
        missing = "no start (-1 stands for its first place in the context)"
        raise ValueError(f"{name} has {missing if start is None else f'the start {str(start)[:40]!r}, which is no whole number'}")  # noqa: TRY004
    return {"text": text, "start": start}


def _alike(context: str, text: str, start: int, how: Literal["alike", "trimmed"]) -> Placed | None:
    """Where a text stands but for width and white space."""
    folded, origins = _folded(context)
    wanted, _ = _folded(text)
    nearest = _nearest(folded, wanted, bisect_left(origins, start)) if wanted else -1
    return None if nearest < 0 else Placed(origins[nearest], _with_marks(context, origins[nearest + len(wanted) - 1]), how)


def _trimmed(text: str) -> str:
    """A text without the punctuation and white space that it begins and ends with."""
    inner = [place for place, character in enumerate(text) if unicodedata.category(character)[0] not in "PZ"]
    return text[inner[0] : inner[-1] + 1] if inner else ""


def _nearest(context: str, text: str, start: int) -> int:
    """The place of a text that is nearest to a start, the earlier of two; -1 if there is none."""
    start = min(max(start, 0), len(context))
    before, after = context.rfind(text, 0, start + len(text) - 1), context.find(text, start)
    if before < 0 or after < 0:
        return max(before, after)
    return before if start - before <= after - start else after


@lru_cache(maxsize=4)  # the answers of one context follow each other
def _folded(text: str) -> tuple[str, list[int]]:
    """A text without white space in NFKC, and for each of its characters the number of the one that it comes from."""
    whole = (
        (text[number : _with_marks(text, number)], number) for number in range(len(text)) if not unicodedata.combining(text[number]) or not number
    )
    parts = [(part, number) for characters, number in whole for part in unicodedata.normalize("NFKC", characters) if not part.isspace()]
    return "".join(part for part, _ in parts), [number for _, number in parts]


def _with_marks(text: str, number: int) -> int:
    """Where a character ends together with the combining marks that follow it."""
    end = number + 1
    while end < len(text) and unicodedata.combining(text[end]):
        end += 1
    return end
