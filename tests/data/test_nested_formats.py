"""Formats of nested JSON: SQuAD and its relatives, MRQA, C3. Rows come out, and whatever is wrong is said with its line and path."""

import json
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertsmith.core.errors import DataError
from bertsmith.data.formats.nested import JsonText
from bertsmith.data.readers import read, stream
from bertsmith.data.sources import find_sources

QA = ("question", "context")
CHOICE = ("question", "choices")


@pytest.fixture
def write(tmp_path):
    def to(name, content, **options):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, **options), encoding="utf-8")
        return path

    return to


def article(*paragraphs, **more):
    return {"paragraphs": list(paragraphs), **more}


def paragraph(context, *questions):
    return {"context": context, "qas": list(questions)}


def question(text, *answers, **more):
    return {"question": text, "answers": [{"text": answer, "answer_start": start} for answer, start in answers], **more}


SQUAD = {
    "version": "v2.0",
    "data": [
        article(
            paragraph("今天是周一。", question("哪天？", ("周一", 3), ("周一。", 3), id="q1"), question("谁？", id="q2", is_impossible=True)),
            title="天",
        ),
        article(paragraph("It rains.", {"question": "What?", "id": 3})),
    ],
}
SQUAD_ROWS = [
    {
        "question": "哪天？",
        "context": "今天是周一。",
        "answers": [{"text": "周一", "start": 3}, {"text": "周一。", "start": 3}],
        "id": "q1",
        "title": "天",
    },
    {"question": "谁？", "context": "今天是周一。", "answers": [], "id": "q2", "title": "天"},
    {"question": "What?", "context": "It rains.", "id": 3},
]


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("name", ["dev.json", "dev.jsonl", "dev"])
def test_squad(write, indent, name):
    path = write(name, SQUAD, indent=indent)
    dataset = read(path, needed=QA)
    assert [dict(row.values) for row in dataset] == SQUAD_ROWS
    assert dataset.files[0].format == "squad"
    assert [row.place for row in dataset] == ["data[0].paragraphs[0].qas[0]", "data[0].paragraphs[0].qas[1]", "data[1].paragraphs[0].qas[0]"]
    lines = path.read_text(encoding="utf-8").split("\n")
    if indent is not None:
        assert all(lines[row.line - 1].strip() == "{" for row in dataset)
        assert [json.loads(lines[row.line].strip().removeprefix('"question": ').removesuffix(",")) for row in dataset] == ["哪天？", "谁？", "What?"]
    assert dataset[0].where == f"{path}:{dataset[0].line}: data[0].paragraphs[0].qas[0]"


def test_keys_of_squad_may_stand_in_any_order(write):
    content = '{"data": [{"paragraphs": [{"qas": [{"answers": [], "question": "q"}], "context": "c"}], "title": "t"}], "version": "1"}'
    assert dict(read(write("a.json", content), needed=QA)[0].values) == {"question": "q", "context": "c", "answers": [], "title": "t"}


def test_plausible_answers_of_squad_2_are_no_answers(write):
    none, plausible = [{"text": "", "answer_start": -1}], [{"text": "c", "answer_start": 0}]
    asked = {"question": "q", "is_impossible": True, "plausible_answers": plausible, "answers": none}
    row = read(write("a.json", {"data": [article(paragraph("c", asked))]}), needed=QA)[0]
    assert dict(row.values) == {"question": "q", "context": "c", "answers": []}


def test_a_context_is_held_once(write):
    rows = read(write("a.json", SQUAD), needed=QA)
    assert rows[0]["context"] is rows[1]["context"]


