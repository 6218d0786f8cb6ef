"""Opening and saving model folders.

A folder is read in the order in which mistakes are cheap: the configuration, the names of the weights, their shapes, and only then their values. All
that is wrong at one step is said together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from bertsmith.checkpoint.folder import read_json, read_weights, write_json, write_weights, written_whole
from bertsmith.checkpoint.generation import GENERATION_FILE, GENERATION_KEYS, read_generation
from bertsmith.checkpoint.locate import locate
from bertsmith.checkpoint.vectors import VectorSettings, read_vector_settings, write_vector_settings
from bertsmith.core.errors import CheckpointError
from bertsmith.core.randomness import seed_at
from bertsmith.core.registry import nearest
from bertsmith.layers.embeddings import SinusoidalPositions
from bertsmith.models.family import Family, Model, families, without_values
from bertsmith.models.stored import full_names, is_drawn, num_labels, stored_heads, surplus, untied
from bertsmith.text.tokenizer import Tokenizer

TASK_FILE = "bertsmith.json"
"""What `transformers` has no place for: the task a model was trained for, with its options."""

OF_THE_FOLDER = frozenset("architectures dtype finetuning_task id2label label2id num_labels problem_type torch_dtype transformers_version".split())
"""Keys of a `config.json` that speak of the heads, labels and weights in its folder; what is saved has its own."""


@dataclass(frozen=True)
class Checkpoint:
    """A model folder, opened.

    Attributes:
        model: The encoder with the heads that were asked for.
        tokenizer: Its tokenizer.
        labels: Names of the labels of its classification head, by number; empty if it has none, or a fresh one.
        task: The task it was trained for, as in a recipe's table; empty if it was not trained by this project.
        stored_heads: Heads whose weights are in the folder.
        fresh_heads: Heads that were asked for and are not there: they hold random weights.
        folder: Where it was read from; None for a new model.
        vectors: How a text becomes a vector, where the folder says it with the files of `sentence-transformers`; `save` writes them.
    """

    model: Model
    tokenizer: Tokenizer
    labels: tuple[str, ...] = ()
    task: Mapping[str, Any] = field(default_factory=dict[str, Any])
    stored_heads: frozenset[str] = frozenset()
    fresh_heads: frozenset[str] = frozenset()
    folder: Path | None = None
    vectors: VectorSettings | None = None


def load(name: str, heads: Mapping[str, int] | None = None, *, seed: int = 0) -> Checkpoint:
    """Open a model.

    Args:
        name: A folder, `builtin:NAME`, or a name on the Hub.
        heads: Which heads to put on it, with their number of labels (0 where it is not a choice). A head whose weights are not in the folder, or are
            for another number of labels, is drawn afresh and named in `fresh_heads`; what the folder has of it below its output layer (BERT's
            pooler) is kept. None asks for the heads that are there.
        seed: For what is drawn afresh.

    Raises:
        CheckpointError: Lists what is missing, unknown, of the wrong shape, or not finite.

    Example:
        >>> checkpoint = load("builtin:mini-zh")
        >>> sorted(checkpoint.stored_heads)
        ['mlm']
    """
    checkpoint, weights = _opened(name, heads, by_value=True)
    assert checkpoint.folder is not None, "it was opened from a folder"
    _check_finite(weights, checkpoint.folder)
    for head in sorted(checkpoint.fresh_heads):
        checkpoint.model.reinitialise(torch.Generator().manual_seed(seed_at(seed, "head", head)), checkpoint.model.heads[head])
        _keep_below_output(checkpoint.model, head, weights)
    return checkpoint


def outline(name: str, heads: Mapping[str, int] | None = None) -> Checkpoint:
    """Look at a model without reading its weights' values: they are on the device "meta", and all else is as in `load`.

    Args:
        name: A folder, `builtin:NAME`, or a name on the Hub.
        heads: As for `load`.

    Raises:
        CheckpointError: As for `load`, but for values that are not finite.

    Example:
        >>> outline("builtin:mini-zh").model.num_parameters
        5413440
    """
    return _opened(name, heads, by_value=False)[0]


def _opened(name: str, heads: Mapping[str, int] | None, *, by_value: bool) -> tuple[Checkpoint, dict[str, Tensor]]:
    """A model with what its folder holds, fresh heads still empty; and the weights of the folder by their full names."""
    folder = locate(name)
    config = read_json(folder / "config.json")
    family = family_of(config, folder)
    stored_weights = read_weights(folder)
    if not by_value:
        stored_weights = {stored: weight.to("meta") for stored, weight in stored_weights.items()}
    weights = full_names(stored_weights, family, folder)
    stored = stored_heads(family, weights, config)
    stored_sizes = {head: num_labels(family, head, weights) for head in stored}
    sizes = dict(heads) if heads is not None else stored_sizes
    fresh = frozenset(head for head in sizes if is_drawn(family.head(head), sizes[head], stored_sizes.get(head)))
    labels = _labels(config, max((stored_sizes.get(head, 0) for head in sizes if head not in fresh), default=0), folder)
    model = _filled(family, sizes, fresh, weights, folder)
    model.generation = read_generation(folder, config) if "lm" in sizes else {}
    model.described = {key: value for key, value in config.items() if key not in OF_THE_FOLDER | family.to_config().keys() and key[0] != "_"}
    tokenizer = Tokenizer.from_folder(folder)
    check_tokenizer(tokenizer, family, str(folder))
    return Checkpoint(model.eval(), tokenizer, labels, _task(folder), frozenset(stored), fresh, folder, read_vector_settings(folder)), weights


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
    built = kind.from_config(values, f"the configuration of a new {family} model")
    check_tokenizer(tokenizer, built, f"a new {family} model")
    model = built.build_model(heads or {})
    model.reinitialise(torch.Generator().manual_seed(seed_at(seed, "model")))
    return Checkpoint(model.eval(), tokenizer, fresh_heads=frozenset(heads or {}))


def save(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a folder that `transformers` opens too; the folder appears only when it is complete.

    Raises:
        CheckpointError: The disk is full or the place cannot be written.
    """
    with written_whole(folder) as draft:
        write(checkpoint, draft)


