"""Windows hold every token, and every token belongs to the window that shows it best."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.text.windows import widest, windows

lengths, sizes, steps = st.integers(0, 300), st.integers(1, 60), st.integers(1, 80)


@given(lengths, sizes, steps)
def test_windows_are_those_of_the_published_loop(length: int, size: int, step: int):
    expected, start = [], 0
    while True:
        expected.append((start, min(start + size, length)))
        if expected[-1][1] == length:
            break
        start += min(step, size)
    assert windows(length, size, step) == expected


@given(lengths, sizes, steps)
def test_every_token_belongs_to_one_window_where_its_context_is_widest(length: int, size: int, step: int):
    over = windows(length, size, step)
    mine = widest(over)
    for token in range(length):
        holding = [
            (min(token - begin, end - 1 - token) + 0.01 * (end - begin), -number) for number, (begin, end) in enumerate(over) if begin <= token < end
        ]
        assert [number for number, (begin, end) in enumerate(over) if begin <= token < end and mine[number][token - begin]] == [-max(holding)[1]]


def test_a_text_that_fits_is_one_window_and_so_is_none():
    assert windows(5, 8, 2) == [(0, 5)]
    assert windows(0, 8, 2) == [(0, 0)]
    assert [own.tolist() for own in widest([(0, 0)])] == [[]]


@pytest.mark.parametrize("length", [1_000_000])
def test_long_texts_take_no_time(length: int):
    over = windows(length, 360, 128)
    assert len(over) == 7811
    assert sum(int(own.sum()) for own in widest(over)) == length
    assert np.array(over[-1]).tolist() == [7810 * 128, length]
