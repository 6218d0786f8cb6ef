"""The licence of a model, where its folder names one: in the front matter of its README, in `config.json`, or as the text of the licence itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LONGEST = 1 << 16
"""Bytes that are read of a README or a licence: what is looked for stands at the beginning."""

TITLES = {
    "apache-2.0": r"Apache License\s+Version 2\.0",
    "mit": r"MIT License|Permission is hereby granted, free of charge, to any person obtaining a copy",
    "cc-by-nc-sa-4.0": r"Attribution-NonCommercial-ShareAlike 4\.0",
    "cc-by-nc-4.0": r"Attribution-NonCommercial 4\.0",
    "cc-by-sa-4.0": r"Attribution-ShareAlike 4\.0",
    "cc-by-4.0": r"Attribution 4\.0 International",
    "agpl-3.0": r"GNU AFFERO GENERAL PUBLIC LICENSE\s+Version 3",
    "lgpl-3.0": r"GNU LESSER GENERAL PUBLIC LICENSE\s+Version 3",
    "gpl-3.0": r"GNU GENERAL PUBLIC LICENSE\s+Version 3",
    "mpl-2.0": r"Mozilla Public License,? Version 2\.0",
    "bsd-3-clause": r"Neither the name of .* nor the names of its\s+contributors",
}
"""What the texts of licences say near their beginning, by the names that the Hub gives them."""


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence as a folder names it.

    Attributes:
        name: As the folder writes it, or by its text: "apache-2.0". Where the text is that of no licence that is known here, the name of its file.
        source: The file that says so.
    """

    name: str
    source: str


def licence_of(folder: Path, config: Mapping[str, Any]) -> Licence | None:
    """The licence that a model folder names; None where it names none.

    Args:
        folder: The model folder.
        config: The content of its `config.json`.
    """
    if name := _front_matter(_beginning(folder / "README.md")):
        return Licence(name, "README.md")
    if isinstance(named := config.get("license"), str) and named.strip():
        return Licence(named.strip(), "config.json")
    for file in sorted([*folder.glob("LICENSE*"), *folder.glob("LICENCE*")]):
        text = _beginning(file)
        return Licence(next((name for name, title in TITLES.items() if re.search(title, text)), file.name), file.name)
    return None


def _beginning(file: Path) -> str:
    if not file.is_file():
        return ""
    with file.open("rb") as opened:
        return opened.read(LONGEST).decode("utf-8", errors="replace").lstrip("\ufeff")


def _front_matter(readme: str) -> str:
    r"""The value of `license` between the two lines of dashes at the top, one or several in a list.

    Example:
        >>> _front_matter("---\nlanguage: zh\nlicense:\n- mit\n- 'cc-by-4.0'\n---\n"), _front_matter("# A model\nlicense: mit")
        ('mit, cc-by-4.0', '')
    """
    block = re.match(r"---\s*\n(.*?)^---\s*$", readme, re.DOTALL | re.MULTILINE)
    found = block and re.search(r"^license:[ \t]*([^\n]*)\n?((?:[ \t]*-[ \t]+[^\n]*\n)*)", block[1], re.MULTILINE)
    if not found:
        return ""
    names = found[1].strip("[] \t\r").split(",") if found[1].strip() else re.findall(r"-[ \t]+([^\n]*)", found[2])
    return ", ".join(name.strip(" \t\r'\"") for name in names)
