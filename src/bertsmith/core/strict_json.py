"""JSON as its standard has it: numbers are finite."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast


def strict(value: Any) -> Any:
    """A value as JSON can hold it: a number that is none (an undefined metric) becomes null.

    Example:
        >>> strict({"spearman": float("nan"), "counts": (1, 2)})
        {'spearman': None, 'counts': [1, 2]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): strict(part) for key, part in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [strict(part) for part in cast("Sequence[Any]", value)]
    return value