BAD_SQUAD = [
    ({"question": 3}, "'question' is a number, not a string"),
    ({"id": 1}, "no 'question'"),
    ("What?", "a string, where a question is expected: an object with 'question'"),
    (question("q", ("a", "5")), "answers[0] has the start '5', which is no whole number"),
    (question("q", ("", 5)), "answers[0] is empty; a question without an answer has none: []"),
    ({"question": "q", "answers": [{"answer_start": 5}]}, "answers[0] has no text"),
    ({"question": "q", "answers": [{"text": "a"}]}, "answers[0] has no start"),
    ({"question": "q", "answers": ["a"]}, "answers[0] is 'a', not an object"),
    ({"question": "q", "answers": "a"}, "answers is 'a', not a list"),
    ({"question": "q", "answers": [], "is_impossible": "no"}, "'is_impossible' is a string, neither true nor false"),
    ({"question": " ", "answers": []}, "question is empty"),
]


@pytest.mark.parametrize("indent", [None, 1])
def test_everything_that_is_wrong_in_squad_is_listed_with_its_place(write, indent):
    good = question("good", ("c", 0))
    content = {"data": [article(paragraph("c", good, *(wrong for wrong, _ in BAD_SQUAD), good))]}
    path = write("a.json", content, indent=indent)
    with pytest.raises(DataError, match=f"{len(BAD_SQUAD)} of {len(BAD_SQUAD) + 2} rows") as caught:
        read(path, needed=QA)
    dataset = read(path, needed=QA, skip_bad_lines=True)
    assert [row.place for row in dataset] == ["data[0].paragraphs[0].qas[0]", f"data[0].paragraphs[0].qas[{len(BAD_SQUAD) + 1}]"]
    lines = path.read_text(encoding="utf-8").split("\n")
    for number, (problem, (_, message)) in enumerate(zip(dataset.problems, BAD_SQUAD, strict=True), 1):
        assert str(problem) == caught.value.problems[number - 1]
        assert str(problem).partition(": ")[2].startswith(f"data[0].paragraphs[0].qas[{number}]: {message}")
        assert indent is None or lines[problem.line - 1].strip() in ("{", '"What?",')
        assert indent is not None or problem.line == 1


def test_questions_without_context_are_all_listed(write):
    content = {"data": [article({"qas": [question("a"), question("b")]}, {"context": None, "qas": [question("c")]}, paragraph(" ", question("d")))]}
    dataset = read(write("a.json", {"data": [*content["data"], article(paragraph("c", question("e")))]}), needed=QA, skip_bad_lines=True)
    assert [str(problem).partition(": ")[2] for problem in dataset.problems] == [
        "data[0].paragraphs[0].qas[0]: its paragraph: no 'context'",
        "data[0].paragraphs[0].qas[1]: its paragraph: no 'context'",
        "data[0].paragraphs[1].qas[0]: its paragraph: 'context' is null, not a string",
        "data[0].paragraphs[2].qas[0]: context is empty",
    ]
    assert [row["question"] for row in dataset] == ["e"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([paragraph("c", question("q"))], "data[0]: no 'paragraphs', where an article is expected; there is 'context', 'qas'"),
        ([article(article(paragraph("c", question("q"))))], "data[0].paragraphs[0]: no 'qas', where a paragraph is expected; there is 'paragraphs'"),
        ([[article(paragraph("c", question("q")))]], "data[0]: an array, where an article is expected: an object with 'paragraphs'"),
        ([{"paragraphs": paragraph("c", question("q"))}], "data[0]: 'paragraphs' is an object, not an array"),
        ([article({"context": "c", "qas": question("q")})], "data[0].paragraphs[0]: 'qas' is an object, not an array"),
        ([article(paragraph("c", [question("q")]))], "data[0].paragraphs[0].qas[0]: an array, where a question is expected: an object"),
    ],
)
def test_squad_of_the_wrong_depth(write, data, message):
    path = write("a.json", {"data": [*data, article(paragraph("c", question("q")))]})
    dataset = read(path, needed=QA, skip_bad_lines=True)
    assert len(dataset.problems) == len(dataset) == 1
    assert str(dataset.problems[0]).startswith(f"{path}:1: {message}")
    with pytest.raises(DataError, match="not one line can be used") as caught:
        read(write("b.json", {"data": data}), needed=QA, skip_bad_lines=True)
    assert message in caught.value.problems[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"paragraphs": [paragraph("c", question("q"))]}, "no array 'data' at its outermost level, where there is 'paragraphs'; expected is {"),
        ({"version": 1, "data": {"a": article(paragraph("c", question("q")))}}, "a.json:1: 'data' is no array; expected is {"),
        ([article(paragraph("c", question("q")))], "a.json:1: the file begins with '[', where an object is expected"),
        (
            '{"data": [{"paragraphs": [{"context": "c", "qas": [{"question": "q"\n}}]}',
            "a.json:1: the object cannot be read further: no ',' after the element that begins here",
        ),
        ('{"data": [\n{"paragraphs": []}\n{"paragraphs": []}]}', "a.json:2: the object cannot be read further: no ',' after"),
        ('{"data": [{"paragraphs": []}], "version" 1}', "a.json:1: the object cannot be read further: no ':'"),
        ('{"data": [{"paragraphs": []}], version: 1}', "a.json:1: the object cannot be read further: Expecting a key in quotation marks"),
        ('{"data": [{"paragraphs": []}]}\n{"data": []}', "a.json:2: the file begins with an object and goes on after its end"),
        ('{"data": [{"paragraphs": ' + "[" * 100_000, "a.json:1: the object cannot be read further: nested too deeply"),
        ('{"data": [{"paragraphs": [{"qas": []', "a.json:1: the object cannot be read further: no ',' after the element that begins here"),
    ],
)
def test_files_that_are_no_squad_are_refused_as_a_whole(write, content, message):
    with pytest.raises(DataError) as caught:
        read(write("a.json", content), needed=QA, skip_bad_lines=True)
    assert message in caught.value.summary


