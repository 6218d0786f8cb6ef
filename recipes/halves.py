"""Cut a data set in two by its texts, so that no text of one half is in the other.

    python recipes/halves.py FOLDER/cmrc2018/dev.json FOLDER/cmrc2018

writes `first.json` and `second.json` beside each other: every other text with all of its questions, in the format of the file. That is SQuAD's
(`{"data": [...]}`, whose texts are articles) or an array (C3).
"""

import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Read the arguments, write both halves and say what is in them."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    for file in write_halves(Path(sys.argv[1]), Path(sys.argv[2])):
        print(f"{file}: {len(_texts(json.loads(file.read_text(encoding='utf-8'))))} texts")


def write_halves(whole: Path, folder: Path) -> list[Path]:
    """Write `first.json` and `second.json` into a folder."""
    content = json.loads(whole.read_text(encoding="utf-8"))
    halves = {"first": _texts(content)[0::2], "second": _texts(content)[1::2]}
    folder.mkdir(parents=True, exist_ok=True)
    for name, texts in halves.items():
        half = {**content, "data": texts} if isinstance(content, dict) else texts
        (folder / f"{name}.json").write_text(json.dumps(half, ensure_ascii=False), encoding="utf-8")
    return [folder / f"{name}.json" for name in halves]


def _texts(content: Any) -> list[Any]:
    return content["data"] if isinstance(content, dict) else content


if __name__ == "__main__":
    main()
