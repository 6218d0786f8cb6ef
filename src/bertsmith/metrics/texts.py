"""What the scores of texts have in common: which language they are in, and what a prediction is measured against."""

import re
from collections.abc import Iterable, Sequence

from bertsmith.core.errors import DataError
from bertsmith.text.words import HAN_RANGES

References = Sequence[str | Sequence[str]]
"""For every example the right text, or several that are equally right."""

HAN = re.compile(f"[{''.join(f'{chr(start)}-{chr(end - 1)}' for start, end in HAN_RANGES)}]")

HAN_SHARE = 0.2
"""Of the letters, above which a text counts as Chinese: Chinese text on technology has a half, English text with Chinese names a few in a hundred."""


def is_chinese(texts: Iterable[str]) -> bool:
    """Whether more than a fifth of the letters of these texts, taken together, are Han characters.

    Example:
        >>> is_chinese(["用Python编程", "2018年"]), is_chinese(["Laozi (老子) wrote it"]), is_chinese(["1985"])
        (True, False, False)
    """
    text = " ".join(texts)
    letters = sum(map(str.isalpha, text))
    return len(HAN.findall(text)) > HAN_SHARE * letters


def reference_lists(predictions: Sequence[str], references: References) -> list[list[str]]:
    """The references of every prediction as a list, a single one too.

    Raises:
        DataError: If there is nothing to score, if there are more of one than of the other, or if a prediction has no reference.

    Example:
        >>> reference_lists(["a", "b"], ["A", ["B", "β"]])
        [['A'], ['B', 'β']]
    """
    if not predictions or len(predictions) != len(references):
        raise DataError(f"{len(predictions)} predictions and {len(references)} references: as many of each are needed, and at least 1")
    lists = [[each] if isinstance(each, str) else list(each) for each in references]
    problems = [f"example {number}: no reference" for number, each in enumerate(lists, 1) if not each]
    if problems:
        raise DataError(f"{len(problems)} of {len(lists)} examples have nothing to be compared with; leave them out", problems)
    return lists
