"""A draw depends on the seed and the place, and on nothing else."""

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.core.randomness import generator_at, seed_at

PLACES = st.lists(st.integers(0, 10**9) | st.text(max_size=5).filter(lambda text: "\x1f" not in text), max_size=4)


@given(st.integers(0, 2**32), PLACES, PLACES)
def test_different_places_have_different_seeds(seed: int, first: list[int | str], second: list[int | str]):
    same = [str(part) for part in first] == [str(part) for part in second]
    assert (seed_at(seed, *first) == seed_at(seed, *second)) == same


@given(st.integers(), PLACES)
def test_a_seed_fits_into_63_bits(seed: int, place: list[int | str]):
    assert 0 <= seed_at(seed, *place) < 2**63


def test_a_draw_is_the_same_in_another_process():
    program = "from bertsmith.core.randomness import generator_at; print(generator_at(1, 'mask', 2, 3).integers(10**9))"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert int(printed) == generator_at(1, "mask", 2, 3).integers(10**9)


def test_neighbouring_places_draw_independently():
    draws = np.array([generator_at(0, "mask", 0, place).random() for place in range(2000)])
    assert abs(draws.mean() - 0.5) < 0.03
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.08
