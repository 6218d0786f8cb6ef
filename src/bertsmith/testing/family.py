"""What every family of models must be able to do."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bertsmith.core.errors import CheckpointError
from bertsmith.core.types import Batch
from bertsmith.layers.attention import SelfAttention
from bertsmith.layers.cache import Cache
from bertsmith.layers.decoder import EncoderDecoder
from bertsmith.layers.embeddings import Embeddings
from bertsmith.layers.encoder import Encoder
from bertsmith.layers.layout import Layout
from bertsmith.models.family import Family, Model, families
from bertsmith.models.loading import Checkpoint, load, save
from bertsmith.testing.expectations import expect, expect_close, expect_error, expect_same_weights
from bertsmith.testing.tiny import (
    answered,
    label_counts,
    ragged,
    scattered,
    scores_of,
    tiny_family,
    tiny_model,
    tiny_tokenizer,
    with_dropout,
    without_dropout,
)


@dataclass(frozen=True)
class Peer:
    """A model of another implementation, and what it computes.

    Attributes:
        folder: A model folder that it wrote.
        batch: An input.
        states: Its last layer's states for that input, padded.
        scores: What its heads say, by our names of them: one row a sequence, or one row a token.
    """

    folder: Path
    batch: Batch
    states: Tensor
    scores: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])


def check_family(family: str | type[Family], *, config: Mapping[str, Any] | None = None, peers: Sequence[Peer] = ()) -> None:
    """Check that a family keeps what this package promises of all families.

    Its configuration goes there and back; its table of weight names is one-to-one for every head; padding, wherever it stands, changes nothing of
    what is computed for real tokens, and neither does the way a batch lies in memory, nor, where tokens look backwards only, going on step by step;
    every weight is trained; a saved folder opens with the same bits; fresh weights reach everything; what is too long or empty is refused; dropout
    acts while training only.

    Args:
        family: A registered name, or the class.
        config: Keys of `config.json` for a tiny model, where the usual ones (`hidden_size`, …) are not enough.
        peers: Models of another implementation to be compared with, within 1e-5.

    Raises:
        AssertionError: Says what does not hold.

    Example:
        >>> check_family("bert")
    """
    kind = families[family] if isinstance(family, str) else family
    for peer in peers:
        _check_peer(peer)
    tiny = tiny_family(kind, config)
    _check_configuration(kind, tiny)
    for heads in ({}, *({name: count} for name, count in label_counts(kind.heads).items())):
        _check_names(tiny, heads)
        _check_dropout(tiny, heads)
        _check_gradients(tiny, heads)
        _check_saving(tiny, heads)
        _check_fresh_weights(tiny, heads)
    _check_layouts(tiny)
    _check_padding(tiny)
    _check_steps(tiny)
    _check_refusals(tiny)


def _check_configuration(kind: type[Family], tiny: Family) -> None:
    name = kind.model_type
    expect(name in families and families[name] is kind, f"{kind.__name__} is not registered as {name!r}, its model_type")
    content = json.loads(json.dumps(tiny.to_config()))
    expect(content.get("model_type") == name, f"to_config() gives the model_type {content.get('model_type')!r}, not {name!r}")
    expect(kind.from_config(content) == tiny, f"from_config(to_config()) is not the same: {kind.from_config(content)} instead of {tiny}")
    wrong = {**content, "vocab_size": "many", "a_key_that_nobody_knows": 1.5}
    error = expect_error(CheckpointError, lambda: kind.from_config(wrong), "a configuration with two mistakes")
    found = " ".join(getattr(error, "problems", ()))
    expect("vocab_size" in found and "a_key_that_nobody_knows" in found, f"not every mistake of a configuration is named: {error}")


def _check_names(tiny: Family, heads: Mapping[str, int]) -> None:
    model, table = tiny_model(tiny, heads), tiny.table(list(heads))
    published = {ours: table.theirs(ours) for ours in model.state_dict()}
    nameless = [ours for ours, theirs in published.items() if theirs is None]
    expect(not nameless, f"{_of(tiny, heads)}: no published name for {nameless}; add rules to the table")
    expect(len(set(published.values())) == len(published), f"{_of(tiny, heads)}: two weights have one published name: {_twice(published)}")
    astray = {ours: theirs for ours, theirs in published.items() if theirs is not None and table.ours(theirs) != ours}
    expect(not astray, f"{_of(tiny, heads)}: these names do not lead back: {astray}")
    unknown = [copy for copy, original in table.copies.items() if original not in published.values()]
    expect(not unknown, f"{_of(tiny, heads)}: {unknown} are said to be copies of weights that are not there")


def _twice(published: Mapping[str, str | None]) -> list[str]:
    names = list(published.values())
    return sorted({str(name) for name in names if names.count(name) > 1})


def _check_gradients(tiny: Family, heads: Mapping[str, int]) -> None:
    model, batch = tiny_model(without_dropout(tiny), heads).train(), ragged(tiny)
    parts = [scores_of(model, name, batch) for name in heads] or [model(batch).states]
    generator = torch.Generator().manual_seed(3)
    torch.stack([(part * torch.randn(part.shape, generator=generator)).sum() for part in parts]).sum().backward()
    missed = [name for name, weight in model.named_parameters() if weight.grad is None]
    expect(not missed, f"{_of(tiny, heads)}: no gradient reaches {missed}")
    broken = [name for name, weight in model.named_parameters() if weight.grad is not None and not weight.grad.isfinite().all()]
    expect(not broken, f"{_of(tiny, heads)}: the gradients of {broken} are not finite")


def _check_saving(tiny: Family, heads: Mapping[str, int]) -> None:
    model, batch = tiny_model(tiny, heads), ragged(tiny)
    with tempfile.TemporaryDirectory() as place:
        save(Checkpoint(model, tiny_tokenizer(tiny, ())), Path(place) / "model")
        again = load(str(Path(place) / "model"))
    expect(again.model.family == tiny, f"{_of(tiny, heads)}: saved and opened, it is {again.model.family} instead of {tiny}")
    expect(again.stored_heads == frozenset(heads), f"{_of(tiny, heads)}: saved and opened, it has the heads {sorted(again.stored_heads)}")
    expect_same_weights(again.model, model, f"{_of(tiny, heads)}, saved and opened")
    with torch.no_grad():
        expect(torch.equal(again.model(batch).states, model(batch).states), f"{_of(tiny, heads)}: saved and opened, it computes something else")


def _check_fresh_weights(tiny: Family, heads: Mapping[str, int]) -> None:
    first, second = tiny_model(tiny, heads, seed=1), tiny_model(tiny, heads, seed=2)
    for model in (first, second):
        with torch.no_grad():
            for weight in model.parameters():
                weight.fill_(float("nan"))
        model.reinitialise(torch.Generator().manual_seed(7))
    missed = [name for name, weight in first.named_parameters() if not weight.isfinite().all()]
    expect(not missed, f"{_of(tiny, heads)}: reinitialise() does not reach {missed}")
    expect_same_weights(first, second, f"{_of(tiny, heads)}, reinitialised twice from one seed")


def _check_dropout(tiny: Family, heads: Mapping[str, int]) -> None:
    model, batch = tiny_model(tiny, heads), ragged(tiny)
    names = list(heads)
    with torch.no_grad():
        first, second = (_everything(model, names, batch) for _ in range(2))
        same = all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
        expect(same, f"{_of(tiny, heads)}: in evaluation mode, the same input gives different results")
        plain = tiny_model(without_dropout(tiny), heads).train()
        for a, b in zip(first, _everything(plain, names, batch), strict=True):
            expect_close(b, a, f"{_of(tiny, heads)}: training without dropout and evaluation", 1e-4)
        noisy = with_dropout(tiny, 0.5)
        if noisy != tiny:
            dropping = tiny_model(noisy, heads).train()
            differs = any(not torch.equal(a, b) for a, b in zip(first, _everything(dropping, names, batch), strict=True))
            expect(differs, f"{_of(tiny, heads)}: dropout does nothing while training")


def _everything(model: Model, heads: Sequence[str], batch: Batch) -> list[Tensor]:
    return [model(batch).states, *(scores_of(model, name, batch) for name in heads)]


def _check_layouts(tiny: Family) -> None:
    model, batch = tiny_model(tiny, {}), ragged(tiny)
    real = answered(batch)
    with torch.no_grad():
        expected = model(batch).at(real)
        for one_group in (True, False):
            with _replaced(model, "layout", [_layout(one_group)] * 2):
                expect_close(model(batch).at(real), expected, f"{_of(tiny, {})}: states with one_group={one_group}")
        alone = torch.cat([model(_row(batch, row)).states for row in range(len(real))])
        expect_close(expected, alone, f"{_of(tiny, {})}: states of a batch and of its sequences alone")


def _layout(one_group: bool) -> Callable[[Batch], Layout]:
    return lambda batch: Layout.of(batch.attention_mask, one_group=one_group)


def _check_padding(tiny: Family) -> None:
    model, batch = tiny_model(tiny, {}), ragged(tiny)
    real = answered(batch)
    with torch.no_grad():
        expected = model(batch).at(real)
        wider = _padded_to(batch, tiny, model.backbone.embeddings.max_length)
        expect_close(model(wider).at(answered(wider)), expected, f"{_of(tiny, {})}: states with more padding on the right")
        segments = torch.where(batch.attention_mask.bool(), batch.token_type_ids, getattr(tiny, "type_vocab_size", 1) - 1)
        expect_close(model(replace(batch, token_type_ids=segments)).at(real), expected, f"{_of(tiny, {})}: states with other segments at padding")
        holes = scattered(batch, tiny)
        found = model(holes).at(answered(holes))
        alone = torch.cat([_without_holes(model, holes, row) for row in range(len(real))])
        expect_close(found, alone, f"{_of(tiny, {})}: states with padding on the left and inside, and without, at the same positions")


def _padded_to(batch: Batch, tiny: Family, width: int) -> Batch:
    """The same batch, padded on the right to `width` columns."""
    missing = (0, width - batch.input_ids.shape[1])
    padded = (torch.nn.functional.pad(batch.input_ids, missing, value=tiny.pad_token_id), torch.nn.functional.pad(batch.attention_mask, missing))
    target = batch.target and _padded_to(batch.target, tiny, width)
    return Batch(*padded, torch.nn.functional.pad(batch.token_type_ids, missing), target=target)


def _row(batch: Batch, row: int) -> Batch:
    real = batch.attention_mask[row].bool()
    input_ids, mask, segments = (tensor[row][real][None] for tensor in (batch.input_ids, batch.attention_mask, batch.token_type_ids))
    return Batch(input_ids, mask, segments, target=batch.target and _row(batch.target, row))


def _without_holes(model: Model, batch: Batch, row: int) -> Tensor:
    """A sequence by itself, each token at the position that it has in the batch."""
    sides = [batch] if batch.target is None else [batch, batch.target]
    positions = [
        embeddings.positions(side.input_ids)[row][side.attention_mask[row].bool()] for embeddings, side in zip(_embeddings(model), sides, strict=True)
    ]
    with _replaced(model, "positions", [lambda _, given=given: given[None] for given in positions]):
        return model(_row(batch, row)).states


def _embeddings(model: Model) -> list[Embeddings]:
    """Of the source and of the target, or of the only input."""
    backbone = model.backbone
    return [backbone.encoder.embeddings, backbone.decoder.embeddings] if isinstance(backbone, EncoderDecoder) else [backbone.embeddings]


@contextmanager
def _replaced(model: Model, name: str, rules: Sequence[Callable[[Any], Any]]) -> Generator[None]:
    """Other rules for a while, one for each of a model's embeddings."""
    replaced = [(embeddings, embeddings.__dict__.get(name)) for embeddings in _embeddings(model)]
    for (embeddings, _), rule in zip(replaced, rules, strict=False):
        embeddings.__dict__[name] = rule
    try:
        yield
    finally:
        for embeddings, rule in replaced:
            del embeddings.__dict__[name]
            if rule is not None:
                embeddings.__dict__[name] = rule


