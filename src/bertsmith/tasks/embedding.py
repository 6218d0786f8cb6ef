"""Vectors for search: a text is to find the one that belongs to it among all others.

The negatives of a row are the texts of the other rows of its batch, so that a loss belongs to a batch and not to a row: a batch goes through the
model in one pass, whatever `pass_tokens` says, and the loss of two batches is not that of one of both. What is summed and counted are the rows.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn import functional as F

from bertsmith.core.errors import DataError
from bertsmith.core.precision import autocast
from bertsmith.core.types import Batch, Example
from bertsmith.data.dataset import Dataset, Problem
from bertsmith.data.readers import wrong_text
from bertsmith.models.family import Model
from bertsmith.tasks.base import Prediction, tasks
from bertsmith.tasks.outcome import Outcome
from bertsmith.tasks.tables import Table
from bertsmith.tasks.vectors import PAIR, TEXT, SentenceVectors, cosines, parts

DEPTHS = (1, 5, 10)
"""Among so many of the nearest the right one is looked for."""

DEPTHS_SHOWN = (("1", 1, 1), ("2 to 5", 2, 5), ("6 to 10", 6, 10), ("11 to 100", 11, 100), ("above 100", 101, sys.maxsize))
"""Ranks that are counted together, in an error analysis."""

BLOCK = 1024
"""Texts whose candidates are ranked at once."""

NOT_A_PAIR = "label 0: its texts do not belong together, and only pairs that do are learned from (numbers: task 'similarity')"
ITSELF = "no text_pair: the text itself is its pair, read with another dropout (SimCSE)"
NOTHING_TO_FIND = "no text_pair: there is nothing that the text could find"

Numbers = Int[Tensor, " _"]


@tasks.register("embedding")
@dataclass(frozen=True, kw_only=True)
class Embedding(SentenceVectors):
    """A vector a text, such that a text is nearest to the one that belongs to it: contrastive learning from pairs, for search and clustering.

    Of every row, `text` has to find its `text_pair` among the pairs, and the `negative`s, of all rows of the batch, by the cosine of their vectors
    (InfoNCE, in `sentence-transformers` MultipleNegativesRankingLoss). A text that is right for a row is no negative of it, wherever it stands: the
    same text as its pair or as itself, and the pair of another row with the same text. Large batches are better, for every row adds a negative. A
    batch goes through the model in one pass, so `batch_size` bounds the memory and `pass_tokens` does not. Texts of like length stand in one
    batch, as always here, and so length gives nothing away. With several processes, negatives are those of one's own.

    It is measured by retrieval: every text of the data has to find its pair among all pairs and negatives of the data.

    Needs:
        `text`; `text_pair`, what belongs to it. Without it the text itself does, read a second time with another dropout: unsupervised SimCSE, for
        which the model needs a dropout above 0. Optionally `negative`, a text or a list of texts that look right and are wrong. Where there is a
        `label`, 1 is a pair, and a row with 0 is left out.

    Use when:
        Texts are to be searched, compared or clustered by the million: each is encoded once. For two at a time `pair` and `regression` read both
        together and are more exact. Where a number says how alike two texts are, or 0 and 1 both count: `similarity`.

    Reference:
        van den Oord et al. 2018, "Representation Learning with Contrastive Predictive Coding"; Henderson et al. 2017 (negatives of the batch); Gao et
        al. 2021, "SimCSE". Differs from `sentence-transformers` in what it masks; without duplicates in a batch it is the same.

    Args:
        symmetric: Whether the pair has to find the text, too; the loss is then the mean of both directions.

    Example:
        >>> from bertsmith.tasks.outcome import Outcome
        >>> Embedding().decode(Outcome([np.array([[1.0, 0.0], [0.6, 0.8]])]))
        [{'score': 0.6}]
    """

    name: ClassVar = "embedding"
    best_metric: ClassVar = "mrr"
    yardstick: ClassVar = "1 / rank of the right text"
    columns: ClassVar = ("text",)
    optional_columns: ClassVar = ("text_pair", "negative", "label")

    symmetric: bool = False

    @classmethod
    def inputs(cls) -> tuple[str, ...]:
        """Two texts, to be compared."""
        return ("text", "text_pair")

    @property
    def rows_are_independent(self) -> bool:
        """They are one another's negatives."""
        return False

    @classmethod
    def wrong_label(cls, label: Any) -> str:
        """Anything but 0 and 1."""
        if label is None or label == "" or str(label).strip() in {"0", "1", "0.0", "1.0", "True", "False"}:
            return ""
        return f"label {str(label)[:60]!r} is neither 1, a pair, nor 0; for numbers there is the task 'similarity'"

    def settled(self, data: Dataset, *, training: bool = False) -> Dataset:
        """Rows that say of two texts that they do not belong together are left out; to measure with, also those of one text."""
        dropped = [row for row in data if _is_no_pair(row)]
        alone = [row for row in data if row.get("text_pair") is None and not _is_no_pair(row)]
        left_out = [Problem.of(row, NOT_A_PAIR) for row in dropped] + ([] if training else [Problem.of(row, NOTHING_TO_FIND) for row in alone])
        gone = {id(row) for row in (dropped if training else [*dropped, *alone])}
        return replace(
            data,
            examples=[row for row in data if id(row) not in gone],
            dropped_rows=(*data.dropped_rows, *left_out),
            mended_rows=(*data.mended_rows, *(Problem.of(row, ITSELF) for row in alone if training)),
        )

    def fitted(self, examples: Sequence[Example]) -> Embedding:
        """The task as it is; nothing is learned from the data.

        Raises:
            DataError: Lists every label that is neither 0 nor 1; or there is only one row, which has no negatives.
        """
        wrong = [f"{example.where}: {reason}" for example in examples if (reason := self.wrong_label(example.get("label")))]
        self.refuse(wrong, "label")
        if len(examples) < 2:
            raise DataError(f"the training data has {len(examples)} pairs; at least two are needed, for they are one another's negatives")
        return self

    def texts(self, example: Example, *, labelled: bool) -> list[str]:
        """The text, its pair, and its negatives."""
        text, pair = example.get("text"), example.get("text_pair")
        if labelled and (reason := self.wrong_label(example.get("label"))):
            raise ValueError(reason)
        if labelled and _is_no_pair(example):
            raise ValueError(NOT_A_PAIR)
        missing = [name for name, value in (("text", text), ("text_pair", pair)) if value is None and (name == "text" or not labelled)]
        if missing:
            raise ValueError(f"no {' and no '.join(missing)}")
        found = [str(text), str(text if pair is None else pair)]
        return [*found, *_negatives(example.get("negative"), found)]

    def loss(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy of the right text among all of the batch, summed over rows."""
        vectors = self.unit_vectors(model, batch)
        search = Search.of(batch.labels["side"], batch.input_ids.unique(dim=0, return_inverse=True)[1])
        with autocast("float32", vectors.device):
            scores = vectors[search.asking] @ vectors[search.offered].T / self.temperature
        rows = len(search.asking)
        scores, right = scores.masked_fill(search.ruled_out(0, rows), -torch.inf), torch.arange(rows, device=scores.device)
        loss = F.cross_entropy(scores, right, reduction="sum")
        if self.symmetric:
            loss = (loss + F.cross_entropy(scores[:, :rows].T, right, reduction="sum")) / 2
        return {self.name: loss}

    def metrics(self, outcome: Outcome) -> dict[str, float]:
        """How often the right text is the nearest, or among the 5 or 10 nearest, of all pairs and negatives; and the mean of 1 / its rank. 0-1."""
        found = outcome.once(_ranks).rank
        return {**{f"recall@{depth}": float((found <= depth).mean()) for depth in DEPTHS}, "mrr": float((1 / found).mean())}

    def correct(self, outcome: Outcome) -> np.ndarray:
        """1 / the rank of the right text."""
        return 1 / outcome.once(_ranks).rank

    def baseline(self, outcome: Outcome) -> dict[str, float]:
        """What is to be expected of any order."""
        among = outcome.once(_ranks).among
        mean = [(1 / np.arange(1, number + 1)).mean() for number in among]
        return {**{f"recall@{depth}": float(np.minimum(depth / among, 1).mean()) for depth in DEPTHS}, "mrr": float(np.mean(mean))}

    def gold(self, example: Example) -> float | None:
        """1 for texts that belong together."""
        return None if example.get("text_pair") is None else 1.0

    def answer(self, said: Prediction) -> None:
        """Nothing that could be held against a right answer: that is for the rank among all texts to say."""

    def details(self, outcome: Outcome) -> list[dict[str, Any]]:
        """The rank of the right text and among how many, its cosine, and the nearest of the others."""
        texts = [self.texts(example, labelled=True) for example in outcome.examples]
        offered = [*(own[PAIR] for own in texts), *(text for own in texts for text in own[PAIR + 1 :])]
        return [
            {"rank": rank, "of": among, "cosine": round(cosine, 6), **({"nearest other": offered[nearest]} if among > 1 else {})}
            for rank, among, nearest, cosine in zip(*(column.tolist() for column in outcome.once(_ranks)), cosines(outcome).tolist(), strict=True)
        ]

    def tables(self, outcome: Outcome) -> list[Table]:
        """At which rank the right text is."""
        found = outcome.once(_ranks).rank
        numbers = [(name, int(((found >= first) & (found <= last)).sum())) for name, first, last in DEPTHS_SHOWN]
        rows = [{"rank": name, "texts": number, "share": number / len(found)} for name, number in numbers]
        return [Table("Where the right text ranks", "Among all texts of the data, by the cosine; at rank 1 it is found.", rows)]


@dataclass(frozen=True)
class Search:
    """Which sequences look for one of their own among which.

    Attributes:
        asking: The first text of every row.
        offered: The pair of every row, in the order of rows, and then all negatives.
        number: For every sequence, a number that those of the same text have in common.
    """

    asking: Numbers
    offered: Numbers
    number: Numbers

    @staticmethod
    def of(side: Numbers, number: Numbers) -> Search:
        """From which text of its row every sequence is."""
        return Search((side == TEXT).nonzero().squeeze(1), torch.cat([(side == PAIR).nonzero(), (side > PAIR).nonzero()]).squeeze(1), number)

    def ruled_out(self, begin: int, end: int) -> Bool[Tensor, "rows offered"]:
        """For the rows from `begin` to `end`, what is neither their right text nor wrong.

        That is the same text as the right one, the same as the one that asks, and what is right for another row that asks the same.

        Example:
            Rows 0 and 2 ask the same; row 1 is offered what is right for row 0.

            >>> search = Search.of(torch.tensor([0, 1, 0, 1, 0, 1]), torch.tensor([5, 6, 7, 6, 5, 8]))
            >>> search.ruled_out(0, 3).int().tolist()
            [[0, 1, 1], [1, 0, 0], [1, 0, 0]]
        """
        text, offered = self.number[self.asking], self.number[self.offered]
        right_for = torch.cat([text, text.new_full((len(offered) - len(text),), -1)])
        asked, right = text[begin:end, None], offered[begin:end, None]
        found = (offered == right) | (offered == asked) | (right_for == asked)
        rows = torch.arange(end - begin, device=found.device)
        found[rows, rows + begin] = False
        return found


class Ranked(NamedTuple):
    """How the right text of every row stands among all others; what is ruled out is not counted.

    Attributes:
        rank: Its rank, from 1.
        among: Among how many.
        nearest: The number of the nearest of the others, among those that are offered.
    """

    rank: Int[np.ndarray, " rows"]
    among: Int[np.ndarray, " rows"]
    nearest: Int[np.ndarray, " rows"]


def _ranks(outcome: Outcome) -> Ranked:
    from bertsmith.metrics.retrieval import ranks

    numbers: dict[bytes, int] = {}
    number = [numbers.setdefault(part.tobytes(), len(numbers)) for row in outcome.rows for part in parts(row)]
    side = [place for vectors in outcome.outputs for place in range(len(vectors))]
    search, vectors = Search.of(torch.tensor(side), torch.tensor(number)), torch.from_numpy(np.concatenate(outcome.outputs))
    columns: list[tuple[np.ndarray, ...]] = []
    for begin in range(0, len(search.asking), BLOCK):
        end = min(begin + BLOCK, len(search.asking))
        ruled_out = search.ruled_out(begin, end)
        scores = (vectors[search.asking[begin:end]] @ vectors[search.offered].T).masked_fill(ruled_out, -torch.inf)
        right = np.arange(begin, end)
        found = ranks(scores.numpy(), right)
        scores[torch.arange(end - begin), torch.from_numpy(right)] = -torch.inf
        columns.append((found, (~ruled_out).sum(1).numpy(), scores.argmax(1).numpy()))
    return Ranked(*(np.concatenate(blocks) for blocks in zip(*columns, strict=True)))


def _is_no_pair(example: Example) -> bool:
    return str(example.get("label")).strip() in {"0", "0.0", "False"}


def _negatives(value: Any, own: Sequence[str]) -> list[str]:
    if value is None or value == "":
        return []
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list):
        raise ValueError(f"negative is {str(value)[:60]!r}; it must be a text or a list of texts")  # noqa: TRY004 - wrong data, as below
    if reason := next(filter(None, map(wrong_text, found)), ""):
        raise ValueError(f"a negative {reason}")
    if same := [text for text in found if text in own]:
        raise ValueError(f"negative {same[0][:60]!r} is the same text as what it is to be told apart from")
    return found
