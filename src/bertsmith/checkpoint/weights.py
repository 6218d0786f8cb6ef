"""One table of weight names that works in both directions.

A rule is a pair of templates, ours and the published one; `{}` stands for one part of a dotted name and keeps its place:

    "blocks.{}.attention.query.{}"  ↔  "bert.encoder.layer.{}.attention.self.query.{}"

Where a family stores several matrices as one, or on their sides, the table says so, and `unfold` and `fold` lead from the stored form to one matrix a
name, outputs before inputs, and back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class WeightTable:
    """Names of weights, ours and theirs.

    Args:
        rules: Our template to theirs. Both have the same number of `{}`.
        ignored: Published names that carry nothing of their own (position ids), as templates.
        copies: Published names of weights that are stored a second time because they are tied, and the names of what they repeat.
        joined: Templates of published weights that are several, one below the other, and the templates that stand for the parts.
        transposed: Templates of published matrices that are stored inputs before outputs.
        optional: Published names of weights that a file may lack; they are zero then.

    Example:
        >>> table = WeightTable({"blocks.{}.query.{}": "bert.layer.{}.q.{}"}, ignored=("bert.position_ids",))
        >>> table.ours("bert.layer.3.q.bias"), table.theirs("blocks.3.query.bias"), table.ours("bert.unheard_of")
        ('blocks.3.query.bias', 'bert.layer.3.q.bias', None)
    """

    rules: Mapping[str, str]
    ignored: tuple[str, ...] = ()
    copies: Mapping[str, str] = field(default_factory=dict[str, str])
    joined: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    transposed: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    _to_ours: tuple[tuple[re.Pattern[str], str], ...] = field(init=False, repr=False, compare=False)
    _to_theirs: tuple[tuple[re.Pattern[str], str], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_to_ours", tuple((_pattern(theirs), ours) for ours, theirs in self.rules.items()))
        object.__setattr__(self, "_to_theirs", tuple((_pattern(ours), theirs) for ours, theirs in self.rules.items()))

    def __or__(self, other: WeightTable) -> WeightTable:
        return WeightTable(
            {**self.rules, **other.rules},
            self.ignored + other.ignored,
            {**self.copies, **other.copies},
            {**self.joined, **other.joined},
            self.transposed + other.transposed,
            self.optional + other.optional,
        )

    def ours(self, name: str) -> str | None:
        """Our name for a published one; None where no rule knows it."""
        return _translate(name, self._to_ours)

    def theirs(self, name: str) -> str | None:
        """The published name for ours; None where no rule knows it."""
        return _translate(name, self._to_theirs)

    def ignores(self, name: str) -> bool:
        """Whether a published name is known to carry nothing of its own."""
        return name in self.copies or any(_pattern(template).fullmatch(name) for template in self.ignored)

    def under(self, prefix: str) -> WeightTable:
        """The same table for a module that stands at `prefix` in ours."""
        return replace(self, rules={f"{prefix}.{ours}": theirs for ours, theirs in self.rules.items()})

    def unfold(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Stored weights with every matrix upright and by itself.

        Example:
            >>> table = WeightTable({}, joined={"{}.qk": ("{}.q", "{}.k")}, transposed=("{}.qk",))
            >>> {name: weight.tolist() for name, weight in table.unfold({"a.qk": torch.tensor([[1, 2], [3, 4]])}).items()}
            {'a.q': [[1, 3]], 'a.k': [[2, 4]]}
        """
        upright = {name: self._turned(name, weight) for name, weight in weights.items()}
        parts: dict[str, Tensor] = {}
        for name, weight in upright.items():
            names = self.parts(name)
            parts |= dict(zip(names, weight.chunk(len(names)), strict=False)) if weight.ndim else {name: weight}
        return parts

    def fold(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The reverse of `unfold`."""
        folded: dict[str, Tensor] = {}
        owners = {part: template for template, parts in self.joined.items() for part in parts}
        patterns = [(_pattern(part), template) for part, template in owners.items()]
        for name, weight in weights.items():
            joined = _translate(name, patterns) or name
            if joined not in folded:
                parts = self.parts(joined)
                folded[joined] = self._turned(joined, weight if parts == (name,) else torch.cat([weights[part] for part in parts]))
        return folded

    def _turned(self, name: str, weight: Tensor) -> Tensor:
        sideways = weight.ndim == 2 and any(_pattern(template).fullmatch(name) for template in self.transposed)
        return weight.t().contiguous() if sideways else weight

    def parts(self, name: str) -> tuple[str, ...]:
        """What the parts of a stored weight are called; most have one, themselves."""
        for template, parts in self.joined.items():
            if match := _pattern(template).fullmatch(name):
                return tuple(part.format(*match.groups()) for part in parts)
        return (name,)


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.escape(template).replace(r"\{\}", r"([^.]+)"))


def _translate(name: str, rules: Iterable[tuple[re.Pattern[str], str]]) -> str | None:
    for pattern, template in rules:
        if match := pattern.fullmatch(name):
            return template.format(*match.groups())
    return None


_OLD_NAMES = {"gamma": "weight", "beta": "bias"}
_HEADS_PREFIXES = (
    *("cls.", "classifier.", "lm_head.", "qa_outputs.", "discriminator_predictions.", "generator_", "predictions.", "sop_classifier."),
    *("classification_head.", "final_logits_bias"),
)


def modern_name(name: str) -> str:
    """A norm's weights by their present names; the first TensorFlow releases called them gamma and beta.

    Example:
        >>> modern_name("bert.embeddings.LayerNorm.gamma")
        'bert.embeddings.LayerNorm.weight'
    """
    stem, _, last = name.rpartition(".")
    return f"{stem}.{_OLD_NAMES[last]}" if last in _OLD_NAMES else name


def with_base_prefix(names: Iterable[str], base: str) -> dict[str, str]:
    """Full names for weights that were saved from a bare encoder, which leaves out its own name at the front.

    Args:
        names: Names in the file.
        base: The encoder's name in a full checkpoint: "bert".

    Returns:
        Name in the file to full name; unchanged where any name already has the prefix.
    """
    known = list(names)
    if any(name.startswith(f"{base}.") for name in known):
        return {name: name for name in known}
    return {name: name if name.startswith(_HEADS_PREFIXES) else f"{base}.{name}" for name in known}
