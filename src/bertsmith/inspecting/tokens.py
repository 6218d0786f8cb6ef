"""What a text becomes on its way into a model: tokens, their three ids, and the words that they are pieces of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int

from bertsmith.core.types import Batch
from bertsmith.models.loading import Checkpoint
from bertsmith.text.tokenizer import Encoding, Tokenizer
from bertsmith.text.words import segmenters, word_starts


@dataclass(frozen=True, slots=True)
class Token:
    """One column of a model's input.

    Attributes:
        position: Its position id, which the position embedding is looked up by.
        token: As the vocabulary writes it.
        input_id: Its number in the vocabulary, which the token embedding is looked up by.
        token_type_id: Its segment, which the segment embedding is looked up by.
        attention_mask: 1, for there is no padding in a single text; 0 for a token that its task has the others not look at.
        text: The characters that it stands for; empty for [CLS] and [SEP].
        word: The number of its word, from 0; None for [CLS] and [SEP].
    """

    position: int
    token: str
    input_id: int
    token_type_id: int
    attention_mask: int
    text: str
    word: int | None


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text, or a pair, as a model takes it.

    Attributes:
        columns: The tokens.
        words: The characters of every word, by its number.
        batch: The same for the model.
        starts: Where a unit of whole-word masking begins.
        truncated: Tokens that were cut off, because the model has no positions for them.
    """

    columns: tuple[Token, ...]
    words: tuple[str, ...]
    batch: Batch
    starts: Bool[np.ndarray[Any, Any], " length"]
    truncated: int


def tokens_of(
    checkpoint: Checkpoint, text: str, text_pair: str | None, segmenter: str, encoding: Encoding | None = None, batch: Batch | None = None
) -> Tokens:
    """Tokenise a text, or a pair, and find its words.

    Args:
        checkpoint: Whose tokenizer, and whose limit of length.
        text: The first segment.
        text_pair: The second segment.
        segmenter: Where Chinese words come from; a registered name.
        encoding: The two as a task reads them; as the tokenizer does, where it is not given.
        batch: The same as the task gives it to the model, where its segments or its mask are others.
    """
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    if encoding is None:
        encoding = tokenizer.encode(text, text_pair, max_length=model.family.max_length)
    added = added_tokens(encoding, tokenizer)
    owners = np.cumsum(added & (encoding.input_ids == tokenizer.role_ids.get("sep_token", -1))) > 0
    starts = np.ones(len(added), np.bool_)
    for owner, part in enumerate((text, text_pair)):
        own = ~added & (owners == bool(owner))
        if part is not None and own.any():
            found = word_starts(part, encoding.offsets[own], segmenters[segmenter])
            found[:1] = True
            starts[own] = found
    batch = batch or _batch(encoding)
    segments, mask = batch.token_type_ids[0].tolist(), batch.attention_mask[0].tolist()
    numbers = np.cumsum(starts & ~added) - 1
    positions = model.backbone.embeddings.positions(batch.input_ids)[0].tolist()
    covered = [(text_pair or "" if owner else text)[begin:end] for owner, (begin, end) in zip(owners, encoding.offsets.tolist(), strict=True)]
    columns = tuple(
        Token(
            position=positions[place],
            token=encoding.tokens[place],
            input_id=int(encoding.input_ids[place]),
            token_type_id=segments[place],
            attention_mask=mask[place],
            text="" if added[place] else covered[place],
            word=None if added[place] else int(numbers[place]),
        )
        for place in range(len(added))
    )
    return Tokens(columns, _words(columns), batch, starts, encoding.truncated)


def added_tokens(encoding: Encoding, tokenizer: Tokenizer) -> Bool[np.ndarray[Any, Any], " length"]:
    """Which tokens stand for no text: [CLS] and [SEP], but not a [MASK] that somebody wrote."""
    special = np.isin(encoding.input_ids, list(tokenizer.special_ids))
    return special & (encoding.offsets[:, 0] == encoding.offsets[:, 1])


def _words(columns: tuple[Token, ...]) -> tuple[str, ...]:
    words: dict[int, str] = {}
    for column in columns:
        if column.word is not None:
            words[column.word] = words.get(column.word, "") + column.text
    return tuple(words.values())


def _batch(encoding: Encoding) -> Batch:
    def row(values: Int[np.ndarray[Any, Any], " length"]) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.int64))[None]

    return Batch(row(encoding.input_ids), row(np.ones_like(encoding.input_ids)), row(encoding.token_type_ids))
