"""BLEU and chrF: sacrebleu's numbers, several references, and what is said where it is missing."""

import sys

import pytest
from sacrebleu import corpus_bleu, corpus_chrf
from sacrebleu import sentence_chrf as sentence_chrf_of_sacrebleu

from bertsmith.core.errors import DataError, MissingExtraError
from bertsmith.metrics.translation import bleu_counts, bleu_of, sentence_chrf, translation_scores

ENGLISH = ["The cat sat on the mat today .", "It rained, and nobody went out."]
GIVEN = ["The cat sat on a mat.", "It rained and nobody went out."]


def test_english_is_sacrebleus():
    scores = translation_scores(GIVEN, ENGLISH)
    assert scores == pytest.approx({"bleu": corpus_bleu(GIVEN, [ENGLISH]).score / 100, "chrf": corpus_chrf(GIVEN, [ENGLISH]).score / 100})
    assert translation_scores(ENGLISH, ENGLISH) == pytest.approx({"bleu": 1.0, "chrf": 1.0})


def test_chinese_is_cut_by_characters():
    given, wanted = ["今天 北京 的 天气 很 好 。"], ["今天 上海 的 天气 很 好 。"]
    scores = translation_scores(given, wanted)
    assert scores["bleu"] == pytest.approx(corpus_bleu(given, [wanted], tokenize="zh").score / 100)
    assert translation_scores(given, wanted, tokenizer="13a")["bleu"] == pytest.approx(corpus_bleu(given, [wanted]).score / 100) != scores["bleu"]


def test_bleu_by_hand():
    """5 characters against 4: 4/5 of the words, 3/4 of the pairs, 2/3 of the triples, 1/2 of the fours; nothing is too short."""
    assert translation_scores(["天地玄黄荒"], ["天地玄黄"])["bleu"] == pytest.approx((4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)


def test_as_many_references_as_there_are():
    several = translation_scores(GIVEN, [[ENGLISH[0], "A cat was sitting on a mat."], ENGLISH[1]])
    assert several["bleu"] > translation_scores(GIVEN, ENGLISH)["bleu"]
    assert translation_scores(GIVEN, [[ENGLISH[0], ""], [ENGLISH[1]]]) == translation_scores(GIVEN, ENGLISH)


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(DataError) as error:
        translation_scores(["a", "b"], ["a", ""])
    assert error.value.problems == ("example 2: the reference is empty",)
    with pytest.raises(DataError, match="1 predictions and 2 references"):
        translation_scores(["a"], ["a", "b"])


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics.bleu", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'bertsmith\[metrics\]'"):
        translation_scores(["a"], ["a"])


def test_what_is_counted_in_texts_makes_the_score_of_their_set():
    given, wanted = [*GIVEN, "nothing in common"], [[ENGLISH[0], "A cat was sitting on a mat."], [ENGLISH[1]], ["entirely other words here"]]
    counts = bleu_counts(given, wanted)
    assert bleu_of(counts) == pytest.approx(translation_scores(given, wanted)["bleu"])
    assert bleu_of(counts[[0, 2]]) == pytest.approx(translation_scores([given[0], given[2]], [wanted[0], wanted[2]])["bleu"])
    assert counts[2, :4].tolist() == [0, 0, 0, 0]
    assert bleu_of(counts[[2]]) == pytest.approx(corpus_bleu(given[2:], [wanted[2]]).score / 100), "smoothed as sacrebleu does it"


def test_chrf_of_single_texts_is_sacrebleus():
    expected = [sentence_chrf_of_sacrebleu(text, [reference]).score / 100 for text, reference in zip(GIVEN, ENGLISH, strict=True)]
    assert sentence_chrf(GIVEN, ENGLISH).tolist() == pytest.approx(expected)
    assert sentence_chrf(["a b c"], [["x", "a b c"]]).tolist() == [1.0], "against the best of several"
