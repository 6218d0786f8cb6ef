"""How `transformers` 5 lists what kind each layer of ModernBERT is, read into the keys of published folders.

    layer_types     = ["full_attention", "sliding_attention", "sliding_attention", "full_attention", …]
    rope_parameters = {"full_attention": {"rope_theta": 160000.0, "rope_type": "default"}, "sliding_attention": {…}}

Published folders say the same with `global_attn_every_n_layers`, `global_rope_theta` and `local_rope_theta`. A list that those keys cannot say is
refused, and so is a rotation that is stretched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

WHOLE, NEAR = "full_attention", "sliding_attention"
THETAS = {WHOLE: "global_rope_theta", NEAR: "local_rope_theta"}
"""The two kinds of layers, and the published keys of their theta."""


def published_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the two lists say, in the keys of published folders; nothing of what those cannot say.

    Example:
        >>> published_keys({"layer_types": ["full_attention", "sliding_attention", "full_attention", "sliding_attention"]})
        {'global_attn_every_n_layers': 2}
    """
    kinds, rope = config.get("layer_types"), config.get("rope_parameters")
    found = {"global_attn_every_n_layers": _every(kinds, len(kinds))} if isinstance(kinds, list) else {}
    for kind, parameters in (rope if isinstance(rope, dict) else {}).items():
        if kind in THETAS and isinstance(parameters, dict):
            found[THETAS[kind]] = parameters.get("rope_theta")
    return {key: value for key, value in found.items() if value is not None}


def not_built(config: Mapping[str, Any], layers: Any) -> Iterator[str]:
    """Everything in the two lists that is not built, one line each.

    Args:
        config: The content of `config.json`.
        layers: How many layers the model has, if that is a number.

    Example:
        >>> for line in not_built({"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, 2):
        ...     print(line.partition(";")[0])
        rope_parameters has {'rope_type': 'yarn'} for 'full_attention'
    """
    kinds, rope = config.get("layer_types"), config.get("rope_parameters") or {}
    if kinds is not None and isinstance(layers, int) and _every(kinds, layers) is None:
        yield f"layer_types is {kinds!r}; built: {WHOLE!r} for the first of {layers} layers and every n-th from there on, {NEAR!r} for all others"
    for kind, parameters in rope.items() if isinstance(rope, dict) else [("", rope)]:
        if not _plain(kind, parameters):
            yield f"rope_parameters has {parameters!r} for {kind!r}; built: a rope_theta and the rope_type 'default' for {WHOLE!r} and {NEAR!r}"


def _every(kinds: Any, layers: int) -> int | None:
    """Every how many layers one sees the whole text, by a list of all layers; None where that is not such a list.

    Lists of few layers can be said in several ways; the published 3 is tried first.
    """
    return next((count for count in (3, *range(1, layers + 1)) if kinds == [NEAR if layer % count else WHOLE for layer in range(layers)]), None)


def _plain(kind: str, parameters: Any) -> bool:
    """Whether this is how all layers of a kind turn, with nothing stretched."""
    known = {"rope_theta", "rope_type"}
    return parameters is None or (
        kind in THETAS and isinstance(parameters, dict) and parameters.keys() <= known and parameters.get("rope_type", "default") == "default"
    )
