"""Adapter folders go to `peft` and come back from it, with equal outputs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    BartConfig,
    BartForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from bertsmith.core.errors import CheckpointError
from bertsmith.core.types import Batch
from bertsmith.models import families
from bertsmith.models.family import Model
from bertsmith.models.loading import published_weights
from bertsmith.tuning.lora import Lora, LoraLinear, merge_adapter

SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_labels": 3,
    "type_vocab_size": 2,
    "initializer_range": 0.3,
}
PEERS = {"bert": (BertConfig, BertForSequenceClassification), "roberta": (RobertaConfig, RobertaForSequenceClassification)}

# The peers warn of one another.
pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning"), pytest.mark.filterwarnings("ignore::UserWarning")]


def peer(family: str):
    torch.manual_seed(0)
    config, kind = PEERS[family]
    return kind(config(**SIZES)).eval()


def ours(family: str, theirs) -> Model:
    model = families[family].from_config(theirs.config.to_dict()).build_model({"classification": 3})
    table = model.family.table(["classification"])
    weights = theirs.state_dict()
    model.load_state_dict({name: weights[table.theirs(name) or ""].clone() for name in model.state_dict()})
    return model.eval()


def batch(pad: int) -> Batch:
    generator = torch.Generator().manual_seed(4)
    ids = torch.randint(5, 40, (3, 7), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    return Batch(ids.masked_fill(mask == 0, pad), mask, torch.zeros_like(ids))


def scores(model: Model, inputs: Batch):
    with torch.no_grad():
        return model.heads["classification"](model(inputs))


def their_scores(model, inputs: Batch):
    with torch.no_grad():
        return model(input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, token_type_ids=inputs.token_type_ids).logits


def shaken(model: Model) -> None:
    """As if it had been trained."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_peft_opens_our_adapter_with_equal_outputs(family, tmp_path):
    base = peer(family)
    model = ours(family, base)
    lora = Lora(rank=3, alpha=6.0, targets=("query", "value", "widen", "output"))
    lora.apply(model)
    shaken(model)
    inputs = batch(model.family.pad_token_id)
    expected = scores(model, inputs)
    lora.finish(model, tmp_path, "somewhere/base")
    theirs = PeftModel.from_pretrained(base, str(tmp_path / "adapter")).eval()
    torch.testing.assert_close(their_scores(theirs, inputs), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(scores(model, inputs), expected, atol=1e-5, rtol=1e-4)
    assert not any(isinstance(module, LoraLinear) for module in model.modules())
    assert set(published_weights(model)) == {name for name in peer(family).state_dict() if "position_ids" not in name}


def test_peft_opens_an_adapter_of_encoder_and_decoder(tmp_path):
    sizes = {f"{side}_{size}": 2 for side in ("encoder", "decoder") for size in ("layers", "attention_heads")}
    torch.manual_seed(0)
    base = BartForSequenceClassification(BartConfig(vocab_size=40, d_model=16, encoder_ffn_dim=24, decoder_ffn_dim=24, init_std=0.3, **sizes)).eval()
    model = ours("bart", base)
    Lora(rank=3).apply(model)
    changed = [name for name, part in model.named_modules() if isinstance(part, LoraLinear)]
    assert [sum(part in name for name in changed) for part in ("encoder.", "decoder.", "cross.")] == [4, 8, 4]
    shaken(model)
    inputs = batch(model.family.pad_token_id)
    ids = torch.where(inputs.attention_mask.cumsum(1) == inputs.attention_mask.sum(1, keepdim=True), inputs.attention_mask * 2, inputs.input_ids)
    inputs = replace(inputs, input_ids=ids.masked_fill(inputs.attention_mask == 0, 1))
    expected = scores(model, inputs)
    Lora(rank=3).finish(model, tmp_path, "somewhere/base")
    theirs = PeftModel.from_pretrained(base, str(tmp_path / "adapter")).eval()
    with torch.no_grad():
        found = theirs(input_ids=inputs.input_ids, attention_mask=inputs.attention_mask).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(scores(model, inputs), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["bert", "roberta"])
@pytest.mark.parametrize("rslora", [False, True])
def test_an_adapter_of_peft_is_merged_with_equal_outputs(family, rslora, tmp_path):
    base = peer(family)
    model = ours(family, base)
    config = LoraConfig(
        task_type="SEQ_CLS", r=4, lora_alpha=8, target_modules=["query", "key", "attention.output.dense"], use_rslora=rslora, init_lora_weights=False
    )
    theirs = get_peft_model(base, config).eval()
    theirs.save_pretrained(str(tmp_path))
    inputs = batch(model.family.pad_token_id)
    assert not torch.allclose(scores(model, inputs), their_scores(theirs, inputs), atol=1e-3)
    merge_adapter(model, tmp_path)
    torch.testing.assert_close(scores(model, inputs), their_scores(theirs, inputs), atol=1e-5, rtol=1e-4)


@pytest.fixture
def adapter(tmp_path) -> Path:
    model = ours("bert", peer("bert"))
    lora = Lora(rank=2)
    lora.apply(model)
    lora.finish(model, tmp_path, "base")
    return tmp_path / "adapter"


def test_what_is_not_plain_lora_is_refused_with_all_reasons(adapter):
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "use_dora": True, "bias": "all", "rank_pattern": {"query": 4}}))
    with pytest.raises(CheckpointError, match="use_dora is True") as error:
        merge_adapter(ours("bert", peer("bert")), adapter)
    assert len(error.value.problems) == 3


def test_an_adapter_of_another_shape_changes_nothing_and_lists_what_does_not_fit(adapter):
    family = families["bert"].from_config({**SIZES, "hidden_size": 32})
    model = family.build_model({"classification": 3})
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"does not fit") as error:
        merge_adapter(model, adapter)
    assert any("query.weight" in problem and "[16, 16]" in problem for problem in error.value.problems)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_an_adapter_for_another_family_lists_what_it_does_not_know(adapter):
    with pytest.raises(CheckpointError, match=r"bert\.encoder\.layer\.0\.attention\.self\.query\.weight"):
        merge_adapter(ours("roberta", peer("roberta")), adapter)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_missing_or_cut_off_file_is_named(adapter, name):
    content = (adapter / name).read_bytes()
    (adapter / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=name):
        merge_adapter(ours("bert", peer("bert")), adapter)
    (adapter / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        merge_adapter(ours("bert", peer("bert")), adapter)
