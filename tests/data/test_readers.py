"""Readers: every format gives the same rows, and whatever is wrong with a file is said with its line."""

import bz2
import codecs
import csv
import gzip
import hashlib
import io
import json
import lzma
import re
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertsmith.core.errors import DataError
from bertsmith.data import lines
from bertsmith.data.dataset import Dataset, Problem
from bertsmith.data.readers import read, read_texts, stream
from bertsmith.data.sources import find_sources

ROWS = [("1", "服务很好，下次还来"), ("0", 'the "room", small'), ("1", "ok")]


def rows(dataset):
    return [(row["label"], row["text"]) for row in dataset]


@pytest.fixture
def write(tmp_path):
    def to(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return to


def as_csv(table, **options):
    buffer = io.StringIO()
    csv.writer(buffer, **options).writerows(table)
    return buffer.getvalue()


def as_parquet(table):
    import pyarrow as pa
    from pyarrow import parquet

    buffer = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist([{"sentence": text, "label": label} for label, text in table]), buffer)
    return buffer.getvalue()


JSON_LINES = "".join(json.dumps({"sentence": text, "label": label}, ensure_ascii=False) + "\n" for label, text in ROWS)
JSON_ARRAY = json.dumps([{"sentence": text, "label": label} for label, text in ROWS], indent=1)
TSV = "".join(f"{label}\t{text}\n" for label, text in ROWS)


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.jsonl", JSON_LINES, "jsonl"),
        ("a.json", JSON_LINES, "jsonl"),
        ("a.json", JSON_ARRAY, "jsonl"),
        ("a.json", codecs.BOM_UTF8 + JSON_ARRAY.encode(), "jsonl"),
        ("a.unknown", JSON_LINES, "jsonl"),
        ("a.csv", as_csv([("label", "sentence"), *ROWS]), "csv"),
        ("a.csv", as_csv([("label", "sentence"), *ROWS], delimiter=";"), "csv"),
        ("a.csv", as_csv(ROWS), "csv"),
        ("a.tsv", "label\ttext_a\n" + TSV, "tsv"),
        ("a.tsv", TSV, "tsv"),
        ("a.txt", TSV, "tsv"),
        ("a.tsv", codecs.BOM_UTF8 + ("label\tsentence\n" + TSV).encode(), "tsv"),
        ("a.tsv", ("label\tsentence\n" + TSV).replace("\n", "\r\n"), "tsv"),
        ("a.txt", TSV.replace("\t", " "), "labelled"),
        ("a.parquet", as_parquet(ROWS), "parquet"),
    ],
)
def test_every_format_gives_the_same_rows(write, name, content, kind):
    dataset = read(write(name, content))
    assert rows(dataset) == ROWS
    assert dataset.files[0].format == kind
    assert dataset.files[0].num_rows == 3
    assert dataset.files[0].sha256 == hashlib.sha256(content if isinstance(content, bytes) else content.encode()).hexdigest()


def test_lines_are_those_of_the_file(write):
    assert [row.line for row in read(write("a.json", JSON_ARRAY))] == [2, 6, 10]
    assert [row.line for row in read(write("b.csv", 'label,text\n1,"two\nlines"\n\n0,one\n'))] == [2, 5]
    assert [row.where[-7:] for row in read(write("c.tsv", "label\ttext\n1\ta\n\n0\tb\n"))] == ["c.tsv:2", "c.tsv:4"]


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0\n\r\t"), min_size=1).filter(lambda text: text.strip())


