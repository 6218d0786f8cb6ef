"""What a row of data says of entities, and whether it can be right.

Two kinds of rows, which one data set may mix: `tokens` with a tag for each (CoNLL), and a `text` with the `entities` in it, from character to
character. Both become a passage, a text with the units that are tagged, and entities with their place in either. Where a row has `tokens`, its `text`
is made of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, cast

import numpy as np

from bertsmith.core.errors import DataError
from bertsmith.core.types import Example
from bertsmith.metrics.entities import Scheme, Span, entities_of, scheme_of, violations
from bertsmith.tasks.tag_set import usual
from bertsmith.text.units import Marks, Units, joined, words

BROKEN = "tags do not follow one another as their scheme has it, and are read as the script of CoNLL reads them"
TRIMMED = "an entity begins or ends with white space, which is not taken for a part of it"
INSIDE = "an entity begins or ends inside a word; the whole word is trained as a part of it"


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """A text and what of it is tagged.

    Attributes:
        text: The text.
        units: Tokens of the file, or words of the text.
        has_tokens: Whether the file had tokens.
    """

    text: str
    units: Units
    has_tokens: bool

    def characters(self, start: int, end: int) -> tuple[int, int]:
        """Where some units stand in the text; `end` is exclusive, and so is what is returned for it."""
        return int(self.units[start, 0]), int(self.units[end - 1, 1])

    def around(self, start: int, end: int) -> tuple[int, int]:
        """The units that a stretch of characters touches; `end` is exclusive, and so is what is returned for it."""
        first = np.searchsorted(self.units[:, 1], start, side="right")
        return int(first), int(np.searchsorted(self.units[:, 0], end, side="left"))


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity in a passage.

    Attributes:
        characters: Start, end (exclusive) and type, in characters of the text.
        units: The same in units; what it has of a unit counts as the whole.
    """

    characters: Span
    units: Span


def passage_of(example: Example) -> Passage:
    """The text of a row.

    Raises:
        DataError: Says what is wrong with it.

    Example:
        >>> passage_of(Example({"tokens": ["New", "York"]})).text
        'New York'
    """
    tokens = example.get("tokens")
    if tokens is not None:
        return Passage(*joined(_strings(tokens, "token")), has_tokens=True)
    text = example.get("text")
    if text is None:
        raise DataError(f"no text and no tokens{_other_columns(example)}")
    if not isinstance(text, str):
        raise DataError(f"text is {str(text)[:40]!r} ({type(text).__name__}), not a string")
    return Passage(text, words(text), has_tokens=False)


def is_labelled(example: Example) -> bool:
    """Whether a row says what its entities are."""
    return example.get("tags" if example.get("tokens") is not None else "entities") is not None


def entities_in(example: Example, passage: Passage) -> list[Entity]:
    """The entities of a row, in order.

    Raises:
        DataError: Says what is wrong with them, or that there are none given.

    Example:
        >>> row = Example({"text": "在 New York。", "entities": [{"start": 2, "end": 10, "label": "LOC"}]})
        >>> entities_in(row, passage_of(row))
        [Entity(characters=(2, 10, 'LOC'), units=(1, 3, 'LOC'))]
    """
    if passage.has_tokens:
        spans = entities_of(_tags(example, passage))
        return [Entity((*passage.characters(start, end), label), (start, end, label)) for start, end, label in spans]
    found = sorted(_span(item, passage.text) for item in _items(example))
    for (start, end, label), (begin, stop, other) in pairwise(found):
        if begin < end:
            both = f"entity {label!r} at {start} to {end} overlaps {other!r} at {begin} to {stop}"
            raise DataError(f"{both}; tags cannot say that: leave one of them out")
    return [Entity((start, end, label), (*passage.around(start, end), label)) for start, end, label in found]


def strict_spans(example: Example, passage: Passage, scheme: Scheme) -> list[Span]:
    """The entities whose tags keep to the scheme, in characters."""
    if not passage.has_tokens:
        return [entity.characters for entity in entities_in(example, passage)]
    return [(*passage.characters(start, end), label) for start, end, label in entities_of(_tags(example, passage), scheme)]


def schemes_of(examples: Sequence[Example]) -> dict[str, Scheme]:
    """The scheme that the tags of every file are written in; rows that cannot be read do not count."""
    sentences: dict[str, list[list[str]]] = {}
    for example in examples:
        tags = example.get("tags")
        if isinstance(tags, list | tuple) and all(isinstance(tag, str) and _is_tag(tag) for tag in tags):
            sentences.setdefault(example.file, []).append([usual(tag) for tag in tags])
    return {file: scheme_of(tags) for file, tags in sentences.items()}


