"""What the tests of tasks share: a tokenizer, examples, and a model that says what it is told to say."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from bertsmith.core.types import Batch, Example, Features
from bertsmith.models import create
from bertsmith.models.family import Model
from bertsmith.tasks import Task
from bertsmith.text.tokenizer import Tokenizer

TOKENIZER = Tokenizer.from_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghij", "好", "差"])
SMALL = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 128}


def examples(*rows: dict[str, Any]) -> list[Example]:
    return [Example(row, "train.tsv", line) for line, row in enumerate(rows, 2)]


def labelled(*labels: Any) -> list[Example]:
    return examples(*({"text": "a b", "label": label} for label in labels))


def batch_of(task: Task, rows: Iterable[Example]) -> tuple[Batch, Sequence[Features]]:
    features = list(task.encode(rows, TOKENIZER))
    return task.collate(features, [np.random.default_rng(0)] * len(features), TOKENIZER), features


def saying(*scores: float) -> Model:
    """A model whose classification head gives these scores to every text."""
    model = create("bert", TOKENIZER, SMALL, {"classification": len(scores)}).model
    output = model.heads["classification"].get_submodule("output")
    with torch.no_grad():
        output.get_parameter("weight").zero_()
        output.get_parameter("bias").copy_(torch.tensor(scores))
    return model
