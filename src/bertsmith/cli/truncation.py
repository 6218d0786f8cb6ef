"""Texts that are longer than the model takes: how many there were, and saying so."""

from collections.abc import Iterable

from bertsmith.cli.output import say
from bertsmith.core.types import Features
from bertsmith.inference.engine import Engine


def count_truncated(rows: Iterable[Features]) -> int:
    """Rows that tokens were cut off from."""
    return sum(int(row["truncated"][0] > 0) for row in rows if "truncated" in row)


def say_truncated(truncated: int, total: int, engine: Engine) -> None:
    """Tell the user on standard error, if there is anything to tell."""
    if truncated:
        limit = engine.task.limit if engine.task else f"max_length = {engine.describe()['max_length']}"
        say(f"{truncated:,} of {total:,} texts {'is' if truncated == 1 else 'are'} longer than {limit}; the end was cut off")
