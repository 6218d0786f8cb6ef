"""BERT, and everything that is BERT by another name.

The same file serves multilingual BERT, Chinese-BERT-wwm and -ext, HFL's RoBERTa-wwm-ext (which is BERT in all but training), MacBERT, SpanBERT and
MiniLM: their folders all say `"model_type": "bert"`.

Reference: Devlin et al. 2019; `google-research/bert` `modeling.py`; weight names of `transformers` `BertForPreTraining`.
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
from bertsmith.layers.heads import PooledClassifier, VocabularyHead
from bertsmith.models.family import Family, Head, families
from bertsmith.models.relatives import common_heads, encoder_weights, pooled_heads


@families.register("bert")
@dataclass(frozen=True, kw_only=True)
class Bert(Family):
    """BERT (Devlin et al. 2019): bidirectional encoder, three learned embeddings, post-norm blocks.

    Fields are the keys of `config.json`, with the published defaults (bert-base-uncased).

    Example:
        >>> Bert(num_hidden_layers=2, hidden_size=128, num_attention_heads=2, intermediate_size=512).build_model({}).num_parameters
        4369408
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    classifier_dropout: float | None = None

    model_type: ClassVar = "bert"
    base: ClassVar = "bert"
    base_architecture: ClassVar = "BertModel"
    fixed: ClassVar = {
        "position_embedding_type": ("absolute",),
        "is_decoder": (False,),
        "is_encoder_decoder": (False,),
        "add_cross_attention": (False,),
        "tie_word_embeddings": (True,),
        "pruned_heads": ({},),
        "cross_attention_hidden_size": (None,),
    }
    weights: ClassVar = encoder_weights("bert")
    combined: ClassVar = {frozenset({"mlm", "nsp"}): "BertForPreTraining"}

    def impossible(self) -> Iterator[str]:
        """Everything in this configuration that cannot be built, one line each."""
        yield from super().impossible()
        yield from self._uneven("hidden_size", "num_attention_heads")
        if self.max_length < 1:
            yield f"max_position_embeddings is {self.max_position_embeddings}; no position is left for a token"

    @property
    def max_length(self) -> int:
        """Tokens of the longest sequence."""
        return self.max_position_embeddings

    @property
    def head_dropout(self) -> float:
        """Dropout before the last layer of a labelled head, 0-1."""
        return self.hidden_dropout_prob if self.classifier_dropout is None else self.classifier_dropout

    def build(self) -> Encoder:
        """Embeddings and blocks."""
        return Encoder(self.embeddings(), [self.block() for _ in range(self.num_hidden_layers)])

    def embeddings(self) -> Embeddings:
        """The three embeddings."""
        return self.embeddings_of(self.hidden_size)

    def embeddings_of(self, width: int, widened_to: int | None = None) -> Embeddings:
        """The three embeddings of a width, and the width that a linear layer brings them to, if one does."""
        return Embeddings(
            vocabulary=self.vocab_size,
            hidden=width,
            widened_to=widened_to,
            max_positions=self.max_position_embeddings,
            segments=self.type_vocab_size,
            epsilon=self.layer_norm_eps,
            dropout=self.hidden_dropout_prob,
        )

    def block(self) -> Block:
        """One of the equal blocks."""
        return Block(
            SelfAttention(self.hidden_size, self.num_attention_heads, self.attention_probs_dropout_prob),
            FeedForward(self.hidden_size, self.intermediate_size, self.hidden_act),
            hidden=self.hidden_size,
            epsilon=self.layer_norm_eps,
            dropout=self.hidden_dropout_prob,
        )


def _vocabulary(family: Bert, encoder: Encoder, _: int) -> nn.Module:
    return VocabularyHead(encoder.embeddings.token, family.hidden_act, family.layer_norm_eps)


def _next_sentence(family: Bert, _: Encoder, __: int) -> nn.Module:
    return PooledClassifier(family.hidden_size, 2, dropout=0.0)


_POOLER = "bert.pooler.dense.{}"

Bert.heads = {
    "mlm": Head(
        _vocabulary,
        WeightTable(
            {
                "dense.{}": "cls.predictions.transform.dense.{}",
                "norm.{}": "cls.predictions.transform.LayerNorm.{}",
                "bias": "cls.predictions.bias",
            },
            copies={
                "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
                "cls.predictions.decoder.bias": "cls.predictions.bias",
            },
        ),
        "BertForMaskedLM",
        labelled=False,
    ),
    "nsp": Head(
        _next_sentence,
        WeightTable({"pooler.dense.{}": _POOLER, "output.{}": "cls.seq_relationship.{}"}),
        "BertForNextSentencePrediction",
        labelled=False,
    ),
    **pooled_heads(_POOLER, "Bert"),
    **common_heads("bert", "Bert"),
}
