"""bertsmith: train, adapt and use BERT-family models from a small labelled set and some raw text.

These names are what most programs need. Each is imported when it is first used, so that `import bertsmith` takes no time; everything else is imported
from where it is.
"""

import gc
import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bertsmith.core.errors import BertsmithError, UserError
    from bertsmith.core.types import Example
    from bertsmith.data.dataset import Dataset
    from bertsmith.data.doctor import examine
    from bertsmith.data.readers import read
    from bertsmith.inference.engine import Engine
    from bertsmith.inspecting.inspection import inspect
    from bertsmith.models.loading import Checkpoint, load, save
    from bertsmith.recipe.run import run
    from bertsmith.recipe.schema import Recipe, parse, read_recipe
    from bertsmith.text.tokenizer import Tokenizer

__all__ = [
    "BertsmithError",
    "Checkpoint",
    "Dataset",
    "Engine",
    "Example",
    "Recipe",
    "Tokenizer",
    "UserError",
    "examine",
    "inspect",
    "load",
    "parse",
    "read",
    "read_recipe",
    "run",
    "save",
]

_HOMES = {
    "BertsmithError": "core.errors",
    "Checkpoint": "models.loading",
    "Dataset": "data.dataset",
    "Engine": "inference.engine",
    "Example": "core.types",
    "Recipe": "recipe.schema",
    "Tokenizer": "text.tokenizer",
    "UserError": "core.errors",
    "examine": "data.doctor",
    "inspect": "inspecting.inspection",
    "load": "models.loading",
    "parse": "recipe.schema",
    "read": "data.readers",
    "read_recipe": "recipe.schema",
    "run": "recipe.run",
    "save": "models.loading",
}
"""Where each of them is defined, within this package."""


def __getattr__(name: str) -> Any:
    """Import one of the names above (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_imported(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def _imported(module: str) -> ModuleType:
    """A module, imported while no garbage is collected: there is next to none, and looking for it takes a tenth of the time.

    What was imported stays, so it is made old at once: the next collection of what is young does not go through all of it.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        if not gc.get_freeze_count():  # else there are objects that the program wants to keep frozen
            gc.freeze()
            gc.unfreeze()  # these go to the oldest generation
        if collecting:
            gc.enable()


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
