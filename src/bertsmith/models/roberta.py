"""RoBERTa and XLM-R: BERT's blocks, with positions counted from behind the padding id and other heads.

Reference: Liu et al. 2019; Conneau et al. 2020 (XLM-R); weight names of `transformers` `RobertaForMaskedLM`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from bertsmith.checkpoint.weights import WeightTable
from bertsmith.layers.embeddings import Embeddings, after_padding
from bertsmith.layers.encoder import Encoder
from bertsmith.layers.heads import DenseClassifier, PooledClassifier, VocabularyHead
from bertsmith.models.bert import Bert
from bertsmith.models.family import Head, families
from bertsmith.models.relatives import common_heads, encoder_weights


@families.register("roberta")
@dataclass(frozen=True, kw_only=True)
class Roberta(Bert):
    """RoBERTa (Liu et al. 2019): BERT trained longer on masked tokens alone; byte-level BPE, one segment.

    Fields are the keys of `config.json`, with the published defaults.
    """

    vocab_size: int = 50265
    max_position_embeddings: int = 514
    type_vocab_size: int = 1
    layer_norm_eps: float = 1e-5
    pad_token_id: int = 1

    model_type: ClassVar = "roberta"
    base: ClassVar = "roberta"
    base_architecture: ClassVar = "RobertaModel"
    weights: ClassVar = encoder_weights("roberta")
    combined: ClassVar = {}

    @property
    def max_length(self) -> int:
        """Tokens of the longest sequence: positions up to the padding id are never used."""
        return self.max_position_embeddings - self.pad_token_id - 1

    def embeddings(self) -> Embeddings:
        """The three embeddings, with RoBERTa's positions."""
        return Embeddings(
            vocabulary=self.vocab_size,
            hidden=self.hidden_size,
            max_positions=self.max_position_embeddings,
            segments=self.type_vocab_size,
            epsilon=self.layer_norm_eps,
            dropout=self.hidden_dropout_prob,
            positions=after_padding(self.pad_token_id),
            reserved_positions=self.pad_token_id + 1,
        )


@families.register("xlm-roberta")
@dataclass(frozen=True, kw_only=True)
class XlmRoberta(Roberta):
    """XLM-R (Conneau et al. 2020): RoBERTa in a hundred languages, with a SentencePiece vocabulary."""

    vocab_size: int = 250002
    model_type: ClassVar = "xlm-roberta"
    base_architecture: ClassVar = "XLMRobertaModel"


def _vocabulary(family: Roberta, encoder: Encoder, _: int) -> nn.Module:
    return VocabularyHead(encoder.embeddings.token, "gelu", family.layer_norm_eps)


def _classifier(family: Roberta, _: Encoder, labels: int) -> nn.Module:
    return DenseClassifier(family.hidden_size, labels, family.head_dropout)


def _choice(family: Roberta, _: Encoder, __: int) -> nn.Module:
    return PooledClassifier(family.hidden_size, 1, family.hidden_dropout_prob)


def roberta_heads(architecture: str) -> dict[str, Head]:
    """RoBERTa's heads.

    Args:
        architecture: What stands at the front of the classes of `transformers`: "Roberta", "XLMRoberta".
    """
    return {
        "mlm": Head(
            _vocabulary,
            WeightTable(
                {"dense.{}": "lm_head.dense.{}", "norm.{}": "lm_head.layer_norm.{}", "bias": "lm_head.bias"},
                copies={"lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight", "lm_head.decoder.bias": "lm_head.bias"},
            ),
            f"{architecture}ForMaskedLM",
            labelled=False,
        ),
        "classification": Head(
            _classifier,
            WeightTable({"dense.{}": "classifier.dense.{}", "output.{}": "classifier.out_proj.{}"}),
            f"{architecture}ForSequenceClassification",
        ),
        "choice": Head(
            _choice,
            WeightTable({"pooler.dense.{}": "roberta.pooler.dense.{}", "output.{}": "classifier.{}"}),
            f"{architecture}ForMultipleChoice",
            labelled=False,
        ),
        **common_heads("roberta", architecture),
    }


Roberta.heads = roberta_heads("Roberta")
XlmRoberta.heads = roberta_heads("XLMRoberta")
