"""Tiny random models, batches and examples for the checks."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor, nn

from bertsmith.checkpoint.folder import write_json
from bertsmith.core.types import Batch, Example
from bertsmith.layers.crf import log_partitions, with_edges
from bertsmith.layers.heads import NextTokenHead, VocabularyHead, span_scores
from bertsmith.layers.layout import Encoded
from bertsmith.models.family import Family, Head, Model
from bertsmith.models.sequence_to_sequence import SequenceToSequence
from bertsmith.text.tokenizer import Tokenizer

SIZES = {
    "vocab_size": 300,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 36,
    "d_model": 24,
    **{f"{side}_{size}": number for side in ("encoder", "decoder") for size, number in (("layers", 2), ("attention_heads", 3), ("ffn_dim", 36))},
    "n_embd": 24,
    "n_layer": 2,
    "n_head": 3,
    "dim": 24,
    "n_layers": 2,
    "n_heads": 3,
    "hidden_dim": 36,
}
"""Sizes of a tiny model, under every name that a family has for them."""
POSITIONS = ("max_position_embeddings", "n_positions")
LABELS = 3
LENGTHS = (7, 3, 12, 12, 1)
TEXTS = (
    "我们今天去公园散步,天气很好。",
    "The film was long, slow and beautiful.",
    "她在北京读书,最喜欢的科目是历史。",
    "It rained; nobody came to the game.",
    "这部手机的电池能用两天,屏幕也很清楚。",
    "A good book and a cup of tea!",
)


def tiny_family(kind: type[Family], changes: Mapping[str, Any] | None = None, *, longest: int = 64) -> Family:
    """A small configuration of a family: sizes that it has a field for, special tokens among the few that there are, every dropout at 0.1, `changes`.

    Args:
        kind: The family.
        changes: Keys of `config.json`.
        longest: Number of positions.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    sizes = {**SIZES, **dict.fromkeys(POSITIONS, longest)}
    values = {name: size for name, size in sizes.items() if name in defaults} | dict.fromkeys(_dropouts(kind), 0.1) | dict(changes or {})
    last = values["vocab_size"] - 1
    special = {name: last for name, number in defaults.items() if name.endswith("_token_id") and isinstance(number, int) and number > last}
    return kind.from_config({**special, **values}, "the tiny configuration")


def label_counts(heads: Mapping[str, Head]) -> dict[str, int]:
    """A number of labels for every head."""
    return {name: LABELS if head.labelled else 0 for name, head in heads.items()}


