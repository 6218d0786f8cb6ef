"""The commands that neither predict nor inspect."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bertsmith.models import families, load
from bertsmith.tasks import Outcome, tasks
from tests.cli.conftest import Cli

LABELLED = [("很好", "好"), ("真好", "好"), ("不好", "差"), ("服务真差", "差"), ("很好很好", "好")]


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    file = tmp_path / "test.tsv"
    file.write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for text, label in LABELLED), encoding="utf-8")
    return file


# --- evaluate


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the bootstrap: under the type checks of the tests a thousand take seconds."""
    monkeypatch.setattr("bertsmith.tasks.base.ROUNDS", 50)


def test_evaluate_gives_metrics_an_interval_and_a_baseline(cli: Cli, models: Path, labelled: Path):
    found = cli("evaluate", models / "single", labelled).json
    predicted = [line["label"] for line in cli("predict", models / "single", labelled).lines]
    right = [said == label for said, (_, label) in zip(predicted, LABELLED, strict=True)]
    assert found["n"] == 5
    assert found["metrics"]["accuracy"] == pytest.approx(np.mean(right))
    assert found["main_metric"] == "accuracy"
    assert found["interval"]["low"] <= found["metrics"]["accuracy"] <= found["interval"]["high"]
    assert found["interval"]["level"] == 0.95
    assert found["baseline"]["accuracy"] == pytest.approx(3 / 5)


@pytest.mark.parametrize(("name", "labels"), [("multi_label", ["fast", "cheap,fast", "", "fast"]), ("regression", ["1.5", "2", "3", "4.5"])])
def test_evaluate_other_tasks(cli: Cli, models: Path, tmp_path: Path, name: str, labels: list[str]):
    file = tmp_path / "test.jsonl"
    rows = [{"text": text, "label": label} for text, label in zip(("很好", "真好", "不好", "差"), labels, strict=True)]
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    found = cli("evaluate", models / name, file).json
    assert found["main_metric"] == tasks[name].best_metric
    assert ("labels" in found) == (name == "multi_label")
    assert found["interval"]["low"] <= found["interval"]["high"]
    if name == "multi_label":
        assert found["baseline"]["micro_f1"] == pytest.approx(2 * 3 / (4 + 4)), "fast for all: 3 of 4 given, 3 of 4 found"
    else:
        assert found["baseline"]["mean_squared_error"] == pytest.approx(np.var([1.5, 2, 3, 4.5]), rel=1e-5)


def test_evaluate_gives_the_metrics_of_every_label(cli: Cli, models: Path, labelled: Path):
    found = cli("evaluate", models / "single", labelled).json
    assert {label: scores["support"] for label, scores in found["labels"].items()} == {"差": 2, "好": 3}


@pytest.mark.parametrize("name", ["errors.html", "errors.jsonl"])
def test_evaluate_writes_where_the_model_is_wrong(cli: Cli, models: Path, labelled: Path, tmp_path: Path, name: str):
    ran = cli("evaluate", models / "single", labelled, "--errors", tmp_path / name)
    assert (ran.status, ran.err) == (0, f"written: {tmp_path / name}\n")
    written = (tmp_path / name).read_text(encoding="utf-8")
    wrong = 5 - round(5 * ran.json["metrics"]["accuracy"])
    if name.endswith("html"):
        assert f"{5 - wrong} of 5 examples are done without a mistake." in written
        return
    lines = [json.loads(line) for line in written.splitlines()]
    assert lines[0]["metrics"] == ran.json["metrics"]
    assert sum(line["kind"] == "case" for line in lines) == lines[0]["wrong"] == wrong


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("errors.txt", "its ending says what is written: .html for a page, .jsonl for JSON lines"),
        ("-", "its ending says what is written"),
        ("nowhere/errors.html", "cannot write"),
    ],
)
def test_an_analysis_that_cannot_be_written_is_refused_before_any_work(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
):
    monkeypatch.chdir(tmp_path)
    ran = cli("evaluate", "no-model", "no-data", "--errors", name)
    assert (ran.status, ran.out) == (2, "")
    assert message in ran.err


def test_the_constant_answer_is_the_commonest_label():
    task = tasks["single"](labels=("a", "b", "c"))
    rows = [{"label": np.array([number])} for number in (2, 1, 2)]
    assert task.baseline(Outcome([], rows))["accuracy"] == pytest.approx(2 / 3)


