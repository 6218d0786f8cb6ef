"""The data doctor: every ailment is found where it is, with its place, and healthy data has none."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.core.errors import DataError
from bertsmith.core.types import Example
from bertsmith.data.checks import suspects as module
from bertsmith.data.checks.duplicates import check_duplicates, normalised
from bertsmith.data.checks.finding import Patient
from bertsmith.data.checks.suspects import left_out_scores
from bertsmith.data.checks.texts import mojibake
from bertsmith.data.dataset import Dataset
from bertsmith.data.doctor import examine
from bertsmith.data.readers import read
from bertsmith.tasks import tasks

GOOD = ["lovely", "great", "charming", "splendid", "superb", "warm", "bright", "moving"]
BAD = ["awful", "boring", "clumsy", "dull", "stale", "cold", "grim", "tedious"]
NOUNS = ["film", "plot", "cast", "music", "ending", "scene", "script", "idea", "actor", "story"]


def reviews(number, file="train.tsv", first=0):
    """Different texts of both labels in turn."""
    for index in range(first, first + number):
        words = GOOD if index % 2 else BAD
        text = f"the {NOUNS[index % 10]} number {index} is {words[index // 10 % 8]} and {words[index // 7 % 8]}"
        yield Example({"text": text, "label": "good" if index % 2 else "bad"}, file, index - first + 2)


def found(*splits, **options):
    return {finding.code: finding for finding in examine(*map(list, splits), **options).findings}


def rows(*pairs):
    return Dataset.of([{"text": text, "label": label} for text, label in pairs])


def test_healthy_data_is_healthy():
    assert found(reviews(60), reviews(20, "dev.tsv", 100), reviews(20, "test.tsv", 200)) == {}


def test_nothing_to_examine():
    with pytest.raises(DataError, match="no rows"):
        examine([])


def test_a_single_label_is_an_error():
    finding = found([Example({"text": str(n), "label": "1"}) for n in range(9)])["single_label"]
    assert finding.severity == "error"
    assert "'1'" in finding.message


def test_missing_labels_are_listed():
    finding = found([*reviews(20), Example({"text": "x", "label": None}, "train.tsv", 90), Example({"text": "y"}, "train.tsv", 91)])["missing_labels"]
    assert (finding.severity, finding.count) == ("error", 2)
    assert [place.split()[0] for place in finding.places] == ["train.tsv:90", "train.tsv:91"]


def test_without_labels_nothing_is_said_of_them():
    assert list(found([Example({"text": f"text {n}"}) for n in range(9)])) == ["no_labels"]


def test_labels_of_test_that_train_lacks_are_an_error_and_the_reverse_a_note():
    test = [*list(reviews(20, "test.tsv", 100))[::2], Example({"text": "x", "label": "so-so"}, "test.tsv", 99)]
    report = found(reviews(20), [], test)
    assert report["unknown_labels"].severity == "error"
    assert report["unknown_labels"].places == ("test.tsv:99  'x'",)
    assert report["absent_labels"].severity == "note"
    assert "'good' (10)" in report["absent_labels"].message


@pytest.mark.parametrize(("one", "other"), [("pos", "Pos "), ("not sure", "not_sure"), ("１", "1"), ("1", "1.0"), ("non-fiction", "nonfiction")])
def test_labels_that_differ_only_in_writing(one, other):
    data = [*reviews(20), *(Example({"text": f"t {n}", "label": label}) for n, label in enumerate([one, other] * 6))]
    message = found(data)["similar_labels"].message
    assert repr(one) in message
    assert repr(other) in message


def test_numbers_and_strings_of_one_name_are_said():
    data = [*reviews(20), *(Example({"text": f"t {n}", "label": label}) for n, label in enumerate([1, "1"] * 6))]
    assert found(data)["mixed_labels"].message.endswith("in others: '1'")
    assert "mixed_labels" not in found([*reviews(20), *(Example({"text": f"t {n}", "label": n % 2}) for n in range(12))])


def test_labels_that_only_look_alike_are_left_alone():
    data = [Example({"text": f"text {n}", "label": label}) for n, label in enumerate(["1", "-1", "+", "-", "A", "B", "10"] * 6)]
    assert "similar_labels" not in found(data)


def test_imbalance_and_rare_labels():
    data = rows(*((f"text {n}", "usual") for n in range(90)), *((f"other {n}", "seldom") for n in range(6)), ("z", "once"))
    report = found(data)
    assert report["imbalance"].severity == "warning"
    assert "'usual' has 90 rows (92.8 %), 'once' has 1" in report["imbalance"].message
    assert "92.8 %" in report["imbalance"].advice
    assert "'once' (1)" in report["rare_labels"].message
    assert "seldom" not in report["rare_labels"].message


def test_labels_shared_out_differently():
    test = [row for row in reviews(400, "test.tsv", 1000) if row["label"] == "good" or row.line % 5 == 0]
    report = {finding.code: finding for finding in examine(list(reviews(300)), None, test).findings}
    assert "50.0 %" in report["label_shift"].message


def test_several_labels_in_one_cell():
    data = [Example({"text": f"text {n}", "label": label}, "a.tsv", n + 1) for n, label in enumerate(["a,b", "b", "", "a, c", "c,a,b", "a"] * 5)]
    report = examine(data, task="multi_label")
    assert report.splits["train"]["labels"] == {"a": 20, "b": 15, "c": 10}
    assert report.findings == ()
    lists = [Example({"text": f"text {n}", "label": label}) for n, label in enumerate([["a", "b"], ["b"], []] * 5)]
    assert examine(lists, task="multi_label").splits["train"]["labels"] == {"b": 10, "a": 5}


def test_numbers_as_labels():
    data = [Example({"text": f"text {n}", "label": n / 7}, "a.tsv", n + 1) for n in range(40)]
    assert found(data, task="regression") == {}
    report = examine(data, task="regression")
    assert report.splits["train"]["numbers"] == {"min": 0.0, "mean": 2.785714, "max": 39 / 7}
    assert report.lines()[0].startswith("train: 40 rows; numbers from 0 to 5.57143, 2.786 on average; characters")
    assert found(data)["many_labels"].count == 40
    assert (
        found([*data, Example({"text": "x", "label": "high"}, "a.tsv", 99)], task="regression")["labels_not_numbers"].places[0].startswith("a.tsv:99")
    )
    assert "single_label" in found([Example({"text": f"text {n}", "label": 3}) for n in range(9)], task="regression")


def test_duplicates_are_counted_once_and_conflicts_named():
    data = [*reviews(30), Example({"text": "same", "label": "good"}, "train.tsv", 40), Example({"text": "same", "label": "bad"}, "train.tsv", 41)]
    data += [Example({"text": text, "label": "good"}, "train.tsv", 50 + n) for n, text in enumerate(["Very good!", "very good", "very good"])]
    report = found(data)
    assert report["duplicates"].count == 2
    assert report["near_duplicates"].count == 1
    assert report["conflicting_duplicates"].places == ("train.tsv:40 (good) = train.tsv:41 (bad)  'same'",)
    assert "conflicting_near_duplicates" not in report


def test_pairs_are_duplicates_only_as_a_whole():
    data = [Example({"text": "a premise", "text_pair": f"hypothesis {n}", "label": str(n % 2)}, "train.tsv", n + 1) for n in range(20)]
    assert "duplicates" not in found(data)
    test = [Example({"text": "a premise", "text_pair": "another", "label": "1"}, "test.tsv", 1), Example(data[3].values, "test.tsv", 2)]
    report = {finding.code: finding for finding in examine(data, None, [*test, Example({**test[0].values, "text": "x", "text_pair": "y"})]).findings}
    assert [place.split()[0] for place in report["half_shared_rows"].places] == ["test.tsv:1"]
    assert report["shared_rows"].places[0].startswith("test.tsv:2 (1) = train.tsv:4 (1)")


def test_rows_in_train_and_test_are_all_listed():
    train = list(reviews(200))
    shared = [Example({**train[n].values, "text": train[n]["text"].upper() if n == 7 else train[n]["text"]}, "test.tsv", n + 1) for n in range(12)]
    report = {finding.code: finding for finding in examine(train, None, [*shared, *reviews(30, "more.tsv", 500)]).findings}
    assert report["shared_rows"].severity == "error"
    assert [place.split(" ")[0] for place in report["shared_rows"].places] == [f"test.tsv:{n + 1}" for n in range(12) if n != 7]
    assert report["nearly_shared_rows"].places[0].startswith("test.tsv:8 (good) = train.tsv:9 (good)")
    few = {finding.code: finding for finding in examine(train, None, [*shared[:1], *reviews(99, "more.tsv", 500)]).findings}
    assert few["shared_rows"].severity == "warning"


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("Hello, world!", "hello world", True),
        ("ＡＢＣ１２３", "abc 123", True),
        ("很好。", "很好！！", True),
        ("3.5元", "35元", False),
        ("好👍", "好👎", False),
        ("C++", "C", False),
        ("a.b", "ab", True),
        ("不好", "很好", False),
    ],
)
def test_what_is_nearly_the_same(one, other, alike):
    assert (normalised(one) == normalised(other)) is alike


@given(st.text())
def test_normalising_twice_changes_nothing(text):
    assert normalised(normalised(text)) in (normalised(text), normalised(normalised(normalised(text))))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("  ", "empty_texts"),
        (None, "empty_texts"),
        ("NaN", "null_texts"),
        ("the cafÃ© is fine", "mojibake"),
        ("itâ€™s fine", "mojibake"),
        ("å¾ˆå¥½", "mojibake"),
        ("鏈嶅姟寰堝ソ锛屼笅娆¤繕鏉ャ€�", "replacement_characters"),
        ("杩欎釜閰掑簵鐨勬湇鍔★紝鎴块棿寰堝ソ锛屼环鏍间篃涓嶈吹", "mojibake"),
        ("锟斤拷锟斤拷", "mojibake"),
        ("lost \ufffd here", "replacement_characters"),
        ("zero\u200bwidth", "control_characters"),
        ("bell \x07", "control_characters"),
        ("one<br/>two", "html"),
        ("Tom &amp; Jerry", "html"),
        ("威廉&#183;欧奈尔", "html"),
        ("first\\n second", "escapes"),
        ("\\u4f60", "escapes"),
    ],
)
def test_suspicious_texts(text, code):
    assert code in found([*reviews(20), Example({"text": text, "label": "good"}, "train.tsv", 77)])
    assert found([*reviews(20), Example({"text": text, "label": "good"}, "train.tsv", 77)])[code].places[0].startswith("train.tsv:77")


@pytest.mark.parametrize(
    "text",
    [
        "LE CAFÉ…",
        "« Chez Noël »",
        "“É”, ‘À’",
        "MAÇÃ e pão",
        "1 < 2 > 0",
        "<荐书> 推荐",
        "C:\\new\\table",
        "R&D; AT&T",
        "锛是一种金属",
        "Ärger über Größe",
        "naïve façade",
        "null and void",
        "a\tb",
    ],
)
def test_honest_texts_are_left_alone(text):
    assert found([*reviews(20), Example({"text": text, "label": "good"})]) == {}


@given(st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5), min_size=4, max_size=20))
def test_chinese_read_as_latin_is_always_found(text):
    assert mojibake(text.encode().decode("latin-1"))


def test_places_from_python_are_numbered():
    report = examine(rows(("a", "x"), ("b", "y"), ("a", "x")))
    assert report.of("warning")[-1].places == ("train:1 (x) = train:3 (x)  'a'",)


class Characters:
    """A tokenizer with a token for every character but `?`."""

    unknown_id = 1

    def num_special(self, pair):
        return 3 if pair else 2

    def pieces_many(self, texts):
        class Pieces:
            def __init__(self, text):
                self.input_ids = np.array([1 if character == "?" else 5 for character in text], np.int32)
                self.offsets = np.array([(n, n + 1) for n in range(len(text))], np.int32).reshape(-1, 2)

        return [Pieces(text) for text in texts]


def test_lengths_in_tokens_and_what_the_vocabulary_lacks():
    data = [Example({"text": "a" * n, "text_pair": "b?", "label": str(n % 2)}, "train.tsv", n) for n in range(1, 101)]
    report = examine(data, tokenizer=Characters(), max_length=95)
    found = {finding.code: finding for finding in report.findings}
    assert report.splits["train"]["characters"] == {"median": 52, "p95": 97, "max": 102}
    assert report.splits["train"]["tokens"] == {"median": 55, "p95": 100, "max": 105, "share_over_max_length": 0.1}
    assert report.splits["train"]["unknown_rate"] == round(100 / (5050 + 500), 6)
    assert (found["over_length"].count, found["over_length"].severity) == (10, "warning")
    assert found["over_length"].places[0].startswith("train.tsv:100  105 tokens")
    assert found["unknown_tokens"].places == ("'?' (U+003F)  100 times",)
    assert found["unknown_tokens"].severity == "warning"


def test_splits_of_another_length():
    assert "length_shift" in found(reviews(20), [Example({"text": "short", "label": "good"}), Example({"text": "shorter", "label": "bad"})])


def flipped(data, share, seed=0):
    """Some labels replaced by the other one, and where."""
    random = np.random.default_rng(seed)
    names = sorted({row["label"] for row in data})
    places = set(np.flatnonzero(random.random(len(data)) < share).tolist())
    return [
        Example({**row.values, "label": names[(names.index(row["label"]) + 1) % len(names)]} if n in places else row.values, "a", n + 1)
        for n, row in enumerate(data)
    ], places


def test_wrong_labels_are_suspected():
    data, places = flipped(list(reviews(300)), 0.05)
    finding = found(data)["label_suspects"]
    suspected = {int(place.split()[0].split(":")[1]) - 1 for place in finding.places}
    assert len(suspected & places) >= 0.5 * len(places)
    assert len(suspected & places) >= 0.8 * len(suspected)
    assert found(data)["label_suspects"] == finding


def test_wrong_labels_of_pairs_are_suspected():
    pairs = [(NOUNS[n % 10], NOUNS[(n + (n % 2) * (1 + n // 20 % 8)) % 10], n) for n in range(200)]
    data = [Example({"text": f"{one} of {n}", "text_pair": f"the {two}", "label": "same" if one == two else "other"}) for one, two, n in pairs]
    data, places = flipped(data, 0.05)
    suspected = {int(place.split()[0].split(":")[1]) - 1 for place in found(data)["label_suspects"].places}
    assert len(suspected & places) >= 0.7 * len(places)
    assert len(suspected & places) >= 0.7 * len(suspected)


def test_a_classifier_no_better_than_chance_says_nothing():
    random = np.random.default_rng(0)
    assert "label_suspects" not in found([Example({"text": f"text {n}", "label": str(random.integers(2))}) for n in range(200)])


def test_large_data_is_sampled(monkeypatch):
    monkeypatch.setattr(module, "MAX_ROWS", 100)
    monkeypatch.setattr(module, "PART", 60)
    data, _ = flipped(list(reviews(300)), 0.05)
    assert "of 100 different texts" in found(data)["label_suspects"].message


@given(st.integers(2, 12), st.integers(0, 1000))
def test_scores_are_those_of_a_fit_without_the_row(rows, seed):
    random = np.random.default_rng(seed)
    features, targets = random.normal(size=(rows, 4)), random.normal(size=(rows, 2))
    kernel = features @ features.T + module.INTERCEPT
    expected = []
    for out in range(rows):
        rest = [n for n in range(rows) if n != out]
        expected.append(kernel[out, rest] @ np.linalg.solve(kernel[np.ix_(rest, rest)] + np.eye(rows - 1), targets[rest]))
    np.testing.assert_allclose(left_out_scores(features, targets), expected, rtol=2e-3, atol=2e-3)


def test_what_reading_met_is_reported(tmp_path):
    content = [*({"text": row["text"], "label": row["label"]} for row in reviews(30)), {"text": "x", "label": "-"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content) + "{\n", encoding="utf-8")
    report = examine(read(tmp_path / "a.jsonl", skip_bad_lines=True))
    found = {finding.code: finding for finding in report.findings}
    assert (found["bad_lines"].severity, found["bad_lines"].count) == ("error", 1)
    assert "a.jsonl:32" in found["bad_lines"].places[0]
    assert found["dropped_rows"].message == "1 row of train left out in reading: label '-' (no gold label) (1)"


def test_the_report_as_text_and_as_json():
    data = rows(*((f"text {n}", str(n % 2)) for n in range(20)), *[("same", "0")] * 9)
    report = examine(data)
    lines = report.lines()
    assert lines[0].startswith("train: 29 rows; labels 0: 19 (65.5 %), 1: 10 (34.5 %); characters: median ")
    assert lines[1] == "0 errors, 1 warning, 0 notes"
    assert lines[3] == "warning: 8 rows of train (27.6 %) repeat an earlier one: the same text"
    assert lines[4] == "  train:21 (0) = train:22 (0) = train:23 (0) = train:24 (0) = 5 more  'same'"
    assert json.loads(json.dumps(report.to_dict()))["findings"][0]["code"] == "duplicates"


def test_the_worst_comes_first():
    report = examine(rows(("a<br>", "1"), ("a<br>", "1"), (" ", "1")))
    assert [finding.severity for finding in report.findings] == sorted(
        (finding.severity for finding in report.findings), key=["error", "warning", "note"].index
    )
    assert Counter(finding.severity for finding in report.findings)["error"] == 2


def test_text_is_shared_between_the_splits_of_chnsenticorp(shared_data):
    """A third of its test rows are in train word for word: counted here a second way."""
    train, test = (read(shared_data / "chnsenticorp" / f"{name}.tsv") for name in ("train", "test"))
    texts = {row["text"] for row in train}
    finding = next(finding for finding in check_duplicates(Patient({"train": train, "test": test})) if finding.code == "shared_rows")
    assert finding.count == sum(row["text"] in texts for row in test) == 331
    assert finding.severity == "error"


def test_wrong_labels_are_suspected_in_real_text(shared_data):
    data = read(shared_data / "trec" / "train.txt", skip_bad_lines=True).take(1000, 1)
    clean = found(data)["label_suspects"].count
    data, places = flipped(list(data), 0.03)
    suspected = [int(place.split()[0].split(":")[1]) - 1 for place in found(data)["label_suspects"].places]
    assert len(suspected) < 60
    assert len(set(suspected) & places) >= 0.5 * (len(suspected) - clean)
    assert len(set(suspected[:10]) & places) >= 6


def test_ids_that_are_not_unique():
    rows = [
        Example({"id": number if number < 18 else 3, "text": f"text {number}", "label": number % 2}, "a.jsonl", number + 1) for number in range(20)
    ]
    finding = found(rows)["repeated_ids"]
    assert (finding.severity, finding.count) == ("note", 1)
    assert finding.places == ("a.jsonl:4 = a.jsonl:19 = a.jsonl:20  id '3'",)
    documents = [Example({"id": number // 5, "text": f"text {number}", "label": number % 2}) for number in range(20)]
    assert "repeated_ids" not in found(documents), "the id of a document is no row's"


def test_what_training_would_refuse_is_an_error_unless_another_one_says_so():
    rows = [Example({"question": f"q{n}?", "choices": ["a", "b"], "label": n % 2}, "a.jsonl", n + 1) for n in range(9)]
    numbers = Example({"question": "q?", "choices": [1, 2], "label": 0}, "a.jsonl", 10)
    nothing = Example({"question": "which?", "choices": [], "label": 0}, "a.jsonl", 11)
    findings = {finding.code: finding for finding in examine([*rows, numbers, nothing], judge=tasks["multiple_choice"]()).findings}
    assert findings["refused_rows"].severity == "error"
    assert findings["refused_rows"].places == ("a.jsonl:10  choice 0 is '1' (int), not a text; choice 1 is '2' (int), not a text",)
    assert findings["few_choices"].places[0].startswith("a.jsonl:11")


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("tagging", {"text": "ab", "entities": [{"start": 0, "end": 9, "label": "A"}]}, "is not inside the text"),
        ("extractive_qa", {"question": "q", "context": "c", "answers": "c"}, "not a list of objects"),
        ("text_to_text", {"text": "a", "target": 5}, "target is '5' (int), not a string"),
        ("embedding", {"text": "a", "text_pair": "b", "negative": [5]}, "a negative is '5' (int), not a string"),
        ("similarity", {"text": "a", "text_pair": "b", "label": "x"}, "label 'x' is not a number"),
        ("regression", {"text": "a", "label": 1e300}, "too far from 0"),
        ("multi_label", {"text": "a", "label": ["x", None]}, "holds a name that is empty"),
        ("multi_label", {"text": "a", "label": [""]}, "holds a name that is empty"),
        ("multi_label", {"text": "a", "label": []}, ""),
        ("multiple_choice", {"question": "q", "choices": ["a", "b"], "label": "c"}, "is none of the choices"),
        ("multiple_choice", {"question": "q", "choices": ["a", "b", "a"], "label": "a"}, ""),
    ],
)
def test_a_task_says_what_it_would_refuse(name: str, values: dict, message: str):
    reason = tasks[name]().wrong_row(Example(values))
    assert message in reason
    assert bool(message) == bool(reason)


def test_what_a_task_leaves_out_or_mends_is_told_with_its_lines():
    pairs = [Example({"text": f"a{n}", "text_pair": f"b{n}", "label": n % 2}, "a.jsonl", n + 1) for n in range(12)]
    findings = {finding.code: finding for finding in examine(pairs, task="embedding", judge=tasks["embedding"]()).findings}
    assert findings["left_out_rows"].severity == "note"
    assert findings["left_out_rows"].count == 6
    assert findings["left_out_rows"].places[0].startswith("a.jsonl:1: label 0: its texts do not belong together")
    assert "refused_rows" not in findings
    entities = [{"start": 0, "end": 2, "label": "PER"}]
    inside = [Example({"text": "Johnson sleeps", "entities": entities}, "a.jsonl", 1)]
    [mended] = [finding for finding in examine(inside, judge=tasks["tagging"]()).findings if finding.code == "mended_rows"]
    assert mended.places == ("a.jsonl:1: an entity begins or ends inside a word; the whole word is trained as a part of it",)
