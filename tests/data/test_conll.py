"""CoNLL: sentences of tokens and tags, and what costs one."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertsmith.core.errors import DataError
from bertsmith.data.formats.conll import looks_like_conll
from bertsmith.data.readers import read

TAGGED = ("tokens", "tags")
SENTENCES = [(["John", "Smith", "sleeps"], ["B-PER", "I-PER", "O"]), (["He", "too"], ["O", "O"]), (["北", "京"], ["B-LOC", "I-LOC"])]


@pytest.fixture
def write(tmp_path):
    def to(name, content):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8", newline="")
        return path

    return to


def sentences(dataset):
    return [(row["tokens"], row["tags"]) for row in dataset]


def written(separator, sentences=SENTENCES, end="\n"):
    lines = [[f"{token}{separator}{tag}{end}" for token, tag in zip(*sentence, strict=True)] for sentence in sentences]
    return end.join("".join(sentence) for sentence in lines)


@pytest.mark.parametrize("name", ["a.conll", "a.txt", "a.tsv", "a.bio", "a"])
@pytest.mark.parametrize("separator", [" ", "\t", "  "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_sentences_of_tokens_and_tags(write, name, separator, end):
    dataset = read(write(name, written(separator, end=end)), needed=TAGGED)
    assert sentences(dataset) == SENTENCES
    assert dataset.files[0].format == "conll"
    assert [row.line for row in dataset] == [1, 5, 8]


def test_what_stands_between_sentences_is_none(write):
    content = (
        "-DOCSTART- -X- -X- O\n\n\n# sent_id = 1\n# text = EU rejects\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n"
        " \t\n# sent_id = 2\n# X B-NP O\nGerman JJ I-NP B-MISC\n-DOCSTART- -X- -X- O\nback RB B-ADVP O\n\n# the end"
    )
    dataset = read(write("a.conll", content), needed=TAGGED)
    assert sentences(dataset) == [(["EU", "rejects"], ["B-ORG", "O"]), (["#", "German"], ["O", "B-MISC"]), (["back"], ["O"])]
    assert [row.line for row in dataset] == [6, 10, 13]
    assert dataset[0]["1"] == ["NNP", "VBZ"]


def test_columns_can_be_chosen(write):
    path = write("a.conll", "1 EU B-ORG x\n2 rejects O x\n\n1 it O x\n")
    dataset = read(path, columns={"tokens": 1, "tags": 2}, needed=TAGGED)
    assert sentences(dataset) == [(["EU", "rejects"], ["B-ORG", "O"]), (["it"], ["O"])]
    with pytest.raises(DataError, match="no column 7 for tags"):
        read(path, columns={"tags": 7}, needed=TAGGED)
    with pytest.raises(DataError, match="2 of 2 rows") as caught:
        read(path, needed=TAGGED)
    assert "tag 'x' is neither O nor" in caught.value.problems[0]


def test_tokens_alone_are_read_for_use(write):
    dataset = read(write("a.conll", "EU\nrejects\n\nit\n"), needed=("tokens",))
    assert [dict(row.values) for row in dataset] == [{"tokens": ["EU", "rejects"]}, {"tokens": ["it"]}]


def test_a_tab_is_between_columns_and_a_space_then_within_one(write):
    assert sentences(read(write("a.conll", "New York\tB-LOC\n\u3000\tO\n"), needed=TAGGED)) == [(["New York", "\u3000"], ["B-LOC", "O"])]


NEITHER = "neither O nor a type after B-, I-, E-, S-, M-, L- or U-, such as B-PER"
BAD = {
    2: "no tag after the token 'Smith' (it costs the sentence of lines 1-3)",
    5: f"tag 'PER' is {NEITHER} (it costs the sentence of line 5)",
    9: "tag 'Q-PER' is neither",
    11: "3 columns, 2 expected (it costs",
    13: "no token before the tag",
    15: f"tag 'B-' is {NEITHER}; wrong too: lines 16, 17 (it costs the sentence of lines 15-17)",
    19: "tag 'I-O' is neither",
    21: "no tag after the token '#one'",
}


def test_every_bad_line_is_reported_and_costs_its_sentence(write):
    content = (
        "John B-PER\nSmith\nsleeps O\n\nHe PER\n\ngood O\n"
        "\nJohn Q-PER\n\na b O\n\n\tO\n\nx B-\ny b-PER\nz PER\n\nz I-O\n\n#one\n\nwell O\nS-tags S-PER\nM M-X\nL L-X\nU U-X\nE E-X\nI I-X\n"
    )
    path = write("a.conll", content)
    with pytest.raises(DataError, match="8 of 10 rows") as caught:
        read(path, needed=TAGGED)
    dataset = read(path, needed=TAGGED, skip_bad_lines=True)
    assert {problem.line: problem.message[: len(BAD[problem.line])] for problem in dataset.problems} == BAD
    assert list(map(str, dataset.problems)) == list(caught.value.problems)
    assert sentences(dataset) == [(["good"], ["O"]), (["well", "S-tags", "M", "L", "U", "E", "I"], ["O", "S-PER", "M-X", "L-X", "U-X", "E-X", "I-X"])]


def test_a_sentence_is_one_row_however_many_of_its_lines_are_wrong(write):
    path = write("a.conll", "a B\n" + "b I\n" * 30 + "\nc O\n")
    dataset = read(path, needed=TAGGED, skip_bad_lines=True)
    [problem] = dataset.problems
    assert problem.message.endswith("; wrong too: lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 20 more (it costs the sentence of lines 1-31)")
    assert next(dataset.remarks()).startswith("1 row could not be read and was left out")


def test_a_byte_that_is_no_utf8_costs_its_sentence(tmp_path):
    path = tmp_path / "a.conll"
    path.write_bytes(b"a O\n\nJohn B-PER\nSm\xefth I-PER\n\nb O\n")
    dataset = read(path, needed=TAGGED, skip_bad_lines=True)
    assert [row["tokens"] for row in dataset] == [["a"], ["b"]]
    assert [problem.line for problem in dataset.problems] == [4]
    assert dataset.problems[0].message.endswith("(it costs the sentence of lines 3-4)")


def test_rules_of_the_scheme_are_the_task_s_business(write):
    assert sentences(read(write("a.conll", "a O\nb I-PER\nc I-LOC\n"), needed=TAGGED)) == [(["a", "b", "c"], ["O", "I-PER", "I-LOC"])]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["a O"] * 12, True),
        (["a O"] * 3, False),
        (["a O"] * 3 + ["b B-X"], True),
        (["John B-PER", "b", "", "c O", "d O", "e O"], True),
        (["I am blood type O", "I-PER", "so is he"], False),
        (["a good film B-movie", "a film O"], False),
        (["good film\tB-movie", "a film\tO"] * 9, False),
        (["1 good", "0 bad"] * 9, False),
        (["-DOCSTART- -X- O O", "", "EU NNP B-NP B-ORG"], True),
        ([], False),
    ],
)
def test_what_looks_like_conll(lines, expected):
    assert looks_like_conll(lines) is expected


TOKEN = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters=" \ufeff"), min_size=1, max_size=8)
TAG = st.just("O") | st.builds("{}-{}".format, st.sampled_from("BIES"), st.sampled_from(["PER", "creative-work", "地名"]))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(st.tuples(TOKEN, TAG), min_size=1, max_size=5), min_size=1, max_size=5), st.sampled_from(" \t"), st.booleans())
def test_any_sentences_come_back(wanted, separator, is_chosen):
    wanted = [[pair for pair in sentence if pair[0] != "-DOCSTART-"] or [("x", "O")] for sentence in wanted]
    content = "\n".join("".join(f"{token}{separator}{tag}\n" for token, tag in sentence) for sentence in wanted)
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.conll")
        path.write_text(content, encoding="utf-8", newline="")
        dataset = read(path, needed=TAGGED, columns={"tags": 1} if is_chosen else None)
    assert [list(zip(row["tokens"], row["tags"], strict=True)) for row in dataset] == wanted
    assert [row.line for row in dataset] == [1 + sum(len(one) + 1 for one in wanted[:number]) for number in range(len(wanted))]


def test_people_daily(shared_data):
    dataset = read(shared_data / "peopledaily" / "dev.txt", needed=TAGGED)
    assert (len(dataset), dataset.files[0].format, dataset.problems) == (4631, "conll", ())
    tags = Counter(tag for row in dataset for tag in row["tags"])
    assert (tags["B-PER"], tags["B-LOC"], tags["B-ORG"], tags["O"]) == (1973, 2877, 1331, 152_505)


@pytest.mark.parametrize(("name", "size"), [("train", 3394), ("dev", 1009), ("test", 1287)])
def test_wnut17(shared_data, name, size):
    path = shared_data / "wnut17" / f"{name}.conll"
    dataset = read(path, needed=TAGGED)
    assert (len(dataset), dataset.problems) == (size, ())
    lines = path.read_text(encoding="utf-8").split("\n")
    assert all(lines[row.line - 1] == f"{row['tokens'][0]}\t{row['tags'][0]}" for row in dataset)
    assert sum(len(row["tokens"]) for row in dataset) == sum(bool(line.strip()) for line in lines)
