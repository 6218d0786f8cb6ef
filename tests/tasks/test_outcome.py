"""Rows find their examples again, also when a bootstrap draws one twice."""

from dataclasses import replace

import numpy as np

from bertsmith.core.types import Example
from bertsmith.tasks.outcome import Outcome

EXAMPLES = [Example({"text": name}) for name in "abc"]


def windows(*owners: int) -> list[dict[str, np.ndarray]]:
    return [{"input_ids": np.array([number], np.int32), "example": np.array([owner], np.int32)} for number, owner in enumerate(owners)]


def outcome(*owners: int) -> Outcome:
    return Outcome([np.array([float(number)]) for number in range(len(owners))], windows(*owners), EXAMPLES)


def test_an_example_may_have_several_rows_or_none():
    found = [(example["text"], [output.item() for _, output in rows]) for example, rows in outcome(0, 0, 2).by_example()]
    assert found == [("a", [0, 1]), ("b", []), ("c", [2])]


def test_rows_without_an_owner_are_an_example_each():
    rows = [{"input_ids": np.array([number], np.int32)} for number in range(3)]
    assert Outcome([np.zeros(1)] * 3, rows, EXAMPLES).owners.tolist() == [0, 1, 2]


def test_an_example_that_is_drawn_twice_is_two_examples():
    drawn = outcome(0, 0, 1, 2).chosen(np.array([2, 0, 0]))
    assert [example["text"] for example in drawn.examples] == ["c", "a", "a"]
    assert drawn.owners.tolist() == [0, 1, 1, 2, 2]
    assert [output.item() for output in drawn.outputs] == [3, 0, 1, 0, 1]


def test_examples_of_one_row_each_are_chosen_with_their_rows():
    rows = [{"input_ids": np.array([number], np.int32)} for number in range(3)]
    drawn = Outcome([np.full(1, float(number)) for number in range(3)], rows, EXAMPLES).chosen(np.array([1, 1]))
    assert [row["input_ids"].item() for row in drawn.rows] == [1, 1]
    assert drawn.scores.tolist() == [[1.0], [1.0]]


def test_what_is_made_of_it_is_made_once():
    asked: list[int] = []

    def total(of: Outcome, factor: int) -> float:
        asked.append(factor)
        return factor * sum(output.item() for output in of.outputs)

    found = outcome(0, 1)
    assert [found.once(total, factor) for factor in (1, 2, 1)] == [1.0, 2.0, 1.0]
    assert asked == [1, 2]
    assert replace(found, outputs=[np.full(1, 4.0)] * 2).once(total, 1) == 8.0, "what was made of another one says nothing of it"
