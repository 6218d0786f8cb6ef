"""Embeddings and states: how long the vectors are, which way they point, and the vectors themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from bertsmith.core.errors import RecipeError
from bertsmith.core.registry import nearest
from bertsmith.layers.encoder import Trace

PARTS = ("token", "position", "segment")


@dataclass(frozen=True, slots=True)
class Contributions:
    """What each of the three embeddings gives to one token.

    Attributes:
        norms: Euclidean lengths of the token, position and segment embedding, of their `sum`, and of the `total`: the sum after the layer norm.
        cosines: Of the angle between each of the three embeddings and their sum, -1 to 1.
    """

    norms: dict[str, float]
    cosines: dict[str, float]


def contributions_of(trace: Trace) -> list[Contributions]:
    """For every token, in order."""
    vectors = {name: getattr(trace.embeddings, name)[0] for name in PARTS}
    added = sum_of(trace)
    norms = {name: vector.norm(dim=1).tolist() for name, vector in {**vectors, "sum": added, "total": trace.embeddings.total[0]}.items()}
    cosines = {name: F.cosine_similarity(vector, added, dim=1).tolist() for name, vector in vectors.items()}
    return [
        Contributions({name: values[place] for name, values in norms.items()}, {name: values[place] for name, values in cosines.items()})
        for place in range(len(added))
    ]


def sum_of(trace: Trace) -> Float[Tensor, "length hidden"]:
    """The three embeddings added, before the layer norm."""
    parts = trace.embeddings
    return (parts.token + parts.position + parts.segment)[0]


def pull(trace: Trace, name: str) -> Float[np.ndarray[Any, Any], "length hidden"]:
    """Any embedding of every token.

    Args:
        trace: Of one text.
        name: "token", "position", "segment"; "sum" of the three; "layer:0", which is their sum after the layer norm and what the first block sees;
            "layer:N", the output of block N, counted from 1.

    Raises:
        RecipeError: There is no such embedding.
    """
    if name in PARTS:
        return getattr(trace.embeddings, name)[0].numpy()
    if name == "sum":
        return sum_of(trace).numpy()
    kind, _, number = name.partition(":")
    last = len(trace.states) - 1
    if kind == "layer" and number.isdecimal() and int(number) <= last:
        return trace.states[int(number)][0].numpy()
    known = [*PARTS, "sum", "layer:0", f"layer:{last}"]
    raise RecipeError(f"there is no embedding {name!r}{nearest(name, known)}; there are: {', '.join(PARTS)}, sum, layer:0 to layer:{last}")


def attention_of(trace: Trace, layer: int | None, head: int | None) -> Float[np.ndarray[Any, Any], "length length"]:
    """How much every token (row) looks at every token (column); rows sum to 1.

    Args:
        trace: Of one text.
        layer: Which block, from 1; the last by default.
        head: Which of its heads, from 1; by default the mean of all.

    Raises:
        RecipeError: There is no such block or head.
    """
    layers, heads = len(trace.attention), trace.attention[0].shape[1]
    chosen = layers if layer is None else layer
    if not 1 <= chosen <= layers:
        raise RecipeError(f"there is no layer {chosen}; there are 1 to {layers}")
    if head is not None and not 1 <= head <= heads:
        raise RecipeError(f"there is no head {head}; there are 1 to {heads}")
    weights = trace.attention[chosen - 1][0]
    return (weights.mean(0) if head is None else weights[head - 1]).numpy()
