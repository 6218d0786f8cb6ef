"""What several tests share."""

import os
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# Models of a few thousand weights are computed faster by one thread than by several, and several tests run at once. What tests start as a process of
# its own reads the variable; PyTorch is loaded by the time this is read, and is told.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

# A shell that runs the tests in the background has them, and all that they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("everywhere", deadline=None)  # how fast the machine is does not make an example wrong
settings.load_profile("everywhere")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets beside the project (or `$BERTSMITH_DATA`); tests that need it skip where it is missing."""
    folder = Path(os.environ.get("BERTSMITH_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data sets at {folder}; set BERTSMITH_DATA to the folder that holds them")
    return folder
