"""What every pre-training objective, and therefore every task, must be able to do."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from bertsmith.core.errors import DataError
from bertsmith.core.randomness import generator_at
from bertsmith.core.registry import Registry
from bertsmith.core.types import Batch, Example, Features
from bertsmith.models.family import Model, families
from bertsmith.objectives.base import Objective, objectives
from bertsmith.testing.expectations import expect, expect_close, expect_error, expect_same_batch, expect_same_features, tensors_of
from bertsmith.testing.tiny import TEXTS, texts_of, tiny_family, tiny_model, tiny_tokenizer, without_dropout
from bertsmith.text.tokenizer import Tokenizer

STEPS, LEARNING_RATE = 30, 0.01


def check_objective(objective: str | type[Objective] | Objective, *, examples: Sequence[Example] | None = None, family: str = "bert") -> None:
    """Check that a pre-training objective keeps what the training loop relies on.

    It is a registered, frozen value; encoding is deterministic, takes an iterator and lists every unusable example with its place; a row's draw
    depends on its source of randomness and not on its neighbours; losses are sums that add up over batches, with the counts they belong to; where
    the rows of a batch are said to depend on one another, counts add up, and the order of rows makes no difference; gradients reach the encoder and
    every head it asks for; training on a batch lowers its loss.

    Args:
        objective: A registered name, a class that can be made without arguments, or an instance.
        examples: Data with the columns that it needs; by default a few sentences in Chinese and English.
        family: The family of the model it is tried on.

    Raises:
        AssertionError: Says what does not hold.

    Example:
        >>> check_objective("mlm")
    """
    checked = made(objective, objectives)
    rows = (
        list(examples)
        if examples is not None
        else [Example({"text": text, "document": line}, "corpus.txt", line) for line, text in enumerate(TEXTS, 1)]
    )
    check_value(checked, objectives)
    check_training(checked, rows, family)
    check_missing_columns(checked, rows, checked.columns, family)


def made(thing: str | type[Objective] | Objective, registry: Registry[type[Objective]]) -> Objective:
    """An instance of what was given by name, as a class or as an instance."""
    kind = registry[thing] if isinstance(thing, str) else thing
    return kind() if isinstance(kind, type) else kind


def check_value(checked: Objective, registry: Registry[type[Objective]]) -> None:
    """It is registered, documented, frozen, and the same after a journey to another process."""
    kind = type(checked)
    expect(checked.name in registry and registry[checked.name] is kind, f"{kind.__name__} is not registered as {checked.name!r}, its name")
    expect(
        bool(kind.__doc__) and not str(kind.__doc__).startswith(f"{kind.__name__}("), f"{kind.__name__} has no docstring; its page is made from it"
    )
    frozen = dataclasses.is_dataclass(checked) and type(checked).__dataclass_params__.frozen  # pyright: ignore[reportAttributeAccessIssue]
    expect(frozen, f"{kind.__name__} is not a frozen dataclass")
    expect(pickle.loads(pickle.dumps(checked)) == checked, f"{kind.__name__} is not the same after pickling")


def check_training(checked: Objective, examples: Sequence[Example], family: str) -> None:
    """Everything that the training loop relies on, for one family of models."""
    model, tokenizer = model_for(checked, examples, family)
    rows = check_encoding(checked, examples, tokenizer)
    check_collating(checked, rows, tokenizer)
    check_losses(checked, rows, tokenizer, model)
    check_learning(checked, rows, tokenizer, model)


def model_for(checked: Objective, examples: Sequence[Example], family: str) -> tuple[Model, Tokenizer]:
    """A tiny model without dropout that has the heads which are asked for, and a tokenizer that can write the examples."""
    tokenizer = tiny_tokenizer(tiny_family(families[family]), texts_of(examples))
    tiny = tiny_family(families[family], {"vocab_size": tokenizer.vocabulary_size}, longest=600)
    return tiny_model(without_dropout(tiny), {name: request.labels for name, request in checked.heads().items()}), tokenizer


def check_encoding(checked: Objective, examples: Sequence[Example], tokenizer: Tokenizer) -> list[Features]:
    """Encoding gives well-formed rows, the same at every call."""
    name = type(checked).__name__
    rows = list(checked.encode(iter(examples), tokenizer))
    expect(len(rows) > 1, f"{name}: the examples give {len(rows)} rows; the checks need at least two")
    expect_same_features(list(checked.encode(iter(examples), tokenizer)), rows, f"{name}, encoded twice")
    for number, row in enumerate(rows):
        expect(row.keys() == rows[0].keys(), f"{name}: row {number} has the fields {sorted(row)}, the first one {sorted(rows[0])}")
        odd = [field for field, values in row.items() if values.ndim != 1]
        expect(not odd, f"{name}: the fields {odd} of row {number} are not one-dimensional")
        ids = row["input_ids"]
        expect(ids.dtype == np.int32, f"{name}: input_ids are {ids.dtype}, not int32")
        expect(len(ids) > 0, f"{name}: row {number} has no tokens")
    return rows


def check_missing_columns(checked: Objective, examples: Sequence[Example], columns: Iterable[str], family: str) -> None:
    """Examples that lack a column are all listed, with their places."""
    _, tokenizer = model_for(checked, examples, family)
    for column in columns:
        broken = [
            Example({key: value for key, value in example.values.items() if number % 2 or key != column}, "broken.tsv", number + 1)
            for number, example in enumerate(examples)
        ]
        error = expect_error(DataError, lambda rows=broken: list(checked.encode(rows, tokenizer)), f"examples without {column!r}")
        listed = [problem.split(" ")[0] for problem in getattr(error, "problems", ())]
        expected = [f"broken.tsv:{number + 1}:" for number in range(0, len(examples), 2)]
        expect(listed == expected, f"{type(checked).__name__}: without {column!r} in {expected}, {listed} are listed: {error}")


def collated(checked: Objective, rows: Sequence[Features], tokenizer: Tokenizer, places: Sequence[int] | None = None, epoch: int = 0) -> Batch:
    """A batch of some rows, each with the randomness of its place."""
    chosen = list(range(len(rows))) if places is None else list(places)
    return checked.collate([rows[place] for place in chosen], [generator_at(1, epoch, place) for place in chosen], tokenizer)


def check_collating(checked: Objective, rows: Sequence[Features], tokenizer: Tokenizer) -> None:
    """The same randomness gives the same batch, and a row is the same whatever its neighbours."""
    name = type(checked).__name__
    before = [{key: values.copy() for key, values in row.items()} for row in rows]
    batch = collated(checked, rows, tokenizer)
    expect_same_batch(collated(checked, rows, tokenizer), batch, f"{name}, collated twice from one source of randomness")
    expect_same_features(rows, before, f"{name}: features after collating")
    shapes = {tuple(tensor.shape) for tensor in (batch.input_ids, batch.attention_mask, batch.token_type_ids)}
    expect(len(shapes) == 1 and batch.input_ids.shape[0] >= len(rows), f"{name}: the three inputs have the shapes {shapes} for {len(rows)} rows")
    width, longest = batch.input_ids.shape[1], getattr(checked, "max_length", 10**9)
    expect(width <= longest, f"{name}: sequences have up to {width} tokens; max_length is {longest}")
    fields = tensors_of(batch)
    begins = dict.fromkeys(fields, 0)
    for place in range(len(rows)):
        for field, tensor in tensors_of(collated(checked, rows, tokenizer, [place])).items():
            window = (slice(begins[field], begins[field] + len(tensor)), *(slice(size) for size in tensor.shape[1:]))
            expect(torch.equal(fields[field][window], tensor), f"{name}: {field} of row {place} depends on its neighbours")
            begins[field] += len(tensor)
    left = [field for field, begin in begins.items() if begin != len(fields[field])]
    expect(not left, f"{name}: {left} of a batch are longer than those of its rows together")


def summed(checked: Objective, model: Model, batch: Batch) -> dict[str, Tensor]:
    """The losses of a batch, well-formed."""
    losses = checked.loss(model, batch)
    name = type(checked).__name__
    expect(losses.keys() == batch.counts.keys(), f"{name}: losses {sorted(losses)} and counts {sorted(batch.counts)} have different names")
    expect(bool(losses), f"{name}: there is no loss")
    for term, loss in losses.items():
        expect(loss.ndim == 0 and bool(loss.isfinite()), f"{name}: the loss {term!r} is {loss}, not one finite number")
    return losses


def check_losses(checked: Objective, rows: Sequence[Features], tokenizer: Tokenizer, model: Model) -> None:
    """Losses and counts of a batch are the sums of those of its rows, and gradients reach what is trained."""
    name = type(checked).__name__
    batch = collated(checked, rows, tokenizer)
    singles = [collated(checked, rows, tokenizer, [place]) for place in range(len(rows))]
    together = summed(checked, model, batch)
    apart = [summed(checked, model, single) for single in singles]
    for term, loss in together.items():
        expect(batch.counts[term] == sum(single.counts[term] for single in singles), f"{name}: the counts of {term!r} do not add up over batches")
        if checked.rows_are_independent:
            total = torch.stack([losses[term] for losses in apart]).sum()
            expect_close(loss, total, f"{name}: the loss {term!r} of a batch and the sum of those of its rows", 1e-4)
        else:
            turned = summed(checked, model, collated(checked, rows, tokenizer, range(len(rows))[::-1]))[term]
            expect_close(loss, turned, f"{name}: the loss {term!r} of a batch and that of the same rows in another order", 1e-4)
    torch.stack(list(together.values())).sum().backward()
    for part, module in {"encoder": model.backbone, **dict(model.heads.items())}.items():
        weights = list(module.parameters())  # a language model's head may have none of its own: it multiplies with the embedding
        reached = not weights or any(weight.grad is not None and bool(weight.grad.any()) for weight in weights)
        expect(reached, f"{name}: no gradient reaches the {part}" if part == "encoder" else f"{name}: no gradient reaches the head {part!r}")


def mean_loss(checked: Objective, model: Model, batch: Batch) -> Tensor:
    """What is minimised: the sum of the terms' means."""
    return torch.stack([loss / max(batch.counts[term], 1) for term, loss in summed(checked, model, batch).items()]).sum()


def check_learning(checked: Objective, rows: Sequence[Features], tokenizer: Tokenizer, model: Model) -> None:
    """Training on one batch lowers its loss."""
    batch = collated(checked, rows, tokenizer)
    first, last = trained(checked, model, batch, [{"params": list(model.parameters()), "lr": LEARNING_RATE}])
    expect(last < 0.9 * first, f"{type(checked).__name__}: {STEPS} steps on one batch bring the loss from {first:.4g} to {last:.4g} only")


def trained(checked: Objective, model: Model, batch: Batch, groups: Sequence[Mapping[str, object]]) -> tuple[float, float]:
    """Train on one batch; the loss before and after."""
    optimiser = torch.optim.AdamW([dict(group) for group in groups])
    model.train()
    losses: list[float] = []
    for _ in range(STEPS):
        loss = mean_loss(checked, model, batch)
        losses.append(float(loss.detach()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    return losses[0], losses[-1]
