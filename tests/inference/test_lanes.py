"""Lanes keep the order, use the threads there are, and leave the number of threads as it was."""

import threading

import pytest
import torch

from bertsmith.inference.engine import Engine
from bertsmith.inference.lanes import LEAST_PER_LANE, in_lanes
from tests.inference.conftest import WORDS


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_enough_items_go_to_as_many_threads_of_one_thread_each():
    meeting = threading.Barrier(3, timeout=20)

    def compute(number):
        if number < 3:
            meeting.wait()  # passes only if three are under way at once
        return number, threading.current_thread().name, torch.get_num_threads()

    results = list(in_lanes(compute, range(3 * LEAST_PER_LANE)))
    assert [number for number, _, _ in results] == list(range(3 * LEAST_PER_LANE))
    assert len({name for _, name, _ in results}) == 3
    assert {threads for _, _, threads in results} == {1}
    assert torch.get_num_threads() == 3


def test_few_items_stay_here_with_all_threads():
    results = list(in_lanes(lambda _: (threading.current_thread().name, torch.get_num_threads()), range(3)))
    assert set(results) == {(threading.current_thread().name, 3)}


def test_an_error_comes_out_and_the_threads_are_restored():
    with pytest.raises(ZeroDivisionError):
        list(in_lanes(lambda number: 1 / (number - 5), range(40)))
    assert torch.get_num_threads() == 3


def test_the_engine_computes_the_same_in_lanes(tiny):
    texts = [" ".join(WORDS[: 1 + number % 17]) for number in range(60)]
    in_many, in_one = Engine(tiny, batch_tokens=20).embed(texts), Engine(tiny, batch_tokens=100_000).embed(texts)
    assert abs(in_many - in_one).max() < 1e-5
