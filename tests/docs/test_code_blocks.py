"""Every block of code in README.md and in docs/ does what its reader would see it do.

The blocks of a page run in order, in one temporary folder and one namespace: those in Python here, those for a shell in a shell if they call
`bertsmith`. What a page shows below a command is what the command prints, `...` standing for anything. A block with a title is written to a file of
that name first. A block that cannot run says so, with the reason, on the line before it:

    <!-- no-run: takes five minutes -->
"""

import doctest
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bertsmith.core.errors import RecipeError
from bertsmith.models import families
from bertsmith.objectives import objectives
from bertsmith.recipe import parse
from bertsmith.tasks import tasks
from bertsmith.text.words import segmenters
from bertsmith.tuning import tunings
from tests.docs.blocks import ROOT, Block, blocks, pages

SECONDS = 300
SHELLS = ("console", "sh", "bash", "shell")


@pytest.fixture(autouse=True)
def unchanged_registries(monkeypatch: pytest.MonkeyPatch):
    """What a page registers is forgotten after it."""
    for registry in (families, objectives, tasks, tunings, segmenters):
        list(registry)
        monkeypatch.setattr(registry, "_things", dict(registry._things))


@pytest.mark.parametrize("page", [page for page in pages() if blocks(page)], ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    run_blocks(blocks(page))


def run_blocks(found: list[Block]) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in found:
        if block.title:
            Path(block.title).write_text(block.code, encoding="utf-8")
        if not block.reason:
            with time_limit(block):
                runner(block)(block, namespace)


def runner(block: Block) -> Callable[[Block, dict[str, Any]], None]:
    if block.language in SHELLS:
        return run_commands
    return {"python": run_python, "pycon": run_session, "toml": check_toml}.get(block.language, lambda block, namespace: None)


def run_python(block: Block, namespace: dict[str, Any]) -> None:
    """Line numbers in a traceback are those of the page."""
    exec(compile("\n" * block.line + block.code, str(block.page), "exec"), namespace)


def run_session(block: Block, namespace: dict[str, Any]) -> None:
    """A session at the prompt prints what the page shows."""
    session = doctest.DocTestParser().get_doctest(block.code, {}, block.where, str(block.page), block.line)
    session.globs = namespace
    doctest.DebugRunner(optionflags=doctest.ELLIPSIS).run(session, clear_globs=False)


def run_commands(block: Block, namespace: dict[str, Any]) -> None:
    """Commands that set something up (`git`, `make`, `pip`) are the reader's; those that use the package succeed and print what the page shows."""
    if not any(command.startswith("bertsmith ") for command in block.commands):
        return
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    script = "\n".join(["set -eo pipefail", *block.commands])
    done = subprocess.run(
        ["bash", "-c", script],
        env=os.environ | {"PATH": path, "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{block.where}: exit status {done.returncode}\n{done.stdout}"
    if block.shown and not doctest.OutputChecker().check_output(block.shown, done.stdout, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE):
        raise AssertionError(f"{block.where} shows\n{block.shown}\nand what is printed is\n{done.stdout}")


def check_toml(block: Block, namespace: dict[str, Any]) -> None:
    """A piece of a recipe (`[stage.data]`) can be read; a whole one can be run."""
    if isinstance(tomllib.loads(block.code).get("stage"), list):
        check_recipe(block)


def check_recipe(block: Block) -> None:
    """A whole recipe is one that can be run, as far as that can be said without its data and its checkpoint."""
    parse(block.code, block.where)


@contextmanager
def time_limit(block: Block) -> Iterator[None]:
    def stop(number: int, frame: Any) -> None:
        raise TimeoutError(f"{block.where} runs for more than {SECONDS} seconds; if it has to, mark it: <!-- no-run: why -->")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def page_of(folder: Path, text: str) -> list[Block]:
    page = folder / "page.md"
    page.write_text(text, encoding="utf-8")
    return blocks(page)


class TestThatItNotices:
    """The runner itself: what is wrong on a page is found."""

    @pytest.fixture(autouse=True)
    def in_a_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("tests.docs.blocks.ROOT", tmp_path)

    def test_a_python_block_that_fails_with_its_line(self, tmp_path: Path):
        with pytest.raises(ZeroDivisionError) as caught:
            run_blocks(page_of(tmp_path, "# Title\n\n```python\nx = 1\n```\n\n```python\n\nx / 0\n```\n"))
        assert caught.traceback[-1].lineno + 1 == 9

    def test_a_session_that_prints_something_else(self, tmp_path: Path):
        run_blocks(page_of(tmp_path, "```pycon\n>>> 1 + 1\n2\n```\n"))
        with pytest.raises(doctest.DocTestFailure):
            run_blocks(page_of(tmp_path, "```pycon\n>>> 1 + 1\n3\n```\n"))

    @pytest.mark.parametrize("command", ["$ bertsmith nonsense --wrong", "bertsmith nonsense --wrong", "$ true\n$ bertsmith nonsense \\\n  --wrong"])
    def test_a_command_that_fails(self, tmp_path: Path, command: str):
        with pytest.raises(AssertionError, match="exit status"):
            run_blocks(page_of(tmp_path, f"```console\n{command}\n```\n"))

    def test_a_command_that_prints_something_else(self, tmp_path: Path):
        run_blocks(page_of(tmp_path, "```console\n$ bertsmith --version\nbertsmith ...\n```\n"))
        with pytest.raises(AssertionError, match="what is printed is"):
            run_blocks(page_of(tmp_path, "```console\n$ bertsmith --version\nbertsmith 99...\n```\n"))

    def test_toml_that_cannot_be_read(self, tmp_path: Path):
        with pytest.raises(tomllib.TOMLDecodeError):
            run_blocks(page_of(tmp_path, "```toml\nseed = \n```\n"))

    def test_a_recipe_with_a_mistake(self, tmp_path: Path):
        recipe = '```toml\n[[stage]]\nname = "match"\nfrom = "hfl/rbt3"\ntask = {{ name = "{task}" }}\ndata = {{ train = "train.tsv" }}\n```\n'
        run_blocks(page_of(tmp_path, recipe.format(task="single")))
        with pytest.raises(RecipeError, match="singel"):
            run_blocks(page_of(tmp_path, recipe.format(task="singel")))

    def test_an_endless_block(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setitem(globals(), "SECONDS", 1)
        with pytest.raises(TimeoutError, match=r"page\.md:1 runs for more than"):
            run_blocks(page_of(tmp_path, "```python\nwhile True: pass\n```\n"))

    def test_an_option_that_the_builder_would_not_understand(self, tmp_path: Path):
        with pytest.raises(ValueError, match="only title="):
            page_of(tmp_path, "```python no-run\n```\n")

    def test_a_block_with_a_title_becomes_a_file_and_one_with_a_reason_is_left_alone(self, tmp_path: Path):
        found = page_of(
            tmp_path,
            '- in a list\n\n    ```text title="a.txt"\n    hello\n    ```\n\n<!-- no-run: never ends -->\n```python\n1 / 0\n```\n\n'
            "```python\nfrom pathlib import Path\n\nassert Path('a.txt').read_text() == 'hello\\n'\n```\n",
        )
        assert [block.reason for block in found] == ["", "never ends", ""]
        run_blocks(found)
