"""`python -m bertsmith`, for where no script is installed."""

import sys

from bertsmith.cli.main import run

sys.exit(run())
