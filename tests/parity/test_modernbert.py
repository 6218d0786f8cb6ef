"""What the tests of all families leave out of ModernBERT: texts longer than the window, both spellings of `config.json`, options, bfloat16."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from bertsmith.core.errors import CheckpointError
from bertsmith.core.types import Batch
from bertsmith.inference.fused import FusedEncoder
from bertsmith.layers import attention
from bertsmith.models import load, save
from bertsmith.models.loading import published_weights
from tests.parity.peers import assert_close, inputs, ours, pair, peer_model, ragged, save_peer, theirs
from tests.parity.test_folders import reopened

PUBLISHED: dict[str, Any] = {
    "global_attn_every_n_layers": 2,
    "global_rope_theta": 500.0,
    "local_rope_theta": 50.0,
    "layer_norm_eps": 1e-12,
    "position_embedding_type": "sans_pos",
}


@pytest.mark.parametrize("side", ["right", "left"])
def test_texts_longer_than_the_window_are_equal_in_pieces_and_with_masks(side: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    both = pair("modernbert", "encoder", tmp_path, local_attention=16, max_position_embeddings=300, num_hidden_layers=4)
    batch = ragged("modernbert", side, lengths=(250, 9, 57, 248))
    monkeypatch.setattr(attention, "FAR", 3)
    with torch.inference_mode():
        expected = theirs(both.peer, "encoder", batch)
        assert_close(ours(both.checkpoint, "encoder", batch), expected)
        fused = FusedEncoder(both.checkpoint.model.backbone).eval()
        assert_close(fused(batch).at(batch.attention_mask.bool()), expected, "fused")


@pytest.mark.parametrize("head", ["mlm", "classification", "tagging"])
@pytest.mark.parametrize(
    "changes",
    [
        {"classifier_pooling": "mean"},
        {"norm_bias": True, "attention_bias": True, "mlp_bias": True, "classifier_bias": True},
        {"classifier_activation": "silu", "hidden_activation": "relu", "norm_eps": 0.1},
        {"layer_types": ["full_attention", "sliding_attention", "full_attention"]},
        {"layer_types": ["full_attention"] * 3},
        {"rope_parameters": {"full_attention": {"rope_theta": 20.0}}},
    ],
    ids=str,
)
def test_options_are_equal(head: str, changes: dict[str, Any], tmp_path: Path):
    both, batch = pair("modernbert", head, tmp_path / "theirs", **changes), ragged("modernbert")
    with torch.no_grad():
        expected = theirs(both.peer, head, batch)
        assert_close(ours(both.checkpoint, head, batch), expected)
        save(both.checkpoint, tmp_path / "ours")
        assert_close(theirs(reopened(tmp_path / "ours", head), head, batch), expected, "written by us")


def test_a_folder_with_the_published_keys_is_equal(tmp_path: Path):
    thetas = {"full_attention": {"rope_theta": 500.0}, "sliding_attention": {"rope_theta": 50.0}}
    kinds = ["full_attention", "sliding_attention", "full_attention"]
    folder = save_peer(peer := peer_model("modernbert", "mlm", layer_types=kinds, rope_parameters=thetas), tmp_path)
    config = json.loads((folder / "config.json").read_text())
    published = {key: value for key, value in config.items() if key not in {"layer_types", "rope_parameters"}} | PUBLISHED
    (folder / "config.json").write_text(json.dumps(published))
    checkpoint, batch = load(str(folder)), ragged("modernbert")
    with torch.no_grad():
        assert_close(ours(checkpoint, "mlm", batch), theirs(peer, "mlm", batch))
    assert {key: getattr(checkpoint.model.family, key) for key in list(PUBLISHED)[:3]} == {key: PUBLISHED[key] for key in list(PUBLISHED)[:3]}


def test_weights_come_back_with_the_same_bits(tmp_path: Path):
    both = pair("modernbert", "mlm", tmp_path)
    saved, stored = published_weights(both.checkpoint.model), both.peer.state_dict()
    assert saved.keys() == stored.keys() - {"decoder.weight"}
    assert all(torch.equal(weight, stored[name]) for name, weight in saved.items())


@pytest.mark.parametrize("fused", [True, False])
def test_bfloat16_is_within_its_rounding(fused: bool, tmp_path: Path):
    """Not farther from float32 than the peer is, in bfloat16 itself."""
    both, batch = pair("modernbert", "encoder", tmp_path), ragged("modernbert")
    real = batch.attention_mask.bool()
    with torch.inference_mode():
        exact = theirs(both.peer, "encoder", batch)
        if fused:
            mine = FusedEncoder(both.checkpoint.model.backbone, torch.bfloat16).eval()(batch).at(real)
        else:
            mine = both.checkpoint.model.to(torch.bfloat16)(batch).at(real).float()
        rounded = both.peer.to(torch.bfloat16)(**inputs(batch, both.peer)).last_hidden_state[real].float()
    assert not torch.equal(mine, exact)
    assert (mine - exact).norm() < 1.3 * (rounded - exact).norm()
    assert F.cosine_similarity(mine.flatten(), exact.flatten(), dim=0) > 0.999


def test_a_head_is_guessed_where_no_architecture_is_named(tmp_path: Path):
    folder = save_peer(peer_model("modernbert", "tagging"), tmp_path)
    config = json.loads((folder / "config.json").read_text())
    assert load(str(folder)).stored_heads == {"tagging"}
    (folder / "config.json").write_text(json.dumps({**config, "architectures": None}))
    assert load(str(folder)).stored_heads == {"classification"}


def test_a_fresh_head_takes_over_what_masked_tokens_taught(tmp_path: Path):
    both = pair("modernbert", "mlm", tmp_path)
    checkpoint = load(str(tmp_path), {"classification": 2})
    assert checkpoint.fresh_heads == {"classification"}
    assert torch.equal(checkpoint.model.heads["classification"].dense.weight, both.checkpoint.model.heads["mlm"].dense.weight)


def test_a_text_that_is_too_long_is_refused(tmp_path: Path):
    checkpoint = pair("modernbert", "encoder", tmp_path).checkpoint
    ids = torch.ones(1, 21, dtype=torch.long)
    with pytest.raises(ValueError, match="longer than the 20"):
        checkpoint.model(Batch(ids, ids, ids * 0))


def test_untied_vocabulary_weights_are_refused(tmp_path: Path):
    folder = save_peer(peer_model("modernbert", "mlm", tie_word_embeddings=False), tmp_path)
    with pytest.raises(CheckpointError, match="tie_word_embeddings"):
        load(str(folder))
