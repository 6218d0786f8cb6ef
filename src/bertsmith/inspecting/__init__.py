"""Looking into a model: what a text becomes before and inside it. A value that can be shown in a terminal, as a page, or as JSON."""

from bertsmith.inspecting.inspection import Inspection, inspect

__all__ = ["Inspection", "inspect"]
