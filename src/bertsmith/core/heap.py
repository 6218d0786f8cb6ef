"""Memory that the C library holds and nobody uses.

Batches differ in length, so that a block which one step has freed seldom fits what the next one asks for. glibc keeps such holes for later, and a
training on a processor grows for as long as it lasts. It can be asked to give them back.
"""

import ctypes
from collections.abc import Callable
from functools import cache


def give_back() -> None:
    """Return to the system what was freed; nothing where the C library has no such call (it is one of glibc).

    Example:
        >>> give_back()
    """
    if (trim := trimmer()) is not None:
        trim(0)


@cache
def trimmer() -> Callable[[int], int] | None:
    """The call that returns freed memory, if the C library has it."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, another system
        return None
