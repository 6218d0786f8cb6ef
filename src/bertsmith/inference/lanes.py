"""Several batches at once, each on a thread of its own, instead of one batch on all threads.

When all threads share a matrix product, the first to finish waits for the last, hundreds of times a batch: a little on a machine that does nothing
else, a lot on one that does, and more the more threads there are. Threads with a batch each never wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

LEAST_PER_LANE = 4
"""With fewer items than this for each thread, some threads would stand idle for too long at the end."""


def in_lanes(compute: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """The results in order.

    While lanes are under way, PyTorch computes with one thread per caller in the whole process; afterwards with as many as before.

    Args:
        compute: Called from several threads at once if there are enough items, otherwise from this thread.
        items: What to compute.

    Example:
        >>> list(in_lanes(str, range(3)))
        ['0', '1', '2']
    """
    threads = torch.get_num_threads()
    if threads == 1 or len(items) < LEAST_PER_LANE * threads:
        yield from map(compute, items)
        return

    def alone(item: Item) -> Result:
        torch.set_num_threads(1)
        return compute(item)

    try:
        with ThreadPoolExecutor(threads) as pool:
            yield from pool.map(alone, items)
    finally:
        torch.set_num_threads(threads)
