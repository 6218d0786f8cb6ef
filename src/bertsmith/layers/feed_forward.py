"""The two-layer network that follows attention in every block."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from bertsmith.layers.activations import ACTIVATIONS


class FeedForward(nn.Module):
    """Widen, activate, narrow. Reference: Vaswani et al. 2017, section 3.3.

    Args:
        hidden: Width of the states.
        inner: Width in between.
        activation: A name of `ACTIVATIONS`.
        dropout: Share of activated values set to zero while training, 0-1.
    """

    def __init__(self, hidden: int, inner: int, activation: str, dropout: float = 0.0) -> None:
        super().__init__()
        self.widen = nn.Linear(hidden, inner)
        self.narrow = nn.Linear(inner, hidden)
        self.activation_name = activation
        self.activation = ACTIVATIONS[activation]
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()  # these are the widest values: one without a rate would cost time

    def forward(self, states: Float[Tensor, "*places hidden"]) -> Float[Tensor, "*places hidden"]:
        """States in, states out; no residual."""
        return self.narrow(self.dropout(self.activation(self.widen(states))))
