"""Which task a model folder does: it is written there, can be told from the head, or is what the user asks of a pre-trained head."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bertsmith.checkpoint.folder import read_json
from bertsmith.core.errors import CheckpointError, RecipeError
from bertsmith.core.fields import Place, component
from bertsmith.layers.decoder import EncoderDecoder
from bertsmith.models.loading import Checkpoint
from bertsmith.objectives.remedy import without_head
from bertsmith.tasks import Task, tasks
from bertsmith.tasks.vectors import SentenceVectors, rewritten

TASKS_OF_HEADS = {"tagging": "tagging", "crf": "tagging", "span": "extractive_qa", "choice": "multiple_choice"}
"""Tasks that a head tells of by itself."""

LONGEST = 512
"""Tokens that are read of a text by a model from elsewhere, which does not say."""

Wanted = str | Mapping[str, Any] | None
"""What the user says of a task: its name, its whole table as in a recipe, or nothing."""


def task_of(checkpoint: Checkpoint, model: str, wanted: Wanted = None) -> Task:
    """The task of a fine-tuned model, or one that a pre-trained model can do as it is.

    A folder of ours says it in `bertsmith.json`. Of a folder from elsewhere, the head and `problem_type` tell it.

    Args:
        checkpoint: The model, opened.
        model: What the user called it, for messages.
        wanted: The task's name or its table; where it is None, the folder has to tell. A table counts, whatever the folder says.

    Raises:
        CheckpointError: The folder tells of no task, its table cannot be used, or it has no trained head for it.
        RecipeError: The table that is wanted cannot be used.
    """
    problems: list[str] = []
    task: Task | None = component(tasks, _table(checkpoint, model, wanted), Place("task", problems))
    if task is None and isinstance(wanted, Mapping):
        raise RecipeError("the task that is asked for cannot be used", problems)
    if task is None:
        raise CheckpointError(f"the task of {model} cannot be used", problems)
    for option, reason in task.misfits(checkpoint.model.family):
        if not option:  # one that asks for too much is lowered to what the model has
            raise CheckpointError(f"{model} cannot do the task {task.name!r}: {reason}")
    if task.has_labels and not task.labels and checkpoint.labels:
        task = replace(task, labels=checkpoint.labels)
    lacking = sorted(head for head in task.heads() if head not in checkpoint.stored_heads or head in checkpoint.fresh_heads)
    pretrained = [head for head in lacking if task.heads()[head].pretrained]
    if pretrained:
        raise CheckpointError("\n\n".join(without_head(head, model) for head in pretrained))
    if lacking:
        raise CheckpointError(f"{model} has no trained head {' and '.join(lacking)} for the task {task.name!r} ({_trained(checkpoint)})")
    _check_size(checkpoint, model, task)
    task.check(checkpoint.tokenizer)
    return task


def tells_task(checkpoint: Checkpoint) -> bool:
    """Whether a folder tells what its model was trained for, so that `task_of` need not be told."""
    found = _guessed(checkpoint)
    return bool(checkpoint.task) or (found is not None and not _lacks_labels(checkpoint, found))


def _lacks_labels(checkpoint: Checkpoint, name: str) -> bool:
    return name in tasks and tasks[name].has_labels and not checkpoint.labels


def _table(checkpoint: Checkpoint, model: str, wanted: Wanted) -> Mapping[str, Any]:
    """The task as a recipe would write it."""
    if isinstance(wanted, Mapping):
        return {"max_length": _longest(checkpoint), **wanted}
    ours = {key: value for key, value in checkpoint.task.items() if key != "problem_type"}
    if ours and wanted in {None, ours.get("name")}:
        return ours
    found = wanted or _guessed(checkpoint)
    if found is None or _lacks_labels(checkpoint, found):
        raise CheckpointError(
            f"{model} was not fine-tuned for a task that is known here ({_trained(checkpoint)}). "
            "Fine-tune it with `bertsmith run RECIPE.toml`, name a model that was fine-tuned, or give the whole table of a task that needs no "
            "training: see `bertsmith tasks prompted`"
        )
    labels = {"labels": checkpoint.labels} if found not in tasks or tasks[found].has_labels else {}
    options = tasks[found].as_published(checkpoint.model) if found in tasks else {}
    return {"name": found, **labels, "max_length": _longest(checkpoint), **_pooling(checkpoint, found), **options}


def _pooling(checkpoint: Checkpoint, name: str) -> Mapping[str, Any]:
    """How a task of vectors is to make them, where the model's folder says it.

    Raises:
        CheckpointError: The folder's vectors are not computed here, or are those of texts that are changed before they are read.
    """
    settings = checkpoint.vectors
    if settings is None or name not in tasks or not issubclass(tasks[name], SentenceVectors):
        return {}
    settings.check()
    if how := rewritten(settings, checkpoint.tokenizer):
        raise CheckpointError(
            f"the folder has {how}, and the task {name!r} reads texts as they are: its scores would not be those of the folder's vectors. Write the "
            f"texts so in the data, and give the whole table: {{ name = '{name}', pooling = '{settings.pooling}' }}"
        )
    longest = checkpoint.model.family.max_length
    return {"pooling": settings.pooling, "max_length": min(settings.max_length or longest, longest)}


def _check_size(checkpoint: Checkpoint, model: str, task: Task) -> None:
    """A head that says something else has as many outputs by chance alone."""
    wanted = {request.labels for request in task.heads().values() if request.labels}
    if checkpoint.labels and wanted - {len(checkpoint.labels)}:
        names = ", ".join(checkpoint.labels[:10])
        raise CheckpointError(
            f"the head of {model} has {len(checkpoint.labels)} outputs ({names}), and the task {task.name!r} with the labels "
            f"{', '.join(task.labels[:10])} takes {max(wanted)}: it was fine-tuned for something else"
        )


def _longest(checkpoint: Checkpoint) -> int:
    return min(checkpoint.model.family.max_length, LONGEST)


def _guessed(checkpoint: Checkpoint) -> str | None:
    for head, name in TASKS_OF_HEADS.items():
        if head in checkpoint.stored_heads and name in tasks:
            return name
    if "lm" in checkpoint.stored_heads and isinstance(checkpoint.model.backbone, EncoderDecoder):
        return "text_to_text"  # a decoder alone can go on with any text, and has learned to answer to none
    if "classification" not in checkpoint.stored_heads:
        return None
    assert checkpoint.folder is not None, "it was loaded from a folder"
    problem = read_json(checkpoint.folder / "config.json").get("problem_type")
    if problem == "regression" or len(checkpoint.labels) == 1:
        return "regression"
    return "multi_label" if problem == "multi_label_classification" else "single"


def _trained(checkpoint: Checkpoint) -> str:
    return f"trained heads: {', '.join(sorted(checkpoint.stored_heads)) or 'none'}"
