"""Spread, intervals and tests: scipy's values, and that chance is found where there is only chance."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bertsmith.core.errors import DataError
from bertsmith.metrics.classification import accuracy
from bertsmith.metrics.uncertainty import bootstrap_interval, compare_paired, compare_paired_f1, spread_of


def test_spread_is_the_sample_standard_deviation():
    spread = spread_of([1.0, 2.0, 4.0])
    assert (spread.mean, spread.deviation, spread.count) == (pytest.approx(7 / 3), pytest.approx(np.std([1, 2, 4], ddof=1)), 3)
    assert str(spread) == "2.333 ± 1.528"
    assert str(spread_of([0.5])) == "0.500"
    with pytest.raises(DataError):
        spread_of([])


def test_interval_is_near_scipys():
    generator = np.random.default_rng(0)
    labels = generator.integers(2, size=300)
    predictions = np.where(generator.random(300) < 0.8, labels, 1 - labels)
    ours = bootstrap_interval(accuracy, labels, predictions, seed=1, level=0.9)
    options = {"paired": True, "vectorized": False, "method": "percentile", "confidence_level": 0.9, "n_resamples": 2000, "rng": generator}
    theirs = stats.bootstrap((labels, predictions), accuracy, **options).confidence_interval
    assert ours.level == 0.9
    np.testing.assert_allclose([ours.low, ours.high], [theirs.low, theirs.high], atol=0.01)


def test_columns_are_drawn_together():
    labels = np.arange(20)
    interval = bootstrap_interval(accuracy, labels, labels, rounds=50)
    assert (interval.low, interval.high) == (1.0, 1.0)


def test_seed_decides():
    scores = np.linspace(0, 1, 17) ** 2
    assert bootstrap_interval(np.mean, scores, seed=3) == bootstrap_interval(np.mean, scores, seed=3)
    assert bootstrap_interval(np.mean, scores, seed=3) != bootstrap_interval(np.mean, scores, seed=4)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.3, 1.0]), min_size=1, max_size=8).map(np.array))
def test_p_value_is_that_of_all_sign_flips(differences):
    sums = [np.abs(np.dot(signs, differences)) for signs in product((-1, 1), repeat=len(differences))]
    exact = np.mean(np.array(sums) >= abs(differences.sum()) - 1e-9)
    assert compare_paired(np.zeros(len(differences)), differences).p_value == pytest.approx(exact, abs=0.025)


def test_p_value_is_near_scipys():
    generator = np.random.default_rng(5)
    first, second = generator.random(60), generator.random(60) + 0.05
    theirs = stats.permutation_test((second - first,), np.mean, permutation_type="samples", vectorized=True, rng=generator, axis=0)
    ours = compare_paired(first, second)
    assert ours.p_value == pytest.approx(theirs.pvalue, abs=0.025)
    assert ours.difference == pytest.approx((second - first).mean())
    assert ours.interval.low < ours.difference < ours.interval.high


def test_direction_only_turns_the_sign():
    generator = np.random.default_rng(2)
    first, second = generator.random(40), generator.random(40)
    forth, back = compare_paired(first, second), compare_paired(second, first)
    assert forth.p_value == back.p_value
    assert forth.difference == pytest.approx(-back.difference)
    assert (forth.interval.low, forth.interval.high) == (pytest.approx(-back.interval.high), pytest.approx(-back.interval.low))


def test_equal_systems_are_rarely_told_apart():
    generator = np.random.default_rng(11)
    p_values = [compare_paired(generator.random(30), generator.random(30), rounds=400, seed=seed).p_value for seed in range(100)]
    assert 0 < sum(value <= 0.1 for value in p_values) <= 20


def counted(generator: np.random.Generator, examples: int) -> tuple[np.ndarray, np.ndarray]:
    """What two systems found among the same entities; some texts have none."""
    gold = generator.integers(0, 4, examples)
    found = [generator.binomial(gold, share) for share in (0.5, 0.7)]
    one, other = (np.stack([right, right + generator.integers(0, 2, examples), gold], 1) for right in found)
    return one, other


def f1_by_hand(counts: np.ndarray) -> float:
    found, said, gold = (sum(column) for column in counts.T.tolist())
    return 2 * found / (said + gold) if said + gold else 0.0


def test_p_value_of_f1_is_that_of_all_exchanges():
    first, second = counted(np.random.default_rng(3), 10)
    observed = f1_by_hand(second) - f1_by_hand(first)
    as_large = 0
    for swapped in product((False, True), repeat=10):
        one = np.array([b if swap else a for a, b, swap in zip(first, second, swapped, strict=True)])
        other = np.array([a if swap else b for a, b, swap in zip(first, second, swapped, strict=True)])
        as_large += abs(f1_by_hand(other) - f1_by_hand(one)) >= abs(observed) - 1e-9
    ours = compare_paired_f1(first, second)
    assert ours.difference == pytest.approx(observed)
    assert ours.p_value == pytest.approx(as_large / 2**10, abs=0.02)


def test_interval_of_f1_draws_examples_of_both_systems_together():
    first, second = counted(np.random.default_rng(4), 200)
    draws = [np.random.default_rng(number).integers(200, size=200) for number in range(2000)]
    drawn = [f1_by_hand(second[rows]) - f1_by_hand(first[rows]) for rows in draws]
    ours = compare_paired_f1(first, second)
    assert (ours.interval.low, ours.interval.high) == (
        pytest.approx(np.quantile(drawn, 0.025), abs=0.01),
        pytest.approx(np.quantile(drawn, 0.975), abs=0.01),
    )


def test_texts_without_a_decision_say_nothing_of_f1():
    nothing = np.zeros((50, 3), int)
    invented = np.array([[0, 2, 0]] * 50)
    assert compare_paired_f1(invented, nothing).difference == 0
    assert compare_paired_f1(invented, nothing).p_value == 1
    first, second = counted(np.random.default_rng(5), 40)
    longer = compare_paired_f1(np.concatenate([first, nothing]), np.concatenate([second, nothing]))
    assert (longer.difference, longer.p_value) == (
        pytest.approx(compare_paired_f1(first, second).difference),
        compare_paired_f1(first, second).p_value,
    )
