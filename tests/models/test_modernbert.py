"""How the two spellings of ModernBERT's `config.json` are read, and what of it is refused."""

from typing import Any

import pytest
import torch

from bertsmith.core.errors import CheckpointError
from bertsmith.layers.attention import Sight
from bertsmith.layers.rotary import Rotary
from bertsmith.models.modernbert import ModernBert

NEAR, WHOLE = "sliding_attention", "full_attention"
BASE: dict[str, Any] = {
    "architectures": ["ModernBertForMaskedLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 50281,
    "classifier_activation": "gelu",
    "classifier_bias": False,
    "classifier_dropout": 0.0,
    "classifier_pooling": "mean",
    "cls_token_id": 50281,
    "decoder_bias": True,
    "deterministic_flash_attn": False,
    "embedding_dropout": 0.0,
    "eos_token_id": 50282,
    "global_attn_every_n_layers": 3,
    "global_rope_theta": 160000.0,
    "gradient_checkpointing": False,
    "hidden_activation": "gelu",
    "hidden_size": 768,
    "initializer_cutoff_factor": 2.0,
    "initializer_range": 0.02,
    "intermediate_size": 1152,
    "layer_norm_eps": 1e-05,
    "local_attention": 128,
    "local_rope_theta": 10000.0,
    "max_position_embeddings": 8192,
    "mlp_bias": False,
    "mlp_dropout": 0.0,
    "model_type": "modernbert",
    "norm_bias": False,
    "norm_eps": 1e-05,
    "num_attention_heads": 12,
    "num_hidden_layers": 22,
    "pad_token_id": 50283,
    "position_embedding_type": "absolute",
    "sep_token_id": 50282,
    "tie_word_embeddings": True,
    "torch_dtype": "float32",
    "transformers_version": "4.47.0.dev0",
    "vocab_size": 50368,
}
LARGE = {**BASE, "hidden_size": 1024, "intermediate_size": 2624, "num_attention_heads": 16, "num_hidden_layers": 28}
MULTILINGUAL = {
    **{key: value for key, value in BASE.items() if key not in {"global_attn_every_n_layers", "global_rope_theta", "local_rope_theta"}},
    "layer_types": [NEAR if layer % 3 else WHOLE for layer in range(22)],
    "local_attention": 128,
    "mask_token_id": 4,
    "pad_token_id": 0,
    "position_embedding_type": "sans_pos",
    "rope_parameters": {kind: {"rope_theta": 160000, "rope_type": "default"} for kind in (WHOLE, NEAR)},
    "sparse_pred_ignore_index": -100,
    "unk_token_id": 3,
    "vocab_size": 256000,
}


@pytest.mark.parametrize(("config", "millions"), [(BASE, 149.0), (LARGE, 394.8), (MULTILINGUAL, 306.9)], ids=["base", "large", "mmBERT-base"])
def test_published_configurations_are_built(config: dict[str, Any], millions: float):
    with torch.device("meta"):
        model = ModernBert.from_config(config).build_model({})
    assert model.family.max_length == 8192
    assert model.num_parameters / 1e6 == pytest.approx(millions, abs=0.5)


def test_layers_look_and_turn_as_their_kind_does():
    with torch.device("meta"):
        blocks = ModernBert.from_config({**BASE, "num_hidden_layers": 5, "local_attention": 9}).build().blocks
    assert [block.attention.sight for block in blocks] == [Sight(), Sight(window=4), Sight(window=4), Sight(), Sight(window=4)]
    assert [block.attention.rotary for block in blocks] == [Rotary(160000.0 if layer in {0, 3} else 10000.0) for layer in range(5)]


@pytest.mark.parametrize(("every", "layers"), [(1, 4), (2, 5), (3, 22), (4, 6), (4, 4)])
def test_a_list_of_layers_is_the_number_between_them(every: int, layers: int):
    kinds = [NEAR if layer % every else WHOLE for layer in range(layers)]
    read = ModernBert.from_config({"layer_types": kinds, "num_hidden_layers": layers, "global_attn_every_n_layers": 7})
    assert [NEAR if layer % read.global_attn_every_n_layers else WHOLE for layer in range(layers)] == kinds


def test_without_a_list_the_number_counts():
    assert ModernBert.from_config({"global_attn_every_n_layers": 5}).global_attn_every_n_layers == 5


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"layer_types": [WHOLE, NEAR]}, "first of 22 layers"),
        ({"layer_types": [NEAR, WHOLE], "num_hidden_layers": 2}, "layer_types is"),
        ({"layer_types": "full_attention"}, "layer_types is 'full_attention'"),
        ({"rope_parameters": {WHOLE: {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}}}, "'yarn'"),
        ({"rope_parameters": {WHOLE: {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}}, "partial_rotary_factor"),
        ({"rope_parameters": {"rope_theta": 1e4}}, "for 'rope_theta'"),
        ({"rope_parameters": "default"}, "'default'"),
        ({"rope_parameters": {NEAR: {"rope_theta": "large"}}}, "local_rope_theta is 'large'"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling"),
        ({"global_rope_theta": 0.5}, "global_rope_theta is 0.5; it must be at least 1"),
        ({"decoder_bias": False}, "decoder_bias is False"),
        ({"num_attention_heads": 256}, "multiple of 2 * num_attention_heads, which is 512"),
        ({"classifier_pooling": "max"}, "classifier_pooling is 'max'; known: mean, cls"),
        ({"classifier_activation": "swoosh"}, "classifier_activation is 'swoosh'"),
        ({"attention_dropout": 2.0}, "attention_dropout is 2.0; it must be between 0 and 1"),
    ],
)
def test_what_is_not_built_is_named(changes: dict[str, Any], problem: str):
    with pytest.raises(CheckpointError) as error:
        ModernBert.from_config({**BASE, **changes})
    assert any(problem in line for line in error.value.problems), error.value.problems
    assert len(error.value.problems) == 1
