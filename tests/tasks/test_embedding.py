"""Texts that are to find what belongs to them: the loss by hand, what is no negative, and what is measured."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bertsmith.core.errors import DataError
from bertsmith.core.types import Features
from bertsmith.data.dataset import Dataset
from bertsmith.metrics import retrieval
from bertsmith.report.errors import analysed
from bertsmith.tasks.embedding import ITSELF, NOT_A_PAIR, NOTHING_TO_FIND, Embedding
from bertsmith.tasks.outcome import Outcome
from tests.tasks.sentences import TOKENIZER, batch_of, examples, saying

MODEL = saying(0.0)
PAIRS = ({"text": "a", "text_pair": "b"}, {"text": "c", "text_pair": "d e"})


def loss_of(task: Embedding, rows: list[dict[str, Any]], vectors: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> float:
    """The loss where the texts of a batch have these vectors, in the order of the rows."""
    batch, _ = batch_of(task, examples(*rows))
    monkeypatch.setattr(Embedding, "unit_vectors", lambda *_: vectors)
    return task.loss(MODEL, batch)["embedding"].item()


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


# --- rows and batches


def test_the_texts_of_a_row_stand_end_to_end_and_are_sequences_of_a_batch():
    batch, rows = batch_of(Embedding(), examples(*PAIRS))
    assert [row["input_ids"].tolist() for row in rows] == [[2, 5, 3, 2, 6, 3], [2, 7, 3, 2, 8, 9, 3]]
    assert [row["sizes"].tolist() for row in rows] == [[3, 3], [3, 4]]
    assert batch.input_ids.tolist() == [[2, 5, 3, 0], [2, 6, 3, 0], [2, 7, 3, 0], [2, 8, 9, 3]]
    assert batch.labels["side"].tolist() == [0, 1, 0, 1]
    assert batch.counts == {"embedding": 2}


def test_negatives_follow_their_row():
    rows = examples({**PAIRS[0], "negative": ["c", "d"]}, PAIRS[1], {"text": "e", "text_pair": "f", "negative": "g"})
    batch, _ = batch_of(Embedding(), rows)
    assert batch.labels["side"].tolist() == [0, 1, 2, 3, 0, 1, 0, 1, 2]
    assert batch.input_ids[:, 1].tolist() == [5, 6, 7, 8, 7, 8, 9, 10, 11]


def test_every_text_is_cut_by_itself():
    [row] = Embedding(max_length=8).encode(examples({"text": "a " * 9, "text_pair": "b " * 7}), TOKENIZER)
    assert row["sizes"].tolist() == [8, 8]
    assert row["truncated"].tolist() == [3 + 1]


def test_without_a_pair_the_text_is_its_own_and_dropout_makes_the_difference():
    batch, [row, _] = batch_of(Embedding(), examples({"text": "a b"}, {"text": "c"}))
    assert row["input_ids"].tolist() == [2, 5, 6, 3] * 2
    vectors = Embedding().unit_vectors(MODEL.eval(), batch)
    assert torch.allclose(vectors[0], vectors[1], atol=1e-6)
    torch.manual_seed(0)
    vectors = Embedding().unit_vectors(MODEL.train(), batch)
    MODEL.eval()
    assert not torch.allclose(vectors[0], vectors[1], atol=1e-3)


def test_pooling():
    batch, _ = batch_of(Embedding(), examples(*PAIRS))
    with torch.no_grad():
        states = MODEL.eval()(batch).padded()
        first, mean = (Embedding(pooling=name).unit_vectors(MODEL, batch) for name in ("cls", "mean"))
    torch.testing.assert_close(first, F.normalize(states[:, 0], dim=1))
    torch.testing.assert_close(mean[0], F.normalize(states[0, :3].mean(0), dim=0))


# --- the loss


def test_the_loss_by_hand(monkeypatch: pytest.MonkeyPatch):
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    first = math.log(math.exp(1) + math.exp(0.6)) - 1
    second = math.log(math.exp(0) + math.exp(0.8)) - 0.8
    assert loss_of(Embedding(temperature=1.0), list(PAIRS), vectors, monkeypatch) == pytest.approx(first + second)
    back = math.log(math.exp(1) + math.exp(0)) - 1 + math.log(math.exp(0.6) + math.exp(0.8)) - 0.8
    assert loss_of(Embedding(temperature=1.0, symmetric=True), list(PAIRS), vectors, monkeypatch) == pytest.approx((first + second + back) / 2)


def test_a_row_alone_has_nothing_to_be_told_apart_from(monkeypatch: pytest.MonkeyPatch):
    assert loss_of(Embedding(), [PAIRS[0]], unit(2, 4), monkeypatch) == 0


@pytest.mark.parametrize("symmetric", [False, True])
def test_it_is_the_multiple_negatives_ranking_loss(symmetric: bool, monkeypatch: pytest.MonkeyPatch):
    """Written down anew: cosines times 20, for every text minus its pair's plus the log-sum over all pairs and negatives; backwards over texts."""
    rows = [{"text": text, "text_pair": pair, "negative": wrong} for text, pair, wrong in zip("abcd", "efgh", "ij好差", strict=True)]
    vectors = unit(12, 6)
    texts, pairs, wrong = vectors[0::3], vectors[1::3], vectors[2::3]
    scores = 20 * texts @ torch.cat([pairs, wrong]).T
    expected = (scores.logsumexp(1) - scores[:, :4].diagonal()).mean()
    if symmetric:
        backwards = 20 * pairs @ texts.T
        expected = (expected + (backwards.logsumexp(1) - backwards.diagonal()).mean()) / 2
    assert loss_of(Embedding(symmetric=symmetric), rows, vectors, monkeypatch) / 4 == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("rows", "negatives"),
    [
        ([("a", "b"), ("c", "d"), ("e", "b")], [[1], [0, 2], [1]]),  # the same pair
        ([("a", "b"), ("a", "d"), ("e", "f")], [[2], [2], [0, 1]]),  # the same text
        ([("a", "b"), ("c", "a"), ("e", "f")], [[2], [0, 2], [0, 1]]),  # a pair that reads like the text
        ([("a", "b"), ("c", "d"), ("e", "f")], [[1, 2], [0, 2], [0, 1]]),
    ],
)
def test_what_is_right_for_a_row_is_no_negative_of_it(rows: list[tuple[str, str]], negatives: list[list[int]], monkeypatch: pytest.MonkeyPatch):
    vectors = unit(6, 5)
    texts, pairs = vectors[0::2], vectors[1::2]
    expected = 0.0
    for row, others in enumerate(negatives):
        scores = texts[row] @ pairs[[row, *others]].T
        expected += float(scores.logsumexp(0) - scores[0])
    asked = [{"text": text, "text_pair": pair} for text, pair in rows]
    assert loss_of(Embedding(temperature=1.0), asked, vectors, monkeypatch) == pytest.approx(expected, rel=1e-5)


