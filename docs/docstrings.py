"""What docstrings of this project mean, for the builder of the site (an extension of griffe).

- `Example:` holds a session at the prompt; the builder knows `Examples:` as that.
- A bare `ClassVar` is no argument of a dataclass; the builder sees that only where it says of what.
- A lone `::` before an indented block is for those who read the source.
"""

import re
from typing import Any

import griffe

REWRITTEN = (
    (re.compile(r"^Example:$", re.MULTILINE), "Examples:"),
    (re.compile(r"^::\n\n", re.MULTILINE), ""),
    (re.compile(r"::\n\n(?= )"), ":\n\n"),
)


class Docstrings(griffe.Extension):
    """Translates while the source is read."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Of everything that can have a docstring."""
        if obj.docstring is not None:
            text = obj.docstring.value
            for pattern, replacement in REWRITTEN:
                text = pattern.sub(replacement, text)
            obj.docstring.value = text

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Of a class."""
        if str(attr.annotation) == "ClassVar":
            attr.labels.discard("instance-attribute")
