"""The built-in data keep what their README promises: counts, balance, nothing shared between splits, clean encodings, a small size."""

import json
import re
import unicodedata
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

import bertsmith

DATA = Path(bertsmith.__file__).parent / "builtin" / "data"
REVIEWS = {"train": 240, "valid": 80, "test": 200}
QUESTIONS = {"train": 160, "test": 120}
FILES = sorted(file for file in DATA.rglob("*") if file.is_file())


def normalised(text: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).lower())


def is_chinese(text: str) -> bool:
    return re.search("[\u4e00-\u9fff]", text) is not None


def bigrams(text: str) -> frozenset[str]:
    letters = normalised(text)
    return frozenset(letters[index : index + 2] for index in range(len(letters) - 1))


def reviews(split: str) -> list[tuple[str, str]]:
    header, *lines = (DATA / "reviews" / f"{split}.tsv").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    assert header == "label\ttext"
    rows = [tuple(line.split("\t")) for line in lines]
    assert all(len(row) == 2 for row in rows)
    return rows


def questions(split: str) -> list[dict[str, str]]:
    lines = (DATA / "questions" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def documents() -> list[str]:
    return (DATA / "raw" / "reviews.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n\n")


@pytest.mark.parametrize("split", REVIEWS)
def test_reviews_are_counted_balanced_and_of_fit_length(split):
    rows = reviews(split)
    assert len(rows) == REVIEWS[split]
    languages = Counter((is_chinese(text), label) for label, text in rows)
    for chinese in (True, False):
        assert languages[chinese, "positive"] == languages[chinese, "negative"] > 0
    assert sum(languages.values()) == 2 * (languages[True, "positive"] + languages[False, "positive"]), "there is no third label"
    assert 0.6 < 2 * languages[True, "positive"] / len(rows) < 0.7
    for _, text in rows:
        length, (low, high) = (len(text), (6, 60)) if is_chinese(text) else (len(text.split()), (4, 35))
        assert low <= length <= high, text


@pytest.mark.parametrize("split", QUESTIONS)
def test_questions_are_counted_and_balanced(split):
    rows = questions(split)
    assert len(rows) == QUESTIONS[split]
    assert all(set(row) == {"text", "text_pair", "label"} for row in rows)
    assert all(normalised(row["text"]) != normalised(row["text_pair"]) for row in rows)
    languages = Counter((is_chinese(row["text"]), row["label"]) for row in rows)
    assert languages[True, "same"] == languages[True, "different"] > languages[False, "same"] == languages[False, "different"] > 0
    assert {label for _, label in languages} == {"same", "different"}
    pairs = [frozenset((normalised(row["text"]), normalised(row["text_pair"]))) for row in rows]
    assert len(set(pairs)) == len(pairs)


def test_no_review_is_like_another():
    texts = [text for split in REVIEWS for _, text in reviews(split)]
    assert len({normalised(text) for text in texts}) == len(texts)
    grams = [(bigrams(text), text) for text in texts]
    for (first, text), (second, other) in combinations(grams, 2):
        assert len(first & second) < 0.5 * len(first | second), (text, other)


def test_no_question_is_in_both_splits():
    asked = {split: {normalised(row[side]) for row in questions(split) for side in ("text", "text_pair")} for split in QUESTIONS}
    assert not asked["train"] & asked["test"]


def test_raw_documents_are_distinct_and_hold_nothing_labelled():
    texts = [normalised(document) for document in documents()]
    assert len(texts) == len(set(texts)) == 1200
    assert all("\n" not in document and document == document.strip() for document in documents())
    everything = "\n".join(texts)
    labelled = {normalised(text) for split in REVIEWS for _, text in reviews(split)}
    assert not [text for text in labelled if text in everything]


def test_both_scripts_and_both_languages_are_there():
    def is_traditional(text: str) -> bool:
        return any(is_chinese(letter) and not letter.encode("gb2312", "ignore") for letter in text)

    for texts in ([text for split in REVIEWS for _, text in reviews(split)], documents()):
        chinese = [text for text in texts if is_chinese(text)]
        traditional = sum(map(is_traditional, chinese))
        assert 0.1 < traditional / len(chinese) < 0.3
        assert 0.25 < 1 - len(chinese) / len(texts) < 0.4


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(DATA)))
def test_files_are_clean(file):
    text = file.read_bytes().decode("utf-8")
    assert text == unicodedata.normalize("NFC", text)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    strange = {letter for letter in text if unicodedata.category(letter)[0] == "C" or (letter.isspace() and letter != " ")} - {"\n", "\t"}
    assert not strange


def test_all_of_it_is_small():
    assert {file.relative_to(DATA).as_posix() for file in FILES} == {
        "README.md",
        *(f"reviews/{split}.tsv" for split in REVIEWS),
        *(f"questions/{split}.jsonl" for split in QUESTIONS),
        "raw/reviews.txt",
    }
    assert sum(file.stat().st_size for file in FILES) < 400_000
