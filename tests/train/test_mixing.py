"""How often the parts of a mixture have their turn, and that every step belongs to one of them."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from bertsmith.train.mixing import MixedCourse, Mixing
from bertsmith.train.options import TrainOptions

ROWS, BATCHES = {"large": 900, "small": 100}, {"large": 90, "small": 10}
PARTS = {"large": np.full(90, 5, np.int32), "small": np.full(10, 9, np.int32)}


@pytest.mark.parametrize(
    ("options", "progress", "shares"),
    [
        ({}, 0.0, [0.9, 0.1]),
        ({"sampling": "equal"}, 0.0, [0.5, 0.5]),
        ({"sampling": "temperature", "temperature": 2}, 0.0, [0.75, 0.25]),
        ({"sampling": "annealed"}, 0.0, [0.9, 0.1]),
        ({"sampling": "annealed"}, 1.0, [9**0.2 / (9**0.2 + 1), 1 / (9**0.2 + 1)]),
        ({"sampling": "annealed"}, 0.5, [9**0.6 / (9**0.6 + 1), 1 / (9**0.6 + 1)]),
        ({"cap": 300}, 0.0, [0.75, 0.25]),
        ({"cap": 50}, 0.0, [0.5, 0.5]),
        ({"weights": {"small": 9.0}}, 0.0, [0.5, 0.5]),
    ],
)
def test_shares(options: dict[str, Any], progress: float, shares: list[float]):
    assert Mixing(**options).shares(ROWS, BATCHES, progress).tolist() == pytest.approx(shares)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"temperature": 0.5}, "temperature is 0.5"), ({"cap": 0}, "cap is 0"), ({"weights": {"small": 0}}, r"weights.small is 0")],
)
def test_impossible_options(options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        Mixing(**options)


def steps_of(mixing: Mixing, epochs: float = 2, done: int = 0) -> tuple[MixedCourse, list[Any]]:
    course = MixedCourse(PARTS, TrainOptions(batch_size=10, epochs=epochs), mixing, seed=1)
    return course, list(course.after(done))


def test_a_step_belongs_to_one_part_and_an_epoch_of_proportional_turns_sees_every_row_once():
    course, steps = steps_of(Mixing(), epochs=1)
    assert (course.total, course.per_epoch, len(steps)) == (10, 10, 10)
    assert all((step.rows < 90).all() or (step.rows >= 90).all() for step in steps)
    assert sorted(row for step in steps for row in step.rows.tolist()) == list(range(100))


@pytest.mark.parametrize("batch", [{"batch_size": 32}, {"batch_tokens": 1000}])
def test_proportional_turns_see_all_data_equally_often_whatever_its_lengths_and_the_size_of_its_last_batch(batch: dict[str, int]):
    parts = {"short": np.full(1000, 10, np.int32), "long": np.full(1000, 100, np.int32), "few": np.full(33, 10, np.int32)}
    course = MixedCourse(parts, TrainOptions(epochs=3, **batch), Mixing(), seed=1)
    assert set(Counter(row for step in course.after(0) for row in step.rows.tolist()).values()) == {3}


@pytest.mark.parametrize("steps", [1, 10, 13, 20])
def test_turns_are_counted_as_they_are_taken(steps: int):
    course, taken = steps_of(Mixing(sampling="annealed"))
    counted = Counter(step.part for step in taken[:steps])
    assert course.turns(steps) == {name: counted[name] for name in PARTS}


def test_equal_turns_see_a_small_part_again_and_again():
    _, steps = steps_of(Mixing(sampling="equal"), epochs=2)
    assert Counter(bool(step.rows[0] >= 90) for step in steps) == {True: 10, False: 10}
    counted = Counter(row for step in steps for row in step.rows.tolist() if row >= 90)
    assert set(counted.values()) == {10}, "ten times through its ten rows"
    drawn = Counter((row, step.seen) for step in steps for row in step.rows.tolist())
    assert set(drawn.values()) == {1}, "what is drawn for a row is another thing each time"


def test_annealed_turns_become_more_equal():
    _, steps = steps_of(Mixing(sampling="annealed"), epochs=4)
    turns = [sum(step.rows[0] >= 90 for step in steps if step.epoch == epoch) for epoch in range(4)]
    assert turns == sorted(turns)
    assert turns[0] < turns[-1]


def test_every_part_has_a_turn_however_small():
    course = MixedCourse(
        {"huge": np.full(1000, 5, np.int32), "tiny": np.full(2, 5, np.int32)}, TrainOptions(batch_size=10, epochs=1), Mixing(), seed=1
    )
    assert any(step.rows[0] >= 1000 for step in course.after(0))


@pytest.mark.parametrize("done", [1, 9, 10, 13])
def test_what_is_left_is_the_same_whether_or_not_it_was_interrupted(done: int):
    _, whole = steps_of(Mixing(sampling="equal"))
    _, rest = steps_of(Mixing(sampling="equal"), done=done)
    assert [step.number for step in rest] == list(range(done + 1, 21))
    assert all(np.array_equal(one.rows, other.rows) for one, other in zip(whole[done:], rest, strict=True))