def test_squad_in_another_encoding_is_said(write, tmp_path):
    (tmp_path / "a.json").write_bytes(json.dumps(SQUAD, ensure_ascii=False).replace("今天是周一", "我们今天不在这里" * 9).encode("gb18030"))
    with pytest.raises(DataError, match="seems to be GB18030"):
        read(tmp_path / "a.json", needed=QA)
    assert len(read(tmp_path / "a.json", needed=QA, encoding="gb18030")) == 3


def test_questions_are_streamed_with_their_problems(write):
    path = write("a.json", {"data": [article(paragraph("c", question("a"), {}, question("b")))]})
    assert [type(row).__name__ for row in stream(find_sources(path), needed=QA)] == ["Example", "Problem", "Example"]


def test_a_document_of_a_megabyte_is_an_ordinary_one(write):
    context = "语言模型阅读理解" * 125_000
    dataset = read(write("a.json", {"data": [article(paragraph(context, question("问", ("模", 2)), question("谁")))]}, indent=1), needed=QA)
    assert [row["context"] for row in dataset] == [context, context]


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20).filter(lambda text: text.strip())
ANSWER = st.fixed_dictionaries({"text": TEXT, "answer_start": st.integers(-1, 50)})
QUESTION = st.fixed_dictionaries({"question": TEXT, "id": TEXT}, optional={"answers": st.lists(ANSWER, max_size=3)})
ARTICLES = st.lists(st.lists(st.tuples(TEXT, st.lists(QUESTION, max_size=3)), max_size=3), max_size=3)


@settings(max_examples=60, deadline=None)
@given(ARTICLES, st.sampled_from([None, 0, 3]), st.booleans())
def test_any_squad_comes_back(articles, indent, ascii_only):
    data = [article(*(paragraph(context, *questions) for context, questions in paragraphs), title="t") for paragraphs in articles]
    expected = [(one["question"], context, one.get("answers")) for paragraphs in articles for context, questions in paragraphs for one in questions]
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.json")
        path.write_text(json.dumps({"data": data}, indent=indent, ensure_ascii=ascii_only), encoding="utf-8", newline="")
        if not expected:
            with pytest.raises(DataError, match="no rows"):
                read(path, needed=QA, format="squad")
            return
        rows = read(path, needed=QA, format="squad")
    starts = [[answer["start"] for answer in row.get("answers", ())] for row in rows]
    assert starts == [[answer["answer_start"] for answer in answers or ()] for _, _, answers in expected]
    texts = [(row["question"], row["context"], row.get("answers") and [answer["text"] for answer in row["answers"]]) for row in rows]
    assert texts == [(asked, context, answers and [answer["text"] for answer in answers]) for asked, context, answers in expected]


