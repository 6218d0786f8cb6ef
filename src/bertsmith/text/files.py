"""Reading the files of a tokenizer: not huge, not missing, and what their names say."""

import json
from pathlib import Path
from typing import Any

from bertsmith.core.errors import CheckpointError

LARGEST_FILE = 256 * 2**20
"""Bytes. The largest vocabularies in use make a `tokenizer.json` of about 30 MB; what is far beyond is another kind of file."""

LARGEST_ID = 10_000_000
"""Ten times what the largest vocabularies in use have; a table of tokens by id has room for as many."""

POINTER = b"version https://git-lfs.github.com/"


def read_bytes(file: Path) -> bytes:
    """The content of a file.

    Raises:
        CheckpointError: The file is missing, too large, or a pointer that Git LFS left in its place.
    """
    try:
        if (size := file.stat().st_size) > LARGEST_FILE:
            raise CheckpointError(f"{file} has {size:,} bytes, a vocabulary at most {LARGEST_FILE:,}; is it another kind of file under this name?")
        content = file.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {file}: {error.strerror}") from error
    if content.startswith(POINTER):
        raise CheckpointError(f"{file} is a pointer of Git LFS, not the file itself; run `git lfs pull` in the folder, or fetch the file again")
    return content


def read_text(file: Path) -> str:
    """The text of a UTF-8 file, with the line ends of Unix and without a byte order mark.

    Raises:
        CheckpointError: As `read_bytes`; or the file is not UTF-8.
    """
    try:
        text = read_bytes(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{file} is not UTF-8 text (byte {error.start}); fetch it again, or save it as UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        CheckpointError: As `read_text`; or the file is not JSON, or not an object.
    """
    try:
        value = json.loads(read_text(file))
    except (json.JSONDecodeError, RecursionError) as error:
        raise CheckpointError(f"{file} is not JSON ({error}); it may have been cut off: fetch it again") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{file} holds a JSON {type(value).__name__}, an object is needed")
    return value


def read_ids(file: Path) -> dict[str, int]:
    """A `vocab.json`: the id of every token.

    Raises:
        CheckpointError: As `read_json`; or it is empty, or an id is not a whole number from 0 on.
    """
    ids = read_json(file)
    wrong = [f"{token!r}: {number!r}" for token, number in ids.items() if type(number) is not int or not 0 <= number <= LARGEST_ID]
    if wrong or not ids:
        summary = f"the ids of {len(wrong):,} tokens are not whole numbers from 0 to {LARGEST_ID:,}" if wrong else "it has no token"
        raise CheckpointError(f"{file} is not a vocabulary: {summary}; fetch it again", wrong)
    return ids
