"""Predictions and vectors for any number of texts, in their order, at the speed of the machine.

::

    examples ──4,096 at a time──▶ tokenised ──sorted by length, cut by tokens──▶ batches ──▶ scores ──put back in order──▶ predictions

Nothing is held but the chunk at hand, so the input may be a stream without an end. A batch is a number of tokens and not of texts: batches are then
alike in work and memory whatever the lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from bertsmith.checkpoint.vectors import VectorSettings
from bertsmith.core.chunks import characters, chunks
from bertsmith.core.errors import CheckpointError, RecipeError
from bertsmith.core.precision import PRECISIONS, autocast, resolve
from bertsmith.core.progress import Progress, Silence
from bertsmith.core.types import Batch, Example, Features
from bertsmith.inference.fused import FusedEncoder, obstacle
from bertsmith.inference.lanes import in_lanes
from bertsmith.layers.encoder import Encoder
from bertsmith.layers.heads import POOLINGS
from bertsmith.models.family import Model
from bertsmith.models.loading import Checkpoint, load
from bertsmith.objectives.base import padded_inputs
from bertsmith.tasks.base import Prediction, Task
from bertsmith.tasks.outcome import Outcome, Output, as_array

CHUNK = 4096
"""Examples that are sorted together. More would give batches of more equal lengths, and a stream more delay."""

BATCH_TOKENS = 1024
"""Tokens of a batch: few enough for the widest states to stay in the processor's cache, enough for its matrix products to run at their full rate."""

WRITING_CHUNK = 256
"""The same where texts are written, which takes a hundred times as long as to read them."""

WRITING_TOKENS = 8192
"""Tokens of a batch of sources that something is written about: there are to be enough of them for the many steps of writing."""

WRITTEN = 64
"""Texts that are written at once, beams counted: at every step all weights are read once for all of them."""


