"""Reading comprehension: a question, a text, and the place in the text that answers it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from bertsmith.core.chunks import characters, chunks
from bertsmith.core.errors import DataError
from bertsmith.core.types import IGNORED, Batch, Example, Features
from bertsmith.data.answers import answers_of
from bertsmith.data.dataset import Dataset, Problem
from bertsmith.layers.heads import span_scores
from bertsmith.metrics.uncertainty import Interval, bootstrap_interval
from bertsmith.models.family import Model
from bertsmith.objectives.base import HeadRequest, padded_inputs
from bertsmith.tasks.base import CHUNK, ROUNDS, Belonging, Prediction, Task, tasks
from bertsmith.tasks.marked import Compared, Mark, Marked
from bertsmith.tasks.outcome import Outcome, Output
from bertsmith.tasks.questions import (
    compared,
    grades,
    left_out_or_mended,
    nearest_sentence,
    right_answers,
    target_of,
    target_within,
    wrong_answers,
    wrong_question,
)
from bertsmith.tasks.spans import TRIED
from bertsmith.tasks.tables import Table
from bertsmith.tasks.verdicts import EVEN, Verdict, threshold_between, verdicts
from bertsmith.text.tokenizer import Frame, Pieces, Tokenizer
from bertsmith.text.windows import widest, windows

LOOKED_AT = 200
"""Contexts by whose language a metric is chosen."""

BEGINNING = 2000
"""Characters that are looked at of each."""


@tasks.register("extractive_qa")
@dataclass(frozen=True, kw_only=True)
class ExtractiveQuestionAnswering(Task):
    """A question and a text, and the place in the text that answers it (SQuAD, CMRC 2018, DRCD, MRQA): `[CLS] question [SEP] context [SEP]`.

    Every token of the context is scored as the first and as the last of the answer. A context may be of any length: it is read in windows that
    overlap, and the best span of all windows is the answer, in characters of the text as it was written. In training, windows without the answer
    point to [CLS].

    Models with a token for the question (Splinter) read `[CLS] question [QUESTION] . [SEP] context [SEP]`, all in segment 0 and without looking at
    [SEP], as their authors fine-tune them.

    Needs:
        `question`, `context`, `answers`: a list of `{"text": …, "start": …}`, characters of the context; empty for a question without an answer. The
        first answer that is in the context is trained on, all of them are measured against.

    Use when:
        The answer is a stretch of the text. One that has to be put into words is `text_to_text`, one that is chosen from a list `multiple_choice`.

    Reference:
        Devlin et al. 2019, sections 4.2 and 4.3; google-research/bert `run_squad.py`; for Splinter Ram et al. 2021; oriram/splinter `finetuning/`.

    Args:
        max_length: Tokens of a window with its question.
        stride: Tokens from the beginning of one window to that of the next.
        max_question: Tokens of a question that are read; what is cut off is counted.
        max_answer: Tokens of the longest answer that is given.
        n_best: How many answers are listed with their probabilities, at most 20.
        unanswerable: Whether there are questions without an answer; whether the training data has some, where it is not given.
        null_threshold: How probable it must be that there is no answer for none to be given, 0-1. Where it is not given, it is the one with the best
            F1 on the validation data, and 0.5 without such data.
        metric: Whose script scores; "auto" is "cmrc" for Chinese contexts and "squad" for others.

    Example:
        >>> ExtractiveQuestionAnswering().inputs()
        ('question', 'context')
    """

    max_length: int = 384
    stride: int = 128
    max_question: int = 64
    max_answer: int = 30
    n_best: int = 5
    unanswerable: bool | None = None
    null_threshold: float | None = None
    metric: Literal["auto", "squad", "squad-1.1", "cmrc"] = "auto"

    name: ClassVar = "extractive_qa"
    best_metric: ClassVar = "f1"
    yardstick: ClassVar = "F1"
    has_labels: ClassVar = False
    columns: ClassVar = ("question", "context", "answers")
    label_columns: ClassVar = ("answers",)
    asked: ClassVar = ("context", "question")
    together: ClassVar = "context"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.labels:
            raise ValueError("labels are given; an answer is a place in its context and has no label: leave labels out")
        for name in ("stride", "max_question", "max_answer", "n_best"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.n_best > TRIED:
            raise ValueError(f"n_best is {self.n_best}; it must be at most {TRIED}")
        if self.null_threshold is not None and not 0 <= self.null_threshold <= 1:
            raise ValueError(f"null_threshold is {self.null_threshold}; it must be from 0 to 1")

    def heads(self) -> Mapping[str, HeadRequest]:
        """The family's span head."""
        return {"span": HeadRequest()}

    @property
    def limit(self) -> str:
        """What a question that is cut off was longer than."""
        return f"max_question = {self.max_question}"

    def label_names(self, examples: Sequence[Example]) -> set[str]:  # noqa: ARG002
        """None: the answer is a place, not a name."""
        return set()

    def settled(self, data: Dataset, *, training: bool = False) -> Dataset:
        """Without the questions whose answers nobody knows and, for training, without those whose answers are not in the context.

        An answer that is not at its start but elsewhere in the context is looked for there: see `data.answers.realigned`.

        Raises:
            DataError: Lists every question whose answers are no answers.
        """
        kept: list[Example] = []
        dropped: list[Problem] = []
        mended: list[Problem] = []
        problems: list[str] = []
        for example in data:
            try:
                reason, note = left_out_or_mended(example, training=training)
            except ValueError as error:
                problems.append(f"{example.where}: {error}")
                continue
            (dropped if reason else mended).extend(Problem.of(example, said) for said in (reason or note,) if said)
            kept += [] if reason else [example]
        self.refuse(problems, "question")
        return replace(data, examples=kept, dropped_rows=(*data.dropped_rows, *dropped), mended_rows=(*data.mended_rows, *mended))

    def wrong_row(self, example: Example) -> str:
        """A question without its text, a context without its text, answers that are none."""
        return wrong_question(example, labelled=True)

    def fitted(self, examples: Sequence[Example]) -> ExtractiveQuestionAnswering:
        """The same task, knowing whether there are questions without an answer.

        Raises:
            DataError: Lists every example whose answers cannot be used, or says that not one question has an answer.
        """
        problems = [f"{example.where}: {reason}" for example in examples if (reason := wrong_answers(example))]
        self.refuse(problems, "answer")
        silent = [not answers_of(example["answers"]) for example in examples]
        if all(silent):
            raise DataError(f"not one of {len(silent)} questions has an answer; there is nothing to learn from them")
        return replace(self, unanswerable=any(silent) if self.unanswerable is None else self.unanswerable)

    def tuned(self, outcome: Outcome) -> ExtractiveQuestionAnswering:
        """The same task, with a threshold that is best on validation data where none was given: of equally good ones, one far from all questions."""
        best = self.metrics(outcome).get("best_f1_threshold")
        if best is None or self.null_threshold is not None:
            return self
        above = [verdict.no_answer for verdict in self._verdicts(outcome) if verdict.no_answer > best]
        return replace(self, null_threshold=threshold_between(best, min(above, default=1.0)))

    def encode(self, examples: Iterable[Example], tokenizer: Tokenizer, *, labelled: bool = True) -> Iterator[Features]:
        """A row a window.

        Beside tokens and segments it says whose window it is (`example`), where the context begins in it (`context`), for every token of the context
        where it stands in the text (`begins`, `ends`) and whether this is the window that it belongs to (`widest`), and the tokens of the answer
        (`answer`).
        """
        problems: list[str] = []
        number = 0
        for chunk in chunks(examples, CHUNK, characters):
            reasons = [wrong_question(example, labelled=labelled) for example in chunk]
            problems += [f"{example.where}: {reason}" for example, reason in zip(chunk, reasons, strict=True) if reason]
            usable = [(number + place, example) for place, example in enumerate(chunk) if not reasons[place]]
            yield from self._encoded(usable, tokenizer, labelled)
            number += len(chunk)
        self.refuse(problems, "question")

    def _encoded(self, examples: Sequence[tuple[int, Example]], tokenizer: Tokenizer, labelled: bool) -> Iterator[Features]:
        """Every context is tokenised once, however many questions there are about it."""
        texts = list(dict.fromkeys(example[column] for _, example in examples for column in self.inputs()))
        pieces = dict(zip(texts, tokenizer.pieces_many(texts), strict=True))
        frame = _frame(tokenizer)
        for number, example in examples:
            context = pieces[example["context"]]
            target = target_of(example, context) if labelled else None
            for (begin, end), row in self._windows(pieces[example["question"]], context, frame):
                row["example"] = np.array([number], np.int32)
                if target is not None:
                    row["answer"] = target_within(target, begin, end, int(row["context"][0]))
                yield row

    def _windows(self, question: Pieces, context: Pieces, frame: Frame) -> Iterator[tuple[tuple[int, int], Features]]:
        asked = min(len(question.input_ids), self.max_question, (self.max_length - frame.size) // 2)
        over = windows(len(context.input_ids), self.max_length - frame.size - asked, self.stride)
        place = len(frame.opening) + asked + len(frame.middle)
        for (begin, end), mine in zip(over, widest(over), strict=True):
            ids, segments = frame.around(question.input_ids[:asked], context.input_ids[begin:end])
            yield (
                (begin, end),
                {
                    "input_ids": ids,
                    "token_type_ids": segments,
                    "truncated": np.array([0 if begin else len(question.input_ids) - asked], np.int32),
                    "context": np.array([place], np.int32),
                    "begins": context.offsets[begin:end, 0],
                    "ends": context.offsets[begin:end, 1],
                    "widest": mine.astype(np.uint8),
                },
            )

    def collate(self, rows: Sequence[Features], generators: Sequence[np.random.Generator], tokenizer: Tokenizer) -> Batch:  # noqa: ARG002
        """Pad; nothing is random."""
        input_ids, attention_mask, segments = padded_inputs(rows, tokenizer)
        if _has_question_token(tokenizer):
            attention_mask[input_ids == tokenizer.sep_id] = 0
        labels = {"context": torch.tensor([[int(row["context"][0]), len(row["begins"])] for row in rows])}
        if "answer" not in rows[0]:
            return Batch(input_ids, attention_mask, segments, labels, {self.name: len(rows)})
        answers = torch.from_numpy(np.stack([row["answer"] for row in rows]))
        return Batch(input_ids, attention_mask, segments, {**labels, "answer": answers}, {self.name: int((answers[:, 0] != IGNORED).sum())})

    def loss(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        """The mean of the cross-entropies of the first and of the last token, among all tokens of the window."""
        scores = self._scores(model, batch).permute(2, 0, 1)
        ends = [F.cross_entropy(own, batch.labels["answer"][:, place], ignore_index=IGNORED, reduction="sum") for place, own in enumerate(scores)]
        return {self.name: (ends[0] + ends[1]) / 2}

    def outputs(self, model: Model, batch: Batch) -> Sequence[Tensor]:
        """Start and end score of [CLS], which stands for no answer, and of every token of the context."""
        places = batch.labels["context"].tolist()
        return [torch.cat([row[:1], row[begin : begin + size]]) for row, (begin, size) in zip(self._scores(model, batch), places, strict=True)]

    def blank(self, row: Features) -> Output:
        """Every token has the scores 0."""
        return np.zeros((1 + len(row["begins"]), 2), np.float32)

    def _scores(self, model: Model, batch: Batch) -> Float[Tensor, "batch length 2"]:
        scores = span_scores(model.heads["span"], model(batch), batch).float()
        return scores.masked_fill(batch.attention_mask[:, :, None] == 0, -math.inf)

    def decode(self, outcome: Outcome) -> list[Prediction]:
        """The answer, its characters in the context, its probability among the best 20, and the best of these.

        For no answer, `answer` is empty and `start` and `end` are None. With `unanswerable` there is `no_answer`: how probable that is.
        """
        return [verdict.told(self._threshold, self.n_best) for verdict in self._verdicts(outcome)]

    def metrics(self, outcome: Outcome) -> dict[str, float]:
        """Exact match and F1 by the published script, 0-1; with questions of both kinds also what they could be with the best threshold."""
        from bertsmith.metrics.reading import reading_scores

        right, script = [right_answers(example) for example in outcome.examples], self._script(outcome.examples)
        found = reading_scores(self._answers(outcome), right, script=script)
        if not self.unanswerable or all(right) or not any(right):
            return found
        spoken = [verdict.answer(None).text for verdict in self._verdicts(outcome)]
        could_be = reading_scores(spoken, right, [verdict.no_answer for verdict in self._verdicts(outcome)], script=script)
        return found | {name: value for name, value in could_be.items() if name.startswith("best_")}

    def correct(self, outcome: Outcome) -> Float[np.ndarray, " examples"]:
        """The F1 of every question."""
        from bertsmith.metrics.reading import answer_scores

        right = [right_answers(example) for example in outcome.examples]
        return np.array([score.f1 for score in answer_scores(self._answers(outcome), right, self._script(outcome.examples))])

    def interval(self, outcome: Outcome) -> Interval:
        """How far F1, the mean over all questions, can be trusted."""
        return bootstrap_interval(np.mean, self.correct(outcome), rounds=ROUNDS)

    def baseline(self, outcome: Outcome) -> dict[str, float]:
        """The metrics of the sentence that shares most words with the question; of no answer, where most questions have none."""
        from bertsmith.metrics.reading import reading_scores

        right = [right_answers(example) for example in outcome.examples]
        silent = 2 * sum(not answers for answers in right) > len(right)
        said = ["" if silent else nearest_sentence(example["question"], example["context"]) for example in outcome.examples]
        return reading_scores(said, right, script=self._script(outcome.examples))

    def gold(self, example: Example) -> list[str] | None:
        """All right answers; none for a question without an answer."""
        return None if example.get("answers") is None else right_answers(example)

    def answer(self, said: Prediction) -> str:
        """The text of the answer."""
        return said["answer"]

    def groups(self, example: Example) -> Mapping[str, Belonging]:
        """Whether it has an answer, one with a number in it or another; and how long the first one is."""
        right = self.gold(example) or []
        kind = "none" if not right else "with a number" if any(character.isnumeric() for character in right[0]) else "without a number"
        return {"kind of answer": kind, **({"characters of the answer": len(right[0])} if right else {})}

    def tables(self, outcome: Outcome) -> list[Table]:
        """How many questions with an answer, and without one, are answered wholly, partly, wrongly, or not at all."""
        return [grades(outcome.examples, self._answers(outcome), self.correct(outcome).tolist())]

    def compared(self, example: Example, said: Prediction) -> Compared:
        """The right answers in the context, beside the one that was found."""
        return compared(example, said)

    def marked(self, outcome: Outcome) -> Marked:
        """The context with the answer, and how probable every token is as the first and as the last one of it."""
        [said], [example] = self.decode(outcome), outcome.examples
        marks = (Mark(said["start"], said["end"], "answer", said["score"]),) if said["answer"] else ()
        mine = [row["widest"].astype(np.bool_) for row in outcome.rows]
        scores = np.concatenate([output[1:][own] for output, own in zip(outcome.outputs, mine, strict=True)])
        spans = np.concatenate([np.stack([row["begins"], row["ends"]], 1)[own] for row, own in zip(outcome.rows, mine, strict=True)])
        silence = np.min([output[0] for output in outcome.outputs], axis=0)
        among = torch.from_numpy(np.concatenate([silence[None], scores])).softmax(0).numpy()[1:]
        return Marked(example["context"], marks, ("start", "end"), spans, among)

    @property
    def _threshold(self) -> float | None:
        """The doubt beyond which nothing is said; None where every question has an answer."""
        if not self.unanswerable:
            return None
        return EVEN if self.null_threshold is None else self.null_threshold

    def _verdicts(self, outcome: Outcome) -> list[Verdict]:
        return outcome.once(verdicts, self.max_answer)

    def _answers(self, outcome: Outcome) -> list[str]:
        return [verdict.answer(self._threshold).text for verdict in self._verdicts(outcome)]

    def _script(self, examples: Sequence[Example]) -> Literal["squad", "squad-1.1", "cmrc"]:
        from bertsmith.metrics.reading import script_for

        return script_for([example["context"][:BEGINNING] for example in examples[:LOOKED_AT]]) if self.metric == "auto" else self.metric


def _has_question_token(tokenizer: Tokenizer) -> bool:
    return "question_token" in tokenizer.role_ids


def _frame(tokenizer: Tokenizer) -> Frame:
    frame = tokenizer.frame()
    return replace(frame, segments=(0, 0, 0, 0, 0)) if _has_question_token(tokenizer) else frame
