"""Recipes: a TOML file that says what is trained, on what and from where; checked as a whole, then run stage by stage."""

from bertsmith.recipe.schema import Recipe, Stage, StageData, parse, read_recipe
from bertsmith.recipe.writing import to_toml

__all__ = ["Recipe", "Stage", "StageData", "parse", "read_recipe", "to_toml"]
