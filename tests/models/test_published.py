"""The `config.json` of published models, as they were found on the Hub: all of them open without complaint.

Written down from the model cards and the papers, down to the keys that only describe; only the sizes that matter here are checked.
"""

from typing import Any

import pytest
import torch

from bertsmith.core.errors import CheckpointError
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

BART = {
    "activation_dropout": 0.1,
    "activation_function": "gelu",
    "add_bias_logits": False,
    "add_final_layer_norm": False,
    "attention_dropout": 0.1,
    "bos_token_id": 0,
    "classif_dropout": 0.1,
    "classifier_dropout": 0.0,
    "d_model": 768,
    "decoder_attention_heads": 12,
    "decoder_ffn_dim": 3072,
    "decoder_layerdrop": 0.0,
    "decoder_layers": 6,
    "decoder_start_token_id": 2,
    "dropout": 0.1,
    "early_stopping": True,
    "encoder_attention_heads": 12,
    "encoder_ffn_dim": 3072,
    "encoder_layerdrop": 0.0,
    "encoder_layers": 6,
    "eos_token_id": 2,
    "forced_bos_token_id": 0,
    "forced_eos_token_id": 2,
    "gradient_checkpointing": False,
    "init_std": 0.02,
    "is_encoder_decoder": True,
    "max_position_embeddings": 1024,
    "model_type": "bart",
    "no_repeat_ngram_size": 3,
    "normalize_before": False,
    "normalize_embedding": True,
    "num_beams": 4,
    "num_hidden_layers": 6,
    "pad_token_id": 1,
    "scale_embedding": False,
    "task_specific_params": {"summarization": {"length_penalty": 1.0, "max_length": 128, "min_length": 12, "num_beams": 4}},
    "torch_dtype": "float32",
    "use_cache": True,
    "vocab_size": 50265,
}
BART_LARGE = {
    **{f"{side}_{size}": value for side in ("encoder", "decoder") for size, value in (("layers", 12), ("attention_heads", 16), ("ffn_dim", 4096))},
    "d_model": 1024,
    "num_hidden_layers": 12,
}
SINUSOIDAL = {"normalize_embedding": False, "scale_embedding": True, "static_position_embeddings": True, "forced_bos_token_id": None}
PEGASUS = {
    **BART,
    **BART_LARGE,
    **SINUSOIDAL,
    "activation_function": "relu",
    "add_final_layer_norm": True,
    "bos_token_id": 0,
    "decoder_layers": 16,
    "decoder_start_token_id": 0,
    "encoder_layers": 16,
    "eos_token_id": 1,
    "extra_pos_embeddings": 1,
    "force_bos_token_to_be_generated": False,
    "forced_eos_token_id": 1,
    "length_penalty": 0.8,
    "max_length": 256,
    "model_type": "pegasus",
    "normalize_before": True,
    "num_beams": 8,
    "num_hidden_layers": 16,
    "pad_token_id": 0,
    "vocab_size": 96103,
}
MARIAN = {
    **BART,
    **SINUSOIDAL,
    **{f"{side}_{size}": value for side in ("encoder", "decoder") for size, value in (("layers", 6), ("attention_heads", 8), ("ffn_dim", 2048))},
    "activation_function": "swish",
    "bad_words_ids": [[65000]],
    "d_model": 512,
    "decoder_start_token_id": 65000,
    "decoder_vocab_size": 65001,
    "eos_token_id": 0,
    "extra_pos_embeddings": 65001,
    "forced_eos_token_id": 0,
    "max_length": 512,
    "max_position_embeddings": 512,
    "model_type": "marian",
    "pad_token_id": 65000,
    "share_encoder_decoder_embeddings": True,
    "vocab_size": 65001,
}
SEQUENCE_TO_SEQUENCE: dict[str, tuple[dict[str, Any], float]] = {
    "facebook/bart-base": ({**BART, "architectures": ["BartModel"]}, 139.4),
    "facebook/bart-large": ({**BART, **BART_LARGE, "architectures": ["BartModel"]}, 406.3),
    "facebook/bart-large-cnn": (
        {
            **BART,
            **BART_LARGE,
            "_num_labels": 3,
            "architectures": ["BartForConditionalGeneration"],
            "length_penalty": 2.0,
            "max_length": 142,
            "min_length": 56,
            "output_past": True,
            "prefix": " ",
            "vocab_size": 50264,
        },
        406.3,
    ),
    "sshleifer/distilbart-cnn-12-6": (
        {
            **BART,
            **BART_LARGE,
            "decoder_layers": 6,
            "extra_pos_embeddings": 2,
            "force_bos_token_to_be_generated": True,
            "replacing_rate": 0,
            "save_step": 58,
            "static_position_embeddings": False,
            "student_decoder_layers": None,
            "student_encoder_layers": None,
            "vocab_size": 50264,
        },
        305.5,
    ),
    "fnlp/bart-base-chinese, 2021": (
        {
            **BART,
            "architectures": ["BartForConditionalGeneration"],
            "bos_token_id": 101,
            "decoder_start_token_id": 102,
            "eos_token_id": 102,
            "forced_bos_token_id": None,
            "forced_eos_token_id": 102,
            "gradient_checkpointing": False,
            "max_position_embeddings": 512,
            "pad_token_id": 0,
            "tokenizer_class": "BertTokenizer",
            "vocab_size": 21128,
        },
        116.2,
    ),
    "a Korean BART": (
        {
            **BART,
            "author": "somebody@example.org",
            "decoder_attention_heads": 16,
            "decoder_start_token_id": 1,
            "do_blenderbot_90_layernorm": False,
            "encoder_attention_heads": 16,
            "eos_token_id": 1,
            "extra_pos_embeddings": 2,
            "kobart_version": 2.0,
            "max_position_embeddings": 1026,
            "pad_token_id": 3,
            "tokenizer_class": "PreTrainedTokenizerFast",
            "vocab_size": 30000,
        },
        123.9,
    ),
    "google/pegasus-large": (PEGASUS, 568.7),
    "Helsinki-NLP/opus-mt-en-zh": ({**MARIAN, "architectures": ["MarianMTModel"]}, 77.4),
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


@pytest.mark.parametrize("name", SEQUENCE_TO_SEQUENCE)
def test_a_published_configuration_with_a_decoder_is_built(name: str):
    config, millions = SEQUENCE_TO_SEQUENCE[name]
    family: Family = families[config["model_type"]].from_config(config, name)
    with torch.device("meta"):
        model = family.build_model({"lm": 0})
    assert model.num_parameters / 1e6 == pytest.approx(millions, abs=0.06)
    assert family.max_length == config["max_position_embeddings"]


@pytest.mark.parametrize(
    ("config", "change", "problem"),
    [
        (BART, {"normalize_before": True}, "normalize_before is True, which changes what the model computes; built: False"),
        (BART, {"static_position_embeddings": True}, "static_position_embeddings is True, which changes"),
        (BART, {"encoder_layerdrop": 0.1}, "encoder_layerdrop is 0.1, which changes"),
        (BART, {"tie_word_embeddings": False}, "tie_word_embeddings is False, which changes"),
        (BART, {"decoder_start_token_id": 50265}, "decoder_start_token_id is 50265; it must be below vocab_size, which is 50265"),
        (BART, {"decoder_attention_heads": 11}, "d_model is 768; it must be a multiple of decoder_attention_heads, which is 11"),
        (PEGASUS, {"add_final_layer_norm": False}, "add_final_layer_norm is False, which changes"),
        (MARIAN, {"share_encoder_decoder_embeddings": False}, "share_encoder_decoder_embeddings is False, which changes"),
        (MARIAN, {"decoder_vocab_size": 300}, "decoder_vocab_size is 300; built: one vocabulary for both sides, vocab_size is 65001"),
    ],
)
def test_arithmetic_of_a_decoder_that_is_not_built_is_refused(config: dict[str, Any], change: dict[str, Any], problem: str):
    with pytest.raises(CheckpointError) as caught:
        families[config["model_type"]].from_config({**config, **change})
    [found] = caught.value.problems
    assert found.startswith(problem)
