"""What BERT and its close relatives have in common: the names of the encoder's weights, and the heads that are the same in all of them."""

from __future__ import annotations

from typing import Any

from torch import nn

from bertsmith.checkpoint.weights import WeightTable
from bertsmith.layers.encoder import Encoder
from bertsmith.layers.heads import PooledClassifier, Pooler, SpanHead, TokenClassifier
from bertsmith.models.family import Head, token_heads


def encoder_weights(base: str) -> WeightTable:
    """Names of an encoder's weights.

    Args:
        base: What stands at the front of them: "bert", "roberta".
    """
    layer = f"{base}.encoder.layer.{{}}"
    return WeightTable(
        {
            "embeddings.token.{}": f"{base}.embeddings.word_embeddings.{{}}",
            "embeddings.position.{}": f"{base}.embeddings.position_embeddings.{{}}",
            "embeddings.segment.{}": f"{base}.embeddings.token_type_embeddings.{{}}",
            "embeddings.norm.{}": f"{base}.embeddings.LayerNorm.{{}}",
            "blocks.{}.attention.output.{}": f"{layer}.attention.output.dense.{{}}",
            "blocks.{}.attention.{}.{}": f"{layer}.attention.self.{{}}.{{}}",
            "blocks.{}.attention_norm.{}": f"{layer}.attention.output.LayerNorm.{{}}",
            "blocks.{}.feed_forward.widen.{}": f"{layer}.intermediate.dense.{{}}",
            "blocks.{}.feed_forward.narrow.{}": f"{layer}.output.dense.{{}}",
            "blocks.{}.feed_forward_norm.{}": f"{layer}.output.LayerNorm.{{}}",
        },
        ignored=(f"{base}.embeddings.position_ids", f"{base}.embeddings.token_type_ids"),
    )


def common_heads(base: str, architecture: str) -> dict[str, Head]:
    """The heads for tokens and spans, and the pooler; those for masked tokens and for classification differ.

    Args:
        base: What stands at the front of the encoder's weights.
        architecture: What stands at the front of the classes of `transformers`: "Bert", "XLMRoberta".
    """
    return {
        **token_heads(_tagger, WeightTable({"output.{}": "classifier.{}"}), f"{architecture}ForTokenClassification"),
        "span": Head(_span, WeightTable({"output.{}": "qa_outputs.{}"}), f"{architecture}ForQuestionAnswering", labelled=False),
        "pooler": Head(_pooler, WeightTable({"dense.{}": f"{base}.pooler.dense.{{}}"}), f"{architecture}Model", labelled=False),
    }


def pooled_heads(pooler: str, architecture: str) -> dict[str, Head]:
    """The heads for classification and multiple choice that stand on a pooler.

    Args:
        pooler: The template of its published weights: "bert.pooler.dense.{}".
        architecture: What stands at the front of the classes of `transformers`.
    """
    weights = WeightTable({"pooler.dense.{}": pooler, "output.{}": "classifier.{}"})
    return {
        "classification": Head(_classifier, weights, f"{architecture}ForSequenceClassification"),
        "choice": Head(_choice, weights, f"{architecture}ForMultipleChoice", labelled=False),
    }


def _classifier(family: Any, _: Encoder, labels: int) -> nn.Module:
    return PooledClassifier(family.hidden_size, labels, family.head_dropout)


def _choice(family: Any, _: Encoder, __: int) -> nn.Module:
    return PooledClassifier(family.hidden_size, 1, family.head_dropout)


def _tagger(family: Any, _: Encoder, labels: int) -> nn.Module:
    return TokenClassifier(family.hidden_size, labels, family.head_dropout)


def _span(family: Any, _: Encoder, __: int) -> nn.Module:
    return SpanHead(family.hidden_size)


def _pooler(family: Any, _: Encoder, __: int) -> nn.Module:
    return Pooler(family.hidden_size)
