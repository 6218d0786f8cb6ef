"""Masked-language modelling: hide some tokens, predict them from both sides.

The unit that is hidden may be the token (BERT), the whole word (BERT-wwm, Chinese-BERT-wwm) or a run of words (MacBERT's n-grams). Words are found
once, when the text is encoded; which of them are hidden is drawn anew every epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Int
from torch import Tensor

from bertsmith.core.errors import DataError
from bertsmith.core.types import IGNORED, Batch, Example, Features
from bertsmith.layers.heads import VocabularyHead
from bertsmith.models.family import Model
from bertsmith.objectives.base import HeadRequest, Objective, objectives, pad, padded_inputs
from bertsmith.text.tokenizer import Pieces, Tokenizer
from bertsmith.text.words import segmenters, word_starts

NGRAM_SHARES = (0.4, 0.3, 0.2, 0.1)
"""How often MacBERT hides one, two, three and four words together."""

CHUNK = 512
"""Texts that are tokenised together."""


@objectives.register("mlm")
@dataclass(frozen=True, kw_only=True)
class MaskedLanguageModel(Objective):
    """Hide some tokens and predict them (BERT's pre-training task).

    Lines of one document are joined until a sequence is full. Of every sequence, `rate` of the tokens are hidden, to the nearest whole token; a word
    that would go over this budget is passed over for a shorter one. Of the hidden tokens 80 % become [MASK], 10 % a random token, 10 % stay. Only the
    hidden places go through the vocabulary projection.

    Needs:
        `text`, one line or paragraph an example; `document` (a number) where a file has several documents.

    Use when:
        You have raw text of your domain or your task, with or without labels; a few hundred kB suffice to adapt, some MB to train a small model.

    Related:
        `unit = "word"` is what Chinese-BERT-wwm does and the better choice for Chinese.

    Reference:
        Devlin et al. 2019, section 3.1; `create_masked_lm_predictions` of google-research/bert for the budget and the 80/10/10 draw per token; Cui et
        al. 2020 (MacBERT) for n-grams. We differ: masks are dynamic, and n-grams never run over the end of a document.

    Args:
        unit: What is hidden together: "token", "word" or "ngram" (one to four words, 40/30/20/10 %).
        rate: Share of the tokens that are hidden, 0-1.
        max_length: Tokens of a sequence, with [CLS] and [SEP].
        segmenter: Where Chinese words come from: "jieba", "spaces" (the text is segmented already) or "characters".

    Example:
        >>> MaskedLanguageModel(unit="word").rate
        0.15
    """

    name: ClassVar = "mlm"

    unit: Literal["token", "word", "ngram"] = "word"
    rate: float = 0.15
    max_length: int = 128
    segmenter: str = "jieba"

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise ValueError(f"rate is {self.rate}; it must lie between 0 and 1")
        if self.max_length < 8:
            raise ValueError(f"max_length is {self.max_length}; it must be at least 8")

    def heads(self) -> Mapping[str, HeadRequest]:
        """The vocabulary head; a checkpoint without one gets a new one, which this objective then trains."""
        return {"mlm": HeadRequest()}

    def encode(self, examples: Iterable[Example], tokenizer: Tokenizer) -> Iterator[Features]:
        """Sequences of whole lines, and where their words begin."""
        room = self.max_length - tokenizer.num_special(pair=False)
        problems: list[str] = []
        tokenised = _tokenised(_with_text(examples, problems), tokenizer)
        for _, lines in groupby(tokenised, key=lambda line: (line[0].file, line[0].get("document"))):
            yield from self._sequences(lines, room, tokenizer)
        if problems:
            raise DataError(f"{len(problems)} examples cannot be used for the objective {self.name!r}", problems)

    def collate(self, rows: Sequence[Features], generators: Sequence[np.random.Generator], tokenizer: Tokenizer) -> Batch:
        """Hide tokens anew."""
        hidden = [self._hide(row, generator, tokenizer) for row, generator in zip(rows, generators, strict=True)]
        input_ids, attention_mask, token_type_ids = padded_inputs(
            [{**row, "input_ids": ids} for row, (ids, _) in zip(rows, hidden, strict=True)], tokenizer
        )
        labels = pad([label for _, label in hidden], IGNORED)
        return Batch(input_ids, attention_mask, token_type_ids, {"mlm": labels}, {"mlm": int((labels != IGNORED).sum())})

    def loss(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy over the hidden places."""
        labels = batch.labels["mlm"]
        chosen = labels != IGNORED
        head = model.heads["mlm"]
        assert isinstance(head, VocabularyHead), "every family's head of this name is one"
        return {"mlm": head.loss(model(batch, only=chosen).at(chosen), labels[chosen])}

    def _sequences(self, lines: Iterable[tuple[Example, Pieces]], room: int, tokenizer: Tokenizer) -> Iterator[Features]:
        ids, starts = np.zeros(0, np.int32), np.zeros(0, np.bool_)
        for example, pieces in lines:
            line_starts = self._word_starts(str(example["text"]), pieces)
            if len(ids) and len(ids) + len(line_starts) > room:
                yield _framed(ids, starts, tokenizer)
                ids, starts = ids[:0], starts[:0]
            ids, starts = np.concatenate([ids, pieces.input_ids]), np.concatenate([starts, line_starts])
            while len(ids) > room:
                cut = _last_start(starts, room)
                yield _framed(ids[:cut], starts[:cut], tokenizer)
                ids, starts = ids[cut:], starts[cut:]
        if len(ids):
            yield _framed(ids, starts, tokenizer)

    def _word_starts(self, text: str, pieces: Pieces) -> Bool[np.ndarray, " tokens"]:
        if self.unit == "token":
            return np.ones(len(pieces.input_ids), np.bool_)
        starts = word_starts(text, pieces.offsets, segmenters[self.segmenter])
        starts[:1] = True
        return starts

    def _hide(self, row: Features, generator: np.random.Generator, tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
        ids = row["input_ids"].astype(np.int64)
        special = np.isin(ids, list(tokenizer.special_ids - {tokenizer.unknown_id}))
        hidden = choose(row["word_starts"].astype(bool), special, self.rate, generator, NGRAM_SHARES if self.unit == "ngram" else (1.0,))
        labels = np.where(hidden, ids, IGNORED)
        fate = generator.random(len(ids))
        ids[hidden & (fate < 0.8)] = tokenizer.mask_id
        replaced = hidden & (fate >= 0.8) & (fate < 0.9)
        ids[replaced] = _random_ids(int(replaced.sum()), generator, tokenizer)
        return ids, labels


def choose(
    starts: Bool[np.ndarray, " tokens"],
    special: Bool[np.ndarray, " tokens"],
    rate: float,
    generator: np.random.Generator,
    ngram_shares: Sequence[float] = (1.0,),
) -> Bool[np.ndarray, " tokens"]:
    """Choose the tokens to hide: whole units, `rate` of all tokens to the nearest whole number, at least one.

    Units are tried in random order and taken while they fit into what is left of the budget; one of several words that does not fit, or meets a word
    that is hidden already, is taken with fewer. Where every word that is left is too long, the shortest is taken if that comes closer to the budget
    than leaving it.

    Args:
        starts: Where a word begins; a special token ends the word before it.
        special: Tokens that are never hidden.
        rate: Share of the tokens that are not special, 0-1.
        generator: The source of randomness.
        ngram_shares: How often a unit is one, two, … words long; sums to 1.

    Returns:
        True where a token is to be hidden.

    Example:
        >>> words = np.array([1, 1, 0, 1, 0, 0, 1, 1], bool)   # [CLS] ab cde f [SEP]
        >>> special = np.array([1, 0, 0, 0, 0, 0, 0, 1], bool)
        >>> choose(words, special, 0.34, np.random.default_rng(0)).nonzero()[0].tolist() in ([1, 2], [6])
        True
    """
    hidden = np.zeros(len(starts), np.bool_)
    maskable = int((~special).sum())
    if not maskable:
        return hidden
    budget = max(1, round(rate * maskable))
    words = _words(starts, special)
    most = generator.choice(len(ngram_shares), size=len(words), p=ngram_shares) + 1 if len(ngram_shares) > 1 else np.ones(len(words), np.int64)
    skipped: list[tuple[int, int]] = []
    for first in generator.permutation(len(words)).tolist():
        begin, end = words[first][0], _end_of_unit(words[first : first + int(most[first])], hidden, budget)
        if end == begin:
            skipped.append(words[first])
        hidden[begin:end] = True
        budget -= end - begin
        if not budget:
            return hidden
    return _closest(hidden, skipped, budget)


def _words(starts: np.ndarray, special: np.ndarray) -> list[tuple[int, int]]:
    """Where every word begins and ends; a special token ends the word before it."""
    begins = np.flatnonzero((starts | np.r_[True, special[:-1]]) & ~special)
    stops = np.flatnonzero(np.r_[starts | special, True])
    return list(zip(begins.tolist(), stops[np.searchsorted(stops, begins, side="right")].tolist(), strict=True))


def _end_of_unit(words: Sequence[tuple[int, int]], hidden: np.ndarray, budget: int) -> int:
    """Where those words end that follow one another without a gap, are free and fit into the budget; where the first begins if it does not."""
    end = words[0][0]
    for begin, last in words:
        if begin != end or hidden[begin] or last - words[0][0] > budget:
            break
        end = last
    return end


def _closest(hidden: np.ndarray, skipped: Sequence[tuple[int, int]], budget: int) -> np.ndarray:
    """Take the shortest unit that was too long, if going over the budget by it misses less than stopping short."""
    free = [(end - begin, begin, end) for begin, end in skipped if not hidden[begin:end].any()]
    nothing_yet = not hidden.any()
    if free:
        length, begin, end = min(free, key=lambda unit: unit[0])
        if nothing_yet or length - budget < budget:
            hidden[begin:end] = True
    return hidden


def _random_ids(count: int, generator: np.random.Generator, tokenizer: Tokenizer) -> np.ndarray:
    """Ids of any tokens but special ones: RoBERTa would take a padding token for padding."""
    special = sorted(tokenizer.special_ids)
    drawn = generator.integers(tokenizer.vocabulary_size - len(special), size=count)
    for number in special:
        drawn[drawn >= number] += 1
    return drawn


def _with_text(examples: Iterable[Example], problems: list[str]) -> Iterator[Example]:
    for example in examples:
        if example.get("text") is None:
            problems.append(f"{example.where}: no text")
        else:
            yield example


def _tokenised(examples: Iterable[Example], tokenizer: Tokenizer) -> Iterator[tuple[Example, Pieces]]:
    remaining = iter(examples)
    while chunk := list(islice(remaining, CHUNK)):
        yield from zip(chunk, tokenizer.pieces_many([str(example["text"]) for example in chunk]), strict=True)


def _last_start(starts: np.ndarray, room: int) -> int:
    """Where to cut so that no word is torn: the last word start that leaves at most `room` tokens, or `room` if one word fills it all."""
    inside = np.flatnonzero(starts[1 : room + 1])
    return int(inside[-1]) + 1 if len(inside) else room


def _framed(ids: Int[np.ndarray, " tokens"], starts: Bool[np.ndarray, " tokens"], tokenizer: Tokenizer) -> Features:
    framed = np.r_[tokenizer.cls_id, ids, tokenizer.sep_id].astype(np.int32)
    return {"input_ids": framed, "word_starts": np.r_[True, starts, True].astype(np.uint8)}
