"""On genuine weights and real text: equal to transformers, to the ordinary encoder, to itself in other batches."""

import math
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from bertsmith.core.types import Batch
from bertsmith.inference.engine import Engine
from bertsmith.inference.fused import FusedEncoder
from bertsmith.layers.layout import Encoded
from bertsmith.models.loading import Checkpoint
from bertsmith.objectives.base import padded_inputs


@pytest.fixture(scope="module")
def texts(shared_data: Path) -> list[str]:
    with (shared_data / "sst2/dev.txt").open(encoding="utf-8") as file:
        short = [line.strip().partition(" ")[2] for line in islice(file, 24)]
    with (shared_data / "news_commentary_en_zh/sample.tsv").open(encoding="utf-8") as file:
        sentences = [line.partition("\t")[0] for line in islice(file, 40)]
    return [*short, *sentences[:10], " ".join(sentences[:9]), " ".join(sentences)]


def encoded(checkpoint: Checkpoint, model: torch.nn.Module, texts: list[str]) -> Encoded:
    rows = [{"input_ids": one.input_ids} for one in checkpoint.tokenizer.encode_many(texts, max_length=512)]
    with torch.inference_mode():
        return model(Batch(*padded_inputs(rows, checkpoint.tokenizer)))


def test_fused_equals_ordinary(minilm, texts):
    ordinary = encoded(minilm, minilm.model.backbone, texts).padded()
    for onednn_tokens in (0, math.inf) if torch.backends.mkldnn.is_available() else (0,):
        fused = encoded(minilm, FusedEncoder(minilm.model.backbone, onednn_tokens=onednn_tokens, laid_out_after=0), texts).padded()
        assert (ordinary - fused).abs().max() < 1e-5


@pytest.mark.parametrize("limit", [None, 512])
def test_embeddings_are_those_of_sentence_transformers(minilm, minilm_folder, texts, limit):
    """Written down anew: the mean over all tokens, of length 1; where nothing else is asked for, of the 256 tokens that the folder names."""
    from transformers import AutoModel, AutoTokenizer

    texts = texts[-12:]
    tokenizer, model = AutoTokenizer.from_pretrained(minilm_folder), AutoModel.from_pretrained(minilm_folder).eval()
    inputs = tokenizer(texts, padding=True, truncation=True, max_length=limit or 256, return_tensors="pt")
    with torch.inference_mode():
        states = model(**inputs).last_hidden_state
    mask = inputs["attention_mask"].unsqueeze(2)
    expected = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1).numpy()
    assert inputs["attention_mask"].sum(1).max() == (limit or 256), "one of the texts is longer"
    assert np.abs(Engine(minilm, precision="float32").embed(texts, max_length=limit) - expected).max() < 1e-5


def test_batches_change_nothing(minilm, texts):
    whole = Engine(minilm, precision="float32").embed(texts)
    one_each = Engine(minilm, precision="float32", batch_tokens=1).embed(texts)
    assert np.abs(whole - one_each).max() < 1e-5


def test_bfloat16_points_in_the_same_direction(minilm, texts):
    exact, rounded = (Engine(minilm, precision=name).embed(texts[:30]) for name in ("float32", "bfloat16"))
    assert (exact * rounded).sum(1).min() >= 0.999