def mendings(example: Example, passage: Passage, scheme: Scheme) -> Iterator[str]:
    """What has to be mended in a row before it can be used.

    Raises:
        DataError: It cannot be mended.
    """
    entities = entities_in(example, passage)
    if passage.has_tokens:
        if violations(_tags(example, passage), scheme):
            yield BROKEN
        return
    if any((item["start"], item["end"]) != _span(item, passage.text)[:2] for item in _items(example)):
        yield TRIMMED
    if any(passage.characters(*entity.units[:2]) != entity.characters[:2] for entity in entities):
        yield INSIDE


def marked_entities(entities: Sequence[Entity], marks: Marks) -> list[Span]:
    """Entities in units that a piece stands for, counted from 0; of two that share one, the first."""
    kept: list[Span] = []
    for entity in entities:
        start, end = np.searchsorted(marks.units, entity.units[:2]).tolist()
        if start < end and (not kept or start >= kept[-1][1]):
            kept.append((start, end, entity.units[2]))
    return kept


def lost_entities(entities: Sequence[Entity], marks: Marks) -> int:
    """How many entities do not begin and end where a piece does: no tags of pieces can say them."""
    starts, ends = set(marks.units.tolist()), set(marks.lasts.tolist())
    return sum(entity.units[0] not in starts or entity.units[1] - 1 not in ends for entity in entities)


def _other_columns(example: Example) -> str:
    """How to say which column is read, where a row has neither of those that are."""
    if "text" in example.values or "tokens" in example.values:
        return ""
    there = ", ".join(map(repr, list(example.values)[:10])) or "none"
    return f"; columns there are: {there}; name one: --column text=… on the command line, columns = {{ text = … }} in a recipe"


def _tags(example: Example, passage: Passage) -> list[str]:
    tags = example.get("tags")
    if tags is None:
        raise DataError("no tags")
    found = [usual(tag) for tag in _strings(tags, "tag")]
    if len(found) != len(passage.units):
        raise DataError(f"{len(found)} tags for {len(passage.units)} tokens")
    if wrong := [tag for tag in tags if not _is_tag(tag)]:
        raise DataError(f"tag {wrong[0][:40]!r} is neither O nor a type after B-, I-, E-, S-, M-, L- or U-, such as B-PER")
    return found


@lru_cache(maxsize=4096)
def _is_tag(tag: str) -> bool:
    tag = usual(tag)
    return tag == "O" or (tag[:2] in {"B-", "I-", "E-", "S-"} and tag[2:] not in {"", "O"})


def _strings(value: Any, what: str) -> list[str]:
    if not isinstance(value, list | tuple):
        raise DataError(f"{what}s are {str(value)[:40]!r} ({type(value).__name__}), not a list")
    wrong = [item for item in cast("Sequence[Any]", value) if not isinstance(item, str)]
    if wrong:
        raise DataError(f"{what} {str(wrong[0])[:40]!r} is no string ({type(wrong[0]).__name__}); expected is a list of {what}s")
    return list(cast("Sequence[str]", value))


def _items(example: Example) -> list[Mapping[str, Any]]:
    items = example.get("entities")
    if items is None:
        raise DataError("no entities (a text without any has an empty list)")
    shape = 'expected is a list of {"start": …, "end": …, "label": …}'
    if not isinstance(items, list | tuple):
        raise DataError(f"entities are {str(items)[:40]!r} ({type(items).__name__}); {shape}")
    for item in cast("Sequence[Any]", items):
        if not isinstance(item, Mapping):
            raise DataError(f"an entity is {str(item)[:40]!r} ({type(item).__name__}); {shape}")
        missing = [name for name, kind in (("start", int), ("end", int), ("label", str)) if type(cast("Any", item).get(name)) is not kind]
        if missing:
            raise DataError(f"entity {str(cast('Any', item))[:80]} has no {' and no '.join(missing)} of the right kind; {shape}")
    return list(cast("Sequence[Mapping[str, Any]]", items))


def _span(item: Mapping[str, Any], text: str) -> Span:
    """An entity without the white space around it."""
    start, end, label = int(item["start"]), int(item["end"]), str(item["label"])
    if not 0 <= start < end <= len(text):
        place = f"{str(start)[:20]} to {str(end)[:20]}"
        raise DataError(f"entity {label[:40]!r} at {place} is not inside the text, which has {len(text)} characters (the end is exclusive)")
    if not label or label == "O":
        raise DataError(f"entity at {start} to {end} has the type {label!r}; a type is a name, such as PER")
    stripped = text[start:end].lstrip()
    if not stripped:
        raise DataError(f"entity {label!r} at {start} to {end} is nothing but white space")
    start = end - len(stripped)
    return start, start + len(stripped.rstrip()), label


def told(passage: Passage, units: Span, characters: Span | None = None) -> dict[str, Any]:
    """An entity as a prediction says it, from its units, or from its characters where they are known."""
    start, end = characters[:2] if characters else passage.characters(units[0], units[1])
    return {"start": start, "end": end, "label": units[2], "text": passage.text[start:end]}
