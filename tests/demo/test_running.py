import json
from pathlib import Path

import pytest
import transformers

from bertsmith.core.errors import RecipeError
from bertsmith.data.sources import DATA
from bertsmith.demo import DemoResult, run
from bertsmith.demo.running import NEW_SENTENCES, RECIPE
from bertsmith.recipe import read_recipe

STAGES = ["adapt", "plain-1", "plain-2", "adapted-1", "adapted-2"]


def short(model: Path) -> list[str]:
    """The demo's recipe with a tiny model and few steps."""
    starts = [f"stage.{name}.from={model}" for name in ("adapt", "plain")]
    return [*starts, *(f"stage.{name}.train.{key}" for name in ("adapt", "plain", "adapted") for key in ("epochs=", "steps=2"))]


@pytest.fixture(scope="module")
def done(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> DemoResult:
    return run(tmp_path_factory.mktemp("demo") / "out", overrides=short(tiny_model), seeds=(1, 2))


def test_the_adapted_model_is_made_once_and_every_fine_tuning_once_a_seed(done: DemoResult):
    stages = json.loads((done.folder / "result.json").read_text(encoding="utf-8"))["stages"]
    assert [stage["name"] for stage in stages] == STAGES
    assert [stage["seed"] for stage in stages] == [1, 1, 2, 1, 2]
    assert {stage["start"] for stage in stages[3:]} == {"stage:adapt"}
    assert all(stage["steps"] == 2 for stage in stages)


def test_both_systems_are_trained_on_the_same_data(done: DemoResult):
    stages = json.loads((done.folder / "result.json").read_text(encoding="utf-8"))["stages"][1:]
    assert all(stage["data"] == stages[0]["data"] for stage in stages)


def test_scores_are_those_of_the_predictions(done: DemoResult):
    systems = {system["title"]: system for system in done.comparison["systems"]}
    system = systems["Adapted, then fine-tuned"]
    lines = (done.folder / "stages" / "adapted-2" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 200
    right = sum(row["label"] == row["gold"] for row in rows) / 200
    result = json.loads((done.folder / "result.json").read_text(encoding="utf-8"))["stages"][-1]
    assert system["scores"]["all"]["values"][1] == pytest.approx(right)
    # The engine may compute in another precision than the evaluation that follows training; an example or two may fall on the other side.
    assert right == pytest.approx(result["metrics"]["test"]["accuracy"], abs=0.02)


def test_the_baseline_is_half_of_balanced_data(done: DemoResult):
    assert done.comparison["systems"][0]["scores"]["all"]["mean"] == 0.5
    assert [subset["examples"] for subset in done.comparison["subsets"]] == [200, 134, 66]


def test_the_model_opens_in_transformers(done: DemoResult):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(done.model)
    assert sorted(model.config.label2id) == ["negative", "positive"]


def test_the_report_tells_of_the_comparison_and_the_new_sentences(done: DemoResult):
    html = done.report.read_text(encoding="utf-8")
    assert done.comparison["verdict"] in html
    assert all(sentence in html for sentence in NEW_SENTENCES)
    assert "The surest mistakes" in html


def test_the_result_is_json(done: DemoResult):
    values = json.loads(json.dumps(done.to_dict(), allow_nan=False))
    assert Path(values["model"]).is_dir()
    assert [line["text"] for line in values["predictions"]] == list(NEW_SENTENCES)
    assert [step["name"] for step in values["steps"]][:3] == ["adapt to raw text", "fine-tune plain, 2 seeds", "fine-tune adapted, 2 seeds"]


def test_running_it_again_trains_nothing(done: DemoResult, tiny_model: Path, capsys: pytest.CaptureFixture[str]):
    again = run(done.folder, overrides=short(tiny_model), seeds=(1, 2))
    assert again.comparison["systems"] == done.comparison["systems"]
    stages = json.loads((done.folder / "result.json").read_text(encoding="utf-8"))["stages"]
    assert all(stage["cached"] for stage in stages)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "accuracy in per cent" in shown.err
    assert str(done.report) in shown.err
    assert "bertsmith predict" in shown.err


def test_the_recipe_that_is_left_is_the_one_that_is_shown(done: DemoResult, tiny_model: Path):
    left = read_recipe(done.folder / "demo.toml", short(tiny_model))
    assert left == read_recipe(RECIPE, short(tiny_model))


def test_new_sentences_are_new():
    known = "".join(path.read_text(encoding="utf-8") for path in DATA.rglob("*.*") if path.suffix in {".tsv", ".txt", ".jsonl"})
    assert not [sentence for sentence in NEW_SENTENCES if sentence in known]


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path, tiny_model: Path):
    (tmp_path / "thesis.tex").write_text("mine", encoding="utf-8")
    with pytest.raises(RecipeError, match="not empty"):
        run(tmp_path, overrides=short(tiny_model))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
