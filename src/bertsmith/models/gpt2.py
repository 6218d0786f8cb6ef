"""GPT-2: the Transformer's decoder alone. Every token looks at itself and at those before it, and foretells the next.

Reference: Radford et al. 2019; `openai/gpt-2` `src/model.py`; weight names of `transformers` `GPT2LMHeadModel`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from bertsmith.checkpoint.weights import WeightTable
from bertsmith.layers.attention import SelfAttention, Sight
from bertsmith.layers.embeddings import Embeddings
from bertsmith.layers.encoder import Block, Encoder
from bertsmith.layers.feed_forward import FeedForward
from bertsmith.layers.heads import LastTokenClassifier, NextTokenHead, SpanHead, TokenClassifier
from bertsmith.models.family import Family, Head, families, token_heads

LAYER = "transformer.h.{}"


@families.register("gpt2")
@dataclass(frozen=True, kw_only=True)
class Gpt2(Family):
    """GPT-2 (Radford et al. 2019): causal pre-norm blocks over byte-level BPE.

    Fields are the keys of `config.json`, with the published defaults (gpt2). Published models have no padding token; where none is named, the last
    token of the vocabulary, `<|endoftext|>`, fills up batches. It is masked like any padding.

    Example:
        >>> Gpt2(n_layer=2, n_embd=128, n_head=2).build_model({}).num_parameters
        6960768
    """

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    initializer_range: float = 0.02
    layer_norm_epsilon: float = 1e-5
    classifier_dropout: float = 0.1
    pad_token_id: int = 50256
    bos_token_id: int | None = 50256
    eos_token_id: int | None = 50256

    model_type: ClassVar = "gpt2"
    base: ClassVar = "transformer"
    base_architecture: ClassVar = "GPT2Model"
    fixed: ClassVar = {
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
        "add_cross_attention": (False,),
        "is_encoder_decoder": (False,),
        "tie_word_embeddings": (True,),
    }
    weights: ClassVar = WeightTable(
        {
            "embeddings.token.{}": "transformer.wte.{}",
            "embeddings.position.{}": "transformer.wpe.{}",
            "blocks.{}.attention_norm.{}": f"{LAYER}.ln_1.{{}}",
            "blocks.{}.attention.output.{}": f"{LAYER}.attn.c_proj.{{}}",
            "blocks.{}.attention.{}.{}": f"{LAYER}.attn.c_attn.{{}}.{{}}",
            "blocks.{}.feed_forward_norm.{}": f"{LAYER}.ln_2.{{}}",
            "blocks.{}.feed_forward.widen.{}": f"{LAYER}.mlp.c_fc.{{}}",
            "blocks.{}.feed_forward.narrow.{}": f"{LAYER}.mlp.c_proj.{{}}",
            "final_norm.{}": "transformer.ln_f.{}",
        },
        ignored=(f"{LAYER}.attn.bias", f"{LAYER}.attn.masked_bias"),
        joined={f"{LAYER}.attn.c_attn.{{}}": tuple(f"{LAYER}.attn.c_attn.{part}.{{}}" for part in ("query", "key", "value"))},
        transposed=tuple(f"{LAYER}.{matrix}.weight" for matrix in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")),
    )

    @property
    def hidden_size(self) -> int:
        """Width of the states."""
        return self.n_embd

    @property
    def max_length(self) -> int:
        """Tokens of the longest sequence."""
        return self.n_positions

    def impossible(self) -> Iterator[str]:
        """Everything in this configuration that cannot be built, one line each."""
        yield from super().impossible()
        yield from self._uneven("n_embd", "n_head")

    def build(self) -> Encoder:
        """Embeddings, causal blocks and the last norm."""
        embeddings = Embeddings(vocabulary=self.vocab_size, hidden=self.n_embd, max_positions=self.n_positions, dropout=self.embd_pdrop)
        norm = nn.LayerNorm(self.n_embd, eps=self.layer_norm_epsilon)
        return Encoder(embeddings, [self.block() for _ in range(self.n_layer)], final_norm=norm)

    def block(self) -> Block:
        """One of the equal blocks."""
        return Block(
            SelfAttention(self.n_embd, self.n_head, self.attn_pdrop, Sight(causal=True)),
            FeedForward(self.n_embd, self.n_inner or 4 * self.n_embd, self.activation_function),
            hidden=self.n_embd,
            epsilon=self.layer_norm_epsilon,
            dropout=self.resid_pdrop,
            norm_first=True,
        )


def _next_token(_: Gpt2, encoder: Encoder, __: int) -> nn.Module:
    return NextTokenHead(encoder.embeddings.token)


def _classifier(family: Gpt2, _: Encoder, labels: int) -> nn.Module:
    return LastTokenClassifier(family.n_embd, labels)


def _tagger(family: Gpt2, _: Encoder, labels: int) -> nn.Module:
    return TokenClassifier(family.n_embd, labels, family.classifier_dropout)


def _span(family: Gpt2, _: Encoder, __: int) -> nn.Module:
    return SpanHead(family.n_embd)


Gpt2.heads = {
    "lm": Head(_next_token, WeightTable({}, copies={"lm_head.weight": "transformer.wte.weight"}), "GPT2LMHeadModel", labelled=False),
    "classification": Head(_classifier, WeightTable({"output.{}": "score.{}"}), "GPT2ForSequenceClassification"),
    **token_heads(_tagger, WeightTable({"output.{}": "classifier.{}"}), "GPT2ForTokenClassification"),
    "span": Head(_span, WeightTable({"output.{}": "qa_outputs.{}"}), "GPT2ForQuestionAnswering", labelled=False),
}
