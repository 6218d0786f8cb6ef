"""The data doctor on answers, tags, choices and targets."""

import json

import pytest

from bertsmith.core.types import Example
from bertsmith.data.checks.kinds import is_broken, kind_of, mentions
from bertsmith.data.dataset import Dataset
from bertsmith.data.doctor import examine
from bertsmith.data.readers import read

CONTEXTS = [f"Chapter {n} was written in {1900 + n} by author number {n}." for n in range(40)]


def questions(numbers, file="train.json"):
    """A question about each of some contexts, with its answer at its place."""
    for n in numbers:
        year = str(1900 + n)
        answers = [{"text": year, "start": CONTEXTS[n].index(year)}]
        yield Example({"question": f"When was chapter {n} written?", "context": CONTEXTS[n], "answers": answers}, file, n + 1, f"data[{n}]")


def with_answers(n, *answers, question="And who?"):
    return Example({"question": f"{question} {n}", "context": CONTEXTS[n], "answers": list(answers)}, "train.json", n + 1, f"data[{n}].x")


def report(*splits):
    return examine(*[None if split is None else Dataset(list(split)) for split in splits])


def found(*splits):
    return {finding.code: finding for finding in report(*splits).findings}


def test_healthy_answers_are_healthy():
    assert found(questions(range(20)), questions(range(20, 30), "dev.json"), questions(range(30, 40), "test.json")) == {}


def test_what_is_answered_is_counted():
    told = report(questions(range(20))).splits["train"]
    assert (told["rows"], told["labels"]) == (20, {"answered": 20})
    assert told["characters"]["max"] == len(CONTEXTS[19]) + len("When was chapter 19 written?")


def test_answers_that_are_not_at_their_place():
    moved = with_answers(3, {"text": "author", "start": 0}, {"text": "number　３", "answer_start": 5})
    absent = with_answers(4, {"text": "1999", "start": 0})
    findings = found([*questions(range(20)), moved, absent])
    assert (findings["misplaced_answers"].severity, findings["misplaced_answers"].count) == ("warning", 2)
    assert "2 answers of train (8.7 %) not at their start but elsewhere in the context, 1 of them but" in findings["misplaced_answers"].message
    assert findings["misplaced_answers"].places == (
        "train.json:4: data[3].x  'author' not at 0 but at 33",
        "train.json:4: data[3].x  'number\\u3000３' not at 5 but at 40",
    )
    assert (findings["absent_answers"].severity, findings["absent_answers"].places) == ("warning", ("train.json:5: data[4].x  '1999' nowhere",))
    assert found([absent])["absent_answers"].severity == "error"


def test_missing_and_malformed_answers():
    missing = Example({"question": "q?", "context": "some context"}, "train.json", 90)
    malformed = Example({"question": "r?", "context": "some other", "answers": [{"text": "o"}]}, "train.json", 91)
    findings = found([*questions(range(20)), missing, malformed])
    assert findings["missing_labels"].severity == findings["refused_labels"].severity == "error"
    assert findings["missing_labels"].places == ("train.json:90  'q? | some context'",)
    assert "answers[0] has no start" in findings["refused_labels"].places[0]
    assert set(found([missing])) == {"no_labels"}


def test_questions_without_an_answer():
    none = [with_answers(n) for n in range(5)]
    findings = found([*questions(range(15)), *none], None, questions(range(20, 30), "test.json"))
    assert findings["unanswerable"].message == "questions without an answer: 5 of 20 in train (25.0 %), 0 of 10 in test (0.0 %)"
    assert findings["unanswerable_shift"].message == "train has questions without an answer, test has none"
    assert "unanswerable_shift" not in found([*questions(range(15)), *none])


def test_questions_twice_and_with_different_answers():
    twice = [with_answers(3, {"text": "author", "start": 31}), with_answers(3, {"text": "number", "start": 38}), *list(questions([5]))]
    findings = found([*questions(range(20)), *twice])
    assert findings["duplicates"].count == 2
    assert "1 text of train has different answers in different rows" in findings["conflicting_duplicates"].message
    assert "(author) = train.json:4: data[3].x (number)" in findings["conflicting_duplicates"].places[0]
    assert "one of the answers is wrong" in findings["conflicting_duplicates"].advice


def test_contexts_of_test_that_are_in_train():
    test = [*questions(range(30, 38), "test.json"), with_answers(3, {"text": "author", "start": 31})]
    findings = found(questions(range(20)), None, test)
    assert findings["shared_contexts"].message == "1 row of test (11.1 %) share 1 context with train"
    assert findings["shared_contexts"].places[0].startswith("train.json:4: data[3].x")
    assert "shared_rows" not in findings
    assert found(questions(range(20)), None, questions(range(10, 30), "test.json"))["shared_rows"].count == 10


