"""Everything that can be seen of one text in one model, as a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from bertsmith.core.errors import RecipeError
from bertsmith.core.types import Example
from bertsmith.inspecting.masks import Draw, Unit, draws_of
from bertsmith.inspecting.tokens import Tokens, tokens_of
from bertsmith.inspecting.vectors import Contributions, contributions_of
from bertsmith.layers.attention import SelfAttention
from bertsmith.layers.encoder import Trace
from bertsmith.models.loading import Checkpoint
from bertsmith.objectives.remedy import without_head
from bertsmith.tasks.base import Prediction, Task
from bertsmith.tasks.marked import Marked
from bertsmith.tasks.multiple_choice import MultipleChoice
from bertsmith.tasks.outcome import Outcome, Output, as_array
from bertsmith.tasks.vectors import SentenceVectors

TOP = 5
"""Tokens that are shown for a [MASK]."""

TOGETHER = 8
"""Rows of one text that are computed together."""


@dataclass(frozen=True, slots=True)
class Guess:
    """A token for a [MASK].

    Attributes:
        token: As the vocabulary writes it.
        probability: 0-1.
    """

    token: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One sequence in a model.

    Attributes:
        tokens: The input.
        contributions: Of the three embeddings, for every token.
        trace: Every state and every attention weight.
    """

    tokens: Tokens
    contributions: list[Contributions]
    trace: Trace


@dataclass(frozen=True, kw_only=True)
class Choice(Seen):
    """One of the choices of a question, as the model reads it.

    Attributes:
        text: The choice.
        score: What the head gives it.
        probability: Its share among all choices, 0-1.
        is_chosen: Whether it is the answer.
    """

    text: str
    score: float
    probability: float
    is_chosen: bool

    def as_json(self) -> dict[str, Any]:
        """All of it but the vectors and the attention weights."""
        said = {"choice": self.text, "score": self.score, "probability": self.probability, "is_chosen": self.is_chosen}
        return {**said, "tokens": listed(self.tokens, self.contributions), "truncated": self.tokens.truncated}