@settings(max_examples=60, deadline=None)
@given(st.lists(texts, min_size=1, max_size=5), st.sampled_from(["jsonl", "csv", "tsv", "text"]))
def test_any_text_comes_back_unchanged(texts, kind):
    """Among others with U+2028, NEL and form feeds, at which Python splits lines and nobody else does; quotation marks, commas."""
    content = {
        "jsonl": "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts),
        "csv": as_csv([["text", "n"], *([text, 1] for text in texts)], quoting=csv.QUOTE_ALL),
        "tsv": "text\tn\n" + "".join(f"{text}\t1\n" for text in texts),
        "text": "".join(text + "\n" for text in texts),
    }[kind]
    with TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(content.encode())
        found = [row["text"] for row in read(path, format=kind)]
    if kind == "tsv":
        texts = [text for text in texts if '""' not in text]
        found = [text for text in found if text in texts]
    assert found == ([text.strip() for text in texts] if kind == "text" else texts)


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=200) | st.text('{}[]",:;\n\t 1a', max_size=60).map(str.encode),
    st.sampled_from(["jsonl", "csv", "tsv", "labelled", "text", None]),
)
def test_arbitrary_bytes_are_read_or_refused_but_never_crash(content, kind):
    with TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(content)
        for skip in (False, True):
            try:
                dataset = read(path, format=kind, skip_bad_lines=skip)
            except DataError:
                continue
            assert all(row["text"].strip() for row in dataset)
            assert all(1 <= row.line <= content.count(b"\n") + 1 for row in dataset)


BAD = [
    (
        "a.jsonl",
        '{"text": "a"}\n{"text": }\n["text"]\n{"text": "b"}\n3\nnull\n',
        {2: "not JSON", 3: "an array, not an object", 5: "a number", 6: "null"},
    ),
    ("a.jsonl", '{"text": "a"}\n' + "[" * 100_000 + "\n", {2: "nested too deeply"}),
    ("a.jsonl", '{"text": "a"}\n{"texts": "b"}\n{"text": 3}\n{"text": " "}\n', {2: "no column 'text'", 3: "not a string", 4: "is empty"}),
    ("a.jsonl", '{"text": "a"}\n{"text": "half \\ud83d"}\n{"text": "a \\u0000 b"}\n', {2: "surrogate", 3: "NUL"}),
    ("a.tsv", "label\ttext\n1\ta\n0\n1\tb\tc\n0\t\n", {3: "1 columns, 2 expected", 4: "3 columns, 2 expected", 5: "text is empty"}),
    ("a.csv", 'label,text\n1,a\n0,"b" c\n1,"d\n0,e\n', {3: "not CSV", 4: "not CSV"}),
    ("a.tsv", b"label\ttext\n1\tsister\xf0city\n0\tb\n1\tc\0d\n", {2: "byte 9 of the line, 0xF0, is not UTF-8 (near '1\\tsister", 4: "NUL"}),
    ("a.txt", "1 good\n0 bad\n1\n0 good\n", {3: "no text after the label"}),
    ("a.tsv", "text1\ttext2\na\tb\nc\t\n", {3: "text_pair is empty"}),
]


@pytest.mark.parametrize(("name", "content", "expected"), BAD)
def test_all_bad_lines_are_reported_and_can_be_skipped(write, name, content, expected):
    path = write(name, content)
    kind = "labelled" if name.endswith("txt") else None
    with pytest.raises(DataError) as caught:
        read(path, format=kind)
    assert len(caught.value.problems) == len(expected)
    for problem, (line, message) in zip(caught.value.problems, expected.items(), strict=True):
        assert problem.startswith(f"{path}:{line}: ")
        assert message in problem
    dataset = read(path, format=kind, skip_bad_lines=True)
    assert [problem.line for problem in dataset.problems] == list(expected)
    assert not set(expected) & {row.line for row in dataset}
    assert len(dataset) > 0


def test_twenty_bad_lines_are_shown_and_all_counted(write):
    with pytest.raises(DataError, match=r"30 of 31 rows cannot be read") as caught:
        read(write("a.jsonl", '{"text": "a"}\n' + "no\n" * 30))
    assert "a.jsonl:21: " in str(caught.value)
    assert "a.jsonl:22: " not in str(caught.value)
    assert "and 10 more" in str(caught.value)


def test_an_open_quotation_mark_costs_one_line(write):
    path = write("a.csv", 'label,text\n1,"open\n' + "0,fine\n" * 500)
    dataset = read(path, skip_bad_lines=True)
    assert len(dataset) == 500
    assert [problem.line for problem in dataset.problems] == [2]


