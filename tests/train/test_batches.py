from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.train import batches
from bertsmith.train.batches import Course, epoch_batches, num_batches, within_budget
from bertsmith.train.options import TrainOptions

LENGTHS = st.lists(st.integers(1, 200), min_size=1, max_size=300).map(np.array)


@given(LENGTHS, st.integers(0, 3), st.integers(1, 500))
def test_every_row_is_in_exactly_one_batch_of_an_epoch(lengths, epoch, tokens):
    batches = epoch_batches(lengths, TrainOptions(batch_tokens=tokens), seed=1, epoch=epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))


@given(LENGTHS, st.integers(1, 500))
def test_no_batch_is_over_its_budget_unless_one_row_alone_is(lengths, tokens):
    for batch in epoch_batches(lengths, TrainOptions(batch_tokens=tokens), seed=1, epoch=0):
        assert lengths[batch].sum() <= tokens or len(batch) == 1


def test_batches_hold_rows_of_like_length_and_change_from_epoch_to_epoch():
    lengths = np.random.default_rng(0).integers(1, 200, size=2000)
    options = TrainOptions(batch_size=32)
    first, second = (epoch_batches(lengths, options, seed=1, epoch=epoch) for epoch in (0, 1))
    padded = sum(len(batch) * lengths[batch].max() for batch in first)
    assert padded < 1.1 * lengths.sum()
    assert [batch.tolist() for batch in first] != [batch.tolist() for batch in second]
    means = [lengths[batch].mean() for batch in first]
    assert abs(np.corrcoef(np.arange(len(means)), means)[0, 1]) < 0.4, "short batches must not all come first"


@given(LENGTHS, st.integers(1, 100))
def test_runs_within_a_budget_keep_the_order(lengths, tokens):
    rows = np.arange(len(lengths))
    assert np.concatenate(within_budget(rows, lengths, tokens)).tolist() == rows.tolist()


@given(LENGTHS, st.integers(1, 100))
def test_a_run_ends_where_the_next_row_does_not_fit(lengths, tokens):
    runs = within_budget(np.arange(len(lengths)), lengths, tokens)
    assert all(lengths[run].sum() + lengths[after[0]] > tokens for run, after in pairwise(runs))


def test_no_rows_make_no_runs():
    assert within_budget(np.array([], int), np.array([], int), 8) == []


@pytest.mark.parametrize("done", [0, 1, 6, 7, 13])
def test_a_resumed_run_takes_the_steps_that_are_left(done):
    lengths = np.arange(1, 31)
    options = TrainOptions(batch_size=5, epochs=2.5)
    course = Course(lengths, options, seed=2)
    whole, rest = list(course.after(0)), list(course.after(done))
    assert [(step.number, step.epoch, step.rows.tolist(), step.last_of_epoch) for step in rest] == [
        (step.number, step.epoch, step.rows.tolist(), step.last_of_epoch) for step in whole[done:]
    ]
    assert len(whole) == course.total == 15


def test_steps_go_before_epochs():
    assert Course(np.arange(1, 31), TrainOptions(batch_size=5, steps=4), seed=0).total == 4


@given(LENGTHS, st.integers(1, 40), st.integers(0, 3))
def test_batches_of_sequences_are_counted_without_making_them(lengths, size, epoch):
    options = TrainOptions(batch_size=size)
    assert num_batches(lengths, options, seed=1, epoch=epoch) == len(epoch_batches(lengths, options, seed=1, epoch=epoch))


@pytest.mark.parametrize("options", [{"batch_size": 5}, {"batch_tokens": 40}])
@given(done=st.integers(0, 17))
def test_whatever_is_done_the_rest_is_the_same(options, done):
    course = Course(np.arange(1, 31), TrainOptions(epochs=2.5, **options), seed=2)
    whole = [(step.number, step.epoch, step.rows.tolist(), step.last_of_epoch) for step in course.after(0)]
    rest = [(step.number, step.epoch, step.rows.tolist(), step.last_of_epoch) for step in course.after(done)]
    assert rest == whole[done:]


def test_a_long_training_is_counted_and_resumed_without_putting_its_epochs_in_order(monkeypatch):
    made = []
    monkeypatch.setattr(batches, "epoch_batches", lambda *arguments: made.append(arguments[-1]) or epoch_batches(*arguments))
    course = Course(np.arange(1, 31), TrainOptions(batch_size=5, epochs=100_000), seed=2)
    assert course.total == 600_000
    step = next(course.after(599_990))
    assert (step.number, step.epoch) == (599_991, 99_998)
    assert made == [99_998]