SCALAR = st.none() | st.booleans() | st.integers() | st.text()
JSON = st.recursive(SCALAR, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(["data", "paragraphs", "qas"]), JSON), st.sampled_from([None, 1]))
def test_parts_are_what_json_says_and_begin_where_they_begin(value, indent):
    written = " \n" + json.dumps({"data": [value]}, indent=indent)
    text = JsonText("", written)
    parts = text.parts("data", "paragraphs")
    decoder = json.JSONDecoder()
    for part in parts["data"]:
        assert decoder.raw_decode(written, part.start)[0] == value
        paragraphs = part.value.get("paragraphs")
        if isinstance(paragraphs, list):
            assert [decoder.raw_decode(written, one.start)[0] for one in paragraphs] == value["paragraphs"]
            assert [one.value for one in paragraphs] == value["paragraphs"]
    text.finish()
    assert text.line(parts["data"][0].start) == written[: parts["data"][0].start].count("\n") + 1
    assert text.line(0) == 1


@settings(max_examples=100, deadline=None)
@given(st.text('{}[]",: \n1a', max_size=40), st.sampled_from(["squad", "mrqa", "c3", "conll"]))
def test_arbitrary_bytes_are_read_or_refused_but_never_crash(content, kind):
    with TemporaryDirectory() as folder:
        path = Path(folder, "a")
        path.write_text(content, encoding="utf-8")
        with suppress(DataError):
            read(path, format=kind, needed=(), skip_bad_lines=True)


MRQA_HEADER = {"header": {"dataset": "SQuAD", "split": "dev"}}
MRQA_LINE = {
    "id": "",
    "context": "The tower is 300 m tall. The tower is old.",
    "context_tokens": [["The", 0], ["tower", 4]],
    "qas": [
        {
            "qid": "a1",
            "question": "How tall?",
            "answers": ["300 m", "300 metres"],
            "detected_answers": [{"text": "300 m", "char_spans": [[13, 17]], "token_spans": [[3, 4]]}],
        },
        {"qid": "a2", "question": "What is old?", "answers": ["tower"], "detected_answers": [{"text": "tower", "char_spans": [[4, 8], [29, 33]]}]},
    ],
}


def as_lines(*values):
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)


@pytest.mark.parametrize("name", ["dev.jsonl", "dev.json", "dev"])
def test_mrqa(write, name):
    path = write(name, as_lines(MRQA_HEADER, MRQA_LINE, {"context": "c", "qas": [{"id": 7, "question": "q"}]}))
    dataset = read(path, needed=QA)
    assert [dict(row.values) for row in dataset] == [
        {
            "question": "How tall?",
            "context": MRQA_LINE["context"],
            "answers": [{"text": "300 m", "start": 13}],
            "aliases": ["300 m", "300 metres"],
            "id": "a1",
        },
        {
            "question": "What is old?",
            "context": MRQA_LINE["context"],
            "answers": [{"text": "tower", "start": 4}, {"text": "tower", "start": 29}],
            "aliases": ["tower"],
            "id": "a2",
        },
        {"question": "q", "context": "c", "id": 7},
    ]
    assert (dataset.files[0].format, [row.where for row in dataset]) == ("mrqa", [f"{path}:2: qas[0]", f"{path}:2: qas[1]", f"{path}:3: qas[0]"])


def test_mrqa_without_a_header_and_with_answers_as_in_squad(write):
    dataset = read(write("a.jsonl", as_lines(paragraph("abc", question("q", ("b", 1))))), needed=QA)
    assert dataset.files[0].format == "mrqa"
    assert dataset[0]["answers"] == [{"text": "b", "start": 1}]


