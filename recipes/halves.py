"""Cut a data set into two halves, one to train on and one to test on, where only a part of it was published with its answers.

    python recipes/halves.py FOLDER/c3/dev.json FOLDER/halves/c3

Texts are dealt out in turn, to `train.json` and to `test.json`, each with all of its questions: no text is in both. Reads arrays of JSON (C3) and the
form of SQuAD (`{"data": [...]}`), whose texts are articles.
"""

import json
import sys
from pathlib import Path
from typing import Any


def main(source: Path, folder: Path) -> None:
    """Read, deal out, write."""
    content: Any = json.loads(source.read_text(encoding="utf-8"))
    texts: list[Any] = content["data"] if isinstance(content, dict) else content
    folder.mkdir(parents=True, exist_ok=True)
    for name, half in (("train", texts[::2]), ("test", texts[1::2])):
        whole = {**content, "data": half} if isinstance(content, dict) else half
        (folder / f"{name}.json").write_text(json.dumps(whole, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
