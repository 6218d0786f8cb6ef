"""Two texts, one label, read together."""

import pytest

from bertsmith.core.errors import DataError
from bertsmith.tasks.pair import SentencePair
from tests.tasks.sentences import TOKENIZER, batch_of, examples

TASK = SentencePair(labels=("no", "yes"))


def test_both_texts_are_encoded_and_told_apart_by_their_segments():
    batch, [row, _] = batch_of(TASK, examples({"text": "a b", "text_pair": "c", "label": "yes"}, {"text": "a", "text_pair": "好", "label": "no"}))
    assert row["input_ids"].tolist() == [2, 5, 6, 3, 7, 3]
    assert row["token_type_ids"].tolist() == [0, 0, 0, 0, 1, 1]
    assert batch.input_ids.tolist() == [[2, 5, 6, 3, 7, 3], [2, 5, 3, 15, 3, 0]]
    assert batch.token_type_ids.tolist() == [[0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0]]
    assert batch.counts == {"pair": 2}


def test_the_longer_text_is_cut():
    task = SentencePair(labels=TASK.labels, max_length=8)
    [row] = task.encode(examples({"text": "a b", "text_pair": "c d e f g h", "label": "no"}), TOKENIZER)
    assert row["input_ids"].tolist() == [2, 5, 6, 3, 7, 8, 9, 3]
    assert row["truncated"].tolist() == [3]


def test_an_empty_second_text_is_one():
    [row] = TASK.encode(examples({"text": "a", "text_pair": "", "label": "no"}), TOKENIZER)
    assert row["input_ids"].tolist() == [2, 5, 3, 3]


def test_pairs_without_one_of_their_texts_are_all_listed():
    rows = examples(
        {"text": "a", "label": "no"}, {"text_pair": "a", "label": "no"}, {"label": "maybe"}, {"text": "a", "text_pair": "b", "label": "no"}
    )
    with pytest.raises(DataError) as caught:
        list(TASK.encode(rows, TOKENIZER))
    assert caught.value.problems == ("train.tsv:2: no text_pair", "train.tsv:3: no text", "train.tsv:4: no text and no text_pair")


def test_numbers_are_texts_too():
    [row] = TASK.encode(examples({"text": 1, "text_pair": 2.5, "label": "no"}), TOKENIZER)
    assert row["input_ids"][:3].tolist() == [2, 1, 3]