def test_quotation_marks_of_a_tsv_are_meant_unless_they_are_doubled(write):
    dataset = read(write("a.tsv", 'label\ttext\n1\t"so" he said\n0\t"all of it"\n1\t"she said ""no"" twice"\n'))
    assert [row["text"] for row in dataset] == ['"so" he said', '"all of it"', 'she said "no" twice']


@pytest.mark.parametrize("end", ["", "\n", '\n{"text": "b"}\n'])
def test_a_line_of_10_mb_is_reported_and_not_kept(write, end, monkeypatch):
    path = write("a.jsonl", '{"text": "a"}\n{"text": "' + "x" * 10_000_000 + '"}' + end)
    largest = 0
    real = lines._decode

    def watched(name, number, raw, encoding):
        nonlocal largest
        largest = max(largest, len(raw))
        return real(name, number, raw, encoding)

    monkeypatch.setattr(lines, "_decode", watched)
    dataset = read(path, skip_bad_lines=True)
    assert [str(problem) for problem in dataset.problems] == [f"{path}:2: a line of 10.0 MB; at most 4.2 MB are read: cut it into several"]
    assert len(dataset) == (2 if "b" in end else 1)
    assert largest < 100


def test_a_line_of_just_the_limit_is_read(write):
    text = "x" * (lines.MAX_LINE_BYTES - len('{"text": ""}'))
    for end in ("", "\n", "\r\n"):
        assert read(write("a.jsonl", f'{{"text": "{text}"}}{end}'))[0]["text"] == text
        with pytest.raises(DataError, match="MB"):
            read(write("a.jsonl", f'{{"text": "{text}xx"}}{end}'))


def test_a_book_of_1_mb_is_read_however_its_characters_are_written(write):
    book = "长江流经上海" * 56_000
    assert len(book.encode()) > 1_000_000
    for ascii_only in (True, False):
        assert read(write("a.jsonl", json.dumps({"text": book}, ensure_ascii=ascii_only)))[0]["text"] == book


CHINESE = "label\ttext\n" + "1\t服务很好，我们下次还会来的，这个价格也不贵\n0\t房间太小，不是我要的那种\n" * 5


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("skip", [False, True])
def test_another_encoding_is_named_and_can_be_read(write, encoding, skip):
    path = write("a.tsv", CHINESE.encode(encoding))
    with pytest.raises(DataError, match=rf"seems to be {encoding.upper()}\. Convert it: iconv .* read it with encoding = '{encoding}'"):
        read(path, skip_bad_lines=skip)
    dataset = read(path, encoding=encoding)
    assert len(dataset) == 10
    assert dataset[0]["text"] == "服务很好，我们下次还会来的，这个价格也不贵"


def test_traditional_chinese_is_told_from_simplified(write):
    text = "這間酒店環境和服務態度亦算不錯，但房間空間太小，我們不會再來的\n" * 3
    with pytest.raises(DataError, match="BIG5"):
        read(write("a.txt", text.encode("big5")))
    assert len(read(write("a.txt", text.encode("big5")), encoding="big5")) == 3


def test_an_unknown_encoding_is_refused(write):
    with pytest.raises(DataError, match="unknown encoding 'gbk18030'"):
        read(write("a.txt", "a\n"), encoding="gbk18030")


def test_damaged_utf16_is_said(write):
    with pytest.raises(DataError, match="is not UTF-16"):
        read(write("a.txt", "很好\n".encode("utf-16") + b"\x00"), encoding="utf-16")


def test_carriage_returns_alone_are_said(write):
    with pytest.raises(DataError, match="old Macintosh"):
        read(write("a.csv", "label,text\r1,a\r0,b\r"))


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff", " \n"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.tsv", "a.csv", "a.txt"])
def test_empty_files_are_said(write, name, content):
    with pytest.raises(DataError, match="is empty"):
        read(write(name, content))


def test_a_header_alone_is_no_data(write):
    with pytest.raises(DataError, match="no rows"):
        read(write("a.tsv", "label\ttext\n"))