@dataclass(frozen=True, kw_only=True)
class Inspection(Seen):
    """One text, or one pair, in one model; of a question with choices, all of these, and the one that is chosen in the place of the text.

    Attributes:
        model: Its name, as the user wrote it.
        facts: What it is: family, layers, heads, width, vocabulary, parameters.
        draws: What masked-language modelling would hide.
        prediction: Of a fine-tuned model.
        marked: What it found in the text, where its task finds places.
        guesses: For every [MASK] of the text, by its column.
        notes: What the user should know.
        choices: Of a question that has some, in their order.
    """

    model: str
    facts: Mapping[str, Any]
    draws: list[Draw]
    prediction: Prediction | None
    marked: Marked | None
    guesses: Mapping[int, list[Guess]]
    notes: tuple[str, ...]
    choices: tuple[Choice, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """All of it but the vectors and the attention weights, which are large."""
        return {
            "model": self.model,
            **self.facts,
            "tokens": listed(self.tokens, self.contributions),
            "words": self.tokens.words,
            "truncated": self.tokens.truncated,
            "draws": [asdict(draw) for draw in self.draws],
            "prediction": self.prediction,
            "marked": self.marked and self.marked.as_json(),
            "guesses": {str(place): [asdict(guess) for guess in guesses] for place, guesses in self.guesses.items()},
            "notes": self.notes,
            **({"choices": [choice.as_json() for choice in self.choices]} if self.choices else {}),
        }


def listed(tokens: Tokens, contributions: Sequence[Contributions]) -> list[dict[str, Any]]:
    """The tokens of a sequence for JSON, each with its three ids and the lengths and angles of its embeddings."""
    return [{**asdict(column), "norms": part.norms, "cosines": part.cosines} for column, part in zip(tokens.columns, contributions, strict=True)]


def inspect(  # noqa: PLR0913
    checkpoint: Checkpoint,
    text: str,
    text_pair: str | None = None,
    *,
    choices: Sequence[str] = (),
    name: str = "",
    task: Task | None = None,
    masks: int = 0,
    unit: Unit = "word",
    segmenter: str = "jieba",
) -> Inspection:
    """Look at a text, or a pair, in a model.

    Args:
        checkpoint: The model.
        text: What the task reads first: a text, a context that is asked something, or a question alone.
        text_pair: The second text of a pair, or the question that is asked.
        choices: Of the question, for the task `multiple_choice`.
        name: Of the model, for titles.
        task: What it was fine-tuned for, for a prediction.
        masks: How often masks are drawn.
        unit: What is masked together.
        segmenter: Where Chinese words come from; a registered name.

    Raises:
        RecipeError: The text is empty, or the task needs something else.

    Example:
        >>> from bertsmith.models import load
        >>> inspect(load("builtin:mini-zh"), "使用语言模型").tokens.words
        ('使用', '语言', '模型')
    """
    if not text.strip() or (text_pair is not None and not text_pair.strip()):
        raise RecipeError("the text is empty; there is nothing to look at")
    task = task and task.within(checkpoint.model.family)
    given = _named(task, text, text_pair, choices)
    with torch.inference_mode():
        outcome = None if task is None or not _is_asked(task, text_pair) else _outcome(checkpoint, task, given)
        read = _choices(checkpoint, task, outcome, segmenter) if isinstance(task, MultipleChoice) and outcome else ()
        shown = next((choice for choice in read if choice.is_chosen), None)
        first, second = (text, text_pair) if task is None or shown else task.as_read(given, checkpoint.tokenizer)
        tokens, limit = (shown.tokens, task.limit) if task and shown else _tokens(checkpoint, first, second, segmenter, task, outcome)
        trace = shown.trace if shown else checkpoint.model.backbone.trace(tokens.batch)
        guesses = _guesses(checkpoint, tokens)
    return Inspection(
        model=name,
        facts=facts_of(checkpoint),
        tokens=tokens,
        contributions=contributions_of(trace),
        trace=trace,
        draws=draws_of(tokens, checkpoint.tokenizer, masks, unit),
        prediction=task.decode(outcome)[0] if task and outcome else None,
        marked=task.marked(outcome) if task and outcome else None,
        guesses=guesses,
        notes=(
            *_of_second_text(task, given),
            *_of_length(tokens, limit, len(outcome.rows) if outcome else 0),
            *_notes(checkpoint, tokens, name, is_pair=bool(read) or second is not None),
        ),
        choices=read,
    )


def facts_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """What a model is."""
    family, backbone = checkpoint.model.family, checkpoint.model.backbone
    return {
        "family": family.model_type,
        "num_layers": backbone.layers,
        "num_heads": next(part.heads for part in backbone.modules() if isinstance(part, SelfAttention)),
        "hidden_size": family.hidden_size,
        "vocabulary_size": checkpoint.tokenizer.vocabulary_size,
        "max_length": family.max_length,
        "num_parameters": checkpoint.model.num_parameters,
    }


def _guesses(checkpoint: Checkpoint, tokens: Tokens) -> dict[int, list[Guess]]:
    chosen = tokens.batch.input_ids == checkpoint.tokenizer.role_ids.get("mask_token", -1)
    if not chosen.any() or "mlm" not in checkpoint.stored_heads:
        return {}
    scores = checkpoint.model.heads["mlm"](checkpoint.model(tokens.batch).at(chosen))
    best = scores[:, : checkpoint.tokenizer.vocabulary_size].softmax(1).topk(TOP)
    places = chosen[0].nonzero().squeeze(1).tolist()
    return {
        place: [Guess(checkpoint.tokenizer.token(number), probability) for number, probability in zip(numbers, probabilities, strict=True)]
        for place, numbers, probabilities in zip(places, best.indices.tolist(), best.values.tolist(), strict=True)
    }


def _is_asked(task: Task, text_pair: str | None) -> bool:
    """Whether a task has something to say: that of vectors compares two texts, and a single one is looked at without."""
    return text_pair is not None or not isinstance(task, SentenceVectors)


def _named(task: Task | None, text: str, text_pair: str | None, choices: Sequence[str]) -> dict[str, Any]:
    """The texts under the names of the columns that they are to the task; a single one is the first that it cannot do without."""
    names, needed = (Task.asked, ()) if task is None else (task.asked, task.needed())
    if text_pair is None:
        names = tuple(name for name in names if name in needed)[:1] or names
    given: dict[str, Any] = {name: part for name, part in zip(names, (text, text_pair), strict=False) if part is not None}
    if choices and "choices" not in needed:
        raise RecipeError(f"choices are given, and {f'the task {task.name!r}' if task else 'a model without a task'} has none; leave them out")
    if choices:
        given["choices"] = list(choices)
    missing = [column for column in needed if column not in given]
    if task is not None and missing:
        how = "; a choice is given with --choice, once for each" if "choices" in missing else ""
        raise RecipeError(
            f"the task {task.name!r} needs {' and '.join(missing)}; the texts that it is given are {' and then '.join(task.asked)}{how}"
        )
    return given


def _choices(checkpoint: Checkpoint, task: MultipleChoice, outcome: Outcome, segmenter: str) -> tuple[Choice, ...]:
    """Every choice of the one question of an outcome, as the model reads it."""
    [example], [said], [scores] = outcome.examples, task.decode(outcome), outcome.outputs
    found: list[Choice] = []
    for number, (text, reading) in enumerate(zip(example["choices"], task.readings(example, checkpoint.tokenizer), strict=True)):
        tokens = tokens_of(checkpoint, reading.first, reading.second, segmenter, reading.encoding)
        trace = checkpoint.model.backbone.trace(tokens.batch)
        found.append(
            Choice(
                text=text,
                score=float(scores[number]),
                probability=said["scores"][number],
                is_chosen=number == said["label"],
                tokens=tokens,
                contributions=contributions_of(trace),
                trace=trace,
            )
        )
    return tuple(found)


def _outcome(checkpoint: Checkpoint, task: Task, given: Mapping[str, Any]) -> Outcome:
    """What the model says, of a long text a few windows at a time."""
    examples = [Example(given)]
    rows = list(task.encode(examples, checkpoint.tokenizer, labelled=False))
    outputs: list[Output] = []
    for place in range(0, len(rows), TOGETHER):
        some = rows[place : place + TOGETHER]
        batch = task.collate(some, [np.random.default_rng(0)] * len(some), checkpoint.tokenizer)
        outputs += [as_array(output) for output in task.outputs(checkpoint.model, batch)]
    return Outcome(outputs, rows, examples, checkpoint.tokenizer)


def _of_second_text(task: Task | None, given: Mapping[str, Any]) -> Iterator[str]:
    """What is to be said of a second text that is not read with the first."""
    if task is not None and (reason := task.passed_over(Example(given))):
        yield f"{reason[:1].upper()}{reason[1:]}."
    if isinstance(task, SentenceVectors) and "text_pair" in given:
        yield "Each of the two texts is read by itself; the tokens are those of the first."


def _tokens(
    checkpoint: Checkpoint, text: str, text_pair: str | None, segmenter: str, task: Task | None, outcome: Outcome | None
) -> tuple[Tokens, str]:
    """The tokens of the two texts, and what they were longer than if some are cut off.

    They are those that the task reads (of several windows, the first), with the segments and the mask that it gives them, where it puts the texts
    together as the tokenizer does; otherwise as many as the model takes.
    """
    if task is not None and outcome is not None:
        encoding = checkpoint.tokenizer.encode(text, text_pair, max_length=task.max_length)
        batch = task.collate(outcome.rows[:1], [np.random.default_rng(0)], checkpoint.tokenizer)
        if torch.equal(batch.input_ids, torch.from_numpy(encoding.input_ids)[None]):
            return tokens_of(checkpoint, text, text_pair, segmenter, encoding, batch), task.limit
    return tokens_of(checkpoint, text, text_pair, segmenter), f"the model has positions for {checkpoint.model.family.max_length:,}"


def _of_length(tokens: Tokens, limit: str, windows: int) -> Iterator[str]:
    """What is to be said of tokens that are not shown; those of a text that was read in windows were read all the same."""
    if windows > 1:
        hidden = f"; {tokens.truncated:,} of its tokens are not shown" if tokens.truncated else ""
        yield f"What was found is of the whole text, which was read in {windows:,} windows{hidden}."
    elif tokens.truncated:
        yield f"{tokens.truncated:,} tokens were cut off: {limit}."


def _notes(checkpoint: Checkpoint, tokens: Tokens, name: str, *, is_pair: bool) -> list[str]:
    family, tokenizer = checkpoint.model.family, checkpoint.tokenizer
    notes: list[str] = []
    unknown = sum(column.input_id == tokenizer.unknown_id for column in tokens.columns)
    if unknown:
        notes.append(f"{unknown} of {len(tokens.columns)} tokens are {tokenizer.token(tokenizer.unknown_id)}: the vocabulary cannot write them.")
    segments = checkpoint.model.backbone.embeddings.segment
    if is_pair and (segments is None or segments.num_embeddings < 2):
        known = "no segments" if segments is None else "one segment"
        notes.append(f"{family.model_type} models have {known}: the two texts are told apart by their separators alone.")
    masked = any(column.input_id == tokenizer.role_ids.get("mask_token") for column in tokens.columns)
    if masked and "mlm" not in checkpoint.stored_heads:
        notes.append(without_head("mlm", name or str(checkpoint.folder or "this model")))
    return notes