def test_evaluate_counts_texts_that_lose_their_end(cli: Cli, models: Path, tmp_path: Path):
    file = tmp_path / "test.tsv"
    file.write_text(f"label\ttext\n好\t很好\n差\t{'很' * 40}\n", encoding="utf-8")
    ran = cli("evaluate", models / "single", file)
    assert (ran.status, ran.json["truncated"]) == (0, 1)
    assert "1 of 2 texts is longer than max_length = 32; the end was cut off\n" in ran.err


def test_evaluate_lists_unknown_labels(cli: Cli, models: Path, tmp_path: Path):
    file = tmp_path / "test.tsv"
    file.write_text("label\ttext\n好\t很好\nhao\t真好\n好\t好\nbad\t好\n", encoding="utf-8")
    ran = cli("evaluate", models / "single", file)
    assert (ran.status, ran.out) == (2, "")
    assert "test.tsv:3: label 'hao' is not one of '差', '好'" in ran.err
    assert "test.tsv:5: label 'bad'" in ran.err


def test_evaluate_needs_labels(cli: Cli, models: Path, tmp_path: Path):
    file = tmp_path / "test.txt"
    file.write_text("很好\n不好\n", encoding="utf-8")
    ran = cli("evaluate", models / "single", file)
    assert ran.status == 2
    assert "label" in ran.err


# --- which task a model does


def test_a_folder_from_elsewhere_tells_its_task_by_its_head(cli: Cli, models: Path):
    found = cli("predict", models / "foreign", "--text", "很好").json
    assert set(found["scores"]) == {"bad", "good"}
    ours = cli("predict", models / "single", "--text", "很好").json
    assert list(found["scores"].values()) == pytest.approx(list(ours["scores"].values()), abs=1e-5)


@pytest.mark.parametrize(("problem", "key"), [("regression", "score"), ("multi_label_classification", "labels"), (None, "label")])
def test_the_problem_type_counts(cli: Cli, models: Path, tmp_path: Path, problem: str | None, key: str):
    source = models / ("regression" if problem == "regression" else "foreign")
    folder = tmp_path / "model"
    folder.mkdir()
    for file in source.iterdir():
        if file.name != "bertsmith.json":
            (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "problem_type": problem}), encoding="utf-8")
    assert key in cli("predict", folder, "--text", "很好").json


def test_the_task_can_be_named(cli: Cli, models: Path):
    assert "labels" in cli("predict", models / "foreign", "--text", "很好", "--task", "multi_label").json
    ran = cli("predict", models / "foreign", "--text", "很好", "--task", "sinlge")
    assert ran.status == 2
    assert "did you mean 'single'?" in ran.err


def test_a_damaged_task_is_a_mistake_with_its_place(cli: Cli, models: Path, tmp_path: Path):
    folder = tmp_path / "model"
    folder.mkdir()
    for file in (models / "single").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "bertsmith.json").write_text('{"task": {"name": "single", "max_lenght": 5, "labels": 3}}', encoding="utf-8")
    ran = cli("predict", folder, "--text", "很好")
    assert ran.status == 2
    assert "max_lenght: unknown key (did you mean 'max_length'?)" in ran.err
    assert "labels: got 3" in ran.err


# --- models, objectives, tasks, tunings


def test_models_lists_families_and_what_is_built_in(cli: Cli):
    ran = cli("models")
    assert ran.status == 0
    assert "xlm-roberta" in ran.out
    assert set(cli("models", "--json").json["families"]) == set(families)


def test_models_shows_what_a_folder_holds(cli: Cli, models: Path):
    found = cli("models", models / "single", "--json").json
    assert found["trained_heads"] == ["classification"] or "classification" in found["trained_heads"]
    assert "mlm" in found["absent_heads"]
    assert found["num_parameters"] == load(str(models / "single")).model.num_parameters
    assert (found["vocabulary_size"], found["max_length"], found["labels"]) == (118, 64, ["差", "好"])
    assert found["task"]["name"] == "single"
    text = cli("models", models / "single").out
    assert "num parameters" in text
    assert "差, 好" in text


