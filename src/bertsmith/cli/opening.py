"""Opening a model that a command was given, to use it or to look at it."""

from pathlib import Path

from bertsmith.cli.output import say
from bertsmith.core.errors import CheckpointError
from bertsmith.models import Checkpoint, load
from bertsmith.tasks import Task
from bertsmith.tasks.opening import Wanted, task_of, tells_task


def opened_for_use(model: str, task: str | None = None) -> tuple[Checkpoint, Task]:
    """A fine-tuned model and its task, with nothing longer than the model has positions for.

    Args:
        model: A folder, a name on the Hub, or `builtin:NAME`.
        task: As `--task` has it; where it is None, the folder has to tell.

    Raises:
        CheckpointError: The folder tells of no task, or has no trained head for it.
        RecipeError: As for `wanted_task`.
    """
    wanted = wanted_task(task)
    checkpoint = load(model)
    return checkpoint, task_of(checkpoint, model, wanted).within(checkpoint.model.family)


def opened_to_look(model: str, task: str | None = None) -> tuple[Checkpoint, Task | None]:
    """A model, and its task if it has one: of a pre-trained model there is much to see too.

    A task that is only guessed, of a folder from elsewhere, and cannot be done, is said and left out.

    Raises:
        CheckpointError: As for `opened_for_use`, where a task is asked for, here or in the folder.
        RecipeError: As for `wanted_task`.
    """
    wanted = wanted_task(task)
    checkpoint = load(model)
    if wanted is None and not tells_task(checkpoint):
        return checkpoint, None
    try:
        return checkpoint, task_of(checkpoint, model, wanted)
    except CheckpointError as error:
        if wanted is not None or checkpoint.task:
            raise
        say(f"nothing is predicted: {error.summary}")
        return checkpoint, None


def wanted_task(task: str | None) -> Wanted:
    """What `--task` says: a name, or a task's table as a recipe has it, on the command line or in a file.

    A file holds the keys of the table, or the line of a recipe as it stands there (`task = { … }`).

    Raises:
        RecipeError: The file cannot be read, or it is not TOML.

    Example:
        >>> wanted_task("single"), wanted_task('{ name = "single", max_length = 64 }')
        ('single', {'name': 'single', 'max_length': 64})
    """
    if task is None or not (task.startswith("{") or task.endswith(".toml")):
        return task
    from bertsmith.recipe.source import read_text, read_toml  # few ask for it, and recipes take time to learn

    table = read_toml(f"task = {task}", "--task") if task.startswith("{") else read_toml(read_text(Path(task), "file with a task"), task)
    return table.get("task", table)
