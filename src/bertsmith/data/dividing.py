"""Validation data that is drawn from training data: a share of every label, or, where rows are about something, a share of what they are about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from bertsmith.core.amounts import plural
from bertsmith.core.errors import DataError
from bertsmith.core.randomness import generator_at
from bertsmith.core.types import Example
from bertsmith.data.dataset import Dataset


def divided(data: Dataset, share: float, seed: int, together: str = "") -> tuple[Dataset, Dataset]:
    """Draw a share of a data set, the same share of every label as nearly as it goes.

    Rows of a label are put in random order and spread evenly over 0 to 1, each label's from a random place on; those below `share` are drawn.

    Where rows belong together, they are drawn together, and labels do not count: whole groups in random order, until their rows are as near to the
    share as it goes.

    Args:
        data: At least two rows.
        share: 0-1; at least one row is drawn and at least one stays.
        seed: What the choice depends on.
        together: The column whose value rows share that belong together, if there is one; a row without it belongs to no other.

    Returns:
        What stays, and what was drawn; both in the order of the file.

    Raises:
        DataError: There is only one row, or all of them belong together.

    Example:
        >>> rows = Dataset.of([{"text": str(i), "label": i % 2} for i in range(20)])
        >>> [part.label_counts["0"] for part in divided(rows, 0.2, seed=1)]
        [8, 2]
        >>> asked = Dataset.of([{"context": text, "question": question} for text in "abcd" for question in "123"])
        >>> [sorted({row["context"] for row in part}) for part in divided(asked, 0.2, seed=1, together="context")]
        [['a', 'c', 'd'], ['b']]
    """
    if len(data) < 2:
        raise DataError(f"there is {plural(len(data), 'row')} to be divided, and both parts need one; give a file")
    drawn = _groups_drawn(data, share, seed, together) if together else _labels_drawn(data, share, seed)
    parts = [[row for row, is_drawn in zip(data, drawn, strict=True) if is_drawn == wanted] for wanted in (False, True)]
    return replace(data, examples=parts[0]), Dataset(parts[1], data.files)


def _labels_drawn(data: Dataset, share: float, seed: int) -> Bool[np.ndarray, " rows"]:
    places = np.zeros(len(data))
    for label, rows in _grouped(data, lambda row: str(row.get("label"))).items():
        generator = generator_at(seed, "valid", label)
        places[rows] = (generator.permutation(len(rows)) + generator.random()) / len(rows)
    count = min(max(1, round(share * len(data))), len(data) - 1)
    drawn = np.zeros(len(data), np.bool_)
    drawn[np.argsort(places, kind="stable")[:count]] = True
    return drawn


def _groups_drawn(data: Dataset, share: float, seed: int, together: str) -> Bool[np.ndarray, " rows"]:
    groups = list(_grouped(data, lambda row: str(row.get(together) or id(row)).strip()).values())
    if len(groups) < 2:
        raise DataError(f"all {len(data)} rows have the same {together} and stay together, so that none can be drawn; give a file")
    order = generator_at(seed, "valid", together).permutation(len(groups))
    rows = np.cumsum([len(groups[number]) for number in order])
    count = 1 + int(np.abs(rows[:-1] - share * len(data)).argmin())
    drawn = np.zeros(len(data), np.bool_)
    drawn[[row for number in order[:count] for row in groups[number]]] = True
    return drawn


def _grouped(data: Dataset, name: Callable[[Example], str]) -> dict[str, list[int]]:
    """The numbers of rows by what `name` calls them."""
    groups: dict[str, list[int]] = {}
    for index, row in enumerate(data):
        groups.setdefault(name(row), []).append(index)
    return groups
