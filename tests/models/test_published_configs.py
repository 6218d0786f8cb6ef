"""Published models open as what they are: by their `config.json`, and by the names that the weights have in their files.

Configurations are written down from the model cards and from what `transformers` logs of them, names from the same logs and from issues on the files.
The classes of `transformers` say which names and shapes there are, and each model below how its file spells them.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor

from bertsmith.checkpoint.weights import with_base_prefix
from bertsmith.core.errors import CheckpointError
from bertsmith.models import Checkpoint, load
from bertsmith.models.family import Family, families
from bertsmith.models.loading import published_weights
from tests.models.test_published import BASE, MODELS, POOLER
from tests.parity.peers import QUESTION, VOCABULARY, assert_close, inputs, ragged, save_peer

Weights = dict[str, Tensor]
Spelling = Callable[[Weights], Weights]

ALBERT = {
    **BASE,
    "bos_token_id": 2,
    "classifier_dropout_prob": 0.1,
    "down_scale_factor": 1,
    "embedding_size": 128,
    "eos_token_id": 3,
    "gap_size": 0,
    "hidden_act": "gelu_new",
    "inner_group_num": 1,
    "layer_norm_eps": 1e-12,
    "layers_to_keep": [],
    "model_type": "albert",
    "net_structure_type": 0,
    "num_hidden_groups": 1,
    "num_memory_blocks": 0,
    "pad_token_id": 0,
}
ELECTRA = {
    **BASE,
    "architectures": ["ElectraForPreTraining"],
    "layer_norm_eps": 1e-12,
    "model_type": "electra",
    "pad_token_id": 0,
    "summary_activation": "gelu",
    "summary_last_dropout": 0.1,
    "summary_type": "first",
    "summary_use_proj": True,
    "type_vocab_size": 2,
}
SPLINTER = {
    **BASE,
    "layer_norm_eps": 1e-12,
    "model_type": "splinter",
    "pad_token_id": 0,
    "position_embedding_type": "absolute",
    "question_token_id": 104,
    "torch_dtype": "float32",
    "use_cache": True,
    "vocab_size": 28996,
}
DISTILBERT = {
    "activation": "gelu",
    "architectures": ["DistilBertForMaskedLM"],
    "attention_dropout": 0.1,
    "dim": 768,
    "dropout": 0.1,
    "hidden_dim": 3072,
    "initializer_range": 0.02,
    "max_position_embeddings": 512,
    "model_type": "distilbert",
    "n_heads": 12,
    "n_layers": 6,
    "pad_token_id": 0,
    "qa_dropout": 0.1,
    "seq_classif_dropout": 0.2,
    "sinusoidal_pos_embds": False,
    "tie_weights_": True,
    "transformers_version": "4.10.0.dev0",
    "vocab_size": 30522,
}
GPT2 = {
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "attn_pdrop": 0.1,
    "bos_token_id": 50256,
    "embd_pdrop": 0.1,
    "eos_token_id": 50256,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2",
    "n_ctx": 1024,
    "n_embd": 768,
    "n_head": 12,
    "n_layer": 12,
    "n_positions": 1024,
    "resid_pdrop": 0.1,
    "summary_activation": None,
    "summary_first_dropout": 0.1,
    "summary_proj_to_labels": True,
    "summary_type": "cls_index",
    "summary_use_proj": True,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    "vocab_size": 50257,
}


def as_it_is(weights: Weights) -> Weights:
    return weights


def without(*dropped: str) -> Spelling:
    return lambda weights: {name: weight for name, weight in weights.items() if not name.startswith(dropped)}


def first_names(weights: Weights) -> Weights:
    """Norms as TensorFlow called them, and the vocabulary's bias once."""
    kept = without("cls.predictions.decoder.bias")(weights)
    return {name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): weight for name, weight in kept.items()}


def with_pooler(name: str) -> Spelling:
    return lambda weights: {**weights, f"{name}.weight": torch.randn(24, 24), f"{name}.bias": torch.randn(24)}


def with_positions(base: str, spelling: Spelling = as_it_is) -> Spelling:
    """With the table of position numbers that `transformers` stored before release 4.31."""
    return lambda weights: {**spelling(weights), f"{base}.embeddings.position_ids": torch.arange(20)[None]}


def bare(base: str) -> Spelling:
    return lambda weights: {name.removeprefix(f"{base}."): weight for name, weight in weights.items()}


def gpt2_names(weights: Weights) -> Weights:
    """Of the decoder alone, with the triangle that masked the future."""
    names = bare("transformer")(without("lm_head")(weights))
    return {**names, **{f"h.{layer}.attn.bias": torch.ones(1, 1, 20, 20).tril() for layer in range(2)}}


