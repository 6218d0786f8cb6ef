"""Rows whose label may be wrong.

A cheap classifier says what every row should be called after learning from all the others. Where it is sure of another label than the given one, a
person should look: often the label is wrong, sometimes the text is merely unusual. A classifier that is hardly better than chance says nothing.

The classifier is ridge regression on TF-IDF of words and characters, one output a label, because leaving each row out in turn then costs no more than
one fit: with `A = inverse(K + I)`, the output for row `i` without row `i` is `y_i - (A y)_i / A_ii`. It is deterministic and takes seconds.

Reference:
    Northcutt et al. 2021, Confident Learning: a label is suspect where another one's score is at least what that label's own rows usually get.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from bertsmith.core.amounts import plural
from bertsmith.core.randomness import generator_at
from bertsmith.core.types import Example
from bertsmith.data.checks.finding import MULTI_LABEL, NUMBERS, Finding, Patient, percent, place, texts_of

MAX_ROWS = 6000
"""More rows are sampled down, so that the answer takes seconds."""

PART = 2000
"""So many rows learn from each other; time grows with the third power of it, and two thousand tell what there is to tell."""

MAX_CHARACTERS = 200
"""Of a text, more is not read."""

MIN_ROWS = 40
MIN_ROWS_OF_A_LABEL = 8
MAX_LABELS = 100

UNLIKELY = 0.2
"""A given label with less than this share of the score that its rows usually get is suspect."""

BETTER_THAN_CHANCE = 0.4
"""The classifier must avoid this share of the mistakes that the commonest label alone would make."""

INTERCEPT = 0.05
TOKEN = r"[^\W\u3400-\u9fff]+|[\u3400-\u9fff]|[^\w\s]"
"""Words of alphabets, single Chinese characters, punctuation."""


def check_suspects(patient: Patient) -> Iterator[Finding]:
    """Rows of train whose label looks wrong, the most conspicuous first."""
    rows = [] if patient.kind != "label" or patient.task in (MULTI_LABEL, *NUMBERS) else _chosen(patient)
    names = sorted({patient.labels(row)[0] for row in rows})
    if len(rows) < MIN_ROWS or not 2 <= len(names) <= MAX_LABELS:
        return
    given = np.array([names.index(patient.labels(row)[0]) for row in rows])
    features, targets, scores = _features(rows), np.eye(len(names), dtype=np.float32)[given], np.empty((len(rows), len(names)), np.float32)
    for part in np.array_split(generator_at(0, "parts").permutation(len(rows)), math.ceil(len(rows) / PART)):
        scores[part] = left_out_scores(features[part], targets[part])
    guessed = scores.argmax(1)
    mistakes, by_chance = float((guessed != given).mean()), 1 - np.bincount(given).max() / len(given)
    if mistakes > (1 - BETTER_THAN_CHANCE) * by_chance:
        return
    found = suspects(scores, given)
    if len(found):
        places = tuple(place(rows[index], f"{names[given[index]]}, rather {names[guessed[index]]}") for index in found)
        which = f"{len(rows):,} different texts of train"
        told = f"a simple classifier that is right in {percent(1 - mistakes, 1)}"
        message = f"{plural(len(found), 'label')} of {which} ({percent(len(found), len(rows))}) look wrong to {told}"
        advice = "read them, the first ones first: mend the labels that are wrong, leave texts that are merely unusual"
        yield Finding("label_suspects", "note", message, len(found), places, advice)


def left_out_scores(features: Any, targets: np.ndarray) -> np.ndarray:
    """For every row, what ridge regression on all other rows says of it.

    Args:
        features: Rows of length 1, dense or sparse.
        targets: One column a label, 1 where a row has it.

    Returns:
        Scores in the shape of the targets, around 0 to 1.
    """
    product = features @ features.T
    kernel = np.asarray(product.toarray() if hasattr(product, "toarray") else product, np.float32) + INTERCEPT
    factor = torch.linalg.cholesky(torch.from_numpy(kernel + np.eye(len(kernel), dtype=np.float32)))
    inverse = torch.cholesky_inverse(factor).numpy()  # a quarter of the time of numpy's, which does not know that it is symmetric
    return targets - inverse @ targets / np.diag(inverse)[:, None]


def suspects(scores: np.ndarray, given: np.ndarray) -> np.ndarray:
    """The rows that score far less for their label than its rows usually do, and as much for another as that one's rows do; the clearest first."""
    own, best, guessed = scores[np.arange(len(given)), given], scores.max(1), scores.argmax(1)
    usual = np.array([np.median(own[given == label]) if (given == label).any() else np.inf for label in range(scores.shape[1])])
    found = np.flatnonzero((guessed != given) & (own <= UNLIKELY * usual[given]) & (best >= usual[guessed]))
    return found[np.argsort((own - best)[found], kind="stable")]


def _chosen(patient: Patient) -> list[Example]:
    """Different texts with frequent enough labels, at most `MAX_ROWS` of them; a text that came twice would vouch for itself."""
    by_text = {texts_of(row): row for row in patient.splits["train"] if len(patient.labels(row)) == 1 and any(map(str.strip, texts_of(row)))}
    counts = Counter(patient.labels(row)[0] for row in by_text.values())
    rows = [row for row in by_text.values() if counts[patient.labels(row)[0]] >= MIN_ROWS_OF_A_LABEL]
    if len(rows) <= MAX_ROWS:
        return rows
    return [rows[index] for index in sorted(generator_at(0, "suspects").permutation(len(rows))[:MAX_ROWS])]


def _features(rows: Sequence[Example]) -> Any:
    """TF-IDF of one and two words or characters; for a pair of the second text, of what both have in common and of what only one has."""
    from scipy import sparse
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    texts = [(*(text[:MAX_CHARACTERS] for text in texts_of(row)), "")[:2] for row in rows]
    first, second = [text for text, _ in texts], [pair for _, pair in texts]
    vectorizer = TfidfVectorizer(token_pattern=TOKEN, ngram_range=(1, 2), sublinear_tf=True)
    if not any(second):
        return vectorizer.fit_transform(first)
    vectorizer.fit(first + second)
    one, two = sparse.csr_array(vectorizer.transform(first)), sparse.csr_array(vectorizer.transform(second))
    common = one.multiply(two)
    return normalize(sparse.hstack([two, normalize(abs(one - two)), sparse.csr_array(common.sum(1)[:, None]), normalize(common)]).tocsr())