def detected(*spans):
    return {"question": "q", "detected_answers": [{"text": "t", "char_spans": list(spans)}]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"qas": []}, "no 'context'"),
        ({"context": "c"}, "no 'qas'"),
        ({"context": 3, "qas": {}}, "'context' is a number, not a string; 'qas' is no array"),
        (paragraph("abc", {}), "qas[0]: no 'question'"),
        (paragraph("abc", 4), "qas[0]: a number, where a question is expected"),
        (paragraph("abc", detected([1, 3])), "qas[0]: detected_answers[0]: the span [1, 3] is not within the 3 characters of the context"),
        (paragraph("abc", detected([2, 1])), "qas[0]: detected_answers[0]: the span [2, 1] is not within"),
        (paragraph("abc", detected(["0", 1])), "qas[0]: detected_answers[0]: the span ['0', 1] is not [first, last]"),
        (paragraph("abc", {"question": "q", "detected_answers": ["a"]}), "qas[0]: detected_answers[0] has no array 'char_spans'"),
        (paragraph("abc", {"question": "q", "detected_answers": 1}), "qas[0]: 'detected_answers' is a number, not an array"),
        (paragraph("abc", {"question": "q", "answers": ["a"]}), "qas[0]: answers[0] is 'a', not an object"),
        ("no json", "not JSON"),
    ],
)
def test_wrong_lines_of_mrqa(write, line, message):
    path = write("a.jsonl", as_lines(MRQA_HEADER) + (line + "\n" if isinstance(line, str) else as_lines(line)) + as_lines(MRQA_LINE))
    dataset = read(path, needed=QA, skip_bad_lines=True)
    assert len(dataset) == 2
    assert len(dataset.problems) == 1
    assert str(dataset.problems[0]).startswith(f"{path}:2: {message}")


@pytest.mark.parametrize(
    "content",
    [
        '{"text": "a \\"paragraphs\\": b", "label": "1"}\n',
        '{"text": "a", "data": [1], "label": 1}\n{"text": "b"}\n',
        '[{"text": "a", "choice": ["x"]}]',
        '{"text": "a", "paragraphs": ["b"]}\n',
    ],
)
def test_ordinary_json_is_not_taken_for_nested_formats(write, content):
    dataset = read(write("a.json", content), keep_unlabelled=True)
    assert dataset.files[0].format == "jsonl"


C3 = [
    [["男：去哪儿?", "女：回家。"], [{"question": "她去哪儿?", "choice": ["学校", "家", "车站"], "answer": "家"}], "47-275"],
    [["一段话。"], [{"question": "a?", "choice": ["x", "y"], "answer": "x"}, {"question": "b?", "choice": ["x", "y"]}], "m13-1"],
]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ["dev.json", "dev"])
def test_c3(write, indent, name):
    path = write(name, C3, indent=indent)
    dataset = read(path, needed=CHOICE, keep_unlabelled=True)
    assert [dict(row.values) for row in dataset] == [
        {"question": "她去哪儿?", "choices": ["学校", "家", "车站"], "context": "男：去哪儿?\n女：回家。", "label": 1, "id": "47-275-0"},
        {"question": "a?", "choices": ["x", "y"], "context": "一段话。", "label": 0, "id": "m13-1-0"},
        {"question": "b?", "choices": ["x", "y"], "context": "一段话。", "id": "m13-1-1"},
    ]
    assert dataset.files[0].format == "c3"
    assert [row.place for row in dataset] == ["[0][1][0]", "[1][1][0]", "[1][1][1]"]
    if indent:
        lines = path.read_text(encoding="utf-8").split("\n")
        assert [json.loads(lines[row.line].strip().removeprefix('"question": ').removesuffix(",")) for row in dataset] == ["她去哪儿?", "a?", "b?"]


def choosing(*choices, **more):
    return [["c"], [{"question": "q", "choice": list(choices), **more}], "id"]