@pytest.mark.parametrize(("kind", "name"), [("objectives", "mlm"), ("tasks", "pair"), ("tunings", "lora")])
def test_what_is_registered_has_a_line_and_a_page(cli: Cli, kind: str, name: str):
    listed = cli(kind, "--json").json
    assert all(line and len(line) < 150 for line in listed.values())
    assert f"{name} " in cli(kind).out
    page = cli(kind, name)
    assert page.status == 0
    assert listed[name] in page.out
    assert f'name = "{name}"' in page.out


def test_a_page_shows_options_with_type_and_default(cli: Cli):
    found = cli("objectives", "mlm", "--json").json
    options = {option["name"]: (option["type"], option["default"]) for option in found["options"]}
    assert options["rate"] == ("a number", "0.15")
    assert options["unit"] == ('"token" or "word" or "ngram"', '"word"')
    assert "rate        a number (default 0.15)" in cli("objectives", "mlm").out


def test_an_unknown_name_is_corrected(cli: Cli):
    ran = cli("tunings", "lroa")
    assert ran.status == 2
    assert "did you mean 'lora'?" in ran.err


# --- convert


def test_convert_writes_a_folder_that_opens_with_equal_weights(cli: Cli, models: Path, tmp_path: Path):
    out = tmp_path / "clean"
    found = cli("convert", models / "pretrained", out).json
    assert found["folder"] == str(out)
    before, after = (load(str(folder)).model.state_dict() for folder in (models / "pretrained", out))
    assert before.keys() == after.keys()
    assert all((before[name] == after[name]).all() for name in before)


def test_convert_overwrites_nothing(cli: Cli, models: Path, tmp_path: Path):
    (tmp_path / "precious.txt").touch()
    ran = cli("convert", models / "pretrained", tmp_path)
    assert ran.status == 2
    assert "not empty" in ran.err
    assert [file.name for file in tmp_path.iterdir()] == ["precious.txt"]


# --- check


def test_check_reports_and_its_status_tells_of_errors(cli: Cli, models: Path, labelled: Path, tmp_path: Path):
    ran = cli("check", labelled, "--task", "single", "--model", models / "pretrained")
    assert ran.status == 0
    assert "5 rows" in ran.out
    shared = tmp_path / "shared.tsv"
    shared.write_text("label\ttext\n好\t很好\n差\t不好\n", encoding="utf-8")
    ran = cli("check", labelled, "--task", "single", "--test", shared, "--json")
    assert ran.status == 2
    assert any(finding["severity"] == "error" and finding["code"] == "shared_rows" for finding in ran.json["findings"])


@pytest.mark.parametrize(
    ("task", "label", "code"),
    [
        ("single", ["0"], "refused_labels"),
        ("single", {"a": 1}, "refused_labels"),
        ("multi_label", [{"a": 1}], "refused_labels"),
        ("regression", True, "labels_not_numbers"),
        ("regression", [3], "labels_not_numbers"),
    ],
)
def test_check_flags_the_labels_that_the_task_refuses(cli: Cli, tmp_path: Path, task: str, label: object, code: str):
    file = tmp_path / "train.jsonl"
    rows = [*({"text": f"text {number}", "label": str(number % 2)} for number in range(20)), {"text": "last", "label": label}]
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    ran = cli("check", file, "--task", task, "--json")
    [finding] = [finding for finding in ran.json["findings"] if finding["code"] == code]
    assert (ran.status, finding["severity"], finding["count"]) == (2, "error", 1)
    assert "train.jsonl:21" in finding["places"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["DATA"], "Missing option '--task'"),
        (["DATA", "--task", "piar"], "did you mean 'pair'?"),
        (["DATA", "--task", "pair"], "text_pair"),
        (["DATA", "--task", "single", "--test", "nope.tsv"], "there is no file nope.tsv"),
        (["DATA", "--task", "single", "--model", "./nowhere"], "no folder './nowhere'"),
    ],
)
def test_check_mistakes(cli: Cli, labelled: Path, arguments: list[str], message: str):
    ran = cli("check", *(labelled if argument == "DATA" else argument for argument in arguments))
    assert (ran.status, ran.out) == (2, "")
    assert message in ran.err


# --- run


@pytest.fixture
def recipe(models: Path, labelled: Path, tmp_path: Path) -> Path:
    file = tmp_path / "reviews.toml"
    file.write_text(
        f"""
seed = 1
[[stage]]
name = "reviews"
from = "{models / "pretrained"}"
task = {{ name = "single", max_length = 32 }}
data = {{ train = "{labelled}", test = "{labelled}" }}
train = {{ epochs = 1, batch_size = 2 }}
""",
        encoding="utf-8",
    )
    return file


