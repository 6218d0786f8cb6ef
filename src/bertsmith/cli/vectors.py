"""Vectors as .npy files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from bertsmith.core.errors import RecipeError

Vector = Float[np.ndarray, " hidden"]
Matrix = Float[np.ndarray, "rows hidden"]


def check_array_name(file: Path) -> None:
    """Before the work is done whose result it is to hold.

    Raises:
        RecipeError: It is not called .npy.
    """
    if file.suffix != ".npy":
        raise RecipeError(f"{file}: vectors are written as .npy; name a file that ends in it")


def write_array(file: Path, vectors: Sequence[Vector] | Matrix) -> None:
    """Write an .npy file of a row a vector, which appears when it is complete.

    Raises:
        RecipeError: It cannot be written.
    """
    draft = file.with_name(f".{file.name}.part")
    try:
        with draft.open("wb") as opened:
            np.save(opened, np.asarray(vectors, np.float32), allow_pickle=False)
        draft.replace(file)
    except OSError as error:
        raise RecipeError(f"cannot write {file}: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)
