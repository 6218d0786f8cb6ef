"""Several processes on one run (`torchrun`, `accelerate launch`): all of them train, the first of them writes.

Every process reads the same recipe and the same data and decides the same; what one writes and another reads has a meeting point in between.
"""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from accelerate import PartialState

PATIENCE = timedelta(days=1)
"""How long a process waits for another: the first may have raw text to encode for hours, and PyTorch gives up after minutes."""


def is_first() -> bool:
    """Whether this process is the one that writes; the only one always is."""
    return _state().is_main_process


def device() -> torch.device:
    """What this process computes on."""
    found = _state().device
    assert found is not None, "a state knows its device"
    return found


def meet() -> None:
    """Wait until all processes are here."""
    _state().wait_for_everyone()


def first_goes_first() -> AbstractContextManager[None]:
    """A block that the first process leaves before the others enter it, and find done what it has done."""
    return _state().main_process_first()


@contextmanager
def own_folder(folder: Path) -> Generator[Path]:
    """A folder to write to: the one that is named for the first process, one that is thrown away for the others."""
    if is_first():
        yield folder
        return
    with TemporaryDirectory() as name:
        yield Path(name)


def _state() -> PartialState:
    """What accelerate knows of the processes. Whoever asks it first says whether they run on the processor; its own guess is no."""
    return PartialState(cpu=not torch.accelerator.is_available(), timeout=PATIENCE)
