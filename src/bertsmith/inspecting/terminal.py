"""An inspection as tables for the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

import numpy as np
from jaxtyping import Float
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bertsmith.inspecting.inspection import Inspection
from bertsmith.inspecting.masks import Draw, Fate
from bertsmith.inspecting.tokens import Tokens
from bertsmith.inspecting.vectors import PARTS
from bertsmith.tasks.marked import Marked

Weights = Float[np.ndarray[Any, Any], "length length"]

ROWS = 64
"""Tokens that a table shows."""

FIRST = 16
"""Of them, those from the beginning, where the end is shown as well."""

MAP_TOKENS = 40
"""Tokens that a heat map shows: two characters each."""

LOOKS = 3
"""Tokens that are named as those which a token looks at most."""

EXCERPT = 600
"""Characters of a text that are shown around what was found in it."""

FEW_NAMES = 4
"""Scores of a token that are shown side by side."""

LABELS = 8
"""Labels whose scores are listed."""

SHADES = " ░▒▓█"

WORD_STYLES = ("cyan", "yellow")
SEGMENT_STYLES = ("blue", "magenta")
FATE_STYLES: dict[Fate, str] = {"": "", "masked": "reverse", "replaced": "bold red", "kept": "bold green underline"}


def view(inspection: Inspection, *, embeddings: bool, attention: Weights | None, title: str) -> Iterator[RenderableType]:
    """All parts, one below the other.

    Args:
        inspection: What is shown.
        embeddings: Whether the lengths of the embeddings are.
        attention: These attention weights, if any.
        title: Whose weights they are.
    """
    yield _summary(inspection)
    if inspection.choices:
        yield from _choices(inspection)
    else:
        length = len(inspection.tokens.columns)
        yield from ("", _tokens_table(inspection.tokens, range(length)[:ROWS], length - ROWS))
    if embeddings:
        yield from ("", _embeddings_table(inspection))
    if attention is not None:
        yield from ("", _attention_view(inspection, attention, title))
    if inspection.draws:
        yield from ("", _masks_view(inspection))
    for part in (list(_answers(inspection)), list(_notes(inspection))):
        yield from ["", *part] if part else []


def _choices(inspection: Inspection) -> Iterator[RenderableType]:
    """Every choice with its score and its tokens: of a long sequence the first and the last; of all but the first choice, those that differ."""
    first = inspection.choices[0].tokens.columns
    for number, choice in enumerate(inspection.choices):
        chosen = ("  chosen", "bold green") if choice.is_chosen else ""
        heading = Text.assemble(
            (f"choice {number}: {_on_one_line(choice.text)}", "bold"), f"  {choice.probability:.1%}  score {choice.score:.3f}", chosen
        )
        same = len([*takewhile(lambda pair: pair[0] == pair[1], zip(first, choice.tokens.columns, strict=False))]) if number else 0
        places = range(same, len(choice.tokens.columns))
        shown = places if len(places) <= ROWS else [*places[:FIRST], *places[FIRST - ROWS :]]
        yield from ("", heading)
        if same:
            yield Text(f"the first {same} tokens are those of choice 0", "dim")
        yield _tokens_table(choice.tokens, shown, len(places) - len(shown))


def _cut(left: int) -> str:
    """What is said where not all tokens are shown."""
    return f"… and {left:,} more tokens; --json and --html show them all" if left > 0 else ""


def _summary(inspection: Inspection) -> Text:
    """The model in one line."""
    facts = inspection.facts
    shape = f"{facts['num_layers']} layers × {facts['num_heads']} heads, width {facts['hidden_size']}"
    size = f"{facts['vocabulary_size']:,} tokens in the vocabulary, {facts['num_parameters']:,} parameters"
    return Text.assemble((inspection.model or facts["family"], "bold"), f"  {facts['family']}, {shape}, {size}")


def _tokens_table(tokens: Tokens, places: Sequence[int], left: int) -> RenderableType:
    """The three inputs of some tokens, and the words that they are pieces of; what is said of those that are left out."""
    table = _table("position", "token", "input_id", "token_type_id", "attention_mask", "word", "characters")
    for column in (tokens.columns[place] for place in places):
        special = column.word is None
        style = "dim" if special else WORD_STYLES[(column.word or 0) % 2]
        table.add_row(
            str(column.position),
            Text(column.token, style=style),
            str(column.input_id),
            Text(str(column.token_type_id), style=SEGMENT_STYLES[column.token_type_id % 2]),
            str(column.attention_mask),
            "" if special else Text(f"{column.word} {_on_one_line(tokens.words[column.word or 0])}", style=style),
            Text(_on_one_line(column.text)),
        )
    return _with_remark(table, _cut(left))


def _embeddings_table(inspection: Inspection) -> RenderableType:
    """How long the three embeddings are and how much each points the way of their sum."""
    table = _table("position", "token", *(f"‖{part}‖" for part in PARTS), "‖sum‖", "‖normed‖", *(f"cos {part}" for part in PARTS))
    for column, part in zip(inspection.tokens.columns[:ROWS], inspection.contributions, strict=False):
        norms = [f"{value:.3f}" for value in part.norms.values()]
        cosines = [Text(f"{value:+.2f}", style="bold" if value == max(part.cosines.values()) else "") for value in part.cosines.values()]
        table.add_row(str(column.position), Text(column.token), *norms, *cosines)
    remark = "sum = token + position + segment; normed: after the layer norm, what the first block sees; cos: the angle to the sum"
    return _with_remark(table, _cut(len(inspection.tokens.columns) - ROWS), remark)


def _attention_view(inspection: Inspection, weights: Weights, title: str) -> RenderableType:
    """Which tokens each token looks at most, and a heat map: rows look at columns."""
    columns = inspection.tokens.columns
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
    shown = min(len(columns), MAP_TOKENS)
    for heading in ("", "token", _ruler(shown), "looks at most"):
        table.add_column(heading, no_wrap=True)
    strongest = float(weights[:shown, :shown].max())
    for place in range(shown):
        best = np.argsort(-weights[place])[:LOOKS]
        looks = "  ".join(f"{columns[other].token}·{other} {weights[place, other]:.0%}" for other in best.tolist())
        heat = "".join(2 * _shade(math.sqrt(weight / strongest)) for weight in weights[place, :shown].tolist())
        table.add_row(str(place), Text(columns[place].token), Text(heat, style="cyan"), Text(looks))
    return _with_remark(table, _cut(len(columns) - shown), f"{SHADES[-1]} is {strongest:.0%}; the number behind a token is its place")


def _masks_view(inspection: Inspection) -> RenderableType:
    """Draws of the masked-language-modelling objective, one below the other."""
    legend = Text("masks drawn: what the model would see, ←what it would have to say; (kept) is asked for all the same", "dim")
    return Group(legend, *(_draw_line(number, draw, inspection) for number, draw in enumerate(inspection.draws, 1)))


def _answers(inspection: Inspection) -> Iterator[RenderableType]:
    """What a fine-tuned model says of the text, and what fills its [MASK]s."""
    if inspection.prediction is not None:
        single = {name: value for name, value in inspection.prediction.items() if not _is_list(value)}
        yield Text.assemble(("prediction: ", "bold"), _in_words(single))
        for name, items in inspection.prediction.items():
            if _is_list(items) and not inspection.choices:
                yield from (Text(f"  {name} {number}: {_in_words(item)}") for number, item in enumerate(items, 1))
                yield from () if items else (Text(f"  {name}: none"),)
    if inspection.marked is not None:
        yield from ("", _marked_text(inspection.marked), "", _marked_tokens(inspection.marked))
    for place, guesses in inspection.guesses.items():
        listed = "  ".join(f"{guess.token} {guess.probability:.1%}" for guess in guesses)
        yield Text.assemble((f"{inspection.tokens.columns[place].token} at {place}: ", "bold"), listed)


def _marked_text(marked: Marked) -> Text:
    """The text with what was found in it."""
    shown = Text()
    for part, mark in marked.excerpt(EXCERPT).pieces():
        shown.append(_on_one_line(part), "bold reverse" if mark else "")
        if mark:
            shown.append(f" {mark.name} {mark.score:.0%}", "bold green")
    return shown


def _marked_tokens(marked: Marked) -> RenderableType:
    """The tokens that score highest, in their order: with all of their scores, or with the best one where there are many."""
    shown = np.sort(np.argsort(-marked.scores.max(1, initial=0), kind="stable")[:ROWS])
    few = len(marked.names) <= FEW_NAMES
    table = _table("characters", "token", *(marked.names if few else ("best", "score")))
    for place in shown.tolist():
        (start, end), scores = marked.spans[place].tolist(), marked.scores[place]
        best = int(scores.argmax())
        cells = [f"{score:.1%}" for score in scores.tolist()] if few else [marked.names[best], f"{scores[best]:.1%}"]
        table.add_row(f"{start}-{end}", Text(_on_one_line(marked.text[start:end])), *cells)
    left = len(marked.spans) - len(shown)
    return _with_remark(table, f"… and {left:,} more tokens, which score lower" if left else "")


def _notes(inspection: Inspection) -> Iterator[RenderableType]:
    """What the user should know."""
    for note in inspection.notes:
        yield Text(f"note: {note}", style="yellow")


def _draw_line(number: int, draw: Draw, inspection: Inspection) -> Text:
    line = Text(f"{number:>3}  ")
    for place, (token, fate) in enumerate(zip(draw.tokens[:ROWS], draw.fates, strict=False)):
        original = inspection.tokens.columns[place].token
        shown = {"": token, "kept": f"{token}(kept)"}.get(fate, f"{token}←{original}")
        line.append(shown, FATE_STYLES[fate]).append(" ")
    return line.append(
        f" ({draw.num_hidden} of {len(draw.fates)} tokens{', ' + _cut(len(draw.fates) - ROWS) if len(draw.fates) > ROWS else ''})", "dim"
    )


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in headings:
        text = heading in {"token", "word", "characters"}
        table.add_column(heading, justify="left" if text else "right", no_wrap=True)
    return table


def _with_remark(table: Table, *remarks: str) -> RenderableType:
    return Group(table, *(Text(remark, style="dim") for remark in remarks if remark))


def _on_one_line(text: str) -> str:
    return text.replace("\r", "").replace("\n", "⏎")


def _ruler(length: int) -> str:
    """Numbers over the columns of a heat map, every fifth."""
    return "".join(f"{place:<10}" for place in range(0, length, 5))[: 2 * length]


def _shade(share: float) -> str:
    return SHADES[min(int(share * len(SHADES)), len(SHADES) - 1)]


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return _scores(value)
    return f"{value:.3f}" if isinstance(value, float) else str(value) or "–"


def _scores(scores: Mapping[str, float]) -> str:
    """Labels with their scores, the highest first; of many labels the first."""
    ordered = sorted(scores.items(), key=lambda item: -item[1])
    listed = [f"{name} {score:.3f}" for name, score in ordered[:LABELS]]
    return " · ".join([*listed, *([f"and {len(ordered) - LABELS:,} more"] if len(ordered) > LABELS else [])])


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _in_words(item: Any) -> str:
    """An object without what it has not: an answer that is none has no start and no end."""
    return ", ".join(f"{name} {_value(value)}" for name, value in item.items() if value is not None) if isinstance(item, dict) else _value(item)
