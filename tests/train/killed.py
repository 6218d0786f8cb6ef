"""A training that is killed from outside; see `test_a_killed_training_goes_on_to_the_same_bits`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch

from bertsmith.core.types import Example
from bertsmith.data.store import FeatureStore
from bertsmith.tasks.single import SingleSentence
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.train import Training, TrainOptions
from tests.train.conftest import WORDS, tiny_model


def job_in(folder: Path, *, dropout: float = 0.1, validated: bool = False, **options) -> Training:
    """A training that is the same in every process."""
    tokenizer = Tokenizer.from_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])
    task = SingleSentence(labels=("bad", "good"))
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.choice(WORDS, size=generator.integers(1, 13))) for _ in range(40)]
    rows = FeatureStore.build(task.encode([Example({"text": text, "label": "good" if "good" in text else "bad"}) for text in texts], tokenizer))
    return Training(
        model=tiny_model(tokenizer, dropout=dropout).model,
        tokenizer=tokenizer,
        objective=task,
        rows=rows,
        valid=rows if validated else None,
        options=TrainOptions(learning_rate=1e-3, precision="float32", **options),
        seed=5,
        folder=folder,
    )


def main(folder: Path, *, dropout: float = 0.1, **options) -> None:
    job = job_in(folder, dropout=dropout, **options)
    print("ready", flush=True)
    job.run(resume=True)
    if job.accelerator.is_main_process:
        torch.save(job.model.state_dict(), folder / "weights.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), epochs=12, batch_size=8, checkpoint_every=0)
