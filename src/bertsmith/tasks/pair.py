"""Two sentences, one label: inference, paraphrase, matching."""

from dataclasses import dataclass
from typing import ClassVar

from bertsmith.tasks.base import tasks
from bertsmith.tasks.single import SingleSentence


@tasks.register("pair")
@dataclass(frozen=True, kw_only=True)
class SentencePair(SingleSentence):
    """Two texts, one label (premise and hypothesis, two questions): `[CLS] text [SEP] text_pair [SEP]`, read together.

    Segment ids tell the two apart (0 up to the first [SEP], 1 after it; RoBERTa has none). A pair that is too long loses tokens from the longer text.

    Needs:
        `text`, `text_pair`, `label`.

    Use when:
        The label is about how two texts relate. For a number instead of a label: `regression`.

    Reference:
        Devlin et al. 2019, section 4.1 (sentence-pair tasks of GLUE).

    Example:
        >>> SentencePair(labels=("contradiction", "entailment", "neutral")).columns
        ('text', 'text_pair', 'label')
    """

    name: ClassVar = "pair"
    columns: ClassVar = ("text", "text_pair", "label")
