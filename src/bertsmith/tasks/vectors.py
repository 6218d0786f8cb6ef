"""What the tasks share that train the vector of a text: several texts a row, each read alone, one vector each.

::

    text, text_pair, negative …  ──encode──▶  one row of tokens, end to end, and the size of every text
                                 ──collate─▶  one sequence a text; `side` says which text of its row it is
                                 ──outputs─▶  (texts, hidden) a row, every vector of length 1
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from bertsmith.checkpoint.vectors import VectorSettings
from bertsmith.core.chunks import characters, chunks
from bertsmith.core.types import Batch, Example, Features
from bertsmith.layers.heads import POOLINGS
from bertsmith.models.family import Family, Model
from bertsmith.models.sequence_to_sequence import SequenceToSequence
from bertsmith.objectives.base import HeadRequest, padded_inputs
from bertsmith.tasks.base import CHUNK, Prediction, Task
from bertsmith.tasks.outcome import Outcome, Output
from bertsmith.text.tokenizer import Tokenizer

TEXT, PAIR = 0, 1
"""Which text of its row a sequence is; those after the pair are negatives."""

SAMPLE = "A text"
"""Shows what a folder has done to a text before it is read."""


@dataclass(frozen=True, kw_only=True)
class SentenceVectors(Task):
    """The base of tasks that train the vector of a text; there is no head, only the encoder learns.

    Args:
        pooling: What becomes of the states of a text's tokens: their "mean", or that of the first one, "cls".
        temperature: What cosines are divided by before they are compared, greater than 0; a small one has the loss look at the nearest texts alone.
    """

    pooling: Literal["mean", "cls"] = "mean"
    temperature: float = 0.05

    has_labels: ClassVar = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.labels:
            raise ValueError(f"labels are given; the task {self.name!r} chooses among none: leave them out")
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature is {self.temperature}; it must be greater than 0 and finite")

    @property
    def vectors(self) -> VectorSettings:
        """How a text becomes a vector: as it is trained here."""
        return VectorSettings(pooling=self.pooling, normalise=True, max_length=self.max_length)

    @abstractmethod
    def texts(self, example: Example, *, labelled: bool) -> list[str]:
        """The texts of an example: the text, its pair, and whatever else it is told apart from.

        Raises:
            ValueError: Says what is wrong with it.
        """

    def extras(self, example: Example) -> Features:  # noqa: ARG002
        """Further features of a labelled example.

        Raises:
            ValueError: Says what is wrong with it.
        """
        return {}

    def as_read(self, row: Mapping[str, str], tokenizer: Tokenizer) -> tuple[str, str | None]:  # noqa: ARG002
        """The text: its pair is read by itself."""
        return row["text"], None

    def wrong_input(self, example: Example) -> str:
        """Texts that are not there or cannot be used."""
        try:
            self.texts(example, labelled=False)
        except ValueError as error:
            return str(error)
        return ""

    def wrong_row(self, example: Example) -> str:
        """The same of all texts that are learned from, and a label that is none."""
        try:
            self.texts(example, labelled=True)
            self.extras(example)
        except ValueError as error:
            return str(error)
        return ""

    def heads(self) -> Mapping[str, HeadRequest]:
        """None."""
        return {}

    def misfits(self, family: Family) -> Iterator[tuple[str, str]]:
        """Models with a decoder have no states of the text alone."""
        if isinstance(family, SequenceToSequence):
            yield "", f"a {family.model_type} model has states of the target that it writes, not of a text alone; take an encoder, such as BERT"

    def label_names(self, examples: Sequence[Example]) -> set[str]:  # noqa: ARG002
        """There are none."""
        return set()

    def encode(self, examples: Iterable[Example], tokenizer: Tokenizer, *, labelled: bool = True) -> Iterator[Features]:
        """Token ids of all texts of an example end to end, how many each text has (`sizes`), and how many were cut off."""
        problems: list[str] = []
        for chunk in chunks(examples, CHUNK, characters):
            yield from self._encoded(chunk, tokenizer, labelled, problems)
        self.refuse(problems)

    def collate(self, rows: Sequence[Features], generators: Sequence[np.random.Generator], tokenizer: Tokenizer) -> Batch:  # noqa: ARG002
        """One sequence a text, those of a row after one another; nothing is random but the model's dropout."""
        sequences: list[Features] = [{"input_ids": part} for row in rows for part in parts(row)]
        side = torch.tensor([place for row in rows for place in range(len(row["sizes"]))])
        labels = {"label": torch.from_numpy(np.stack([row["label"] for row in rows]))} if "label" in rows[0] else {}
        return Batch(*padded_inputs(sequences, tokenizer), {"side": side, **labels}, {self.name: len(rows)})

    def unit_vectors(self, model: Model, batch: Batch) -> Float[Tensor, "texts hidden"]:
        """The vectors of all texts of a batch, of length 1, float32."""
        return F.normalize(POOLINGS[self.pooling](model(batch)).float(), dim=1)

    def outputs(self, model: Model, batch: Batch) -> Sequence[Tensor]:
        """The vectors of the texts of every row, of length 1."""
        begins = (batch.labels["side"] == TEXT).nonzero().squeeze(1)
        return torch.tensor_split(self.unit_vectors(model, batch), begins[1:].tolist())

    def blank(self, row: Features) -> Output:
        """All texts have the same vector."""
        return np.ones((len(row["sizes"]), 1), np.float32)

    def decode(self, outcome: Outcome) -> list[Prediction]:
        """The cosine of the two texts' vectors, -1 to 1."""
        return [{"score": round(cosine, 6)} for cosine in cosines(outcome).tolist()]

    def answer(self, said: Prediction) -> float | None:
        """The cosine."""
        return said["score"]

    def confidence(self, said: Prediction) -> None:
        """A cosine does not say how sure it is."""

    def _encoded(self, examples: Sequence[Example], tokenizer: Tokenizer, labelled: bool, problems: list[str]) -> Iterator[Features]:
        usable: list[tuple[list[str], Features]] = []
        for example in examples:
            try:
                usable.append((self.texts(example, labelled=labelled), self.extras(example) if labelled else {}))
            except ValueError as error:
                problems.append(f"{example.where}: {error}")
        encodings = iter(tokenizer.encode_many([text for texts, _ in usable for text in texts], max_length=self.max_length))
        for texts, extras in usable:
            own = list(islice(encodings, len(texts)))
            yield {
                "input_ids": np.concatenate([one.input_ids for one in own]),
                "sizes": np.array([len(one.input_ids) for one in own], np.int32),
                "truncated": np.array([sum(one.truncated for one in own)], np.int32),
                **extras,
            }


