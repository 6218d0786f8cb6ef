"""Training vectors: what belongs together comes together, and a batch whose rows depend on one another goes through the model in one pass."""

import numpy as np
import pytest
import torch

from bertsmith.core.types import Example
from bertsmith.data.store import FeatureStore
from bertsmith.tasks.embedding import Embedding
from bertsmith.tasks.similarity import Similarity
from bertsmith.tasks.vectors import SentenceVectors
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.train import Training, TrainOptions, evaluate
from tests.train.conftest import WORDS, tiny_model

TRANSLATED = dict(zip("good bad fine poor film book food room".split(), "staff price was is very not and but".split(), strict=True))


def pairs() -> list[Example]:
    """Texts of two words, and those of the words that each stands for: nothing but training can tell which belong together."""
    rows = [(first, second) for first in TRANSLATED for second in TRANSLATED if first < second]
    return [Example({"text": " ".join(row), "text_pair": " ".join(TRANSLATED[word] for word in row)}) for row in rows]


def numbered() -> list[Example]:
    """Pairs of texts, and how many words they share."""
    generator = np.random.default_rng(1)
    texts = [generator.choice(WORDS[:8], 3, replace=False) for _ in range(48)]
    return [
        Example({"text": " ".join(one), "text_pair": " ".join(other), "label": len(set(one) & set(other))})
        for one, other in zip(texts[::2], texts[1::2], strict=True)
    ]


def trained(task: SentenceVectors, examples: list[Example], tokenizer: Tokenizer, folder, **options) -> tuple[float, float]:
    """The main metric before and after."""
    task = task.fitted(examples)
    checkpoint, rows = tiny_model(tokenizer, dropout=0.0, pooler=0), FeatureStore.build(task.encode(examples, tokenizer))
    chosen = TrainOptions(**{"epochs": 25, "batch_size": 14, "learning_rate": 5e-3, "precision": "float32", **options})
    before = evaluate(checkpoint.model, task, rows, tokenizer, examples=examples).metrics[task.best_metric]
    Training(model=checkpoint.model, tokenizer=tokenizer, objective=task, rows=rows, options=chosen, seed=1, folder=folder).run()
    return before, evaluate(checkpoint.model, task, rows, tokenizer, examples=examples).metrics[task.best_metric]


@pytest.mark.parametrize("options", [{}, {"symmetric": True}])
def test_texts_learn_to_find_what_belongs_to_them(options, tokenizer, tmp_path):
    before, after = trained(Embedding(**options), pairs(), tokenizer, tmp_path)
    assert before < 0.4
    assert after > 0.9


@pytest.mark.parametrize("criterion", ["cosent", "cosine"])
def test_cosines_learn_to_follow_a_number(criterion, tokenizer, tmp_path):
    before, after = trained(Similarity(criterion=criterion), numbered(), tokenizer, tmp_path)
    assert after > max(0.85, before)


@pytest.mark.parametrize(("task", "same"), [(Embedding(), False), (Similarity(criterion="cosine", minimum=0.0, maximum=3.0), True)])
def test_rows_that_depend_on_one_another_are_computed_together(task, same, tokenizer, tmp_path, monkeypatch):
    """A pass of 20 tokens holds two rows or three; of the task whose negatives are those of the batch, all rows are in one nevertheless."""
    examples = numbered()
    if task.name == "embedding":
        examples = [Example({"text": row["text"], "text_pair": row["text_pair"]}) for row in examples]
    rows = FeatureStore.build(task.encode(examples, tokenizer))
    passes: list[int] = []
    loss = type(task).loss
    monkeypatch.setattr(type(task), "loss", lambda self, model, batch: passes.append(batch.counts[task.name]) or loss(self, model, batch))
    checkpoint = tiny_model(tokenizer, pooler=0)
    chosen = TrainOptions(steps=1, batch_size=24, pass_tokens=20, precision="float32")
    Training(model=checkpoint.model, tokenizer=tokenizer, objective=task, rows=rows, options=chosen, seed=1, folder=tmp_path).run()
    assert passes == ([2] * 12 if same else [24])


def test_a_text_is_its_own_pair_by_another_dropout(tokenizer, tmp_path):
    """Unsupervised SimCSE spreads texts out: in the mean, they are less alike afterwards."""
    texts = [Example({"text": row["text"]}) for row in numbered()]
    task, checkpoint = Embedding(), tiny_model(tokenizer, dropout=0.2, pooler=0)
    rows = FeatureStore.build(task.encode(texts, tokenizer))

    def mean_cosine() -> float:
        checkpoint.model.eval()
        with torch.no_grad():
            vectors = task.unit_vectors(checkpoint.model, task.collate(list(rows), [np.random.default_rng()] * len(rows), tokenizer))[::2]
        return float((vectors @ vectors.T).mean())

    before = mean_cosine()
    options = TrainOptions(epochs=20, batch_size=24, learning_rate=5e-3, precision="float32")
    Training(model=checkpoint.model, tokenizer=tokenizer, objective=task, rows=rows, options=options, seed=1, folder=tmp_path).run()
    assert mean_cosine() < before - 0.1
