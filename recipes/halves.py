"""Cut a reading comprehension set in two by its articles, so that no text of one half is in the other.

    python recipes/halves.py FOLDER/cmrc2018/dev.json FOLDER/cmrc2018

writes `first.json` and `second.json` beside each other: every other article, with all of its paragraphs and questions, in the format of the file (SQuAD's).
"""

import json
import sys
from pathlib import Path


def main() -> None:
    """Read the arguments, write both halves and say what is in them."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    for file in write_halves(Path(sys.argv[1]), Path(sys.argv[2])):
        articles = json.loads(file.read_text(encoding="utf-8"))["data"]
        questions = sum(len(paragraph["qas"]) for article in articles for paragraph in article["paragraphs"])
        print(f"{file}: {len(articles)} articles, {questions} questions")


def write_halves(whole: Path, folder: Path) -> list[Path]:
    """Write `first.json` and `second.json` into a folder."""
    content = json.loads(whole.read_text(encoding="utf-8"))
    halves = {"first": content["data"][0::2], "second": content["data"][1::2]}
    folder.mkdir(parents=True, exist_ok=True)
    for name, articles in halves.items():
        (folder / f"{name}.json").write_text(json.dumps({**content, "data": articles}, ensure_ascii=False), encoding="utf-8")
    return [folder / f"{name}.json" for name in halves]


if __name__ == "__main__":
    main()
