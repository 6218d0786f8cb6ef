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
    """Sources and targets as one sequence each, from column 0 on: positions are columns. The last token of a target is foretold and not read."""
    last_of_source = batch.attention_mask.flip(1).cumsum(1).flip(1) * batch.attention_mask == 1
    read = target.attention_mask[:, 1:]
    mask = torch.cat([batch.attention_mask, read], dim=1)
    order = (mask == 0).long().argsort(dim=1, stable=True)[:, : int(mask.sum(1).max())]
    ids = torch.cat([batch.input_ids, target.input_ids[:, :-1]], dim=1).gather(1, order)
    asked = torch.cat([last_of_source, read.bool()], dim=1).gather(1, order)
    return Batch(ids, mask.gather(1, order), torch.zeros_like(ids)), asked
