"""Classification without training from the command line: the task is given there, as a table or in a file."""

from pathlib import Path

import pytest

from tests.cli.conftest import Cli

KEYS = 'name = "prompted"\ntemplate = "{text}服务[MASK]。"\nverbalizer = { good = ["好", "很好"], bad = "差" }\n'
TABLE = '{ name = "prompted", template = "{text}服务[MASK]。", verbalizer = { good = ["好", "很好"], bad = "差" } }'


def test_the_task_is_given_as_a_table_or_in_a_file(cli: Cli, models: Path, tmp_path: Path):
    (tmp_path / "keys.toml").write_text(KEYS, encoding="utf-8")
    (tmp_path / "line.toml").write_text(f"task = {TABLE}\n", encoding="utf-8")
    given = (TABLE, tmp_path / "keys.toml", tmp_path / "line.toml")
    first, *others = [cli("predict", models / "pretrained", "--text", "真好", "--task", task) for task in given]
    assert (first.status, first.err) == (0, "")
    assert list(first.json["scores"]) == ["good", "bad"]
    assert [other.json for other in others] == [first.json] * 2


def test_it_is_evaluated_like_any_other(cli: Cli, models: Path, tmp_path: Path):
    (tmp_path / "few.tsv").write_text("label\ttext\ngood\t真好\nbad\t真差\n", encoding="utf-8")
    found = cli("evaluate", models / "pretrained", tmp_path / "few.tsv", "--task", TABLE).json
    assert (found["task"], found["n"], found["main_metric"]) == ("prompted", 2, "accuracy")
    assert found["baseline"]["accuracy"] == 0.5


def test_the_filled_template_is_shown_with_the_words_of_its_gap(cli: Cli, models: Path):
    shown = cli("inspect", models / "pretrained", "真好", "--task", TABLE).out
    assert "真好服务[MASK] good" in shown or "真好服务[MASK] bad" in shown
    assert all(word in shown for word in ("好", "很好", "差"))
    found = cli("inspect", models / "pretrained", "真好", "--task", TABLE, "--json").json
    assert found["marked"]["text"] == "真好服务[MASK]。"
    assert found["prediction"]["label"] == found["marked"]["marks"][0]["name"]


def test_long_texts_are_counted(cli: Cli, models: Path):
    ran = cli("predict", models / "pretrained", "--text", "好" * 100, "--task", TABLE)
    assert ran.status == 0
    assert "longer" in ran.err


@pytest.mark.parametrize(
    ("model", "task", "message"),
    [
        ("pretrained", "prompted", "give the whole table of a task that needs no training: see `bertsmith tasks prompted`"),
        ("pretrained", "nowhere.toml", "there is no file with a task nowhere.toml"),
        ("pretrained", "{ name = prompted }", "--task is not TOML"),
        ("pretrained", '{ name = "promted" }', "unknown task 'promted' (did you mean 'prompted'?)"),
        ("pretrained", '{ name = "prompted", template = "{text}" }', "it has no [MASK]"),
        ("pretrained", '{ name = "prompted", verbalizer = { good = "囧", bad = "差" } }', "that the vocabulary cannot write"),
        ("pretrained", TABLE.replace("{text}", "{text}{text_pair}"), "give --text-pair"),
        ("bare", TABLE, "holds no trained mlm head"),
        ("single", TABLE, "holds no trained mlm head"),
    ],
)
def test_mistakes(cli: Cli, models: Path, model: str, task: str, message: str):
    ran = cli("predict", models / model, "--text", "真好", "--task", task)
    assert (ran.status, ran.out) == (2, "")
    assert message in ran.err


def test_a_second_text_that_the_template_has_no_place_for_is_said(cli: Cli, models: Path, tmp_path: Path):
    rows = tmp_path / "pairs.tsv"
    rows.write_text("text_a\ttext_b\tlabel\n很好\t真好\tgood\n不好\t真好\tbad\n", encoding="utf-8")
    words = "there is a text_pair, which the task 'prompted' does not read: its template has no {text_pair}"
    for command in ("predict", "evaluate"):
        assert words in cli(command, models / "pretrained", rows, "--task", TABLE).err
    refused = cli("predict", models / "pretrained", "--text", "很好", "--text-pair", "真好", "--task", TABLE)
    assert (refused.status, refused.out) == (2, "")
    assert "the task 'prompted' reads one text: leave --text-pair out" in refused.err


def test_a_template_with_two_texts_needs_both(cli: Cli, models: Path):
    task = TABLE.replace("{text}", "{text}{text_pair}")
    assert "give --text-pair" in cli("predict", models / "pretrained", "--text", "很好", "--task", task).err
    assert cli("predict", models / "pretrained", "--text", "很好", "--text-pair", "真好", "--task", task).status == 0
    rows = '{"text": "好", "text_pair": "真好"}\n{"text": "好"}\n'
    ran = cli("predict", models / "pretrained", "-", "--task", task, stdin=rows)
    assert len(ran.out.splitlines()) == 1
    assert "standard input:2: no column 'text_pair'" in ran.err
