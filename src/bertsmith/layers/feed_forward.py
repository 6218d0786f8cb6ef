"""The two-layer network that follows attention in every block."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from bertsmith.layers.activations import ACTIVATIONS
from bertsmith.layers.dropout import Dropout


class FeedForward(nn.Module):
    """Widen, activate, narrow; or, gated, widen twice, and let the one half, activated, multiply the other (GeGLU).

    Reference: Vaswani et al. 2017, section 3.3; Shazeer 2020, "GLU Variants Improve Transformer". Both halves are one layer, the activated one first.

    Args:
        hidden: Width of the states.
        inner: Width in between.
        activation: A name of `ACTIVATIONS`.
        dropout: Share of activated values set to zero while training, 0-1.
        gated: Whether there is a second half that is multiplied.
        bias: Whether the layers have one.
    """

    def __init__(self, hidden: int, inner: int, activation: str, dropout: float = 0.0, *, gated: bool = False, bias: bool = True) -> None:
        super().__init__()
        self.widen = nn.Linear(hidden, 2 * inner if gated else inner, bias)
        self.narrow = nn.Linear(inner, hidden, bias)
        self.gated = gated
        self.dropout = Dropout(dropout) if dropout else nn.Identity()  # these are the widest values: one without a rate would cost time
        self.activation_name = activation
        self.activation = ACTIVATIONS[activation]

    def forward(self, states: Float[Tensor, "*places hidden"]) -> Float[Tensor, "*places hidden"]:
        """States of any number of tokens in, as many out; no residual."""
        inner = self.widen(states)
        if self.gated:
            activated, gate = inner.chunk(2, dim=-1)
            return self.narrow(self.dropout(self.activation(activated) * gate))
        return self.narrow(self.dropout(self.activation(inner)))
