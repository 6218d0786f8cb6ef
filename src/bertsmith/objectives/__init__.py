"""What a model is pre-trained on: one file per objective; `base.py` says what an objective is."""

from bertsmith.objectives.base import HeadRequest, Objective, objectives, pad

__all__ = ["HeadRequest", "Objective", "objectives", "pad"]
