"""ModernBERT: an encoder for long texts: rotary positions, gated networks, and layers that see the whole text among many that look nearby.

mmBERT, the encoders of Ettin, gte-modernbert and others are such folders. Published ones say that every n-th layer sees the whole, and name one theta
for these layers and one for the others; `transformers` 5 lists every layer (see `models.layer_kinds`). Both are read. The published keys are
written, for all releases of `transformers` know them.

Reference: Warner et al. 2024; `AnswerDotAI/ModernBERT`; weight names of `transformers` `ModernBertForMaskedLM`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from bertsmith.checkpoint.weights import WeightTable
from bertsmith.layers.attention import EVERYWHERE, SelfAttention, Sight
from bertsmith.layers.embeddings import Embeddings
from bertsmith.layers.encoder import Block, Encoder
from bertsmith.layers.feed_forward import FeedForward
from bertsmith.layers.heads import POOLINGS, TransformedClassifier, VocabularyHead
from bertsmith.layers.rotary import Rotary
from bertsmith.models.family import Family, Head, families, token_heads
from bertsmith.models.layer_kinds import not_built, published_keys

LAYER = "model.layers.{}"


@families.register("modernbert")
@dataclass(frozen=True, kw_only=True)
class ModernBert(Family):
    """ModernBERT (Warner et al. 2024): pre-norm blocks with rotary positions, near and far sight in turns, GeGLU.

    Fields are the keys of the published `config.json`, with the published defaults (ModernBERT-base). We differ in what changes training alone:
    `attention_dropout` acts after the feed-forward network too. It is 0 in all published models.

    Example:
        >>> ModernBert(num_hidden_layers=2, hidden_size=128, num_attention_heads=2, intermediate_size=192).build_model({}).num_parameters
        6726272
    """

    vocab_size: int = 50368
    initializer_range: float = 0.02
    hidden_size: int = 768
    intermediate_size: int = 1152
    num_hidden_layers: int = 22
    num_attention_heads: int = 12
    hidden_activation: str = "gelu"
    max_position_embeddings: int = 8192
    norm_eps: float = 1e-5
    norm_bias: bool = False
    pad_token_id: int = 50283
    global_rope_theta: float = 160000.0
    local_rope_theta: float = 10000.0
    global_attn_every_n_layers: int = 3
    local_attention: int = 128
    attention_bias: bool = False
    attention_dropout: float = 0.0
    embedding_dropout: float = 0.0
    mlp_bias: bool = False
    mlp_dropout: float = 0.0
    classifier_pooling: str = "cls"
    classifier_dropout: float = 0.0
    classifier_bias: bool = False
    classifier_activation: str = "gelu"

    model_type: ClassVar = "modernbert"
    base: ClassVar = "model"
    base_architecture: ClassVar = "ModernBertModel"
    fixed: ClassVar = {
        "decoder_bias": (True,),
        "tie_word_embeddings": (True,),
        "rope_scaling": (None,),
        "is_decoder": (False,),
        "is_encoder_decoder": (False,),
        "add_cross_attention": (False,),
    }
    unused: ClassVar = frozenset(
        "deterministic_flash_attn initializer_cutoff_factor layer_norm_eps position_embedding_type reference_compile repad_logits_with_grad "
        "sparse_prediction sparse_pred_ignore_index layer_types rope_parameters".split()  # of the last two see `from_config`
    )
    weights: ClassVar = WeightTable(
        {
            "embeddings.token.{}": "model.embeddings.tok_embeddings.{}",
            "embeddings.norm.{}": "model.embeddings.norm.{}",
            "blocks.{}.attention_norm.{}": f"{LAYER}.attn_norm.{{}}",
            "blocks.{}.attention.output.{}": f"{LAYER}.attn.Wo.{{}}",
            "blocks.{}.attention.{}.{}": f"{LAYER}.attn.Wqkv.{{}}.{{}}",
            "blocks.{}.feed_forward_norm.{}": f"{LAYER}.mlp_norm.{{}}",
            "blocks.{}.feed_forward.widen.{}": f"{LAYER}.mlp.Wi.{{}}",
            "blocks.{}.feed_forward.narrow.{}": f"{LAYER}.mlp.Wo.{{}}",
            "final_norm.{}": "model.final_norm.{}",
        },
        joined={f"{LAYER}.attn.Wqkv.{{}}": tuple(f"{LAYER}.attn.Wqkv.{part}.{{}}" for part in ("query", "key", "value"))},
    )

    @property
    def max_length(self) -> int:
        """Tokens of the longest sequence."""
        return self.max_position_embeddings

    @classmethod
    def from_config(cls, config: Mapping[str, Any], origin: str = "config.json") -> Family:
        """Read a `config.json`, as it is published or as `transformers` 5 writes it; see `Family.from_config`."""
        return super().from_config({**config, **published_keys(config)}, origin)

    @classmethod
    def _not_built(cls, config: Mapping[str, Any], fields: set[str]) -> Iterator[str]:
        yield from super()._not_built(config, fields)
        yield from not_built(config, config.get("num_hidden_layers", cls.num_hidden_layers))

    def impossible(self) -> Iterator[str]:
        """Everything in this configuration that cannot be built, one line each."""
        yield from super().impossible()
        yield from self._uneven("hidden_size", "num_attention_heads", parts=2)  # columns of a head turn in pairs
        if self.classifier_pooling not in POOLINGS:
            yield f"classifier_pooling is {self.classifier_pooling!r}; known: {', '.join(POOLINGS)}"

    def build(self) -> Encoder:
        """Embeddings, blocks and the last norm."""
        embeddings = Embeddings(
            vocabulary=self.vocab_size,
            hidden=self.hidden_size,
            max_positions=self.max_position_embeddings,
            dropout=self.embedding_dropout,
            epsilon=self.norm_eps,
            norm_bias=self.norm_bias,
            position_table=None,
        )
        norm = nn.LayerNorm(self.hidden_size, eps=self.norm_eps, bias=self.norm_bias)
        return Encoder(embeddings, [self.block(layer) for layer in range(self.num_hidden_layers)], final_norm=norm)

    def block(self, layer: int) -> Block:
        """The block of a layer, counted from 0. What the first is given is normalised already."""
        far = layer % self.global_attn_every_n_layers == 0
        attention = SelfAttention(
            self.hidden_size,
            self.num_attention_heads,
            self.attention_dropout,
            EVERYWHERE if far else Sight(window=self.local_attention // 2),
            rotary=Rotary(self.global_rope_theta if far else self.local_rope_theta),
            bias=self.attention_bias,
        )
        return Block(
            attention,
            FeedForward(self.hidden_size, self.intermediate_size, self.hidden_activation, gated=True, bias=self.mlp_bias, dropout=self.mlp_dropout),
            hidden=self.hidden_size,
            epsilon=self.norm_eps,
            dropout=self.attention_dropout,
            norm_first=True,
            norm_bias=self.norm_bias,
            given_normalised=layer == 0,
        )


def _vocabulary(family: ModernBert, encoder: Encoder, _: int) -> nn.Module:
    return VocabularyHead(encoder.embeddings.token, **_transform(family))


def _classifier(family: ModernBert, _: Encoder, labels: int) -> nn.Module:
    return TransformedClassifier(family.hidden_size, labels, family.classifier_dropout, pooling=family.classifier_pooling, **_transform(family))


def _choice(family: ModernBert, encoder: Encoder, _: int) -> nn.Module:
    return _classifier(family, encoder, 1)


def _tagger(family: ModernBert, _: Encoder, labels: int) -> nn.Module:
    return TransformedClassifier(family.hidden_size, labels, family.classifier_dropout, **_transform(family))


def _span(family: ModernBert, encoder: Encoder, _: int) -> nn.Module:
    return _tagger(family, encoder, 2)


def _transform(family: ModernBert) -> dict[str, Any]:
    return {
        "activation": family.classifier_activation,
        "epsilon": family.norm_eps,
        "dense_bias": family.classifier_bias,
        "norm_bias": family.norm_bias,
    }


_TRANSFORM = {"dense.{}": "head.dense.{}", "norm.{}": "head.norm.{}"}
_CLASSIFIER = WeightTable({**_TRANSFORM, "output.{}": "classifier.{}"})

ModernBert.heads = {
    "mlm": Head(
        _vocabulary,
        WeightTable({**_TRANSFORM, "bias": "decoder.bias"}, copies={"decoder.weight": "model.embeddings.tok_embeddings.weight"}),
        "ModernBertForMaskedLM",
        labelled=False,
    ),
    "classification": Head(_classifier, _CLASSIFIER, "ModernBertForSequenceClassification"),
    "choice": Head(_choice, _CLASSIFIER, "ModernBertForMultipleChoice", labelled=False),
    **token_heads(_tagger, _CLASSIFIER, "ModernBertForTokenClassification"),
    "span": Head(_span, _CLASSIFIER, "ModernBertForQuestionAnswering", labelled=False),
}