def write(checkpoint: Checkpoint, folder: Path) -> None:
    """Write the files of `save` into a folder that is there. Its `config.json` says what that of the opened folder said, as far as that holds."""
    writes = "lm" in checkpoint.model.heads and bool(checkpoint.model.generation)
    write_json(folder / "config.json", _config(checkpoint, writes=writes))
    write_weights(folder, published_weights(checkpoint.model))
    checkpoint.tokenizer.save(folder)
    if writes:
        write_json(folder / GENERATION_FILE, checkpoint.model.generation)
    if checkpoint.task:
        write_json(folder / TASK_FILE, {"task": dict(checkpoint.task)})
    write_vector_settings(checkpoint.vectors, folder, checkpoint.model.family.hidden_size)


def published_weights(model: Model) -> dict[str, Tensor]:
    """A model's weights under the names of `transformers`.

    Raises:
        CheckpointError: Two of its heads have the same published names and different weights.
    """
    family = model.family
    table = family.table(list(model.heads))
    named: dict[str, Tensor] = {}
    for ours, weight in model.state_dict().items():
        theirs = table.theirs(ours)
        assert theirs is not None, f"{ours} has no rule: the family's table is incomplete"
        if theirs in named and not torch.equal(named[theirs], weight):
            raise CheckpointError(f"the heads {', '.join(model.heads)} cannot be in one folder: more than one of them is stored as {theirs}")
        named[theirs] = weight
    named = family.weights.fold(named)
    bare = all(name.startswith(f"{family.base}.") for name in named)
    return {name.removeprefix(f"{family.base}."): weight for name, weight in named.items()} if bare else named


def family_of(config: Mapping[str, Any], folder: Path) -> Family:
    """The family of a folder, by the content of its `config.json`.

    Raises:
        CheckpointError: There is none of its `model_type`; or, all at once, what of it cannot be built.
    """
    file, model_type = folder / "config.json", config.get("model_type")
    if model_type is None:
        raise CheckpointError(f'{file} has no model_type; known: {", ".join(families)}. Add, for instance, "model_type": "bert"')
    if str(model_type) not in families:
        hint = nearest(str(model_type), families)
        raise CheckpointError(f"{file} says that model_type is {model_type!r}, which is not built{hint}; built: {', '.join(families)}")
    try:
        return families[str(model_type)].from_config(config, str(file))
    except CheckpointError as error:
        if others := [name for name, kind in families.items() if _reads(kind, config)]:
            hint = f"its keys are those of {' or '.join(others)}: is model_type right?"
            raise CheckpointError(f"{error.summary}; {hint}", error.problems) from error
        raise


def _reads(kind: type[Family], config: Mapping[str, Any]) -> bool:
    try:
        kind.from_config(config)
    except CheckpointError:
        return False
    return True


def _check_finite(weights: Mapping[str, Tensor], folder: Path) -> None:
    broken = sorted(name for name, weight in weights.items() if not _is_finite(weight))
    if broken:
        raise CheckpointError(
            f"{len(broken)} weights in {folder} hold NaN or infinity: the training that made them failed, or the file is damaged", broken
        )


def _is_finite(weight: Tensor) -> bool:
    """Whether all of it is, in float32 too. A finite sum has finite terms and is found much faster; one that is not may have overflown."""
    if weight.dtype == torch.float64:
        weight = weight.float()
    return bool(weight.sum().isfinite()) or bool(weight.isfinite().all())


