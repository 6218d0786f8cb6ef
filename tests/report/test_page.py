import json
import re
from pathlib import Path
from typing import Any

import pytest

from bertsmith.core.errors import RecipeError
from bertsmith.report import write_report
from bertsmith.report.page import render
from bertsmith.report.records import read_run
from bertsmith.report.tables import score_tables
from tests.report.conftest import comparison, predictions, pretraining, stage, write_run
from tests.report.pages import Page

EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>&amp;"


def page_of(folder: Path) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


def test_the_page_is_written_into_the_folder(plain_run: Path):
    assert write_report(plain_run) == plain_run / "report.html"
    assert (plain_run / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_page_tells_the_whole_run(plain_run: Path):
    text = page_of(plain_run).text
    for wanted in [
        "84.5% of 200 test examples right (95% interval 78.8% to 88.9%), where always answering “positive” gets 50.0%.",
        "49.4 20.1",  # perplexity before and after
        "reviews/train.tsv",
        "ab12ab12ab12",
        "bertsmith run",
        'name = "match"',
        "torch 2.13.0",
        "a processor",
        "耳机降噪一开，地铁里像突然安静了，太喜欢了。",
    ]:
        assert wanted in text


def test_the_baseline_stands_beside_the_result(plain_run: Path):
    assert re.search(r"baseline always “positive” 50\.0% 33\.3% 50\.0% 0\.000", page_of(plain_run).text)


def test_nothing_is_fetched_and_nothing_is_run(compared_run: Path):
    html = write_report(compared_run).read_text(encoding="utf-8")
    page = Page(html)
    assert "script" not in page.names()
    assert "link" not in page.names()
    assert not [attributes for _, attributes in page.elements if {"src", "href", "srcset", "action"} & attributes.keys()]
    assert "url(" not in html
    assert "@import" not in html


def evil_stage(name: str) -> dict[str, Any]:
    made = stage(name, EVIL, objective=EVIL, notes=[EVIL], machine={EVIL: EVIL})
    for account in made["data"].values():
        account["files"][0]["name"] = EVIL
        account["labels"] = {EVIL: 100, "other": 100}
        account["dropped"] = {EVIL: 3}
    made["metrics"]["test"] = {"accuracy": 0.5, EVIL: 0.1}
    return made


def test_what_comes_from_data_is_text_and_never_markup(tmp_path: Path):
    wrong = [{"line": 2, "text": EVIL, "text_pair": EVIL, "gold": EVIL, "label": "other", "score": 0.9, "scores": {EVIL: 0.1, "other": 0.9}}]
    compared = comparison()
    for key in ("title", "about", "verdict", "command"):
        compared[key] = EVIL
    for system in compared["systems"]:
        system["title"] = system["about"] = EVIL
    compared["predictions"][0] = {"text": EVIL, "label": EVIL, "score": 0.5}
    run = write_run(tmp_path / "run", [evil_stage(EVIL.replace("/", "|"))], predicted=None, comparison=compared)
    (run / "recipe.toml").write_text(EVIL, encoding="utf-8")
    page = page_of(run)
    named = write_run(tmp_path / "named", [evil_stage("match")], predicted=wrong)
    other = page_of(named)
    for one in (page, other):
        assert one.names() & {"script", "img"} == set()
        assert not [attributes for _, attributes in one.elements if any(name.startswith("on") for name in attributes)]
        assert one.text.count(EVIL) >= 5


def test_texts_in_chinese_carry_the_tag_of_their_script(plain_run: Path):
    html = write_report(plain_run).read_text(encoding="utf-8")
    assert '<p lang="zh-Hans">没有想象中那么辣，孩子也能吃。</p>' in html
    assert '<p lang="zh-Hant">被子蓬鬆輕暖，蓋上就不想起床，體驗很好。</p>' in html
    assert "<p>Not what I had feared" in html


def test_a_line_separator_inside_a_text_ends_no_line(tmp_path: Path):
    predicted = predictions()
    predicted[0]["text"] = "一行\u2028两行\x85三行"
    folder = write_run(tmp_path / "reviews", [stage("match", "builtin:mini-zh")], predicted=predicted)
    [read] = read_run(folder).stages
    assert read.predictions == predicted


def test_mistakes_are_the_wrong_predictions_the_surest_first(plain_run: Path):
    text = page_of(plain_run).text
    section = text[text.index("The surest mistakes") : text.index("Data for files")]
    assert [int(share) for share in re.findall(r"(\d+)% sure", section)] == [98, 93, 88, 74]


def test_a_model_without_mistakes_is_called_that(tmp_path: Path):
    right = [row for row in predictions() if row["gold"] == row["label"]]
    assert "every prediction of match is right" in page_of(write_run(tmp_path / "run", [stage("match", "x")], predicted=right)).text


def test_a_run_without_predictions_has_no_confusion_matrix(tmp_path: Path):
    text = page_of(write_run(tmp_path / "run", [stage("match", "builtin:mini-zh")])).text
    assert "What is taken for what" not in text
    assert "84.5%" in text


def test_many_labels_are_listed_by_their_commonest_confusions(tmp_path: Path):
    rows = [{"text": "t", "gold": f"label {n}", "label": f"label {(n + 1) % 20}", "score": 0.5} for n in range(20)] * 2
    text = page_of(write_run(tmp_path / "run", [stage("match", "x")], predicted=rows)).text
    assert "label 3 label 4 2" in text


def test_predictions_that_are_not_labels_are_left_out(tmp_path: Path):
    rows = [{"text": "t", "gold": 3.5, "score": 3.1}]
    assert "What is taken for what" not in page_of(write_run(tmp_path / "run", [stage("match", "x")], predicted=rows)).text


def test_pretraining_alone_is_judged_by_its_perplexity(tmp_path: Path):
    text = page_of(write_run(tmp_path / "run", [pretraining("adapt")])).text
    assert "Perplexity on held-out text is 20.1, from 49.4 before." in text


def test_a_run_that_measured_nothing_says_so(tmp_path: Path):
    text = page_of(write_run(tmp_path / "run", [{**pretraining("adapt"), "metrics": {}}])).text
    assert "there was no validation or test data to measure it on" in text


def test_metrics_that_are_not_defined_are_a_dash(tmp_path: Path):
    made = stage("match", "x", objective="regression", metrics={"test": {"pearson": None, "spearman": 0.5}})
    text = page_of(write_run(tmp_path / "run", [made])).text
    assert "Pearson – on 200 test examples." in text
    assert "– 0.500" in text


def test_stages_that_are_compared_share_their_charts(compared_run: Path):
    page = page_of(compared_run)
    titles = re.findall(r"Point at a dot to read it\. (.*) What is taken", page.text)[0]
    assert [title for title in ("adapt", "Fine-tuned", "Adapted, then fine-tuned") if title in titles]
    charts = [attributes["aria-label"] for name, attributes in page.elements if name == "svg"]
    assert charts[1:] == ["loss over 90 steps", "loss over 90 steps", "accuracy over 90 steps"] * 1 + ["loss over 90 steps", "accuracy over 90 steps"]


def test_a_comparison_shows_systems_differences_and_times(compared_run: Path):
    text = page_of(compared_run).text
    assert "What raw text is worth" in text
    assert "82.3% ± 1.3" in text
    assert "adapted − plain all +1.3 −1.0 to +3.7 0.310 inside the noise" in text
    assert "adapt to raw text 48 s" in text
    assert "bertsmith demo --out again" in text


def test_a_note_that_several_stages_share_is_there_once(tmp_path: Path):
    stages = [stage(name, "x", notes=[f"stage {name!r}: the classification head is new"]) for name in ("a", "b")]
    text = page_of(write_run(tmp_path / "run", stages)).text
    assert text.count("the classification head is new") == 1
    assert "the classification head is new (a, b)" in text


def test_a_folder_without_a_result_is_refused(tmp_path: Path):
    with pytest.raises(RecipeError, match=r"no result\.json"):
        write_report(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "{}", json.dumps({"stages": [{}]})])