def test_paths_that_do_not_exist_name_the_nearest(write, tmp_path):
    write("train.tsv", TSV)
    with pytest.raises(DataError, match=r"no file .*trian\.tsv \(did you mean 'train\.tsv'\?\)"):
        read(tmp_path / "trian.tsv")
    with pytest.raises(DataError, match=r"the folder .*/dta does not exist"):
        read(tmp_path / "dta" / "deep" / "train.tsv")
    with pytest.raises(DataError, match="is a folder"):
        read(tmp_path)
    with pytest.raises(DataError, match="no file matches"):
        read(str(tmp_path / "*.json"))
    with pytest.raises(DataError, match="2 of 3 sources") as caught:
        read([tmp_path / "train.tsv", tmp_path / "a", str(tmp_path / "*.b")])
    assert len(caught.value.problems) == 2


def test_a_path_through_a_file_is_said(write):
    path = write("ok.tsv", TSV)
    for below in ("x", "x/y"):
        with pytest.raises(DataError) as caught:
            find_sources(path / below)
        assert caught.value.summary == f"there is no file {path / below}: {path} is a file, not a folder"


def test_a_file_that_cannot_be_opened_is_said(write, monkeypatch):
    path = write("a.tsv", TSV)

    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match="Permission denied"):
        read(path)


def test_mistakes_of_several_files_come_together(write):
    with pytest.raises(DataError, match="2 files cannot be read") as caught:
        read([write("a.tsv", ""), write("b.tsv", TSV), write("c.json", "[1")])
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    "content", ['[{"text": "a"}, {"text": }]', '[{"text": "a"} {"text": "b"}]', '[{"text": "a"}]\n[2]', '[{"text": "a"},', "[", '{\n"text": "a"\n}']
)
def test_json_that_is_neither_lines_nor_an_array_is_refused_even_when_skipping(write, content):
    with pytest.raises(DataError, match=r"array"):
        read(write("a.json", content), skip_bad_lines=True)


def test_several_files_and_patterns_are_read_once_in_order(write, tmp_path):
    write("b.tsv", "0\tfrom b\n1\tb too\n")
    write("a.tsv", "0\tfrom a\n1\ta too\n")
    dataset = read([str(tmp_path / "*.tsv"), tmp_path / "a.tsv"])
    assert [row["text"] for row in dataset] == ["from a", "a too", "from b", "b too"]
    assert [file.num_rows for file in dataset.files] == [2, 2]


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(JSON_LINES.encode())))
    dataset = read("-")
    assert rows(dataset) == ROWS
    assert dataset[0].where == "standard input:1"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("id,premise,hypothesis,gold_label", {"text": "premise", "text_pair": "hypothesis", "label": "gold_label"}),
        ("question1,question2,label,label_desc", {"text": "question1", "text_pair": "question2", "label": "label"}),
        ("Label,Text,x,y", {"text": "Text", "label": "Label"}),
        ("评论,标签,x,y", {"text": "评论", "label": "标签"}),
        ("sentence1,sentence2,score,sentence", {"text": "sentence1", "text_pair": "sentence2", "label": "score"}),
        ("text_a,text_b,labels,id", {"text": "text_a", "text_pair": "text_b", "label": "labels"}),
    ],
)
def test_usual_column_names_are_recognised(write, header, expected):
    assert read(write("a.csv", header + "\na,b,c,d\n")).columns == expected


def test_columns_can_be_named_and_the_others_are_kept(write):
    path = write("a.csv", "评价,好坏,text,id\n很好,1,other,7\n")
    dataset = read(path, columns={"text": "评价", "label": "好坏"})
    assert dict(dataset[0].values) == {"text": "很好", "label": "1", "id": "7"}
    assert dataset.columns == {"text": "评价", "label": "好坏"}


def test_a_column_that_is_not_known_is_asked_for_in_both_ways(write):
    with pytest.raises(DataError, match=r'Name it: --column label=… on the command line, columns = \{ label = "…" \} in a recipe'):
        read(write("a.tsv", "text\tgood\na\t1\n"), needed=("text", "label"))


