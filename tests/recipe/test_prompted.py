"""A recipe's stage that fills a gap: checked before anything is trained, measured before and after, saved as what it is."""

from pathlib import Path
from typing import Any

import pytest
import transformers

from bertsmith.core.errors import RecipeError
from bertsmith.models import load
from bertsmith.recipe import parse, to_toml
from bertsmith.tasks.opening import task_of
from tests.recipe.conftest import MATCH, Listener, changed, run_stages

TASK = {"name": "prompted", "template": "{text}我[MASK]的", "verbalizer": {"1": ["喜欢", "爱"], "0": "恨"}, "max_length": 32}
PROMPTED: dict[str, Any] = {**MATCH, "name": "prompted", "from": "base", "task": TASK}


def test_it_is_measured_before_and_learns(world: Path):
    listener = Listener()
    result = run_stages(world, changed(PROMPTED, train={"epochs": 15, "learning_rate": 1e-2}), progress=listener)
    metrics = result.stages[0].metrics
    assert metrics["before"].keys() == metrics["valid"].keys()
    assert metrics["test"]["accuracy"] > 0.9 > metrics["before"]["accuracy"]
    assert not listener.told("last layer begins anew")
    assert not listener.told("head is new")


def test_what_it_has_learned_is_used_without_naming_it_and_opens_as_a_masked_language_model(world: Path):
    result = run_stages(world, PROMPTED)
    task = task_of(load(str(result.model)), "model")
    assert (task.name, task.labels) == ("prompted", ("1", "0"))
    config = transformers.AutoConfig.from_pretrained(result.model)
    assert config.architectures == ["BertForMaskedLM"]
    assert config.problem_type is None


def test_a_later_stage_goes_on_with_its_head(world: Path):
    listener = Listener()
    words = {"1": "好", "0": ["坏", "差"]}
    result = run_stages(
        world, PROMPTED, {**PROMPTED, "name": "again", "from": "stage:prompted", "task": {**TASK, "verbalizer": words}}, progress=listener
    )
    assert "before" in result.stages[1].metrics
    assert not listener.told("last layer begins anew")


def test_a_model_without_the_head_is_refused_unless_it_is_to_learn_it_here(world: Path):
    for dry_run in (True, False):
        with pytest.raises(RecipeError, match=r"stage 'prompted' \(stage\[0\]\).task: needs the head mlm with its weights\. ") as caught:
            run_stages(world, {**PROMPTED, "from": "headless"}, dry_run=dry_run)
        assert "Continue pre-training first" in str(caught.value)
    with pytest.raises(RecipeError, match="needs the head mlm with its weights, and the stage 'match' leaves none; train it in a stage between"):
        run_stages(world, {**MATCH, "from": "base"}, {**PROMPTED, "from": "stage:match"}, dry_run=True)
    result = run_stages(world, {**PROMPTED, "from": "headless", "task": {**TASK, "untrained_head": True}}, out="untrained")
    assert "before" not in result.stages[0].metrics
    assert any("they are random and learned here" in note for note in result.stages[0].notes)


def test_the_resolved_recipe_is_the_recipe(world: Path):
    recipe = parse({"stage": [PROMPTED]}, world / "recipe.toml")
    assert parse(to_toml(recipe), world / "recipe.toml") == recipe


def test_what_is_wrong_with_a_template_is_said_with_all_else(world: Path):
    wrong = {**TASK, "template": "{txt} 很", "verbalizer": {"1": ["好", "爱"], "0": "好"}, "max_len": 3}
    with pytest.raises(RecipeError) as caught:
        parse({"stage": [{**PROMPTED, "task": wrong}]}, world / "recipe.toml")
    unknown, template = caught.value.problems
    assert unknown.startswith(
        "stage 'prompted' (stage[0]).task.max_len: unknown key (did you mean 'max_length'?); known: labels, max_length, template,"
    )
    assert template.startswith("stage 'prompted' (stage[0]).task: template is '{txt} 很': it has no [MASK], the place of the label word;")
    assert "it has no {text}; it has {txt}, which is no field (did you mean 'text'?); fields: {text}, {text_pair}; verbalizer gives" in template
    assert template.endswith("verbalizer gives the word '好' to '1' and to '0'; a word belongs to one label")


def test_what_the_vocabulary_cannot_write_is_said_once_before_a_weight_is_read(world: Path):
    with pytest.raises(RecipeError) as caught:
        run_stages(world, {**PROMPTED, "task": {**TASK, "verbalizer": {"1": "妙", "0": ["恨", "糟"]}}}, dry_run=True)
    [problem] = caught.value.problems
    assert problem.startswith("stage 'prompted' (stage[0]).task: 2 label words cannot be used with this model's vocabulary; choose others")
    assert "'妙' of the label '1'" in problem
    assert "'糟' of the label '0'" in problem


def test_labels_of_the_data_that_have_no_words_are_listed_with_their_lines(world: Path):
    with pytest.raises(RecipeError) as caught:
        run_stages(world, {**PROMPTED, "task": {**TASK, "verbalizer": {"1": "好", "2": "坏"}}})
    assert "label '0' is not one of '1', '2'" in str(caught.value)
    assert "train.tsv:" in str(caught.value)
