"""What a linear classifier over characters gets on the same data: the score that a model of this project has to be held against.

    python -m benchmarks.linear TRAIN TEST [--column label=label ...] [--encoding latin-1]

TF-IDF of runs of one to three characters, within words and across them, and logistic regression with scikit-learn's defaults. Nothing is tuned and
nothing is random.
"""

import argparse
import json

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from bertsmith.data.dataset import Dataset
from bertsmith.data.readers import read

NEEDED = ("text", "label")


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.linear", description="The accuracy of a linear classifier over characters.")
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--column", action="append", default=[], metavar="OURS=THEIRS")
    parser.add_argument("--encoding", default="utf-8")
    arguments = parser.parse_args()
    columns = dict(pair.split("=", 1) for pair in arguments.column)
    train, test = (read(name, columns=columns, needed=NEEDED, encoding=arguments.encoding) for name in (arguments.train, arguments.test))
    classifier = make_pipeline(TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True), LogisticRegression(max_iter=1000))
    classifier.fit(texts(train), labels(train))
    accuracy = classifier.score(texts(test), labels(test))
    print(json.dumps({"train": named(arguments.train, train), "test": named(arguments.test, test), "accuracy": round(accuracy, 4)}))


def named(place: str, dataset: Dataset) -> dict[str, str | int]:
    """Which data it was, without the place where this machine keeps it."""
    return {"name": "/".join(place.split("/")[-2:]), "sha256": dataset.files[0].sha256, "rows": len(dataset)}


def texts(dataset: Dataset) -> list[str]:
    """The texts; those of a pair with a line between them."""
    return ["\n".join(str(row[name]) for name in ("text", "text_pair") if name in row.values) for row in dataset]


def labels(dataset: Dataset) -> list[str]:
    """The labels."""
    return [str(row["label"]) for row in dataset]


if __name__ == "__main__":
    main()
