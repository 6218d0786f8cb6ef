"""From a stage's files to the features that it is trained on.

Labelled data is read and encoded in memory. Raw text is streamed into a store on disk that later runs open again. Either way all that is wrong with
the data of all stages is known before the first step of the first one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar, cast

from bertsmith.core.errors import DataError, UserError
from bertsmith.core.fields import Place
from bertsmith.core.progress import Progress, followed
from bertsmith.core.randomness import generator_at
from bertsmith.core.types import Example, Features
from bertsmith.data.dataset import Dataset, Problem, by_message
from bertsmith.data.dividing import divided
from bertsmith.data.readers import read, read_texts
from bertsmith.data.sources import find_sources
from bertsmith.data.store import FeatureStore
from bertsmith.objectives.base import Objective
from bertsmith.recipe.files import digest, is_disk_full, read_json, write_json
from bertsmith.recipe.schema import Stage, StageData
from bertsmith.recipe.starts import Start
from bertsmith.recipe.writing import component_table
from bertsmith.tasks.base import Task
from bertsmith.tasks.mixture import Mixture

Result = TypeVar("Result")

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
        parts: Of a stage with parts: what each of them is trained on; the account then is of `PART/SPLIT`, and rows and examples are theirs alone.
        seconds: That reading and encoding took.
    """

    objective: Objective
    rows: dict[str, FeatureStore] = field(default_factory=dict[str, FeatureStore])
    account: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    notes: list[str] = field(default_factory=list[str])
    examples: dict[str, Sequence[Example]] = field(default_factory=dict[str, Sequence[Example]])
    parts: dict[str, Prepared] = field(default_factory=dict[str, "Prepared"])
    seconds: float = 0.0


