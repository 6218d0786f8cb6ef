"""Texts in, texts out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from bertsmith.core.errors import DataError, RecipeError
from bertsmith.core.precision import PRECISIONS, autocast, resolve
from bertsmith.core.types import Batch
from bertsmith.generation.options import IDS, Generation
from bertsmith.generation.running import Parts
from bertsmith.generation.writing import generate, options_of
from bertsmith.generation.written import Written
from bertsmith.inference.engine import WRITING_TOKENS, WRITTEN, batches, device_named
from bertsmith.inference.fused_decoder import FusedDecoder, fused
from bertsmith.models.loading import Checkpoint


class Writer:
    """A model ready to write: an encoder-decoder that answers to texts, or a decoder that goes on with them.

    Args:
        checkpoint: An opened model folder with the head "lm". Its model is moved to the device and put into evaluation mode.
        precision: "float32", "bfloat16", or "auto": bfloat16 where the device has instructions for it.
        device: "cpu", "cuda", "cuda:1", …, or "auto": CUDA where there is one.

    Attributes:
        options: Those that the model was published with.

    Raises:
        RecipeError: The model cannot generate; a precision or device that is not possible.

    Example:
        >>> import torch
        >>> from bertsmith.generation import Generation
        >>> from bertsmith.models import create, load
        >>> tokenizer = load("builtin:mini-zh").tokenizer
        >>> checkpoint = create("gpt2", tokenizer, {"n_layer": 1, "n_embd": 16, "n_head": 2}, {"lm": 0})
        >>> texts = Writer(checkpoint).write(["今天天气", "我"], Generation(max_new_tokens=5))
        >>> len(texts)
        2
    """

    def __init__(self, checkpoint: Checkpoint, *, precision: str = "auto", device: str = "auto") -> None:
        self.device = device_named(device)
        self.precision = resolve(precision, self.device)
        self.tokenizer = checkpoint.tokenizer
        self.parts = fused(Parts.of(checkpoint.model.eval().to(self.device)), PRECISIONS[self.precision])
        self.options = options_of(checkpoint.model)

    def write(self, texts: Sequence[str], options: Generation | None = None) -> list[str]:
        """A text for every text, in order: the best one, without special tokens.

        Args:
            texts: Sources, of which as much is read as the model has positions for; or beginnings that a decoder goes on with, of which the end is
                read.
            options: How to write; as published by default. Ids of tokens that they leave out are the model's.

        Raises:
            DataError: Lists the texts without a token.
            RecipeError: The options do not fit the model.
        """
        return [self.tokenizer.target.text_of(found[0].input_ids) if found else "" for found in self.written(texts, options)]

    def written(self, texts: Sequence[str], options: Generation | None = None) -> list[list[Written]]:
        """The tokens of `write` with their scores, `num_return_sequences` of them for every text."""
        options = self._completed(options or self.options)
        rows = self._rows(texts, options)
        results: list[list[Written]] = [[] for _ in rows]
        for run in batches([len(row) for row in rows], WRITING_TOKENS, max(1, WRITTEN // options.branches)):
            batch = self._batch([rows[number] for number in run])
            with autocast("float32" if isinstance(self.parts.decoder, FusedDecoder) else self.precision, self.device):
                found = generate(self.parts, batch, options, numbers=run)
            for number, text in zip(run, found, strict=True):
                results[number] = text
        return results

    def _completed(self, options: Generation) -> Generation:
        return replace(options, **{name: getattr(self.options, name) for name in IDS if getattr(options, name) is None})

    def _rows(self, texts: Sequence[str], options: Generation) -> list[np.ndarray]:
        if self.parts.encoder is not None:
            limit = self.parts.encoder.embeddings.max_length
            rows = [one.input_ids for one in self.tokenizer.encode_many(texts, max_length=limit)]
        else:
            limit = self.parts.embeddings.max_length + 1 - options.max_new_tokens
            if limit < 1:
                raise RecipeError(
                    f"max_new_tokens is {options.max_new_tokens}; the model has positions for {limit + options.max_new_tokens - 1} tokens"
                )
            rows = [one.input_ids[-limit:] for one in self.tokenizer.pieces_many(texts)]
        if empty := [f"text {number} is {texts[number]!r}" for number, row in enumerate(rows) if not len(row)]:
            raise DataError(f"{len(empty)} texts have no token to begin with", empty)
        return rows

    def _batch(self, rows: list[np.ndarray]) -> Batch:
        ids = torch.zeros(len(rows), max(len(row) for row in rows), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for number, row in enumerate(rows):
            ids[number, : len(row)], mask[number, : len(row)] = torch.from_numpy(row), 1
        return Batch(ids, mask, torch.zeros_like(ids)).to(self.device)
