"""Multi-head scaled dot-product attention: over packed tokens, or token by token with a memory of what came before.

Reference: Vaswani et al. 2017, "Attention Is All You Need", section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from bertsmith.layers.cache import Past
from bertsmith.layers.dropped_attention import weighted_with_dropout
from bertsmith.layers.layout import Chosen, Encoded, Group, Layout
from bertsmith.layers.rotary import Rotary, turned


@dataclass(frozen=True, slots=True)
class Sight:
    """Which tokens of its own sequence a token looks at.

    Attributes:
        causal: Only at itself and at those before it, as in a decoder.
        window: Only at those that are at most so many places away, to either side; None where distance does not matter.
    """

    causal: bool = False
    window: int | None = None

    def mask(self, length: int, device: torch.device) -> Bool[Tensor, "length length"] | None:
        """True where the token of a row looks at that of a column; None where all look at all."""
        if not self.causal and (self.window is None or self.window >= length - 1):
            return None
        places = torch.arange(length, device=device)
        distance = places[:, None] - places
        seen = distance.abs() <= (length if self.window is None else self.window)
        return seen & (distance >= 0) if self.causal else seen


EVERYWHERE = Sight()


def attend(
    query: Float[Tensor, "queries heads size"],
    key: Float[Tensor, "tokens heads size"],
    value: Float[Tensor, "tokens heads size"],
    layout: Layout,
    dropout: float = 0.0,
    sight: Sight = EVERYWHERE,
    queries: Layout | None = None,
) -> Float[Tensor, "queries hidden"]:
    """Every token looks at tokens of its own sequence, and at no others.

    Args:
        query: Packed, one row a token that looks.
        key: Packed, one row a token.
        value: Likewise.
        layout: Which tokens belong together.
        dropout: Share of attention weights set to zero, 0-1.
        sight: Which of its sequence's tokens a token looks at.
        queries: Where those that look stand, if not all do (`Layout.only`); they look everywhere then.

    Returns:
        The weighted values, the heads joined.
    """
    assert queries is None or sight == EVERYWHERE, "a mask of what each token sees has a row for every token"
    looking = (queries or layout).groups
    sizes = [group.rows for group in layout.groups]
    parts = zip(looking, layout.groups, query.split([group.rows for group in looking]), key.split(sizes), value.split(sizes), strict=True)
    joined = [own.join(_attend(group, own.split(q), group.split(k), group.split(v), dropout, sight)) for own, group, q, k, v in parts]
    return joined[0] if len(joined) == 1 else torch.cat(joined)


def _attend(group: Group, query: Tensor, key: Tensor, value: Tensor, dropout: float, sight: Sight) -> Tensor:
    if group.mask is None and sight == Sight(causal=True) and not (dropout and query.device.type == "cpu"):
        return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)
    if sight.window and not sight.causal and group.length > FAR * sight.window:
        return _nearby(query, key, value, group.mask, sight.window, dropout)
    return weighted(query, key, value, _seen(group, sight, query.device), dropout)


def _seen(group: Group, sight: Sight, device: torch.device) -> Bool[Tensor, "count 1 #length length"] | None:
    """Which places look at which. One without a token looks at itself, because attention to nothing is not a number."""
    kept, seen = group.mask, sight.mask(group.length, device)
    if kept is None or seen is None:
        return seen[None, None] if seen is not None else None if kept is None else kept[:, None, None, :]
    return (kept[:, None, None, :] & seen) | torch.eye(group.length, dtype=torch.bool, device=device)


FAR = 7
"""A sequence of more windows than so many is looked at piece by piece. About there, for a window of 64, pieces and a mask take equally long; from
there on, the time of a mask grows with the square of the length."""


def _nearby(query: Tensor, key: Tensor, value: Tensor, kept: Tensor | None, window: int, dropout: float) -> Tensor:
    """Attention to tokens at most `window` places away, in time and memory that grow with the length and not with its square.

    Queries are cut into pieces of the window's length. Each looks at itself and at the pieces on both sides.
    """
    rows, heads, length, size = query.shape
    count = -(-length // window)
    missing = count * window - length
    queries = F.pad(query, (0, 0, 0, missing)).view(rows, heads, count, window, size).transpose(1, 2)
    keys, values = (F.pad(part, (0, 0, window, missing + window)).unfold(2, 3 * window, window).permute(0, 2, 1, 4, 3) for part in (key, value))
    there = torch.ones(1, length, dtype=torch.bool, device=query.device) if kept is None else kept
    there = F.pad(there, (window, missing + window)).unfold(1, 3 * window, window)
    distance = torch.arange(-window, 2 * window, device=query.device) - torch.arange(window, device=query.device)[:, None]
    seen = (there[:, :, None] & (distance.abs() <= window)) | (distance == 0)  # a place without a token looks at itself
    mask = seen.expand(rows, -1, -1, -1).flatten(0, 1)[:, None]
    found = weighted(queries.flatten(0, 1), keys.flatten(0, 1), values.flatten(0, 1), mask, dropout)
    return found.unflatten(0, (rows, count)).transpose(1, 2).flatten(2, 3)[:, :, :length]


def weighted(
    query: Float[Tensor, "rows heads queries size"],
    key: Float[Tensor, "rows heads keys size"],
    value: Float[Tensor, "rows heads keys size"],
    mask: Bool[Tensor, "#rows #heads #queries keys"] | None,
    dropout: float = 0.0,
) -> Float[Tensor, "rows heads queries size"]:
    """Attention over rectangles.

    Args:
        query: What looks.
        key: What is looked at.
        value: What is taken from it.
        mask: True where a query looks at a key, at least once for every query; None for everywhere.
        dropout: Share of attention weights set to zero, 0-1.
    """
    if 0 < dropout < 1 and query.device.type == "cpu":
        return weighted_with_dropout(query, key, value, mask, dropout)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)


def side_by_side(states: Float[Tensor, "*places hidden"], *layers: nn.Module) -> list[Float[Tensor, "*places hidden"]]:
    """What linear layers of one shape make of the same states: by one product, unless a tuning technique has put something in their place."""
    if any(type(layer) is not nn.Linear for layer in layers):
        return [layer(states) for layer in layers]
    weights, biases = ([getattr(layer, name) for layer in layers] for name in ("weight", "bias"))
    bias = None if biases[0] is None else torch.cat(biases)
    return list(F.linear(states, torch.cat(weights), bias).chunk(len(layers), -1))


class Projections(nn.Module):
    """Query, key, value and output layers, as every kind of attention has them.

    Args:
        hidden: Width of the states.
        heads: Number of heads; divides `hidden`.
        dropout: Share of attention weights set to zero while training, 0-1.
        bias: Whether the four layers have one.
    """

    def __init__(self, hidden: int, heads: int, dropout: float, *, bias: bool = True) -> None:
        super().__init__()
        if hidden % heads:
            raise ValueError(f"hidden size {hidden} is not a multiple of the {heads} attention heads")
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(hidden, hidden, bias)
        self.key = nn.Linear(hidden, hidden, bias)
        self.value = nn.Linear(hidden, hidden, bias)
        self.output = nn.Linear(hidden, hidden, bias)

    def _split(self, states: Float[Tensor, "*places hidden"]) -> Float[Tensor, "*places heads size"]:
        return states.unflatten(-1, (self.heads, -1))


class SelfAttention(Projections):
    """Tokens look at tokens of their own sequence.

    Args:
        hidden: Width of the states.
        heads: Number of heads; divides `hidden`.
        dropout: Share of attention weights set to zero while training, 0-1.
        sight: Which of its sequence's tokens a token looks at.
        rotary: Turns queries and keys by their places; None where the embeddings tell places apart.
        bias: Whether the four layers have one.
    """

    def __init__(
        self, hidden: int, heads: int, dropout: float, sight: Sight = EVERYWHERE, *, rotary: Rotary | None = None, bias: bool = True
    ) -> None:
        super().__init__(hidden, heads, dropout, bias=bias)
        self.sight = sight
        self.rotary = rotary

    def forward(self, states: Float[Tensor, "tokens hidden"], layout: Layout, chosen: Chosen | None = None) -> Float[Tensor, "rows hidden"]:
        """Packed states in, packed states out; no residual.

        Args:
            states: Of all tokens, which are looked at.
            layout: Of all tokens.
            chosen: Those that look, if not all do.
        """
        dropout = self.dropout if self.training else 0.0
        if chosen is None or self.rotary is not None or self.sight != EVERYWHERE:
            attended = attend(*self._projected(states, layout.places), layout, dropout, self.sight)
            return self.output(attended if chosen is None else attended.index_select(0, chosen.rows))
        query = self._split(self.query(states.index_select(0, chosen.rows)))
        key, value = map(self._split, side_by_side(states, self.key, self.value))
        return self.output(attend(query, key, value, layout, dropout, queries=chosen.layout))

    def step(
        self, states: Float[Tensor, "rows new hidden"], past: Past, mask: Bool[Tensor, "#rows 1 new filled"] | None
    ) -> Float[Tensor, "rows new hidden"]:
        """New tokens of every row, which look at those before them too.

        Args:
            states: Of the new tokens.
            past: Keys and values of those before them; those of the new ones are added.
            mask: Which of all tokens so far each new one looks at; None for all.
        """

        def places() -> Tensor:  # columns, because only their distances matter
            return torch.arange(past.filled, past.filled + states.shape[1], device=states.device)

        query, key, value = (part.transpose(1, 2) for part in self._projected(states, places))
        return self.output(weighted(query, *past.extend(key, value), mask).transpose(1, 2).flatten(2))

    def probabilities(self, states: Float[Tensor, "tokens hidden"], layout: Layout) -> Float[Tensor, "batch heads length length"]:
        """How much every token looks at every other; rows sum to 1, padding has 0. For looking at, not for computing with."""
        projected = self._projected(states, layout.places)
        query, key, _ = (layout.pad(part.flatten(1)).unflatten(2, (self.heads, -1)).transpose(1, 2) for part in projected)
        kept = layout.pad(torch.ones_like(states[:, :1])).squeeze(2).bool()
        seen = _seen(Group(0, layout.batch, layout.length, kept), self.sight, states.device)
        scores = (query @ key.transpose(2, 3)) / query.shape[-1] ** 0.5
        assert seen is not None, "there is a mask, so there is a result"
        return scores.masked_fill(~seen, float("-inf")).softmax(-1) * kept[:, None, :, None]

    def _projected(self, states: Tensor, places: Callable[[], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = map(self._split, side_by_side(states, self.query, self.key, self.value))
        if self.rotary is None:
            return query, key, value
        waves = self.rotary.waves(places(), query.shape[-1])
        return turned(query, waves), turned(key, waves), value


class CrossAttention(Projections):
    """Tokens of a target look at all tokens of their source."""

    def forward(self, states: Float[Tensor, "tokens hidden"], layout: Layout, source: Encoded) -> Float[Tensor, "tokens hidden"]:
        """Packed states in, packed states out; no residual.

        Args:
            states: Of the targets.
            layout: Of the targets.
            source: One sequence for every target.
        """
        query = self._split(layout.pad(self.query(states))).transpose(1, 2)
        dropout = self.dropout if self.training else 0.0
        mask = None if source.layout.tokens is None else source.layout.kept()[:, None, None, :]
        attended = weighted(query, *self.remember(source), mask, dropout)
        return self.output(layout.pack(attended.transpose(1, 2).flatten(2)))

    def remember(self, source: Encoded) -> tuple[Float[Tensor, "rows heads length size"], Float[Tensor, "rows heads length size"]]:
        """Keys and values of the sources, which are the same for every token of a target."""
        key, value = (self._split(source.layout.pad(layer(source.states))).transpose(1, 2) for layer in (self.key, self.value))
        return key, value

    def step(
        self, states: Float[Tensor, "rows new hidden"], key: Tensor, value: Tensor, mask: Bool[Tensor, "sources 1 1 length"] | None
    ) -> Float[Tensor, "rows new hidden"]:
        """New tokens of every row. Rows may be several times as many as sources: those of one source stand side by side and look at it together.

        Args:
            states: Of the new tokens.
            key: From `remember`.
            value: From `remember`.
            mask: Which places of the sources hold a token; None where all do.
        """
        query = self._split(self.query(states)).unflatten(0, (len(key), -1)).flatten(1, 2).transpose(1, 2)
        return self.output(weighted(query, key, value, mask).transpose(1, 2).reshape(states.shape))