def test_data_of_the_package_is_read_by_its_name():
    dataset = read("builtin:reviews/test.tsv")
    assert dataset.files[0].name == "builtin:reviews/test.tsv"
    assert len(read("builtin:reviews/t*.tsv")) > len(dataset) > 0


def test_columns_by_position(write):
    for path in (write("a.tsv", "a\tx\tb\nc\ty\td\n"), write("b.tsv", "id\tx\tsentence\na\tx\tb\nc\ty\td\n")):
        dataset = read(path, columns={"text": 2, "label": "0"})
        assert rows(dataset) == [("a", "b"), ("c", "d")]


def test_names_that_tasks_do_not_know_are_told_once(write):
    path = write("a.jsonl", '{"sentence": "a", "mark": 1, "nr": 7}\n' * 240)
    with pytest.raises(
        DataError, match=r"unknown name 'txet' \(did you mean 'text'\?\); known: text, text_pair, label, document, .*, entities, target$"
    ) as caught:
        read(path, columns={"txet": "sentence", "label": "mark"})
    assert caught.value.problems == ()
    assert read(path, columns={"text": "sentence", "id": "nr", "aspect": "mark"}, needed=("text", "aspect"))[0]["id"] == 7


PACKING = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize(("suffix", "kind", "command"), [("gz", "gzip", "gunzip -k"), ("bz2", "bzip2", "bunzip2 -k"), ("xz", "xz", "unxz -k")])
def test_compressed_files_are_recognised(write, suffix, kind, command):
    packed = PACKING[suffix]("".join(f"{number}\ttext {number}\n" for number in range(99)).encode())
    for name in (f"a.tsv.{suffix}", "a.tsv", "a"):
        path = write(name, packed)
        with pytest.raises(DataError) as caught:
            read(path)
        assert caught.value.summary == f"{path} is compressed ({kind}): unpack it first: {command} {path}"


@pytest.mark.parametrize(("name", "said"), [("a.xlsx", "is a spreadsheet (xlsx): save it as CSV first"), ("a.zip", "is compressed (zip)")])
def test_zip_files_and_spreadsheets_are_recognised(write, tmp_path, name, said):
    with zipfile.ZipFile(tmp_path / name, "w") as file:
        file.writestr("a.tsv", TSV)
    with pytest.raises(DataError, match=re.escape(said)):
        read(tmp_path / name)


def test_text_that_begins_like_a_compressed_file_is_text(write):
    assert read(write("a.txt", "BZh is a prefix\n"))[0]["text"] == "BZh is a prefix"


def test_columns_that_are_missing_list_those_there(write):
    path = write("a.jsonl", '{"sentence": "a", "labl": 1}\n')
    with pytest.raises(DataError, match=r"no column 'label' for label \(did you mean 'labl'\?\); columns there are: sentence, labl"):
        read(path, columns={"text": "sentence", "label": "label"})
    with pytest.raises(DataError, match=r"no column is known to be text_pair; columns there are: sentence, labl"):
        read(path, needed=("text", "text_pair"))
    with pytest.raises(DataError, match="no column 5 for text"):
        read(write("a.tsv", TSV), columns={"text": 5})


def test_an_unusual_header_is_not_taken_for_a_row(write):
    with pytest.raises(DataError, match="columns there are: 評分, 意見"):
        read(write("a.tsv", "評分\t意見\n" + "".join(f"{n % 2}\t第{n}条\n" for n in range(20))))


def test_a_first_row_that_happens_to_be_alone_is_no_header(write):
    dataset = read(write("a.tsv", "culture\tfirst\n" + "".join(f"class{n % 12}\tthe text of row {n}\n" for n in range(24))))
    assert dataset[0]["label"] == "culture"


def test_names_twice_in_a_header_are_refused(write):
    with pytest.raises(DataError, match="several columns of the same name: text"):
        read(write("a.csv", "text,text,label\na,b,c\n"))


