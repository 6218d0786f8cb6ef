"""Which format a file has: by its ending, and where that says little, by its first lines."""

from __future__ import annotations

import re

from bertsmith.core.errors import DataError
from bertsmith.data.formats.base import formats
from bertsmith.data.formats.conll import looks_like_conll
from bertsmith.data.lines import guess_encoding
from bertsmith.data.sources import Source

LOOKED_AT = 50
"""Lines that the format is told by."""

LABEL = re.compile(r"[+-]?\d{1,3}|[A-Z]{2,}:\w+|__label__\S+")
"""What the label of a `label text` line looks like."""

KEY = re.compile(r'(?<!\\)"(data|paragraphs|qas|choice)"\s*:')
HEADER = re.compile(r'\{\s*"header"\s*:')
LISTS = re.compile(r"\[\s*\[")
DIALOGUES = re.compile(r"\[\s*\[\s*\[")
"""What the nested formats are told by."""

PACKED = {
    b"\x1f\x8b": ("gzip", "gunzip -k"),
    b"PK\x03\x04": ("zip", "unzip"),
    b"\xfd7zXZ\0": ("xz", "unxz -k"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
    b"BZh": ("bzip2", "bunzip2 -k"),
}
"""How compressed files begin, what they are called and what unpacks them."""

SPREADSHEETS = (".xlsx", ".ods")


def recognise(source: Source, encoding: str = "utf-8") -> str:
    """The name of the format.

    Args:
        source: What is to be read.
        encoding: Of its bytes.

    Raises:
        DataError: The file is empty.
    """
    if source.is_hub:
        return "hub"
    head = source.head()
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        raise DataError(f"{source.name} is empty")
    by_suffix = {suffix: name for name, kind in formats.items() for suffix in kind.suffixes}
    found = by_suffix.get(source.suffix, "text")
    if found in ("json", "jsonl"):
        return _nested(_decoded(head, encoding)) or "jsonl"
    if found not in ("text", "tsv"):
        return found
    if guess_encoding(head) and encoding == "utf-8":
        return found  # reading it says what the encoding seems to be
    by_content = _by_content(head, encoding)
    return by_content if found == "text" or by_content == "conll" else found


def refuse_packed(source: Source) -> None:
    """Refuse what has to be unpacked first, whatever it is called.

    Raises:
        DataError: It is compressed, or a spreadsheet.
    """
    head = source.head()
    kind, command = next((packed for magic, packed in PACKED.items() if head.startswith(magic)), ("", ""))
    if kind == "zip" and source.suffix in SPREADSHEETS:
        raise DataError(f"{source.name} is a spreadsheet ({source.suffix[1:]}): save it as CSV first")
    if kind and b"\0" in head:  # no text has NUL, and hardly any compressed file has none
        raise DataError(f"{source.name} is compressed ({kind}): unpack it first: {command} {source.path or 'FILE'}")


def _decoded(head: bytes, encoding: str) -> str:
    return head.decode(encoding, errors="replace").removeprefix("\ufeff")


def _by_content(head: bytes, encoding: str) -> str:
    if head.startswith(b"PAR1"):
        return "parquet"
    text = _decoded(head, encoding)
    lines = text.split("\n")
    lines = [line.rstrip("\r") for line in (lines[:-1] or lines)[:LOOKED_AT]]
    filled = [line for line in lines if line.strip()]
    if text.lstrip().startswith(("{", "[")) and (nested := _nested(text)):
        return nested
    if filled and filled[0].lstrip().startswith("{"):
        return "jsonl"
    if looks_like_conll(lines):
        return "conll"
    tabs = {line.count("\t") for line in lines}
    if len(tabs) == 1 and 0 not in tabs:
        return "tsv"
    return "labelled" if _is_labelled(filled) else "text"


def _nested(text: str) -> str | None:
    """Which of the formats that nest JSON begins so, also where it is nested wrongly: its reader says what is wrong."""
    text = text.lstrip()
    keys = set(KEY.findall(text))
    if text.startswith("["):
        if DIALOGUES.match(text) or (LISTS.match(text) and "choice" in keys):
            return "c3"
        return "squad" if keys & {"paragraphs", "qas"} else None
    is_spread = "data" in keys or text.partition("\n")[0].strip() == "{"
    if keys >= {"paragraphs", "qas"} or (is_spread and keys & {"paragraphs", "qas"}):
        return "squad"
    return "mrqa" if "qas" in keys or HEADER.match(text) else None


def _is_labelled(lines: list[str]) -> bool:
    """Whether every line begins with something like a label, and labels come back: a numbered list is not labelled."""
    parts = [line.split(maxsplit=1) for line in lines]
    labels = {part[0] for part in parts}
    alike = all(len(part) == 2 and LABEL.fullmatch(part[0]) for part in parts)
    return alike and (len(labels) < len(parts) or labels <= {"0", "1"})
