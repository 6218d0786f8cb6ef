"""Trainings that two processes have to stop at the same step; see `test_two_processes_stop_together`."""

import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch.distributed

from bertsmith.core.errors import InterruptedRunError
from bertsmith.core.progress import Silence
from bertsmith.train import Evaluation, loop
from tests.train.killed import job_in


class SignalAt(Silence):
    """A signal to this process alone, while a certain step is being taken."""

    def __init__(self, step: int) -> None:
        self.left = step

    def advance(self, amount: float = 1, **numbers: float) -> None:
        self.left -= bool(numbers)
        if numbers and self.left == 0:
            signal.raise_signal(signal.SIGTERM)


def stop_by_patience(folder: Path) -> None:
    """The first process measures two scores that are worse than the best after two steps, the second one after three."""
    job = job_in(folder / "patience", validated=True, steps=10, batch_size=8, evaluate_every=1, patience=2)
    scores = iter([0.1, 0.2, 0.1, 0.1] if job.accelerator.is_main_process else [0.1, 0.2, 0.3, 0.1, 0.1])
    loop.evaluate = lambda *_, **__: Evaluation({"accuracy": next(scores)})
    done = job.run()
    (folder / f"patience-{job.accelerator.process_index}.txt").write_text(f"{done.steps} steps, stopped early: {done.stopped_early}")


def stop_by_signal(folder: Path) -> None:
    """Only the second process gets the signal."""
    job = job_in(folder / "signal", steps=10, batch_size=8)
    if not job.accelerator.is_main_process:
        job.progress = SignalAt(3)
    try:
        job.run()
    except InterruptedRunError as error:
        (folder / f"signal-{job.accelerator.process_index}.txt").write_text(str(error))


if __name__ == "__main__":
    stop_by_patience(Path(sys.argv[1]))
    stop_by_signal(Path(sys.argv[1]))
    torch.distributed.destroy_process_group()
