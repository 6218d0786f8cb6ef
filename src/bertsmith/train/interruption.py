"""Stopping between two steps when somebody asks for it, so that the weights that are saved are whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Request:
    """Whether somebody has asked for a stop, and how."""

    name: str = ""

    def __bool__(self) -> bool:
        return bool(self.name)


@contextmanager
def stop_requests() -> Generator[Request]:
    """Note Ctrl-C and SIGTERM instead of obeying at once; the second one is obeyed at once.

    Signals can be handled in the main thread only; elsewhere they keep their usual effect.
    """
    request = Request()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    def note(number: int, _: FrameType | None) -> None:
        if request:
            raise KeyboardInterrupt
        request.name = signal.Signals(number).name

    for number in signals:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
