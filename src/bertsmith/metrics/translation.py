"""BLEU and chrF, by sacrebleu, the implementation that papers report.

Both are of a whole set, not means over its sentences. They are given in [0, 1] as all scores are here; papers multiply by 100. BLEU depends on how
text is cut into words, and so is comparable only between scores with the same `tokenizer`; chrF2 counts runs of one to six characters and needs none.
"""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from bertsmith.core.errors import DataError, MissingExtraError
from bertsmith.metrics.texts import References, is_chinese, reference_lists

BleuTokenizer = Literal["13a", "zh", "char", "intl", "none"]
"""Of sacrebleu: `13a` is that of the WMT's script, `zh` parts Chinese characters and leaves the rest to it, `none` takes text that is cut already."""


def translation_scores(predictions: Sequence[str], references: References, tokenizer: BleuTokenizer | None = None) -> dict[str, float]:
    """`bleu` (up to 4 words, exponential smoothing) and `chrf` (chrF2) of a set of texts, each in [0, 1].

    Args:
        predictions: What was written.
        references: For every prediction a text, or several that are equally right.
        tokenizer: How BLEU cuts words; without one, `zh` where the references are Chinese, otherwise `13a`.

    Raises:
        MissingExtraError: If sacrebleu is not installed.
        DataError: If there is nothing to score, or if a prediction has no reference, or an empty one only.
    """
    lists = _comparable(predictions, references)
    bleu, chrf = _bleu(lists, tokenizer), _library()[1]()
    streams = [list(stream) for stream in zip_longest(*lists, fillvalue="")]  # an empty one stands for no further reference
    found = {"bleu": bleu.corpus_score(list(predictions), streams), "chrf": chrf.corpus_score(list(predictions), streams)}
    return {name: score.score / 100 for name, score in found.items()}


def sentence_chrf(predictions: Sequence[str], references: References) -> Float[np.ndarray, " examples"]:
    """chrF2 of every single text, in [0, 1]; of several references, against the best.

    Args:
        predictions: What was written.
        references: As for `translation_scores`.

    Raises:
        MissingExtraError: As for `translation_scores`.
        DataError: Likewise.
    """
    lists = _comparable(predictions, references)
    chrf = _library()[1]()
    return np.array([chrf.sentence_score(text, each).score / 100 for text, each in zip(predictions, lists, strict=True)])


def bleu_counts(predictions: Sequence[str], references: References, tokenizer: BleuTokenizer | None = None) -> Float[np.ndarray, "examples 10"]:
    """What BLEU counts in every text. Summed over a set, it is all that the BLEU of the set is computed from: see `bleu_of`.

    Args:
        predictions: What was written.
        references: As for `translation_scores`.
        tokenizer: As for `translation_scores`.

    Returns:
        Runs of 1 to 4 words that are in a reference, all runs of 1 to 4 words, words, words of the reference that is nearest in length.

    Raises:
        MissingExtraError: As for `translation_scores`.
        DataError: Likewise.
    """
    lists = _comparable(predictions, references)
    bleu = _bleu(lists, tokenizer, of_sentences=True)
    scores = [bleu.sentence_score(text, each) for text, each in zip(predictions, lists, strict=True)]
    return np.array([[*score.counts, *score.totals, score.sys_len, score.ref_len] for score in scores], np.float64)


def bleu_of(counts: Float[np.ndarray, "examples 10"]) -> float:
    """The BLEU of a set of texts, in [0, 1], from what was counted in them.

    Args:
        counts: Of `bleu_counts`; any selection of its rows, as a bootstrap draws them.
    """
    summed = counts.sum(0).astype(int).tolist()
    return _library()[0].compute_bleu(summed[:4], summed[4:8], summed[8], summed[9], smooth_method="exp").score / 100


def _library() -> tuple[Any, Any]:
    try:
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF
    except ModuleNotFoundError as error:
        raise MissingExtraError("the score of a translation (BLEU, chrF)", "metrics") from error
    return BLEU, CHRF


def _bleu(lists: Sequence[Sequence[str]], tokenizer: BleuTokenizer | None, *, of_sentences: bool = False) -> Any:
    chosen = tokenizer or ("zh" if is_chinese(text for each in lists for text in each) else "13a")
    # force: no warning about text that is cut already; effective_order: none that BLEU is meant for whole sets
    return _library()[0](tokenize=chosen, force=True, effective_order=of_sentences)


def _comparable(predictions: Sequence[str], references: References) -> list[list[str]]:
    """The references that are not empty."""
    lists = [[text for text in each if text] for each in reference_lists(predictions, references)]
    problems = [f"example {number}: the reference is empty" for number, each in enumerate(lists, 1) if not each]
    if problems:
        raise DataError(f"{len(problems)} of {len(lists)} examples have nothing to be compared with; leave them out", problems)
    return lists
