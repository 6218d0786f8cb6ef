"""A stream in pieces that fit into memory."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar, cast

from bertsmith.core.types import Example

Item = TypeVar("Item")

MOST_CHARACTERS = 1 << 21
"""Of the texts of a piece: where they are as long as books, a few are enough."""


def chunks(items: Iterable[Item], most: int, weight: Callable[[Item], int], heaviest: int | None = None) -> Iterator[list[Item]]:
    """Items in their order, in lists that end with the item that makes them full.

    Args:
        items: May be without an end; nothing is read ahead.
        most: Items of a list.
        weight: Of an item.
        heaviest: A list that weighs as much, or more, is full; 2 million where it is not given.

    Example:
        >>> list(chunks(["a", "bb", "ccccc", "d"], most=3, weight=len, heaviest=4))
        [['a', 'bb', 'ccccc'], ['d']]
    """
    chunk: list[Item] = []
    weighed, full = 0, MOST_CHARACTERS if heaviest is None else heaviest
    for item in items:
        chunk.append(item)
        weighed += weight(item)
        if len(chunk) == most or weighed >= full:
            yield chunk
            chunk, weighed = [], 0
    if chunk:
        yield chunk


def characters(example: Example) -> int:
    """Characters of all texts of an example, those in lists included.

    Example:
        >>> characters(Example({"tokens": ["New", "York"], "text": "in", "label": 1}))
        9
    """
    return sum(map(_characters, example.values.values()))


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    return sum(len(item) for item in cast("list[Any]", value) if isinstance(item, str)) if isinstance(value, list) else 0
