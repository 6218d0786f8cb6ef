"""What `import bertsmith` gives: these names, and the time until they are there."""

import importlib
import subprocess
import sys

import pytest

import bertsmith

NAMES = [
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
"""A name that goes, or that is given to something else, breaks other people's programs: it takes a new major version."""


def test_the_names():
    assert bertsmith.__all__ == NAMES
    assert set(NAMES) <= set(dir(bertsmith))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_the_thing_that_is_defined_elsewhere(name: str):
    thing = getattr(bertsmith, name)
    assert getattr(importlib.import_module(thing.__module__), thing.__qualname__) is thing
    assert thing.__module__.startswith("bertsmith.")
    assert thing.__doc__


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'Trainer'"):
        _ = bertsmith.Trainer  # type: ignore[attr-defined]


def test_importing_the_package_imports_nothing_heavy():
    program = "import sys, bertsmith; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {"torch", "numpy", "tokenizers", "datasets", "bertsmith.core"}.isdisjoint(modules)


def test_a_name_imports_no_more_than_it_needs():
    program = "import sys, bertsmith; bertsmith.UserError; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "bertsmith.core.errors" in modules
    assert {"torch", "bertsmith.models"}.isdisjoint(modules)


def test_what_was_imported_is_old_to_the_garbage_collector():
    program = "import gc, bertsmith; bertsmith.load; print(len(gc.get_objects(generation=0)), gc.get_freeze_count(), gc.isenabled())"
    young, frozen, enabled = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert int(young) < 5000  # torch alone brings a hundred thousand
    assert (frozen, enabled) == ("0", "True")


def test_objects_that_a_program_has_frozen_stay_frozen():
    program = "import gc, bertsmith; kept = [[] for _ in range(1000)]; gc.freeze(); bertsmith.load; print(gc.get_freeze_count())"
    assert int(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout) >= 1000
