"""How a model is tuned: one file per technique; `base.py` says what a technique is. A technique edits a built model; no model knows of techniques."""

from bertsmith.tuning.base import Tuning, tunings

__all__ = ["Tuning", "tunings"]
