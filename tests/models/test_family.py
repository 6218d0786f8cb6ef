"""What a `config.json` may say, and what is answered if it says anything else."""

import dataclasses
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertsmith.core.errors import CheckpointError
from bertsmith.layers.activations import ACTIVATIONS
from bertsmith.models.bert import Bert
from bertsmith.models.family import DESCRIPTIVE, Family, families
from bertsmith.models.roberta import Roberta, XlmRoberta

SMALL = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12, "max_position_embeddings": 12}
UNKNOWN = "and what it does to the model is not known; expected is a configuration without it: take the key out if it only describes"
KINDS = [Bert, Roberta, XlmRoberta]


def problems(config: dict[str, Any], kind: type[Family] = Bert) -> tuple[str, ...]:
    with pytest.raises(CheckpointError, match=rf"config.json describes a {kind.model_type} model that cannot be built") as caught:
        kind.from_config(config)
    return caught.value.problems


def test_the_families_are_found_by_their_model_type():
    assert {name: kind.model_type for name, kind in families.items()} == {name: name for name in families}
    assert {"bert", "roberta", "xlm-roberta"} <= set(families)


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_are_the_published_ones(kind: type[Family]):
    family = kind.from_config({})
    base = {"bert": 109_482_240, "roberta": 124_055_040, "xlm-roberta": 277_453_056}  # the published models without their poolers' 590,592
    published = {"bert": 30522, "roberta": 50265, "xlm-roberta": 250002}
    assert family.vocab_size == published[kind.model_type]
    with torch.device("meta"):
        model = family.build_model({})
    assert model.num_parameters == base[kind.model_type] - (590_592 if kind is Bert else 0)
    assert family.max_length == 512


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(KINDS),
    st.integers(1, 4),
    st.integers(1, 8),
    st.floats(0, 1),
    st.sampled_from(sorted(ACTIVATIONS)),
    st.none() | st.floats(0, 1),
    st.integers(0, 3),
)
def test_a_configuration_goes_there_and_back(
    kind: type[Family], layers: int, heads: int, dropout: float, activation: str, classifier_dropout: float | None, padding: int
):
    config = {
        **SMALL,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "hidden_size": 3 * heads,
        "hidden_dropout_prob": dropout,
        "hidden_act": activation,
        "classifier_dropout": classifier_dropout,
        "pad_token_id": padding,
    }
    family = kind.from_config(config)
    assert config.items() <= family.to_config().items()
    assert kind.from_config(family.to_config()) == family


def test_keys_that_are_null_have_their_defaults():
    assert Bert.from_config({"layer_norm_eps": None, "classifier_dropout": None}) == Bert()


def test_everything_that_is_wrong_is_said_at_once():
    found = problems(
        {"vocab_size": "many", "hidden_size": 7.5, "is_decoder": True, "hidden_act": 3, "rotary_base": 10000.0, "num_hidden_layers": True}
    )
    assert found == (
        "vocab_size is 'many'; it must be a whole number",
        "hidden_size is 7.5; it must be a whole number",
        "hidden_act is 3; it must be a string",
        "num_hidden_layers is True; it must be a whole number",
        "is_decoder is True, which changes what the model computes; built: False",
        f"rotary_base is 10000.0, {UNKNOWN}",
    )


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"vocab_size": 0}, "vocab_size is 0; it must be at least 1"),
        ({"num_hidden_layers": -1}, "num_hidden_layers is -1; it must be at least 1"),
        ({"pad_token_id": -1}, "pad_token_id is -1; it must be at least 0"),
        ({"hidden_dropout_prob": 1.5}, "hidden_dropout_prob is 1.5; it must be between 0 and 1"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps is nan; it must be between 0 and 1"),
        ({"classifier_dropout": "much"}, "classifier_dropout is 'much'; it must be a number or null"),
        ({"classifier_dropout": 2.0}, "classifier_dropout is 2.0; it must be between 0 and 1"),
        ({"hidden_act": "swiglu"}, f"hidden_act is 'swiglu'; known: {', '.join(ACTIVATIONS)}"),
        ({"hidden_size": 770}, "hidden_size is 770; it must be a multiple of num_attention_heads, which is 12"),
        ({"max_position_embeddings": 0}, "max_position_embeddings is 0; it must be at least 1"),
        ({"intermediate_size": [3072]}, "intermediate_size is [3072]; it must be a whole number"),
    ],
)
def test_impossible_values_are_refused(config: dict[str, Any], problem: str):
    assert problem in problems(config)


@pytest.mark.parametrize("value", [0, 1, 0.5])
def test_whole_numbers_pass_for_shares(value: float):
    assert Bert.from_config({"hidden_dropout_prob": value, "classifier_dropout": value}).head_dropout == value


