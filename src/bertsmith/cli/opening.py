"""Opening a model to use it: which task it does is in its folder, or can be told from it."""

from collections.abc import Mapping
from typing import Any

from bertsmith.checkpoint.folder import read_json
from bertsmith.core.errors import CheckpointError
from bertsmith.models import Checkpoint, load
from bertsmith.recipe.fields import Place, component
from bertsmith.tasks import Task, tasks


def opened_for_use(model: str, name: str | None = None) -> tuple[Checkpoint, Task]:
    """A fine-tuned model and its task.

    Args:
        model: A folder, a name on the Hub, or `builtin:NAME`.
        name: Of the task; where it is None, the folder has to tell.

    Raises:
        CheckpointError: The folder tells of no task, or has no trained head for it.
    """
    checkpoint = load(model)
    table = task_table(checkpoint, model, name)
    return checkpoint, task_from(checkpoint, model, table)


def opened_to_look(model: str, name: str | None = None) -> tuple[Checkpoint, Task | None]:
    """A model, and its task if it has one: of a pre-trained model there is much to see too.

    Raises:
        CheckpointError: As for `opened_for_use`, where a task is named, here or in the folder.
    """
    checkpoint = load(model)
    try:
        return checkpoint, task_from(checkpoint, model, task_table(checkpoint, model, name))
    except CheckpointError:
        if name is not None or checkpoint.task:
            raise
        return checkpoint, None


def task_table(checkpoint: Checkpoint, model: str, name: str | None = None) -> dict[str, Any]:
    """The task of a checkpoint as a recipe would write it.

    A folder of ours says it in `bertsmith.json`. Of a folder from elsewhere, the head and `problem_type` tell it.

    Raises:
        CheckpointError: Nothing tells it.
    """
    ours = {key: value for key, value in checkpoint.task.items() if key != "problem_type"}
    if ours and name in {None, ours.get("name")}:
        return ours
    if "classification" not in checkpoint.stored_heads or not checkpoint.labels:
        heads = ", ".join(sorted(checkpoint.stored_heads)) or "none"
        raise CheckpointError(
            f"{model} was not fine-tuned for a task that is known here (trained heads: {heads}). "
            "Fine-tune it with `bertsmith run RECIPE.toml`, or name a model that was fine-tuned"
        )
    return {"name": name or _guessed(checkpoint), "labels": checkpoint.labels, "max_length": min(checkpoint.model.family.max_length, 512)}


def task_from(checkpoint: Checkpoint, model: str, table: Mapping[str, Any]) -> Task:
    """The task that a table describes, if the checkpoint has the trained heads for it.

    Raises:
        CheckpointError: Lists what is wrong with the table, or says which head is missing.
    """
    problems: list[str] = []
    task: Task | None = component(tasks, dict(table), Place("task", problems))
    if task is None:
        raise CheckpointError(f"the task of {model} cannot be used", problems)
    lacking = sorted(head for head in task.heads() if head not in checkpoint.stored_heads or head in checkpoint.fresh_heads)
    if lacking:
        heads = ", ".join(sorted(checkpoint.stored_heads)) or "none"
        raise CheckpointError(f"{model} has no trained head {' and '.join(lacking)} for the task {task.name!r} (trained heads: {heads})")
    return task


def _guessed(checkpoint: Checkpoint) -> str:
    assert checkpoint.folder is not None, "it was loaded from a folder"
    problem = read_json(checkpoint.folder / "config.json").get("problem_type")
    if problem == "regression" or len(checkpoint.labels) == 1:
        return "regression"
    return "multi_label" if problem == "multi_label_classification" else "single"
