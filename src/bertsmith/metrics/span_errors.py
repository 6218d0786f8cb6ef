"""What is wrong with entities that were found: which is meant by which, and what sets the two apart.

::

    right   王小明 PER          北京 LOC                  三月 DATE
    said    王小   PER          北京 ORG    大学 ORG
            wrong boundaries    wrong type  invented      missed

Spans of one side do not overlap, so that the same place on both sides is always a pair. Others that overlap are paired by the number of characters
that they share, the largest first; a span is in one pair at most, and what is left over was missed or invented.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from bertsmith.metrics.entities import Span

Pair = tuple[Span | None, Span | None]
"""A right span and the one that was said for it; None where there is none."""

Kind = Literal["right", "wrong boundaries", "wrong type", "wrong boundaries and type", "missed", "invented"]

KINDS: tuple[Kind, ...] = ("right", "wrong boundaries", "wrong type", "wrong boundaries and type", "missed", "invented")


def matched(gold: Sequence[Span], said: Sequence[Span]) -> list[Pair]:
    """Every span of both sides once, in the order of the text.

    Args:
        gold: The right spans of one text, in order, none over another.
        said: Those that were found, likewise.

    Example:
        >>> matched([(0, 3, "PER"), (9, 11, "DATE")], [(0, 2, "PER"), (4, 6, "ORG")])
        [((0, 3, 'PER'), (0, 2, 'PER')), (None, (4, 6, 'ORG')), ((9, 11, 'DATE'), None)]
    """
    shared = sorted(_overlaps(gold, said), key=lambda found: (-found[0], found[1][2] != found[2][2], found[1], found[2]))
    partners: dict[Span, Span] = {}
    taken: set[Span] = set()
    for _, right, given in shared:
        if right not in partners and given not in taken:
            partners[right] = given
            taken.add(given)
    pairs: list[Pair] = [(right, partners.get(right)) for right in gold]
    pairs += [(None, given) for given in said if given not in taken]
    return sorted(pairs, key=lambda pair: next(span for span in pair if span))


def kind_of(gold: Span | None, said: Span | None) -> Kind:
    """What sets the two spans of a pair apart.

    Example:
        >>> kind_of((0, 3, "PER"), (0, 3, "ORG")), kind_of((0, 3, "PER"), None)
        ('wrong type', 'missed')
    """
    if gold is None or said is None:
        return "invented" if gold is None else "missed"
    if gold == said:
        return "right"
    if gold[2] == said[2]:
        return "wrong boundaries"
    return "wrong type" if gold[:2] == said[:2] else "wrong boundaries and type"


def _overlaps(gold: Sequence[Span], said: Sequence[Span]) -> Iterator[tuple[int, Span, Span]]:
    """Spans of either side that share characters, and how many, by walking along both at once."""
    one = other = 0
    while one < len(gold) and other < len(said):
        right, given = gold[one], said[other]
        common = min(right[1], given[1]) - max(right[0], given[0])
        if common > 0:
            yield common, right, given
        if right[1] <= given[1]:
            one += 1
        else:
            other += 1
