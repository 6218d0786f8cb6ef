"""Memory that is freed between memory that is not."""

import os
import subprocess
import sys

import pytest

from bertsmith.core import heap

HOLES = """
from bertsmith.core.heap import give_back

def resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1])

blocks = [bytes(100_000) for _ in range(4_000)]
blocks = blocks[::20]  # the others become holes: the heap cannot shrink from its end
before = resident()
give_back()
print(before - resident(), before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux") or heap.trimmer() is None, reason="the call is one of glibc on Linux")
def test_holes_go_back_to_the_system():
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(10**6)}  # blocks of this size on the heap, as those of a step are
    printed = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True, env=environment).stdout
    given, before = map(int, printed.split())
    assert given > before / 2


def _library_without_it(_: object) -> object:
    return object()


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", _library_without_it)
    heap.trimmer.cache_clear()
    try:
        heap.give_back()
        assert heap.trimmer() is None
    finally:
        heap.trimmer.cache_clear()
