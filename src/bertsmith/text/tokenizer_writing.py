"""A tokenizer's files, written: what is written here opens in `transformers` with equal ids."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import models

from bertsmith.core.errors import CheckpointError
from bertsmith.text.pipelines import BERT, NORMALIZER_KEYS
from bertsmith.text.tokenizer_files import VERBATIM_CLASSES, TokenizerFiles

NAMED_ROLES = (*BERT.needed, "bos_token", "eos_token")
"""The roles that every tokenizer of `transformers` knows."""


def write_folder(files: TokenizerFiles, folder: Path) -> None:
    """Write a tokenizer so that `transformers.AutoTokenizer` opens it with equal ids.

    Writes `tokenizer.json` and `tokenizer_config.json`, and `vocab.txt` where the model is WordPiece, for the tools that know no other file. Marian's
    tokenizer cannot be written as one `tokenizer.json`: it keeps its three files.

    Raises:
        CheckpointError: The folder cannot be written to.
    """
    contents = dict(files.originals) or {"tokenizer.json": files.backend.to_str(pretty=True).encode()}
    contents["tokenizer_config.json"] = (json.dumps(_config(files), indent=2, ensure_ascii=False) + "\n").encode()
    vocabulary = files.backend.get_vocab(with_added_tokens=False)
    if isinstance(files.backend.model, models.WordPiece) and sorted(vocabulary.values()) == list(range(len(vocabulary))):
        contents["vocab.txt"] = "".join(f"{token}\n" for token in sorted(vocabulary, key=vocabulary.__getitem__)).encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise CheckpointError(f"cannot write the tokenizer to {folder}: {error.strerror}") from error


def _config(files: TokenizerFiles) -> dict[str, Any]:
    length = {"model_max_length": files.model_max_length} if files.model_max_length else {}
    named = {files.roles.get(role) for role in NAMED_ROLES}
    added = sorted(files.backend.get_added_tokens_decoder().items())
    others = [token.content for _, token in added if token.special and token.content not in named]
    listed = {"additional_special_tokens": others} if others else {}
    return {**(files.settings or _class(files.backend)), **files.roles, **listed, **length}


def _class(backend: tokenizers.Tokenizer) -> dict[str, Any]:
    """A class that rebuilds exactly this pipeline, or else the one that takes `tokenizer.json` as it is."""
    parts = {name: part or {} for name, part in json.loads(backend.to_str()).items()}
    kinds = tuple(parts[name].get("type") for name in ("model", "normalizer", "pre_tokenizer"))
    if kinds == ("WordPiece", "BertNormalizer", "BertPreTokenizer") and _is_plain_bert(backend, parts["model"]):
        return {"tokenizer_class": "BertTokenizer", **{key: parts["normalizer"][name] for key, name in NORMALIZER_KEYS.items()}}
    if kinds == ("BPE", None, "ByteLevel") and parts["post_processor"].get("type") == "RobertaProcessing":
        return {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": parts["pre_tokenizer"]["add_prefix_space"]}
    segments = ["token_type_ids"] if 1 in backend.encode("", "a").type_ids else []
    return {"tokenizer_class": VERBATIM_CLASSES[0], "model_input_names": ["input_ids", *segments, "attention_mask"]}


def _is_plain_bert(backend: tokenizers.Tokenizer, model: Mapping[str, Any]) -> bool:
    return model["max_input_chars_per_word"] == 100 and backend.num_special_tokens_to_add(is_pair=True) == 3
