"""Work is begun and ended whatever happens in it, and every item is told of once."""

import pytest

from bertsmith.core.progress import Progress, Silence, followed, work


class Notes:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def begin(self, what: str, total: float | None, unit: str) -> None:
        self.told.append(("begin", what, total, unit))

    def advance(self, amount: float = 1, **numbers: float) -> None:
        self.told.append(("advance", amount))

    def end(self) -> None:
        self.told.append(("end",))

    def note(self, message: str) -> None:
        self.told.append(("note", message))


def test_work_that_fails_is_ended():
    notes = Notes()
    with pytest.raises(RuntimeError, match="halt"), work(notes, "train", 3, "steps"):
        raise RuntimeError("halt")
    assert notes.told == [("begin", "train", 3, "steps"), ("end",)]


@pytest.mark.parametrize("every", [0.0, 3600.0])
def test_followed_items_are_handed_on_and_all_are_told_of(every: float):
    notes = Notes()
    assert list(followed(iter("abcde"), notes, "read", 5, "lines", every)) == list("abcde")
    assert sum(float(str(told[1])) for told in notes.told if told[0] == "advance") == 5
    assert notes.told[-1] == ("end",)
    if every:
        assert notes.told[1:-1] == [("advance", 5)]


def test_items_that_are_not_fetched_to_the_end_are_ended_all_the_same():
    notes = Notes()
    items = followed(iter("abcde"), notes, "read", None, "lines")
    next(items)
    items.close()
    assert notes.told[-1] == ("end",)


def test_silence_listens_to_everything():
    silence = Silence()
    assert isinstance(silence, Progress)
    with work(silence, "train", None, "steps"):
        silence.advance(3, loss=0.5)
        silence.note("nobody hears this")
