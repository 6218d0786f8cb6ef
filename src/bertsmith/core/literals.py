"""Values as TOML writes them; the standard library only reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def literal(value: Any) -> str:
    """A value on one line of TOML; what is None in a table is left out, for TOML has no word for it.

    Example:
        >>> literal({"name": "lora", "targets": ("query", "value"), "scale": 5e-05, "on": True, "seed": None})
        '{ name = "lora", targets = ["query", "value"], scale = 5e-05, on = true }'
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key(name)} = {literal(item)}" for name, item in value.items() if item is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(literal, value))}]"
    return str(value)


def key(name: str) -> str:
    """A key, in quotes where it needs them.

    Example:
        >>> key("batch_size"), key("标签")
        ('batch_size', '"标签"')
    """
    return name if BARE_KEY.fullmatch(name) else literal(name)


def kind(value: Any) -> str:
    """What a value is, in the words of TOML.

    Example:
        >>> kind(3), kind("3"), kind([3])
        ('a whole number', 'a string', 'a list')
    """
    kinds = ((bool, "true or false"), (int, "a whole number"), (float, "a number"), (str, "a string"), (Mapping, "a table"), (Sequence, "a list"))
    return next((words for types, words in kinds if isinstance(value, types)), f"a {type(value).__name__}")
