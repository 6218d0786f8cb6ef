"""What generation returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """A text as it was written.

    Attributes:
        input_ids: The new tokens, without the prompt, and with the one that ends the text where there is one.
        score: The sum of the logarithms of their probabilities, divided by their number to the power of `length_penalty`. With beams, probabilities
            are the model's before suppressed and forced tokens are taken account of; without, they are those that the token was chosen by.
    """

    input_ids: Int32[np.ndarray, " length"]
    score: float
