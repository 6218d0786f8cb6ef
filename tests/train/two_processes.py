"""A training by two processes, of whose last batch, of one row, one of them gets nothing; see `test_two_processes_give_the_losses_of_one`."""

import sys
from pathlib import Path

import torch.distributed

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.train.killed import main

if __name__ == "__main__":
    main(Path(sys.argv[1]), dropout=0.0, epochs=2, batch_size=13)
    torch.distributed.destroy_process_group()
