"""Entities: the numbers of seqeval, read as the script of CoNLL does and strictly, and the way from spans to tags and back."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import sequence_labeling as oracle
from seqeval.metrics.v1 import precision_recall_fscore_support as strict_oracle
from seqeval.scheme import IOB2, IOBES, Tokens

from bertsmith.core.errors import DataError
from bertsmith.metrics.classification import micro_f1
from bertsmith.metrics.entities import (
    Scheme,
    entities_of,
    entity_scores,
    scheme_of,
    span_counts,
    span_scores,
    span_scores_by_type,
    tags_of,
    violations,
)
from bertsmith.metrics.uncertainty import bootstrap_interval

SCHEMES: dict[Scheme | None, type | None] = {None: None, "bio": IOB2, "bioes": IOBES}
LETTERS: dict[Scheme | None, str] = {None: "BIES", "bio": "BI", "bioes": "BIES"}
AVERAGES = ("micro", "macro")
TYPES = ["PER", "LOC", "a-b"]


def any_tags(scheme: Scheme | None) -> list[str]:
    """Every tag of a scheme over three types, those without a type too."""
    return ["O", *(f"{letter}-{label}" for letter in LETTERS[scheme] for label in TYPES), *LETTERS[scheme]]


def oracle_scores(gold: list[list[str]], predicted: list[list[str]], scheme: Scheme | None) -> dict[str, float]:
    """What seqeval says; it gives NaN for the mean of no types, and we say 0."""
    score = oracle.precision_recall_fscore_support if scheme is None else strict_oracle
    options = {} if scheme is None else {"scheme": SCHEMES[scheme]}
    scores = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for average in AVERAGES:
            values = score(gold, predicted, average=average, zero_division=0, **options)[:3]
            scores |= {f"{average}_{name}": value for name, value in zip(("precision", "recall", "f1"), values, strict=True)}
    return {name: 0.0 if np.isnan(value) else value for name, value in scores.items()}


def assert_equal(gold: list[list[str]], predicted: list[list[str]], scheme: Scheme | None) -> None:
    assert entity_scores(gold, predicted, scheme) == pytest.approx(oracle_scores(gold, predicted, scheme))


@st.composite
def tagged(draw: st.DrawFn, scheme: Scheme | None) -> tuple[list[list[str]], list[list[str]]]:
    tag = st.sampled_from(any_tags(scheme))
    lengths = draw(st.lists(st.integers(1, 8), min_size=1, max_size=4))
    gold, predicted = ([draw(st.lists(tag, min_size=length, max_size=length)) for length in lengths] for _ in range(2))
    return gold, predicted


@pytest.mark.parametrize("scheme", SCHEMES)
@settings(max_examples=150)
@given(data=st.data())
def test_scores_are_those_of_seqeval(scheme: Scheme | None, data: st.DataObject):
    assert_equal(*data.draw(tagged(scheme)), scheme)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_scores_are_those_of_seqeval_on_2000_sentences(scheme: Scheme | None):
    """Broken tags throughout; half of what is predicted is what is right."""
    generator = np.random.default_rng(7)
    tags = any_tags(scheme)
    gold = [[tags[place] for place in generator.integers(len(tags), size=length)] for length in generator.integers(1, 12, size=2000)]
    predicted = [[tag if generator.random() < 0.5 else tags[generator.integers(len(tags))] for tag in sentence] for sentence in gold]
    assert_equal(gold, predicted, scheme)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_entities_are_those_of_seqeval(scheme: Scheme | None):
    generator = np.random.default_rng(3)
    tags = any_tags(scheme)
    for length in generator.integers(1, 10, size=2000):
        sentence = [tags[place] for place in generator.integers(len(tags), size=length)]
        if scheme is None:
            theirs = [(start, end + 1, label) for label, start, end in oracle.get_entities(sentence)]
        else:
            theirs = [(entity.start, entity.end, entity.tag) for entity in Tokens(sentence, SCHEMES[scheme]).entities]
        assert entities_of(sentence, scheme) == theirs


@pytest.mark.parametrize(("file", "separator"), [("wnut17/dev.conll", "\t"), ("peopledaily/dev.txt", " ")])
def test_real_sentences_with_noise(shared_data: Path, file: str, separator: str):
    blocks = (shared_data / file).read_text(encoding="utf-8").split("\n\n")[:1000]
    gold = [[line.split(separator)[-1].strip() for line in block.splitlines() if line.strip()] for block in blocks]
    gold = [sentence for sentence in gold if sentence]
    generator = np.random.default_rng(1)
    known = sorted({tag for sentence in gold for tag in sentence})
    predicted = [[tag if generator.random() < 0.95 else known[generator.integers(len(known))] for tag in sentence] for sentence in gold]
    assert len(gold) > 900
    for scheme in (None, "bio"):
        assert_equal(gold, predicted, scheme)
        assert entity_scores(gold, gold, scheme)["micro_f1"] == 1


def test_table_is_that_of_seqeval():
    generator = np.random.default_rng(5)
    tags = any_tags("bio")
    gold, predicted = ([[tags[place] for place in generator.integers(len(tags), size=9)] for _ in range(50)] for _ in range(2))
    ours = span_scores_by_type([entities_of(each) for each in gold], [entities_of(each) for each in predicted])
    theirs = oracle.precision_recall_fscore_support(gold, predicted, average=None, zero_division=0)
    assert list(ours) == ["LOC", "PER", "_", "a-b"]
    for name, values in zip(("precision", "recall", "f1", "support"), theirs, strict=True):
        np.testing.assert_allclose([getattr(row, name) for row in ours.values()], values)


@pytest.mark.parametrize(
    ("tags", "by_default", "bio", "bioes"),
    [
        ("B-X I-X O", [(0, 2)], [(0, 2)], []),
        ("I-X I-X O", [(0, 2)], [], []),
        ("B-X B-X", [(0, 1), (1, 2)], [(0, 1), (1, 2)], []),
        ("B-X I-Y I-Y", [(0, 1), (1, 3)], [(0, 1)], []),
        ("B-X I-X E-X", [(0, 3)], None, [(0, 3)]),
        ("B-X E-X E-X", [(0, 2), (2, 3)], None, [(0, 2)]),
        ("S-X I-X E-X", [(0, 1), (1, 3)], None, [(0, 1)]),
        ("B-X E-Y", [(0, 1), (1, 2)], None, []),
        ("O O", [], [], []),
    ],
)
def test_broken_tags_by_hand(tags: str, by_default: list, bio: list | None, bioes: list):
    for scheme, wanted in ((None, by_default), ("bio", bio), ("bioes", bioes)):
        if wanted is None:
            with pytest.raises(DataError, match="is not a tag of bio: O, B-TYPE, I-TYPE"):
                entities_of(tags.split(), "bio")
        else:
            assert [entity[:2] for entity in entities_of(tags.split(), scheme)] == wanted


@st.composite
def sentence_of_spans(draw: st.DrawFn) -> tuple[list[tuple[int, int, str]], int]:
    steps = draw(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from(TYPES)), max_size=5))
    spans, place = [], 0
    for gap, length, label in steps:
        spans.append((place + gap, place + gap + length, label))
        place += gap + length
    return spans, place + draw(st.integers(0, 2))


@given(sentence_of_spans(), st.sampled_from(["bio", "bioes"]))
def test_there_and_back(sentence: tuple[list[tuple[int, int, str]], int], scheme: Scheme):
    spans, length = sentence
    tags = tags_of(spans, length, scheme)
    assert len(tags) == length
    assert entities_of(tags, scheme) == entities_of(tags) == spans
    assert violations(tags, scheme) == []


@given(st.data(), st.sampled_from(["bio", "bioes"]))
def test_tags_without_a_violation_mean_the_same_both_ways(data: st.DataObject, scheme: Scheme):
    tags = data.draw(st.lists(st.sampled_from(any_tags(scheme)), max_size=6))
    whole = entities_of(tags, scheme) == entities_of(tags)
    assert whole == (violations(tags, scheme) == [])


def test_violations_say_what_is_wanted():
    assert violations("I-X I-X O".split(), "bio") == [(0, "I-X begins an entity, which takes B-X: the start stands before it")]
    assert violations("I-X I-X E-X".split(), "bioes") == [(0, "I-X begins an entity, which takes B-X: the start stands before it")]
    assert violations("O B-X".split(), "bioes") == [(1, "B-X ends an entity, which takes S-X: the end stands after it")]
    assert violations("B-X I-X S-X E-X".split(), "bioes") == [
        (1, "I-X ends an entity, which takes E-X: S-X stands after it"),
        (3, "E-X begins an entity, which takes S-X: S-X stands before it"),
    ]


@pytest.mark.parametrize("tag", ["", "PER", "b-PER", "M-PER", "O-PER", "BPER"])
def test_what_is_no_tag_is_refused(tag: str):
    with pytest.raises(DataError, match="is not a tag: O, B-TYPE, I-TYPE, E-TYPE, S-TYPE are"):
        entities_of(["O", tag])


@pytest.mark.parametrize(
    ("span", "message"), [((2, 2, "X"), "has to have a token"), ((3, 6, "X"), "0 to 5"), ((-1, 1, "X"), "inside"), ((0, 2, "X"), "overlaps")]
)
def test_spans_that_tags_cannot_say_are_refused(span: tuple[int, int, str], message: str):
    with pytest.raises(DataError, match=message):
        tags_of([(1, 3, "Y"), span], 5)


def test_scheme_by_its_letters():
    assert scheme_of([["O"], ["B-X", "E-X"]]) == scheme_of([["S"]]) == "bioes"
    assert scheme_of([["O"], ["B-X", "I-X"]]) == scheme_of([]) == "bio"


def test_spans_by_hand():
    """Of 3 spans 1 is found by 4 that are predicted; one of these twice, which counts once."""
    gold = [[(0, 3, "PER"), (5, 9, "LOC")], [(0, 2, "PER")]]
    predicted = [[(0, 3, "PER"), (0, 3, "PER"), (5, 8, "LOC")], [(0, 2, "ORG"), (4, 6, "ORG")]]
    scores = span_scores(gold, predicted)
    assert scores == pytest.approx(
        {
            "micro_precision": 1 / 4,
            "micro_recall": 1 / 3,
            "micro_f1": 2 / 7,
            "macro_precision": 1 / 3,  # PER 1/1, LOC 0/1, ORG 0/2
            "macro_recall": 1 / 6,  # PER 1/2, LOC 0/1, ORG 0/0
            "macro_f1": 2 / 9,
        }
    )
    assert span_counts(gold, predicted).tolist() == [[1, 2, 2], [0, 2, 1]]
    assert set(span_scores([[]], [[]]).values()) == {0.0}
    with pytest.raises(DataError):
        span_scores([], [])


def test_sentences_of_other_lengths_are_refused():
    with pytest.raises(DataError, match="1 of 2 sentences") as error:
        entity_scores([["O"], ["O", "O"]], [["O"], ["O"]])
    assert error.value.problems == ("sentence 2: 2 tags, 1 predicted",)


def test_interval_draws_sentences():
    """Against drawing the sentences themselves and scoring them anew."""
    generator = np.random.default_rng(2)
    gold = [[(place, place + 1, "X") for place in range(generator.integers(1, 5))] for _ in range(60)]
    predicted = [[span for span in sentence if generator.random() < 0.7] for sentence in gold]
    counts = span_counts(gold, predicted)
    fast = bootstrap_interval(micro_f1, *counts.T, rounds=200)

    def by_spans(places: np.ndarray) -> float:
        return span_scores([gold[place] for place in places], [predicted[place] for place in places])["micro_f1"]

    slow = bootstrap_interval(by_spans, np.arange(60), rounds=200)
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high))
    assert fast.low < span_scores(gold, predicted)["micro_f1"] < fast.high
