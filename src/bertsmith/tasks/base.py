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
from jaxtyping import Float, Int
from torch import Tensor

from bertsmith.checkpoint.vectors import VectorSettings
from bertsmith.core.amounts import plural
from bertsmith.core.errors import DataError
from bertsmith.core.registry import Registry
from bertsmith.core.types import Batch, Example, Features
from bertsmith.data.dataset import Dataset
from bertsmith.metrics.uncertainty import Interval, bootstrap_interval
from bertsmith.models.family import Family, Model
from bertsmith.objectives.base import Objective
from bertsmith.tasks.marked import Compared, Marked
from bertsmith.tasks.outcome import Outcome, Output
from bertsmith.tasks.tables import Table
from bertsmith.text.tokenizer import Tokenizer

tasks: Registry[type[Task]] = Registry("task", "bertsmith.tasks")
"""Tasks by name."""

Prediction = dict[str, Any]
"""What is said about one example, ready for JSON."""

ROUNDS = 1000
"""Sets of examples that are drawn for the interval of a metric."""

CHUNK = 1024
"""Examples that are tokenised together."""

Belonging = str | float | Sequence[str]
"""Which group of a kind an example is in: a name, a number, or several names."""


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
    flawless: ClassVar[float] = 1.0
    """What `correct` gives for an example without a mistake."""
    yardstick: ClassVar[str] = "accuracy"
    """What the mean of `correct` is called."""
    asked: ClassVar[tuple[str, ...]] = ("text", "text_pair")
    """The columns that one text, or two, are when somebody gives them without names."""
    together: ClassVar[str] = ""
    """The column of what several rows are about, such as the context of questions: they stay together where validation data is drawn."""

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

    def needed(self) -> tuple[str, ...]:
        """The columns without which it can say nothing of an example."""
        return self.inputs()

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that it reads of a row, apart from what says what is right.

        Example:
            >>> tasks["single"]().reads, tasks["regression"]().reads
            (('text',), ('text', 'text_pair'))
        """
        return tuple(column for column in (*self.columns, *self.optional_columns) if column not in self.label_columns)

    def as_read(self, row: Mapping[str, str], tokenizer: Tokenizer) -> tuple[str, str | None]:  # noqa: ARG002
        """The text, or the two of them, that a model reads of a row as one sequence, in the order in which it reads them."""
        columns = self.inputs()
        first, *rest = sorted(row, key=lambda name: columns.index(name) if name in columns else len(columns))
        return row[first], row[rest[0]] if rest else None

    def passed_over(self, row: Example) -> str:
        """What is to be said of a second text that it does not read; empty where there is none, or it is read."""
        if row.get("text_pair") is None or "text_pair" in self.reads:
            return ""
        return f"there is a text_pair, which the task {self.name!r} does not read"

    @property
    def output_labels(self) -> tuple[str, ...]:
        """What `config.json` calls the outputs of its head, in their order: by default the labels."""
        return self.labels

    @property
    def limit(self) -> str:
        """What a text that was truncated was longer than."""
        return f"max_length = {self.max_length}"

    @property
    def vectors(self) -> VectorSettings | None:
        """How a text becomes a vector, where that is what it trains; written into the model's folder."""
        return None

    @property
    def written(self) -> int:
        """Texts that are written for a row at the same time; 0 where none is."""
        return 0

    @property
    def validated_by_loss(self) -> bool:
        """Whether the loss is measured during training in the place of the metrics, because these take long; by default not."""
        return False

    def within(self, family: Family) -> Task:
        """The same task with nothing longer than a model has positions for."""
        return replace(self, max_length=min(self.max_length, family.max_length))

    @classmethod
    def as_published(cls, model: Model) -> dict[str, Any]:  # noqa: ARG003
        """Options that a model from elsewhere, which knows no task of ours, was published with."""
        return {}

    def generation_config(self, tokenizer: Tokenizer) -> dict[str, Any]:  # noqa: ARG002
        """How a model that was trained for it writes, by the keys of `generation_config.json`; None takes a key away."""
        return {}

    def settled(self, data: Dataset, *, training: bool = False) -> Dataset:  # noqa: ARG002
        """The data as the task can use it: what was left out or mended for it is in the data set's account. By default all of it, as it is.

        Args:
            data: Labelled.
            training: Whether a model is to be trained on it; more can be measured with than trained on.
        """
        return data

    def usable(self, data: Dataset, *, training: bool = False) -> Dataset:
        """The data as `settled` leaves it.

        Raises:
            DataError: It leaves nothing; lists why, row by row.
        """
        settled = self.settled(data, training=training)
        if data and not settled:
            raise DataError(f"the task {self.name!r} can use none of its {plural(len(data), 'row')}", list(map(str, settled.dropped_rows)))
        return settled

    def fitted(self, examples: Sequence[Example]) -> Task:
        """The same task with everything that only the training data can tell: by default the labels.

        Raises:
            DataError: Lists every example whose label is missing or not one of `labels`, or says that there is only one label.
        """
        self.refuse([f"{example.where}: {reason}" for example in examples if (reason := self.wrong_label(example.get("label")))], "label")
        return replace(self, labels=self.labels or _ordered(self.label_names(examples)))

    def check(self, tokenizer: Tokenizer) -> None:
        """Whether it can be done in the words of a vocabulary; by default in those of any.

        Raises:
            RecipeError: Lists what cannot be written.
        """

    def refuse(self, problems: Sequence[str], noun: str = "example") -> None:
        """Say what cannot be used, where there is anything of that kind.

        Args:
            problems: What is wrong, with its place, one each.
            noun: What each is about.

        Raises:
            DataError: There are any.
        """
        if problems:
            raise DataError(f"{plural(len(problems), noun)} cannot be used for the task {self.name!r}", problems)

    def wrong_input(self, example: Example) -> str:  # noqa: ARG002
        """Why nothing can be predicted for a row although it has the columns; empty where it can."""
        return ""

    def wrong_row(self, example: Example) -> str:
        """Why a labelled row cannot be used, as far as that can be told without a model; empty where it can."""
        return self.wrong_label(example.get("label"))

    @classmethod
    def wrong_label(cls, label: Any) -> str:  # noqa: ARG003
        """Why a label is of no use to the task, whatever its labels are called; empty where it may be, or is missing."""
        return ""

    @abstractmethod
    def label_names(self, examples: Sequence[Example]) -> set[str]:
        """All labels that occur."""

    def begin(self, model: Model, examples: Sequence[Example]) -> None:
        """Set what fresh heads begin with, as far as the training data tells it; by default they stay as they were drawn."""

    def label_counts(self, data: Dataset) -> dict[str, int]:
        """How often every label occurs; empty for a task without labels."""
        return data.label_counts if self.has_labels else {}

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

    def remarks(self, rows: Sequence[Features]) -> Iterator[str]:  # noqa: ARG002
        """What a person should know of the encoded data."""
        yield from ()

    @abstractmethod
    def outputs(self, model: Model, batch: Batch) -> Sequence[Tensor]:
        """What the model says of every row of a batch, without what padding adds to it; one row's does not depend on its neighbours."""

    @abstractmethod
    def blank(self, row: Features) -> Output:
        """What `outputs` would be of a row if nothing had been read: by it the metrics are known by name before there is a model."""

    @abstractmethod
    def decode(self, outcome: Outcome) -> list[Prediction]:
        """Predictions, one an example, ready for JSON."""

    @abstractmethod
    def metrics(self, outcome: Outcome) -> dict[str, float]:
        """What was said against what is right. Every value is better the higher it is, unless its name ends in `_error`."""

    @abstractmethod
    def correct(self, outcome: Outcome) -> Float[np.ndarray, " examples"]:
        """How well every single example was done, the higher the better; what paired tests compare. 1 and 0 where it can only be right or wrong."""

    def counts(self, outcome: Outcome) -> Int[np.ndarray, "examples 3"] | None:  # noqa: ARG002
        """Where the main metric is F1 over all decisions: how many of each example's are right, were made, and are to be made; else None."""
        return None

    def baseline(self, outcome: Outcome) -> dict[str, float]:  # noqa: ARG002
        """The metrics of an answer that takes no reading (the commonest label); empty where there is no such answer."""
        return {}

    def gold(self, example: Example) -> Any:
        """What is right, as a prediction would say it, ready for JSON; None where it is not known."""
        return example.get(self.label_columns[0])

    def answer(self, said: Prediction) -> Any:
        """The part of a prediction that is held against `gold`: by default its label, or all of it where it has none. None where nothing is."""
        return said.get("label", said)

    def confidence(self, said: Prediction) -> float | None:
        """How sure a prediction is, 0-1; None where that cannot be told. Of wrong predictions, the surest are looked at first."""
        return said.get("score")

    def shown(self, example: Example) -> dict[str, str]:
        """What a person reads of an example, by column: its input, lists joined."""
        return {name: _joined(example[name]) for name in self.reads if example.get(name)}

    def groups(self, example: Example) -> Mapping[str, Belonging]:  # noqa: ARG002
        """Kinds of groups that an example is in, and which of each kind: an error analysis says how well each group is done.

        A number (the length of an answer) is put into ranges of equally many examples; a list is several groups of one kind (types of entities).
        """
        return {}

    def taken_for(self, example: Example, said: Prediction) -> Sequence[tuple[str, str]]:
        """Labels that are right, each with the label that was said in its place, for a confusion matrix: by default the one of an example."""
        pair = (self.gold(example), self.answer(said))
        return [pair] if self.has_labels and all(isinstance(label, str) for label in pair) else []

    def by_label(self, outcome: Outcome) -> dict[str, dict[str, float]]:  # noqa: ARG002
        """Metrics of every single label, such as precision, recall, f1 and support; empty where there is nothing to be said of one."""
        return {}

    def details(self, outcome: Outcome) -> list[dict[str, Any]]:
        """What else an error analysis says of every example, by name: what was missed, at which rank the right text is. By default nothing."""
        return [{} for _ in outcome.examples]

    def compared(self, example: Example, said: Prediction) -> Compared | None:  # noqa: ARG002
        """Where a task finds places in a text: those that are right, beside those that it found."""
        return None

    def tables(self, outcome: Outcome) -> list[Table]:  # noqa: ARG002
        """What else an error analysis says of all examples together. By default nothing."""
        return []

    def marked(self, outcome: Outcome) -> Marked | None:  # noqa: ARG002
        """What there is to see of the one example of an outcome: places that were found in its text, scores of its tokens. By default nothing."""
        return None

    def tuned(self, outcome: Outcome) -> Task:  # noqa: ARG002
        """The same task with what only a trained model on validation data can tell: thresholds. By default there is nothing of that kind."""
        return self

    def interval(self, outcome: Outcome) -> Interval:
        """How far the main metric can be trusted. Where it is the mean of what every example scores, as accuracy is, drawing is quick."""
        value, each = self.metrics(outcome)[self.best_metric], self.correct(outcome)
        if np.isclose(each.mean(), value):
            return bootstrap_interval(np.mean, each, rounds=ROUNDS)

        def metric(chosen: Int[np.ndarray, " examples"]) -> float:
            return self.metrics(outcome.chosen(chosen))[self.best_metric]

        return bootstrap_interval(metric, np.arange(len(outcome.examples)), rounds=ROUNDS)


def _joined(value: Any) -> str:
    return " · ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _ordered(names: set[str]) -> tuple[str, ...]:
    """Labels in the order a person expects: numbers by value, the rest by alphabet."""
    if all(name.removeprefix("-").isdecimal() for name in names):
        return tuple(sorted(names, key=lambda name: (float(name), name)))
    return tuple(sorted(names))
