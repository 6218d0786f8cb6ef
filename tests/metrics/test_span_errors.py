"""Which entity that was found is meant for which right one."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from bertsmith.metrics.entities import Span, span_counts
from bertsmith.metrics.span_errors import kind_of, matched


@st.composite
def sides(draw: st.DrawFn) -> list[Span]:
    """Spans of one side, in order, none over another."""
    ends = sorted(draw(st.sets(st.integers(0, 24), max_size=10)))
    pairs = zip(ends[::2], ends[1::2], strict=False)
    return [(start, end, draw(st.sampled_from("AB"))) for start, end in pairs if draw(st.booleans())]


def kinds(gold: list[Span], said: list[Span]) -> list[str]:
    return [kind_of(*pair) for pair in matched(gold, said)]


def test_every_kind_by_hand():
    gold = [(0, 3, "PER"), (5, 7, "LOC"), (8, 10, "LOC"), (12, 15, "ORG"), (20, 22, "PER")]
    said = [(0, 3, "PER"), (5, 7, "ORG"), (8, 11, "LOC"), (13, 16, "LOC"), (17, 18, "ORG")]
    assert kinds(gold, said) == ["right", "wrong type", "wrong boundaries", "wrong boundaries and type", "invented", "missed"]


def test_the_largest_overlap_makes_the_pair():
    assert matched([(0, 6, "A")], [(0, 1, "A"), (1, 6, "B")]) == [(None, (0, 1, "A")), ((0, 6, "A"), (1, 6, "B"))]
    assert matched([(0, 2, "A"), (2, 9, "A")], [(0, 9, "A")]) == [((0, 2, "A"), None), ((2, 9, "A"), (0, 9, "A"))]


def test_of_equal_overlaps_the_same_type_makes_the_pair():
    assert matched([(0, 4, "A")], [(0, 2, "B"), (2, 4, "A")]) == [(None, (0, 2, "B")), ((0, 4, "A"), (2, 4, "A"))]


def test_neighbours_do_not_overlap():
    assert kinds([(0, 2, "A")], [(2, 4, "A")]) == ["missed", "invented"]


@given(sides(), sides())
def test_every_span_is_there_once_and_right_ones_are_those_that_scores_count(gold: list[Span], said: list[Span]):
    pairs = matched(gold, said)
    assert Counter(span for span, _ in pairs if span) == Counter(gold)
    assert Counter(span for _, span in pairs if span) == Counter(said)
    assert all(one is None or other is None or min(one[1], other[1]) > max(one[0], other[0]) for one, other in pairs)
    assert kinds(gold, said).count("right") == span_counts([gold], [said])[0, 0]
    lonely = [(one, other) for one, _ in pairs if one for _, other in pairs if other and (one, None) in pairs and (None, other) in pairs]
    assert all(min(one[1], other[1]) <= max(one[0], other[0]) for one, other in lonely), "none of two that overlap is left over with the other"
