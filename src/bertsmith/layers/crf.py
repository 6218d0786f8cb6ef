"""A linear chain over the tags of a sequence: how well tags follow one another, beside how well each fits its token.

::

    score of y1 … yn  =  start[y1] + Σ score[t, yt] + Σ transition[yt-1, yt] + end[yn]

A batch is a rectangle of scores, each sequence at its left end; `kept` says what is a token and what is padding. What it costs to begin and to end
with a tag is added to the scores of the first and the last token (`with_edges`), so that all that is computed here needs the transitions alone.
Minus infinity forbids. All sequences take a step together, and a sequence that has ended waits.

Reference: Lafferty et al. 2001, "Conditional Random Fields"; as the last layer of a tagger, Lample et al. 2016, section 2.2.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


class Chain(nn.Module):
    """What a chain learns beside its tagger.

    Attributes:
        transitions: A row for every tag: the score of each tag after it.
        edges: Two rows: the score of each tag as the first, and as the last of a sequence.

    Args:
        tags: How many there are.
    """

    def __init__(self, tags: int) -> None:
        super().__init__()
        self.transitions = nn.Embedding(tags, tags)
        self.edges = nn.Embedding(2, tags)


def with_edges(
    scores: Float[Tensor, "batch length tags"],
    kept: Bool[Tensor, "batch length"],
    edges: Float[Tensor, "2 tags"],
    whole: Bool[Tensor, "batch 2"],
) -> Float[Tensor, "batch length tags"]:
    """The scores with what it costs to begin and to end with a tag.

    Args:
        scores: Of every tag for every token.
        kept: Which places are tokens.
        edges: Scores of the first tag, and of the last.
        whole: Whether a sequence begins where its text begins, and ends where it ends; a window over a longer text may do neither.
    """
    after = torch.cat([kept[:, 1:], torch.zeros_like(kept[:, :1])], 1)
    first, last = torch.zeros_like(kept), kept & ~after
    first[:, 0] = True
    for place, edge, row in ((first, edges[0], whole[:, :1]), (last, edges[1], whole[:, 1:])):
        scores = scores + torch.where((place & row)[:, :, None], edge, 0.0)
    return scores


def path_scores(
    scores: Float[Tensor, "batch length tags"],
    kept: Bool[Tensor, "batch length"],
    transitions: Float[Tensor, "tags tags"],
    path: Int[Tensor, "batch length"],
) -> Float[Tensor, " batch"]:
    """The score of one path of tags a sequence; at padding the path may hold any tag.

    Example:
        >>> scores = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
        >>> path_scores(scores, torch.ones(1, 2, dtype=torch.bool), torch.tensor([[0.0, 5.0], [0.0, 0.0]]), torch.tensor([[0, 1]]))
        tensor([8.])
    """
    own = scores.gather(2, path[:, :, None])[:, :, 0].masked_fill(~kept, 0.0)
    steps = transitions[path[:, :-1], path[:, 1:]].masked_fill(~kept[:, 1:], 0.0)
    return own.sum(1) + steps.sum(1)


def log_partitions(
    scores: Float[Tensor, "batch length tags"], kept: Bool[Tensor, "batch length"], transitions: Float[Tensor, "tags tags"]
) -> Float[Tensor, " batch"]:
    """The logarithm of the sum of e^score over all paths, in nats; sequences have at least one token."""
    return torch.logsumexp(_forward(scores, kept, transitions)[-1], 1)


def log_likelihoods(
    scores: Float[Tensor, "batch length tags"],
    kept: Bool[Tensor, "batch length"],
    transitions: Float[Tensor, "tags tags"],
    path: Int[Tensor, "batch length"],
) -> Float[Tensor, " batch"]:
    """The log-probability of one path a sequence, in nats; 0 for a sequence without tokens.

    Example:
        Without transitions the tags are independent, and this one has the odds e¹ : e⁰.

        >>> log_likelihoods(torch.tensor([[[1.0, 0.0]]]), torch.ones(1, 1, dtype=torch.bool), torch.zeros(2, 2), torch.tensor([[0]])).exp()
        tensor([0.7311])
    """
    found = path_scores(scores, kept, transitions, path) - log_partitions(scores, kept, transitions)
    return torch.where(kept[:, 0], found, 0.0)


def best_paths(
    scores: Float[Tensor, "batch length tags"], kept: Bool[Tensor, "batch length"], transitions: Float[Tensor, "tags tags"]
) -> Int[Tensor, "batch length"]:
    """The path with the highest score (Viterbi); at padding it repeats the last tag.

    Example:
        The second token alone would be tagged 1, but 1 may not follow 0.

        >>> scores = torch.tensor([[[3.0, 0.0], [0.0, 2.0]]])
        >>> best_paths(scores, torch.ones(1, 2, dtype=torch.bool), torch.tensor([[0.0, -torch.inf], [0.0, 0.0]]))
        tensor([[0, 0]])
    """
    best, waiting = scores[:, 0], torch.arange(scores.shape[2], device=scores.device)
    origins: list[Tensor] = []
    for place in range(1, scores.shape[1]):
        reached, origin = (best[:, :, None] + transitions).max(1)
        real = kept[:, place, None]
        best = torch.where(real, reached + scores[:, place], best)
        origins.append(torch.where(real, origin, waiting))
    path = [best.argmax(1)]
    for origin in reversed(origins):
        path.append(origin.gather(1, path[-1][:, None])[:, 0])
    return torch.stack(path[::-1], 1)


def permitted_paths(
    scores: Float[Tensor, "batch length tags"], kept: Bool[Tensor, "batch length"], barriers: Float[Tensor, "tags tags"]
) -> Int[Tensor, "batch length"]:
    """As `best_paths`, where transitions are free or forbidden: mostly the best tags by themselves; only what is forbidden is looked into.

    Args:
        scores: Of every tag for every token.
        kept: Which places are tokens.
        barriers: 0, or minus infinity.
    """
    path = scores.argmax(2)
    broken = ((barriers[path[:, :-1], path[:, 1:]] < 0) & kept[:, 1:]).any(1)
    if broken.any():
        path[broken] = best_paths(scores[broken], kept[broken], barriers)
    return path


def marginals(
    scores: Float[Tensor, "batch length tags"], kept: Bool[Tensor, "batch length"], transitions: Float[Tensor, "tags tags"]
) -> Float[Tensor, "batch length tags"]:
    """The probability of every tag for every token over all paths, 0-1; not to be used at padding."""
    forward = _forward(scores, kept, transitions)
    backward = [torch.zeros_like(scores[:, 0])]
    for place in range(scores.shape[1] - 1, 0, -1):
        left = torch.logsumexp(transitions + (scores[:, place] + backward[-1])[:, None, :], 2)
        backward.append(torch.where(kept[:, place, None], left, backward[-1]))
    total = torch.logsumexp(forward[-1], 1)[:, None, None]
    return (torch.stack(forward, 1) + torch.stack(backward[::-1], 1) - total).exp()


def _forward(scores: Tensor, kept: Tensor, transitions: Tensor) -> list[Tensor]:
    """For every place, the log-sum of all paths that lead to each tag there."""
    reached = [scores[:, 0]]
    for place in range(1, scores.shape[1]):
        arrived = torch.logsumexp(reached[-1][:, :, None] + transitions, 1) + scores[:, place]
        reached.append(torch.where(kept[:, place, None], arrived, reached[-1]))
    return reached
