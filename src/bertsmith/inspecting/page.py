"""An inspection as one page that stands alone: no file beside it, nothing fetched."""

from __future__ import annotations

import base64
import math
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from bertsmith.inspecting.inspection import Inspection, Seen
from bertsmith.inspecting.tokens import Tokens
from bertsmith.inspecting.vectors import PARTS
from bertsmith.tasks.marked import Marked

TEMPLATE = Path(__file__).parent / "page.html"

EXCERPT = 3000
"""Characters of a text that are shown around what was found in it."""

BEST = 2
"""Scores that are shown of a token."""

LARGEST_ATTENTION = 3_000_000
"""Attention weights in a page, a byte each."""


def page(inspection: Inspection) -> str:
    """The HTML of the page."""
    sequences: list[Seen] = [*inspection.choices] or [inspection]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        inspection=inspection,
        sequences=[{"seen": seen, "groups": _word_groups(seen.tokens), "styles": _styles(seen.tokens)} for seen in sequences],
        styles=_styles(inspection.tokens),
        shares=_shares(inspection),
        longest=max(max(part.norms[name] for name in (*PARTS, "sum")) for seen in sequences for part in seen.contributions),
        marked=inspection.marked and _marked(inspection.marked.excerpt(EXCERPT)),
        data={**inspection.as_json(), "marked": None, "attention": [_attention(seen, LARGEST_ATTENTION // len(sequences)) for seen in sequences]},
    )


def _shares(inspection: Inspection) -> list[tuple[str, float]]:
    """What the probability is divided among: labels, or choices."""
    scores = (inspection.prediction or {}).get("scores", {})
    return [(choice.text, choice.probability) for choice in inspection.choices] or list(scores.items())


def _styles(tokens: Tokens) -> list[str]:
    return ["added" if column.word is None else f"segment-{column.token_type_id}" for column in tokens.columns]


def _word_groups(tokens: Tokens) -> list[dict[str, Any]]:
    """Neighbouring tokens of one word together; [CLS] and [SEP] by themselves."""
    numbered = enumerate(tokens.columns)
    groups = groupby(numbered, key=lambda item: (item[1].word, item[0] if item[1].word is None else 0))
    return [{"word": word, "places": [place for place, _ in members]} for (word, _), members in groups]


def _marked(marked: Marked) -> dict[str, Any]:
    """What was found in a text: the text in pieces, and every token with its scores, the best first where there are many."""
    tokens: list[dict[str, Any]] = []
    for (start, end), scores in zip(marked.spans.tolist(), marked.scores, strict=True):
        named = sorted(zip(marked.names, scores.tolist(), strict=True), key=lambda pair: -pair[1])[:BEST] if len(marked.names) > BEST else None
        tokens.append({"text": marked.text[start:end], "scores": named or list(zip(marked.names, scores.tolist(), strict=True))})
    return {"pieces": marked.pieces(), "tokens": tokens}


def _attention(seen: Seen, most: int) -> dict[str, Any]:
    """At most so many attention weights, all of the first tokens, as bytes: 255 is 1."""
    layers, columns = seen.trace.attention, seen.tokens.columns
    heads = layers[0].shape[1]
    size = min(len(columns), math.isqrt(most // (len(layers) * heads)))
    weights = np.stack([layer[0, :, :size, :size].numpy() for layer in layers])
    data = base64.b64encode(np.rint(weights * 255).astype(np.uint8).tobytes()).decode()
    tokens = [column.token for column in columns[:size]]
    return {
        "layers": len(layers),
        "heads": heads,
        "size": size,
        "of": len(columns),
        "tokens": tokens,
        "styles": _styles(seen.tokens)[:size],
        "data": data,
    }