@dataclass(frozen=True)
class Published:
    """A published model.

    Attributes:
        config: Its `config.json`.
        architecture: The class of `transformers` that has the weights of its file, by and large.
        heads: Ours, for that class.
        millions: Parameters of the encoder.
        spelling: What the names of that class are in the file.
        stored: Heads that are in the file, where they are not those of the class.
    """

    config: dict[str, Any]
    architecture: str
    heads: str
    millions: float
    spelling: Spelling = as_it_is
    stored: str | None = None

    @property
    def model_type(self) -> str:
        return self.config["model_type"]


def listed(name: str, architecture: str, heads: str, spelling: Spelling, stored: str | None = None) -> Published:
    """One whose configuration stands in the list of `test_published.py`."""
    config, millions = MODELS[name]
    return Published(config, architecture, heads, millions, spelling, stored)


WWM_NAMES = without("cls.predictions.decoder.bias")
ROBERTA_NAMES = with_positions("roberta", with_pooler("roberta.pooler.dense"))
ALBERT_NAMES = with_positions("albert", with_pooler("albert.pooler"))
PUBLISHED = {
    "bert-base-chinese": listed("bert-base-chinese", "BertForPreTraining", "mlm nsp", first_names),
    "bert-base-multilingual-cased": listed("bert-base-multilingual-cased", "BertForPreTraining", "mlm nsp", first_names),
    "hfl/chinese-bert-wwm-ext": listed("hfl/chinese-bert-wwm-ext", "BertForPreTraining", "mlm nsp", WWM_NAMES),
    "hfl/chinese-roberta-wwm-ext": listed("hfl/chinese-roberta-wwm-ext", "BertForPreTraining", "mlm nsp", WWM_NAMES),
    "hfl/chinese-macbert-base": listed("hfl/chinese-macbert-base", "BertForPreTraining", "mlm nsp", with_positions("bert", WWM_NAMES)),
    "SpanBERT/spanbert-base-cased": listed("SpanBERT/spanbert-base-cased", "BertForMaskedLM", "mlm", without("cls."), ""),
    "roberta-base": listed("roberta-base", "RobertaForMaskedLM", "mlm", ROBERTA_NAMES, "mlm pooler"),
    "xlm-roberta-base": listed("xlm-roberta-base", "XLMRobertaForMaskedLM", "mlm", ROBERTA_NAMES, "mlm pooler"),
    "tau/splinter-base": Published({**SPLINTER, "architectures": ["SplinterModel"]}, "SplinterModel", "", 107.7),
    "tau/splinter-base-qass": Published(
        {**SPLINTER, "architectures": ["SplinterForPreTraining"]}, "SplinterForPreTraining", "span", 107.7, with_positions("splinter")
    ),
    "distilbert-base-uncased": Published(DISTILBERT, "DistilBertForMaskedLM", "mlm", 66.4),
    "distilbert-base-uncased-distilled-squad": Published(
        {**DISTILBERT, "architectures": ["DistilBertForQuestionAnswering"], "sinusoidal_pos_embds": True},
        "DistilBertForQuestionAnswering",
        "span",
        66.4,
    ),
    "albert-base-v2": Published(
        {**ALBERT, "architectures": ["AlbertForMaskedLM"], "attention_probs_dropout_prob": 0, "hidden_dropout_prob": 0, "vocab_size": 30000},
        "AlbertForMaskedLM",
        "mlm",
        11.1,
        ALBERT_NAMES,
        "mlm pooler",
    ),
    "voidful/albert_chinese_tiny": Published(
        {
            **ALBERT,
            "architectures": ["AlbertForMaskedLM"],
            "attention_probs_dropout_prob": 0.0,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.0,
            "hidden_size": 312,
            "intermediate_size": 1248,
            "num_hidden_layers": 4,
            "vocab_size": 21128,
        },
        "AlbertForMaskedLM",
        "mlm",
        4.0,
        ALBERT_NAMES,
        "mlm pooler",
    ),
    "google/electra-small-discriminator": Published(
        {**ELECTRA, "embedding_size": 128, "hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4, "vocab_size": 30522},
        "ElectraForPreTraining",
        "replaced",
        13.5,
        with_positions("electra"),
    ),
    "hfl/chinese-electra-180g-base-discriminator": Published(
        {**ELECTRA, **POOLER, "embedding_size": 768, "output_past": True, "vocab_size": 21128}, "ElectraForPreTraining", "replaced", 101.7
    ),
    "gpt2": Published(GPT2, "GPT2LMHeadModel", "lm", 124.4, gpt2_names),
}
TINY = {
    "vocab_size": len(VOCABULARY),
    **dict.fromkeys(["hidden_size", "dim", "n_embd"], 24),
    **dict.fromkeys(["num_hidden_layers", "n_layers", "n_layer"], 2),
    **dict.fromkeys(["num_attention_heads", "n_heads", "n_head"], 3),
    **dict.fromkeys(["intermediate_size", "hidden_dim"], 40),
    **dict.fromkeys(["max_position_embeddings", "n_positions", "n_ctx"], 20),
    **dict.fromkeys(["bos_token_id", "eos_token_id"], 2),
    "question_token_id": QUESTION,
}
"""What is made smaller, under every name that a family has for it."""


@pytest.fixture(params=PUBLISHED)
def published(request: pytest.FixtureRequest) -> Published:
    return PUBLISHED[request.param]


def peer_of(config: dict[str, Any], architecture: str) -> Any:
    return getattr(transformers, architecture)(transformers.AutoConfig.for_model(**config))


def tiny_of(config: dict[str, Any]) -> dict[str, Any]:
    smaller = {**config, **{key: size for key, size in TINY.items() if key in config}}
    narrow = {"embedding_size": 16 if config["embedding_size"] < config["hidden_size"] else 24} if "embedding_size" in config else {}
    return {**smaller, **narrow}


def folder_of(published: Published, folder: Path) -> tuple[Path, Any]:
    """A small model in the place of the published one: the same keys, the same names; and its peer."""
    config = tiny_of(published.config)
    torch.manual_seed(1)
    peer = peer_of(config, published.architecture).eval()
    save_peer(peer, folder)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(published.spelling({name: weight.clone() for name, weight in peer.state_dict().items()}), folder / "model.safetensors")
    return folder, peer


def opened(published: Published, folder: Path) -> tuple[Checkpoint, Any]:
    folder, peer = folder_of(published, folder)
    return load(str(folder)), peer


def shapes(weights: Weights, base: str) -> dict[str, torch.Size]:
    full = with_base_prefix(weights, base)
    return {full[name]: weight.shape for name, weight in weights.items()}


def test_the_configuration_is_built_whole(published: Published):
    family: Family = families[published.model_type].from_config(published.config)
    with torch.device("meta"):
        model = family.build_model({})
    assert model.num_parameters / 1e6 == pytest.approx(published.millions, abs=0.06)
    assert family.max_length == (1024 if published.model_type == "gpt2" else 512)


def test_names_and_shapes_are_those_of_the_published_class(published: Published):
    family = families[published.model_type].from_config(published.config)
    with torch.device("meta"):
        mine = published_weights(family.build_model(dict.fromkeys(published.heads.split(), 0)))
        theirs = peer_of(published.config, published.architecture).state_dict()
    repeated = family.table(published.heads.split()).copies
    assert shapes(mine, family.base) == shapes({name: weight for name, weight in theirs.items() if name not in repeated}, family.base)


def test_a_folder_with_its_names_opens_as_what_it_is(published: Published, tmp_path: Path):
    checkpoint, peer = opened(published, tmp_path)
    assert checkpoint.model.family.model_type == published.model_type
    assert checkpoint.stored_heads == set((published.heads if published.stored is None else published.stored).split())
    batch = ragged(published.model_type)
    real = batch.attention_mask.bool()
    with torch.no_grad():
        assert_close(checkpoint.model(batch).at(real), peer.base_model(**inputs(batch, peer)).last_hidden_state[real])


def test_a_bare_splinter_may_leave_out_its_name_or_have_it(tmp_path: Path):
    plain = PUBLISHED["tau/splinter-base"]
    prefixed = Published(plain.config, "SplinterForQuestionAnswering", "", plain.millions, without("splinter_qass"))
    for kind in (plain, prefixed):
        checkpoint, _ = opened(kind, tmp_path / kind.architecture)
        assert (checkpoint.model.family.model_type, checkpoint.stored_heads) == ("splinter", frozenset())


def test_what_calls_itself_roberta_in_its_name_alone_is_bert():
    name = "hfl/chinese-roberta-wwm-ext"
    config = PUBLISHED[name].config
    family = families[config["model_type"]].from_config(config)
    assert type(family) is families["bert"]
    assert family.max_length == 512
    assert not issubclass(type(family), families["roberta"])


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name != "tau/splinter-base"])
def test_a_model_type_that_contradicts_the_names_is_reported_with_the_right_one(name: str, tmp_path: Path):
    """All but encoders without their own name at the front: those of BERT and its relatives are alike."""
    published = PUBLISHED[name]
    folder, _ = folder_of(published, tmp_path)
    wrong = "roberta" if published.model_type == "bert" else "bert"
    sizes = {key: TINY[key] for key in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")}
    (folder / "config.json").write_text(json.dumps({**sizes, "model_type": wrong}))
    right = rf"do not belong to a {wrong} model; their names are those of (.* or )?{published.model_type}( or .*)?: is model_type in .* right\?"
    with pytest.raises(CheckpointError, match=right) as caught:
        load(str(folder))
    assert len(caught.value.problems) >= 30


def test_names_that_no_family_has_are_reported_without_a_guess(tmp_path: Path):
    folder, _ = folder_of(PUBLISHED["bert-base-chinese"], tmp_path)
    save_file({f"deberta.layer.{number}.weight": torch.zeros(1) for number in range(3)}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"3 weights in .* do not belong to a bert model: is model_type in .* right\?"):
        load(str(folder))
