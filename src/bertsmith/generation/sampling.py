"""One token after another: the likeliest (greedy), or one that is drawn.

A draw is a function of the seed, the number of the row, the number of its text and the place in it, and of nothing else: a number between 0 and 1,
which falls on a token when all of them are laid side by side, each as wide as it is likely.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from bertsmith.core.randomness import generator_at
from bertsmith.generation.options import Generation
from bertsmith.generation.rules import Rules, ends, narrowed
from bertsmith.generation.running import Running
from bertsmith.generation.written import Written


class Sampling:
    """Texts that are written token by token.

    Args:
        running: The model, which has read the batch.
        options: What was asked for.
        numbers: Of the rows, for their draws.
    """

    def __init__(self, running: Running, options: Generation, numbers: Sequence[int]) -> None:
        self.running, self.options, self.rules = running, options, Rules(options)
        branches, device = options.num_return_sequences, running.history.device
        self.prompt = running.history.shape[1]
        self.history = running.history[:, None].repeat(1, branches, 1)
        self.scores = torch.zeros(len(numbers), branches, device=device)
        self.lengths = torch.zeros(len(numbers), branches, dtype=torch.long, device=device)
        self.ended = torch.zeros(len(numbers), branches, dtype=torch.bool, device=device)
        self.draws = uniform(options, numbers).to(device) if options.sample else torch.empty(len(numbers), 0, device=device)
        self.parents = torch.arange(branches, device=device).expand(len(numbers), -1) if branches > 1 else None
        self.rows = list(range(len(numbers)))

    def texts(self) -> list[list[Written]]:
        """The texts of every row."""
        results: list[list[Written]] = [[] for _ in self.rows]
        scores = self.running.scores.repeat_interleave(self.history.shape[1], 0)
        while True:
            self._advance(scores)
            done = self.ended.all(1)
            for place in done.nonzero().flatten().tolist():
                results[self.rows[place]] = self._written(place)
            if bool(done.all()):
                return results
            if bool(done.any()):
                self._keep((~done).nonzero().flatten())
            scores = self.running.next(self.history[:, :, -1], self.parents)

    def _advance(self, scores: Tensor) -> None:
        options, number = self.options, self.history.shape[2] - self.prompt
        self.rules(scores, self.history.flatten(0, 1), number)
        if options.sample:
            scores = narrowed(scores, options)
            tokens = drawn(scores, self.draws[:, :, number].flatten())
        else:
            tokens = scores.argmax(1)
        likely = scores.gather(1, tokens[:, None])[:, 0] - scores.logsumexp(1)
        tokens = tokens.view_as(self.ended)
        self.scores += likely.view_as(self.ended) * ~self.ended
        self.lengths += ~self.ended
        self.history = torch.cat([self.history, tokens[:, :, None]], dim=2)
        self.ended |= ends(tokens, number + 1, options)

    def _written(self, row: int) -> list[Written]:
        tokens = self.history[row, :, self.prompt :].numpy(force=True).astype(np.int32)
        scores = (self.scores[row] / self.lengths[row] ** self.options.length_penalty).tolist()
        return [Written(some[:length].copy(), score) for some, length, score in zip(tokens, self.lengths[row].tolist(), scores, strict=True)]

    def _keep(self, rows: Tensor) -> None:
        self.running.keep(rows)
        self.history, self.scores, self.lengths, self.ended = self.history[rows], self.scores[rows], self.lengths[rows], self.ended[rows]
        self.draws = self.draws[rows]
        self.parents = None if self.parents is None else self.parents[rows]
        self.rows = [self.rows[row] for row in rows.tolist()]


def uniform(options: Generation, numbers: Sequence[int]) -> Float64[Tensor, "rows texts most"]:
    """All numbers that rows with these numbers will need for their draws, at least 0 and below 1."""
    texts, most = range(options.num_return_sequences), options.max_new_tokens
    return torch.from_numpy(np.array([[generator_at(options.seed, "text", row, text).random(most) for text in texts] for row in numbers]))


def drawn(scores: Float[Tensor, "rows vocabulary"], numbers: Float64[Tensor, " rows"]) -> Int[Tensor, " rows"]:
    """The tokens that these numbers fall on."""
    reached = scores.double().softmax(1).cumsum(1)
    return torch.searchsorted(reached, numbers[:, None] * reached[:, -1:], right=True)[:, 0]
