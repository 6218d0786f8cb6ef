"""The `config.json` of published models, as they were found on the Hub: all of them open without complaint.

Written down from the model cards and the papers, down to the keys that only describe; only the sizes that matter here are checked.
"""

from typing import Any

import pytest
import torch

from bertsmith.models.family import Family, families

POOLER = {
    "directionality": "bidi",
    "pooler_fc_size": 768,
    "pooler_num_attention_heads": 12,
    "pooler_num_fc_layers": 3,
    "pooler_size_per_head": 128,
    "pooler_type": "first_token_transform",
}
BASE = {
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "type_vocab_size": 2,
}
LARGE = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24}
GENERATION_OF_2019 = {
    "do_sample": False,
    "eos_token_ids": 0,
    "finetuning_task": None,
    "is_decoder": False,
    "length_penalty": 1.0,
    "max_length": 20,
    "num_beams": 1,
    "num_labels": 2,
    "num_return_sequences": 1,
    "output_attentions": False,
    "output_hidden_states": False,
    "output_past": True,
    "pruned_heads": {},
    "repetition_penalty": 1.0,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "torchscript": False,
    "use_bfloat16": False,
}
ROBERTA = {
    **BASE,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 1,
    "layer_norm_eps": 1e-5,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
}

MODELS: dict[str, tuple[dict[str, Any], float]] = {
    "bert-base-chinese": (
        {**BASE, **POOLER, "architectures": ["BertForMaskedLM"], "model_type": "bert", "layer_norm_eps": 1e-12, "vocab_size": 21128},
        101.7,
    ),
    "bert-base-multilingual-cased": (
        {
            **BASE,
            **POOLER,
            "architectures": ["BertForMaskedLM"],
            "model_type": "bert",
            "layer_norm_eps": 1e-12,
            "pad_token_id": 0,
            "vocab_size": 119547,
        },
        177.3,
    ),
    "bert-base-multilingual-uncased, 2019": ({**BASE, **POOLER, **GENERATION_OF_2019, "model_type": "bert", "vocab_size": 105879}, 166.8),
    "hfl/chinese-bert-wwm-ext": (
        {**BASE, **POOLER, "architectures": ["BertForMaskedLM"], "model_type": "bert", "output_past": True, "vocab_size": 21128},
        101.7,
    ),
    "hfl/chinese-roberta-wwm-ext": (
        {
            **BASE,
            **POOLER,
            "architectures": ["BertForMaskedLM"],
            "bos_token_id": 0,
            "eos_token_id": 2,
            "layer_norm_eps": 1e-12,
            "model_type": "bert",
            "output_past": True,
            "pad_token_id": 0,
            "vocab_size": 21128,
        },
        101.7,
    ),
    "hfl/chinese-roberta-wwm-ext-large": ({**BASE, **POOLER, **LARGE, "model_type": "bert", "output_past": True, "vocab_size": 21128}, 324.5),
    "hfl/rbt3": ({**BASE, **POOLER, "model_type": "bert", "num_hidden_layers": 3, "output_past": True, "vocab_size": 21128}, 37.9),
    "hfl/chinese-macbert-base": (
        {**BASE, **POOLER, "architectures": ["BertForMaskedLM"], "gradient_checkpointing": False, "model_type": "bert", "vocab_size": 21128},
        101.7,
    ),
    "SpanBERT/spanbert-base-cased": ({**BASE, **POOLER, "layer_norm_eps": 1e-12, "model_type": "bert", "vocab_size": 28996}, 107.7),
    "microsoft/MiniLM-L12-H384-uncased": (
        {**BASE, "model_type": "bert", "hidden_size": 384, "intermediate_size": 1536, "layer_norm_eps": 1e-12, "vocab_size": 30522},
        33.2,
    ),
    "sentence-transformers/all-MiniLM-L6-v2": (
        {
            **BASE,
            "_name_or_path": "nreimers/MiniLM-L6-H384-uncased",
            "architectures": ["BertModel"],
            "gradient_checkpointing": False,
            "hidden_size": 384,
            "intermediate_size": 1536,
            "layer_norm_eps": 1e-12,
            "model_type": "bert",
            "num_hidden_layers": 6,
            "pad_token_id": 0,
            "position_embedding_type": "absolute",
            "transformers_version": "4.8.2",
            "use_cache": True,
            "vocab_size": 30522,
        },
        22.6,
    ),
    "a classifier of transformers 4": (
        {
            **BASE,
            "_num_labels": 3,
            "architectures": ["BertForSequenceClassification"],
            "classifier_dropout": None,
            "id2label": {"0": "a", "1": "b", "2": "c"},
            "label2id": {"a": 0, "b": 1, "c": 2},
            "model_type": "bert",
            "problem_type": "single_label_classification",
            "torch_dtype": "float32",
            "vocab_size": 30522,
        },
        108.9,
    ),
    "a model of transformers 5": (
        {
            **BASE,
            "add_cross_attention": False,
            "bos_token_id": None,
            "classifier_dropout": None,
            "dtype": "float32",
            "is_decoder": False,
            "model_type": "bert",
            "tie_word_embeddings": True,
            "transformers_version": "5.23.0",
            "vocab_size": 30522,
        },
        108.9,
    ),
    "roberta-base": ({**ROBERTA, "architectures": ["RobertaForMaskedLM"], "model_type": "roberta", "vocab_size": 50265}, 124.1),
    "roberta-large": ({**ROBERTA, **LARGE, "architectures": ["RobertaForMaskedLM"], "model_type": "roberta", "vocab_size": 50265}, 354.3),
    "xlm-roberta-base": (
        {
            **ROBERTA,
            "architectures": ["XLMRobertaForMaskedLM"],
            "model_type": "xlm-roberta",
            "output_past": True,
            "position_embedding_type": "absolute",
            "transformers_version": "4.17.0.dev0",
            "use_cache": True,
            "vocab_size": 250002,
        },
        277.5,
    ),
    "xlm-roberta-large": ({**ROBERTA, **LARGE, "model_type": "xlm-roberta", "output_past": True, "vocab_size": 250002}, 558.8),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_published_configuration_is_built(name: str):
    config, millions = MODELS[name]
    family: Family = families[config["model_type"]].from_config(config, name)
    with torch.device("meta"):
        model = family.build_model({})
    assert model.num_parameters / 1e6 == pytest.approx(millions, abs=0.06)
    assert family.max_length == 512
