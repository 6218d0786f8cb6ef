"""Multi-head scaled dot-product attention over packed tokens.

Reference: Vaswani et al. 2017, "Attention Is All You Need", section 3.2.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from bertsmith.layers.layout import Group, Layout


def attend(
    query: Float[Tensor, "tokens heads size"],
    key: Float[Tensor, "tokens heads size"],
    value: Float[Tensor, "tokens heads size"],
    layout: Layout,
    dropout: float = 0.0,
) -> Float[Tensor, "tokens hidden"]:
    """Every token looks at all tokens of its own sequence, and at no others.

    Args:
        query: Packed, one row a token.
        key: Likewise.
        value: Likewise.
        layout: Which tokens belong together.
        dropout: Share of attention weights set to zero, 0-1.

    Returns:
        The weighted values, the heads joined.
    """
    sizes = [group.rows for group in layout.groups]
    parts = zip(layout.groups, query.split(sizes), key.split(sizes), value.split(sizes), strict=True)
    joined = [group.join(_attend(group, group.split(q), group.split(k), group.split(v), dropout)) for group, q, k, v in parts]
    return joined[0] if len(joined) == 1 else torch.cat(joined)


def _attend(group: Group, query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
    mask = None if group.mask is None else group.mask[:, None, None, :]
    if dropout == 0 or query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
    # With dropout, PyTorch's own attention on a CPU goes step by step as well, and through more steps than these.
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return F.dropout(scores.softmax(-1), dropout) @ value


class SelfAttention(nn.Module):
    """Query, key, value and output projections around `attend`.

    Args:
        hidden: Width of the states.
        heads: Number of heads; divides `hidden`.
        dropout: Share of attention weights set to zero while training, 0-1.
    """

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        if hidden % heads:
            raise ValueError(f"hidden size {hidden} is not a multiple of the {heads} attention heads")
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, hidden)

    def forward(self, states: Float[Tensor, "tokens hidden"], layout: Layout) -> Float[Tensor, "tokens hidden"]:
        """Packed states in, packed states out; no residual."""
        query, key, value = self._projected(states)
        return self.output(attend(query, key, value, layout, self.dropout if self.training else 0.0))

    def probabilities(self, states: Float[Tensor, "tokens hidden"], layout: Layout) -> Float[Tensor, "batch heads length length"]:
        """How much every token looks at every other; rows sum to 1, padding has 0. For looking at, not for computing with."""
        query, key, _ = (layout.pad(part.flatten(1)).unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self._projected(states))
        kept = layout.pad(torch.ones_like(states[:, :1])).squeeze(2).bool()
        scores = (query @ key.transpose(2, 3)) / query.shape[-1] ** 0.5
        scores = scores.masked_fill(~kept[:, None, None, :], float("-inf")).softmax(-1)
        return scores * kept[:, None, :, None]

    def _projected(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shape = (states.shape[0], self.heads, -1)
        return self.query(states).view(shape), self.key(states).view(shape), self.value(states).view(shape)
