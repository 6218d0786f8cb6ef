"""Validation data that is drawn from training data."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.core.errors import DataError
from bertsmith.data.dataset import Dataset
from bertsmith.data.dividing import divided


@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=60), st.floats(0.01, 0.99), st.integers(0, 9))
def test_a_share_has_the_right_size_and_every_label_its_part(labels: list[str], share: float, seed: int):
    data = Dataset.of([{"text": str(number), "label": label} for number, label in enumerate(labels)])
    kept, drawn = divided(data, share, seed)
    numbers = [int(row["text"]) for row in (*kept, *drawn)]
    assert sorted(numbers) == list(range(len(labels)))
    assert len(drawn) == min(max(1, round(share * len(labels))), len(labels) - 1)
    assert [int(row["text"]) for row in drawn] == sorted(int(row["text"]) for row in drawn)
    effective = len(drawn) / len(labels)
    for label, count in Counter(labels).items():
        assert abs(drawn.label_counts.get(label, 0) - effective * count) <= 3
    assert divided(data, share, seed)[1].examples == drawn.examples


@given(st.lists(st.integers(1, 6), min_size=2, max_size=30), st.floats(0.01, 0.99), st.integers(0, 9))
def test_what_belongs_together_stays_together(sizes: list[int], share: float, seed: int):
    rows = [{"context": f"text {group}", "label": number % 2} for group, size in enumerate(sizes) for number in range(size)]
    kept, drawn = divided(Dataset.of(rows), share, seed, together="context")
    assert len(kept) + len(drawn) == len(rows)
    assert kept.examples
    assert drawn.examples
    assert not {row["context"] for row in kept} & {row["context"] for row in drawn}
    assert abs(len(drawn) - share * len(rows)) <= max(sizes), "a group more or less"
    assert divided(Dataset.of(rows), share, seed, together="context")[1] == drawn


def test_rows_without_the_column_belong_to_no_other():
    rows = Dataset.of([{"context": "", "question": "a"}, {"question": "b"}, {"context": None, "question": "c"}, {"context": "x", "question": "d"}])
    assert len(divided(rows, 0.5, seed=1, together="context")[1]) == 2


@pytest.mark.parametrize(
    ("rows", "together", "message"),
    [
        ([{"text": "a"}], "", "1 row to be divided"),
        ([{"context": "a"}, {"context": "a "}], "context", "all 2 rows have the same context"),
    ],
)
def test_what_cannot_be_divided(rows: list[dict[str, str]], together: str, message: str):
    with pytest.raises(DataError, match=message):
        divided(Dataset.of(rows), 0.5, seed=1, together=together)