def test_an_unknown_format_lists_those_there_are(write):
    with pytest.raises(ValueError, match=r"unknown format 'jsnl'.*known: c3, conll, csv, hub, json"):
        read(write("a.tsv", TSV), format="jsnl")


def test_a_numbered_list_is_text_and_not_labelled(write):
    assert read(write("a.txt", "1 first\n2 second\n3 third\n")).files[0].format == "text"


def test_rows_without_gold_label_are_dropped_and_counted(write):
    content = "".join(json.dumps({"text": "a", "label": label}) + "\n" for label in ("yes", "-", None, "no", "-", ""))
    dataset = read(write("a.jsonl", content + '{"text": "b"}\n'))
    assert [row["label"] for row in dataset] == ["yes", "no", ""]
    assert dataset.dropped == {"label '-' (no gold label)": 2, "no label": 2}
    assert [row.line for row in dataset.dropped_rows] == [2, 3, 5, 7]
    assert len(read(write("a.jsonl", content), keep_unlabelled=True)) == 6


def test_a_set_without_any_label_stays_as_it_is(write):
    dataset = read(write("a.jsonl", '{"text": "a", "label": null}\n{"text": "b", "label": null}\n'))
    assert len(dataset) == 2
    assert dataset.dropped == {}


def test_when_nothing_can_be_used_it_is_an_error(write):
    with pytest.raises(DataError, match="not one line"):
        read(write("a.jsonl", "a\nb\n"), skip_bad_lines=True)


def test_lines_of_plain_text_know_their_document(write):
    one, two = write("a.txt", "\n\na\nb\n\n\nc\n"), write("b.txt", "d\n\ne")
    expected = [("a", 0), ("b", 0), ("c", 1), ("d", 2), ("e", 3)]
    assert [(row["text"], row["document"]) for row in read([one, two])] == expected
    assert [(row["text"], row["document"]) for row in read_texts([one, two])] == expected


def test_rows_of_a_table_are_documents_of_raw_text(write):
    content = '{"premise": "a", "hypothesis": "b"}\n{"premise": "c", "hypothesis": "d"}\n'
    found = [(row["text"], row["document"], row.line) for row in read_texts(write("a.jsonl", content))]
    assert found == [("a", 0, 1), ("b", 0, 1), ("c", 1, 2), ("d", 1, 2)]
    joined = read_texts(write("b.jsonl", '{"text": "a", "document": "x"}\n{"text": "b", "document": "x"}\n{"text": "c", "document": "y"}\n'))
    assert [row["document"] for row in joined] == [0, 0, 1]


def test_raw_text_streams(write):
    """The end of the file is not looked at before its turn: the bad line there is met only then."""
    texts = read_texts(write("a.txt", b"line\n" * 1000 + b"\xff\n"))
    assert sum(1 for _ in zip(range(1000), texts, strict=False)) == 1000
    with pytest.raises(DataError, match="1 row cannot be read") as caught:
        next(texts)
    assert "a.txt:1001: " in str(caught.value)


def test_bad_lines_of_raw_text_can_be_collected(write):
    problems = []
    assert [row["text"] for row in read_texts(write("a.txt", b"a\n\xff\nb\n"), problems=problems)] == ["a", "b"]
    assert [problem.line for problem in problems] == [2]


def test_a_stream_of_nothing_but_bad_lines_ends_early(write):
    with pytest.raises(DataError, match="1,000 rows"):
        list(read_texts(write("a.jsonl", '{"text": "a"}\n' + "bad\n" * 5000)))


def test_a_stream_hands_bad_lines_on_in_their_place(write):
    content = '{"sentence1": "a", "sentence2": ""}\n7\n{"sentence1": null, "sentence2": "b"}\n{"sentence1": "c"}\n'
    path = write("a.jsonl", content)
    found = list(stream(find_sources(path)))
    assert [type(row).__name__ for row in found] == ["Example", "Problem", "Problem", "Example"]
    assert [row.line for row in found] == [1, 2, 3, 4]
    assert str(found[2]).endswith("a.jsonl:3: text is missing")
    pairs = list(stream(find_sources(path), needed=("text", "text_pair")))
    assert [row.message for row in pairs if isinstance(row, Problem)][::2] == ["text_pair is empty", "text is missing"]


