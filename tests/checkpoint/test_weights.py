"""Names of weights, both ways."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.checkpoint.weights import WeightTable, modern_name, with_base_prefix

TABLE = WeightTable(
    {"blocks.{}.output.{}": "m.layer.{}.out.dense.{}", "blocks.{}.{}.{}": "m.layer.{}.self.{}.{}", "bias": "m.bias"},
    ignored=("m.position_ids",),
    copies={"m.decoder": "m.token"},
)
PART = st.from_regex(r"[a-z0-9_]{1,5}", fullmatch=True)


@given(PART, PART, PART)
def test_names_go_there_and_back(layer: str, part: str, last: str):
    for ours in (f"blocks.{layer}.output.{last}", f"blocks.{layer}.{part}.{last}", "bias"):
        theirs = TABLE.theirs(ours)
        assert theirs is not None
        assert TABLE.ours(theirs) == ours


def test_the_first_rule_that_fits_decides():
    assert TABLE.theirs("blocks.0.output.weight") == "m.layer.0.out.dense.weight"
    assert TABLE.theirs("blocks.0.query.weight") == "m.layer.0.self.query.weight"


@pytest.mark.parametrize("name", ["m.layer.0.self.query", "m.layer.0.self.query.weight.more", "m.layer..self.query.weight", "mxbias", "am.bias", ""])
def test_a_placeholder_stands_for_exactly_one_part(name: str):
    assert TABLE.ours(name) is None


def test_what_carries_nothing_of_its_own_is_known():
    assert TABLE.ignores("m.position_ids")
    assert TABLE.ignores("m.decoder")
    assert not TABLE.ignores("m.bias")


def test_tables_are_joined_and_moved():
    moved = TABLE.under("backbone") | WeightTable({"output": "head"}, ignored=("old",), copies={"a": "b"}).under("heads.x")
    assert moved.theirs("backbone.bias") == "m.bias"
    assert moved.theirs("heads.x.output") == "head"
    assert moved.theirs("bias") is None
    assert moved.ignores("old")
    assert moved.copies == {"m.decoder": "m.token", "a": "b"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a.LayerNorm.gamma", "a.LayerNorm.weight"),
        ("a.LayerNorm.beta", "a.LayerNorm.bias"),
        ("a.beta.weight", "a.beta.weight"),
        ("gamma_rays", "gamma_rays"),
    ],
)
def test_norms_by_their_first_names(old: str, new: str):
    assert modern_name(old) == new


def test_a_bare_encoders_names_get_its_own_in_front_and_heads_do_not():
    names = ["embeddings.a", "encoder.b", "cls.predictions.bias", "classifier.weight", "lm_head.bias", "qa_outputs.bias"]
    assert with_base_prefix(names, "bert") == {
        "embeddings.a": "bert.embeddings.a",
        "encoder.b": "bert.encoder.b",
        **{name: name for name in names[2:]},
    }
    assert with_base_prefix(["bert.a", "cls.b", "odd"], "bert") == {"bert.a": "bert.a", "cls.b": "cls.b", "odd": "odd"}


class TestStoredForms:
    TABLE = WeightTable(
        {"q": "h.{}.qkv.q"},
        joined={"h.{}.qkv.{}": tuple(f"h.{{}}.qkv.{part}.{{}}" for part in "qkv")},
        transposed=("h.{}.qkv.weight", "h.{}.out.weight"),
    )

    def test_there_and_back(self):
        stored = {
            "h.0.qkv.weight": torch.arange(12.0).view(2, 6),
            "h.0.qkv.bias": torch.arange(6.0),
            "h.0.out.weight": torch.arange(6.0).view(2, 3),
            "other": torch.ones(3),
        }
        upright = self.TABLE.unfold(stored)
        assert torch.equal(upright["h.0.qkv.k.weight"], torch.tensor([[2.0, 8.0], [3.0, 9.0]]))
        assert torch.equal(upright["h.0.qkv.v.bias"], torch.tensor([4.0, 5.0]))
        assert upright["h.0.out.weight"].shape == (3, 2)
        again = self.TABLE.fold(upright)
        assert list(again) == list(stored)
        assert all(torch.equal(again[name], weight) for name, weight in stored.items())

    def test_ignored_names_are_templates(self):
        assert WeightTable({}, ignored=("h.{}.attn.bias",)).ignores("h.11.attn.bias")
        assert not WeightTable({}, ignored=("h.{}.attn.bias",)).ignores("h.11.attn.weight")