def test_a_negative_that_is_right_for_another_row_is_none_for_that_row(monkeypatch: pytest.MonkeyPatch):
    rows = [{"text": "a", "text_pair": "b", "negative": "d"}, {"text": "c", "text_pair": "d"}]
    vectors = unit(5, 5)
    text, pair, wrong, other_text, other_pair = vectors
    first = torch.stack([text @ pair, text @ other_pair, text @ wrong])
    second = torch.stack([other_text @ other_pair, other_text @ pair])
    expected = float(first.logsumexp(0) - first[0] + second.logsumexp(0) - second[0])
    assert loss_of(Embedding(temperature=1.0), rows, vectors, monkeypatch) == pytest.approx(expected, rel=1e-5)


def test_the_loss_is_computed_in_float32_under_autocast():
    batch, _ = batch_of(Embedding(), examples(*PAIRS, {"text": "e f", "text_pair": "g"}))
    exact = Embedding().loss(MODEL, batch)["embedding"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = Embedding().loss(MODEL, batch)["embedding"]
    assert rounded.dtype == torch.float32
    assert rounded.item() == pytest.approx(exact.item(), rel=0.2)


# --- data


def test_rows_that_are_no_pairs_are_left_out_and_counted():
    rows = Dataset.of([{**PAIRS[0], "label": label} for label in ("1", "0", 1, 0, True, False, 0.0, None)])
    settled = Embedding().settled(rows, training=True)
    assert [row["label"] for row in settled] == ["1", 1, True, None]
    assert settled.dropped == {NOT_A_PAIR: 4}


def test_texts_alone_are_trained_on_and_not_measured_with():
    rows = Dataset.of([PAIRS[0], {"text": "a"}])
    training, measuring = (Embedding().settled(rows, training=training) for training in (True, False))
    assert (len(training), training.mended, training.dropped) == (2, {ITSELF: 1}, {})
    assert (len(measuring), measuring.mended, measuring.dropped) == (1, {}, {NOTHING_TO_FIND: 1})


def test_every_mistake_is_listed_with_its_place():
    rows = examples(
        {"text": "a"},
        {"text_pair": "b"},
        {**PAIRS[0], "label": 0},
        {**PAIRS[0], "label": "entailment"},
        {**PAIRS[0], "negative": 3},
        {**PAIRS[0], "negative": ["c", ""]},
        {**PAIRS[0], "negative": ["c", "b"]},
        {**PAIRS[0], "negative": ""},
        {**PAIRS[0], "negative": ["c", 3]},
        {**PAIRS[0], "negative": "\ud83d"},
    )
    with pytest.raises(DataError) as caught:
        list(Embedding().encode(rows, TOKENIZER))
    assert caught.value.problems == (
        "train.tsv:3: no text",
        f"train.tsv:4: {NOT_A_PAIR}",
        "train.tsv:5: label 'entailment' is neither 1, a pair, nor 0; for numbers there is the task 'similarity'",
        "train.tsv:6: negative is '3'; it must be a text or a list of texts",
        "train.tsv:7: a negative is empty",
        "train.tsv:8: negative 'b' is the same text as what it is to be told apart from",
        "train.tsv:10: a negative is '3' (int), not a string",
        "train.tsv:11: a negative holds half a surrogate pair (a character cut in two by \\u escapes)",
    )


def test_two_texts_are_needed_to_be_compared():
    with pytest.raises(DataError) as caught:
        list(Embedding().encode(examples({"text": "a"}, {"text_pair": "b"}, {}, PAIRS[0]), TOKENIZER, labelled=False))
    assert caught.value.problems == ("train.tsv:2: no text_pair", "train.tsv:3: no text", "train.tsv:4: no text and no text_pair")
    assert Embedding.inputs() == ("text", "text_pair")


def test_fitting_needs_labels_of_0_and_1_and_two_rows():
    assert Embedding().fitted(examples(*PAIRS)) == Embedding()
    with pytest.raises(DataError, match="has 1 pairs; at least two are needed"):
        Embedding().fitted(examples(PAIRS[0]))
    with pytest.raises(DataError, match=r"(?s)1 label cannot be used.*train\.tsv:3: label '4\.5' is neither 1"):
        Embedding().fitted(examples(*PAIRS[:1], {**PAIRS[1], "label": 4.5}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature is 0.0; it must be greater than 0 and finite"),
        ({"temperature": float("nan")}, "temperature is nan; it must be greater than 0 and finite"),
        ({"labels": ("a", "b")}, "labels are given; the task 'embedding' chooses among none"),
        ({"max_length": 4}, "max_length is 4"),
    ],
)
def test_impossible_options_are_refused_by_name(options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        Embedding(**options)


# --- what is said and measured


def outcome(rows: list[dict[str, Any]], vectors: list[list[list[float]]]) -> Outcome:
    features: list[Features] = list(Embedding().encode(examples(*rows), TOKENIZER))
    return Outcome([np.array(own, np.float32) for own in vectors], features, examples(*rows), TOKENIZER)


EAST, NORTH, BETWEEN = [1.0, 0.0], [0.0, 1.0], [0.6, 0.8]


def test_outputs_are_the_vectors_of_a_row_and_the_score_is_their_cosine():
    batch, _ = batch_of(Embedding(), examples({**PAIRS[0], "negative": "c"}, PAIRS[1]))
    found = [output.detach() for output in Embedding().outputs(MODEL, batch)]
    assert [len(vectors) for vectors in found] == [3, 2]
    torch.testing.assert_close(torch.cat(found), Embedding().unit_vectors(MODEL, batch).detach())
    torch.testing.assert_close(torch.cat(found).norm(dim=1), torch.ones(5))
    assert Embedding().decode(Outcome([np.array([EAST, BETWEEN]), np.array([EAST, NORTH])])) == [{"score": 0.6}, {"score": 0.0}]


def test_the_right_text_is_looked_for_among_all_pairs_and_negatives():
    rows = [{**PAIRS[0], "negative": "f"}, PAIRS[1], {"text": "g", "text_pair": "h"}]
    found = outcome(rows, [[EAST, BETWEEN, [0.8, 0.6]], [NORTH, NORTH], [EAST, EAST]])
    # The first finds the pair of the third (1), its own negative (0.8), its pair (0.6): rank 3. The others find theirs at once.
    metrics = Embedding().metrics(found)
    assert metrics == pytest.approx({"recall@1": 2 / 3, "recall@5": 1, "recall@10": 1, "mrr": (1 / 3 + 1 + 1) / 3})
    assert Embedding().correct(found).tolist() == pytest.approx([1 / 3, 1, 1])
    chance = (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4
    assert Embedding().baseline(found) == pytest.approx({"recall@1": 0.25, "recall@5": 1, "recall@10": 1, "mrr": chance})


def test_the_same_text_elsewhere_is_not_counted_against_a_row():
    rows = [{"text": "a", "text_pair": "b"}, {"text": "c", "text_pair": "b"}, {"text": "e", "text_pair": "f"}]
    found = outcome(rows, [[EAST, BETWEEN], [NORTH, BETWEEN], [EAST, NORTH]])
    assert Embedding().correct(found).tolist() == [1, 0.5, 1 / 3]
    assert Embedding().baseline(found)["recall@1"] == pytest.approx((1 / 2 + 1 / 2 + 1 / 3) / 3)


def test_a_model_that_says_the_same_of_everything_has_found_nothing():
    found = outcome([*PAIRS, {"text": "g", "text_pair": "h"}], [[EAST, EAST]] * 3)
    assert Embedding().metrics(found) == pytest.approx({"recall@1": 0, "recall@5": 1, "recall@10": 1, "mrr": 1 / 3})


def test_many_rows_are_ranked_block_by_block(monkeypatch: pytest.MonkeyPatch):
    rows = [{"text": f"{first} {second}", "text_pair": f"{second} {first} {first}"} for first in "abcde" for second in "fghij"]
    vectors = unit(25, 2, 4).tolist()
    whole = Embedding().correct(outcome(rows, vectors))
    monkeypatch.setattr("bertsmith.tasks.embedding.BLOCK", 7)
    assert Embedding().correct(outcome(rows, vectors)).tolist() == whole.tolist()
    assert len(set(whole.tolist())) > 5


def test_an_error_analysis_ranks_once(monkeypatch: pytest.MonkeyPatch):
    ranked: list[int] = []
    plain = retrieval.ranks
    monkeypatch.setattr(retrieval, "ranks", lambda scores, right: ranked.append(len(right)) or plain(scores, right))
    found = outcome([*PAIRS], [[EAST, BETWEEN], [NORTH, NORTH]])
    analysed(Embedding(), found)
    Embedding().interval(found)
    Embedding().baseline(found)
    assert ranked == [2]
