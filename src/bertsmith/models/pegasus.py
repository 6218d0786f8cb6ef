"""PEGASUS: a Transformer that normalises first, pre-trained to write the sentences that were taken out of a text.

Reference: Zhang et al. 2020; `google-research/pegasus`; weight names of `transformers` `PegasusForConditionalGeneration`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bertsmith.models.family import families
from bertsmith.models.sequence_to_sequence import SequenceToSequence, language_model, sequence_weights


@families.register("pegasus")
@dataclass(frozen=True, kw_only=True)
class Pegasus(SequenceToSequence):
    """PEGASUS (Zhang et al. 2020): pre-norm blocks over a SentencePiece vocabulary, for summaries.

    Fields are the keys of `config.json`, with the defaults of `transformers`; published models (google/pegasus-*) name all of them. Targets begin
    with the padding token, and nothing is learned of its embedding there, as in `transformers`.

    Example:
        >>> Pegasus(vocab_size=100, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2).max_length
        1024
    """

    vocab_size: int = 50265
    pad_token_id: int = 0
    eos_token_id: int = 1
    decoder_start_token_id: int = 0
    forced_eos_token_id: int | None = 1

    norm_first: ClassVar = True
    model_type: ClassVar = "pegasus"
    base_architecture: ClassVar = "PegasusModel"
    fixed: ClassVar = {
        **SequenceToSequence.fixed,
        "normalize_before": (True,),
        "normalize_embedding": (False,),
        "add_final_layer_norm": (True,),
        "static_position_embeddings": (True,),
    }
    weights: ClassVar = sequence_weights({"final_norm": "layer_norm"})
    heads: ClassVar = {"lm": language_model("PegasusForConditionalGeneration")}
