"""From a stage's files to the features that it is trained on.

Labelled data is read and encoded in memory. Raw text is streamed into a store on disk that later runs open again. Either way all that is wrong with
the data of all stages is known before the first step of the first one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from bertsmith.core.errors import DataError, UserError
from bertsmith.core.fields import Place
from bertsmith.core.progress import Progress, followed
from bertsmith.core.randomness import generator_at
from bertsmith.core.types import Example, Features
from bertsmith.data.dataset import Dataset, Problem
from bertsmith.data.readers import read, read_texts
from bertsmith.data.sources import find_sources
from bertsmith.data.store import FeatureStore
from bertsmith.objectives.base import Objective
from bertsmith.recipe.files import is_disk_full
from bertsmith.recipe.schema import Stage, StageData
from bertsmith.recipe.starts import Start
from bertsmith.recipe.writing import component_table
from bertsmith.tasks.base import Task

Result = TypeVar("Result")

SHOWN_LINES = 5
NOTED_SHARE = 0.01
"""The share of truncated rows from which the user is told."""


@dataclass(frozen=True)
class Prepared:
    """What a stage is trained on.

    Attributes:
        objective: With what only the training data tells (labels).
        rows: Features by split: "train", "valid", "test"; empty where they were not made.
        account: For the result: by split, what was read.
        notes: What the user should know of the data.
        examples: By split, what the features of a task were made from.
        seconds: That reading and encoding took.
    """

    objective: Objective
    rows: dict[str, FeatureStore] = field(default_factory=dict[str, FeatureStore])
    account: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    notes: list[str] = field(default_factory=list[str])
    examples: dict[str, Sequence[Example]] = field(default_factory=dict[str, Sequence[Example]])
    seconds: float = 0.0


def splits_of(data: StageData) -> dict[str, str | tuple[str, ...]]:
    """The files of a stage by split; a validation set that is a share of another has none."""
    named = {"train": data.train, "valid": data.valid, "test": data.test}
    return {split: names for split, names in named.items() if isinstance(names, str | tuple)}


def prepared_task(stage: Stage, seed: int, start: Start | None, place: Place, progress: Progress) -> Prepared | None:
    """Read and encode labelled data.

    Args:
        stage: With a task.
        seed: For a validation set that is drawn from the training data.
        start: For its tokenizer; without it nothing is encoded.
        place: Of the stage's data; gets what is wrong with it.
        progress: Who wants to know.

    Returns:
        None where something is wrong.
    """
    started, task = time.monotonic(), cast("Task", stage.objective)
    sets = {split: _noted(place.at(split), lambda split=split: _settled(stage, task, split)) for split in splits_of(stage.data)}
    train = sets.get("train")
    fitted = None if train is None else _noted(place.at("train"), lambda: task.fitted(train.examples))
    if train is None or fitted is None or None in sets.values():
        return None
    known = {split: data for split, data in sets.items() if data is not None}
    if isinstance(stage.data.valid, float):
        known["train"], known["valid"] = divided(train, stage.data.valid, seed)
    made = Prepared(
        fitted,
        account={split: _account(data) for split, data in known.items()},
        notes=[*_reading_notes(known), *_shared_texts(known, _read_columns(task))],
        examples={split: data.examples for split, data in known.items()},
    )
    if start is None:
        return made
    for split, data in known.items():
        rows = _noted(place.at(split), lambda data=data, split=split: _encoded(data, fitted, start, split, progress))
        if rows is not None:
            made.rows[split] = rows
            made.account[split]["truncated"] = _truncated_share(rows)
            made.notes.extend(f"{split}: {remark}" for remark in fitted.remarks(rows))
    if made.rows.keys() != known.keys():
        return None
    made.notes.extend(_truncation_notes(made))
    return replace(made, seconds=time.monotonic() - started)


def prepared_text(
    stage: Stage, seed: int, start: Start, files: Mapping[str, Mapping[str, str]], cache: Path, place: Place, progress: Progress
) -> Prepared | None:
    """Stream raw text into stores on disk, or open those that an earlier run has made.

    Args:
        stage: With a pre-training objective.
        seed: For a validation set that is drawn from the training data.
        start: For its tokenizer.
        files: By split, the hashes of the data files.
        cache: Holds the stores.
        place: Of the stage's data; gets what is wrong with it.
        progress: Who wants to know.

    Returns:
        None where something is wrong.
    """
    started, made = time.monotonic(), Prepared(stage.objective)
    share = stage.data.valid if isinstance(stage.data.valid, float) else None
    for split, names in splits_of(stage.data).items():
        source = _Text(stage, names, seed, start, [split, *files[split].values()], cache, progress)
        rows = _noted(place.at(split), lambda source=source, split=split: source.stores(share if split == "train" else None))
        if rows is None:
            continue
        made.rows.update({split: rows[0]} if rows[1] is None else {"train": rows[0], "valid": rows[1]})
        made.notes.extend(_lines_note(split, source.bad))
        made.account[split] = {"files": [{"name": name, "sha256": content} for name, content in files[split].items()], "skipped": len(source.bad)}
    if made.account.keys() != files.keys():
        return None
    for split, rows in made.rows.items():
        made.account.setdefault(split, {})["rows"] = len(rows)
    return replace(made, seconds=time.monotonic() - started)


def look_at_text(stage: Stage, place: Place) -> None:
    """Open every file of raw text and read its first lines, to find out early what is wrong with it."""
    for split, names in splits_of(stage.data).items():
        for source in _noted(place.at(split), lambda names=names: find_sources(names)) or []:
            if not source.is_hub:
                _noted(place.at(split), lambda source=source: next(_texts(str(source.path), stage.data, []), None))


def divided(data: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """Draw a share of a data set, the same share of every label as nearly as it goes.

    Rows of a label are put in random order and spread evenly over 0 to 1, each label's from a random place on; those below `share` are drawn.

    Args:
        data: At least two rows.
        share: 0-1; at least one row is drawn and at least one stays.
        seed: What the choice depends on.

    Returns:
        What stays, and what was drawn; both in the order of the file.

    Example:
        >>> rows = Dataset.of([{"text": str(i), "label": i % 2} for i in range(20)])
        >>> [part.label_counts["0"] for part in divided(rows, 0.2, seed=1)]
        [8, 2]
    """
    groups: dict[str, list[int]] = {}
    for index, row in enumerate(data):
        groups.setdefault(str(row.get("label")), []).append(index)
    places = np.zeros(len(data))
    for label, rows in groups.items():
        generator = generator_at(seed, "valid", label)
        places[rows] = (generator.permutation(len(rows)) + generator.random()) / len(rows)
    count = min(max(1, round(share * len(data))), len(data) - 1)
    drawn = np.zeros(len(data), np.bool_)
    drawn[np.argsort(places, kind="stable")[:count]] = True
    parts = [[row for row, is_drawn in zip(data, drawn, strict=True) if is_drawn == wanted] for wanted in (False, True)]
    return replace(data, examples=parts[0]), Dataset(parts[1], data.files)


class _Text:
    """Raw text of one split on its way into a store.

    Args:
        stage: What it is for.
        names: Its files.
        seed: For what is drawn from it.
        start: For its tokenizer.
        content: What tells this text from any other: hashes.
        cache: Holds the stores.
        progress: Who wants to know.
    """

    def __init__(
        self, stage: Stage, names: str | tuple[str, ...], seed: int, start: Start, content: Sequence[str], cache: Path, progress: Progress
    ) -> None:
        self.stage, self.names, self.seed, self.start, self.cache, self.progress = stage, names, seed, start, cache, progress
        data = stage.data
        reading = [dict(data.columns), data.format, data.encoding, data.skip_bad_lines]
        self.key = json.dumps([component_table(stage.objective), start.digest, content, reading])
        self.bad: list[Problem] = []

    def stores(self, share: float | None) -> tuple[FeatureStore, FeatureStore | None]:
        """The features, and those of them that are held out.

        Raises:
            DataError: The text cannot be read, or gives no sequence.
        """
        if share is None:
            rows = FeatureStore.cached(self.cache, self.key, self._encoded)
            _not_empty(rows)
            return rows, None
        key, held_key = (json.dumps([self.key, share, self.seed, part]) for part in ("kept", "held out"))
        rows = FeatureStore.cached(self.cache, key, lambda: self._without(share, held_key))
        held = FeatureStore.cached(self.cache, held_key, list)
        _not_empty(rows)
        _not_empty(held)
        return rows, held

    def _encoded(self) -> Iterator[Features]:
        data = self.stage.data
        texts = _texts(self.names, data, self.bad if data.skip_bad_lines else None)
        encoded = self.stage.objective.encode(texts, self.start.tokenizer)
        return followed(encoded, self.progress, f"encode {self.stage.name}", None, "sequences")

    def _without(self, share: float, held_key: str) -> Iterator[Features]:
        """What is not held out. What is, is stored before this ends, so that the one store is never there without the other."""
        held: list[Features] = []
        for number, row in enumerate(self._encoded()):
            if generator_at(self.seed, "valid", number).random() < share:
                held.append(row)
            else:
                yield row
        FeatureStore.cached(self.cache, held_key, lambda: held)


def _noted(place: Place, make: Callable[[], Result]) -> Result | None:
    """What `make` gives; None, with a note, where the user has made a mistake."""
    try:
        return make()
    except UserError as error:
        if is_disk_full(error):
            raise
        place.wrong("\n    ".join([error.summary, *error.problems]))
        return None


def _read(names: str | tuple[str, ...], data: StageData, task: Task) -> Dataset:
    return read(
        list(names) if isinstance(names, tuple) else names,
        columns=data.columns or None,
        format=data.format,
        encoding=data.encoding,
        skip_bad_lines=data.skip_bad_lines,
        needed=task.columns,
    )


def _settled(stage: Stage, task: Task, split: str) -> Dataset:
    data = _read(splits_of(stage.data)[split], stage.data, task)
    settled = task.settled(data, training=split == "train")
    if data and not settled:
        raise DataError(
            f"the task {task.name!r} can use none of its {len(data)} rows", sorted({row.message for row in settled.dropped_rows[len(data.dropped_rows) :]})
        )
    return settled


def _texts(names: str | tuple[str, ...], data: StageData, problems: list[Problem] | None) -> Iterator[Example]:
    files = list(names) if isinstance(names, tuple) else names
    return read_texts(files, columns=data.columns or None, format=data.format, encoding=data.encoding, problems=problems)


def _encoded(data: Dataset, task: Task, start: Start, split: str, progress: Progress) -> FeatureStore:
    rows = FeatureStore.build(followed(task.encode(data, start.tokenizer), progress, f"encode {split}", len(data), "examples"))
    _not_empty(rows)
    return rows


def _not_empty(rows: FeatureStore) -> None:
    if not len(rows):
        raise DataError("not one row is left of it")


def _account(data: Dataset) -> dict[str, Any]:
    files = [{"name": file.name, "format": file.format, "sha256": file.sha256, "rows": file.num_rows} for file in data.files]
    return {"files": files, "rows": len(data), "labels": data.label_counts, "skipped": len(data.problems), "dropped": data.dropped, "mended": data.mended}


def _reading_notes(sets: Mapping[str, Dataset]) -> Iterator[str]:
    for split, data in sets.items():
        yield from _lines_note(split, data.problems)
        for reason, count in data.dropped.items():
            yield f"{split}: {count} rows were left out: {reason}"
        for mending, count in data.mended.items():
            yield f"{split}: {count} rows were mended: {mending}"


def _lines_note(split: str, problems: Sequence[Problem]) -> Iterator[str]:
    if problems:
        more = f"; and {len(problems) - SHOWN_LINES} more" if len(problems) > SHOWN_LINES else ""
        yield f"{split}: {len(problems)} lines cannot be read and were left out: {'; '.join(map(str, problems[:SHOWN_LINES]))}{more}"


def _read_columns(task: Task) -> list[str]:
    """The columns of what a model reads."""
    return [column for column in (*task.columns, *task.optional_columns) if column not in task.label_columns]


def _shared_texts(sets: Mapping[str, Dataset], columns: Sequence[str]) -> Iterator[str]:
    """Texts that a model is trained on and measured with."""
    seen = {_texts_of(row, columns): row.where for row in reversed(sets["train"].examples)}
    for split, data in sets.items():
        shared = [row for row in data if split != "train" and _texts_of(row, columns) in seen]
        if shared:
            first = f"{shared[0].where} is {seen[_texts_of(shared[0], columns)]}"
            yield f"{split}: {len(shared)} of {len(data)} texts are also in the training data ({first}); scores on them are too good to be true"


def _texts_of(row: Example, columns: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(row.get(column, "")).strip() for column in columns)


def _truncated_share(rows: FeatureStore) -> float:
    cut = rows.fields.get("truncated")
    return 0.0 if cut is None else round(float((cut.values > 0).mean()), 4)


def _truncation_notes(made: Prepared) -> Iterator[str]:
    for split, account in made.account.items():
        if account["truncated"] >= NOTED_SHARE:
            assert isinstance(made.objective, Task), "raw text is never truncated"
            yield f"{split}: {account['truncated']:.0%} of the texts are longer than {made.objective.limit} and lose their end"