def randomise(module: nn.Module, seed: int = 0) -> None:
    """Draw every weight, norms and biases too, so that none of them can be mistaken for another or for nothing; and what is stored beside them.

    Matrices keep the size of what goes through them; norms are scattered around 1, biases around 0.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in module.state_dict(keep_vars=True).items():
            if not weight.is_floating_point() or (isinstance(weight, nn.Parameter) and not weight.requires_grad):
                continue
            spread = 1 / math.sqrt(weight.shape[-1]) if weight.ndim > 1 else 0.1
            weight.normal_(1.0 if name.endswith("norm.weight") else 0.0, spread, generator=generator)


def tiny_model(family: Family, heads: Mapping[str, int], seed: int = 0) -> Model:
    """A random model, ready for use."""
    model = family.build_model(heads)
    randomise(model, seed)
    return model.eval()


def without_dropout(family: Family) -> Family:
    """The same configuration with every dropout at 0."""
    return dataclasses.replace(family, **dict.fromkeys(_dropouts(type(family)), 0.0))


def _dropouts(kind: type[Family]) -> list[str]:
    return [field.name for field in dataclasses.fields(kind) if "drop" in field.name]


def tiny_tokenizer(family: Family, texts: Iterable[str] = TEXTS) -> Tokenizer:
    """A tokenizer of the kind that the family's published models have.

    Args:
        family: With two segments: WordPiece over the characters of `texts`, alone and inside a word. With one: bytes.
        texts: What it has to be able to write.
    """
    if getattr(family, "type_vocab_size", 2) == 1:
        return _byte_level(family.pad_token_id)
    special = ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    special.insert(family.pad_token_id, "[PAD]")
    characters = sorted({character for text in texts for character in text.lower() if not character.isspace()})
    return Tokenizer.from_tokens([*special, *characters, *(f"##{character}" for character in characters if character.isalnum())])


def _byte_level(padding_id: int) -> Tokenizer:
    special = ["<s>", "</s>", "<unk>", "<mask>"]
    special.insert(padding_id, "<pad>")
    ids = {token: number for number, token in enumerate([*special, *sorted(ByteLevel.alphabet())])}
    with tempfile.TemporaryDirectory() as folder:
        write_json(Path(folder) / "vocab.json", ids)
        (Path(folder) / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
        return Tokenizer.from_folder(Path(folder))


def texts_of(examples: Sequence[Example]) -> list[str]:
    """Everything that is written in some examples."""
    return [str(value) for example in examples for value in example.values.values()]


def ragged(family: Family, lengths: Sequence[int] = LENGTHS, *, width: int | None = None, seed: int = 1) -> Batch:
    """Random sequences of these lengths, padded on the right to `width` columns; with targets of the lengths reversed where there is a decoder."""
    batch = _ragged(family, lengths, width or max(lengths), seed)
    if not isinstance(family, SequenceToSequence):
        return batch
    return replace(batch, target=_ragged(family, lengths[::-1], width or max(lengths), seed + 1))


def _ragged(family: Family, lengths: Sequence[int], width: int, seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), width)
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
    numbers = torch.randint(0, family.vocab_size - 1, shape, generator=generator)
    input_ids = numbers + (numbers >= family.pad_token_id).long()  # anything but padding
    segments = torch.randint(0, getattr(family, "type_vocab_size", 1), shape, generator=generator)
    return Batch(input_ids * mask + family.pad_token_id * (1 - mask), mask, segments * mask)


def answered(batch: Batch) -> Bool[Tensor, "batch length"]:
    """The real tokens of what a model gives states for."""
    return (batch.target or batch).attention_mask.bool()


def scattered(batch: Batch, family: Family, gaps: int = 5, seed: int = 2) -> Batch:
    """The same sequences with padding strewn in between: on the left, on the right and inside."""
    generator = torch.Generator().manual_seed(seed)
    rows, width = batch.input_ids.shape
    order = torch.rand(rows, width + gaps, generator=generator)
    mask = torch.zeros(rows, width + gaps, dtype=torch.long)
    for row, size in enumerate(batch.attention_mask.sum(1).tolist()):
        mask[row, order[row].argsort()[:size]] = 1
    real, before = mask.bool(), batch.attention_mask.bool()
    input_ids, segments = torch.full_like(mask, family.pad_token_id), torch.zeros_like(mask)
    input_ids[real], segments[real] = batch.input_ids[before], batch.token_type_ids[before]
    return Batch(input_ids, mask, segments, target=batch.target and scattered(batch.target, family, gaps, seed + 1))


def scores_of(model: Model, name: str, batch: Batch) -> Tensor:
    """What a head says about every sequence or every real token of a batch."""
    encoded, real = model(batch), answered(batch)
    if name == "crf":
        return _chained(model.heads[name], encoded, real)
    if isinstance(model.heads[name], VocabularyHead | NextTokenHead):
        return model.heads[name](encoded.at(real))
    scores = span_scores(model.heads[name], encoded, batch) if name == "span" else model.heads[name](encoded)
    return scores[real] if scores.shape[:2] == real.shape and scores.ndim > 2 else scores


def _chained(head: nn.Module, encoded: Encoded, real: Bool[Tensor, "batch length"]) -> Float[Tensor, " batch"]:
    """What a tagger with a chain says of whole sequences."""
    chain = head.get_submodule("chain")
    whole = torch.ones(len(real), 2, dtype=torch.bool)
    scores = with_edges(head(encoded), real, chain.get_parameter("edges.weight"), whole)
    return log_partitions(scores, real, chain.get_parameter("transitions.weight"))
