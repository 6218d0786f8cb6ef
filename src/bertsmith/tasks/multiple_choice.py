"""A question and some answers to choose from, one of them right: examinations, dialogues, common sense.

Every choice is a sequence of its own, and a head gives each a number::

    [CLS] context [SEP] question choice 0 [SEP]   ──▶  0.3 ┐
    [CLS] context [SEP] question choice 1 [SEP]   ──▶  2.1 ├─ softmax over the choices of one question
    [CLS] context [SEP] question choice 2 [SEP]   ──▶ -1.0 ┘

A row of features holds the choices of a question end to end, so that questions with two choices and with four stand in one batch, and nothing is
computed for a choice that is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Int32
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from bertsmith.core.chunks import characters, chunks
from bertsmith.core.errors import DataError
from bertsmith.core.registry import nearest
from bertsmith.core.types import Batch, Example, Features
from bertsmith.data.dataset import Dataset, Problem
from bertsmith.models.family import Model
from bertsmith.objectives.base import HeadRequest, padded_inputs
from bertsmith.tasks.base import CHUNK, Belonging, Prediction, Task, tasks
from bertsmith.tasks.outcome import Outcome, Output
from bertsmith.text.tokenizer import Encoding, Frame, Tokenizer

Ids = Int32[np.ndarray, " _"]

REPEATED = "a choice was there twice; one of the two was left out"


class Reading(NamedTuple):
    """A choice as the model reads it.

    Attributes:
        first: The text of the first segment: the context, or the question where there is none.
        second: That of the second: the question and the choice, or the choice alone.
        encoding: The tokens; their offsets are characters of the two texts.
    """

    first: str
    second: str
    encoding: Encoding


@tasks.register("multiple_choice")
@dataclass(frozen=True, kw_only=True)
class MultipleChoice(Task):
    """A question and its own choices, two or more, one of them right; with a text that it is about, or without.

    `[CLS] context [SEP] question choice [SEP]` for every choice; `[CLS] question [SEP] choice [SEP]` where there is no context. What is longer than
    `max_length` loses the end of its context first, then the beginning of its question: the choices are read to their end. `score` is the probability
    of the choice that is given, `scores` those of all.

    Needs:
        `question`, `choices` (a list of texts), `label` (the number of the right one, from 0, or its text); optionally `context`.

    Use when:
        Every question has choices of its own. Where all rows choose among the same labels, `single` or `pair` learn what each of them means.

    Related:
        Files of C3 are read as they are. For SWAG, RACE and other files of JSON lines, `columns` says what is what.

    Reference:
        Devlin et al. 2019, section 4.4 (SWAG); Lai et al. 2017 (RACE); Sun et al. 2020 (C3). The
        head is that of `*ForMultipleChoice` of `transformers`.

    Example:
        >>> example = Example({"question": "谁说的?", "choices": ["妈妈", "老师"], "label": "老师"})
        >>> MultipleChoice().gold(example)
        '老师'
    """

    name: ClassVar = "multiple_choice"
    columns: ClassVar = ("question", "choices", "label")
    optional_columns: ClassVar = ("context",)
    best_metric: ClassVar = "accuracy"
    has_labels: ClassVar = False
    together: ClassVar = "context"
    asked: ClassVar = ("context", "question")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.labels:
            raise ValueError("labels are given; every question has choices of its own, and none are shared: leave labels out")

    def settled(self, data: Dataset, *, training: bool = False) -> Dataset:  # noqa: ARG002
        """The data with every choice of a question once; where one was there twice and was right, either place was."""
        rows = [_without_repetition(example) for example in data]
        mended = [Problem.of(row, REPEATED) for example, row in zip(data, rows, strict=True) if row is not example]
        return replace(data, examples=rows, mended_rows=(*data.mended_rows, *mended))

    def wrong_input(self, example: Example) -> str:
        """A question without its text, choices that are none."""
        return _wrong(example, labelled=False)

    def wrong_row(self, example: Example) -> str:
        """The same, and a label that is none of them."""
        return _wrong(_without_repetition(example), labelled=True)

    def label_names(self, examples: Sequence[Example]) -> set[str]:  # noqa: ARG002
        """None: a choice is of one question alone."""
        return set()

    def heads(self) -> Mapping[str, HeadRequest]:
        """The family's head with one score a sequence."""
        return {"choice": HeadRequest()}

    def encode(self, examples: Iterable[Example], tokenizer: Tokenizer, *, labelled: bool = True) -> Iterator[Features]:
        """A row a question: token and segment ids of its choices end to end, the length of each, the right one's number.

        Raises:
            DataError: Lists every example without a question, with fewer than two choices, with choices that are not texts, and with a label
                that is none of them.
        """
        problems: list[str] = []
        for chunk in chunks(examples, CHUNK, characters):
            questions: list[_Question] = []
            for example in chunk:
                try:
                    questions.append(_question(example, labelled))
                except ValueError as error:
                    problems.append(f"{example.where}: {error}")
            yield from self._encoded(questions, tokenizer)
        self.refuse(problems)

    def collate(self, rows: Sequence[Features], generators: Sequence[np.random.Generator], tokenizer: Tokenizer) -> Batch:  # noqa: ARG002
        """Pad, a sequence a choice; nothing is random."""
        labels = {"choices": torch.tensor([len(row["choices"]) for row in rows])}
        if "label" in rows[0]:
            labels["label"] = torch.from_numpy(np.stack([row["label"] for row in rows]))
        sequences = [sequence for row in rows for sequence in _sequences(row)]
        return Batch(*padded_inputs(sequences, tokenizer), labels, {self.name: len(rows)})

    def outputs(self, model: Model, batch: Batch) -> Sequence[Tensor]:
        """The scores of every question's choices, before any normalisation."""
        scores: Tensor = model.heads["choice"](model.states_for("choice", batch))
        return scores.squeeze(1).float().split(batch.labels["choices"].tolist())

    def blank(self, row: Features) -> Output:
        """Every choice has the score 0."""
        return np.zeros(len(row["choices"]), np.float32)

    def loss(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy over the choices of each question."""
        scores = pad_sequence(list(self.outputs(model, batch)), batch_first=True, padding_value=float("-inf"))
        return {self.name: F.cross_entropy(scores, batch.labels["label"].squeeze(1), reduction="sum")}

    def decode(self, outcome: Outcome) -> list[Prediction]:
        """The likeliest choice, its number, and the probability of each."""
        return [_prediction(example, output) for example, output in zip(outcome.examples, outcome.outputs, strict=True)]

    def metrics(self, outcome: Outcome) -> dict[str, float]:
        """Accuracy, 0-1."""
        from bertsmith.metrics.classification import accuracy

        return {"accuracy": accuracy(_gold(outcome), _chosen(outcome))}

    def correct(self, outcome: Outcome) -> np.ndarray:
        """1 where the choice is right."""
        return (_chosen(outcome) == _gold(outcome)).astype(np.float64)

    def baseline(self, outcome: Outcome) -> dict[str, float]:
        """What choosing at random scores: the mean of one part in the number of choices."""
        return {"accuracy": float(np.mean([1 / len(output) for output in outcome.outputs]))}

    def gold(self, example: Example) -> str | None:
        """The text of the right choice."""
        if example.get("label") is None:
            return None
        return str(example["choices"][choice_number(example["label"], example["choices"])])

    def answer(self, said: Prediction) -> str:
        """The text of the choice."""
        return said["choice"]

    def groups(self, example: Example) -> Mapping[str, Belonging]:
        """How many choices there are, and where among them the right one stands."""
        label, choices = example.get("label"), example["choices"]
        place = {} if label is None else {"place of the right choice": str(choice_number(label, choices))}
        return {"number of choices": str(len(choices)), **place}

    def readings(self, example: Example, tokenizer: Tokenizer) -> list[Reading]:
        """The sequence of every choice as the model reads it, with the place of every token in its text.

        Raises:
            DataError: The example is no question.
        """
        try:
            question = _question(example, labelled=False)
        except ValueError as error:
            raise DataError(str(error)) from error
        return [_reading(*texts, tokenizer, self.max_length) for texts in question.segments()]

    def _encoded(self, questions: Sequence[_Question], tokenizer: Tokenizer) -> Iterator[Features]:
        """Every context is tokenised once, however many questions and choices there are about it."""
        texts = list(dict.fromkeys(text for question in questions for text in (question.context, question.question, *question.endings)))
        pieces = dict(zip(texts, (found.input_ids for found in tokenizer.pieces_many(texts)), strict=True))
        frame = tokenizer.frame()
        for question in questions:
            yield _features([_sequence(*pair, frame, self.max_length) for pair in question.pairs(pieces)], question.label)


def choice_number(label: Any, choices: Sequence[str]) -> int:
    """The number of the right choice.

    Args:
        label: Its number, from 0, or its text. A text that is a choice is that choice, even where it looks like a number.
        choices: All of them.

    Raises:
        ValueError: It is missing, out of range, or none of the choices.

    Example:
        >>> choice_number(1, ["3", "1", "2"]), choice_number("1", ["3", "1", "2"]), choice_number("0", ["yes", "no"])
        (1, 1, 0)
    """
    if label is None or label == "":
        raise ValueError("no label")
    text = str(int(label) if isinstance(label, float) and label.is_integer() else label).strip()
    known = [choice.strip() for choice in choices]
    if isinstance(label, str) and text in known:
        return known.index(text)
    if isinstance(label, bool) or not text.removeprefix("-").isdecimal():
        raise ValueError(f"label {text[:60]!r} is none of the choices {', '.join(repr(choice[:30]) for choice in known)}{nearest(text, known)}")
    if not 0 <= int(text) < len(choices):
        raise ValueError(f"label {text} is no choice: there are {len(choices)}, numbered from 0 to {len(choices) - 1}")
    return int(text)


@dataclass(frozen=True, slots=True)
class _Question:
    """An example that can be used; the label is -1 where none is needed."""

    question: str
    choices: tuple[str, ...]
    context: str
    label: int

    @property
    def endings(self) -> tuple[str, ...]:
        """The choices as they are written behind the question: for some vocabularies a word within a text is another than at its beginning."""
        return tuple(f" {choice}" for choice in self.choices) if self.context else self.choices

    def segments(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The first segment of every choice's sequence, and the texts that the second is made of."""
        for ending in self.endings:
            yield (self.context, (self.question, ending)) if self.context else (self.question, (ending,))

    def pairs(self, ids: Mapping[str, Ids]) -> Iterator[tuple[Ids, Ids]]:
        """The two segments of every choice's sequence, given the token ids of all texts."""
        for first, parts in self.segments():
            yield ids[first], np.concatenate([ids[part] for part in parts])


def _without_repetition(example: Example) -> Example:
    """An example with every choice once; as it is, where there is nothing to leave out or something else is wrong with it."""
    choices = example.get("choices")
    if not isinstance(choices, list | tuple) or not all(isinstance(choice, str) for choice in choices):
        return example
    kept = list(dict.fromkeys(choice.strip() for choice in choices))
    if len(kept) == len(choices):
        return example
    try:
        label = kept.index(choices[choice_number(example.get("label"), choices)].strip())
    except ValueError:
        return example
    return replace(example, values={**example.values, "choices": kept, "label": label})


def _question(example: Example, labelled: bool) -> _Question:
    question, context, choices = example.get("question"), example.get("context"), example.get("choices")
    wrong = [*_wrong_text("question", question), *(_wrong_text("context", context) if context else ()), *_wrong_choices(choices)]
    if wrong:
        raise ValueError("; ".join(wrong))
    label = choice_number(example.get("label"), choices) if labelled else -1
    return _Question(str(question), tuple(choices), context or "", label)


def _wrong(example: Example, *, labelled: bool) -> str:
    """Why an example cannot be used; empty where it can."""
    try:
        _question(example, labelled)
    except ValueError as error:
        return str(error)
    return ""


def _wrong_text(name: str, text: Any) -> Iterator[str]:
    if text is None:
        yield f"no {name}"
    elif not isinstance(text, str):
        yield f"{name} is {str(text)[:40]!r} ({type(text).__name__}), not a text"
    elif not text.strip():
        yield f"{name} is empty"


def _wrong_choices(choices: Any) -> Iterator[str]:
    if choices is None:
        yield "no choices"
    elif not isinstance(choices, list | tuple):
        yield f"choices is {str(choices)[:40]!r} ({type(choices).__name__}), not a list of texts"
    elif len(choices) < 2:
        yield f"choices has only {choices[0]!r}; at least two are needed" if choices else "choices is empty"
    else:
        for number, choice in enumerate(choices):
            yield from _wrong_text(f"choice {number}", choice)


def _sequence(first: Ids, second: Ids, frame: Frame, longest: int) -> tuple[Ids, Ids, int]:
    """Token ids and segments of two texts, and how many tokens were cut off: of the end of the first and then of the beginning of the second."""
    beginning, ending = _kept(len(first), len(second), longest - frame.size)
    ids, segments = frame.around(first[:beginning], second[len(second) - ending :])
    return ids, segments, len(first) + len(second) - beginning - ending


def _kept(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens stay of the beginning of the first text, and of the end of the second."""
    ending = min(second, room)
    return min(first, room - ending), ending


def _reading(first: str, parts: Sequence[str], tokenizer: Tokenizer, longest: int) -> Reading:
    frame, (one, *others) = tokenizer.frame(), tokenizer.pieces_many([first, *parts])
    ids = np.concatenate([pieces.input_ids for pieces in others])
    begins = np.cumsum([0, *map(len, parts)])
    places = np.concatenate([pieces.offsets + begin for pieces, begin in zip(others, begins[:-1], strict=True)])
    beginning, ending = _kept(len(one.input_ids), len(ids), longest - frame.size)
    nowhere = (np.zeros((len(part), 2), np.int32) for part in (frame.opening, frame.middle, frame.closing))
    opening, middle, closing = nowhere
    offsets = np.concatenate([opening, one.offsets[:beginning], middle, places[len(ids) - ending :], closing]).astype(np.int32)
    input_ids, segments, cut = _sequence(one.input_ids, ids, frame, longest)
    return Reading(first, "".join(parts), Encoding(input_ids, segments, offsets, [tokenizer.token(number) for number in input_ids], cut))


def _features(sequences: Sequence[tuple[Ids, Ids, int]], label: int) -> Features:
    ids, segments, cut = zip(*sequences, strict=True)
    features: Features = {
        "input_ids": np.concatenate(ids),
        "token_type_ids": np.concatenate(segments),
        "choices": np.array([len(sequence) for sequence in ids], np.int32),
        "truncated": np.array([sum(cut)], np.int32),
    }
    return features if label < 0 else {**features, "label": np.array([label], np.int64)}


def _sequences(row: Features) -> Iterator[Features]:
    """A question's choices one by one."""
    begins = row["choices"].cumsum()[:-1]
    for ids, segments in zip(np.split(row["input_ids"], begins), np.split(row["token_type_ids"], begins), strict=True):
        yield {"input_ids": ids, "token_type_ids": segments}


def _prediction(example: Example, scores: np.ndarray) -> Prediction:
    probabilities: list[float] = torch.from_numpy(scores).softmax(0).tolist()
    best = int(np.argmax(probabilities))
    return {
        "choice": example["choices"][best],
        "label": best,
        "score": round(probabilities[best], 6),
        "scores": [round(probability, 6) for probability in probabilities],
    }


def _chosen(outcome: Outcome) -> np.ndarray:
    return np.array([output.argmax() for output in outcome.outputs], np.int64)


def _gold(outcome: Outcome) -> np.ndarray:
    return np.array([row["label"][0] for row in outcome.rows], np.int64)