def parts(row: Features) -> list[np.ndarray]:
    """The token ids of every text of a row.

    Example:
        >>> [part.tolist() for part in parts({"input_ids": np.array([2, 7, 3, 2, 3]), "sizes": np.array([3, 2])})]
        [[2, 7, 3], [2, 3]]
    """
    return np.split(row["input_ids"], np.cumsum(row["sizes"])[:-1])


def cosines(outcome: Outcome) -> Float[np.ndarray, " rows"]:
    """How alike the two texts of every row are, -1 to 1.

    Example:
        >>> cosines(Outcome([np.array([[1.0, 0.0], [0.6, 0.8]])])).tolist()
        [0.6]
    """
    return np.array([float(vectors[TEXT] @ vectors[PAIR]) for vectors in outcome.outputs], np.float64)


def rewritten(settings: VectorSettings, tokenizer: Tokenizer) -> str:
    """How a folder of `sentence-transformers` has a text read, by an example; empty where its tokenizer sees no difference.

    Example:
        >>> tokenizer = Tokenizer.from_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"])
        >>> rewritten(VectorSettings(prompt="Query: "), tokenizer), rewritten(VectorSettings(lowercase=True), tokenizer)
        ("'Query: A text' read for 'A text'", '')
    """
    whole = settings.prepared(SAMPLE)
    as_it_is, as_wanted = (tokenizer.encode(text).tokens for text in (SAMPLE, whole))
    return "" if as_it_is == as_wanted else f"{whole!r} read for {SAMPLE!r}"