def _check_steps(tiny: Family) -> None:
    """Token by token, what is in the cache is as good as what came before; the first call takes several."""
    model, batch = tiny_model(tiny, {}), ragged(tiny)
    backbone, target = model.backbone, batch.target or batch
    decoder = backbone.decoder if isinstance(backbone, EncoderDecoder) else backbone
    if isinstance(decoder, Encoder) and not all(part.sight.causal for part in decoder.modules() if isinstance(part, SelfAttention)):
        return
    first, width = 3, target.input_ids.shape[1]
    layers = decoder.layers if isinstance(decoder, Encoder) else len(decoder.blocks)
    with torch.no_grad():
        cache = Cache(layers, torch.ones_like(target.input_ids[:, :first]).bool(), width - first)
        if isinstance(backbone, EncoderDecoder):
            backbone.decoder.remember(backbone.encoder(batch), cache)
        states = torch.cat([decoder.step(columns, cache) for columns in target.input_ids.split([first, *[1] * (width - first)], dim=1)], dim=1)
        expect_close(states[answered(batch)], model(batch).at(answered(batch)), f"{_of(tiny, {})}: states step by step and all at once")


def _check_refusals(tiny: Family) -> None:
    model = tiny_model(tiny, {})
    limit = model.backbone.embeddings.max_length
    expect(limit == tiny.max_length, f"max_length of the family is {tiny.max_length}, that of its embeddings {limit}")
    short, long = ragged(tiny, (3, 1)), ragged(tiny, (limit + 1, 1))
    wrong = {f"a sequence of {limit + 1} tokens": replace(long, target=short.target), "a sequence without tokens": ragged(tiny, (3, 0))}
    if short.target:
        wrong[f"a target of {limit + 1} tokens"] = replace(short, target=long.target)
    with torch.no_grad():
        model(ragged(tiny, (limit, 1)))
        for what, batch in wrong.items():
            expect_error(ValueError, lambda given=batch: model(given), f"{_of(tiny, {})}: {what}")
    name = "a_head_that_nobody_has"
    expect_error(CheckpointError, lambda: tiny.build_model({name: 0}), f"{_of(tiny, {})}: the head {name!r}")


def _check_peer(peer: Peer) -> None:
    name, checkpoint, real = peer.folder.name, load(str(peer.folder)), answered(peer.batch)
    with torch.no_grad():
        expect_close(checkpoint.model(peer.batch).at(real), peer.states[real], f"{name}: states, ours and the peer's")
        for head, scores in peer.scores.items():
            expect(head in checkpoint.model.heads, f"{name}: the head {head!r} was not found in it")
            expect_close(scores_of(checkpoint.model, head, peer.batch), scores, f"{name}: scores of the head {head!r}, ours and the peer's")


def _of(tiny: Family, heads: Mapping[str, int]) -> str:
    return f"{tiny.model_type} with the head {next(iter(heads))!r}" if heads else tiny.model_type
