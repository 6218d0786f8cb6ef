"""What the reading race compares, and its page; the race itself is no test."""

import pytest

from benchmarks.reading import OURS, PEER, SORTED, compared, report


def results() -> dict:
    conditions = {
        "processor": "A", "family_model": "1/2", "cores": 2, "instructions": ["avx2"], "load": 0.1, "date": "2020-02-02", "versions": {"torch": "1"},
        "command": "run",
    }  # fmt: skip
    seconds = {OURS: [1.0, 2.0, 1.0], SORTED: [2.0, 2.0, 2.0], PEER: [2.0, 3.0, 3.0]}
    return {
        "small-articles": {
            "quick": False, "rounds": 3, "conditions": conditions, "agreement": {OURS: 1.0, SORTED: 1.0, PEER: 1.0}, "seconds": seconds,
            "loads": [0.2, 0.9, 1.4], "questions": 64, "characters": [900, 2000, 3000], "parameters": 9e6,
        }
    }  # fmt: skip


def test_the_page_compares_within_rounds():
    page = report(results())
    assert "| bertsmith | 64.0 (32.0–64.0) | 2.00 (1.50–3.00) | 2.00 (1.00–2.00) |" in page
    assert "| transformers, sorted | 32.0 (32.0–32.0) | 1.50 (1.00–1.50) | 1.00 (1.00–1.00) |" in page
    assert "64 questions of DRCD about articles of 2,000 characters in the median (900–3,000)" in page
    assert "smoke" not in page


def test_a_smoke_run_says_that_it_is_one():
    quick = results()
    quick["small-articles"]["quick"] = True
    assert "smoke run" in report(quick)


def test_sides_that_answer_something_else_are_not_compared():
    answers = {PEER: [[1, 2], [4, 5]], OURS: [[1, 2], [4, 5]]}
    assert compared(answers) == {PEER: 1.0, OURS: 1.0}
    with pytest.raises(SystemExit, match="do not answer what transformers answers"):
        compared({**answers, OURS: [[1, 2], [4, 6]]})
