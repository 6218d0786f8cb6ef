"""DistilBERT: BERT with half of its layers, taught by the whole; without segments and without a pooler.

Reference: Sanh et al. 2019; `transformers` `examples/research_projects/distillation`; weight names of `transformers` `DistilBertForMaskedLM`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from bertsmith.checkpoint.weights import WeightTable
from bertsmith.layers.attention import SelfAttention
from bertsmith.layers.embeddings import Embeddings
from bertsmith.layers.encoder import Block, Encoder
from bertsmith.layers.feed_forward import FeedForward
from bertsmith.layers.heads import PooledClassifier, SpanHead, VocabularyHead
from bertsmith.models.bert import Bert
from bertsmith.models.family import Family, Head, families
from bertsmith.models.relatives import common_heads

LAYER = "distilbert.transformer.layer.{}"
EPSILON = 1e-12
"""Of all layer norms; no key says so."""


@families.register("distilbert")
@dataclass(frozen=True, kw_only=True)
class DistilBert(Family):
    """DistilBERT (Sanh et al. 2019): a shallow BERT whose texts are told apart by [SEP] alone.

    Fields are the keys of `config.json`, with the published defaults (distilbert-base-uncased). `sinusoidal_pos_embds` only says what positions were
    before training: they are trained and stored like any others.

    Example:
        >>> DistilBert(n_layers=2, dim=128, n_heads=2, hidden_dim=512).build_model({}).num_parameters
        4369152
    """

    vocab_size: int = 30522
    initializer_range: float = 0.02
    max_position_embeddings: int = 512
    n_layers: int = 6
    n_heads: int = 12
    dim: int = 768
    hidden_dim: int = 3072
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation: str = "gelu"
    qa_dropout: float = 0.1
    seq_classif_dropout: float = 0.2

    model_type: ClassVar = "distilbert"
    base: ClassVar = "distilbert"
    base_architecture: ClassVar = "DistilBertModel"
    fixed: ClassVar = {**Bert.fixed, "sinusoidal_pos_embds": (False, True), "tie_weights_": (True,)}
    weights: ClassVar = WeightTable(
        {
            "embeddings.token.{}": "distilbert.embeddings.word_embeddings.{}",
            "embeddings.position.{}": "distilbert.embeddings.position_embeddings.{}",
            "embeddings.norm.{}": "distilbert.embeddings.LayerNorm.{}",
            "blocks.{}.attention.query.{}": f"{LAYER}.attention.q_lin.{{}}",
            "blocks.{}.attention.key.{}": f"{LAYER}.attention.k_lin.{{}}",
            "blocks.{}.attention.value.{}": f"{LAYER}.attention.v_lin.{{}}",
            "blocks.{}.attention.output.{}": f"{LAYER}.attention.out_lin.{{}}",
            "blocks.{}.attention_norm.{}": f"{LAYER}.sa_layer_norm.{{}}",
            "blocks.{}.feed_forward.widen.{}": f"{LAYER}.ffn.lin1.{{}}",
            "blocks.{}.feed_forward.narrow.{}": f"{LAYER}.ffn.lin2.{{}}",
            "blocks.{}.feed_forward_norm.{}": f"{LAYER}.output_layer_norm.{{}}",
        },
        ignored=("distilbert.embeddings.position_ids",),
    )

    @property
    def hidden_size(self) -> int:
        """Width of the states."""
        return self.dim

    @property
    def max_length(self) -> int:
        """Tokens of the longest sequence."""
        return self.max_position_embeddings

    @property
    def head_dropout(self) -> float:
        """Dropout before the last layer of a tagger, 0-1."""
        return self.dropout

    def impossible(self) -> Iterator[str]:
        """Everything in this configuration that cannot be built, one line each."""
        yield from super().impossible()
        yield from self._uneven("dim", "n_heads")

    def build(self) -> Encoder:
        """Two embeddings, and blocks."""
        embeddings = Embeddings(
            vocabulary=self.vocab_size, hidden=self.dim, max_positions=self.max_position_embeddings, epsilon=EPSILON, dropout=self.dropout
        )
        return Encoder(embeddings, [self.block() for _ in range(self.n_layers)])

    def block(self) -> Block:
        """One of the equal blocks. What attention gives is added whole; its weights alone are dropped."""
        return Block(
            SelfAttention(self.dim, self.n_heads, self.attention_dropout),
            FeedForward(self.dim, self.hidden_dim, self.activation),
            hidden=self.dim,
            epsilon=EPSILON,
            dropout=self.dropout,
            attention_dropout=0.0,
        )


def _vocabulary(family: DistilBert, encoder: Encoder, _: int) -> nn.Module:
    return VocabularyHead(encoder.embeddings.token, family.activation, EPSILON)


def _classifier(family: DistilBert, _: Encoder, labels: int) -> nn.Module:
    return PooledClassifier(family.dim, labels, family.seq_classif_dropout, "relu")


def _choice(family: DistilBert, encoder: Encoder, _: int) -> nn.Module:
    return _classifier(family, encoder, 1)


def _span(family: DistilBert, _: Encoder, __: int) -> nn.Module:
    return SpanHead(family.dim, family.qa_dropout)


_COMMON = common_heads("distilbert", "DistilBert")
_CLASSIFIER = WeightTable({"pooler.dense.{}": "pre_classifier.{}", "output.{}": "classifier.{}"})

DistilBert.heads = {
    "mlm": Head(
        _vocabulary,
        WeightTable(
            {"dense.{}": "vocab_transform.{}", "norm.{}": "vocab_layer_norm.{}", "bias": "vocab_projector.bias"},
            copies={"vocab_projector.weight": "distilbert.embeddings.word_embeddings.weight"},
        ),
        "DistilBertForMaskedLM",
        labelled=False,
    ),
    "classification": Head(_classifier, _CLASSIFIER, "DistilBertForSequenceClassification"),
    "choice": Head(_choice, _CLASSIFIER, "DistilBertForMultipleChoice", labelled=False),
    "tagging": _COMMON["tagging"],
    "crf": _COMMON["crf"],
    "span": Head(_span, _COMMON["span"].weights, "DistilBertForQuestionAnswering", labelled=False),
}
