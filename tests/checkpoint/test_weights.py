"""Names of weights, both ways."""

import pytest
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
