"""DistilBERT: dropout acts where it does in `transformers`, and segment ids are of no consequence."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.parity.peers import assert_close, ours, pair, ragged, theirs


@pytest.mark.parametrize(
    ("head", "key"),
    [
        ("encoder", "dropout"),
        ("encoder", "attention_dropout"),
        ("classification", "seq_classif_dropout"),
        ("choice", "seq_classif_dropout"),
        ("span", "qa_dropout"),
        ("tagging", "dropout"),
    ],
)
def test_dropout_acts_in_the_same_places(head: str, key: str, tmp_path: Path):
    """At a rate of 1, where everything is dropped and nothing is left to chance."""
    both = pair("distilbert", head, tmp_path, **{"seq_classif_dropout": 0.0, "qa_dropout": 0.0, key: 1.0})
    both.peer.train()
    both.checkpoint.model.train()
    batch = ragged("distilbert")
    with torch.no_grad():
        dropped = ours(both.checkpoint, head, batch)
        assert_close(dropped, theirs(both.peer, head, batch))
        assert not torch.allclose(dropped, ours(replace(both.checkpoint, model=both.checkpoint.model.eval()), head, batch))


def test_segment_ids_are_not_looked_at(tmp_path: Path):
    both = pair("distilbert", "encoder", tmp_path)
    batch = ragged("distilbert")
    segments = torch.full_like(batch.token_type_ids, 7)
    with torch.no_grad():
        assert torch.equal(ours(both.checkpoint, "encoder", replace(batch, token_type_ids=segments)), ours(both.checkpoint, "encoder", batch))


@pytest.mark.parametrize("sinusoidal", [False, True])
def test_positions_are_read_whatever_they_were_before_training(sinusoidal: bool, tmp_path: Path):
    both = pair("distilbert", "encoder", tmp_path, sinusoidal_pos_embds=sinusoidal)
    batch = ragged("distilbert")
    with torch.no_grad():
        assert_close(ours(both.checkpoint, "encoder", batch), theirs(both.peer, "encoder", batch))
    assert all(weight.requires_grad for weight in both.checkpoint.model.parameters())