def _filled(family: Family, sizes: Mapping[str, int], fresh: frozenset[str], weights: Mapping[str, Tensor], folder: Path) -> Model:
    with without_values():
        model = family.build_model(sizes)
    table = family.table(list(sizes))
    state: dict[str, Tensor] = {}
    problems: list[str] = []
    computed = {f"{name}.weight": part.table() for name, part in model.named_modules() if isinstance(part, SinusoidalPositions)}
    computed |= {name: torch.zeros(place.shape) for name, place in model.state_dict().items() if table.theirs(name) in table.optional}
    for name, place in model.state_dict().items():
        if name.startswith(tuple(f"heads.{head}." for head in fresh)):
            state[name] = torch.empty(place.shape)
            continue
        theirs = table.theirs(name) or ""
        found = weights.get(theirs, computed.get(name))
        if found is None:
            problems.append(f"{theirs} is missing")
        elif found.shape != place.shape:
            problems.append(f"{theirs} has the shape {list(found.shape)}; config.json asks for {list(place.shape)}")
        else:
            state[name] = found.to(torch.float32)
    problems += surplus(family, weights, model)
    problems += untied(family.table([head for head in sizes if head not in fresh]), weights)
    if problems:
        raise CheckpointError(f"the weights in {folder} do not fit its config.json", problems)
    model.load_state_dict(state, assign=True)
    return model


def _keep_below_output(model: Model, head: str, weights: Mapping[str, Tensor]) -> None:
    """A fresh head takes over what the folder has of it below the output layer: BERT's pooler is pre-trained, whatever is to stand on it."""
    table = model.family.head(head).weights
    if table.theirs("output.weight") is None:
        return
    for name, weight in model.heads[head].state_dict().items():
        found = weights.get(table.theirs(name) or "")
        if not name.startswith("output.") and found is not None and found.shape == weight.shape:
            weight.copy_(found)


def _labels(config: Mapping[str, Any], count: int, folder: Path) -> tuple[str, ...]:
    """The names of a stored head's labels; `transformers` leaves out names that nobody chose."""
    numbers = [str(number) for number in range(count)]
    names = config.get("id2label") or dict(zip(numbers, _unnamed(count), strict=True))
    if not count:
        return ()
    if not isinstance(names, dict) or set(names) != set(numbers):
        raise CheckpointError(f"{folder / 'config.json'}: id2label must name the {count} labels of the stored head, from 0 on; it is {names!r}")
    return tuple(str(names[number]) for number in numbers)


def _task(folder: Path) -> Mapping[str, Any]:
    if not (folder / TASK_FILE).is_file():
        return {}
    task = read_json(folder / TASK_FILE).get("task")
    if not isinstance(task, dict):
        raise CheckpointError(f"{folder / TASK_FILE} must hold a task's table under 'task'; it holds {task!r}. Without the file, the task is unknown")
    return cast("dict[str, Any]", task)


def _label_names(checkpoint: Checkpoint) -> tuple[str, ...]:
    """The names of the labels of the head that the model has now, which may be another than the one it was opened with."""
    weights, model = checkpoint.model.state_dict(), checkpoint.model
    outputs = [weights.get(f"heads.{name}.output.weight") for name in model.heads if model.family.head(name).labelled]
    count = max((len(output) for output in outputs if output is not None), default=0)
    return checkpoint.labels if len(checkpoint.labels) == count else _unnamed(count)


def _unnamed(count: int) -> tuple[str, ...]:
    return tuple(f"LABEL_{number}" for number in range(count))


def _config(checkpoint: Checkpoint, *, writes: bool) -> dict[str, Any]:
    """The content of `config.json`.

    Args:
        checkpoint: What is saved.
        writes: Whether how it writes is said in a file of its own.
    """
    family, heads = checkpoint.model.family, list(checkpoint.model.heads)
    config: dict[str, Any] = {
        "architectures": [_architecture(family, heads)],
        **family.to_config(),
        **_described(checkpoint, writes=writes),
        "torch_dtype": "float32",
    }
    if family.pad_token_id >= family.vocab_size:  # the default of published models, where a smaller one names none (Chinese GPT-2)
        config["pad_token_id"] = checkpoint.tokenizer.pad_id
    if labels := _label_names(checkpoint):
        config["id2label"] = {str(number): label for number, label in enumerate(labels)}
        config["label2id"] = {label: number for number, label in enumerate(labels)}
    if problem := checkpoint.task.get("problem_type"):
        config["problem_type"] = problem
    return config


def _described(checkpoint: Checkpoint, *, writes: bool) -> dict[str, Any]:
    """What was said of the model before and still holds.

    How it writes stands in `generation_config.json`, if that is written, and how its authors used it for their tasks is over with a task of its own.
    """
    over = (GENERATION_KEYS if writes else frozenset()) | ({"task_specific_params"} if checkpoint.task else set())
    return {key: value for key, value in checkpoint.model.described.items() if key not in over}


def _architecture(family: Family, heads: Sequence[str]) -> str:
    return family.combined.get(frozenset(heads)) or (family.heads[heads[0]].architecture if heads else family.base_architecture)


def check_tokenizer(tokenizer: Tokenizer, family: Family, where: str) -> None:
    """See that a model has an embedding for every token and every segment.

    Raises:
        CheckpointError: It does not.
    """
    if tokenizer.vocabulary_size > family.vocab_size:
        raise CheckpointError(
            f"the vocabulary in {where} has {tokenizer.vocabulary_size} tokens and the model embeds {family.vocab_size}: they are not of one model"
        )
    segments, known = tokenizer.num_segments, getattr(family, "type_vocab_size", math.inf)
    if segments > known:
        raise CheckpointError(f"the tokenizer in {where} tells {segments} segments apart and the model {known}: type_vocab_size must be {segments}")