def test_a_roberta_without_a_position_for_a_token_is_refused():
    [problem] = problems({"max_position_embeddings": 2, "pad_token_id": 1}, Roberta)
    assert problem == "max_position_embeddings is 2; no position is left for a token"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("position_embedding_type", "relative_key_query"),
        ("is_decoder", True),
        ("is_encoder_decoder", True),
        ("add_cross_attention", True),
        ("tie_word_embeddings", False),
        ("pruned_heads", {"0": [1]}),
        ("embedding_size", 128),
        ("num_hidden_groups", 1),
        ("norm_placement", "pre"),
        ("ln_type", "preln"),
        ("layer_norm_type", "rms"),
        ("attention_kind", "sparse"),
        ("use_rotary", True),
        ("quantization_config", {"bits": 4}),
        ("rope_scaling", {"type": "linear", "factor": 2.0}),
        ("auto_map", {"AutoModel": "modeling.Own"}),
        ("skipped_layers", [3]),
    ],
)
def test_a_key_that_changes_the_arithmetic_is_refused(key: str, value: Any):
    [problem] = problems({key: value})
    assert problem.startswith(f"{key} is {value!r}, ")


def test_keys_that_only_describe_are_passed_over():
    empty = {"a_list": [], "cell": {}, "switched_off": False, "unset": None, "none_of_it": 0, "pre_trained": ""}
    texts = ["some_note", "name", "base_model", "training_data", "tokenizer_version", "_commit_hash", "sbert_ce_default_activation_function"]
    config = dict.fromkeys(DESCRIPTIVE, 7) | empty | dict.fromkeys(texts, "text") | {"_seen": 3, "languages": ["zh"]}
    config["pad_token_id"] = 0
    assert Bert.from_config(config) == Bert()


def test_what_is_not_built_and_what_is_impossible_are_said_together():
    found = problems({"is_decoder": True, "hidden_size": 7, "num_attention_heads": 2, "num_hidden_layers": 0})
    assert [problem.split()[0] for problem in found] == ["is_decoder", "num_hidden_layers", "hidden_size"]


def test_a_key_that_is_misspelt_is_told_from_one_that_is_not_known():
    [problem] = problems({"hiden_act": "relu"})
    assert "hiden_act is 'relu', and what it does to the model is not known (did you mean 'hidden_act'?)" in problem


def test_a_head_that_a_family_does_not_have_is_refused_by_name():
    with pytest.raises(
        CheckpointError, match=r"roberta models have no head 'nsp'; they have: mlm, classification, choice, tagging, crf, span, pooler"
    ):
        Roberta().build_model({"nsp": 0})


class TestReinitialising:
    def model(self, heads: dict[str, int]):
        return Bert(**{**SMALL, "hidden_size": 32, "initializer_range": 0.5}).build_model(heads)  # pyright: ignore[reportArgumentType]

    def test_matrices_are_normal_biases_zero_and_norms_one(self):
        model = self.model({"mlm": 0, "classification": 3})
        with torch.no_grad():
            for weight in model.parameters():
                weight.fill_(float("nan"))
        model.reinitialise(torch.Generator().manual_seed(1))
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                assert abs(weight.mean()) < 0.3, name
                assert weight.std().item() == pytest.approx(0.5, rel=0.25), name
            else:
                assert (weight == (1.0 if "norm.weight" in name else 0.0)).all(), name

    def test_the_same_seed_gives_the_same_weights(self):
        first, second, other = (self.model({}) for _ in range(3))
        for model, seed in ((first, 1), (second, 1), (other, 2)):
            model.reinitialise(torch.Generator().manual_seed(seed))
        assert all(torch.equal(weight, second.state_dict()[name]) for name, weight in first.state_dict().items())
        assert not torch.equal(first.backbone.embeddings.token.weight, other.backbone.embeddings.token.weight)

    def test_a_part_can_be_drawn_afresh_and_the_rest_stays(self):
        model = self.model({"classification": 3})
        before = {name: weight.clone() for name, weight in model.state_dict().items()}
        model.reinitialise(torch.Generator().manual_seed(1), model.heads["classification"])
        changed = {name for name, weight in model.state_dict().items() if not torch.equal(weight, before[name])}
        assert changed == {name for name in before if name.startswith("heads.classification.")}


def test_a_family_is_a_value():
    assert Bert() == Bert()
    assert hash(Bert()) == hash(Bert())
    with pytest.raises(dataclasses.FrozenInstanceError):
        Bert().vocab_size = 3  # pyright: ignore[reportAttributeAccessIssue]
