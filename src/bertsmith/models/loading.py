"""Opening and saving model folders.

A folder is read in the order in which mistakes are cheap: the configuration, the names of the weights, their shapes, and only then their values. All
that is wrong at one step is said together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bertsmith.checkpoint.folder import read_json, read_weights, write_json, write_weights, written_whole
from bertsmith.checkpoint.locate import locate
from bertsmith.checkpoint.weights import modern_name, with_base_prefix
from bertsmith.core.errors import CheckpointError
from bertsmith.core.randomness import seed_at
from bertsmith.models.family import Family, Model, families
from bertsmith.text.tokenizer import Tokenizer

TASK_FILE = "bertsmith.json"
"""What `transformers` has no place for: the task a model was trained for, with its options."""


@dataclass(frozen=True)
class Checkpoint:
    """A model folder, opened.

    Attributes:
        model: The encoder with the heads that were asked for.
        tokenizer: Its tokenizer.
        labels: Names of the labels of its classification head, by number; empty if it has none.
        task: The task it was trained for, as in a recipe's table; empty if it was not trained by this project.
        stored_heads: Heads whose weights are in the folder.
        fresh_heads: Heads that were asked for and are not there: they hold random weights.
        folder: Where it was read from; None for a new model.
    """

    model: Model
    tokenizer: Tokenizer
    labels: tuple[str, ...] = ()
    task: Mapping[str, Any] = field(default_factory=dict[str, Any])
    stored_heads: frozenset[str] = frozenset()
    fresh_heads: frozenset[str] = frozenset()
    folder: Path | None = None


def load(name: str, heads: Mapping[str, int] | None = None, *, seed: int = 0) -> Checkpoint:
    """Open a model.

    Args:
        name: A folder, `builtin:NAME`, or a name on the Hub.
        heads: Which heads to put on it, with their number of labels (0 where it is not a choice). A head whose weights are not in the folder, or are
            for another number of labels, is drawn afresh and named in `fresh_heads`. None asks for the heads that are there.
        seed: For what is drawn afresh.

    Raises:
        CheckpointError: Lists what is missing, unknown or of the wrong shape.

    Example:
        >>> checkpoint = load("builtin:mini-zh")
        >>> sorted(checkpoint.stored_heads)
        ['mlm']
    """
    folder = locate(name)
    config = read_json(folder / "config.json")
    family = _family(config, folder)
    weights = _full_names(read_weights(folder), family)
    stored = _stored_heads(family, weights, config)
    labels = _labels(config)
    sizes = dict(heads) if heads is not None else {head: len(labels) for head in stored}
    fresh = frozenset(head for head in sizes if head not in stored or not _same_size(family, head, sizes[head], weights))
    model = _filled(family, sizes, fresh, weights, folder)
    for head in sorted(fresh):
        model.reinitialise(torch.Generator().manual_seed(seed_at(seed, "head", head)), model.heads[head])
    tokenizer = Tokenizer.from_folder(folder)
    _check_vocabulary(tokenizer, family, folder)
    task = read_json(folder / TASK_FILE).get("task", {}) if (folder / TASK_FILE).is_file() else {}
    return Checkpoint(model.eval(), tokenizer, labels, task, frozenset(stored), fresh, folder)


def create(family: str, tokenizer: Tokenizer, config: Mapping[str, Any], heads: Mapping[str, int] | None = None, *, seed: int = 0) -> Checkpoint:
    """A new model with random weights.

    Args:
        family: A registered family: "bert".
        tokenizer: Gives the vocabulary's size and the padding id.
        config: Keys of `config.json` that differ from the family's defaults.
        heads: Which heads, with their number of labels (0 where it is not a choice).
        seed: For the weights.

    Raises:
        CheckpointError: Lists the keys that are unknown or impossible.
    """
    kind = families[family]
    values = {"vocab_size": tokenizer.vocabulary_size, "pad_token_id": tokenizer.pad_id, **config}
    unknown = [f"{key} is not a key of a {family} configuration" for key in values if key not in kind.__dataclass_fields__]
    if unknown:
        raise CheckpointError(f"a new {family} model cannot be made", unknown)
    model = kind.from_config(values, f"the configuration of a new {family} model").build_model(heads or {})
    model.reinitialise(torch.Generator().manual_seed(seed_at(seed, "model")))
    return Checkpoint(model.eval(), tokenizer, fresh_heads=frozenset(heads or {}))


def save(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a folder that `transformers` opens too; the folder appears only when it is complete.

    Raises:
        CheckpointError: The disk is full or the place cannot be written.
    """
    family, heads = checkpoint.model.family, list(checkpoint.model.heads)
    config = {"architectures": [_architecture(family, heads)], **family.to_config(), "torch_dtype": "float32"}
    if checkpoint.labels:
        config["id2label"] = {str(number): label for number, label in enumerate(checkpoint.labels)}
        config["label2id"] = {label: number for number, label in enumerate(checkpoint.labels)}
    if problem := checkpoint.task.get("problem_type"):
        config["problem_type"] = problem
    with written_whole(folder) as draft:
        write_json(draft / "config.json", config)
        write_weights(draft, published_weights(checkpoint.model))
        checkpoint.tokenizer.save(draft)
        if checkpoint.task:
            write_json(draft / TASK_FILE, {"task": dict(checkpoint.task)})


