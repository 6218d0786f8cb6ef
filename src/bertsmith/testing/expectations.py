"""How a check says what it expected; unlike the statement `assert`, also where Python was told to leave that out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bertsmith.core.types import Batch, Features

TOLERANCE = 1e-5


def expect(holds: bool, message: str) -> None:
    """Fail with a message unless something holds.

    Raises:
        AssertionError: It does not.
    """
    if not holds:
        raise AssertionError(message)


def expect_close(actual: Tensor, expected: Tensor, what: str, tolerance: float = TOLERANCE) -> None:
    """Two tensors have the same shape and are equal within `tolerance`, absolute and relative."""
    expect(actual.shape == expected.shape, f"{what}: the shape is {list(actual.shape)}, not {list(expected.shape)}")
    difference = (actual - expected).detach().abs()
    largest = float(difference.max()) if difference.numel() else 0.0
    expect(
        bool((difference <= tolerance * (1 + expected.abs())).all()), f"{what}: they differ by up to {largest:.3g}; at most {tolerance:g} is allowed"
    )


def expect_same_weights(actual: nn.Module, expected: nn.Module, what: str) -> None:
    """Two modules have the same weights, bit for bit."""
    ours, theirs = actual.state_dict(), expected.state_dict()
    expect(ours.keys() == theirs.keys(), f"{what}: different weights are there: {sorted(ours.keys() ^ theirs.keys())}")
    different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    expect(not different, f"{what}: these weights changed: {different}")


def expect_same_features(actual: Sequence[Features], expected: Sequence[Features], what: str) -> None:
    """Two lists of features are equal."""
    expect(len(actual) == len(expected), f"{what}: {len(actual)} rows, not {len(expected)}")
    for number, (ours, theirs) in enumerate(zip(actual, expected, strict=True)):
        expect(ours.keys() == theirs.keys(), f"{what}: row {number} has the fields {sorted(ours)}, not {sorted(theirs)}")
        for name in ours:
            expect(np.array_equal(ours[name], theirs[name]), f"{what}: {name} of row {number} is {ours[name]}, not {theirs[name]}")


def expect_same_batch(actual: Batch, expected: Batch, what: str) -> None:
    """Two batches are equal, labels and counts included."""
    ours, theirs = tensors_of(actual), tensors_of(expected)
    expect(ours.keys() == theirs.keys(), f"{what}: different labels: {sorted(ours.keys() ^ theirs.keys())}")
    different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    expect(not different, f"{what}: these are not the same: {different}")
    expect(actual.counts == expected.counts, f"{what}: the counts are {actual.counts}, not {expected.counts}")


def expect_error(kind: type[Exception], action: Callable[[], object], what: str) -> Exception:
    """An action raises an error of this kind, which is returned."""
    try:
        action()
    except kind as error:
        return error
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__} was raised ({error}); expected {kind.__name__}") from error
    raise AssertionError(f"{what}: nothing was raised; expected {kind.__name__}")


def tensors_of(batch: Batch) -> Mapping[str, Tensor]:
    """All tensors of a batch by name; labels as `labels.NAME`, the target's as `target.NAME`."""
    inputs: dict[str, Any] = {name: getattr(batch, name) for name in ("input_ids", "attention_mask", "token_type_ids")}
    target = {} if batch.target is None else {f"target.{name}": tensor for name, tensor in tensors_of(batch.target).items()}
    return {**inputs, **target, **{f"labels.{name}": label for name, label in batch.labels.items()}}
