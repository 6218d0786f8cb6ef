"""What BART, PEGASUS and Marian share: an encoder, a decoder that reads what it made of the source, one token embedding for both.

What is here is the Transformer as it was first published (Vaswani et al. 2017), with the names of `transformers`; a family says where it differs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from bertsmith.checkpoint.weights import WeightTable
from bertsmith.layers.attention import CrossAttention, SelfAttention, Sight
from bertsmith.layers.decoder import Decoder, DecoderBlock, EncoderDecoder
from bertsmith.layers.embeddings import Embeddings
from bertsmith.layers.encoder import Block, Encoder
from bertsmith.layers.feed_forward import FeedForward
from bertsmith.layers.heads import NextTokenHead
from bertsmith.models.family import Family, Head

EPSILON = 1e-5
"""Of all layer norms; no `config.json` of these families names another."""

LAYER = "model.{}.layers.{}"

ATTENTION = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "out_proj"}


@dataclass(frozen=True, kw_only=True)
class SequenceToSequence(Family):
    """The base of families with an encoder and a decoder.

    Its fields are the keys that their `config.json` have in common, with the defaults of `transformers`. Ids of forced tokens, and of the one that
    ends a target, matter to generation alone.
    """

    max_position_embeddings: int = 1024
    d_model: int = 1024
    encoder_layers: int = 12
    encoder_attention_heads: int = 16
    encoder_ffn_dim: int = 4096
    decoder_layers: int = 12
    decoder_attention_heads: int = 16
    decoder_ffn_dim: int = 4096
    activation_function: str = "gelu"
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    init_std: float = 0.02
    scale_embedding: bool = False
    bos_token_id: int | None = None
    eos_token_id: int
    decoder_start_token_id: int
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | None = None

    norm_first: ClassVar[bool] = False
    """Whether blocks normalise what goes in, and the last states, and not what comes out."""
    base: ClassVar = "model"
    fixed: ClassVar = {
        "is_encoder_decoder": (True,),
        "is_decoder": (False,),
        "add_cross_attention": (False,),
        "tie_word_embeddings": (True,),
        "add_bias_logits": (False,),
        "encoder_layerdrop": (0.0,),
        "decoder_layerdrop": (0.0,),
    }
    unused: ClassVar = frozenset(
        "num_hidden_layers extra_pos_embeddings classif_dropout classifier_dropout force_bos_token_to_be_generated no_repeat_ngram_size "
        "save_step replacing_rate student_encoder_layers student_decoder_layers".split()
    )

    @property
    def hidden_size(self) -> int:
        """Width of the states."""
        return self.d_model

    @property
    def initializer_range(self) -> float:
        """Spread of fresh weights."""
        return self.init_std

    @property
    def max_length(self) -> int:
        """Tokens of the longest source, and of the longest target."""
        return self.max_position_embeddings

    def impossible(self) -> Iterator[str]:
        """Everything in this configuration that cannot be built, one line each."""
        yield from super().impossible()
        for side in ("encoder_attention_heads", "decoder_attention_heads"):
            yield from self._uneven("d_model", side)
        for token in ("pad_token_id", "decoder_start_token_id"):
            if (number := getattr(self, token)) >= self.vocab_size:
                yield f"{token} is {number}; it must be below vocab_size, which is {self.vocab_size}"

    def build(self) -> EncoderDecoder:
        """Encoder and decoder."""
        source = self.embeddings(self.vocab_size)
        encoder = Encoder(source, [self.encoder_block() for _ in range(self.encoder_layers)], final_norm=self._final_norm())
        decoder = Decoder(self.embeddings(source.token), [self.decoder_block() for _ in range(self.decoder_layers)], self._final_norm())
        return EncoderDecoder(encoder, decoder, self.decoder_start_token_id, self.pad_token_id)

    def embeddings(self, vocabulary: int | nn.Embedding) -> Embeddings:
        """Tokens and waves, not normalised.

        Args:
            vocabulary: Number of tokens; or their embedding, which the decoder shares with the encoder.
        """
        return Embeddings(
            vocabulary=vocabulary,
            hidden=self.d_model,
            max_positions=self.max_position_embeddings,
            position_table="sinusoidal",
            scale=self._scale,
            padding_id=self.pad_token_id,
            dropout=self.dropout,
        )

    def encoder_block(self) -> Block:
        """One of the encoder's equal blocks."""
        return Block(
            SelfAttention(self.d_model, self.encoder_attention_heads, self.attention_dropout),
            self._feed_forward(self.encoder_ffn_dim),
            hidden=self.d_model,
            epsilon=EPSILON,
            dropout=self.dropout,
            norm_first=self.norm_first,
        )

    def decoder_block(self) -> DecoderBlock:
        """One of the decoder's equal blocks."""
        return DecoderBlock(
            SelfAttention(self.d_model, self.decoder_attention_heads, self.attention_dropout, Sight(causal=True)),
            CrossAttention(self.d_model, self.decoder_attention_heads, self.attention_dropout),
            self._feed_forward(self.decoder_ffn_dim),
            hidden=self.d_model,
            epsilon=EPSILON,
            dropout=self.dropout,
            norm_first=self.norm_first,
        )

    @property
    def _scale(self) -> float:
        return math.sqrt(self.d_model) if self.scale_embedding else 1.0

    def _feed_forward(self, inner: int) -> FeedForward:
        return FeedForward(self.d_model, inner, self.activation_function, dropout=self.activation_dropout)

    def _final_norm(self) -> nn.Module | None:
        return nn.LayerNorm(self.d_model, eps=EPSILON) if self.norm_first else None


