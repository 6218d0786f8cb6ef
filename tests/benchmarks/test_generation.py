"""What the generation race compares, and its page; the race itself is no test."""

import numpy as np
import pytest

from benchmarks.generation import ORDINARY, OURS, PEER, compared, report
from benchmarks.generation_sides import padded


def results() -> dict:
    conditions = {
        "processor": "A", "family_model": "1/2", "cores": 2, "instructions": ["avx2"], "load": 0.1, "date": "2020-02-02", "versions": {"torch": "1"},
        "command": "run",
    }  # fmt: skip
    seconds = {OURS: [1.0, 2.0, 1.0], ORDINARY: [2.0, 2.0, 2.0], PEER: [2.0, 3.0, 3.0]}
    return {
        "bart": {
            "quick": False, "rounds": 3, "conditions": conditions, "agreement": {OURS: 1.0, PEER: 1.0}, "seconds": seconds, "loads": [0.2, 0.9, 1.4],
            "batches": 1, "tokens": 40, "lengths": [90, 100, 130], "parameters": 139e6,
        }
    }  # fmt: skip


def test_the_page_compares_within_rounds():
    page = report(results())
    assert "| bertsmith | 320.0 (160.0–320.0) | 2.00 (1.50–3.00) |" in page
    assert "| transformers | 106.7 (106.7–160.0) | 1.00 (1.00–1.00) |" in page
    assert "over 8 sources of 100 tokens in the median" in page
    assert "0.2–1.4 before the rounds" in page
    assert "smoke" not in page


def test_a_smoke_run_says_that_it_is_one():
    quick = results()
    quick["bart"]["quick"] = True
    assert "smoke run" in report(quick)


def test_sides_that_write_something_else_are_not_compared():
    texts = {PEER: [[1, 2, 3], [4, 5, 6]], OURS: [[1, 2, 3], [4, 5, 6]]}
    assert compared(texts) == {PEER: 1.0, OURS: 1.0}
    with pytest.raises(SystemExit, match="do not write what transformers writes"):
        compared({**texts, OURS: [[1, 2, 3], [4, 5, 7]]})
    with pytest.raises(SystemExit, match="do not write what transformers writes"):
        compared({**texts, OURS: [[1, 2, 3]]})


def test_padding_stands_on_the_side_that_is_asked_for():
    rows = [np.array([5, 6]), np.array([7])]
    assert padded(rows, "right")[1].tolist() == [[1, 1], [1, 0]]
    assert padded(rows, "left")[0].tolist() == [[5, 6], [1, 7]]
