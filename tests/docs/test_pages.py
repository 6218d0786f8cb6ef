"""The navigation and the pages belong together, and what is registered has its page. (The strict build in `make check` looks at the site's links.)"""

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from bertsmith.core.registry import Registry
from bertsmith.tasks import tasks
from tests.docs.blocks import ROOT

DOCS = ROOT / "docs"
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)#?([\w-]*)\)")


def leaves(entry: Any) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    return [leaf for child in (entry.values() if isinstance(entry, dict) else entry) for leaf in leaves(child)]


def test_every_page_is_in_the_navigation_and_every_entry_is_a_page():
    nav = {leaf for leaf in leaves(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]) if not leaf.endswith("/")}
    written = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if page.parent.parent != DOCS / "reference"}
    assert nav == written


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_of_pages_outside_the_site_lead_somewhere(name: str):
    page = ROOT / name
    found = LINK.findall(page.read_text(encoding="utf-8"))
    assert found
    for target, anchor in found:
        file = page.parent / target if target else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), f"{target}#{anchor}"


def anchors(page: Path) -> set[str]:
    headings = [line.lstrip("#") for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_registered_things_have_pages_and_stale_ones_go(generate: ModuleType, tmp_path: Path):
    tasks: Registry[type] = Registry("task", "bertsmith.core")

    @tasks.register("pair", "two")
    @dataclass(frozen=True)
    class Pair:
        """Two texts | one label.

        More.

        Args:
            rate: How fast.
        """

        rate: float = 0.5

    stale = tmp_path / "tasks" / "gone.md"
    stale.parent.mkdir()
    stale.touch()
    generate.write_pages({"tasks": tasks}, tmp_path)
    assert sorted(file.name for file in (tmp_path / "tasks").iterdir()) == ["index.md", "pair.md"]
    assert "| [`pair`, `two`](pair.md) | Two texts \\| one label. |" in (tmp_path / "tasks" / "index.md").read_text()
    page = (tmp_path / "tasks" / "pair.md").read_text()
    assert f"::: {Pair.__module__}.{Pair.__qualname__}" in page
    assert 'task = { name = "pair", … }' in page
    assert "| `rate` | a number | `0.5` | How fast. |" in page


def test_a_page_has_the_keys_that_a_task_inherits(generate: ModuleType):
    page = generate.page("task", ["single"], tasks["single"])
    assert "| `max_length` |" in page
    assert "Tokens of the longest sequence" in page


def test_a_page_has_no_labels_where_a_task_has_none_and_no_methods(generate: ModuleType):
    page = generate.page("task", ["extractive_qa"], tasks["extractive_qa"])
    assert "| `labels` |" not in page
    assert "| `labels` |" in generate.page("task", ["single"], tasks["single"])
    assert "members: false" in page
    assert "inherited_members: false" in page


def test_every_kind_is_found(generate: ModuleType):
    registries = generate.find_registries()
    assert {"families", "objectives", "tasks", "tunings"} <= set(registries)
    assert all(len(list(registry)) for registry in registries.values())
