"""Entities in a text: every token gets a tag, and the tags are read as spans.

::

    example ──passage──▶ text, units ──pieces──▶ windows ──head──▶ scores of the first piece of every unit ──▶ one tag a unit ──▶ spans of characters

A text that is longer than the model is read in windows that overlap; what is said of a unit comes from the window in which it has the most around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from bertsmith.core.chunks import characters, chunks
from bertsmith.core.errors import DataError
from bertsmith.core.registry import nearest
from bertsmith.core.types import IGNORED, Batch, Example, Features
from bertsmith.data.dataset import Dataset, Problem
from bertsmith.layers.crf import best_paths, log_likelihoods, marginals, permitted_paths, with_edges
from bertsmith.metrics.classification import micro_f1
from bertsmith.metrics.entities import Span, span_counts, span_scores_by_type, tags_of
from bertsmith.metrics.uncertainty import Interval, bootstrap_interval
from bertsmith.models.family import Model
from bertsmith.objectives.base import HeadRequest, pad, padded_inputs
from bertsmith.tasks.base import CHUNK, ROUNDS, Belonging, Prediction, Task, tasks
from bertsmith.tasks.marked import Compared, Mark, Marked
from bertsmith.tasks.outcome import Outcome, Output
from bertsmith.tasks.tables import Table
from bertsmith.tasks.tag_set import OUTSIDE, TagSet, tag_set
from bertsmith.tasks.tagged_text import (
    Entity,
    Passage,
    entities_in,
    is_labelled,
    lost_entities,
    marked_entities,
    mendings,
    passage_of,
    schemes_of,
    told,
)
from bertsmith.tasks.tagged_windows import found_in, frame, merged, spans
from bertsmith.tasks.tagging_scores import compared, measured, mistakes_in, pairs_of, tables_of, taken_types
from bertsmith.text.tokenizer import Pieces, Tokenizer
from bertsmith.text.units import marks_of
from bertsmith.text.windows import windows

NOWHERE = -1
"""The place of no unit, at the end of a row of a batch."""


@tasks.register("tagging")
@dataclass(frozen=True, kw_only=True)
class Tagging(Task):
    """Find entities in a text (names, products, places): their first and last character and their type.

    The first piece of every token stands for the token. In a file with `tokens` these are the tokens; in a plain `text` they are its words, and every
    Chinese character is one. Tags are decoded to the likeliest sequence that keeps to the scheme. The score of an entity is the mean of its tags'
    probabilities.

    Needs:
        `tokens` and `tags` (CoNLL: BIO, BIOES, BMES or BILOU), or `text` and `entities`, a list of `{"start", "end", "label"}` in characters, `end`
        exclusive. A data set may have rows of both kinds.

    Use when:
        The answer is a stretch of the text and its type, and stretches do not overlap. To find the answer to a question: `extractive_qa`.

    Reference:
        Devlin et al. 2019, section 5.3 (the first piece stands for the token). With `crf`: Lample et al. 2016, section 2.2. The scores are those of
        `seqeval`.

    Args:
        labels: Types of entities, read from the training data where they are not given; or all tags of the head in their order, O among them, as a
            model from elsewhere has them.
        max_length: Tokens of a window, at least 8; a longer text has several.
        stride: Tokens from the beginning of one window to that of the next; half a window where it is not given.
        scheme: How an entity is written in tags.
        crf: Learn how tags follow one another. Otherwise each token is judged by itself, and only what the scheme forbids is ruled out.

    Example:
        >>> task = Tagging(labels=("LOC", "PER"))
        >>> task.tags.names
        ('O', 'B-LOC', 'I-LOC', 'B-PER', 'I-PER')
        >>> task.gold(Example({"tokens": ["New", "York"], "tags": ["B-LOC", "I-LOC"]}))
        [{'start': 0, 'end': 8, 'label': 'LOC', 'text': 'New York'}]
    """

    name: ClassVar = "tagging"
    columns: ClassVar = ()
    optional_columns: ClassVar = ("text", "tokens", "tags", "entities")
    label_columns: ClassVar = ("tags", "entities")
    best_metric: ClassVar = "f1"
    yardstick: ClassVar = "F1"

    stride: int | None = None
    scheme: Literal["bio", "bioes"] = "bio"
    crf: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stride is not None and self.stride < 1:
            raise ValueError(f"stride is {self.stride}; it must be at least 1")
        tag_set(self.labels, self.scheme)

    @property
    def tags(self) -> TagSet:
        """What the head scores."""
        return tag_set(self.labels, self.scheme)

    @property
    def output_labels(self) -> tuple[str, ...]:
        """The tags."""
        return self.tags.names

    @property
    def head(self) -> str:
        """The head that it trains."""
        return "crf" if self.crf else "tagging"

    def heads(self) -> Mapping[str, HeadRequest]:
        """The family's head for tokens, with or without a chain on it."""
        return {self.head: HeadRequest(len(self.tags.names))}

    def settled(self, data: Dataset, *, training: bool = False) -> Dataset:  # noqa: ARG002
        """All rows, each with its `text`. Tags that break the rules of their scheme and spans that do not fit the words are counted as mended."""
        schemes = schemes_of(data.examples)
        mended: list[Problem] = []
        examples: list[Example] = []
        for example in data:
            try:
                passage = passage_of(example)
                mended += [Problem.of(example, what) for what in mendings(example, passage, schemes.get(example.file, "bio"))]
            except ValueError:  # what cannot be mended is listed by `fitted` and by `encode`
                examples.append(example)
            else:
                examples.append(replace(example, values={**example.values, "text": passage.text}))
        return replace(data, examples=examples, mended_rows=(*data.mended_rows, *mended))

    def wrong_input(self, example: Example) -> str:
        """What is neither a text nor a list of tokens."""
        try:
            passage_of(example)
        except ValueError as error:
            return str(error)
        return ""

    def wrong_row(self, example: Example) -> str:
        """What is neither a text nor tokens, or has tags or entities that are none."""
        try:
            entities_in(example, passage_of(example))
        except ValueError as error:
            return str(error)
        return ""

    def label_names(self, examples: Sequence[Example]) -> set[str]:
        """All types of entities that occur; at least one."""
        names = {entity.characters[2] for example in examples for entity in entities_in(example, passage_of(example))}
        if not names:
            raise DataError(
                f"the training data has no entity in {len(examples)} examples (are the columns named `tokens` and `tags`, or `text` and `entities`?)"
            )
        return names

    def fitted(self, examples: Sequence[Example]) -> Tagging:
        """The types of entities.

        Raises:
            DataError: Lists every row that cannot be used, or says that there is no entity in any.
        """
        problems: list[str] = []
        usable = [example for example, *_ in self._read(examples, True, problems)]
        self.refuse(problems)
        return replace(self, labels=self.labels or tuple(sorted(self.label_names(usable))))

    def encode(self, examples: Iterable[Example], tokenizer: Tokenizer, *, labelled: bool = True) -> Iterator[Features]:
        """Windows, each with the places of the units' first pieces (`places`), the numbers of the units, and their tags.

        `lasts` is the last unit that shares a piece with each; `whole` says whether a window begins and ends with its text; `lost` counts
        entities that the tokenizer's pieces cannot tell from others, in the first window of their text.
        """
        problems: list[str] = []
        number, framing = 0, frame(tokenizer)
        for chunk in chunks(examples, CHUNK, characters):
            read = list(self._read(chunk, labelled, problems))
            pieces = tokenizer.pieces_many([passage.text for _, passage, _ in read])
            for (_, passage, entities), piece in zip(read, pieces, strict=True):
                yield from self._windows(number, passage, entities, piece, framing)
                number += 1
        self.refuse(problems)

    def remarks(self, rows: Sequence[Features]) -> Iterator[str]:
        """How many entities begin or end inside a piece of the tokenizer."""
        lost = sum(int(row["lost"][0]) for row in rows if "lost" in row)
        if lost:
            yield f"{lost} entities begin inside a piece of the tokenizer that has more than they, or end there, and cannot be found exactly"

    def collate(self, rows: Sequence[Features], generators: Sequence[np.random.Generator], tokenizer: Tokenizer) -> Batch:  # noqa: ARG002
        """Pad; nothing is random."""
        labels = {"places": _padded([row["places"] for row in rows], NOWHERE), "whole": torch.from_numpy(np.stack([row["whole"] for row in rows]))}
        if "tags" in rows[0]:
            labels["tags"] = _padded([row["tags"] for row in rows], IGNORED)
        return Batch(*padded_inputs(rows, tokenizer), labels, {self.name: sum(len(row["places"]) for row in rows)})

    def loss(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy of the tags; with a CRF, the negative log-likelihood of the sequences."""
        scores, kept = self._scores(model, batch)
        tags = batch.labels["tags"].clamp(min=0)
        if not self.crf:
            return {self.name: F.cross_entropy(scores[kept], tags[kept], reduction="sum")}
        chain = model.heads[self.head].get_submodule("chain")
        scores = with_edges(scores, kept, chain.get_parameter("edges.weight"), batch.labels["whole"].bool())
        return {self.name: -log_likelihoods(scores, kept, chain.get_parameter("transitions.weight"), tags).sum()}

    def outputs(self, model: Model, batch: Batch) -> Sequence[Tensor]:
        """For every unit of a window its tag, and the probability of that."""
        scores, kept = self._scores(model, batch)
        transitions, edges = (barrier.to(scores.device) for barrier in self.tags.barriers)
        if self.crf:
            chain = model.heads[self.head].get_submodule("chain")
            transitions = transitions + chain.get_parameter("transitions.weight").float()
            edges = edges + chain.get_parameter("edges.weight").float()
        chained = with_edges(scores, kept, edges, batch.labels["whole"].bool())
        path = best_paths(chained, kept, transitions) if self.crf else permitted_paths(chained, kept, transitions)
        probabilities = marginals(chained, kept, transitions) if self.crf else scores.softmax(2)
        said = torch.stack([path.float(), probabilities.gather(2, path[:, :, None])[:, :, 0]], 2)
        return [row[:count] for row, count in zip(said, kept.sum(1).tolist(), strict=True)]

    def blank(self, row: Features) -> Output:
        """No unit is a part of anything."""
        return np.full((len(row["places"]), 2), self.tags.names.index(OUTSIDE), np.float32)

    def decode(self, outcome: Outcome) -> list[Prediction]:
        """The entities: start and end in characters of the text, type, text, score; and where the row had tokens, their text and a tag for each."""
        predictions: list[Prediction] = []
        for example, rows in outcome.by_example():
            passage, found = passage_of(example), found_in(rows, self.tags)
            entities = [{**told(passage, entity.units), "score": round(entity.score, 6)} for entity in found]
            if passage.has_tokens:
                tags = tags_of([entity.units for entity in found], len(passage.units), self.tags.scheme)
                predictions.append({"text": passage.text, "entities": entities, "tags": tags})
            else:
                predictions.append({"entities": entities})
        return predictions

    def metrics(self, outcome: Outcome) -> dict[str, float]:
        """Precision, recall and F1 of entities, all alike and as a mean over the types; F1 of every type; 0-1.

        An entity is right where its first and last character and its type are. For `strict_f1`, one of the data whose tags break the scheme is none.
        """
        return measured(outcome.examples, self._spans(outcome)[1])

    def correct(self, outcome: Outcome) -> Float[np.ndarray, " examples"]:
        """F1 of the entities of every text; 1 where there are none and none are found."""
        found, predicted, gold = self.counts(outcome).T
        return np.where(predicted + gold, 2 * found / np.maximum(predicted + gold, 1), 1.0)

    def counts(self, outcome: Outcome) -> Int[np.ndarray, "examples 3"]:
        """Of the entities."""
        return span_counts(*self._spans(outcome))

    def baseline(self, outcome: Outcome) -> dict[str, float]:
        """The metrics of finding nothing."""
        return measured(outcome.examples, [[] for _ in outcome.examples])

    def interval(self, outcome: Outcome) -> Interval:
        """The interval of F1, by drawing texts."""
        return bootstrap_interval(micro_f1, *self.counts(outcome).T, rounds=ROUNDS)

    def gold(self, example: Example) -> list[dict[str, Any]] | None:
        """The entities."""
        if not is_labelled(example):
            return None
        passage = passage_of(example)
        return [told(passage, entity.units, entity.characters) for entity in entities_in(example, passage)]

    def answer(self, said: Prediction) -> list[dict[str, Any]]:
        """The entities that were found."""
        return said["entities"]

    def confidence(self, said: Prediction) -> float | None:
        """The score of the entity that it is least sure of; None where it found none."""
        return min((entity["score"] for entity in said["entities"]), default=None)

    def shown(self, example: Example) -> dict[str, str]:
        """The text, made of the tokens where a file has these."""
        return {"text": passage_of(example).text}

    def groups(self, example: Example) -> Mapping[str, Belonging]:
        """How many entities it has."""
        return {"number of entities": len(self.gold(example) or [])}

    def taken_for(self, example: Example, said: Prediction) -> Sequence[tuple[str, str]]:
        """The types, and what stands for entities that were missed, invented, or found with other boundaries."""
        return taken_types(pairs_of(self.gold(example) or [], said["entities"]))

    def by_label(self, outcome: Outcome) -> dict[str, dict[str, float]]:
        """Precision, recall, F1 and number of entities of every type."""
        return {label: asdict(score) for label, score in span_scores_by_type(*self._spans(outcome)).items()}

    def details(self, outcome: Outcome) -> list[dict[str, Any]]:
        """What is wrong, by kind."""
        said = zip(outcome.examples, self.decode(outcome), strict=True)
        return [mistakes_in(passage_of(example).text, pairs_of(self.gold(example) or [], one["entities"])) for example, one in said]

    def tables(self, outcome: Outcome) -> list[Table]:
        """Kinds of mistakes by type; scores by the length of an entity."""
        return list(tables_of(outcome.examples, *self._spans(outcome)))

    def compared(self, example: Example, said: Prediction) -> Compared:
        """The entities of the text beside those that were found."""
        return compared(passage_of(example).text, self.gold(example) or [], said["entities"])

    def marked(self, outcome: Outcome) -> Marked:
        """The entities, and how probable the tag of every unit is; units outside of entities have nothing to show."""
        [(example, rows)] = outcome.by_example()
        passage, (units, _, numbers, scores) = passage_of(example), merged(rows)
        found = [(*passage.characters(entity.units[0], entity.units[1]), entity.units[2], entity.score) for entity in found_in(rows, self.tags)]
        names = self.tags.types
        labels = [self.tags.usual[int(number)][2:] for number in numbers]
        table = np.array([[score * (name == label) for name in names] for label, score in zip(labels, scores, strict=True)], np.float32)
        return Marked(passage.text, tuple(Mark(*mark) for mark in found), tuple(names), passage.units[units], table.reshape(len(units), len(names)))

    def _read(self, examples: Iterable[Example], labelled: bool, problems: list[str]) -> Iterator[tuple[Example, Passage, list[Entity] | None]]:
        """The rows that can be used; what is wrong with the others goes to `problems`."""
        types = set(self.tags.types)
        for example in examples:
            try:
                passage = passage_of(example)
                entities = entities_in(example, passage) if labelled else None
                unknown = [entity.characters[2] for entity in entities or () if types and entity.characters[2] not in types]
                if unknown:
                    known = ", ".join(map(repr, sorted(types)[:20]))
                    raise ValueError(f"entity type {unknown[0][:60]!r} is not one of {known}{nearest(unknown[0], sorted(types))}")
            except ValueError as error:
                problems.append(f"{example.where}: {error}")
            else:
                yield example, passage, entities

    def _windows(
        self,
        example: int,
        passage: Passage,
        entities: list[Entity] | None,
        pieces: Pieces,
        framing: tuple[np.ndarray, np.ndarray],
    ) -> Iterator[Features]:
        ids, (before, after) = pieces.input_ids, framing
        marks = marks_of(passage.text, passage.units, pieces.offsets)
        lost = None if entities is None else lost_entities(entities, marks)
        numbers = None if entities is None else self.tags.numbers(marked_entities(entities, marks), len(marks.units))
        size = self.max_length - len(before) - len(after)
        for begin, end in windows(len(ids), size, self.stride or size // 2):
            inside = slice(*np.searchsorted(marks.pieces, [begin, end]))
            features: Features = {
                "input_ids": np.concatenate([before, ids[begin:end], after]).astype(np.int32),
                "example": np.array([example], np.int32),
                "places": (marks.pieces[inside] - begin + len(before)).astype(np.int32),
                "units": marks.units[inside].astype(np.int32),
                "lasts": marks.lasts[inside].astype(np.int32),
                "whole": np.array([begin == 0, end == len(ids)], np.int32),
            }
            if numbers is not None:
                features |= {"tags": numbers[inside].astype(np.int32), "lost": np.array([0 if begin else lost], np.int32)}
            yield features

    def _scores(self, model: Model, batch: Batch) -> tuple[Float[Tensor, "batch units tags"], Bool[Tensor, "batch units"]]:
        """The scores of every unit's tags, and which of them are no padding."""
        places = batch.labels["places"]
        scores: Tensor = model.heads[self.head](model(batch)).float()
        chosen = places.clamp(min=0)[:, :, None].expand(-1, -1, scores.shape[2])
        return scores.gather(1, chosen), places != NOWHERE

    def _spans(self, outcome: Outcome) -> tuple[list[list[Span]], list[list[Span]]]:
        """The entities of every text, and those that were found, in characters."""
        return outcome.once(spans, self.tags)


def _padded(rows: Sequence[np.ndarray], value: int) -> Tensor:
    """As `pad`, at least one column wide."""
    return pad([*rows, np.array([value])], value)[:-1]
