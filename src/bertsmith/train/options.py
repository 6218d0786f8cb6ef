"""How to train: the `train` table of a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DEFAULT_BATCH_SIZE = 32

LONGEST = {"epochs": 100_000, "steps": 1_000_000_000}
"""No training is longer; what is, is a slip of the pen."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How long, how fast, in what batches.

    A step is one update of the weights. Its batch is given either in sequences (`batch_size`) or in tokens (`batch_tokens`, padding not counted), and
    is worked through in passes of at most `pass_tokens` tokens, so that memory is bounded; the gradient is that of the whole batch all the same.

    Args:
        epochs: How often all data is seen; parts of an epoch are allowed.
        steps: How many updates; where it is given, `epochs` does not count.
        batch_size: Sequences a step; 32 where neither it nor `batch_tokens` is given.
        batch_tokens: Tokens a step.
        pass_tokens: Tokens that go through the model together; more where the rows of a batch are one another's negatives, as in `embedding`.
        learning_rate: The highest learning rate.
        weight_decay: Pull towards zero on everything but biases and norms.
        warmup_rate: Share of the steps over which the learning rate rises from 0, 0-1.
        schedule: What it does afterwards: "linear" or "cosine" to 0, or "constant".
        clip: The largest norm of the gradient; 0 for no limit.
        precision: "float32", "bfloat16" (mixed), or "auto": what the machine has instructions for.
        evaluate_every: Steps between evaluations on the validation data; at the end of every epoch by default.
        patience: Evaluations without an improvement after which training stops; never by default.
        keep: Which weights are kept: the "last", the "best" by the task's own metric, or "best:METRIC".
        checkpoint_every: Seconds between checkpoints to resume from.
    """

    epochs: float = 3.0
    steps: int | None = None
    batch_size: int | None = None
    batch_tokens: int | None = None
    pass_tokens: int = 8192
    learning_rate: float = 5e-5
    weight_decay: float = 0.01
    warmup_rate: float = 0.1
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    clip: float = 1.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    evaluate_every: int | None = None
    patience: int | None = None
    keep: str = "last"
    checkpoint_every: float = 300.0

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_tokens is not None:
            raise ValueError("batch_size and batch_tokens are both given; a batch has one size: leave one of them out")
        self._check_ranges()
        if not 0 <= self.warmup_rate <= 1:
            raise ValueError(f"warmup_rate is {self.warmup_rate}; it is a share of the steps, between 0 and 1")
        if self.keep not in {"last", "best"} and not self.keep.startswith("best:"):
            raise ValueError(f'keep is {self.keep!r}; it must be "last", "best" or "best:METRIC"')

    def _check_ranges(self) -> None:
        for name in ("epochs", "steps", "batch_size", "batch_tokens", "pass_tokens", "learning_rate", "evaluate_every", "patience"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} is {value}; it must be greater than 0")
        for name, limit in LONGEST.items():
            value = getattr(self, name)
            if value is not None and value > limit:
                raise ValueError(f"{name} is {value:,}; it must be at most {limit:,}")
        for name in ("weight_decay", "clip", "checkpoint_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must not be negative")
