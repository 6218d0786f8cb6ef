"""Text for people, by rich."""

from rich.console import Console

WIDTH_OF_A_PIPE = 120
"""Columns that tables have where there is no terminal to ask."""


def text_console(*, stderr: bool = False) -> Console:
    """Where tables go; wide where it is not a terminal, without colour where `NO_COLOR` is set."""
    console = Console(stderr=stderr, highlight=False, emoji=False, markup=False)
    if not console.is_terminal:
        console.width = WIDTH_OF_A_PIPE
    return console