class Engine:
    """A model ready for use.

    Args:
        checkpoint: An opened model folder. Its model is moved to the device and put into evaluation mode.
        task: What to predict; None is enough for `embed`. A `max_length` beyond what the model has positions for is lowered to that.
        precision: "float32", "bfloat16", or "auto": bfloat16 where the device has instructions for it.
        batch_tokens: Tokens computed at once, at least 1; a longer sequence is a batch of its own. By default 1,024; of sources that something is
            written about, 8,192.
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
        batch_tokens: int | None = None,
        device: str = "auto",
    ) -> None:
        if batch_tokens is not None and batch_tokens < 1:
            raise RecipeError(f"batch_tokens is {batch_tokens}; it must be at least 1")
        self.device = device_named(device)
        self.precision = resolve(precision, self.device)
        self.tokenizer = checkpoint.tokenizer
        self.settings = checkpoint.vectors or VectorSettings()
        self.max_length = checkpoint.model.family.max_length
        self.task = task and task.within(checkpoint.model.family)
        self._beams = self.task.written if self.task else 0
        self.batch_tokens = batch_tokens or (WRITING_TOKENS if self._beams else BATCH_TOKENS)
        self.chunk = WRITING_CHUNK if self._beams else CHUNK
        self._model = checkpoint.model.eval().to(self.device)
        self._obstacle = self._prepare_to_write() if self._beams else self._prepare_to_read()

    @classmethod
    def open(cls, model: str | Path, task: str | Mapping[str, Any] | None = None, *, precision: str = "auto", device: str = "auto") -> Engine:
        """A model, ready to predict what it was trained for; one that was trained for no task, to make vectors.

        Args:
            model: A folder, `builtin:NAME`, or a name on the Hub.
            task: The task's name, or its table as in a recipe; where it is None, what the folder tells.
            precision: As for the class.
            device: As for the class.

        Raises:
            CheckpointError: The model cannot be opened, or cannot do the task that is asked for, here or in its folder.
            RecipeError: As for the class; or the task's table cannot be used.

        Example:
            >>> Engine.open("builtin:mini-zh").embed(["今天天气很好"]).shape
            (1, 256)
        """
        from bertsmith.tasks.opening import task_of, tells_task  # reads tables, which takes time to learn

        checkpoint = load(str(model))
        found = None if task is None and not tells_task(checkpoint) else task_of(checkpoint, str(model), task)
        return cls(checkpoint, found, precision=precision, device=device)

    @property
    def hidden_size(self) -> int:
        """The length of a vector."""
        return self._model.family.hidden_size

    def describe(self) -> dict[str, str | int]:
        """What was decided: device, precision, how the encoder is computed and why, tokens of a batch and of the longest sequence.

        Example:
            >>> from bertsmith.models import load
            >>> Engine(load("builtin:mini-zh"), precision="float32", device="cpu").describe()["precision"]
            'float32'
        """
        backbone = self._model.backbone
        products = f"fused, {backbone.multiplied_by}" if isinstance(backbone, FusedEncoder) else "fused"
        return {
            "device": str(self.device),
            "precision": self.precision,
            "decoder" if self._beams else "encoder": products if self._obstacle is None else f"ordinary: {self._obstacle}",
            "threads": torch.get_num_threads(),
            "batch_tokens": self.batch_tokens,
            "max_length": self._longest_text() if self.task is None else self.task.max_length,
        }

    def predict(self, examples: Iterable[Example]) -> Iterator[Prediction]:
        """A prediction for every example, in order; labels are not needed.

        Up to 4,096 examples (256 where texts are written), or 2 million characters of them, are taken before the first prediction comes out.

        Raises:
            DataError: Lists the examples that the task cannot use. Predictions of earlier chunks have come out by then.
            RecipeError: The engine was made without a task.
        """
        task = self._known_task()
        for chunk in chunks(examples, self.chunk, characters):
            rows = list(task.encode(chunk, self.tokenizer, labelled=False))
            yield from task.decode(Outcome(self.outputs(rows), rows, chunk, self.tokenizer))

    def outputs(self, rows: Sequence[Features], progress: Progress | None = None) -> list[Output]:
        """What the model says of features, in order.

        Args:
            rows: Of the task's `encode`.
            progress: Whose innermost work goes on by one for every row.

        Raises:
            RecipeError: The engine was made without a task.
        """
        task = self._known_task()
        nothing_random = np.random.default_rng(0)

        def compute(chosen: list[Features]) -> Sequence[Tensor]:
            batch = task.collate(chosen, [nothing_random] * len(chosen), self.tokenizer)
            return task.outputs(self._model, batch.to(self.device))

        return self._in_order(rows, compute, progress or Silence())

    def embed(
        self, texts: Iterable[str], pooling: str | None = None, *, normalise: bool | None = None, max_length: int | None = None
    ) -> Float[np.ndarray, "texts hidden"]:
        """A vector for every text, in order, float32.

        Where nothing else is asked for, they are made as the model's folder says, if it is one of `sentence-transformers`, and equal that package's;
        of any other folder they are the means, of length 1.

        Args:
            texts: Read to the end; for a stream see `vectors`.
            pooling: "mean" of the last states of all tokens, special ones included; or "cls", the first token's.
            normalise: Whether to scale them to length 1, so that a dot product is the cosine.
            max_length: Tokens that are read of a text; never more than the model has positions for.

        Raises:
            RecipeError: The pooling is not known; or `texts` is a single text.
            CheckpointError: The model is not an encoder alone; or its folder asks for what is not computed here, and no pooling is named.
        """
        found = list(self.vectors(texts, pooling, normalise=normalise, max_length=max_length))
        return np.stack(found) if found else np.empty((0, self.hidden_size), np.float32)

    def vectors(
        self, texts: Iterable[str], pooling: str | None = None, *, normalise: bool | None = None, max_length: int | None = None
    ) -> Iterator[Float[np.ndarray, " hidden"]]:
        """The vectors of `embed` one by one, for input that is larger than memory."""
        if isinstance(texts, str):  # which is an iterable of texts too, of its characters
            raise RecipeError(f"texts is one text, {texts[:40]!r}; give a list of them")
        for chunk in chunks(texts, CHUNK, len):
            yield from self.pooled(self.rows_of(chunk, max_length), pooling, normalise=normalise)

    def rows_of(self, texts: Sequence[str], max_length: int | None = None) -> list[Features]:
        """Features of texts for `pooled`, with the number of tokens that were cut off (`truncated`)."""
        limit = min(max_length or self._longest_text(), self.max_length)
        encodings = self.tokenizer.encode_many([self.settings.prepared(text) for text in texts], max_length=limit)
        return [
            {"input_ids": one.input_ids, "token_type_ids": one.token_type_ids, "truncated": np.array([one.truncated], np.int32)} for one in encodings
        ]

    def pooled(self, rows: Sequence[Features], pooling: str | None = None, *, normalise: bool | None = None) -> Float[np.ndarray, "rows hidden"]:
        """The vectors of `embed` for features, in order."""
        if pooling is None:
            self.settings.check()
        pooling = pooling or self.settings.pooling
        unit = self.settings.normalise if normalise is None else normalise
        if pooling not in POOLINGS:
            raise RecipeError(f"pooling is {pooling!r}; allowed: {', '.join(map(repr, POOLINGS))}")
        backbone = self._model.backbone
        if not isinstance(backbone, Encoder):
            raise CheckpointError(
                f"the states of a {self._model.family.model_type} model are those of a target that it writes, not of the text that it reads; "
                "take an encoder, such as BERT, or the states of `model.backbone.encoder`"
            )

        def compute(chosen: list[Features]) -> Sequence[Tensor]:
            batch = Batch(*padded_inputs(chosen, self.tokenizer)).to(self.device)
            pooled = POOLINGS[pooling](backbone(batch, only=batch.first_tokens() if pooling == "cls" else None)).float()
            return list(F.normalize(pooled, dim=1) if unit else pooled)

        found = self._in_order(rows, compute, Silence())
        return np.stack(found) if found else np.empty((0, self.hidden_size), np.float32)

    def _longest_text(self) -> int:
        """Tokens that are read of a text that is to become a vector."""
        return min(self.settings.max_length or self.max_length, self.max_length)

    def _prepare_to_read(self) -> str | None:
        """Lay an encoder out for the processor; what it is that speaks against it, if anything."""
        backbone = self._model.backbone
        if (found := obstacle(backbone)) is None:
            assert isinstance(backbone, Encoder), "anything else is an obstacle"
            self._model = _with_encoder(self._model, FusedEncoder(backbone, PRECISIONS[self.precision]))
        return found

    def _prepare_to_write(self) -> str | None:
        """The same for a model that writes, and its decoder."""
        from bertsmith.generation import Parts, PreparedModel  # which most engines never need
        from bertsmith.inference.fused_decoder import FusedDecoder, fused

        parts = fused(Parts.of(self._model), PRECISIONS[self.precision])
        self._model = PreparedModel(self._model, parts).eval()
        return None if isinstance(parts.decoder, FusedDecoder) else "its decoder is not as it was built, or not on the processor"

    def _known_task(self) -> Task:
        if self.task is None:
            raise RecipeError(
                "there is nothing to predict: the engine is without a task. Fine-tune the model with `bertsmith run RECIPE.toml`, or open it with "
                "the whole table of a task that needs no training: see `bertsmith tasks prompted`"
            )
        return self.task

    def _in_order(self, rows: Sequence[Features], compute: Callable[[list[Features]], Sequence[Tensor]], progress: Progress) -> list[Output]:
        """Compute batches of like length, the longest first, and put the results in the order of `rows`."""
        most = max(1, WRITTEN // self._beams) if self._beams else len(rows)
        runs = list(batches([len(row["input_ids"]) for row in rows], self.batch_tokens, most))

        def computed(run: list[int]) -> list[Output]:
            precision = "float32" if self._obstacle is None else self.precision  # what is fused has its precision in its weights
            with torch.inference_mode(), autocast(precision, self.device):
                return [as_array(output) for output in compute([rows[row] for row in run])]

        results: list[Output] = [np.empty(0)] * len(rows)
        for run, found in zip(runs, in_lanes(computed, runs) if self.device.type == "cpu" else map(computed, runs), strict=True):
            for row, result in zip(run, found, strict=True):
                results[row] = result
            progress.advance(len(run))
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


def batches(lengths: Sequence[int], budget: int, most: int) -> Iterator[list[int]]:
    """Indices of sequences, the longest first, in runs of at most `most` and of `budget` tokens; a longer sequence stands alone.

    Example:
        >>> list(batches([2, 9, 3, 3], 6, 10))
        [[1], [2, 3], [0]]
    """
    run: list[int] = []
    used = 0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        if run and (used + lengths[index] > budget or len(run) == most):
            yield run
            run, used = [], 0
        run.append(index)
        used += lengths[index]
    if run:
        yield run
