"""BART: an encoder and a decoder, pre-trained to restore a text that was made noisy.

English models have a byte-level BPE, Chinese ones BERT's vocabulary.

Reference: Lewis et al. 2020; fairseq `examples/bart`; Shao et al. 2021 (Chinese BART); weight names of `transformers` `BartForConditionalGeneration`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from bertsmith.checkpoint.weights import WeightTable
from bertsmith.layers.decoder import EncoderDecoder
from bertsmith.layers.embeddings import Embeddings, columns_from
from bertsmith.layers.heads import LastTokenDenseClassifier
from bertsmith.models.family import Head, families
from bertsmith.models.sequence_to_sequence import EPSILON, SequenceToSequence, language_model, sequence_weights

RESERVED = 2
"""Position ids in front of the first token's: fairseq counted from behind the padding id, which is 1, and the tables have kept that."""


@families.register("bart")
@dataclass(frozen=True, kw_only=True)
class Bart(SequenceToSequence):
    """BART (Lewis et al. 2020): learned positions and normalised embeddings, otherwise the first Transformer.

    Fields are the keys of `config.json`, with the published defaults (bart-large). Chinese models (`fnlp/bart-*-chinese`) have BERT's vocabulary and
    special tokens; segment ids are not looked at.

    Example:
        >>> Bart(d_model=64, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=128, decoder_ffn_dim=128).build_model({}).num_parameters
        3432256
    """

    vocab_size: int = 50265
    pad_token_id: int = 1
    bos_token_id: int | None = 0
    eos_token_id: int = 2
    decoder_start_token_id: int = 2
    forced_eos_token_id: int | None = 2
    classifier_dropout: float = 0.0

    model_type: ClassVar = "bart"
    base_architecture: ClassVar = "BartModel"
    fixed: ClassVar = {
        **SequenceToSequence.fixed,
        "normalize_before": (False,),
        "normalize_embedding": (True,),
        "add_final_layer_norm": (False,),
        "static_position_embeddings": (False,),
    }
    unused: ClassVar = SequenceToSequence.unused | {"kobart_version"}
    weights: ClassVar = sequence_weights({"embeddings.norm": "layernorm_embedding"})

    def embeddings(self, vocabulary: int | nn.Embedding) -> Embeddings:
        """Tokens and learned positions, normalised.

        Args:
            vocabulary: Number of tokens; or their embedding, which the decoder shares with the encoder.
        """
        return Embeddings(
            vocabulary=vocabulary,
            hidden=self.d_model,
            max_positions=self.max_position_embeddings + RESERVED,
            positions=columns_from(RESERVED),
            reserved_positions=RESERVED,
            epsilon=EPSILON,
            scale=self._scale,
            padding_id=self.pad_token_id,
            dropout=self.dropout,
        )


def _classifier(family: Bart, _: EncoderDecoder, labels: int) -> nn.Module:
    return LastTokenDenseClassifier(family.d_model, labels, family.classifier_dropout)


Bart.heads = {
    "lm": language_model("BartForConditionalGeneration"),
    "classification": Head(
        _classifier,
        WeightTable({"dense.{}": "classification_head.dense.{}", "output.{}": "classification_head.out_proj.{}"}),
        "BartForSequenceClassification",
    ),
}
