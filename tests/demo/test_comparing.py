import numpy as np
import pytest

from bertsmith.demo.comparing import System, constant, described, difference, subsets_of, verdict


def system(*rows: list[float], title: str = "a") -> System:
    return System(title, "", ("x",) * len(rows), np.array(rows, dtype=np.float64))


TEXTS = ["很好"] * 60 + ["good"] * 40
ALL, CHINESE, ENGLISH = subsets_of(TEXTS)


def test_scores_are_the_mean_and_spread_over_seeds_of_each_subset():
    half = [1.0] * 60 + [0.0] * 40
    scores = described(system(half, [1.0] * 100), [ALL, CHINESE, ENGLISH])["scores"]
    assert scores["all"]["values"] == [0.6, 1.0]
    assert scores["all"]["mean"] == pytest.approx(0.8)
    assert scores["all"]["deviation"] == pytest.approx(np.std([0.6, 1.0], ddof=1))
    assert scores["Chinese"]["mean"] == 1
    assert scores["English"]["mean"] == 0.5


def test_subsets_that_are_empty_are_left_out():
    assert [subset.name for subset in subsets_of(["good"])] == ["all", "English"]


def test_a_constant_answer_is_right_where_the_label_is_that():
    assert constant("yes", ["yes", "no", "yes"]).correct.tolist() == [[1, 0, 1]]


@pytest.mark.parametrize(
    ("mended", "broken", "wanted"),
    [(20, 0, "better"), (0, 20, "worse"), (3, 2, "inside the noise"), (0, 0, "inside the noise")],
)
def test_a_difference_is_judged_by_the_examples(mended: int, broken: int, wanted: str):
    first, second = np.zeros(100), np.zeros(100)
    first[50:] = second[50:] = 1
    second[:mended] = 1
    second[100 - broken :] = 0
    found = difference("d", system(first.tolist()), system(second.tolist()), ALL)
    assert found["verdict"] == wanted
    assert found["difference"] == pytest.approx((mended - broken) / 100)


def test_a_difference_on_a_subset_looks_at_nothing_else():
    first, second = [0.0] * 100, [0.0] * 60 + [1.0] * 40
    assert difference("d", system(first), system(second), CHINESE)["difference"] == 0
    assert difference("d", system(first), system(second), ENGLISH)["difference"] == 1


@pytest.mark.parametrize(("first", "second"), [(0, 0), (50, 52), (60, 90), (90, 60), (88, 86), (100, 100)])
def test_the_verdict_says_noise_exactly_where_the_test_does(first: int, second: int):
    baseline = constant("no", ["no"] * 50 + ["yes"] * 50)
    plain = system([1.0] * first + [0.0] * (100 - first))
    adapted = system([1.0] * second + [0.0] * (100 - second))
    gained, worth = difference("", baseline, plain, ALL), difference("", plain, adapted, ALL)
    sentence = verdict(240, baseline, plain, gained, worth)
    assert ("inside the noise" in sentence) == (worth["verdict"] == "inside the noise")
    assert ("adds" in sentence) == (worth["verdict"] == "better")
    assert ("costs" in sentence) == (worth["verdict"] == "worse")
    assert ("not clearly more" in sentence) == (gained["verdict"] != "better")
    assert f"{first / 100:.1%} of 100 new ones" in sentence
