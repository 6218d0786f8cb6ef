"""A model at work: it has read a batch, and says at every step how likely each token is to come next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bertsmith.core.errors import RecipeError
from bertsmith.core.types import Batch
from bertsmith.generation.options import Generation
from bertsmith.generation.rules import NOBODY
from bertsmith.layers.cache import Cache
from bertsmith.layers.decoder import EncoderDecoder
from bertsmith.layers.embeddings import Embeddings
from bertsmith.layers.encoder import Encoder
from bertsmith.layers.layout import Encoded
from bertsmith.models.family import Model


@runtime_checkable
class Steps(Protocol):
    """A decoder that takes one step at a time: `Encoder` with blocks that look backwards only, `Decoder`, or one of them fused.

    Only a method may be asked for: from Python 3.12 on, `isinstance` does not find what a module holds as a submodule.
    """

    def step(self, input_ids: Int[Tensor, "rows new"], cache: Cache) -> Float[Tensor, "rows new hidden"]:
        """States of the next tokens of every row."""
        ...


@dataclass(frozen=True)
class Parts:
    """The parts of a model that generation needs.

    Attributes:
        decoder: Takes the steps.
        embeddings: Of the tokens that it writes.
        head: From states to scores over the vocabulary.
        layers: Of the decoder.
        encoder: Reads the source; None where a decoder alone goes on with a prompt.
        remember: Computes what the decoder needs of a source at every step; None where there is none.
        start_id: The token that a decoder starts with, where the options do not name another.
    """

    decoder: Steps
    embeddings: Embeddings
    head: Callable[[Tensor], Tensor]
    layers: int
    encoder: Encoder | None = None
    remember: Callable[[Encoded, Cache], None] | None = None
    start_id: int | None = None

    @classmethod
    def of(cls, model: Model) -> Parts:
        """The parts of a model with a head "lm".

        Raises:
            RecipeError: It has no such head.
        """
        if isinstance(model, PreparedModel):
            return model.parts
        if "lm" not in model.heads:
            heads = ", ".join(model.heads) or "none"
            raise RecipeError(
                f"only a model with the head 'lm' can generate; this one is of the family {model.family.model_type}, with the heads: {heads}"
            )
        backbone, head = model.backbone, model.heads["lm"]
        if isinstance(backbone, EncoderDecoder):
            writes = backbone.decoder
            return cls(writes, writes.embeddings, head, len(writes.blocks), backbone.encoder, writes.remember, backbone.start_id)
        return cls(backbone, backbone.embeddings, head, backbone.layers)


class PreparedModel(Model):
    """A model that writes with other parts than its own, such as compute the same faster.

    Args:
        model: The model; everything but writing is as it was.
        parts: What it writes with.
    """

    def __init__(self, model: Model, parts: Parts) -> None:
        super().__init__(model.family, model.backbone, dict(model.heads.items()))
        self.generation, self.described, self.parts = model.generation, model.described, parts


class Running:
    """A batch under way.

    Args:
        parts: Of the model.
        batch: Sources for an encoder, prompts for a decoder; padding may stand anywhere.
        options: What was asked for.

    Attributes:
        history: What every row begins with: the prompt, or the token that a decoder starts with; -1 where there is padding, all of it on the left.
        scores: Of the first token of every row.

    Raises:
        RecipeError: A row without a token; more tokens than the model has positions; no token to start with.
    """

    def __init__(self, parts: Parts, batch: Batch, options: Generation) -> None:
        self.parts = parts
        kept = batch.attention_mask.bool()
        if empty := (~kept.any(1)).nonzero().flatten().tolist():
            raise RecipeError(f"rows {empty} of the batch have no token: their attention_mask is all 0")
        ids, mask = _left_padded(batch.input_ids, kept) if parts.encoder is None else _started(parts, options, batch.input_ids)
        longest, limit = ids.shape[1] + options.max_new_tokens - 1, parts.embeddings.max_length
        if longest > limit:
            raise RecipeError(
                f"{ids.shape[1]} tokens to begin with and {options.max_new_tokens} new ones are more than the {limit} that the model has positions "
                "for: shorten the prompt or lower max_new_tokens"
            )
        self.history = ids.where(mask, NOBODY)
        self.cache = Cache(parts.layers, mask, options.max_new_tokens * options.branches)
        if parts.encoder is not None and parts.remember is not None:
            parts.remember(parts.encoder(batch), self.cache)
        self.scores = self._step(ids, last=True)

    def next(self, tokens: Int[Tensor, "rows branches"], parents: Int[Tensor, "rows branches"] | None) -> Float[Tensor, "rows_branches vocabulary"]:
        """Scores of what follows these tokens, rows one after another.

        Args:
            tokens: The last one of every branch.
            parents: Which branch of the step before each of them continues; None where rows do not branch.
        """
        if parents is not None:
            self.cache.branch(parents)
        return self._step(tokens)

    def keep(self, rows: Int[Tensor, " kept"]) -> None:
        """Go on with these rows only."""
        self.cache.choose(rows)

    def _step(self, ids: Tensor, *, last: bool = False) -> Tensor:
        states = self.parts.decoder.step(ids, self.cache)
        return self.parts.head(states[:, -1] if last else states.flatten(0, 1)).float()


def _started(parts: Parts, options: Generation, sources: Tensor) -> tuple[Int[Tensor, "rows 1"], Bool[Tensor, "rows 1"]]:
    start = parts.start_id if options.decoder_start_token_id is None else options.decoder_start_token_id
    if start is None:
        raise RecipeError("decoder_start_token_id is not set: name the token after which an encoder-decoder's text begins, as its config.json does")
    ids = sources.new_full((len(sources), 1), start)
    return ids, torch.ones_like(ids, dtype=torch.bool)


def _left_padded(ids: Tensor, kept: Tensor) -> tuple[Int[Tensor, "rows length"], Bool[Tensor, "rows length"]]:
    """The same rows with all padding on the left, and no more of it than is needed."""
    order = kept.long().argsort(dim=1, stable=True)[:, -int(kept.sum(1).max()) :]
    return ids.gather(1, order), kept.gather(1, order)