@pytest.mark.parametrize(
    ("dialogue", "message"),
    [
        (choosing("a", "b", answer="c"), "[0][1][0]: the answer 'c' is none of the choices 'a', 'b'"),
        (choosing("a", "b", answer=0), "[0][1][0]: the answer '0' is none of the choices"),
        (choosing("a", "a", answer="a"), "[0][1][0]: the answer 'a' is several of the choices"),
        (choosing("a", " ", answer="a"), "[0][1][0]: choice[1] is empty"),
        (choosing("a", 3, answer="a"), "[0][1][0]: choice[1] is a number, not a string"),
        (choosing("a", answer="a"), "[0][1][0]: 1 choice; at least two are expected"),
        (choosing(answer="a"), "[0][1][0]: 0 choices; at least two are expected"),
        ([["c"], [{"question": "q", "choice": "ab", "answer": "a"}], "id"], "[0][1][0]: 'choice' is a string, not an array"),
        ([["c"], [{"question": 1, "answer": "a"}], "id"], "[0][1][0]: 'question' is a number, not a string; no 'choice'"),
        ([["c"], ["q"], "id"], "[0][1][0]: a string, not an object"),
        ([["c"], {"question": "q"}, "id"], "[0]: the second of three is an object; expected is [[line, …], [question, …], id]"),
        (["c", [], "id"], "[0]: the first of three is no array of strings"),
        ([["c"], []], "[0]: an array of 2; expected is"),
        ({"question": "q"}, "[0]: an object; expected is"),
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_wrong_dialogues_of_c3(write, dialogue, message, indent):
    path = write("a.json", [dialogue, *C3], indent=indent)
    dataset = read(path, format="c3", needed=CHOICE, skip_bad_lines=True, keep_unlabelled=True)
    assert len(dataset) == 3
    assert len(dataset.problems) == 1
    assert dataset.problems[0].message.startswith(message)
    if indent and "[1]" in message:
        assert dataset.problems[0].line > 4


def test_c3_of_the_wrong_depth(write):
    with pytest.raises(DataError, match="not one line can be used") as caught:
        read(write("a.json", C3[0]), needed=CHOICE, skip_bad_lines=True)
    assert caught.value.problems[0].endswith("[0]: an array of 2; expected is [[line, …], [question, …], id]")
    assert len(caught.value.problems) == 3
    with pytest.raises(DataError, match=r"the file begins with '\{', where an array is expected"):
        read(write("b.json", {"a": C3}), format="c3", needed=CHOICE)


def test_cmrc_and_drcd(shared_data):
    """Two questions of the trial set of CMRC are empty."""
    sizes = {"cmrc2018/dev": (3219, 9657, 0), "cmrc2018/trial": (1000, 1000, 2), "drcd/dev": (3524, 7048, 0)}
    for name, expected in sizes.items():
        dataset = read(shared_data / f"{name}.json", needed=QA, skip_bad_lines=True)
        assert (len(dataset), sum(len(row["answers"]) for row in dataset), len(dataset.problems)) == expected
        assert all(row["answers"] and row["id"] for row in dataset)
        assert dataset.files[0].format == "squad"
    lines = (shared_data / "cmrc2018" / "dev.json").read_text(encoding="utf-8").split("\n")
    rows = read(shared_data / "cmrc2018" / "dev.json", needed=QA)
    assert all(json.dumps(row["question"], ensure_ascii=False) in lines[row.line] for row in rows)
    assert len({row["id"] for row in rows}) == 3219


def test_real_c3(shared_data):
    dataset = read(shared_data / "c3" / "dev.json", needed=CHOICE)
    assert (len(dataset), dataset.files[0].format, dataset.problems) == (3816, "c3", ())
    assert {len(row["choices"]) for row in dataset} == {2, 3, 4}
    assert len({row["id"] for row in dataset}) == 3780  # some dialogues are published under the same id
    assert dataset.label_counts == {"2": 1056, "1": 1028, "3": 778, "0": 954}