def test_a_damaged_parquet_file_is_said(write):
    with pytest.raises(DataError, match="as Parquet"):
        read(write("a.parquet", as_parquet(ROWS)[:-20]))


def test_sets_of_the_hub(monkeypatch):
    import datasets

    features = datasets.Features({"sentence": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])})
    data = datasets.Dataset.from_dict({"sentence": ["a", "b", "c"], "label": [1, 0, -1]}, features=features)
    calls = []
    monkeypatch.setattr(datasets, "load_dataset", lambda path, **options: calls.append((path, options)) or data)
    dataset = read("hub:owner/name?split=test&config=zh")
    assert calls == [("owner/name", {"name": "zh", "split": "test", "revision": None})]
    assert rows(dataset) == [("good", "a"), ("bad", "b")]
    assert dataset.dropped == {"no label": 1}
    assert len(dataset.files[0].sha256) == 64
    with pytest.raises(DataError, match="unknown option splt"):
        read("hub:owner/name?splt=test")


def test_sets_of_the_hub_without_a_network(monkeypatch):
    import datasets

    def offline(*args, **options):
        raise ConnectionError("Couldn't reach the Hub")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(DataError, match=r"hub:owner/name cannot be loaded.*Without a network"):
        read("hub:owner/name")


def test_samples_are_random_nested_and_in_order():
    dataset = Dataset.of([{"text": str(n), "label": n % 3} for n in range(60)])
    few, more = dataset.take(5, 1, per_label=True), dataset.take(9, 1, per_label=True)
    assert few.label_counts == {"0": 5, "1": 5, "2": 5}
    assert {row["text"] for row in few} < {row["text"] for row in more}
    assert [int(row["text"]) for row in more] == sorted(int(row["text"]) for row in more)
    assert [row["text"] for row in few] != [row["text"] for row in dataset.take(5, 2, per_label=True)]
    assert len(dataset.take(7, 1)) == 7
    with pytest.raises(DataError, match="cannot take 21 rows of every label"):
        dataset.take(21, 1, per_label=True)
    with pytest.raises(DataError, match="all rows: 60"):
        dataset.take(61, 1)


def test_real_files(shared_data):
    ocnli = read(shared_data / "ocnli" / "dev.json")
    assert (len(ocnli), ocnli.dropped) == (2950, {"label '-' (no gold label)": 50})
    chnsenticorp = read(str(shared_data / "chnsenticorp" / "te*.tsv"))
    assert len(chnsenticorp) == 1200
    assert set(chnsenticorp.label_counts) == {"0", "1"}
    assert len(read(shared_data / "fewclue" / "bustm" / "train_0.json")) == 32
    assert len(read(shared_data / "sst2" / "dev.txt")) == 872


def test_the_one_bad_line_of_trec(shared_data):
    path = shared_data / "trec" / "train.txt"
    with pytest.raises(DataError) as caught:
        read(path)
    assert [problem.split(": ")[0] for problem in caught.value.problems] == [f"{path}:66"]
    dataset = read(path, skip_bad_lines=True)
    assert (len(dataset), len(dataset.label_counts)) == (5451, 6)


@pytest.mark.parametrize("encoding", ["gb18030", "big5"])
def test_encodings_of_real_text_are_told(shared_data, encoding):
    text = (shared_data / ("drcd/dev.json" if encoding == "big5" else "chnsenticorp/dev.tsv")).read_text(encoding="utf-8")[:20_000]
    assert lines.guess_encoding(text.encode(encoding, errors="ignore")) == encoding
    assert lines.guess_encoding(text.encode()) is None


