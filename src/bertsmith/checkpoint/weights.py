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
        return _translate(name, ((theirs, ours) for ours, theirs in self.rules.items()))

    def theirs(self, name: str) -> str | None:
        """The published name for ours; None where no rule knows it."""
        return _translate(name, self.rules.items())

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
        for name, weight in weights.items():
            joined = self.whole(name)
            if joined not in folded:
                parts = self.parts(joined)
                folded[joined] = self._turned(joined, weight if parts == (name,) else torch.cat([weights[part] for part in parts]))
        return folded

    def _turned(self, name: str, weight: Tensor) -> Tensor:
        sideways = weight.ndim == 2 and any(_pattern(template).fullmatch(name) for template in self.transposed)
        return weight.t().contiguous() if sideways else weight

    def whole(self, name: str) -> str:
        """What a part is stored in; most weights are stored by themselves. The reverse of `parts`."""
        return _translate(name, ((part, template) for template, parts in self.joined.items() for part in parts)) or name

    def parts(self, name: str) -> tuple[str, ...]:
        """What the parts of a stored weight are called; most have one, themselves."""
        for template, parts in self.joined.items():
            if match := _pattern(template).fullmatch(name):
                return tuple(part.format(*match.groups()) for part in parts)
        return (name,)


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.escape(template).replace(r"\{\}", r"([^.]+)"))


def _translate(name: str, rules: Iterable[tuple[str, str]]) -> str | None:
    for template, other in rules:
        if match := _pattern(template).fullmatch(name):
            return other.format(*match.groups())
    return None


_OLD_NAMES = {"gamma": "weight", "beta": "bias", "kernel": "weight", "embeddings": "weight"}
_HEADS_PREFIXES = (
    *("cls.", "classifier.", "lm_head.", "qa_outputs.", "discriminator_predictions.", "generator_", "predictions.", "sop_classifier."),
    *("classification_head.", "final_logits_bias"),
)


_WRAPPERS = ("module.", "_orig_mod.")
"""What PyTorch puts in front of the names of a model that is trained on several devices, or compiled."""


def modern_name(name: str) -> str:
    """A weight by its present name.

    The first TensorFlow releases called the weights of norms gamma and beta, Keras models of `transformers` have paths for names, and wrappers of
    PyTorch put their own name in front.

    Example:
        >>> modern_name("module.bert.embeddings.LayerNorm.gamma")
        'bert.embeddings.LayerNorm.weight'
        >>> modern_name("mlm___cls/predictions/transform/dense/kernel:0"), modern_name("bert/encoder/layer_._3/output/dense/bias:0")
        ('cls.predictions.transform.dense.weight', 'bert.encoder.layer.3.output.dense.bias')
    """
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper)
    if "/" in name:
        name = _KERAS_OWNER.sub("", name).removesuffix(":0").replace("_._", ".").replace("/", ".")
    stem, _, last = name.rpartition(".")
    return f"{stem}.{_OLD_NAMES[last]}" if stem and last in _OLD_NAMES else name


_KERAS_OWNER = re.compile(r"^tf_[^/]*/|[^/]*___")


def upright(name: str, weight: Tensor) -> Tensor:
    """A weight, outputs before inputs; Keras stores what it calls a kernel the other way round.

    Args:
        name: That it is stored by.
        weight: As it is stored.
    """
    return weight.t().contiguous() if name.removesuffix(":0").endswith("/kernel") and weight.ndim == 2 else weight


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
