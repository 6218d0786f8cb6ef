"""A model at work: it has read a batch, and says at every step how likely each token is to come next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bertsmith.core.errors import RecipeError
from bertsmith.core.types import Batch
from bertsmith.inference.generation.options import Generation
from bertsmith.inference.generation.rules import NOBODY
from bertsmith.layers.cache import Cache
from bertsmith.layers.decoder import Decoder, EncoderDecoder
from bertsmith.layers.encoder import Encoder
from bertsmith.models.family import Model


@dataclass(frozen=True)
class Parts:
    """The parts of a model that generation needs.

    Attributes:
        encoder: Reads the source; None where a decoder alone goes on with a prompt.
        decoder: Has `step`.
        head: From states to scores over the vocabulary.
    """

    encoder: Encoder | None
    decoder: Encoder | Decoder
    head: Callable[[Tensor], Tensor]

    @classmethod
    def of(cls, model: Model) -> Parts:
        """The parts of a model with a head "lm".

        Raises:
            RecipeError: It has no such head, or its tokens look at what comes after them.
        """
        backbone, name = model.backbone, model.family.model_type
        if "lm" not in model.heads:
            raise RecipeError(f"a {name} model without the head 'lm' cannot generate; its heads are: {', '.join(model.heads) or 'none'}")
        if isinstance(backbone, EncoderDecoder):
            return cls(backbone.encoder, backbone.decoder, model.heads["lm"])
        return cls(None, backbone, model.heads["lm"])

    @property
    def layers(self) -> int:
        """How many layers of the decoder have a past."""
        return len(self.decoder.blocks) if isinstance(self.decoder, Decoder) else self.decoder.layers


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
        ids, mask = _left_padded(batch.input_ids, kept) if parts.encoder is None else _started(len(kept), options, batch.input_ids)
        longest, limit = ids.shape[1] + options.max_new_tokens - 1, parts.decoder.embeddings.max_length
        if longest > limit:
            raise RecipeError(
                f"{ids.shape[1]} tokens to begin with and {options.max_new_tokens} new ones are more than the {limit} that the model has positions for: "
                "shorten the prompt or lower max_new_tokens"
            )
        self.history = ids.where(mask, NOBODY)
        self.cache = Cache(parts.layers, mask, options.max_new_tokens * options.branches)
        if parts.encoder is not None:
            assert isinstance(parts.decoder, Decoder), "it reads what the encoder returns"
            parts.decoder.remember(parts.encoder(batch), self.cache)
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
        self.cache.keep(rows)

    def _step(self, ids: Tensor, *, last: bool = False) -> Tensor:
        states = self.parts.decoder.step(ids, self.cache)
        return self.parts.head(states[:, -1] if last else states.flatten(0, 1)).float()


def _started(rows: int, options: Generation, like: Tensor) -> tuple[Int[Tensor, "rows 1"], Bool[Tensor, "rows 1"]]:
    start = options.decoder_start_token_id
    if start is None:
        raise RecipeError("decoder_start_token_id is not set: name the token after which an encoder-decoder's text begins, as its config.json does")
    ids = like.new_full((rows, 1), start)
    return ids, torch.ones_like(ids, dtype=torch.bool)


def _left_padded(ids: Tensor, kept: Tensor) -> tuple[Int[Tensor, "rows length"], Bool[Tensor, "rows length"]]:
    """The same rows with all padding on the left, and no more of it than is needed."""
    order = kept.long().argsort(dim=1, stable=True)[:, -int(kept.sum(1).max()) :]
    return ids.gather(1, order), kept.gather(1, order)