def test_run_trains_and_its_model_predicts(cli: Cli, recipe: Path, tmp_path: Path):
    out = tmp_path / "run"
    ran = cli("run", recipe, "--out", out, "--set", "stage.reviews.train.epochs=2")
    assert (out / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert ran.status == 0, ran.err
    assert ran.json["folder"] == str(out)
    assert ran.json["stages"][0]["metrics"]["test"]["accuracy"] >= 0
    assert ran.json["stages"][0]["steps"] == 6
    assert re.search(r"\baccuracy=\d\.\d{4}\b", ran.err), "a name and its value are not torn apart"
    assert json.loads(Path(ran.json["result"]).read_text(encoding="utf-8"))["stages"][0]["metrics"] == ran.json["stages"][0]["metrics"]
    found = cli("evaluate", ran.json["model"], tmp_path / "test.tsv").json
    assert found["metrics"]["accuracy"] == pytest.approx(ran.json["stages"][0]["metrics"]["test"]["accuracy"])
    again = cli("run", recipe, "--out", out, "--set", "stage.reviews.train.epochs=2")
    assert again.json["stages"][0]["cached"] is True
    assert "done before" in again.err


def test_a_dry_run_writes_nothing(cli: Cli, recipe: Path, tmp_path: Path):
    out = tmp_path / "run"
    ran = cli("run", recipe, "--out", out, "--dry-run")
    assert ran.status == 0, ran.err
    assert ran.json["plan"][0]["name"] == "reviews"
    assert ran.json["stages"] == []
    assert "would" in ran.err
    assert not out.exists()


def test_results_go_to_a_folder_named_like_the_recipe(cli: Cli, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert cli("run", recipe, "--dry-run").json["folder"] == "runs/reviews"


def test_all_mistakes_of_a_recipe_are_listed(cli: Cli, recipe: Path):
    ran = cli("run", recipe, "--set", "stage.reviews.train.epohcs=2", "--set", "stage.reviews.tuning=lroa", "--dry-run")
    assert (ran.status, ran.out) == (2, "")
    assert "did you mean 'epochs'?" in ran.err
    assert "did you mean 'lora'?" in ran.err


def test_a_recipe_that_is_not_there(cli: Cli):
    ran = cli("run", "nope.toml")
    assert ran.status == 2
    assert "there is no recipe nope.toml" in ran.err


def test_an_interrupted_run_says_how_to_go_on(cli: Cli, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from bertsmith.recipe import run as module

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "run", interrupted)
    ran = cli("run", recipe, "--out", tmp_path / "out", "--set", "seed=2")
    assert ran.status == 2
    assert ran.err == f"interrupted\nGo on with: bertsmith run {recipe} --set seed=2 --out {tmp_path / 'out'} --resume\n"


def test_of_several_processes_one_speaks(cli: Cli, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from bertsmith.recipe import processes

    monkeypatch.setattr(processes, "is_first", lambda: False)
    ran = cli("run", recipe, "--out", tmp_path / "out", "--dry-run")
    assert (ran.status, ran.out) == (0, "")
    assert "would" not in ran.err


def test_a_run_that_is_killed_goes_on(cli: Cli, recipe: Path, tmp_path: Path):
    """Ctrl-C in the middle of a training, in a process of its own, then the command that it says."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "bertsmith", "run", str(recipe), "--out", str(out), "--set", "stage.reviews.train.epochs=2000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "begins" in line:
                break
        until = time.monotonic() + 60
        while not (out / "stages" / "reviews" / "metrics.jsonl").exists() and time.monotonic() < until:
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 2, errors
    assert "--resume" in errors
    ran = cli("run", recipe, "--out", out, "--set", "stage.reviews.train.epochs=2000", "--resume", "--dry-run")
    assert ran.status == 0, ran.err
    assert ran.json["plan"][0]["action"] == "resume"


def test_an_interrupted_demo_says_how_to_go_on(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import bertsmith.demo

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bertsmith.demo, "run", interrupted)
    ran = cli("demo", "--out", tmp_path / "my demo")
    assert ran.status == 2
    assert ran.err == f"interrupted; what is done is kept. Go on with: bertsmith demo --out '{tmp_path / 'my demo'}'\n"