def tagged(*tags, words=None, file="train.conll", line=1):
    tokens = words or [f"w{line}x{n}" for n in range(len(tags))]
    return Example({"tokens": tokens, "tags": list(tags)}, file, line)


def sentences(number, file="train.conll", first=0):
    for n in range(first, first + number):
        yield tagged("B-PER", "I-PER", "O", f"B-{('LOC', 'ORG')[n % 2]}", file=file, line=5 * n + 1)


def test_healthy_tags_are_healthy():
    assert found(sentences(20), None, sentences(20, "test.conll", 30)) == {}
    assert report(sentences(20)).splits["train"]["labels"] == {"PER": 20, "LOC": 10, "ORG": 10}


def test_entities_by_type():
    test = [*sentences(20, "test.conll", 30), tagged("B-MISC", "O", file="test.conll", line=999)]
    train = [*sentences(100), tagged("B-per", line=9000), tagged("S-time", line=9001)]
    findings = found(train, None, test)
    assert findings["unknown_labels"].message == "test has labels that train does not have: 'MISC' (1)"
    assert findings["unknown_labels"].places == ("test.conll:999  'w999x0 w999x1'",)
    assert findings["absent_labels"].message == "test has no mention of 'per' (1), 'time' (1)"
    assert "'PER' and 'per'" in findings["similar_labels"].message
    assert "labels with fewer than 5 mentions in train" in findings["rare_labels"].message
    assert "'PER' has 100 mentions (49.5 %)" in findings["imbalance"].message
    assert "F1 by type" in findings["imbalance"].advice


def test_tags_that_cannot_be_read():
    rows = [tagged("B-PER", "O", words=["one"], line=900), tagged("PER", line=901), Example({"tokens": ["a"], "tags": None}, "train.conll", 902)]
    findings = found([*sentences(20), *rows])
    assert findings["refused_labels"].places == (
        "train.conll:900  1 token, 2 tags  'one'",
        "train.conll:901  tag 'PER'  'w901x0'",
    )
    assert findings["missing_labels"].places == ("train.conll:902  'a'",)
    assert set(found([Example({"tokens": ["a"]}, "a", 1)])) == {"no_labels"}
    assert found([tagged("O", "O"), tagged("O", line=2)])["single_label"].severity == "error"


def test_tags_that_break_the_rules():
    findings = found([*sentences(20), tagged("O", "I-PER", "B-LOC", "I-PER", "I-PER", line=900)])
    assert (findings["broken_tags"].severity, findings["broken_tags"].count) == ("warning", 2)
    assert [place.split("  ")[1] for place in findings["broken_tags"].places] == ["I-PER after O", "I-PER after B-LOC"]
    assert findings["broken_tags"].message.startswith("2 tags (3.1 %) that go on with an entity which has not begun")


def test_the_same_sentence_with_different_entities():
    words = ["New", "York", "sleeps"]
    findings = found([*sentences(20), tagged("B-LOC", "I-LOC", "O", words=words, line=900), tagged("O", "B-LOC", "O", words=words, line=901)])
    assert findings["conflicting_duplicates"].places == ("train.conll:900 (LOC New York) = train.conll:901 (LOC York)  'New York sleeps'",)
    assert "different entities in different rows" in findings["conflicting_duplicates"].message


def test_chinese_tokens_are_a_text_without_spaces():
    row = tagged("O", "B-LOC", "O", "O", words=["在", "北京", "OK", "PC"], line=900)
    assert found([*sentences(9), row, row])["duplicates"].places[-1].endswith("'在北京 OK PC'")


def spans(text, *entities, line=1):
    return Example({"text": text, "entities": [dict(zip(("start", "end", "label"), entity, strict=True)) for entity in entities]}, "a.jsonl", line)


def test_entities_as_spans():
    good = [spans(f"John {n} in Rome", (0, 4, "PER"), (len(f"John {n} in "), len(f"John {n} in Rome"), "LOC"), line=n + 1) for n in range(10)]
    assert report(good).splits["train"]["labels"] == {"PER": 10, "LOC": 10}
    assert found(good) == {}
    bad = [spans("Rome", (0, 5, "LOC"), line=90), spans("Oslo", (2, 2, "LOC"), line=91), spans("Bern", (0, 4, ""), line=92)]
    overlapping = spans("New York Times", (0, 8, "LOC"), (0, 14, "ORG"), line=93)
    findings = found([*good, *bad, overlapping, Example({"text": "no", "entities": "x"}, "a.jsonl", 94)])
    assert [place.split()[0] for place in findings["refused_labels"].places] == ["a.jsonl:90", "a.jsonl:91", "a.jsonl:92", "a.jsonl:94"]
    assert findings["overlapping_entities"].places == ("a.jsonl:93  'New York Times'",)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O O", []),
        ("B-A I-A B-A", [("A", 0, 2), ("A", 2, 3)]),
        ("B-A E-A S-A E-A", [("A", 0, 2), ("A", 2, 3), ("A", 3, 4)]),
        ("I-A I-B O I-B", [("A", 0, 1), ("B", 1, 2), ("B", 3, 4)]),
        ("B-A M-A L-A U-A", [("A", 0, 3), ("A", 3, 4)]),
        ("x  3", []),
    ],
)
def test_mentions(tags, expected):
    assert [tuple(mention) for mention in mentions(tags.split(" "))] == expected


