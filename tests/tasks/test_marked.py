"""The places of a text that are right, beside those that were found."""

from bertsmith.tasks.marked import Compared, Mark


def texts(side: object) -> list[str]:
    return [part for part, mark, _ in side.pieces if mark]  # type: ignore[attr-defined]


def test_each_side_is_cut_around_its_own_mistake():
    text = "".join(chr(0x4E00 + number) for number in range(1000))
    right, said = Mark(100, 104, "answer", 1.0), Mark(900, 903, "answer", 0.4)
    wanted, found = Compared("context", text, (right,), (said,)).sides(60)
    assert (texts(wanted), texts(found)) == ([text[100:104]], [text[900:903]])
    assert "".join(part for part, *_ in wanted.pieces) == f"…{text[72:132]}…"
    assert (wanted.left_out, found.left_out) == (0, 0)


def test_where_one_side_has_no_mistake_both_show_the_same_part():
    text = "x" * 500
    both = Mark(10, 12, "PER", 1.0)
    wanted, found = Compared("text", text, (both, Mark(400, 404, "LOC", 1.0)), (both,)).sides(100)
    assert [part for part, *_ in wanted.pieces] == ["…" + "x" * 48, "xxxx", "x" * 48 + "…"]
    assert [part for part, *_ in found.pieces] == ["…" + "x" * 100 + "…"]
    assert (wanted.left_out, found.left_out) == (1, 1), "the one that both have is outside"


def test_a_mark_that_is_longer_than_what_is_shown_is_shown_in_part():
    long = Mark(100, 900, "answer", 1.0)
    wanted, found = Compared("context", "x" * 1000, (long,), ()).sides(50)
    assert [(part, bool(mark)) for part, mark, _ in wanted.pieces] == [("…", False), ("x" * 50, True), ("…", False)]
    assert (wanted.left_out, found.left_out) == (0, 0)


def test_what_both_have_is_told_from_what_one_has():
    marks = (Mark(0, 1, "PER", 1.0), Mark(2, 3, "LOC", 1.0))
    wanted, found = Compared("text", "a b", marks, (Mark(0, 1, "PER", 0.5), Mark(2, 3, "ORG", 0.9))).sides(100)
    assert [(part, agreed) for part, _, agreed in wanted.pieces] == [("a", True), (" ", False), ("b", False)]
    assert [(mark and mark.name, agreed) for _, mark, agreed in found.pieces] == [("PER", True), (None, False), ("ORG", False)]
