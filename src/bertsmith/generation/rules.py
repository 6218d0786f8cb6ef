"""What changes a model's scores before a token is chosen.

The order is that of `transformers`: repetitions, suppressed tokens, the least length, forced tokens, the sum of probabilities; then, for drawing,
temperature, top-k, top-p.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bertsmith.generation.options import Generation

NOTHING = float("-inf")
NOBODY = -1
"""What stands in a history where there is padding."""


class Rules:
    """The rules that hold for all ways of choosing.

    Args:
        options: What was asked for.
    """

    def __init__(self, options: Generation) -> None:
        self.options = options

    def __call__(self, scores: Float[Tensor, "rows vocabulary"], history: Int[Tensor, "rows length"], written: int) -> None:
        """Change scores where they stand.

        Args:
            scores: Of the next token; for beams, logarithms of probabilities.
            history: All tokens before it, with the prompt; -1 where there is padding.
            written: How many of them were written since the prompt.
        """
        options = self.options
        if options.repetition_penalty != 1:
            penalise(scores, history, options.repetition_penalty)
        if options.no_repeat_ngram:
            forbid_repetitions(scores, history, options.no_repeat_ngram)
        if options.suppressed:
            scores[:, list(options.suppressed)] = NOTHING
        if options.eos_token_id is not None and written < options.min_new_tokens:
            scores[:, options.eos_token_id] = NOTHING
        if written == 0 and options.forced_bos_token_id is not None:
            force(scores, options.forced_bos_token_id)
        if written == options.max_new_tokens - 1 and options.forced_eos_token_id is not None:
            force(scores, options.forced_eos_token_id)
        if options.renormalize:
            scores.sub_(scores.logsumexp(1, keepdim=True))


def ends(tokens: Int[Tensor, "rows texts"], written: int, options: Generation) -> Bool[Tensor, "rows texts"]:
    """Which texts are at their end with these tokens, of which they then have `written`."""
    if written == options.max_new_tokens:
        return torch.ones_like(tokens, dtype=torch.bool)
    return torch.zeros_like(tokens, dtype=torch.bool) if options.eos_token_id is None else tokens == options.eos_token_id


def force(scores: Float[Tensor, "rows vocabulary"], token: int) -> None:
    """Leave one token."""
    scores.fill_(NOTHING)[:, token] = 0


def penalise(scores: Float[Tensor, "rows vocabulary"], history: Int[Tensor, "rows length"], penalty: float) -> None:
    """Divide positive scores of tokens that are already there by the penalty, and multiply negative ones (Keskar et al. 2019, "CTRL")."""
    there = _marked(scores, history)
    scores.copy_(torch.where(there, torch.where(scores < 0, scores * penalty, scores / penalty), scores))


def forbid_repetitions(scores: Float[Tensor, "rows vocabulary"], history: Int[Tensor, "rows length"], size: int) -> None:
    """No token that would complete a sequence of `size` tokens which is already there.

    Padding, which is -1, never comes last and never equals a token, so sequences with padding forbid nothing.
    """
    length = history.shape[1]
    if length < size:
        return
    windows = history.unfold(1, size, 1)
    same = (windows[:, :, :-1] == history[:, None, length + 1 - size :]).all(2)
    scores.masked_fill_(_marked(scores, windows[:, :, -1].where(same, NOBODY)), NOTHING)


def _marked(scores: Tensor, tokens: Tensor) -> Tensor:
    """True at these tokens of every row; -1 marks nothing."""
    vocabulary = scores.shape[1]
    marks = torch.zeros(len(scores), vocabulary + 1, dtype=torch.bool, device=scores.device)
    return marks.scatter_(1, tokens.where(tokens >= 0, vocabulary), True)[:, :vocabulary]


def narrowed(scores: Float[Tensor, "rows vocabulary"], options: Generation) -> Float[Tensor, "rows vocabulary"]:
    """Scores to draw from: divided by the temperature, and minus infinity outside top-k and top-p (Holtzman et al. 2020)."""
    if options.temperature != 1:
        scores = scores / options.temperature
    if 0 < options.top_k < scores.shape[1]:
        scores = scores.masked_fill(scores < scores.topk(options.top_k).values[:, -1:], NOTHING)
    if options.top_p < 1:
        ordered, tokens = scores.sort(descending=False)
        left_out = ordered.softmax(1).cumsum(1) <= 1 - options.top_p
        left_out[:, -1] = False
        scores = scores.masked_fill(left_out.scatter(1, tokens, left_out), NOTHING)
    return scores
