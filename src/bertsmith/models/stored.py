"""What the weights of a folder are: their full names in a family, the heads that they make, and which of them belong nowhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bertsmith.checkpoint.weights import WeightTable, modern_name, upright, with_base_prefix
from bertsmith.core.errors import CheckpointError
from bertsmith.models.family import Family, Head, Model, families


def full_names(weights: Mapping[str, Tensor], family: Family, folder: Path) -> dict[str, Tensor]:
    """The weights by their full present names; of a tied weight that is stored by the name of its copy alone, that copy is the weight."""
    full = with_base_prefix([modern_name(name) for name in weights], family.base)
    unknown = _unknown(weights, type(family))
    if 2 * len(unknown) > len(weights):
        likely = " or ".join(_looking_like(weights, len(unknown)))
        seen = f"; their names are those of {likely}" if likely else ""
        question = f"is model_type in {folder / 'config.json'} right?"
        raise CheckpointError(f"{len(unknown)} weights in {folder} do not belong to a {family.model_type} model{seen}: {question}", unknown)
    if twice := [name for name, count in Counter(full[modern_name(name)] for name in weights).items() if count > 1]:
        raise CheckpointError(f"weights in {folder} are there under an old name and under the present one: take out one of each", twice)
    named = family.weights.unfold({full[modern_name(name)]: upright(name, weight) for name, weight in weights.items()})
    tables = [family.weights, *(head.weights for head in family.heads.values())]
    copies = {original: named[copy] for table in tables for copy, original in table.copies.items() if copy in named}
    return {**copies, **named}


def architectures_of(config: Mapping[str, Any]) -> list[str]:
    """The classes of `transformers` that a `config.json` names."""
    named = config.get("architectures")
    return [str(name) for name in named] if isinstance(named, list) else []


def stored_heads(family: Family, weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> list[str]:
    """Heads all of whose weights are there.

    Where two heads share names (`classifier`), the architecture decides; where it does not, or names both (a tagger, and one with a chain on it), a
    head that is wholly part of another gives way to it, and of two with the same names the second to the first.
    """
    architectures = set(architectures_of(config)) - {family.base_architecture}
    names = {head: set(known.weights.rules.values()) for head, known in family.heads.items()}
    named = {head for head in family.heads if family.heads[head].architecture in architectures}
    complete = [name for name, head in family.heads.items() if _is_complete(head, weights, named=name in named)]
    inside = {head for head in named for other in named.intersection(complete) if names[head] < names[other]}
    same = {head for place, head in enumerate(complete) if any(names[head] == names[other] for other in complete[:place])}
    beaten = {head for head in complete for other in complete if names[head] < names[other] or (other in named and names[head] & names[other])} | same
    return [head for head in complete if head in named - inside or head not in beaten]


def _is_complete(head: Head, weights: Mapping[str, Tensor], *, named: bool) -> bool:
    """Whether the weights of a head are there. If the architecture names it, that may be those alone that every file has, or none."""
    names = set(head.weights.rules.values())
    needed = names - set(head.weights.optional) if named else names
    return (named or bool(names)) and all(_has(weights, name) for name in needed)


def is_drawn(head: Head, labels: int, stored_labels: int | None) -> bool:
    """Whether a head that is asked for gets random weights.

    Args:
        head: The head.
        labels: How many it is asked for with.
        stored_labels: How many the one in the folder has; None where there is none.
    """
    if stored_labels is None:
        return not set(head.weights.rules.values()) <= set(head.weights.optional)
    return head.labelled and labels != stored_labels


def _has(weights: Mapping[str, Tensor], template: str) -> bool:
    return (template if "{}" not in template else template.replace("{}", "weight")) in weights


def _unknown(names: Collection[str], family: type[Family]) -> list[str]:
    """The names that no table of a family has."""
    full = with_base_prefix([modern_name(name) for name in names], family.base)
    return sorted(name for name in names if not all(_known(family, part) for part in family.weights.parts(full[modern_name(name)])))


def _looking_like(names: Collection[str], unknown: int) -> list[str]:
    """The families that know most of these names, if they leave fewer than so many unknown."""
    left = {name: len(_unknown(names, kind)) for name, kind in families.items()}
    return [name for name, count in left.items() if count == min(left.values()) < unknown]


def _known(family: Family | type[Family], name: str) -> bool:
    pooler = f"{family.base}.pooler."
    tables = [family.weights, *(head.weights for head in family.heads.values())]
    return name.startswith(pooler) or any(table.ours(name) is not None or table.ignores(name) for table in tables)


def num_labels(family: Family, head: str, weights: Mapping[str, Tensor]) -> int:
    """How many labels a stored head has; 0 where that is not a choice."""
    output = family.heads[head].weights.theirs("output.weight")
    if not family.heads[head].labelled or output is None:
        return 0
    return max(1, len(weights[output])) if weights[output].ndim else 1


def surplus(family: Family, weights: Mapping[str, Tensor], model: Model) -> list[str]:
    """What is in a folder and has no place in the model that its configuration describes, one line each."""
    built = model.backbone.state_dict()
    names = {theirs: family.weights.ours(theirs) for theirs in weights}
    extra = [theirs for theirs, ours in names.items() if ours is not None and ours not in built]
    unknown = [theirs for theirs in weights if not _known(family, theirs)]
    return [
        *(f"{theirs} is there; config.json describes a model without it" for theirs in sorted(extra)),
        *(f"{theirs} is there; no {family.model_type} model has it" for theirs in sorted(unknown)),
    ]


def untied(table: WeightTable, weights: Mapping[str, Tensor]) -> list[str]:
    """Weights that are stored twice for being one, and are two, one line each."""
    return [
        f"{copy} differs from {original}; only models in which the two are one weight are built"
        for copy, original in table.copies.items()
        if copy in weights and original in weights and _differ(weights[copy], weights[original])
    ]


def _differ(first: Tensor, second: Tensor) -> bool:
    """Whether two weights have different values; of outlines nobody knows."""
    return not first.is_meta and not torch.equal(first.float(), second.float())
