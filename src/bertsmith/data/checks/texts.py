"""What a text should not hold: nothing at all, the wrong encoding, pieces of HTML, control characters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import NamedTuple

from bertsmith.core.amounts import plural
from bertsmith.core.types import Example
from bertsmith.data.checks.finding import Finding, Patient, Severity, place, shorten, texts_of

_TAIL = r"\u0080-\u00bf\u20ac\u201a\u0192\u201e\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\u017d\u02dc\u2122\u0161\u203a\u0153\u017e\u0178"
_MARKS = r"\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u2026"  # may follow a capital with an accent in honest text
LATIN = re.compile(f"[\u00c2\u00c3\u00ce-\u00d1][{_TAIL}]|[\u00e2-\u00ef][{_TAIL}{_MARKS}]{{2}}|[\u00f0-\u00f4][{_TAIL}{_MARKS}]{{3}}")
"""What two, three and four bytes of UTF-8 look like when they are read as Latin-1 or Windows-1252."""

GBK = re.compile(r"锟斤拷|烫烫烫|屯屯屯|(?:[鐨锛鍦鏄銆][^，。！？]*){2}")
"""What UTF-8 looks like when it is read as GBK: the beginnings of 的，在是。, or the replacement character."""

CONTROL = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u2060\ufeff\ufff9-\ufffb]")
HTML = re.compile(
    r"</?(?:a|b|br|div|em|font|i|img|li|p|script|span|strong|table|td|tr|u|ul)\b[^<>]{0,200}/?>|&(?:nbsp|amp|lt|gt|quot|apos|#\d{2,5}|#x[0-9a-f]{2,5});",
    re.IGNORECASE,
)
ESCAPED = re.compile(r"\\[nrt](?![A-Za-z])|\\u[0-9a-fA-F]{4}")
NULLS = frozenset({"nan", "null", "none", "n/a", "#n/a", "<na>"})


class Symptom(NamedTuple):
    """Something that can be wrong with a text.

    Attributes:
        code: A stable name.
        severity: How bad it is.
        what: What the rows have, after "12 rows".
        find: The part of a text that shows it; empty where there is none.
        advice: What to do.
    """

    code: str
    severity: Severity
    what: str
    find: Callable[[str], str]
    advice: str


def check_texts(patient: Patient) -> Iterator[Finding]:
    """Rows with something wrong in a text."""
    for symptom in SYMPTOMS:
        found: list[tuple[Example, str]] = []
        find = cache(symptom.find)  # a context comes with several questions
        for _, row in patient.rows():
            part = next((part for text in texts_of(row) if (part := find(text))), "")
            if part:
                found.append((row, part))
        if found:
            places = tuple(place(row, f"{shorten(part, 30)!r} in" if part.strip() else "") for row, part in found)
            yield Finding(symptom.code, symptom.severity, f"{plural(len(found), 'row')} with {symptom.what}", len(found), places, symptom.advice)


def mojibake(text: str) -> str:
    """The part of a text that was read in the wrong encoding; empty where there is none.

    Example:
        >>> mojibake("the cafÃ© is fine"), mojibake("le café « Chez Noël »")
        ('Ã©', '')
    """
    wrong = (match[0] for match in LATIN.finditer(text) if _decodes(_windows_bytes(match[0])))
    return next(wrong, "") or _first(GBK, text)


def _decodes(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _windows_bytes(text: str) -> bytes:
    return b"".join(bytes([ord(character)]) if ord(character) < 256 else character.encode("cp1252") for character in text)


def _first(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[0] if match else ""


def _empty(text: str) -> str:
    return "" if text.strip() else " "


def _null(text: str) -> str:
    return text if text.strip().lower() in NULLS else ""


def _replaced(text: str) -> str:
    return "\ufffd" * text.count("\ufffd")


def _control(text: str) -> str:
    return repr(_first(CONTROL, text))[1:-1]


SYMPTOMS = (
    Symptom("empty_texts", "error", "an empty text", _empty, "fill it or remove the row"),
    Symptom("null_texts", "warning", "a text that is only a word for nothing", _null, "missing values that were written as text? remove the rows"),
    Symptom("mojibake", "warning", "text that was read in the wrong encoding", mojibake, "read the original file again as UTF-8"),
    Symptom("replacement_characters", "warning", "replacement characters (lost in decoding)", _replaced, "take the text from its source again"),
    Symptom(
        "control_characters", "note", "control or zero-width characters", _control, "BERT's tokenizers drop most; remove them if they mean nothing"
    ),
    Symptom("html", "note", "remains of HTML", partial(_first, HTML), "strip the tags and resolve the entities, or the model learns them"),
    Symptom("escapes", "note", "written-out escapes such as \\n", partial(_first, ESCAPED), "turn them into what they stand for"),
)
