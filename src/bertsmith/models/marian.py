"""Marian: the Transformer as it was first published, trained for translation. OPUS-MT has more than a thousand of them.

Reference: Vaswani et al. 2017; Junczys-Dowmunt et al. 2018, "Marian"; weight names of `transformers` `MarianMTModel`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from bertsmith.models.family import families
from bertsmith.models.sequence_to_sequence import SequenceToSequence, language_model, sequence_weights


@families.register("marian")
@dataclass(frozen=True, kw_only=True)
class Marian(SequenceToSequence):
    """Marian (Junczys-Dowmunt et al. 2018): the Transformer of Vaswani et al. 2017 with one vocabulary for both languages.

    Fields are the keys of `config.json`, with the defaults of `transformers`; published models (opus-mt-*) name all of them. Targets begin with the
    padding token, and nothing is learned of its embedding there, as in `transformers`.

    Example:
        >>> Marian(vocab_size=100, d_model=8, encoder_layers=1, decoder_layers=1, pad_token_id=99, decoder_start_token_id=99).max_length
        1024
    """

    vocab_size: int = 58101
    decoder_vocab_size: int | None = None
    pad_token_id: int = 58100
    eos_token_id: int = 0
    decoder_start_token_id: int = 58100
    forced_eos_token_id: int | None = 0

    model_type: ClassVar = "marian"
    base_architecture: ClassVar = "MarianModel"
    fixed: ClassVar = {
        **SequenceToSequence.fixed,
        "normalize_before": (False,),
        "normalize_embedding": (False,),
        "add_final_layer_norm": (False,),
        "static_position_embeddings": (True,),
        "share_encoder_decoder_embeddings": (True,),
    }
    weights: ClassVar = sequence_weights({})
    heads: ClassVar = {"lm": language_model("MarianMTModel")}

    def impossible(self) -> Iterator[str]:
        """Everything in this configuration that cannot be built, one line each."""
        yield from super().impossible()
        if self.decoder_vocab_size not in (None, self.vocab_size):
            yield f"decoder_vocab_size is {self.decoder_vocab_size}; built: one vocabulary for both sides, vocab_size is {self.vocab_size}"
