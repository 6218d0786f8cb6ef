"""What a task is: an objective that can also be scored and used.

The loop trains it like any objective. On top of that a task turns what the head says of every row (`outputs`) into predictions that a person can read
(`decode`) and measures them against the labels (`metrics`)::

    Dataset ──settled, fitted──▶ examples ──encode──▶ rows ──outputs──▶ Outcome ──decode──▶ predictions
                                                                           └────metrics──▶ numbers
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bertsmith.core.errors import DataError
from bertsmith.core.registry import Registry, nearest
from bertsmith.core.types import Batch, Example, Features
from bertsmith.data.dataset import Dataset
from bertsmith.metrics.uncertainty import Interval, bootstrap_interval
from bertsmith.models.family import Model
from bertsmith.objectives.base import HeadRequest, Objective, padded_inputs
from bertsmith.tasks.outcome import Outcome
from bertsmith.text.tokenizer import Encoding, Tokenizer

tasks: Registry[type[Task]] = Registry("task", "bertsmith.tasks")
"""Tasks by name."""

Prediction = dict[str, Any]
"""What is said about one example, ready for JSON."""

ROUNDS = 1000
"""Sets of examples that are drawn for the interval of a metric."""

CHUNK = 1024
"""Examples that are tokenised together."""


@dataclass(frozen=True, kw_only=True)
class Task(Objective):
    """The base of all tasks.

    Args:
        labels: Names of the labels; read from the training data where they are not given.
        max_length: Tokens of the longest sequence; longer ones are truncated, and counted.
    """

    labels: tuple[str, ...] = ()
    max_length: int = 128

    best_metric: ClassVar[str]
    """The metric by which checkpoints are compared where a recipe does not name one."""
    problem_type: ClassVar[str] = ""
    """What `transformers` calls this kind of problem in `config.json`."""
    optional_columns: ClassVar[tuple[str, ...]] = ()
    """Columns that are used where the data has them."""
    has_labels: ClassVar[bool] = True
    """Whether it chooses among labels that the training data tells."""
    label_columns: ClassVar[tuple[str, ...]] = ("label",)
    """Those of its columns that say what is right, and are not there when something is to be predicted."""

    def __post_init__(self) -> None:
        if self.max_length < 8:
            raise ValueError(f"max_length is {self.max_length}; it must be at least 8")
        if twice := sorted({label for label in self.labels if self.labels.count(label) > 1}):
            raise ValueError(f"labels has {', '.join(map(repr, twice))} more than once; every label is named once")

    @classmethod
    def inputs(cls) -> tuple[str, ...]:
        """The columns that a prediction needs.

        Example:
            >>> tasks["pair"].inputs()
            ('text', 'text_pair')
        """
        return tuple(column for column in cls.columns if column not in cls.label_columns)

    def settled(self, data: Dataset, *, training: bool = False) -> Dataset:  # noqa: ARG002
        """The data as the task can use it: what was left out or mended for it is in the data set's account. By default all of it, as it is.

        Args:
            data: Labelled.
            training: Whether a model is to be trained on it; more can be measured with than trained on.
        """
        return data

    def fitted(self, examples: Sequence[Example]) -> Task:
        """The same task with everything that only the training data can tell: by default the labels.

        Raises:
            DataError: Lists every example whose label is missing or not one of `labels`, or says that there is only one label.
        """
        wrong = [f"{example.where}: {reason}" for example in examples if (reason := self.wrong_label(example.get("label")))]
        if wrong:
            raise DataError(f"{len(wrong)} labels cannot be used for the task {self.name!r}", wrong)
        return replace(self, labels=self.labels or _ordered(self.label_names(examples)))

    def check(self, tokenizer: Tokenizer) -> None:
        """Whether it can be done in the words of a vocabulary; by default in those of any.

        Raises:
            RecipeError: Lists what cannot be written.
        """

    @classmethod
    def wrong_label(cls, label: Any) -> str:  # noqa: ARG003
        """Why a label is of no use to the task, whatever its labels are called; empty where it may be, or is missing."""
        return ""

    @abstractmethod
    def label_names(self, examples: Sequence[Example]) -> set[str]:
        """All labels that occur."""

    @abstractmethod
    def encode(self, examples: Iterable[Example], tokenizer: Tokenizer, *, labelled: bool = True) -> Iterator[Features]:
        """Features of examples, in order.

        Args:
            examples: Rows of data.
            tokenizer: The model's.
            labelled: Whether labels are needed; without them there is no loss and no metric.

        Raises:
            DataError: Lists every example that cannot be used, with file and line.
        """

    @abstractmethod
    def outputs(self, model: Model, batch: Batch) -> Sequence[Tensor]:
        """What the model says of every row of a batch, without what padding adds to it; one row's does not depend on its neighbours."""

    @abstractmethod
    def decode(self, outcome: Outcome) -> list[Prediction]:
        """Predictions, one an example, ready for JSON."""

    @abstractmethod
    def metrics(self, outcome: Outcome) -> dict[str, float]:
        """What was said against what is right. Every value is better the higher it is, unless its name ends in `_error`."""

    def correct(self, outcome: Outcome) -> Float[np.ndarray, " examples"]:
        """How well every single example was done, the higher the better; what paired tests compare. 1 and 0 where it can only be right or wrong."""
        raise NotImplementedError(f"{type(self).__name__} has no score for a single example")

    def baseline(self, outcome: Outcome) -> dict[str, float]:
        """The metrics of an answer that takes no reading (the commonest label); empty where there is no such answer."""
        return {}

    def gold(self, example: Example) -> Any:
        """What is right, as a prediction would say it, ready for JSON; None where it is not known."""
        return example.get(self.label_columns[0])

    def interval(self, outcome: Outcome) -> Interval:
        """How far the main metric can be trusted. Where it is the mean of what every example scores, as accuracy is, drawing is quick."""
        value, each = self.metrics(outcome)[self.best_metric], self.correct(outcome)
        if np.isclose(each.mean(), value):
            return bootstrap_interval(np.mean, each, rounds=ROUNDS)

        def metric(chosen: Int[np.ndarray, " examples"]) -> float:
            return self.metrics(outcome.chosen(chosen))[self.best_metric]

        return bootstrap_interval(metric, np.arange(len(outcome.examples)), rounds=ROUNDS)


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

    def needed(self) -> tuple[str, ...]:
        """The columns without which it can say nothing of an example."""
        return self.inputs()

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
        chunk: list[Example] = []
        for example in examples:
            chunk.append(example)
            if len(chunk) == CHUNK:
                yield from self._encoded(chunk, tokenizer, labelled, problems)
                chunk = []
        yield from self._encoded(chunk, tokenizer, labelled, problems)
        if problems:
            raise DataError(f"{len(problems)} examples cannot be used for the task {self.name!r}", problems)

    def collate(self, rows: Sequence[Features], generators: Sequence[np.random.Generator], tokenizer: Tokenizer) -> Batch:  # noqa: ARG002
        """Pad; nothing is random."""
        return Batch(*padded_inputs(rows, tokenizer), stacked_labels(rows), {self.name: len(rows)})

    def outputs(self, model: Model, batch: Batch) -> Sequence[Tensor]:
        """The classification head's scores, before any normalisation."""
        return list(self.scores(model, batch))

    def scores(self, model: Model, batch: Batch) -> Float[Tensor, "batch labels"]:
        """The same, of all rows together."""
        return model.heads["classification"](model(batch)).float()

    def _encoded(self, examples: Sequence[Example], tokenizer: Tokenizer, labelled: bool, problems: list[str]) -> Iterator[Features]:
        if not examples:
            return
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
        takes_pairs = "text_pair" in (*self.columns, *self.optional_columns)
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


def _ordered(names: set[str]) -> tuple[str, ...]:
    """Labels in the order a person expects: numbers by value, the rest by alphabet."""
    if all(name.removeprefix("-").isdecimal() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))
