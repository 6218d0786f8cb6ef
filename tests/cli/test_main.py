"""The frame: exit statuses, help, errors, streams."""

import errno
import json
import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from bertsmith.cli import main
from bertsmith.cli.main import COMMANDS, run
from bertsmith.core.errors import InterruptedRunError, UserError
from tests.cli.conftest import Cli

HELP_SECONDS = 0.3
CONTRACT = "demo run predict evaluate inspect check embed convert models objectives tasks tunings".split()
HEAVY = ("torch", "numpy", "tokenizers", "rich", "pydantic", "bertsmith.models", "bertsmith.core.types")


def started(*arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bertsmith", *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_the_commands_are_those_of_the_contract():
    assert list(COMMANDS) == CONTRACT


def test_without_arguments_the_commands_are_listed(cli: Cli):
    ran = cli()
    assert ran.status == 0
    assert all(re.search(rf"^  {name} ", ran.out, re.MULTILINE) for name in CONTRACT)
    assert "..." not in ran.out.partition("Commands:")[2].partition("Start here")[0], "a first line is too long for the list"


@pytest.mark.parametrize("command", CONTRACT)
def test_every_command_has_help_with_an_example(cli: Cli, command: str):
    ran = cli(command, "--help")
    assert (ran.status, ran.err) == (0, "")
    assert "Example:\n  " in ran.out
    assert re.search(rf"^ +(.*\| )?bertsmith {command}\b", ran.out, re.MULTILINE)


@pytest.mark.parametrize("arguments", [["--help"], ["predict", "--help"], ["inspect", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]):
    code = (
        f"import sys; from bertsmith.cli.main import run; run({arguments}); print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stderr.strip() == "[]"


@pytest.mark.parametrize("arguments", [["--help"], ["inspect", "--help"]])
def test_help_is_there_at_once(arguments: list[str]):
    def seconds() -> float:
        before = os.times()
        subprocess.run([sys.executable, "-m", "bertsmith", *arguments], check=True, capture_output=True)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(seconds() for _ in range(5)) < HELP_SECONDS, "of processor time, so that a busy machine does not count"


def test_a_mistyped_command_and_option_are_corrected(cli: Cli):
    ran = cli("predit")
    assert (ran.status, ran.out) == (2, "")
    assert "error: No such command 'predit'" in ran.err
    assert "predict" in ran.err.partition("predit'")[2]
    ran = cli("predict", "MODEL", "INPUT", "--outptu", "x")
    assert ran.status == 2
    assert "--output" in ran.err
    assert "bertsmith predict --help" in ran.err


def test_a_missing_argument_is_a_mistake(cli: Cli):
    ran = cli("predict")
    assert ran.status == 2
    assert "MODEL" in ran.err


def test_version(cli: Cli):
    ran = cli("--version")
    assert ran.status == 0
    assert re.fullmatch(r"bertsmith \d+\.\d+.*\n", ran.out)


def raising(error: BaseException) -> typer.Typer:
    app = typer.Typer()

    @app.command()
    def command() -> None:
        raise error

    return app


def status_of(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    monkeypatch.setattr(main, "application", lambda _: raising(error))
    return run(["demo"])


def test_a_users_mistake_is_2_and_lists_its_problems(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert status_of(monkeypatch, UserError("2 lines [bold]cannot[/bold] be read", ["a:1: empty", "a:2: empty"])) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: 2 lines [bold]cannot[/bold] be read\n  a:1: empty\n  a:2: empty\n"


def test_a_failure_of_ours_is_1_with_a_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert status_of(monkeypatch, ZeroDivisionError("oops")) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "ZeroDivisionError: oops" in err
    assert "failure of bertsmith" in err
    assert "report" in err


@pytest.mark.parametrize(
    ("error", "said"), [(KeyboardInterrupt(), "interrupted"), (InterruptedRunError("go on with --resume"), "go on with --resume")]
)
def test_an_interruption_is_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, said: str):
    assert status_of(monkeypatch, error) == 2
    assert capsys.readouterr().err == f"{said}\n"


def test_a_lack_of_memory_is_said_with_what_takes_less(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    import torch

    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 60, dtype=torch.uint8)
    for error in (refused.value, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), MemoryError()):
        assert status_of(monkeypatch, error) == 2
        err = capsys.readouterr().err
        assert err.startswith("error: there is not enough memory (")
        assert "pass_tokens" in err
        assert "Traceback" not in err
    assert status_of(monkeypatch, RuntimeError("The size of tensor a must match the size of tensor b")) == 1


def test_a_full_disk_is_said_plainly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert status_of(monkeypatch, OSError(errno.ENOSPC, "No space left on device", "out.jsonl")) == 2
    assert capsys.readouterr().err == "error: No space left on device: out.jsonl\n"
    assert status_of(monkeypatch, NotADirectoryError(errno.ENOTDIR, "Not a directory", "a.tsv/x")) == 2
    assert capsys.readouterr().err == "error: Not a directory: a.tsv/x\n"
    assert status_of(monkeypatch, FileNotFoundError(errno.ENOENT, "No such file", "ours")) == 1


@pytest.mark.parametrize(("variable", "coloured"), [("FORCE_COLOR", True), ("NO_COLOR", False)])
def test_colour_is_as_the_user_wants_it(variable: str, coloured: bool):
    environment = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}} | {"TERM": "xterm"}
    ran = subprocess.run([sys.executable, "-m", "bertsmith", "predit"], env={**environment, variable: "1"}, capture_output=True, check=False)
    assert ran.returncode == 2
    assert (b"\x1b[" in ran.stderr) is coloured


def first_line(process: subprocess.Popen[bytes]) -> bytes:
    """Of its output; fails instead of waiting for ever."""
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 120)[0], "no answer"
    return process.stdout.readline()


def test_a_reader_that_goes_away_is_no_failure(models: Path, tmp_path: Path):
    many = tmp_path / "many.txt"
    many.write_text("很好\n" * 5000, encoding="utf-8")
    with started("predict", models / "single", many) as process:
        assert first_line(process)
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        errors = process.stderr.read().decode()
    assert process.returncode == 141
    assert "Traceback" not in errors
    assert "BrokenPipe" not in errors


def test_a_pipe_that_stays_open_is_answered_and_ctrl_c_ends_it(models: Path):
    """What has come is answered while the writer is still there, whatever comes after."""
    with started("predict", models / "single", "-") as process:
        assert process.stdin is not None
        process.stdin.write("很好\n".encode() * 5000)
        process.stdin.flush()
        first = json.loads(first_line(process))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (first["line"], first["text"]) == (1, "很好")
    assert process.returncode == 2
    assert b"interrupted" in errors
    assert b"Traceback" not in errors


def test_output_is_utf_8_whatever_the_locale(models: Path):
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}
    command = [sys.executable, "-m", "bertsmith", "inspect", str(models / "single"), "好", "--json"]
    ran = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert "好" in ran.stdout.decode("utf-8")
