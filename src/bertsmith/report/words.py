"""Numbers and languages, as a person reads them."""

from __future__ import annotations

import math
import re
from typing import Any

SHARES = ("accuracy", "f1", "precision", "recall", "exact", "exact_match", "score", "share")
"""Metrics that are shares of something, shown in per cent."""

HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")


def score(value: float | None, name: str) -> str:
    """The value of a metric with this name.

    Example:
        >>> score(0.845, "accuracy"), score(12.345, "perplexity"), score(0.8, "pearson"), score(None, "f1")
        ('84.5%', '12.3', '0.800', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if _is_share(name):
        return f"{value:.1%}"
    return f"{value:,.1f}" if name.endswith("perplexity") else f"{value:.3f}"


def points(difference: float) -> str:
    """A difference of two shares in points of per cent, with its sign.

    Example:
        >>> points(0.013), points(-0.0204), points(0.0)
        ('+1.3', '−2.0', '0.0')
    """
    text = f"{difference * 100:+.1f}"
    return "0.0" if text[1:] == "0.0" else text.replace("-", "−")


def change(difference: float, name: str) -> str:
    """By how much a metric with this name changed, with its sign; a share in points of per cent.

    Example:
        >>> change(0.013, "f1"), change(-0.25, "pearson")
        ('+1.3', '−0.250')
    """
    return points(difference) if _is_share(name) else f"{difference:+.3f}".replace("-", "−")


def plain(name: str) -> str:
    """A name of ours in words.

    Example:
        >>> plain("macro_f1"), plain("mean_squared_error")
        ('macro F1', 'mean squared error')
    """
    return name.replace("_", " ").replace("f1", "F1")


def duration(seconds: float) -> str:
    """Seconds, minutes, hours.

    Example:
        >>> duration(0.42), duration(7.4), duration(75), duration(4000)
        ('0.4 s', '7 s', '1 min 15 s', '1 h 7 min')
    """
    if seconds < 1:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min"


def thousands(number: float) -> str:
    """A whole number.

    Example:
        >>> thousands(41000.2)
        '41,000'
    """
    return f"{number:,.0f}"


def language(text: Any) -> str:
    """The language tag of a text in Chinese characters, by which a browser chooses among their shapes; empty for any other text.

    What the character set of mainland China lacks and that of Taiwan has is Traditional.

    Example:
        >>> language("很好"), language("體驗很糟糕"), language("good")
        ('zh-Hans', 'zh-Hant', '')
    """
    characters = "".join(HAN.findall(str(text)))
    if not characters:
        return ""
    return "zh-Hant" if not _has("gb2312", characters) and _has("big5", characters) else "zh-Hans"


def interval(share: float, number: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of so many examples.

    Example:
        >>> [round(end, 3) for end in interval(0.8, 100)]
        [0.711, 0.867]
    """
    z = 1.96
    centre, spread = share + z * z / (2 * number), z * math.sqrt(share * (1 - share) / number + z * z / (4 * number * number))
    return (centre - spread) / (1 + z * z / number), (centre + spread) / (1 + z * z / number)


def _has(encoding: str, characters: str) -> bool:
    try:
        characters.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _is_share(name: str) -> bool:
    return name.endswith(SHARES) or name.startswith("f1_")
