"""What the documentation's pages are made of, for the tests that run it."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

FENCE = re.compile(
    r"""(?:^[ ]*<!--\s*no-run:\s*(?P<reason>[^\n]*?)\s*-->\n)?          # a line before the block: <!-- no-run: why -->
        ^(?P<indent>[ ]*)```(?P<language>[\w+-]*)[ ]*(?P<options>[^\n]*)\n
        (?P<code>.*?)
        ^(?P=indent)```[ ]*$""",
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: The file it stands in.
        line: The line of its opening fence, from 1.
        language: The first word after the fence.
        title: The name after `title=`; empty if there is none. A block with a title is a file that the blocks after it may use.
        code: What it holds, without the indentation of its fence.
        reason: Why it is not to be run; empty if it is.
    """

    page: Path
    line: int
    language: str
    title: str
    code: str
    reason: str

    @property
    def where(self) -> str:
        """`page:line`, for messages."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The commands of a block for a shell: the lines after `$ `, or all lines where there is no prompt; continued lines are joined."""
        lines = self.code.replace("\\\n", "").splitlines()
        prompted = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return prompted or [line for line in lines if line.strip() and not line.startswith("#")]

    @property
    def shown(self) -> str:
        """What the commands print according to the page: the lines without `$ ` of a block with prompts; `...` stands for anything."""
        lines = self.code.replace("\\\n", "").splitlines(keepends=True)
        prompts = any(line.startswith("$ ") for line in lines)
        return "".join(line for line in lines if not line.startswith("$ ")) if prompts else ""


def pages() -> list[Path]:
    """README.md and every page of the documentation."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order.

    Raises:
        ValueError: The opening fence holds something that the documentation's builder does not understand; it would show the block as running text.
    """
    text = page.read_text(encoding="utf-8")
    return [block_of(page, text, match) for match in FENCE.finditer(text)]


def block_of(page: Path, text: str, match: re.Match[str]) -> Block:
    line = text.count("\n", 0, match.start("indent")) + 1
    title = re.fullmatch(r'title="(?P<title>[^"]+)"', match["options"])
    if match["options"] and title is None:
        raise ValueError(f'{page}:{line}: only title="..." may follow the language, not {match["options"]!r}')
    code = "".join(part.removeprefix(match["indent"]) for part in match["code"].splitlines(keepends=True))
    return Block(page, line, match["language"], title["title"] if title else "", code, match["reason"] or "")
