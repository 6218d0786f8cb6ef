"""Write the corpus and the vocabulary that `builtin:mini-zh` is pre-trained from.

    python recipes/mini-zh/corpus.py DATA OUT

DATA is a folder with the public data sets named below; OUT gets `corpus.txt` (one paragraph a line, a blank line between documents), `valid.txt`
(every 100th document) and `vocab.txt`. Only training and unlabelled parts are read: no text of a test or development set that this project reports
results on is among them, and nothing of OCNLI, whose licence is non-commercial.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from bertsmith.text.vocabulary import train_vocabulary

VOCABULARY = 8000
VALID_EVERY = 100

JSON_LINES = {
    "fewclue/eprstmt/unlabeled.json": ("sentence",),
    "fewclue/eprstmt/train_few_all.json": ("sentence",),
    "fewclue/bustm/unlabeled.json": ("sentence1", "sentence2"),
    "fewclue/bustm/train_few_all.json": ("sentence1", "sentence2"),
    "fewclue/tnews/unlabeled.json": ("sentence",),
    "fewclue/tnews/train_few_all.json": ("sentence",),
    "fewclue/csldcp/train_few_all.json": ("content",),
}
LABELLED_LINES = ("sst2/train.txt", "trec/train.txt")
CONLL = {"peopledaily/train.txt": "", "wnut17/train.conll": " "}
SQUAD = ("cmrc2018/trial.json", "drcd/dev.json")


def main(data: Path, out: Path) -> None:
    """Read everything, drop repetitions, write three files."""
    out.mkdir(parents=True, exist_ok=True)
    documents = list(dict.fromkeys(filter(None, map(tidy, every_document(data)))))
    corpus = [document for number, document in enumerate(documents) if number % VALID_EVERY]
    (out / "corpus.txt").write_text("\n\n".join(corpus) + "\n", encoding="utf-8")
    (out / "valid.txt").write_text("\n\n".join(documents[::VALID_EVERY]) + "\n", encoding="utf-8")
    vocabulary = train_vocabulary(corpus, VOCABULARY)
    (out / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    print(f"{len(corpus)} documents, {sum(map(len, corpus))} characters, {len(vocabulary)} tokens in the vocabulary")


def every_document(data: Path) -> Iterator[str]:
    """The texts of all sources; paragraphs of one document are separated by a line break."""
    yield from (data / "corpora/cluecorpussmall_sample.txt").read_text(encoding="utf-8").split("\n\n")
    yield from column(data / "chnsenticorp/train.tsv", 1)
    for name, columns in JSON_LINES.items():
        for line in (data / name).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            yield from (row[key] for key in columns)
    for name in LABELLED_LINES:
        yield from (line.partition(" ")[2] for line in (data / name).read_text(encoding="utf-8", errors="ignore").splitlines())
    for name, between in CONLL.items():
        yield from conll(data / name, between)
    for name in SQUAD:
        yield from (paragraph["context"] for article in json.loads((data / name).read_text("utf-8"))["data"] for paragraph in article["paragraphs"])
    yield from column(data / "news_commentary_en_zh/sample.tsv", 0)
    yield from column(data / "news_commentary_en_zh/sample.tsv", 1)


def column(file: Path, number: int) -> list[str]:
    """One column of a TSV file, without its first line."""
    return [line.split("\t")[number] for line in file.read_text(encoding="utf-8").splitlines()[1:]]


def conll(file: Path, between: str) -> Iterable[str]:
    """The sentences of a tagging file, their tokens joined."""
    for block in re.split(r"\n\s*\n", file.read_text(encoding="utf-8")):
        yield between.join(line.split()[0] for line in block.splitlines() if line.split())


def tidy(document: str) -> str:
    """One paragraph a line, no empty lines, white space folded."""
    return "\n".join(filter(None, (" ".join(line.split()) for line in document.splitlines())))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
