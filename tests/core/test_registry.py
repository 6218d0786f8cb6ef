"""Things by name: found where they lie, suggested when mistyped, never overwritten."""

import sys
from pathlib import Path

import pytest

from bertsmith.core.errors import UnknownNameError
from bertsmith.core.registry import Registry, nearest


@pytest.fixture
def shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[str]:
    """A registry of a package with two modules, one of which registers under two names."""
    package = tmp_path / "shapes_for_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "base.py").write_text("from bertsmith.core.registry import Registry\nknown = Registry('shape', 'shapes_for_a_test')\n")
    (package / "round.py").write_text("from shapes_for_a_test.base import known\n\n@known.register('circle', 'disc')\ndef circle(): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    from shapes_for_a_test.base import known  # pyright: ignore[reportMissingImports]

    yield known
    for name in [name for name in sys.modules if name.startswith("shapes_for_a_test")]:
        del sys.modules[name]


def test_a_file_in_the_folder_is_registered_by_being_there(shapes: Registry[str]):
    assert list(shapes) == ["circle", "disc"]
    assert "circle" in shapes
    assert "square" not in shapes
    assert shapes["circle"] is shapes["disc"]
    assert [name for name, _ in shapes.items()] == ["circle", "disc"]


def test_an_unknown_name_is_answered_with_the_nearest_and_with_all(shapes: Registry[str]):
    with pytest.raises(UnknownNameError, match=r"unknown shape 'circel' \(did you mean 'circle'\?\); known: circle, disc"):
        shapes["circel"]


def test_a_name_is_given_once(shapes: Registry[str]):
    assert "disc" in shapes
    with pytest.raises(KeyError, match="shape 'disc' is registered twice"):
        shapes.register("disc")(str)


def test_a_folder_that_cannot_be_imported_is_reported_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "broken_for_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "wrong.py").write_text("import a_library_that_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    broken: Registry[str] = Registry("thing", "broken_for_a_test")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="a_library_that_nobody_has"):
            list(broken)


def test_a_thing_that_is_called_like_its_file_is_found_without_the_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "own_files_for_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "base.py").write_text("from bertsmith.core.registry import Registry\nknown = Registry('shape', 'own_files_for_a_test')\n")
    (package / "square.py").write_text("from own_files_for_a_test.base import known\n\nknown.register('square')('four corners')\n")
    (package / "wrong.py").write_text("import a_library_that_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    from own_files_for_a_test.base import known  # pyright: ignore[reportMissingImports]

    assert "square" in known
    assert known["square"] == "four corners"
    with pytest.raises(ModuleNotFoundError, match="a_library_that_nobody_has"):
        list(known)


def test_nothing_is_suggested_where_nothing_is_near():
    assert nearest("zebra", ["single", "pair"]) == ""
