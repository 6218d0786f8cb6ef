"""Everything this package raises on purpose, as one tree.

::

    BertsmithError
    ├── UserError                 a mistake that its maker can mend: exit status 2, no traceback
    │   ├── DataError             a file, a line, a column, a label
    │   ├── CheckpointError       a model folder: config, weights, vocabulary
    │   ├── RecipeError           a recipe or a command line
    │   ├── UnknownNameError      a name that nothing is registered under
    │   └── MissingExtraError     an optional library that is not installed
    └── InterruptedRunError       stopped from outside; what was done is kept

A message says what was wrong, the value, what is allowed and how to mend it. Where several things are wrong, `problems` lists all of them.
"""

from collections.abc import Sequence

SHOWN_PROBLEMS = 20


class BertsmithError(Exception):
    """The root of the tree."""


class UserError(BertsmithError, ValueError):
    """A mistake of the user's.

    Args:
        summary: What is wrong, in one sentence, with the value and what is allowed.
        problems: Every single thing that is wrong, one line each; the message shows the first 20 and counts the rest.

    Example:
        >>> print(UserError("2 lines cannot be read", ["a.tsv:3: 1 column, 2 expected", "a.tsv:9: empty text"]))
        2 lines cannot be read
          a.tsv:3: 1 column, 2 expected
          a.tsv:9: empty text
    """

    def __init__(self, summary: str, problems: Sequence[str] = ()) -> None:
        self.summary = summary
        self.problems = tuple(problems)
        lines = [summary, *(f"  {problem}" for problem in self.problems[:SHOWN_PROBLEMS])]
        if len(self.problems) > SHOWN_PROBLEMS:
            lines.append(f"  … and {len(self.problems) - SHOWN_PROBLEMS:,} more")
        super().__init__("\n".join(lines))


class DataError(UserError):
    """A file, a line, a column or a label that cannot be used."""


class CheckpointError(UserError):
    """A model folder that cannot be read or written."""


class RecipeError(UserError):
    """A recipe or a command line that asks for something impossible."""


class UnknownNameError(UserError):
    """A name that nothing is registered under."""


class MissingExtraError(UserError):
    """An optional library that is not installed.

    Args:
        purpose: What it is needed for.
        extra: The extra that brings it.
    """

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs the extra {extra!r}: pip install 'bertsmith[{extra}]'")


class InterruptedRunError(BertsmithError):
    """A run that was stopped from outside; what it had done is kept and can be resumed."""
