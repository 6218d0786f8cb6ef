"""Whatever form a folder of `transformers` has, the converted one opens there with equal outputs and nothing missing; what was changed is said."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bertsmith.models import load
from bertsmith.models.converting import Conversion, convert
from bertsmith.text.tokenizer import Tokenizer
from tests.parity.peers import FAMILIES, OLD_FAMILIES_AND_HEADS, VOCABULARY, assert_close, inputs, peer_model, ragged, save_peer, theirs
from tests.parity.test_folders import reopened

FIRST_HEADS = [(family, kind.heads[1]) for family, kind in FAMILIES.items()]
WEIGHTS = "model.safetensors"


def assert_converted(peer: Any, head: str, folder: Path, out: Path) -> Conversion:
    """Convert, and compare what `transformers` makes of the result with what was given to it."""
    found = convert(str(folder), out)
    again = reopened(out, head, targets=FAMILIES[peer.config.model_type].targets)
    batch = ragged(peer.config.model_type)
    with torch.no_grad():
        assert_close(theirs(again, head, batch), theirs(peer, head, batch))
    assert (out / "tokenizer.json").is_file()
    assert [file.name for file in out.glob("*.safetensors")] == [WEIGHTS]
    return found


def said(found: Conversion, part: str) -> bool:
    return any(part in change for change in found.changes)


def stored(folder: Path, renamed: Callable[[str], str]) -> None:
    save_file({renamed(name): weight for name, weight in load_file(folder / WEIGHTS).items()}, folder / WEIGHTS)


@pytest.mark.parametrize(("family", "head"), FIRST_HEADS)
def test_shards(family: str, head: str, tmp_path: Path):
    peer = peer_model(family, head)
    found = assert_converted(peer, head, save_peer(peer, tmp_path / "old", max_shard_size="10KB"), tmp_path / "new")
    assert said(found, "shards are one file, model.safetensors")


@pytest.mark.parametrize(("family", "head"), FIRST_HEADS)
def test_a_pickle_with_copies_of_tied_weights(family: str, head: str, tmp_path: Path):
    peer = peer_model(family, head)
    folder = save_peer(peer, tmp_path / "old")
    (folder / WEIGHTS).unlink()
    torch.save(peer.state_dict(), folder / "pytorch_model.bin")
    found = assert_converted(peer, head, folder, tmp_path / "new")
    assert said(found, "pickled weights are safetensors")
    copies = load(str(folder)).model.family.head(head).weights.copies
    assert all(any(f"{copy}" in change for change in found.changes) for copy in list(copies)[:1]), "a copy is said to be dropped"


@pytest.mark.parametrize(("family", "head"), [pair for pair in FIRST_HEADS if pair in OLD_FAMILIES_AND_HEADS])
def test_names_of_2018(family: str, head: str, tmp_path: Path):
    peer = peer_model(family, head)
    folder = save_peer(peer, tmp_path / "old")
    stored(folder, lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"))
    assert said(assert_converted(peer, head, folder, tmp_path / "new"), "LayerNorm.gamma is ")


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod."])
@pytest.mark.parametrize(("family", "head"), FIRST_HEADS)
def test_names_that_a_wrapper_has_left(family: str, head: str, wrapper: str, tmp_path: Path):
    peer = peer_model(family, head)
    folder = save_peer(peer, tmp_path / "old")
    stored(folder, lambda name: f"{wrapper}{name}")
    assert said(assert_converted(peer, head, folder, tmp_path / "new"), "have their present names")


def keras(name: str, weight: Tensor) -> tuple[str, Tensor]:
    """A weight of BERT as Keras stores it."""
    kernel = weight.ndim == 2 and (".dense." in name or ".self." in name)
    stem, _, last = name.rpartition(".")
    last = "kernel" if kernel else {"weight": "gamma", "bias": "beta"}[last] if "LayerNorm" in stem else last
    path = stem.replace(".", "/").replace("layer/", "layer_._").replace("cls/", "mlm___cls/")
    return f"{path}/{'embeddings' if 'position' in stem else last}:0", weight.t().contiguous() if kernel else weight


def test_paths_of_keras_and_kernels_on_their_sides(tmp_path: Path):
    peer = peer_model("bert", "mlm")
    folder = save_peer(peer, tmp_path / "old")
    weights = dict(keras(name, weight) for name, weight in load_file(folder / WEIGHTS).items())
    assert {"bert/encoder/layer_._1/attention/self/query/kernel:0", "mlm___cls/predictions/bias:0"} <= weights.keys()
    save_file(weights, folder / WEIGHTS, metadata={"format": "tf"})
    assert_converted(peer, "mlm", folder, tmp_path / "new")


def test_half_precision_and_a_tokenizer_of_one_file(tmp_path: Path):
    peer = peer_model("bert", "mlm").to(torch.bfloat16)
    folder = save_peer(peer, tmp_path / "old")
    (folder / "tokenizer.json").unlink()
    found = assert_converted(peer.float(), "mlm", folder, tmp_path / "new")
    assert said(found, "weights were bfloat16, and are float32")
    assert said(found, "tokenizer.json was made from the tokenizer's other files")
    before, after = (Tokenizer.from_folder(place) for place in (folder, tmp_path / "new"))
    assert before.encode("the 人models").input_ids.tolist() == after.encode("the 人models").input_ids.tolist()


def test_what_belongs_to_a_model_is_taken_over_and_what_does_not_is_named(tmp_path: Path):
    peer = peer_model("bert", "mlm")
    folder = save_peer(peer, tmp_path / "old")
    for name in ("README.md", "LICENSE", "generation_config.json"):
        (folder / name).write_text("{}")
    (folder / "tf_model.h5").write_text("x")
    (folder / "1_Pooling").mkdir()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "finetuning_task": "sst2", "pooler_num_fc_layers": 3, "eos_token_id": 7}))
    found = assert_converted(peer, "mlm", folder, tmp_path / "new")
    assert {"README.md", "LICENSE", "generation_config.json"} <= {file.name for file in (tmp_path / "new").iterdir()}
    assert said(found, "left behind: 1_Pooling/, tf_model.h5")
    [config_change] = [change for change in found.changes if "config.json no longer has" in change]
    assert config_change.startswith("config.json no longer has finetuning_task, id2label, label2id: ")
    content = json.loads((tmp_path / "new" / "config.json").read_text())
    assert (content["eos_token_id"], content["pooler_num_fc_layers"]) == (7, 3)


def test_a_clean_folder_stays_as_it_is(tmp_path: Path):
    peer = peer_model("bert", "mlm")
    convert(str(save_peer(peer, tmp_path / "old")), tmp_path / "new")
    again = convert(str(tmp_path / "new"), tmp_path / "newest")
    assert again.changes == ()
    assert (tmp_path / "new" / WEIGHTS).read_bytes() == (tmp_path / "newest" / WEIGHTS).read_bytes()
    assert inputs(ragged("bert"))["input_ids"].max() < len(VOCABULARY)
