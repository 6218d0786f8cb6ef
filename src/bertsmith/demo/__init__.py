"""The main job on the built-in model and data, offline: raw text → adapted model → fine-tuned model → predictions, and what each step was worth."""

from bertsmith.demo.running import DemoResult, run

__all__ = ["DemoResult", "run"]
