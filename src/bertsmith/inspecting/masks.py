"""What masked-language modelling would hide in a text, drawn several times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from bertsmith.core.randomness import generator_at
from bertsmith.core.types import IGNORED
from bertsmith.inspecting.tokens import Tokens
from bertsmith.objectives.mlm import MaskedLanguageModel
from bertsmith.text.tokenizer import Tokenizer

Unit = Literal["token", "word", "ngram"]
Fate = Literal["", "masked", "replaced", "kept"]


@dataclass(frozen=True, slots=True)
class Draw:
    """One draw.

    Attributes:
        tokens: What the model would see.
        fates: What happened to each: nothing, masked, replaced by a random token, or kept but asked for all the same.
    """

    tokens: tuple[str, ...]
    fates: tuple[Fate, ...]

    @property
    def num_hidden(self) -> int:
        """How many tokens would have to be predicted."""
        return sum(bool(fate) for fate in self.fates)


def draws_of(tokens: Tokens, tokenizer: Tokenizer, count: int, unit: Unit, seed: int = 0) -> list[Draw]:
    """What the objective `mlm` would hide in some epochs.

    Args:
        tokens: The text.
        tokenizer: Its tokenizer.
        count: How many draws.
        unit: What is hidden together.
        seed: Of the draws.
    """
    objective = MaskedLanguageModel(unit=unit, max_length=max(8, len(tokens.columns)))
    ids = tokens.batch.input_ids[0].numpy()
    starts = np.ones_like(tokens.starts) if unit == "token" else tokens.starts
    row = {"input_ids": ids.astype(np.int32), "word_starts": starts.astype(np.uint8)}
    drawn: list[Draw] = []
    for number in range(count):
        batch = objective.collate([row], [generator_at(seed, "mask", number)], tokenizer)
        shown, labels = batch.input_ids[0].numpy(), batch.labels["mlm"][0].numpy()
        fates: tuple[Fate, ...] = tuple(_fate(int(seen), int(label), tokenizer.mask_id) for seen, label in zip(shown, labels, strict=True))
        drawn.append(Draw(tuple(tokenizer.token(int(seen)) for seen in shown), fates))
    return drawn


def _fate(seen: int, label: int, mask_id: int) -> Fate:
    if label == IGNORED:
        return ""
    if seen == mask_id:
        return "masked"
    return "kept" if seen == label else "replaced"
