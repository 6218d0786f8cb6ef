"""Splinter: BERT pre-trained to answer questions, by finding the other place of a text where a hidden span stands.

Folders come in two kinds: with the span head of the pre-training (`tau/splinter-*-qass`), for few labelled questions, and without it
(`tau/splinter-*`), to be given a new one.

We compute what `transformers` does. The authors' own code for fine-tuning differs: no token looks at a [SEP], and none is part of an answer. To
have that, set `attention_mask` to 0 at every [SEP]. Segments were not used in the pre-training: there, all tokens are of segment 0.

Reference: Ram et al. 2021; `oriram/splinter` `finetuning/modeling.py`; weight names of `transformers` `SplinterForQuestionAnswering`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from bertsmith.checkpoint.weights import WeightTable
from bertsmith.layers.encoder import Encoder
from bertsmith.layers.heads import QuestionSpanHead
from bertsmith.models.bert import Bert
from bertsmith.models.family import Head, families
from bertsmith.models.relatives import encoder_weights


@families.register("splinter")
@dataclass(frozen=True, kw_only=True)
class Splinter(Bert):
    """Splinter (Ram et al. 2021): BERT with a token that stands for a question, and a span head that asks for its answer.

    Fields are the keys of `config.json`, with the defaults that are left out there.
    """

    question_token_id: int = 104

    model_type: ClassVar = "splinter"
    base: ClassVar = "splinter"
    base_architecture: ClassVar = "SplinterModel"
    weights: ClassVar = encoder_weights("splinter")
    combined: ClassVar = {}

    def impossible(self) -> Iterator[str]:
        """Everything in this configuration that cannot be built, one line each."""
        yield from super().impossible()
        if self.question_token_id >= self.vocab_size:
            yield f"question_token_id is {self.question_token_id}; the vocabulary ends at {self.vocab_size - 1}"


def _span(family: Splinter, _: Encoder, __: int) -> nn.Module:
    return QuestionSpanHead(family.hidden_size, family.question_token_id)


_TRANSFORMS = ("query_start", "query_end", "start", "end")

Splinter.heads = {
    "span": Head(
        _span,
        WeightTable(
            {f"{name}.dense.{{}}": f"splinter_qass.{name}_transform.dense.{{}}" for name in _TRANSFORMS}
            | {f"{name}.norm.{{}}": f"splinter_qass.{name}_transform.LayerNorm.{{}}" for name in _TRANSFORMS}
            | {f"{name}_product.{{}}": f"splinter_qass.{name}_classifier.{{}}" for name in ("start", "end")}
        ),
        "SplinterForQuestionAnswering",
        labelled=False,
    ),
}
