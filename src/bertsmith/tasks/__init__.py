"""What a model is fine-tuned for: one file per kind of task; a data set is recipe data, never a class. `base.py` says what a task is."""

from bertsmith.tasks.base import Prediction, Task, tasks
from bertsmith.tasks.outcome import Outcome

__all__ = ["Outcome", "Prediction", "Task", "tasks"]
