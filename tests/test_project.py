"""The project as it is shipped: what is in the wheel, what it says about itself, how fast it starts."""

import re
import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).resolve().parent.parent
IMPORT_SECONDS = 0.3


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """Files under version control."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: what is tracked is unknown")
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    built = next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"]))
    return zipfile.ZipFile(built)


def test_the_version_is_the_same_everywhere():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert metadata.version("bertsmith") == declared
    changes = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert changes[0] in {"Unreleased", declared}


def test_the_wheel_holds_everything_in_the_package(wheel: zipfile.ZipFile, tracked: list[Path]):
    names = set(wheel.namelist())
    wanted = {str(file.relative_to(ROOT / "src")) for file in tracked if file.is_relative_to(ROOT / "src")}
    assert "bertsmith/py.typed" in wanted
    assert wanted <= names


def test_the_wheel_holds_the_licence_and_nothing_foreign(wheel: zipfile.ZipFile):
    names = wheel.namelist()
    [licence] = [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]
    assert "Apache License" in wheel.read(licence).decode()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"bertsmith"}


def test_no_file_names_a_place_on_somebodys_machine(tracked: list[Path]):
    place = re.compile(rb"(?<![\w.:/-])/(?:home|Users|root|work|mnt|opt)/\w+")
    found = [f"{file.relative_to(ROOT)}: {match[0].decode()}" for file in tracked for match in place.finditer(file.read_bytes())]
    assert found == []


def test_importing_the_package_is_quick():
    def seconds() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import bertsmith"], check=True)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < IMPORT_SECONDS