@pytest.mark.parametrize(
    ("row", "needed", "expected"),
    [
        ({"query": "q", "passage": "p", "answers": []}, ("question", "context"), {"question": "query", "context": "passage", "answers": "answers"}),
        (
            {"question": "q", "options": ["a"], "answer": "a"},
            ("question", "choices"),
            {"question": "question", "choices": "options", "label": "answer"},
        ),
        ({"words": ["a"], "ner_tags": ["O"]}, ("tokens", "tags"), {"tokens": "words", "tags": "ner_tags"}),
        ({"sentence": "a", "spans": []}, (), {"text": "sentence", "entities": "spans"}),
        ({"article": "a", "highlights": "b"}, ("text", "target"), {"text": "article", "target": "highlights"}),
        ({"document": "a", "summary": "b"}, ("text", "target"), {"text": "document", "target": "summary"}),
        ({"text": "a", "label": "1", "summary": "b", "options": []}, ("text",), {"text": "text", "label": "label"}),
    ],
)
def test_usual_names_of_a_task_s_columns_are_recognised(write, row, needed, expected):
    dataset = read(write("a.jsonl", json.dumps(row) + "\n"), needed=needed)
    assert dataset.columns == expected
    others = {name: value for name, value in row.items() if name not in expected.values()}
    assert dict(dataset[0].values) == {target: row[name] for target, name in expected.items()} | others


def test_lists_and_objects_of_json_pass_unharmed(write):
    entities = [{"start": 0, "end": 1, "label": "X", "more": [1, {"y": None}]}]
    row = {"text": "a b", "entities": entities, "target": ["a", "b"], "tokens": [], "n": {"m": [0.5]}}
    assert dict(read(write("a.jsonl", json.dumps(row) + "\n"))[0].values) == row


def test_a_single_name_of_a_task_may_be_a_label(write):
    """`question` above a column of labels could be a header; as one of the labels of a table without header it is none."""
    assert len(read(write("a.tsv", "question\twho is it\nanswer\tit is me\nquestion\twhy\nanswer\tso\n"))) == 4
    assert read(write("b.tsv", "question\tcontext\nwho\tit is me\n"), needed=("question", "context"))[0]["context"] == "it is me"


def test_two_columns_without_header_are_a_text_and_its_target(write):
    dataset = read(write("a.tsv", "Good morning.\t早上好。\nGood night.\t晚安。\n"), needed=("text", "target"))
    assert [(row["text"], row["target"]) for row in dataset] == [("Good morning.", "早上好。"), ("Good night.", "晚安。")]


def test_question_and_context_are_judged_where_they_are_needed(write):
    content = '{"question": "a", "context": "b"}\n{"question": " ", "context": null}\n{"question": "a \\u0000", "context": 3}\n{"question": "a"}\n'
    dataset = read(write("a.jsonl", content), needed=("question", "context"), skip_bad_lines=True)
    assert [problem.message for problem in dataset.problems] == [
        "question is empty; context is missing",
        "question holds a NUL character; context is '3' (int), not a string",
        "no column 'context'",
    ]
    assert len(read(write("b.jsonl", '{"question": "a", "choices": ["b"], "context": null}\n'), needed=("question", "choices"))) == 1


def test_rows_of_one_line_are_documents_of_their_own(write):
    content = json.dumps({"data": [{"paragraphs": [{"context": "c", "qas": [{"question": "a"}, {"question": "b"}]}]}]})
    assert [row["document"] for row in read_texts(write("a.json", content), columns={"text": "question"})] == [0, 1]


def test_lists_of_classes_of_the_hub_become_names(monkeypatch):
    import datasets

    tags = datasets.Sequence(datasets.ClassLabel(names=["O", "B-PER"]))
    features = datasets.Features({"tokens": datasets.Sequence(datasets.Value("string")), "ner_tags": tags})
    data = datasets.Dataset.from_dict({"tokens": [["He", "Jo"]], "ner_tags": [[0, 1]]}, features=features)
    monkeypatch.setattr(datasets, "load_dataset", lambda path, **options: data)
    assert dict(read("hub:owner/name", needed=("tokens", "tags"))[0].values) == {"tokens": ["He", "Jo"], "tags": ["O", "B-PER"]}
