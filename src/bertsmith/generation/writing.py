"""From a batch to tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bertsmith.core.errors import RecipeError
from bertsmith.core.types import Batch
from bertsmith.generation.beams import BeamSearch
from bertsmith.generation.options import IDS, Generation, published
from bertsmith.generation.running import Parts, Running
from bertsmith.generation.sampling import Sampling
from bertsmith.generation.written import Written
from bertsmith.models.family import Model


def generate(model: Model | Parts, batch: Batch, options: Generation | None = None, *, numbers: Sequence[int] | None = None) -> list[list[Written]]:
    """Let a model write.

    With the options of `transformers.generate` and without drawing, the tokens are the same, row by row. What is written after a prompt depends
    neither on padding nor on the other rows, as it does in `transformers`, where padding counts as a token in `no_repeat_ngram_size`. There,
    `forced_bos_token_id` holds for a decoder alone only after prompts of one token; here after all.

    Args:
        model: One with a head "lm", in evaluation mode; or its parts.
        batch: Sources for an encoder-decoder, prompts for a decoder; padding may stand on either side.
        options: How to write; greedy by default.
        numbers: Of the rows, which draws depend on; from 0 by default.

    Returns:
        For every row `num_return_sequences` texts, best first where there are beams; fewer only where so many tokens are forced that there are no
        more.

    Raises:
        RecipeError: The model cannot generate; the options or the batch do not fit it.
    """
    parts = model if isinstance(model, Parts) else Parts.of(model)
    options = options or Generation()
    _check(options, parts)
    with torch.inference_mode():
        running = Running(parts, batch, options)
        way = BeamSearch(running, options) if options.beams > 1 else Sampling(running, options, numbers or range(len(batch.input_ids)))
        return way.texts()


def options_of(model: Model) -> Generation:
    """The options that a model was published with. Ids of tokens that its vocabulary does not have are left out: nobody has chosen them.

    Raises:
        RecipeError: As for `published`.
    """
    size = model.family.vocab_size
    config = model.generation or model.family.to_config()
    return published({key: value for key, value in config.items() if not (key in IDS and isinstance(value, int) and value >= size)})


def _check(options: Generation, parts: Parts) -> None:
    vocabulary = parts.embeddings.token.num_embeddings
    named = {name: getattr(options, name) for name in IDS}
    named |= {"suppressed": max(options.suppressed, default=None)}
    wrong = [f"{name}: there is no token {number}" for name, number in named.items() if number is not None and number >= vocabulary]
    if wrong:
        raise RecipeError(f"the model has {vocabulary} tokens, numbered from 0, and the options name others", wrong)
