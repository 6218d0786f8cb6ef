"""Vectors as .npy files."""

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float

from bertsmith.cli.output import drafted, writable
from bertsmith.core.errors import RecipeError

Vector = Float[np.ndarray, " hidden"]
Matrix = Float[np.ndarray, "rows hidden"]


def check_array_file(file: Path) -> None:
    """Before the work is done whose result it is to hold.

    Raises:
        RecipeError: It is not called .npy, or cannot be written.
    """
    if file.suffix != ".npy":
        raise RecipeError(f"{file}: vectors are written as .npy; name a file that ends in it")
    writable(str(file))


def write_array(file: Path, vectors: Iterable[Vector], hidden: int) -> int:
    """Write an .npy file of a row a vector, one after the other; it appears when it is complete.

    Args:
        file: Where it goes.
        vectors: Any number; none is kept.
        hidden: Their length.

    Returns:
        How many there were.

    Raises:
        RecipeError: It cannot be written.
    """
    count = 0
    try:
        with drafted(file) as opened:
            _write_header(opened, count, hidden)
            begin = opened.tell()
            for vector in vectors:
                opened.write(vector.astype(np.float32).tobytes())
                count += 1
            opened.seek(0)
            _write_header(opened, count, hidden)
            assert opened.tell() == begin, "numpy leaves room in the header for any number of rows"
    except OSError as error:
        raise RecipeError(f"cannot write {file}: {error.strerror}") from error
    return count


def read_array(file: Path) -> Matrix:
    """Map an .npy file of a row a vector; what is not looked at is not read.

    Raises:
        RecipeError: It is not there, or holds something else.
    """
    wanted = "an .npy file with a row of numbers for every text, as `bertsmith embed --output` writes it"
    try:
        found = np.load(file, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise RecipeError(f"cannot read vectors from {file}: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:  # numpy's words would advise to unpickle it
        raise RecipeError(f"{file} is damaged, or is not {wanted}") from error
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype.kind != "f":
        raise RecipeError(f"{file} does not hold vectors: it must be {wanted}")
    return found


def _write_header(opened: BinaryIO, count: int, hidden: int) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)), "fortran_order": False, "shape": (count, hidden)}
    np.lib.format.write_array_header_1_0(opened, header)
