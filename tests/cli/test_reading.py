"""Reading comprehension from data to answers, as a user goes: trained, measured, asked, looked at."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bertsmith.recipe import parse
from bertsmith.recipe.run import run
from tests.cli.conftest import Cli

CONTEXTS = {
    "《红楼梦》的作者是曹雪芹，他生于南京。": {"谁写了《红楼梦》？": "曹雪芹", "曹雪芹生在哪里？": "南京"},
    "长江全长六千三百公里，流经上海。": {"长江有多长？": "六千三百公里", "长江流经哪里？": "上海"},
    "The Danube flows through Vienna and ends in the Black Sea.": {"Which city is on the Danube?": "Vienna", "Where does it end?": "the Black Sea"},
}
SILENT = {"question": "长江有几座桥？", "context": "长江全长六千三百公里，流经上海。", "answers": []}
STAGE = {
    "name": "read",
    "from": "builtin:mini-zh",
    "task": {"name": "extractive_qa", "max_length": 64},
    "train": {"steps": 60, "batch_size": 8, "learning_rate": 5e-4},
}


def questions() -> list[dict[str, Any]]:
    return [
        {"id": f"q{number}", "question": question, "context": context, "answers": [{"text": answer, "start": context.index(answer)}]}
        for number, (context, question, answer) in enumerate(
            (context, question, answer) for context, asked in CONTEXTS.items() for question, answer in asked.items()
        )
    ]


def write(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned a few questions by heart, one of them without an answer."""
    folder = tmp_path_factory.mktemp("reading")
    wrong = {**questions()[0], "id": "late", "answers": [{"text": "曹雪芹", "start": 2}]}
    lost = {**questions()[0], "id": "lost", "answers": [{"text": "高鹗", "start": 2}]}
    write(folder / "train.jsonl", [*questions(), SILENT, wrong, lost])
    write(folder / "test.jsonl", [*questions(), SILENT])
    data = {"train": "train.jsonl", "valid": "test.jsonl", "test": "test.jsonl"}
    result = run(parse({"stage": [{**STAGE, "data": data}]}, folder / "recipe.toml"), folder / "run")
    (folder / "notes.txt").write_text("\n".join(result.stages[-1].notes), encoding="utf-8")
    return folder


