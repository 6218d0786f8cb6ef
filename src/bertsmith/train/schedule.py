"""The learning rate over the steps: a rise, then a fall."""

import math
from collections.abc import Callable

from bertsmith.train.options import TrainOptions


def schedule(options: TrainOptions, steps: int) -> Callable[[int], float]:
    """The factor on the learning rate for every step, counted from 0 as the official BERT and `transformers` do.

    Args:
        options: The kind of schedule and the share of the warm-up.
        steps: Of the whole training.

    Example:
        >>> factor = schedule(TrainOptions(warmup_rate=0.5), 4)
        >>> [factor(step) for step in range(4)]
        [0.0, 0.5, 1.0, 0.5]
    """
    warmup = math.ceil(options.warmup_rate * steps)

    def factor(step: int) -> float:
        if step < warmup:
            return step / warmup
        progress = (step - warmup) / max(1, steps - warmup)
        if options.schedule == "linear":
            return max(0.0, 1 - progress)
        if options.schedule == "cosine":
            return max(0.0, 0.5 * (1 + math.cos(math.pi * progress)))
        return 1.0

    return factor