def test_a_damaged_result_is_refused_in_one_message(tmp_path: Path, content: str):
    (tmp_path / "result.json").write_text(content, encoding="utf-8")
    with pytest.raises(RecipeError, match="cannot be made"):
        write_report(tmp_path)


def together() -> dict[str, Any]:
    """A stage with two parts, one of which was trained alone as well, and one with an objective."""
    of_text = {split: {"rows": rows} for split, rows in (("train", 1140), ("valid", 60))}
    data = {f"match/{split}": account for split, account in stage("match", "x")["data"].items()} | {
        f"text/{split}": one for split, one in of_text.items()
    }
    metrics = {
        "valid": {"match.accuracy": 0.9, "match.macro_f1": 0.9, "text.loss": 3.0, "text.perplexity": 20.1, "mean": 0.9},
        "test": {"match.accuracy": 0.885, "match.macro_f1": 0.884, "match.micro_f1": 0.885, "match.matthews": 0.77, "mean": 0.885},
    }
    tested = {"difference": 0.04, "interval": {"low": 0.01, "high": 0.07, "level": 0.95}, "p_value": 0.012, "examples": 200, "verdict": "gained"}
    gain = {"against": "match", "metric": "accuracy", "alone": 0.845, "together": 0.885, **tested}
    part = {"objective": "single", "is_task": True, "steps": 60, "epochs": 4.0, "kept_step": 75, "gains": [gain]}
    parts = {"match": part, "text": {**part, "objective": "mlm", "is_task": False, "steps": 30, "gains": []}}
    return stage("together", "builtin:mini-zh", objective="mixture", is_task=False, metrics=metrics, data=data, parts=parts)


def test_the_parts_of_a_stage_are_told_beside_those_that_were_trained_alone(tmp_path: Path):
    folder = write_run(tmp_path / "run", [stage("match", "builtin:mini-zh"), together()])
    (folder / "stages/together/parts/match").mkdir(parents=True)
    said = [{"stage": "together", "step": step, "epoch": 0, "part": ("match", "text")[step % 2], "loss": 0.5} for step in range(1, 7)]
    said.append(
        {"stage": "together", "step": 6, "epoch": 0, "valid": {"match.accuracy": 0.9, "text.loss": 3.0, "text.perplexity": 20.1, "mean": 0.9}}
    )
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in said), encoding="utf-8")
    answers = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in predictions())
    (folder / "stages/together/parts/match/predictions.jsonl").write_text(answers, encoding="utf-8")
    run = read_run(folder)
    text = Page(render(run)).text
    assert "2 parts were trained together: match accuracy 88.5%, text perplexity 20.1. Beside training alone: match gained." in text
    [table] = score_tables(run.singly)
    assert [one.name for one, _ in table.stages] == ["match", "together · match"], "one table for the same data"
    assert "match of together match accuracy 200 examples 88.5% 84.5% +0.040 +0.010 to +0.070 0.012 gained" in text
    assert "one of 2 parts: 30 of the steps" in text
    assert "of the stage together · match . A row is" in text
    match, words = run.stages[1].parts
    assert [line["step"] for line in match.lines] == [2, 4, 6, 6], "its own steps, and the evaluation"
    assert words.lines[-1]["valid"] == {"loss": 3.0, "perplexity": 20.1}
