"""ELECTRA: BERT's blocks over embeddings that may be narrower, trained to find replaced tokens.

A folder holds either of two networks under one `model_type`: the discriminator, which one fine-tunes, or the generator, a small masked-language
model. Which it is, its heads tell. HFL's `chinese-electra-*` are such folders, with BERT's vocabulary.

Reference: Clark et al. 2020; `google-research/electra`; weight names of `transformers` `ElectraForPreTraining`, `ElectraForMaskedLM`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from bertsmith.checkpoint.weights import WeightTable
from bertsmith.layers.embeddings import Embeddings
from bertsmith.layers.encoder import Encoder
from bertsmith.layers.heads import DenseClassifier, PooledClassifier, ReplacedTokenHead, VocabularyHead
from bertsmith.models.bert import Bert
from bertsmith.models.family import Head, families
from bertsmith.models.relatives import common_heads, encoder_weights


@families.register("electra")
@dataclass(frozen=True, kw_only=True)
class Electra(Bert):
    """ELECTRA (Clark et al. 2020): a discriminator of replaced tokens; or its generator.

    Fields are the keys of `config.json`, with the published defaults (electra-small).
    """

    embedding_size: int = 128
    hidden_size: int = 256
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    summary_last_dropout: float = 0.1

    model_type: ClassVar = "electra"
    base: ClassVar = "electra"
    base_architecture: ClassVar = "ElectraModel"
    fixed: ClassVar = {**Bert.fixed, "summary_type": ("first",), "summary_use_proj": (True,), "summary_activation": ("gelu",)}
    weights: ClassVar = encoder_weights("electra") | WeightTable({"embeddings.widen.{}": "electra.embeddings_project.{}"})
    combined: ClassVar = {}

    def embeddings(self) -> Embeddings:
        """The three embeddings, widened where they are narrower than the blocks."""
        return self.embeddings_of(self.embedding_size, None if self.embedding_size == self.hidden_size else self.hidden_size)


def _vocabulary(family: Electra, encoder: Encoder, _: int) -> nn.Module:
    return VocabularyHead(encoder.embeddings.token, "gelu", family.layer_norm_eps, family.hidden_size)


def _replaced(family: Electra, _: Encoder, __: int) -> nn.Module:
    return ReplacedTokenHead(family.hidden_size, family.hidden_act)


def _classifier(family: Electra, _: Encoder, labels: int) -> nn.Module:
    return DenseClassifier(family.hidden_size, labels, family.head_dropout, "gelu")


def _choice(family: Electra, _: Encoder, __: int) -> nn.Module:
    return PooledClassifier(family.hidden_size, 1, family.summary_last_dropout, "gelu")


Electra.heads = {
    "mlm": Head(
        _vocabulary,
        WeightTable(
            {"dense.{}": "generator_predictions.dense.{}", "norm.{}": "generator_predictions.LayerNorm.{}", "bias": "generator_lm_head.bias"},
            copies={"generator_lm_head.weight": "electra.embeddings.word_embeddings.weight"},
        ),
        "ElectraForMaskedLM",
        labelled=False,
    ),
    "replaced": Head(
        _replaced,
        WeightTable({"dense.{}": "discriminator_predictions.dense.{}", "output.{}": "discriminator_predictions.dense_prediction.{}"}),
        "ElectraForPreTraining",
        labelled=False,
    ),
    "classification": Head(
        _classifier,
        WeightTable({"dense.{}": "classifier.dense.{}", "output.{}": "classifier.out_proj.{}"}),
        "ElectraForSequenceClassification",
    ),
    "choice": Head(
        _choice,
        WeightTable({"pooler.dense.{}": "sequence_summary.summary.{}", "output.{}": "classifier.{}"}),
        "ElectraForMultipleChoice",
        labelled=False,
    ),
    **{name: head for name, head in common_heads("electra", "Electra").items() if name != "pooler"},
}
