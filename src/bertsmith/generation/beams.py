"""Beam search: the best unfinished texts are followed side by side, and the best finished ones are kept.

The decisions are those of `transformers` 5 (`GenerationMixin._beam_search`), token for token: twice as many candidates as beams are looked at, so
that enough of them are unfinished; only the better half may finish; scores are sums of logarithms of probabilities, divided by the length to a power
once finished. Computed differently, with the same result:

- of every beam's scores only the best few and the logarithm of the sum are computed, not a probability for every token;
- beams are branches of one row (see `bertsmith.layers.cache`), so that none of the past is copied when one takes another's place;
- the prompt is read once and not once a beam; rows that are done leave the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from bertsmith.generation.options import Generation
from bertsmith.generation.rules import Rules, ends
from bertsmith.generation.running import Running
from bertsmith.generation.written import Written

HOPELESS = -1e9
"""Added to scores of what must not be chosen."""

BLOCK = 64
"""Tokens of which the largest score is found first, before the best are looked for."""


@dataclass
class Finished:
    """The best finished texts of every row, best first.

    Attributes:
        tokens: What was written.
        lengths: How many tokens that is.
        scores: Divided by the length penalty.
        full: Which places hold a text.
    """

    tokens: Int[Tensor, "rows beams most"]
    lengths: Int[Tensor, "rows beams"]
    scores: Float[Tensor, "rows beams"]
    full: Bool[Tensor, "rows beams"]

    @classmethod
    def none(cls, rows: int, options: Generation, device: torch.device) -> Finished:
        """Room for as many as beams."""
        shape = (rows, options.beams)
        return cls(
            torch.zeros(*shape, options.max_new_tokens, dtype=torch.long, device=device),
            torch.zeros(shape, dtype=torch.long, device=device),
            torch.full(shape, HOPELESS, device=device),
            torch.zeros(shape, dtype=torch.bool, device=device),
        )

    def merge(self, tokens: Tensor, scores: Tensor, new: Tensor) -> None:
        """Take in what is better than what is there.

        Args:
            tokens: Of the candidates.
            scores: Of the candidates; hopeless where they are not finished.
            new: Which candidates are finished.
        """
        most, length = self.tokens.shape[2], tokens.shape[2]
        all_tokens = torch.cat([self.tokens, F.pad(tokens, (0, most - length))], dim=1)
        all_lengths = torch.cat([self.lengths, torch.full_like(new, length, dtype=torch.long)], dim=1)
        self.scores, best = torch.cat([self.scores, scores], dim=1).topk(self.scores.shape[1])
        self.full = torch.cat([self.full, new], dim=1).gather(1, best)
        self.lengths = all_lengths.gather(1, best)
        self.tokens = all_tokens.take_along_dim(best[:, :, None], dim=1)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only."""
        self.tokens, self.lengths, self.scores, self.full = self.tokens[rows], self.lengths[rows], self.scores[rows], self.full[rows]

    def written(self, row: int, count: int) -> list[Written]:
        """The best of one row, as many as there are."""
        count = min(count, int(self.full[row].sum()))
        scores, lengths = self.scores[row, :count].tolist(), self.lengths[row, :count].tolist()
        tokens = self.tokens[row, :count].numpy(force=True).astype(np.int32)
        return [Written(some[:length].copy(), score) for some, length, score in zip(tokens, lengths, scores, strict=True)]


