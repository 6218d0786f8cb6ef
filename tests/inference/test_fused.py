"""The fused encoder computes what the ordinary one computes, and steps aside where it cannot."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from bertsmith.core.types import Batch
from bertsmith.inference.fused import FusedEncoder, obstacle
from bertsmith.layers.encoder import Encoder
from bertsmith.models.bert import Bert
from bertsmith.models.gpt2 import Gpt2
from bertsmith.models.modernbert import ModernBert
from bertsmith.models.roberta import Roberta
from bertsmith.tuning.lora import Lora

TINY = {"vocab_size": 50, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40, "max_position_embeddings": 40}


def encoder(family=Bert, **changes):
    """Random weights, far from the symmetric ones that training starts from."""
    sizes = {name: size for name, size in TINY.items() if name in family.__dataclass_fields__}
    model = family(**{**sizes, **changes}).build_model({})
    model.reinitialise(torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model.backbone.eval()


def batch(*lengths: int, pad: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(sum(lengths))
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(5, 50, mask.shape, generator=generator) * mask + pad * (1 - mask)
    return Batch(ids, mask, torch.randint(0, 2, mask.shape, generator=generator) * mask)


@torch.inference_mode()
def difference(ordinary: Encoder, fused: Encoder, inputs: Batch) -> float:
    return (ordinary(inputs).padded() - fused(inputs).padded()).abs().max().item()


@given(lengths=st.lists(st.integers(1, 20), min_size=1, max_size=9))
@settings(max_examples=30, deadline=None)
def test_equals_the_ordinary_encoder_for_any_lengths(lengths):
    ordinary = encoder()
    assert difference(ordinary, FusedEncoder(ordinary), batch(*lengths)) < 1e-5


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu", "silu", "tanh"])
def test_every_activation(activation):
    ordinary = encoder(hidden_act=activation)
    assert difference(ordinary, FusedEncoder(ordinary), batch(3, 7, 7)) < 1e-5


def test_roberta():
    ordinary = encoder(Roberta, type_vocab_size=2)
    assert difference(ordinary, FusedEncoder(ordinary), batch(3, 7, 7, pad=1)) < 1e-5


@pytest.mark.parametrize("tokens", [0, math.inf])
@pytest.mark.parametrize("bias", [False, True])
def test_modernbert(bias, tokens):
    biases = dict.fromkeys(("norm_bias", "attention_bias", "mlp_bias"), bias)
    ordinary = encoder(ModernBert, num_hidden_layers=4, local_attention=6, max_position_embeddings=90, **biases)
    fused, inputs = FusedEncoder(ordinary, onednn_tokens=tokens), batch(90, 3, 7, 90, 1)
    assert obstacle(ordinary) is None
    assert difference(ordinary, fused, inputs) < 1e-5
    with torch.inference_mode():
        assert torch.allclose(fused(inputs, only=inputs.first_tokens()).first(), ordinary(inputs).first(), atol=1e-5)


def test_gpt2():
    ordinary = encoder(Gpt2, n_embd=24, n_layer=2, n_head=3, n_positions=40)
    assert difference(ordinary, FusedEncoder(ordinary), batch(3, 7, 7, 20)) < 1e-5


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch is built without oneDNN")
@pytest.mark.parametrize("tokens", [0, 28, 29, math.inf], ids=["never", "larger", "just", "always"])
def test_whichever_library_multiplies(tokens):
    ordinary = encoder()
    fused = FusedEncoder(ordinary, onednn_tokens=tokens, laid_out_after=0)
    assert difference(ordinary, fused, batch(3, 7, 7, 12)) < 1e-5
    assert ("oneDNN" in fused.multiplied_by) == (tokens > 0)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch is built without oneDNN")
@pytest.mark.parametrize("most", [28, math.inf], ids=["few", "any number"])
def test_weights_are_laid_out_when_there_has_been_enough_to_do(most):
    ordinary = encoder()
    fused = FusedEncoder(ordinary, onednn_tokens=most, laid_out_after=40)
    product = fused._fused[0].widen
    for tokens, laid_out in ((20, False), (20, False), (1, True), (20, True)):
        assert difference(ordinary, fused, batch(tokens)) < 1e-5
        assert (product.laid_out is not None) == laid_out
        assert (product.weight is None) == (laid_out and most == math.inf), "one copy is enough where it serves all"
    assert difference(ordinary, fused, batch(3, 30)) < 1e-5


def test_first_tokens_alone_are_those_of_all():
    ordinary = encoder()
    fused = FusedEncoder(ordinary)
    inputs = batch(9, 2, 5, 5, 1)
    with torch.inference_mode():
        assert fused(inputs, only=inputs.first_tokens()).states.shape == (5, 24)
        assert torch.allclose(fused(inputs, only=inputs.first_tokens()).first(), ordinary(inputs).first(), atol=1e-5)
        assert fused(inputs).states.shape == (22, 24)


@pytest.mark.parametrize("family", [Bert, ModernBert])
def test_chosen_tokens_are_those_of_all(family):
    ordinary = encoder(family)
    fused, inputs = FusedEncoder(ordinary), batch(9, 2, 5, 5, 1)
    chosen = inputs.attention_mask.bool() & (torch.arange(9) % 3 == 1)
    with torch.inference_mode():
        assert len(fused(inputs, only=chosen).states) == chosen.sum() == 8
        assert torch.allclose(fused(inputs, only=chosen).at(chosen), ordinary(inputs).at(chosen), atol=1e-5)


def test_bfloat16_is_close_and_comes_out_as_float32():
    ordinary = encoder()
    with torch.inference_mode():
        exact, rounded = ordinary(batch(9, 4)).padded(), FusedEncoder(ordinary, torch.bfloat16)(batch(9, 4)).padded()
    assert rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    assert F.cosine_similarity(exact.flatten(), rounded.flatten(), dim=0) > 0.999


def test_token_embeddings_can_be_given():
    ordinary = encoder()
    inputs = batch(4, 6)
    given_embeddings = torch.randn(2, 6, 24)
    with torch.inference_mode():
        expected = ordinary(inputs, given_embeddings).padded()
        assert torch.allclose(FusedEncoder(ordinary)(inputs, given_embeddings).padded(), expected, atol=1e-5)
        assert not torch.allclose(ordinary(inputs).padded(), expected, atol=1e-2)


def test_a_batch_longer_than_the_positions_is_refused():
    with pytest.raises(ValueError, match="longer than the 40"):
        FusedEncoder(encoder())(batch(41))


def test_no_obstacle_in_an_encoder_as_it_was_built():
    assert obstacle(encoder()) is None


def test_lora_is_an_obstacle_that_is_named():
    model = Bert(**TINY).build_model({})
    Lora(rank=2).apply(model)
    assert obstacle(model.backbone) == "attention.query of block 0 is a LoraLinear"


def test_another_device_is_an_obstacle():
    with torch.device("meta"):
        assert (
            obstacle(
                Bert(**TINY).build(),
            )
            == "it is on meta"
        )


def test_a_replaced_block_is_an_obstacle():
    edited = encoder()
    edited.blocks[1] = nn.Identity()
    assert obstacle(edited) == "block 1 is a Identity"


def test_weights_of_the_ordinary_encoder_are_not_touched():
    ordinary = encoder()
    before = {name: weight.clone() for name, weight in ordinary.state_dict().items()}
    with torch.inference_mode():
        FusedEncoder(ordinary, torch.bfloat16)(batch(5, 3))
        FusedEncoder(ordinary)(batch(5, 3))
    assert all(np.array_equal(before[name], weight) for name, weight in ordinary.state_dict().items())
