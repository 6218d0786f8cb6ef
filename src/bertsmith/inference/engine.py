"""Predictions and vectors for any number of texts, in their order, at the speed of the machine.

::

    examples ──4,096 at a time──▶ tokenised ──sorted by length, cut by tokens──▶ batches ──▶ scores ──put back in order──▶ predictions

Nothing is held but the chunk at hand, so the input may be a stream without an end. A batch is a number of tokens and not of texts: batches are then
alike in work and memory whatever the lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from bertsmith.core.errors import CheckpointError, RecipeError
from bertsmith.core.precision import PRECISIONS, autocast, resolve
from bertsmith.core.types import Batch, Example, Features
from bertsmith.inference.fused import FusedEncoder, obstacle
from bertsmith.inference.lanes import in_lanes
from bertsmith.layers.encoder import Encoder
from bertsmith.layers.heads import POOLINGS, DenseClassifier, PooledClassifier
from bertsmith.models.family import Model
from bertsmith.models.loading import Checkpoint, load
from bertsmith.objectives.base import padded_inputs
from bertsmith.tasks.base import Prediction, Task
from bertsmith.tasks.outcome import Outcome, Output, as_array

CHUNK = 4096
"""Examples that are sorted together. More would give batches of more equal lengths, and a stream more delay."""

BATCH_TOKENS = 1024
"""Tokens of a batch: few enough for the widest states to stay in the processor's cache, enough for its matrix products to run at their full rate."""

FIRST_TOKEN_HEADS = (PooledClassifier, DenseClassifier)
"""Heads that look at the first token's state and at no other."""

Item = TypeVar("Item")