class BeamSearch:
    """A beam search under way.

    Args:
        running: The model, which has read the batch.
        options: What was asked for.
    """

    def __init__(self, running: Running, options: Generation) -> None:
        self.running, self.options, self.rules = running, options, Rules(options)
        rows, device = len(running.history), running.history.device
        self.prompt = running.history.shape[1]
        self.history = running.history[:, None].repeat(1, options.beams, 1)
        self.scores = torch.zeros(rows, options.beams, device=device)
        self.scores[:, 1:] = HOPELESS  # all beams are the same in the beginning: only one of them counts
        self.finished = Finished.none(rows, options, device)
        self.rows = list(range(rows))

    def texts(self) -> list[list[Written]]:
        """The best texts of every row."""
        results: list[list[Written]] = [[] for _ in self.rows]
        scores, history = self.running.scores, self.running.history
        while True:
            parents = self._advance(scores, history)
            done = self._done()
            for place in done.nonzero().flatten().tolist():
                results[self.rows[place]] = self.finished.written(place, self.options.num_return_sequences)
            if bool(done.all()):
                return results
            if bool(done.any()):
                parents = self._keep((~done).nonzero().flatten(), parents)
            scores, history = self.running.next(self.history[:, :, -1], parents), self.history.flatten(0, 1)

    @property
    def written(self) -> int:
        """Tokens since the prompt."""
        return self.history.shape[2] - self.prompt

    def _advance(self, scores: Tensor, history: Tensor) -> Int[Tensor, "rows beams"]:
        """One more token for every beam; returns which beam each of the new ones continues."""
        options, beams = self.options, self.options.beams
        likely, tokens = self._likely(scores, history)
        totals = (likely + self.scores[:, :, None]).flatten(1)
        totals, places = totals.topk(2 * beams)
        parents = places.div(likely.shape[2], rounding_mode="floor")
        candidates = torch.cat([self.history.take_along_dim(parents[:, :, None], dim=1), tokens.flatten(1).gather(1, places)[:, :, None]], dim=2)
        length = self.written + 1
        ended = ends(candidates[:, :, -1], length, options)
        self._finish(candidates, totals, ended, length)
        totals = totals + ended * HOPELESS
        best = totals.topk(beams).indices
        self.scores = totals.gather(1, best)
        self.history = candidates.take_along_dim(best[:, :, None], dim=1)
        return parents.gather(1, best)

    def _likely(self, scores: Tensor, history: Tensor) -> tuple[Float[Tensor, "rows beams few"], Int[Tensor, "rows beams few"]]:
        """The likeliest next tokens of every beam, as logarithms of probabilities."""
        scores.sub_(scores.logsumexp(1, keepdim=True))
        self.rules(scores, history, self.written)
        likely, tokens = largest(scores, min(2 * self.options.beams, scores.shape[1]))
        shape = (len(self.history), -1, likely.shape[1])
        whole = (-1, self.options.beams, -1)
        return likely.view(shape).expand(whole), tokens.view(shape).expand(whole)

    def _finish(self, candidates: Tensor, totals: Tensor, ended: Tensor, length: int) -> None:
        new = ended & (totals > HOPELESS / 2)  # where tokens are forced, there may be fewer texts than beams
        new[:, self.options.beams :] = False
        if not bool(new.any()):
            return
        scores = totals / length**self.options.length_penalty + ~new * HOPELESS
        self.finished.merge(candidates[:, :, self.prompt :], scores, new)

    def _done(self) -> Bool[Tensor, " rows"]:
        """Rows whose finished texts will not change any more."""
        options, full = self.options, self.finished.full
        if self.written == options.max_new_tokens:
            return torch.ones(len(full), dtype=torch.bool, device=full.device)
        to_the_end = options.early_stopping == "never" and options.length_penalty > 0
        length = options.max_new_tokens if to_the_end else self.written
        possible = self.scores[:, :1] / length**options.length_penalty
        worst = self.finished.scores.amin(1, keepdim=True).where(full, HOPELESS)
        hopeless = ~(possible > worst).any(1)
        return hopeless | full.all(1) if options.early_stopping is True else hopeless

    def _keep(self, rows: Tensor, parents: Tensor) -> Tensor:
        self.running.keep(rows)
        self.finished.keep(rows)
        self.history, self.scores = self.history[rows], self.scores[rows]
        self.rows = [self.rows[row] for row in rows.tolist()]
        return parents[rows]


def largest(scores: Float[Tensor, "rows vocabulary"], count: int) -> tuple[Float[Tensor, "rows count"], Int[Tensor, "rows count"]]:
    """The largest scores of every row, largest first, and their places: what `topk` returns, and sooner where the vocabulary is large.

    The largest `count` stand in the `count` blocks whose largest are largest.
    """
    rows, vocabulary = scores.shape
    blocks = vocabulary // BLOCK
    if blocks < 4 * count:
        return scores.topk(count)
    whole = blocks * BLOCK
    blocked = scores[:, :whole].unflatten(1, (blocks, BLOCK))
    chosen = blocked.amax(2).topk(count).indices
    inside = blocked.take_along_dim(chosen[:, :, None], dim=1).flatten(1)
    places = (chosen[:, :, None] * BLOCK + torch.arange(BLOCK, device=scores.device)).flatten(1)
    rest = torch.arange(whole, vocabulary, device=scores.device).expand(rows, -1)
    values, best = torch.cat([inside, scores[:, whole:]], dim=1).topk(count)
    return values, torch.cat([places, rest], dim=1).gather(1, best)
