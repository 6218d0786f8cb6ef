"""What a model that learns to write is asked: every token of a target, foretold from the source and from those before it (teacher forcing)."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from bertsmith.core.types import IGNORED, Batch
from bertsmith.layers.decoder import EncoderDecoder
from bertsmith.models.family import Model


def forced(model: Model, batch: Batch) -> tuple[Batch, Bool[Tensor, "batch length"], Int[Tensor, " tokens"]]:
    """What a model reads, at which of its places it is asked, and what it should say there, in the order of the places.

    An encoder-decoder reads source and target apart. A decoder alone reads one sequence, the source and then the target, and is asked from the
    source's last token on.

    Args:
        model: What is to write.
        batch: Sources; and targets as they are to be written, from column 0 on.
    """
    assert batch.target is not None, "there is something to learn"
    labels = batch.target.input_ids.masked_fill(batch.target.attention_mask == 0, IGNORED)
    asked = labels != IGNORED
    if isinstance(model.backbone, EncoderDecoder):
        return replace(batch, target=model.backbone.target(labels)), asked, labels[asked]
    return *_joined(batch, batch.target), labels[asked]


def _joined(batch: Batch, target: Batch) -> tuple[Batch, Bool[Tensor, "batch length"]]:
    """Sources and targets as one sequence each. The last token of a target is foretold and not read; padding may stand anywhere."""
    real = batch.attention_mask.bool()
    last_of_source = real & (batch.attention_mask.flip(1).cumsum(1).flip(1) == 1)
    read = target.attention_mask[:, 1:]
    joined = Batch(
        torch.cat([batch.input_ids, target.input_ids[:, :-1]], dim=1),
        torch.cat([batch.attention_mask, read], dim=1),
        torch.cat([batch.token_type_ids, torch.zeros_like(read)], dim=1),
    )
    return joined, torch.cat([last_of_source, read.bool()], dim=1)
