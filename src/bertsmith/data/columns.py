"""Which column of a file is the text, which the second text, which the label.

The user's word counts; without it, names that are usual in published data sets are recognised; a table without a header is judged by its cells.
What was chosen is recorded, so that it can be shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bertsmith.core.errors import DataError
from bertsmith.core.registry import nearest

PAIRS = (
    ("text", "text_pair"),
    ("sentence1", "sentence2"),
    ("sentence_1", "sentence_2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("text_a", "text_b"),
    ("text1", "text2"),
)
SINGLES = ("text", "sentence", "content", "text_a", "review", "comment", "文本", "内容", "句子", "评论")
SOURCES = ("document", "article", "dialogue", "source")
"""What a text is called beside its target."""

LABELS = ("label", "labels", "gold_label", "score", "标签", "类别")
HEADER_NAMES = frozenset([*SINGLES, *LABELS, *(name for pair in PAIRS for name in pair), "id", "idx", "index", "qid", "guid", "label_desc"])

USUAL = {
    "question": ("question", "query", "问题"),
    "context": ("context", "passage", "paragraph", "article", "文章", "段落"),
    "answers": ("answers",),
    "choices": ("choices", "options", "choice", "选项"),
    "tokens": ("tokens", "words"),
    "tags": ("tags", "ner_tags"),
    "entities": ("entities", "spans"),
    "target": ("target", "summary", "highlights", "translation", "摘要", "译文"),
}
"""What the columns of the other tasks are called."""

TASK_NAMES = frozenset([*SOURCES, "title", *(name for names in USUAL.values() for name in names)])
"""Two of them make a header; a single one may be a label of the first row."""

TARGETS = ("text", "text_pair", "label", "document", *USUAL)
"""The names that tasks and objectives of the package know."""

LABEL_CHARACTERS = 40
"""A column with a longer cell is not taken for labels."""


def choose_columns(name: str, rows: Sequence[Mapping[str, Any]], wanted: Mapping[str, str | int], needed: Sequence[str]) -> dict[str, str]:
    """The column of the file for each name that tasks know.

    Args:
        name: Of the file, for messages.
        rows: The first rows; named by position ("0", "1", …) in a table without header.
        wanted: The user's choice; a number is a position.
        needed: Names that must be found.

    Raises:
        DataError: A column does not exist, a name is one of the usual mistyped, or a needed column is not recognised; lists what there is.

    Example:
        >>> choose_columns("a.json", [{"id": 1, "sentence1": "…", "sentence2": "…", "label": "0"}], {}, ["text"])
        {'text': 'sentence1', 'text_pair': 'sentence2', 'label': 'label'}
    """
    keys = list(dict.fromkeys(key for row in rows for key in row))
    there = f"columns there are: {', '.join(keys) or 'none'}"
    if wanted:
        _refuse_mistyped(name, [target for target in wanted if target not in needed])
        chosen = {target: _column(keys, column) for target, column in wanted.items()}
        missing = [
            f"no column {wanted[target]!r} for {target}{nearest(str(wanted[target]), keys)}" for target, column in chosen.items() if column is None
        ]
        if missing:
            raise DataError(f"{name}: {'; '.join(missing)}; {there}")
        found = {target: column for target, column in chosen.items() if column is not None}
    else:
        found = _guess(rows, needed) if keys == [str(place) for place in range(len(keys))] else _recognise(keys, needed)
    free = set(keys) - set(found.values())
    lost = [target for target in needed if target not in found and target not in free]
    if lost:
        typed = " ".join(f"--column {target}=…" for target in lost)
        written = ", ".join(f'{target} = "…"' for target in lost)
        raise DataError(
            f"{name}: no column is known to be {' or '.join(lost)}; {there}. "
            f"Name it: {typed} on the command line, columns = {{ {written} }} in a recipe"
        )
    return found


def is_position(column: str | int) -> bool:
    """Whether a column is named by its position, from 0."""
    return isinstance(column, int) or column.isdecimal()


def looks_like_header(sample: Sequence[Sequence[str]], wanted: Mapping[str, str | int]) -> bool:
    """Whether the first of some records names the columns.

    It does if the user names columns, if it holds a usual name, or if it is a foreign body above a column of few labels.

    Example:
        >>> looks_like_header([["label", "text_a"], ["1", "很好"]], {})
        True
        >>> looks_like_header([["1", "很好"], ["0", "不好"]], {})
        False
    """
    first, rest = sample[0], sample[1:]
    if any(not is_position(column) for column in wanted.values()):
        return True
    names = {cell.strip().lower() for cell in first}
    if names & HEADER_NAMES or len(names & TASK_NAMES) > 1:
        return True
    return any(_is_foreign(cell, [row[place] for row in rest if place < len(row)]) for place, cell in enumerate(first))


def renamed(values: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """A row under the names that tasks know; other columns keep theirs, unless a chosen one takes it.

    Example:
        >>> renamed({"sentence": "很好", "id": 3}, {"text": "sentence"})
        {'text': '很好', 'id': 3}
    """
    row = {target: values[column] for target, column in columns.items() if column in values}
    used = set(columns.values())
    return row | {key: value for key, value in values.items() if key not in used and key not in columns}


def _refuse_mistyped(name: str, targets: Iterable[str]) -> None:
    """Any other name is left alone: a task from elsewhere may know it."""
    known = HEADER_NAMES.union(TASK_NAMES, TARGETS)
    mistyped = [f"unknown name {target!r}{hint}" for target in targets if target not in known and (hint := nearest(target, TARGETS))]
    if mistyped:
        raise DataError(f"{name}: {'; '.join(mistyped)}; known: {', '.join(TARGETS)}")


def _column(keys: Sequence[str], column: str | int) -> str | None:
    if column in keys:
        return str(column)
    if is_position(column) and int(column) < len(keys):
        return keys[int(column)]
    return None


def _recognise(keys: Sequence[str], needed: Sequence[str]) -> dict[str, str]:
    by_name = {key.strip().lower(): key for key in reversed(keys)}
    pair = next((pair for pair in PAIRS if all(name in by_name for name in pair)), ())
    singles = (*SINGLES, *SOURCES) if "target" in needed else SINGLES
    wanted = {
        "text": pair[:1] or singles,
        "text_pair": pair[1:],
        "label": (*LABELS, "answer") if "choices" in needed else LABELS,
        **{target: names for target, names in USUAL.items() if target in needed or "text" not in needed},
    }
    found = {target: next((name for name in names if name in by_name), "") for target, names in wanted.items()}
    return {target: by_name[name] for target, name in found.items() if name}


def _guess(rows: Sequence[Mapping[str, Any]], needed: Sequence[str]) -> dict[str, str]:
    """For a table without header: labels are few and short, texts are long."""
    cells = {key: [str(row[key]) for row in rows] for key in rows[0]} if rows else {}
    shortest = min((key for key in cells if len(cells) > 1 and _like_labels(cells[key])), key=lambda key: _mean_length(cells[key]), default=None)
    label = None if "target" in needed else shortest
    longest = max((_mean_length(column) for column in cells.values()), default=0)
    texts = [key for key in cells if key != label and _mean_length(cells[key]) >= longest / 4]
    found: dict[str, str] = dict(zip(("text", "target" if "target" in needed else "text_pair"), texts, strict=False))
    return found if label is None else found | {"label": label}


def _like_labels(cells: Sequence[str]) -> bool:
    if max(map(len, cells)) > LABEL_CHARACTERS:
        return False
    numbers = all(cell.lstrip("-").isdecimal() and len(cell) < 4 for cell in cells)
    return numbers or (len(cells) >= 4 and len(set(cells)) <= 0.8 * len(cells))


def _mean_length(cells: Iterable[str]) -> float:
    lengths = [len(cell) for cell in cells]
    return sum(lengths) / len(lengths)


def _is_foreign(first: str, rest: Sequence[str]) -> bool:
    """Whether a cell differs in kind from those below it, which are few labels that keep coming back."""
    kinds = set(rest)
    if first in kinds or len(rest) < 10 or len(kinds) > 10 or any(len(cell) > LABEL_CHARACTERS for cell in kinds):
        return False
    if all(_is_number(cell) for cell in kinds):
        return not _is_number(first)
    return len(kinds) <= 5 and all(rest.count(kind) >= 3 for kind in kinds)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
