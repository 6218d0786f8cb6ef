"""How amounts are told."""


def plural(count: float, noun: str) -> str:
    """A number and what it counts.

    Example:
        >>> plural(1, "row"), plural(1200, "row")
        ('1 row', '1,200 rows')
    """
    return f"{count:,.0f} {noun}{'' if count == 1 else 's'}"
