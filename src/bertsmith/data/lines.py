"""Bytes to lines: what can go wrong before a format has its say.

Lines end in LF or CR LF and in nothing else, so that a form feed or U+2028 inside somebody's text does not cut a row in two. A line that cannot be
used becomes a `Problem` in its place and the next one is read; only a file that is in another encoding throughout is refused as a whole, since every
one of its lines would be a problem.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from typing import NamedTuple

from bertsmith.core.errors import DataError
from bertsmith.data.dataset import Problem
from bertsmith.data.sources import Source

MAX_LINE_BYTES = 1 << 22
"""A longer line is a problem, and the rest of it is skipped without being kept in memory. A book of 1 MB still fits, also where JSON writes every
character beyond ASCII as `\\u…`, which makes up to three bytes of one."""

FREQUENT = {
    "gb18030": frozenset("的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年"),
    "big5": frozenset("的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年"),
}
"""The commonest characters of Chinese text: bytes read in the wrong one of these encodings give hardly any of them."""


class Line(NamedTuple):
    """A line without its end.

    Attributes:
        number: From 1.
        text: Decoded; never holds a line feed.
    """

    number: int
    text: str


def read_lines(source: Source, *, encoding: str = "utf-8") -> Iterator[Line | Problem]:
    """The lines of a source, one at a time.

    Raises:
        DataError: The whole file is in another encoding, or its lines end in CR alone.
    """
    check_encoding(source, encoding)
    number, is_wide = 0, _is_wide(encoding)
    with source.open() as opened:
        file = io.BytesIO(decode_all(source, encoding).encode()) if is_wide else opened
        while raw := file.readline(MAX_LINE_BYTES + 2):
            number += 1
            if number == 1 and raw.startswith(codecs.BOM_UTF8):
                raw = raw[len(codecs.BOM_UTF8) :]
            if not raw.endswith(b"\n") and len(raw) > MAX_LINE_BYTES:
                size = len(raw) + _skip_line(file)
                yield Problem(
                    source.name, number, f"a line of {size / 1e6:.1f} MB; at most {MAX_LINE_BYTES / 1e6:.1f} MB are read: cut it into several"
                )
            else:
                yield _decode(source.name, number, raw.rstrip(b"\r\n"), "utf-8" if is_wide else encoding)


def decode_all(source: Source, encoding: str = "utf-8") -> str:
    """The whole text of a source, for formats that cannot be read by the line.

    Raises:
        DataError: It is not in that encoding; with the line of the first byte that is not.
    """
    check_encoding(source, encoding)
    with source.open() as file:
        data = file.read()
    try:
        return data.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{source.name}:{line}: byte 0x{data[error.start]:02X} is not {encoding.upper()}") from error


def check_encoding(source: Source, encoding: str) -> None:
    """Refuse a file that is in another encoding throughout; single bad lines are left to be reported as such.

    Raises:
        DataError: With the encoding that it seems to be in and how to convert it.
    """
    head = source.head()
    if b"\r" in head and b"\n" not in head and head.count(b"\r") > 1 and not _is_wide(encoding):
        raise DataError(f"{source.name} has lines that end in CR alone (old Macintosh); convert it: tr '\\r' '\\n' < {source.name} > NEW")
    seems = guess_encoding(head) if encoding == "utf-8" else None
    if seems:
        raise DataError(
            f"{source.name} is not UTF-8; it seems to be {seems.upper()}. Convert it: iconv -f {seems.upper()} -t UTF-8 "
            + (f"{source.name} > NEW; or, in a recipe, read it with encoding = {seems!r}" if source.path else "FILE | …")
        )


def guess_encoding(head: bytes) -> str | None:
    r"""The encoding of a file that is not UTF-8 throughout, from its first bytes; None if it is UTF-8 but for single lines, or cannot be told.

    Example:
        >>> guess_encoding("服务很好，价格也不贵，我们下次还会来的\n".encode("gb18030"))
        'gb18030'
        >>> guess_encoding("很好\n".encode()) is None
        True
    """
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if _looks_like_utf16(head):
        return "utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be"
    lines = [line for line in head.split(b"\n")[:-1] or [head] if not line.isascii()]
    broken = [line for line in lines if not _decodes(line, "utf-8")]
    if len(broken) * 2 <= len(lines):
        return None
    scores = {name: _share_frequent(b"\n".join(broken), name) for name in FREQUENT}
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] > 0.1 else None


def _looks_like_utf16(head: bytes) -> bool:
    """UTF-16 without its mark: the NUL bytes of ASCII all stand at even places, or all at odd ones, and next to line feeds."""
    ends = head.count(b"\n")
    beside = max(head.count(b"\n\0"), head.count(b"\0\n"))
    fewer, more = sorted((head[::2].count(0), head[1::2].count(0)))
    return more > 1 and fewer * 20 < more and beside * 2 >= ends


def _share_frequent(data: bytes, encoding: str) -> float:
    """How much of the text beyond ASCII, read in this encoding, is made of the commonest characters."""
    text = [character for character in data.decode(encoding, errors="replace") if character > "\x7f"]
    return sum(character in FREQUENT[encoding] for character in text) / max(len(text), 1)


def _decodes(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _decode(name: str, number: int, raw: bytes, encoding: str) -> Line | Problem:
    if b"\0" in raw:
        return Problem(name, number, f"byte {raw.index(0) + 1} of the line is NUL; remove it: tr -d '\\000'")
    try:
        return Line(number, raw.decode(encoding))
    except UnicodeDecodeError as error:
        around = raw[max(error.start - 12, 0) : error.start + 12].decode(encoding, errors="replace")
        return Problem(name, number, f"byte {error.start + 1} of the line, 0x{raw[error.start]:02X}, is not {encoding.upper()} (near {around!r})")


def _skip_line(file: io.BufferedIOBase) -> int:
    """Read on to the end of the line without keeping it; how many bytes that was."""
    skipped = 0
    while part := file.readline(1 << 16):
        skipped += len(part)
        if part.endswith(b"\n"):
            break
    return skipped


def _is_wide(encoding: str) -> bool:
    """Whether a line feed takes more than one byte."""
    return codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
