"""One file per family; `family.py` says what a family is, `loading.py` opens and saves model folders."""

from bertsmith.models.family import Family, Head, Model, families
from bertsmith.models.loading import Checkpoint, create, load, save

__all__ = ["Checkpoint", "Family", "Head", "Model", "create", "families", "load", "save"]
