"""A tiny model, a tiny task and their data."""

import numpy as np
import pytest

from bertsmith.core.types import Example
from bertsmith.data.store import FeatureStore
from bertsmith.models import Checkpoint, create
from bertsmith.tasks.single import SingleSentence
from bertsmith.text.tokenizer import Tokenizer

WORDS = "good bad fine poor film book food room staff price was is very not and but 好 坏 很 不".split()
TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
}


@pytest.fixture
def tokenizer() -> Tokenizer:
    return Tokenizer.from_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])


@pytest.fixture
def task() -> SingleSentence:
    return SingleSentence(labels=("bad", "good"))


@pytest.fixture
def examples() -> list[Example]:
    """40 texts of 1 to 12 words; the label is whether "good" stands in them."""
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.choice(WORDS, size=generator.integers(1, 13))) for _ in range(40)]
    return [Example({"text": text, "label": "good" if "good" in text else "bad"}) for text in texts]


@pytest.fixture
def rows(task: SingleSentence, examples: list[Example], tokenizer: Tokenizer) -> FeatureStore:
    return FeatureStore.build(task.encode(examples, tokenizer))


def tiny_model(tokenizer: Tokenizer, *, dropout: float = 0.1, **heads: int) -> Checkpoint:
    """A BERT small enough to train in a second."""
    config = {**TINY, "hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    return create("bert", tokenizer, config, heads or {"classification": 2}, seed=3)
