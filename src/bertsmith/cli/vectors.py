"""Vectors as .npy files."""

from collections.abc import Sequence
from pathlib import Path

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


def write_array(file: Path, vectors: Sequence[Vector] | Matrix) -> None:
    """Write an .npy file of a row a vector, which appears when it is complete.

    Raises:
        RecipeError: It cannot be written.
    """
    try:
        with drafted(file) as opened:
            np.save(opened, np.asarray(vectors, np.float32), allow_pickle=False)
    except OSError as error:
        raise RecipeError(f"cannot write {file}: {error.strerror}") from error


def read_array(file: Path) -> Matrix:
    """Map an .npy file of a row a vector; what is not looked at is not read.

    Raises:
        RecipeError: It is not there, or holds something else.
    """
    try:
        found = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise RecipeError(f"cannot read vectors from {file}: {getattr(error, 'strerror', None) or error}") from error
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype.kind != "f":
        raise RecipeError(f"{file} does not hold vectors: an .npy file with a row of numbers for every text, as `bertsmith embed --output` writes it")
    return found