def published_weights(model: Model) -> dict[str, Tensor]:
    """A model's weights under the names of `transformers`."""
    family, heads = model.family, list(model.heads)
    table = family.table(heads)
    named = {table.theirs(name): weight for name, weight in model.state_dict().items()}
    assert None not in named, "a weight without a rule: the family's table is incomplete"
    full = {name: weight for name, weight in named.items() if name is not None}
    return full if heads else {name.removeprefix(f"{family.base}."): weight for name, weight in full.items()}


def _family(config: Mapping[str, Any], folder: Path) -> Family:
    model_type = config.get("model_type")
    if model_type is None:
        raise CheckpointError(f'{folder / "config.json"} has no model_type; known: {", ".join(families)}. Add, for instance, "model_type": "bert"')
    return families[str(model_type)].from_config(config, str(folder / "config.json"))


def _full_names(weights: Mapping[str, Tensor], family: Family) -> dict[str, Tensor]:
    full = with_base_prefix([modern_name(name) for name in weights], family.base)
    return {full[modern_name(name)]: weight for name, weight in weights.items()}


def _stored_heads(family: Family, weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> list[str]:
    """Heads all of whose weights are there. Where two heads share names (`classifier`), the architecture decides."""
    unknown = [name for name in weights if not _known(family, name)]
    if unknown:
        raise CheckpointError(
            f"{len(unknown)} weights do not belong to a {family.model_type} model: is model_type in config.json right?", sorted(unknown)
        )
    architectures = [str(name) for name in config.get("architectures") or []]
    stored: list[str] = []
    for name, head in family.heads.items():
        complete = all(_has(weights, theirs) for theirs in head.weights.rules.values())
        rivals = [
            other for other, rival in family.heads.items() if other != name and set(rival.weights.rules.values()) & set(head.weights.rules.values())
        ]
        contested = any(family.heads[rival].architecture in architectures for rival in rivals)
        if complete and (head.architecture in architectures or not contested):
            stored.append(name)
    return stored


def _has(weights: Mapping[str, Tensor], template: str) -> bool:
    return (template if "{}" not in template else template.replace("{}", "weight")) in weights


def _known(family: Family, name: str) -> bool:
    pooler = f"{family.base}.pooler."
    tables = [family.weights, *(head.weights for head in family.heads.values())]
    return name.startswith(pooler) or any(table.ours(name) is not None or table.ignores(name) for table in tables)


def _same_size(family: Family, head: str, labels: int, weights: Mapping[str, Tensor]) -> bool:
    output = family.heads[head].weights.theirs("output.weight")
    return not family.heads[head].labelled or head == "span" or output is None or weights[output].shape[0] == labels


def _filled(family: Family, sizes: Mapping[str, int], fresh: frozenset[str], weights: Mapping[str, Tensor], folder: Path) -> Model:
    with torch.device("meta"):
        model = family.build_model(sizes)
    table = family.table(list(sizes))
    state: dict[str, Tensor] = {}
    problems: list[str] = []
    for name, place in model.state_dict().items():
        if name.startswith(tuple(f"heads.{head}." for head in fresh)):
            state[name] = torch.empty(place.shape)
            continue
        theirs = table.theirs(name) or ""
        found = weights.get(theirs)
        if found is None:
            problems.append(f"{theirs} is missing")
        elif found.shape != place.shape:
            problems.append(f"{theirs} has the shape {list(found.shape)}; config.json asks for {list(place.shape)}")
        else:
            state[name] = found.to(torch.float32)
    if problems:
        raise CheckpointError(f"the weights in {folder} do not fit its config.json", problems)
    model.load_state_dict(state, assign=True)
    return model


def _labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    names = config.get("id2label")
    if not isinstance(names, dict):
        return ()
    by_number: dict[int, str] = {int(number): str(label) for number, label in names.items()}
    return tuple(by_number[number] for number in sorted(by_number))


def _architecture(family: Family, heads: Sequence[str]) -> str:
    return family.heads[heads[0]].architecture if heads else family.base_architecture


def _check_vocabulary(tokenizer: Tokenizer, family: Family, folder: Path) -> None:
    if tokenizer.vocabulary_size > family.vocab_size:
        raise CheckpointError(
            f"the vocabulary in {folder} has {tokenizer.vocabulary_size} tokens and the model embeds {family.vocab_size}: they are not of one model"
        )
