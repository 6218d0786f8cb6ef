"""What kind of rows they are, by their columns, and what a row then says of which text.

The checks know two texts and labels. A question is the first text and its context the second; a sentence of tokens is their text. What is said of
them are answers, the mentions of entities, the number of the right choice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal, NamedTuple, cast

from bertsmith.core.types import Example
from bertsmith.data.answers import Answer, answers_of

Kind = Literal["label", "answers", "tags", "choice", "target"]

BETWEEN_CHINESE = re.compile(r"(?<=[\u3000-\u9fff\uff00-\uffef]) (?=[\u3000-\u9fff\uff00-\uffef])")

BEGINS, CONTINUES, OPEN = {"B-", "S-", "U-"}, {"I-", "E-", "M-", "L-"}, {"B-", "I-", "M-"}
"""Tags that an entity begins with, that go on with one, and that one can be gone on with after."""


class Mention(NamedTuple):
    """An entity: its type, and from where to where it goes; of tokens or characters, the end exclusive."""

    type: str
    start: int
    end: int


def kind_of(rows: Sequence[Example]) -> Kind:
    """What rows are, by the columns of the first.

    Example:
        >>> kind_of([Example({"text": "很好", "label": "1"})]), kind_of([Example({"question": "谁？", "context": "他。"})])
        ('label', 'answers')
    """
    there = set(rows[0].values) if rows else set[str]()
    signs: list[tuple[set[str], Kind]] = [
        ({"text", "label"}, "label"),
        ({"choices"}, "choice"),
        ({"question", "context"}, "answers"),
        ({"tokens", "tags"}, "tags"),
        ({"text", "entities"}, "tags"),
        ({"tokens"}, "tags"),
        ({"text", "target"}, "target"),
    ]
    fitting: list[Kind] = [kind for columns, kind in signs if columns <= there]
    return fitting[0] if fitting else "label"


def with_texts(row: Example, kind: Kind) -> Example:
    """The same row with what it is about as `text` and `text_pair`."""
    made: dict[str, Any] = {}
    if kind == "answers":
        made = {"text": row.get("question"), "text_pair": row.get("context")}
    elif kind == "choice":
        made = {"text": " | ".join(map(str, (row.get("question"), *strings(row.get("choices")))))}
        made |= {"text_pair": row["context"]} if row.get("context") is not None else {}
    elif kind == "tags" and "tokens" in row.values:
        made = {"text": BETWEEN_CHINESE.sub("", " ".join(strings(row["tokens"])))}
    return replace(row, values={**row.values, **made}) if made else row


def names_of(row: Example, kind: Kind) -> list[str]:
    """What is counted: types of entities, whether there is an answer, the number of the right choice."""
    return _NAMES[kind](row)


def told_of(row: Example, kind: Kind) -> list[str]:
    """What the row says of its text, so that it can be compared with what another one says."""
    return _TOLD[kind](row)


def mentions(tags: Sequence[str]) -> Iterator[Mention]:
    """The entities of tags of any scheme; one that is continued without having begun begins there.

    Example:
        >>> list(mentions(["B-PER", "I-PER", "O", "I-LOC", "S-LOC"]))
        [Mention(type='PER', start=0, end=2), Mention(type='LOC', start=3, end=4), Mention(type='LOC', start=4, end=5)]
    """
    starts = dict.fromkeys(place for place, (before, tag) in enumerate(pairwise(["O", *tags])) if tag[:2] in BEGINS or is_broken(before, tag))
    for start in starts:
        end = start + 1
        while end < len(tags) and tags[end] != "O" and end not in starts:
            end += 1
        yield Mention(tags[start][2:], start, end)


def is_broken(before: str, tag: str) -> bool:
    """Whether a tag continues an entity that the tag before it is no part of, or has ended.

    Example:
        >>> is_broken("O", "I-PER"), is_broken("B-PER", "I-PER"), is_broken("B-LOC", "I-PER"), is_broken("S-PER", "E-PER")
        (True, False, True, True)
    """
    return tag[:2] in CONTINUES and not (before[:2] in OPEN and before[2:] == tag[2:])


def choice_number(row: Example) -> int | None:
    """The number of the right choice, from 0; None where the label names none, or several."""
    label, choices = row.get("label"), strings(row.get("choices"))
    if isinstance(label, str) and choices.count(label) == 1:
        return choices.index(label)
    number = int(label) if isinstance(label, int | str) and str(label).isdecimal() else -1
    return number if 0 <= number < len(choices) else None


def strings(value: Any) -> list[str]:
    """The elements of a list as strings; none of anything else."""
    return list(map(str, cast("Sequence[Any]", value))) if isinstance(value, list | tuple) else []


def entities_of(row: Example) -> list[Mapping[str, Any]]:
    """What in a list of entities are objects."""
    entities = row.get("entities")
    listed = cast("Sequence[Any]", entities) if isinstance(entities, list | tuple) else ()
    return [cast("Mapping[str, Any]", one) for one in listed if isinstance(one, Mapping)]


def known_answers(row: Example) -> list[Answer] | None:
    """The answers of a row; None where there are none to be read."""
    try:
        return None if row.get("answers") is None else answers_of(row["answers"])
    except ValueError:
        return None


def _answered(row: Example) -> list[str]:
    answers = known_answers(row)
    return [] if answers is None else ["answered" if answers else "unanswerable"]


def _answer_texts(row: Example) -> list[str]:
    answers = known_answers(row)
    return [] if answers is None else sorted({answer["text"] for answer in answers}) or ["no answer"]


def _types(row: Example) -> list[str]:
    if "entities" in row.values:
        return [str(entity.get("label")) for entity in entities_of(row)]
    return [mention.type for mention in mentions(strings(row.get("tags")))]


def _mentioned(row: Example) -> list[str]:
    if "entities" in row.values:
        return sorted(f"{entity.get('label')} {str(row.get('text'))[_place(entity, 'start') : _place(entity, 'end')]}" for entity in entities_of(row))
    tokens = strings(row.get("tokens"))
    return [f"{one.type} {' '.join(tokens[one.start : one.end])}" for one in mentions(strings(row.get("tags")))]


def _place(entity: Mapping[str, Any], name: str) -> int:
    return place if isinstance(place := entity.get(name), int) else 0


def _choice(row: Example) -> list[str]:
    return [] if (number := choice_number(row)) is None else [str(number)]


def _targets(row: Example) -> list[str]:
    target = row.get("target")
    return strings(target) if isinstance(target, list | tuple) else [] if target is None else [str(target)]


def _nothing(row: Example) -> list[str]:  # noqa: ARG001
    return []


_NAMES: dict[Kind, Callable[[Example], list[str]]] = {"answers": _answered, "tags": _types, "choice": _choice, "target": _nothing}
_TOLD: dict[Kind, Callable[[Example], list[str]]] = {"answers": _answer_texts, "tags": _mentioned, "choice": _choice, "target": _targets}
