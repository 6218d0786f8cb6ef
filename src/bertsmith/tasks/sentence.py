"""What the tasks about whole texts share: one row of scores for a text, or for a pair of texts, from the classification head."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bertsmith.core.chunks import characters, chunks
from bertsmith.core.registry import nearest
from bertsmith.core.types import Batch, Example, Features
from bertsmith.models.family import Model
from bertsmith.objectives.base import HeadRequest, padded_inputs
from bertsmith.tasks.base import CHUNK, Task
from bertsmith.tasks.outcome import Output
from bertsmith.text.tokenizer import Encoding, Tokenizer


@dataclass(frozen=True, kw_only=True)
class SentenceTask(Task):
    """A task with one row of scores for a text, or for a pair of texts.

    The two texts of a pair are told apart by [SEP] and by their segment ids, and read together: every token of one can look at every token of the
    other.
    """

    columns: ClassVar = ("text", "label")
    optional_columns: ClassVar = ("text_pair",)

    @property
    def num_scores(self) -> int:
        """Scores an example."""
        return len(self.labels)

    def heads(self) -> Mapping[str, HeadRequest]:
        """The family's classification head."""
        return {"classification": HeadRequest(self.num_scores)}

    @abstractmethod
    def target(self, example: Example) -> np.ndarray:
        """The label of an example as numbers.

        Raises:
            ValueError: Says what is wrong with it.
        """

    def encode(self, examples: Iterable[Example], tokenizer: Tokenizer, *, labelled: bool = True) -> Iterator[Features]:
        """Token and segment ids, how many tokens were cut off, and the label."""
        problems: list[str] = []
        for chunk in chunks(examples, CHUNK, characters):
            yield from self._encoded(chunk, tokenizer, labelled, problems)
        self.refuse(problems)

    def collate(self, rows: Sequence[Features], generators: Sequence[np.random.Generator], tokenizer: Tokenizer) -> Batch:  # noqa: ARG002
        """Pad; nothing is random."""
        return Batch(*padded_inputs(rows, tokenizer), stacked_labels(rows), {self.name: len(rows)})

    def outputs(self, model: Model, batch: Batch) -> Sequence[Tensor]:
        """The classification head's scores, before any normalisation."""
        return list(self.scores(model, batch))

    def blank(self, row: Features) -> Output:  # noqa: ARG002
        """Every score is 0."""
        return np.zeros(self.num_scores, np.float32)

    def scores(self, model: Model, batch: Batch) -> Float[Tensor, "batch labels"]:
        """The same, of all rows together."""
        return model.heads["classification"](model.states_for("classification", batch)).float()

    def _encoded(self, examples: Sequence[Example], tokenizer: Tokenizer, labelled: bool, problems: list[str]) -> Iterator[Features]:
        usable, targets = self._targets(examples, labelled, problems)
        for features, target in zip(self._features(usable, tokenizer), targets, strict=True):
            yield features if target is None else {**features, "label": target}

    def _features(self, examples: Sequence[Example], tokenizer: Tokenizer) -> list[Features]:
        """Everything but the labels."""
        return [
            {
                "input_ids": encoding.input_ids,
                "token_type_ids": encoding.token_type_ids,
                "truncated": np.array([encoding.truncated], np.int32),
            }
            for encoding in self._tokenised(examples, tokenizer)
        ]

    def _tokenised(self, examples: Sequence[Example], tokenizer: Tokenizer) -> list[Encoding]:
        """Single texts together and pairs together, each on all cores, and back in order."""
        takes_pairs = "text_pair" in self.reads
        found: dict[int, Encoding] = {}
        for paired in (False, True):
            places = [place for place, example in enumerate(examples) if (takes_pairs and example.get("text_pair") is not None) == paired]
            second = [str(examples[place]["text_pair"]) for place in places] if paired else None
            encodings = tokenizer.encode_many([str(examples[place]["text"]) for place in places], second, max_length=self.max_length)
            found.update(zip(places, encodings, strict=True))
        return [found[place] for place in range(len(examples))]

    def _targets(self, examples: Sequence[Example], labelled: bool, problems: list[str]) -> tuple[list[Example], list[np.ndarray | None]]:
        usable: list[Example] = []
        targets: list[np.ndarray | None] = []
        for example in examples:
            missing = [column for column in self.needed() if example.get(column) is None]
            try:
                if missing:
                    raise ValueError(f"no {' and no '.join(missing)}")
                if labelled and (reason := self.wrong_label(example.get("label"))):
                    raise ValueError(reason)
                targets.append(self.target(example) if labelled else None)
                usable.append(example)
            except ValueError as error:
                problems.append(f"{example.where}: {error}")
        return usable, targets


def stacked_labels(rows: Sequence[Features]) -> dict[str, Tensor]:
    """The labels of a batch; none where rows have none."""
    return {"label": torch.from_numpy(np.stack([row["label"] for row in rows]))} if "label" in rows[0] else {}


def label_number(label: Any, labels: Sequence[str]) -> int:
    """The number of a label.

    Raises:
        ValueError: It is missing or unknown.

    Example:
        >>> label_number("no", ("no", "yes"))
        0
    """
    if label is None or label == "":
        raise ValueError("no label")
    if str(label) not in labels:
        raise ValueError(f"label {str(label)[:60]!r} is not one of {', '.join(map(repr, labels[:20]))}{nearest(str(label), labels)}")
    return labels.index(str(label))
