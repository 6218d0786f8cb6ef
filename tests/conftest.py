"""What several tests share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

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
