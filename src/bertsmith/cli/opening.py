"""Opening a model that a command was given, to use it or to look at it."""

from bertsmith.core.errors import CheckpointError
from bertsmith.models import Checkpoint, load
from bertsmith.tasks import Task
from bertsmith.tasks.opening import task_of


def opened_for_use(model: str, name: str | None = None) -> tuple[Checkpoint, Task]:
    """A fine-tuned model and its task.

    Args:
        model: A folder, a name on the Hub, or `builtin:NAME`.
        name: Of the task; where it is None, the folder has to tell.

    Raises:
        CheckpointError: The folder tells of no task, or has no trained head for it.
    """
    checkpoint = load(model)
    return checkpoint, task_of(checkpoint, model, name)


def opened_to_look(model: str, name: str | None = None) -> tuple[Checkpoint, Task | None]:
    """A model, and its task if it has one: of a pre-trained model there is much to see too.

    Raises:
        CheckpointError: As for `opened_for_use`, where a task is named, here or in the folder.
    """
    checkpoint = load(model)
    try:
        return checkpoint, task_of(checkpoint, model, name)
    except CheckpointError:
        if name is not None or checkpoint.task:
            raise
        return checkpoint, None
