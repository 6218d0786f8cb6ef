"""ALBERT: BERT with narrow embeddings and one block that is applied again and again, so that there are few weights to learn.

The English models have a SentencePiece vocabulary, the Chinese ones (`albert_chinese_*`) BERT's.

Reference: Lan et al. 2020; `google-research/albert`; weight names of `transformers` `AlbertForPreTraining`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from bertsmith.checkpoint.weights import WeightTable
from bertsmith.layers.embeddings import Embeddings
from bertsmith.layers.encoder import Encoder
from bertsmith.layers.heads import PooledClassifier, VocabularyHead
from bertsmith.models.bert import Bert
from bertsmith.models.family import Head, families
from bertsmith.models.relatives import common_heads, pooled_heads

LAYER = "albert.encoder.albert_layer_groups.{}.albert_layers.0"


@families.register("albert")
@dataclass(frozen=True, kw_only=True)
class Albert(Bert):
    """ALBERT (Lan et al. 2020): factorised embeddings, and blocks that share their weights.

    Fields are the keys of `config.json`, with the published defaults (albert-xxlarge-v2). We differ in what changes training alone: dropout after the
    feed-forward network, which `transformers` leaves out. All published models have a dropout of 0 there.
    """

    vocab_size: int = 30000
    embedding_size: int = 128
    hidden_size: int = 4096
    num_attention_heads: int = 64
    intermediate_size: int = 16384
    num_hidden_groups: int = 1
    hidden_act: str = "gelu_new"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    classifier_dropout_prob: float = 0.1

    model_type: ClassVar = "albert"
    base: ClassVar = "albert"
    base_architecture: ClassVar = "AlbertModel"
    fixed: ClassVar = {
        **Bert.fixed,
        "inner_group_num": (1,),
        "down_scale_factor": (1,),
        "gap_size": (0,),
        "num_memory_blocks": (0,),
        "net_structure_type": (0,),
    }
    weights: ClassVar = WeightTable(
        {
            "embeddings.token.{}": "albert.embeddings.word_embeddings.{}",
            "embeddings.position.{}": "albert.embeddings.position_embeddings.{}",
            "embeddings.segment.{}": "albert.embeddings.token_type_embeddings.{}",
            "embeddings.norm.{}": "albert.embeddings.LayerNorm.{}",
            "embeddings.widen.{}": "albert.encoder.embedding_hidden_mapping_in.{}",
            "blocks.{}.attention.output.{}": f"{LAYER}.attention.dense.{{}}",
            "blocks.{}.attention_norm.{}": f"{LAYER}.attention.LayerNorm.{{}}",
            "blocks.{}.attention.{}.{}": f"{LAYER}.attention.{{}}.{{}}",
            "blocks.{}.feed_forward.widen.{}": f"{LAYER}.ffn.{{}}",
            "blocks.{}.feed_forward.narrow.{}": f"{LAYER}.ffn_output.{{}}",
            "blocks.{}.feed_forward_norm.{}": f"{LAYER}.full_layer_layer_norm.{{}}",
        },
        ignored=("albert.embeddings.position_ids", "albert.embeddings.token_type_ids"),
    )
    combined: ClassVar = {frozenset({"mlm", "order"}): "AlbertForPreTraining"}

    @property
    def head_dropout(self) -> float:
        """Dropout before the last layer of a labelled head, 0-1."""
        return self.classifier_dropout_prob

    def impossible(self) -> Iterator[str]:
        """Everything in this configuration that cannot be built, one line each."""
        yield from super().impossible()
        if self.num_hidden_groups > self.num_hidden_layers:
            yield f"num_hidden_groups is {self.num_hidden_groups}; it must not be more than num_hidden_layers, which is {self.num_hidden_layers}"

    def build(self) -> Encoder:
        """Embeddings, and as many blocks as there are groups of layers."""
        return Encoder(self.embeddings(), [self.block() for _ in range(self.num_hidden_groups)], self.num_hidden_layers)

    def embeddings(self) -> Embeddings:
        """The three embeddings, widened."""
        return self.embeddings_of(self.embedding_size, self.hidden_size)


def _vocabulary(family: Albert, encoder: Encoder, _: int) -> nn.Module:
    return VocabularyHead(encoder.embeddings.token, family.hidden_act, family.layer_norm_eps, family.hidden_size)


def _order(family: Albert, _: Encoder, __: int) -> nn.Module:
    return PooledClassifier(family.hidden_size, 2, family.head_dropout)


_POOLER = "albert.pooler.{}"
_COMMON = common_heads("albert", "Albert")

Albert.heads = {
    "mlm": Head(
        _vocabulary,
        WeightTable(
            {"dense.{}": "predictions.dense.{}", "norm.{}": "predictions.LayerNorm.{}", "bias": "predictions.bias"},
            copies={
                "predictions.decoder.weight": "albert.embeddings.word_embeddings.weight",
                "predictions.decoder.bias": "predictions.bias",
            },
        ),
        "AlbertForMaskedLM",
        labelled=False,
    ),
    "order": Head(
        _order,
        WeightTable({"pooler.dense.{}": _POOLER, "output.{}": "sop_classifier.classifier.{}"}),
        "AlbertForPreTraining",
        labelled=False,
    ),
    **pooled_heads(_POOLER, "Albert"),
    **_COMMON,
    "pooler": Head(_COMMON["pooler"].build, WeightTable({"dense.{}": _POOLER}), "AlbertModel", labelled=False),
}