class Engine:
    """A model ready for use.

    Args:
        checkpoint: An opened model folder. Its model is moved to the device and put into evaluation mode.
        task: What to predict; None is enough for `embed`. A `max_length` beyond what the model has positions for is lowered to that.
        precision: "float32", "bfloat16", or "auto": bfloat16 where the device has instructions for it.
        batch_tokens: Tokens computed at once, at least 1; a longer sequence is a batch of its own.
        device: "cpu", "cuda", "cuda:1", …, or "auto": CUDA where there is one.

    Raises:
        RecipeError: A precision, device or number of tokens that is not possible.

    Example:
        >>> from bertsmith.models import load
        >>> engine = Engine(load("builtin:mini-zh"))
        >>> engine.embed(["今天天气很好", "Good morning"]).shape
        (2, 256)
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        task: Task | None = None,
        *,
        precision: str = "auto",
        batch_tokens: int = BATCH_TOKENS,
        device: str = "auto",
    ) -> None:
        if batch_tokens < 1:
            raise RecipeError(f"batch_tokens is {batch_tokens}; it must be at least 1")
        self.device = device_named(device)
        self.precision = resolve(precision, self.device)
        self.batch_tokens = batch_tokens
        self.tokenizer = checkpoint.tokenizer
        self.max_length = checkpoint.model.family.max_length
        self.task = task and replace(task, max_length=min(task.max_length, self.max_length))
        self._model = self._first_token_model = checkpoint.model.eval().to(self.device)
        backbone = checkpoint.model.backbone
        self._obstacle = obstacle(backbone)
        if self._obstacle is None:
            assert isinstance(backbone, Encoder), "anything else is an obstacle"
            fused = FusedEncoder(backbone, PRECISIONS[self.precision])
            self._model = _with_encoder(checkpoint.model, fused)
            self._first_token_model = _with_encoder(checkpoint.model, fused.for_first_token())

    @classmethod
    def open(cls, model: str | Path, task: str | Mapping[str, Any] | None = None, *, precision: str = "auto", device: str = "auto") -> Engine:
        """A fine-tuned model, ready to predict what it was trained for.

        Args:
            model: A folder, `builtin:NAME`, or a name on the Hub.
            task: The task's name, or its table as in a recipe; where it is None, the folder has to tell.
            precision: As for the class.
            device: As for the class.

        Raises:
            CheckpointError: The model cannot be opened, or was not fine-tuned for a task that is known here.
            RecipeError: As for the class; or the task's table cannot be used.
        """
        from bertsmith.tasks.opening import task_of  # reads tables, which takes time to learn

        checkpoint = load(str(model))
        return cls(checkpoint, task_of(checkpoint, str(model), task), precision=precision, device=device)

    def describe(self) -> dict[str, str | int]:
        """What was decided: device, precision, how the encoder is computed and why, tokens of a batch and of the longest sequence.

        Example:
            >>> from bertsmith.models import load
            >>> Engine(load("builtin:mini-zh"), precision="float32", device="cpu").describe()["precision"]
            'float32'
        """
        fused = self._model.backbone
        encoder = f"fused, {fused.multiplied_by}" if isinstance(fused, FusedEncoder) else f"ordinary: {self._obstacle}"
        return {
            "device": str(self.device),
            "precision": self.precision,
            "encoder": encoder,
            "threads": torch.get_num_threads(),
            "batch_tokens": self.batch_tokens,
            "max_length": self.max_length if self.task is None else self.task.max_length,
        }

    def predict(self, examples: Iterable[Example]) -> Iterator[Prediction]:
        """A prediction for every example, in order; labels are not needed.

        Up to 4,096 examples are taken before the first prediction comes out.

        Raises:
            DataError: Lists the examples that the task cannot use. Predictions of earlier chunks have come out by then.
            RecipeError: The engine was made without a task.
        """
        task = self._known_task()
        for chunk in _chunks(examples, CHUNK):
            rows = list(task.encode(chunk, self.tokenizer, labelled=False))
            yield from task.decode(Outcome(self.outputs(rows), rows, chunk, self.tokenizer))

    def outputs(self, rows: Sequence[Features]) -> list[Output]:
        """What the model says of features, in order.

        Raises:
            RecipeError: The engine was made without a task.
        """
        task = self._known_task()
        nothing_random = np.random.default_rng(0)
        only_first = all(isinstance(self._model.heads[name], FIRST_TOKEN_HEADS) for name in task.heads())
        model = self._first_token_model if only_first else self._model

        def compute(chosen: list[Features]) -> Sequence[Tensor]:
            batch = task.collate(chosen, [nothing_random] * len(chosen), self.tokenizer)
            return task.outputs(model, batch.to(self.device))

        return self._in_order(rows, compute)

    def embed(
        self, texts: Iterable[str], pooling: str = "mean", *, normalise: bool = True, max_length: int | None = None
    ) -> Float[np.ndarray, "texts hidden"]:
        """A vector for every text, in order, float32.

        With "mean" and `normalise` these are the vectors of sentence-transformers models such as all-MiniLM-L6-v2.

        Args:
            texts: Read to the end; for a stream see `vectors`.
            pooling: "mean" of the last states of all tokens, special ones included; or "cls", the first token's.
            normalise: Scale to length 1, so that a dot product is the cosine.
            max_length: Tokens that are read of a text; as many as the model has positions for by default.

        Raises:
            RecipeError: The pooling is not known.
            CheckpointError: The model is not an encoder alone.
        """
        found = list(self.vectors(texts, pooling, normalise=normalise, max_length=max_length))
        return np.stack(found) if found else np.empty((0, self._model.family.hidden_size), np.float32)

    def vectors(
        self, texts: Iterable[str], pooling: str = "mean", *, normalise: bool = True, max_length: int | None = None
    ) -> Iterator[Float[np.ndarray, " hidden"]]:
        """The vectors of `embed` one by one, for input that is larger than memory."""
        limit = min(max_length or self.max_length, self.max_length)
        for chunk in _chunks(texts, CHUNK):
            encodings = self.tokenizer.encode_many(chunk, max_length=limit)
            rows: list[Features] = [{"input_ids": one.input_ids, "token_type_ids": one.token_type_ids} for one in encodings]
            yield from self.pooled(rows, pooling, normalise=normalise)

    def pooled(self, rows: Sequence[Features], pooling: str = "mean", *, normalise: bool = True) -> Float[np.ndarray, "rows hidden"]:
        """The vectors of `embed` for features, in order."""
        if pooling not in POOLINGS:
            raise RecipeError(f"pooling is {pooling!r}; allowed: {', '.join(map(repr, POOLINGS))}")
        if not isinstance(self._model.backbone, Encoder):
            raise CheckpointError(
                f"the states of a {self._model.family.model_type} model are those of a target that it writes, not of the text that it reads; "
                "take an encoder, such as BERT, or the states of `model.backbone.encoder`"
            )
        model = self._first_token_model if pooling == "cls" else self._model

        def compute(chosen: list[Features]) -> Sequence[Tensor]:
            batch = Batch(*padded_inputs(chosen, self.tokenizer)).to(self.device)
            pooled = POOLINGS[pooling](model(batch)).float()
            return list(F.normalize(pooled, dim=1) if normalise else pooled)

        found = self._in_order(rows, compute)
        return np.stack(found) if found else np.empty((0, self._model.family.hidden_size), np.float32)

    def _known_task(self) -> Task:
        if self.task is None:
            raise RecipeError("there is nothing to predict: the engine was made without a task")
        return self.task

    def _in_order(self, rows: Sequence[Features], compute: Callable[[list[Features]], Sequence[Tensor]]) -> list[Output]:
        """Compute batches of like length, the longest first, and put the results in the order of `rows`."""
        runs = list(_batches([len(row["input_ids"]) for row in rows], self.batch_tokens))

        def computed(run: list[int]) -> list[Output]:
            precision = "float32" if self._obstacle is None else self.precision  # what is fused has its precision in its weights
            with torch.inference_mode(), autocast(precision, self.device):
                return [as_array(output) for output in compute([rows[row] for row in run])]

        results: list[Output] = [np.empty(0)] * len(rows)
        for run, found in zip(runs, in_lanes(computed, runs) if self.device.type == "cpu" else map(computed, runs), strict=True):
            for row, result in zip(run, found, strict=True):
                results[row] = result
        return results


def _with_encoder(model: Model, encoder: FusedEncoder) -> Model:
    return Model(model.family, encoder, dict(model.heads.items())).eval()


def device_named(name: str) -> torch.device:
    """A device by its name; "auto" is CUDA where there is one.

    Raises:
        RecipeError: There is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch says so in two ways: unknown name, built without
        raise RecipeError(f"device is {name!r}, which cannot be used here: {str(error).splitlines()[0]}") from error


def _chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk


def _batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indices of sequences, the longest first, in runs of at most `budget` tokens; a longer sequence stands alone.

    Example:
        >>> list(_batches([2, 9, 3, 3], 6))
        [[1], [2, 3], [0]]
    """
    run: list[int] = []
    used = 0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        if run and used + lengths[index] > budget:
            yield run
            run, used = [], 0
        run.append(index)
        used += lengths[index]
    if run:
        yield run
