"""A tiny random model that knows the characters of the built-in reviews."""

from pathlib import Path

import pytest

from bertsmith.data.sources import DATA
from bertsmith.models.loading import create, save
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import train_vocabulary

TINY = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 128}


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    vocabulary = train_vocabulary((DATA / "reviews" / "train.tsv").read_text(encoding="utf-8").splitlines(), 1500)
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in vocabulary), encoding="utf-8")
    save(create("bert", Tokenizer.from_vocabulary(folder / "vocab.txt"), TINY, {"mlm": 0}), folder / "model")
    return folder / "model"