def test_a_toy_set_is_learned_by_heart(trained: Path):
    [stage] = json.loads((trained / "run/result.json").read_text(encoding="utf-8"))["stages"]
    assert stage["metrics"]["test"]["exact"] == 1.0
    assert stage["metrics"]["test"]["f1"] == 1.0
    assert stage["data"]["train"]["mended"] == {"an answer is not at its start, but elsewhere in the context": 1}
    assert stage["data"]["train"]["dropped"] == {"no answer is in the context": 1}
    notes = (trained / "notes.txt").read_text(encoding="utf-8")
    assert "train: 1 row was left out: no answer is in the context" in notes
    assert "7 of 7 texts are also in the training data" in notes, "as it should be here"
    lines = [json.loads(line) for line in (trained / "run/stages/read/predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["answer"] for line in lines] == [line["gold"][0] if line["gold"] else "" for line in lines]
    task = json.loads((trained / "run/model/bertsmith.json").read_text(encoding="utf-8"))["task"]
    assert task["unanswerable"] is True
    assert 0 <= task["null_threshold"] < 1, "tuned on the validation data"


def test_measuring(cli: Cli, trained: Path):
    ran = cli("evaluate", trained / "run/model", trained / "test.jsonl")
    assert ran.status == 0, ran.err
    assert ran.json["metrics"]["exact"] == 1.0
    assert {"has_answer_f1", "no_answer_f1", "best_f1_threshold"} <= ran.json["metrics"].keys()
    assert ran.json["main_metric"] == "f1"
    assert ran.json["n"] == 7


def test_one_question_on_the_command_line_and_on_standard_input(cli: Cli, trained: Path):
    [asked] = [row for row in questions() if row["question"] == "曹雪芹生在哪里？"]
    one = cli("predict", trained / "run/model", "--question", asked["question"], "--context", asked["context"])
    assert one.status == 0, one.err
    assert (one.json["answer"], asked["context"][one.json["start"] : one.json["end"]]) == ("南京", "南京")
    assert one.json["question"] == asked["question"]
    assert one.json["n_best"][0]["answer"] == "南京"
    line = json.dumps({"question": asked["question"], "context": asked["context"], "id": 7}, ensure_ascii=False)
    piped = cli("predict", trained / "run/model", "-", stdin=line + "\n")
    assert {**one.json, "line": 1, "id": 7} == piped.json


def test_answers_of_long_texts_are_places_of_the_whole_text(cli: Cli, trained: Path):
    context = "天气很好。" * 400 + "《红楼梦》的作者是曹雪芹，他生于南京。" + "天气很好。" * 400
    ran = cli("predict", trained / "run/model", "--question", "谁写了《红楼梦》？", "--context", context)
    assert ran.json["answer"] == context[ran.json["start"] or 0 : ran.json["end"] or 0]


def test_bad_lines_do_not_stop_the_others(cli: Cli, trained: Path, tmp_path: Path):
    good = {"question": "长江有多长？", "context": "长江全长六千三百公里，流经上海。"}
    file = write(tmp_path / "asked.jsonl", [good, {"question": "谁？"}, {"question": " ", "context": "x"}, {"question": "谁？", "context": 3}, good])
    ran = cli("predict", trained / "run/model", file)
    assert ran.status == 2
    assert [line["line"] for line in ran.lines] == [1, 5]
    for number, reason in ((2, "no column 'context'"), (3, "question is empty"), (4, "context is '3' (int), not a string")):
        assert any(f"asked.jsonl:{number}: " in line and reason in line for line in ran.err.splitlines())


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"question": "谁？", "context": "他", "answers": "他"}], "asked.jsonl:1: answers is '他', not a list of objects"),
        ([{"question": "谁？", "context": "他", "answers": [{"text": "他"}]}], "asked.jsonl:1: answers[0] has no start"),
        ([{"question": "谁？", "context": "他"}], "answers"),
    ],
)
def test_labelled_data_that_is_none(cli: Cli, trained: Path, tmp_path: Path, rows: list[dict[str, Any]], message: str):
    ran = cli("evaluate", trained / "run/model", write(tmp_path / "asked.jsonl", rows))
    assert (ran.status, ran.out) == (2, "")
    assert message in ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--question", "谁？"], "the task 'extractive_qa' needs context: give --context"),
        (["--context", "他"], "needs question: give --question"),
        (["--question", " ", "--context", "他"], "needs question"),
        (["--text", "他"], "the task 'extractive_qa' reads question and context: leave --text out"),
        (["-", "--question", "谁？"], "--question is in the place of an INPUT"),
    ],
)
def test_mistakes_of_one_question(cli: Cli, trained: Path, arguments: list[str], message: str):
    ran = cli("predict", trained / "run/model", *arguments)
    assert (ran.status, ran.out) == (2, "")
    assert message in ran.err


def test_looking_at_an_answer(cli: Cli, trained: Path, tmp_path: Path):
    context, question = "《红楼梦》的作者是曹雪芹，他生于南京。", "曹雪芹生在哪里？"
    ran = cli("inspect", trained / "run/model", context, question)
    assert ran.status == 0, ran.err
    assert "南京 answer " in ran.out
    assert "start" in ran.out
    assert "16-17" in ran.out
    file = tmp_path / "page.html"
    assert cli("inspect", trained / "run/model", context, question, "--html", file).status == 0
    text = file.read_text(encoding="utf-8")
    assert "<mark" in text
    assert re.search(r"南京<small>answer \d+%</small></mark>", text)
    found = cli("inspect", trained / "run/model", context, question, "--json").json
    assert found["marked"]["marks"][0]["name"] == "answer"
    assert [token["token"] for token in found["tokens"][:4]] == ["[CLS]", "曹", "雪", "芹"], "the question is read first"
    missing = cli("inspect", trained / "run/model", context)
    assert missing.status == 2
    assert "the task 'extractive_qa' needs question; the texts that it is given are context and then question" in missing.err


def test_of_a_text_that_is_read_in_windows_nothing_is_said_to_be_cut_off(cli: Cli, trained: Path):
    long = cli("inspect", trained / "run/model", "天气很好。" * 300, "谁写了《红楼梦》？", "--json").json
    assert long["truncated"] > 0, "of the one sequence that is shown"
    [note] = [note for note in long["notes"] if "windows" in note]
    assert note.startswith("What was found is of the whole text, which was read in ")
    assert note.endswith(f" windows; {long['truncated']:,} of its tokens are not shown.")
    assert not any("cut off" in note for note in long["notes"])
    assert len(long["tokens"]) == 64, "the first window"