def joined(parts: Mapping[str, Prepared]) -> Prepared:
    """The parts of a stage together."""
    return Prepared(
        Mixture(parts={name: part.objective for name, part in parts.items()}),
        account={f"{name}/{split}": account for name, part in parts.items() for split, account in part.account.items()},
        notes=[f"part {name!r}: {note}" for name, part in parts.items() for note in part.notes],
        parts=dict(parts),
        seconds=sum(part.seconds for part in parts.values()),
    )


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
        place: Of the stage; gets what is wrong with its task and its data.
        progress: Who wants to know.

    Returns:
        None where something is wrong.
    """
    at_data = place.at("data")
    started, task = time.monotonic(), cast("Task", stage.objective)
    whole = _known(stage, task, at_data)
    fitted = None if whole is None else _noted(at_data.at("train"), lambda: task.fitted(whole["train"].examples))
    known = None if whole is None else _with_drawn(whole, stage, task, seed, at_data)
    if known is None or fitted is None:
        return None
    made = Prepared(
        fitted,
        account={split: _account(data, fitted) for split, data in known.items()},
        notes=[*_notes_of(known, task), *_shared_texts(known, task.reads)],
        examples={split: data.examples for split, data in known.items()},
    )
    if start is None:
        return made
    if not _noted(place.at("task"), lambda: fitted.check(start.tokenizer) is None):
        return None
    _encode_all(made, known, start, at_data, progress)
    if made.rows.keys() != known.keys():
        return None
    made.notes.extend(_truncation_notes(made))
    return replace(made, seconds=time.monotonic() - started)


def _known(stage: Stage, task: Task, place: Place) -> dict[str, Dataset] | None:
    """The data of a stage by split, as the task can use it; None where something is wrong."""
    sets = {
        split: _noted(place.at(split), lambda split=split: task.usable(_read(stage, task, split), training=split == "train"))
        for split in splits_of(stage.data)
    }
    known = {split: data for split, data in sets.items() if data is not None}
    return known if len(known) == len(sets) else None


def _with_drawn(known: dict[str, Dataset], stage: Stage, task: Task, seed: int, place: Place) -> dict[str, Dataset] | None:
    """The same with a share of the training data for validation, where the stage asks for one; None where the task can use none of it."""
    share = stage.data.valid
    if not isinstance(share, float):
        return known
    parts = _noted(place.at("valid"), lambda: divided(known["train"], share, seed, task.together))
    valid = parts and _noted(place.at("valid"), lambda: task.usable(parts[1]))
    return {"train": parts[0], "valid": valid, **{split: data for split, data in known.items() if split != "train"}} if parts and valid else None


def _encode_all(made: Prepared, known: Mapping[str, Dataset], start: Start, place: Place, progress: Progress) -> None:
    """Features of every split, with what has to be said of them; a split that cannot be encoded has none."""
    task = cast("Task", made.objective)
    for split, data in known.items():
        rows = _noted(place.at(split), lambda data=data, split=split: _encoded(data, task, start, split, progress))
        if rows is None:
            continue
        made.rows[split] = rows
        made.account[split]["truncated"] = _truncated_share(rows, "truncated")
        if "target_truncated" in rows.fields:
            made.account[split]["targets_truncated"] = _truncated_share(rows, "target_truncated")
        made.notes.extend(f"{split}: {remark}" for remark in task.remarks(rows))


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
        skipped = source.skipped()
        made.notes.extend(f"{split}: {remark}" for remark in Dataset((), problems=skipped).remarks())
        made.account[split] = {"files": [{"name": name, "sha256": content} for name, content in files[split].items()]}
        made.account[split] |= {"skipped": len(skipped), "skipped_lines": list(map(str, skipped))}
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
        self.key = json.dumps([version("bertsmith"), component_table(stage.objective), start.digest, content, reading])
        self.bad_lines = cache / f"{digest(self.key)}.skipped.json"

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

    def skipped(self) -> tuple[Problem, ...]:
        """The lines that could not be read, whichever run has encoded the text."""
        kept = read_json(self.bad_lines)
        return () if kept is None else tuple(Problem(**line) for line in kept["lines"])

    def _encoded(self) -> Iterator[Features]:
        data, bad = self.stage.data, list[Problem]()
        texts = _texts(self.names, data, bad if data.skip_bad_lines else None)
        encoded = self.stage.objective.encode(texts, self.start.tokenizer)
        yield from followed(encoded, self.progress, f"encode {self.stage.name}", None, "sequences")
        if bad:  # written before the store is whole, so that the one is never there without the other
            write_json(self.bad_lines, {"lines": [asdict(problem) for problem in bad]})

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


def _read(stage: Stage, task: Task, split: str) -> Dataset:
    names, data = splits_of(stage.data)[split], stage.data
    return read(
        list(names) if isinstance(names, tuple) else names,
        columns=data.columns or None,
        format=data.format,
        encoding=data.encoding,
        skip_bad_lines=data.skip_bad_lines,
        needed=task.columns,
    )


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


def _account(data: Dataset, task: Task) -> dict[str, Any]:
    files = [{"name": file.name, "format": file.format, "sha256": file.sha256, "rows": file.num_rows} for file in data.files]
    left_out = {"skipped": len(data.problems), "dropped": data.dropped, "mended": data.mended}
    lines = {"skipped_lines": list(map(str, data.problems)), "dropped_rows": _places(data.dropped_rows), "mended_rows": _places(data.mended_rows)}
    return {"files": files, "rows": len(data), "labels": task.label_counts(data), **left_out, **lines}


def _places(rows: Sequence[Problem]) -> dict[str, list[str]]:
    return {message: [row.where for row in alike] for message, alike in by_message(rows).items()}


def _notes_of(sets: Mapping[str, Dataset], task: Task) -> Iterator[str]:
    for split, data in sets.items():
        yield from (f"{split}: {remark}" for remark in (*data.remarks(), *filter(None, {task.passed_over(row) for row in data})))


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


def _truncated_share(rows: FeatureStore, field: str) -> float:
    cut = rows.fields.get(field)
    return 0.0 if cut is None else round(float((cut.values > 0).mean()), 4)


def _truncation_notes(made: Prepared) -> Iterator[str]:
    for split, account in made.account.items():
        if account["truncated"] >= NOTED_SHARE:
            assert isinstance(made.objective, Task), "raw text is never truncated"
            yield f"{split}: {account['truncated']:.0%} of the texts are longer than {made.objective.limit} and lose their end"
        if account.get("targets_truncated", 0) >= NOTED_SHARE:
            longest = getattr(made.objective, "max_new_tokens", 0)
            yield f"{split}: {account['targets_truncated']:.0%} of the targets are longer than max_new_tokens = {longest} and lose their end"