def sequence_weights(norms: Mapping[str, str]) -> WeightTable:
    """Weight names of an encoder and a decoder.

    Args:
        norms: Of norms outside the blocks, our name to the published one.

    Example:
        >>> table = sequence_weights({"final_norm": "layer_norm"})
        >>> table.theirs("decoder.blocks.3.cross.query.bias"), table.theirs("decoder.final_norm.bias")
        ('model.decoder.layers.3.encoder_attn.q_proj.bias', 'model.decoder.layer_norm.bias')
    """
    rules = {
        "encoder.embeddings.token.{}": "model.shared.{}",
        "{}.embeddings.position.{}": "model.{}.embed_positions.{}",
        "{}.blocks.{}.attention_norm.{}": f"{LAYER}.self_attn_layer_norm.{{}}",
        "{}.blocks.{}.cross_norm.{}": f"{LAYER}.encoder_attn_layer_norm.{{}}",
        "{}.blocks.{}.feed_forward.widen.{}": f"{LAYER}.fc1.{{}}",
        "{}.blocks.{}.feed_forward.narrow.{}": f"{LAYER}.fc2.{{}}",
        "{}.blocks.{}.feed_forward_norm.{}": f"{LAYER}.final_layer_norm.{{}}",
    }
    for ours, theirs in (("attention", "self_attn"), ("cross", "encoder_attn")):
        rules |= {f"{{}}.blocks.{{}}.{ours}.{part}.{{}}": f"{LAYER}.{theirs}.{name}.{{}}" for part, name in ATTENTION.items()}
    rules |= {f"{{}}.{ours}.{{}}": f"model.{{}}.{theirs}.{{}}" for ours, theirs in norms.items()}
    copies = {f"model.{side}.embed_tokens.weight": "model.shared.weight" for side in ("encoder", "decoder")}
    return WeightTable(rules, ignored=("model.{}.version",), copies=copies)


def language_model(architecture: str) -> Head:
    """The head that foretells the next token of a target.

    Args:
        architecture: The class of `transformers` that has it.
    """
    table = WeightTable({"bias": "final_logits_bias"}, copies={"lm_head.weight": "model.shared.weight"}, optional=("final_logits_bias",))
    return Head(_next_token, table, architecture, labelled=False)


def _next_token(_: SequenceToSequence, backbone: EncoderDecoder, __: int) -> nn.Module:
    return NextTokenHead(backbone.embeddings.token, bias=True)
