"""What a row says is to be written about its text, one target or several that are equally right; and texts as tokens with an end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, Int32

from bertsmith.core.errors import RecipeError
from bertsmith.tasks.outcome import Outcome
from bertsmith.text.tokenizer import Tokenizer

Ids = Int32[np.ndarray, " _"]


def targets_of(target: Any) -> list[Any]:
    """The texts that are equally right, without those that are missing or empty."""
    given: Sequence[Any] = target if isinstance(target, list | tuple) else [target]
    return [one for one in given if one is not None and not (isinstance(one, str) and not one.strip())]


def nothing_in(target: Any) -> str:
    """That there is nothing to be written, if so."""
    if target is None or target in ([], ()):
        return "no target"
    return "" if targets_of(target) else "target is empty"


def references_of(outcome: Outcome) -> list[list[str]]:
    """The targets of every example."""
    return [targets_of(example.get("target")) for example in outcome.examples]


def plain(text: str) -> str:
    """A text without regard to case and white space.

    Example:
        >>> plain(" New  York ")
        'new york'
    """
    return " ".join(text.split()).casefold()


def end_of(tokenizer: Tokenizer) -> int:
    """The token that ends a text: what the tokenizer puts behind one; where it puts nothing there, what ends a text that is generated.

    Raises:
        RecipeError: There is neither.

    Example:
        >>> end_of(Tokenizer.from_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
        3
    """
    special = tokenizer.encode("", max_length=tokenizer.num_special(pair=False)).input_ids
    if len(special):
        return int(special[-1])
    if tokenizer.eos_id is None:
        raise RecipeError("the tokenizer has no token that ends a text; name one under eos_token in tokenizer_config.json")
    return tokenizer.eos_id


def closed(texts: Sequence[str], tokenizer: Tokenizer, max_length: int) -> list[tuple[Ids, Ids]]:
    """Token ids of texts, with a token at the end that ends them, and how many tokens were cut off each.

    Args:
        texts: Any number.
        tokenizer: Puts special tokens around them; where it knows none, the one of `end_of` is put behind them.
        max_length: The most tokens of one, special tokens included.
    """
    added = np.array([] if tokenizer.num_special(pair=False) else [end_of(tokenizer)], np.int32)
    encodings = tokenizer.encode_many(texts, max_length=max_length - len(added))
    return [(np.concatenate([one.input_ids, added]), np.array([one.truncated], np.int32)) for one in encodings]


def until(tokens: Int[np.ndarray, " written"], end: int) -> Int[np.ndarray, " kept"]:
    """The tokens before the first that ends the text.

    Example:
        >>> until(np.array([7, 8, 3, 8]), 3).tolist()
        [7, 8]
    """
    ends = np.flatnonzero(tokens == end)
    return tokens[: ends[0]] if len(ends) else tokens
