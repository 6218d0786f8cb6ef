import copy

import pytest
import torch
from torch import nn

from bertsmith.models import Checkpoint, create
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.tuning import tunings
from bertsmith.tuning.frozen import Frozen
from bertsmith.tuning.layer_decay import LayerDecay
from bertsmith.tuning.lora import Lora, LoraLinear

CONFIG = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 32}


@pytest.fixture
def checkpoint() -> Checkpoint:
    tokenizer = Tokenizer.from_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "好", "坏"])
    return create("bert", tokenizer, CONFIG, {"classification": 2, "mlm": 0}, seed=1)


@pytest.mark.parametrize("name", list(tunings))
def test_groups_hold_every_trainable_parameter_once(name, checkpoint):
    tuning = tunings[name]()
    tuning.apply(checkpoint.model)
    grouped = [id(parameter) for group in tuning.parameter_groups(checkpoint.model, 1e-3, 0.01) for parameter in group["params"]]
    trainable = [id(parameter) for parameter in checkpoint.model.parameters() if parameter.requires_grad]
    assert sorted(grouped) == sorted(trainable)


@pytest.mark.parametrize("name", list(tunings))
def test_vectors_are_not_decayed(name, checkpoint):
    tuning = tunings[name]()
    tuning.apply(checkpoint.model)
    for group in tuning.parameter_groups(checkpoint.model, 1e-3, 0.01):
        assert all((parameter.ndim > 1) == (group["weight_decay"] == 0.01) for parameter in group["params"])


def test_every_layer_learns_more_slowly_than_the_one_above(checkpoint):
    groups = LayerDecay(decay=0.5).parameter_groups(checkpoint.model, 1.0, 0.0)
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    model = checkpoint.model
    assert {rates[id(parameter)] for parameter in model.heads.parameters()} == {1.0}
    for depth, block in enumerate(reversed(model.backbone.blocks), start=1):
        assert {rates[id(parameter)] for parameter in block.parameters()} == {0.5**depth}
    assert {rates[id(parameter)] for parameter in model.backbone.embeddings.parameters()} == {0.5**4}


def test_all_blocks_are_frozen_by_default(checkpoint):
    Frozen().apply(checkpoint.model)
    assert not any(parameter.requires_grad for parameter in checkpoint.model.backbone.parameters())
    assert all(parameter.requires_grad for parameter in checkpoint.model.heads.parameters())


def test_more_frozen_layers_than_there_are_is_said(checkpoint):
    with pytest.raises(ValueError, match="layers is 4, and the model has 3 blocks"):
        Frozen(layers=4).apply(checkpoint.model)


def test_a_changed_layer_computes_what_the_paper_says():
    linear = nn.Linear(2, 2, bias=False)
    layer = LoraLinear(linear, rank=1, scale=2.0, dropout=0.0)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        layer.down.copy_(torch.tensor([[1.0, 1.0]]))
        layer.up.copy_(torch.tensor([[3.0], [0.0]]))
    inputs = torch.tensor([[1.0, 2.0]])
    # W x + scale * up (down x) = (1, 2) + 2 * (3 * 3, 0)
    assert layer(inputs).tolist() == [[19.0, 2.0]]
    assert layer.merged()(inputs).tolist() == [[19.0, 2.0]]


def test_a_new_change_changes_nothing(checkpoint):
    before = copy.deepcopy(checkpoint.model).eval()
    Lora(rank=2, targets=("query", "key", "value", "output", "widen", "narrow")).apply(checkpoint.model)
    replaced = [module for module in checkpoint.model.modules() if isinstance(module, LoraLinear)]
    assert len(replaced) == 3 * 6
    hidden = torch.randn(4, 16)
    for old, new in zip(before.backbone.blocks, checkpoint.model.eval().backbone.blocks, strict=True):
        torch.testing.assert_close(new.feed_forward(hidden), old.feed_forward(hidden))


def test_only_the_changes_and_the_heads_are_trained(checkpoint):
    Lora(rank=2).apply(checkpoint.model)
    for name, parameter in checkpoint.model.named_parameters():
        assert parameter.requires_grad == (name.endswith((".down", ".up")) or name.startswith("heads."))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Lora(rank=0), "rank is 0"),
        (lambda: Lora(alpha=0.0), "alpha is 0.0; it must be greater than 0"),
        (lambda: Lora(targets=()), "targets is empty; name at least one of key"),
        (lambda: Lora(dropout=1.0), "dropout is 1.0"),
        (lambda: Lora(targets=("query", "q")), "targets has q; known: key"),
        (lambda: LayerDecay(decay=1.5), "decay is 1.5"),
        (lambda: Frozen(layers=-2), "layers is -2"),
    ],
)
def test_impossible_options_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
