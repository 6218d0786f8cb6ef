"""Progress in a terminal and in a log."""

import io

import pytest
from rich.console import Console

from bertsmith.cli import progress as module
from bertsmith.cli.progress import BarProgress, LineProgress, terminal_progress
from bertsmith.core.progress import work


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_a_log_gets_a_line_now_and_then_with_rate_and_estimate(clock: Clock, capsys: pytest.CaptureFixture[str]):
    progress = LineProgress()
    with work(progress, "train", 1200.0, "steps"):
        for _ in range(35):
            clock.now += 1
            progress.advance(10.0, loss=0.53217)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "train 100/1,200 steps · 10 steps/s · 1:50 left · loss 0.532"
    assert len(lines) == 4, "every ten seconds, and at the end"
    assert lines[-1] == "train 350/1,200 steps · 10 steps/s · 1:25 left · loss 0.532"


def test_short_work_leaves_no_line(clock: Clock, capsys: pytest.CaptureFixture[str]):
    progress = LineProgress()
    with work(progress, "read", None, "rows"):
        clock.now += 9
        progress.advance(5.0)
    assert capsys.readouterr().err == ""
    progress.note("a warning")
    assert capsys.readouterr().err == "a warning\n"


def test_work_within_work_is_told_of_by_itself(clock: Clock, capsys: pytest.CaptureFixture[str]):
    progress = LineProgress()
    with work(progress, "train", 4.0, "steps"):
        clock.now += 12
        progress.advance(1.0)
        with work(progress, "evaluate", None, "batches"):
            clock.now += 20
            progress.advance(40.0)
        clock.now += 12
        progress.advance(1.0)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["train", "evaluate", "train"], "none is said twice"
    assert lines[1] == "evaluate 40 batches · 2 batches/s · 20 s so far"


def test_bars_show_what_goes_on_and_leave_a_line(clock: Clock):
    stream = io.StringIO()
    shown = BarProgress(Console(file=stream, force_terminal=True, width=120, color_system=None))
    with work(shown, "train", 8.0, "steps"):
        clock.now += 2
        shown.advance(4.0, loss=0.25)
        shown.note("a [bold] warning")
        with work(shown, "evaluate", None, "batches"):
            shown.advance(3.0)
        assert "4/8" in rendered(shown)
        assert "loss 0.25" in rendered(shown)
        assert "2 steps/s" in rendered(shown)
        assert "evaluate" not in rendered(shown)
        shown.advance(4.0)
    text = stream.getvalue()
    assert "a [bold] warning" in text
    assert text.rstrip().splitlines()[-1].endswith("train 8/8 steps · 4 steps/s · in 2 s · loss 0.25")


def test_bars_are_taken_away_when_work_breaks_off():
    stream = io.StringIO()
    shown = BarProgress(Console(file=stream, force_terminal=True, width=80))
    shown.begin("train", None, "steps")
    shown.close()
    assert stream.getvalue().count("\x1b[?25h") == stream.getvalue().count("\x1b[?25l"), "the cursor is back"


def test_where_standard_error_is_no_terminal_lines_are_written(capsys: pytest.CaptureFixture[str]):
    with terminal_progress() as progress:
        assert isinstance(progress, LineProgress)
        progress.note("said")
    assert tuple(capsys.readouterr()) == ("", "said\n")


def test_in_a_terminal_bars_are_drawn_unless_results_go_there_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with terminal_progress() as progress:
        assert isinstance(progress, BarProgress)
    with terminal_progress(bars=False) as progress:
        assert isinstance(progress, LineProgress)


def rendered(progress: BarProgress) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(progress._bars.get_renderable())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