def test_which_tags_are_broken():
    assert not is_broken("B-A", "E-A")
    assert is_broken("E-A", "I-A")
    assert is_broken("U-A", "L-A")
    assert not is_broken("O", "B-A")


def choosing(n, label, *choices, context=None, line=None):
    values = {"question": f"question {n}", "choices": list(choices or (f"a{n}", f"b{n}")), "context": context or f"context {n}", "label": label}
    return Example(values, "train.jsonl", line or n + 1)


def test_choices():
    good = [choosing(n, n % 2) for n in range(20)]
    assert found(good) == {}
    assert report(good).splits["train"]["labels"] == {"0": 10, "1": 10}
    assert report([choosing(n, f"b{n}") for n in range(4)]).splits["train"]["labels"] == {"1": 4}
    bad = [
        choosing(30, "c"),
        choosing(31, 2),
        choosing(32, None),
        choosing(33, 0, "only"),
        choosing(34, 0, "a", " "),
        choosing(35, 0, "a", "a"),
        choosing(36, "1"),
        choosing(37, True, context="x"),
    ]
    findings = found([*good, *bad])
    assert {code: [place.split()[0][12:] for place in finding.places] for code, finding in findings.items()} == {
        "few_choices": ["34"],
        "empty_choices": ["35"],
        "repeated_choices": ["36"],
        "missing_labels": ["33"],
        "refused_labels": ["31", "32", "38"],
    }
    assert findings["repeated_choices"].severity == "warning"
    assert set(found([choosing(1, None)])) == {"no_labels"}


def test_choices_twice_with_different_labels():
    findings = found([*(choosing(n, n % 2) for n in range(20)), choosing(3, 0, line=90)], None, [choosing(50, 0, context="context 3")])
    assert findings["conflicting_duplicates"].places[0].startswith("train.jsonl:4 (1) = train.jsonl:90 (0)")
    assert findings["shared_contexts"].count == 1


def test_targets():
    rows = [Example({"text": f"a long text {n}", "target": [f"text {n}", f"{n}"] if n % 2 else f"text {n}"}, "a.jsonl", n + 1) for n in range(20)]
    assert found(rows) == {}
    bad = [{"text": "x", "target": ""}, {"text": "y", "target": []}, {"text": "z", "target": None}, {"text": "same", "target": "same "}]
    findings = found([*rows, *(Example(values, "a.jsonl", 50 + n) for n, values in enumerate(bad))])
    assert [place.split()[0] for place in findings["empty_targets"].places] == ["a.jsonl:50", "a.jsonl:51", "a.jsonl:52"]
    assert findings["copied_targets"].places == ("a.jsonl:53  'same'",)


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        ("text label", "label"),
        ("text", "label"),
        ("text text_pair label tags", "label"),
        ("question context answers", "answers"),
        ("question context", "answers"),
        ("question context choices label", "choice"),
        ("tokens tags", "tags"),
        ("tokens", "tags"),
        ("text entities", "tags"),
        ("text target", "target"),
    ],
)
def test_rows_are_told_by_their_columns(columns, kind):
    assert kind_of([Example(dict.fromkeys(columns.split(), ""))]) == kind


def test_reports_of_every_kind_are_json():
    for rows in (questions(range(3)), sentences(3), [choosing(1, 0), choosing(2, 1)]):
        assert json.loads(json.dumps(report(rows).to_dict()))["splits"]["train"]["rows"] in (2, 3)


def test_real_reading_comprehension(shared_data):
    data = read(shared_data / "cmrc2018" / "trial.json", needed=("question", "context"), skip_bad_lines=True)
    findings = found(data)
    assert findings["misplaced_answers"].count == 5
    assert set(findings) == {"misplaced_answers", "html"}


def test_real_tags(shared_data):
    data = report(read(shared_data / "wnut17" / "dev.conll", needed=("tokens", "tags")))
    assert data.splits["train"]["labels"]["person"] == 470
    findings = {finding.code: finding for finding in data.findings}
    assert "broken_tags" not in findings
    assert "(person Kishan)" in findings["conflicting_duplicates"].places[0]


def test_real_choices(shared_data):
    data = report(read(shared_data / "c3" / "dev.json", needed=("question", "choices")))
    assert [(finding.code, finding.count) for finding in data.findings] == [("repeated_choices", 1), ("repeated_ids", 36)]
    assert sum(data.splits["train"]["labels"].values()) == 3816
