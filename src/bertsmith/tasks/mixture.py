"""Several objectives over one backbone: multi-task training.

A mixture is an objective like any other: it asks for the heads of all its parts, and a batch belongs to one part. Each part sees a model of its own,
made of the backbone that all share and the heads that it asked for; heads of the same name in two parts are two heads.

Reference: Caruana 1997; Liu et al. 2019, "Multi-Task Deep Neural Networks" (MT-DNN), whose batches are of one task each as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from torch import Tensor

from bertsmith.core.types import Batch, Example, Features
from bertsmith.data.store import PART
from bertsmith.models.family import Model
from bertsmith.objectives.base import HeadRequest, Objective
from bertsmith.tasks.base import Task
from bertsmith.text.tokenizer import Tokenizer

OF_PART = ":"
"""Between the name of a part and that of its head or loss."""


@dataclass(frozen=True, kw_only=True)
class Mixture(Objective):
    """Objectives that are trained together.

    Args:
        parts: By name: pre-training objectives, tasks, or both.
    """

    parts: Mapping[str, Objective]

    name: ClassVar = "mixture"
    best_metric: ClassVar = "mean"
    """The mean of what its tasks are judged by; where none of them is measured, the mean of the losses, `loss`, takes its place."""
    columns: ClassVar = ()

    @property
    def rows_are_independent(self) -> bool:
        """Where those of all parts are."""
        return all(part.rows_are_independent for part in self.parts.values())

    @property
    def validated_by_loss(self) -> bool:
        """No: by what its parts are measured by."""
        return False

    def heads(self) -> Mapping[str, HeadRequest]:
        """All heads of all parts, as `PART:HEAD`."""
        return {f"{name}{OF_PART}{head}": request for name, part in self.parts.items() for head, request in part.heads().items()}

    def view(self, model: Model, name: str) -> Model:
        """The model that a part sees: the shared backbone and its own heads."""
        return model.with_heads({head: model.heads[f"{name}{OF_PART}{head}"] for head in self.parts[name].heads()})

    def encode(self, examples: Iterable[Example], tokenizer: Tokenizer) -> Iterator[Features]:
        """Not here: the data of every part is encoded by the part."""
        raise NotImplementedError("the parts of a mixture encode their data themselves")

    def judged_by(self, name: str, metrics: Mapping[str, float]) -> str:
        """Which of its metrics a part is judged by: its task's own where that was measured, else the loss."""
        part = self.parts[name]
        return part.best_metric if isinstance(part, Task) and part.best_metric in metrics else "loss"

    def collate(self, rows: Sequence[Features], generators: Sequence[np.random.Generator], tokenizer: Tokenizer) -> Batch:
        """A batch of one part; its counts have the part's name in front."""
        [number] = {int(row[PART][0]) for row in rows}
        name = list(self.parts)[number]
        batch = self.parts[name].collate(rows, generators, tokenizer)
        return replace(batch, counts={f"{name}{OF_PART}{term}": count for term, count in batch.counts.items()})

    def loss(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        """The losses of the part that the batch belongs to, with the part's name in front."""
        [name] = {term.partition(OF_PART)[0] for term in batch.counts}
        return {f"{name}{OF_PART}{term}": loss for term, loss in self.parts[name].loss(self.view(model, name), batch).items()}
