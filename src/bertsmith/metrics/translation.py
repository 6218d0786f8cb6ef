"""BLEU and chrF, by sacrebleu, the implementation that papers report.

Both are of a whole set, not means over its sentences. They are given in [0, 1] as all scores are here; papers multiply by 100. BLEU depends on how
text is cut into words, and so is comparable only between scores with the same `tokenizer`; chrF2 counts runs of one to six characters and needs none.
"""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Literal

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
    try:
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF
    except ModuleNotFoundError as error:
        raise MissingExtraError("the score of a translation (BLEU, chrF)", "metrics") from error
    lists = [[text for text in each if text] for each in reference_lists(predictions, references)]
    problems = [f"example {number}: the reference is empty" for number, each in enumerate(lists, 1) if not each]
    if problems:
        raise DataError(f"{len(problems)} of {len(lists)} examples have nothing to be compared with; leave them out", problems)
    chosen = tokenizer or ("zh" if is_chinese(text for each in lists for text in each) else "13a")
    streams = [list(stream) for stream in zip_longest(*lists, fillvalue="")]  # an empty one stands for no further reference
    bleu = BLEU(tokenize=chosen, force=True).corpus_score(list(predictions), streams)  # force: no warning about text that is cut already
    chrf = CHRF().corpus_score(list(predictions), streams)
    return {"bleu": bleu.score / 100, "chrf": chrf.score / 100}
