"""Recipes as text: every mistake is found at once, with its place; what is right can be written out and read again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertsmith.core.errors import RecipeError
from bertsmith.objectives.mlm import MaskedLanguageModel
from bertsmith.recipe import parse, read_recipe, to_toml
from bertsmith.tasks.pair import SentencePair
from bertsmith.tuning.frozen import Frozen
from bertsmith.tuning.lora import Lora

CHAIN = """
seed = 1

[[stage]]
name = "adapt"
from = "hfl/chinese-roberta-wwm-ext"
objective = { name = "mlm", unit = "word", rate = 0.15 }
data = { train = ["reviews/*.txt"] }
train = { steps = 2000, learning_rate = 5e-5, batch_tokens = 8192 }

[[stage]]
name = "nli"
from = "stage:adapt"
task = { name = "pair", labels = ["entailment", "neutral", "contradiction"] }
data = { train = "ocnli/train.10k.json", columns = { text = "sentence1", text_pair = "sentence2", label = "label" } }
train = { epochs = 2, learning_rate = 2e-5 }

[[stage]]
name = "match"
from = "stage:nli"
task = { name = "pair" }
tuning = { name = "lora", rank = 4 }
data = { train = "bustm/train_0.json", valid = "bustm/dev_0.json", test = "bustm/test_public.json" }
train = { epochs = 20, learning_rate = 1e-4, keep = "best:accuracy" }
"""


def stage(**changes: object) -> dict[str, object]:
    """The table of a stage that is right; a change to None takes a key away."""
    table = {"name": "match", "from": "org/model", "task": {"name": "pair"}, "data": {"train": "/data/train.tsv"}, **changes}
    return {key: value for key, value in table.items() if value is not None}


def problems(recipe: object, overrides: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        parse(recipe, overrides=overrides)
    return list(caught.value.problems) or [caught.value.summary]


def test_the_chain_of_the_documentation_is_read_as_it_is_written():
    recipe = parse(CHAIN, Path("/recipes/chain.toml"))
    adapt, nli, match = recipe.stages
    assert adapt.objective == MaskedLanguageModel(unit="word", rate=0.15)
    assert adapt.start == "hfl/chinese-roberta-wwm-ext"
    assert adapt.data.train == ("/recipes/reviews/*.txt",)
    assert adapt.train.steps == 2000
    assert nli.objective == SentencePair(labels=("entailment", "neutral", "contradiction"))
    assert nli.data.columns == {"text": "sentence1", "text_pair": "sentence2", "label": "label"}
    assert (nli.earlier, match.earlier, adapt.earlier) == ("adapt", "nli", None)
    assert match.tuning == Lora(rank=4)
    assert match.train.keep == "best:accuracy"
    assert recipe.seed_of(match) == 1


FIVE_MISTAKES = """
seed = "one"

[[stage]]
name = "adapt"
from = "org/model"
objective = { name = "mlm", rate = 1.5 }
data = { train = "a.txt" }
train = { learning_rat = 5e-5 }

[[stage]]
name = "match"
from = "stage:adpat"
task = { name = "piar" }
data = { train = 3 }
"""


def test_five_mistakes_are_five_problems_each_with_its_place():
    found = problems(FIVE_MISTAKES)
    assert len(found) == 6
    assert 'seed: got "one"; it must be a whole number' in found
    assert "stage 'adapt' (stage[0]).objective: rate is 1.5; it must lie between 0 and 1" in found
    assert any(line.startswith("stage 'adapt' (stage[0]).train.learning_rat: unknown key (did you mean 'learning_rate'?)") for line in found)
    assert "stage 'match' (stage[1]).from: 'stage:adpat' names no stage (did you mean 'adapt'?); earlier stages: adapt" in found
    assert any(line.startswith("stage 'match' (stage[1]).task.name: unknown task 'piar' (did you mean 'pair'?); known: ") for line in found)
    assert "stage 'match' (stage[1]).data.train: got 3 (a whole number); it must be a string or a list of strings" in found


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"train": {"epochs": "3"}}, ".train.epochs", 'got "3"; it must be a number'),
        ({"train": {"epochs": True}}, ".train.epochs", "got true; it must be a number"),
        ({"train": {"steps": 2.5}}, ".train.steps", "got 2.5 (a number); it must be a whole number"),
        ({"train": {"learning_rate": float("nan")}}, ".train.learning_rate", "got nan (a number); it must be a finite number"),
        ({"train": {"schedule": "cosin"}}, ".train.schedule", 'it must be "linear" or "cosine" or "constant" (did you mean \'cosine\'?)'),
        ({"train": {"epochs": -1}}, ".train", "epochs is -1; it must be greater than 0"),
        ({"train": {"epochs": -1, "step": 3}}, ".train", "epochs is -1; it must be greater than 0"),
        ({"data": {"train": "train.tsv", "valid": 15}}, ".data", "valid is 15; a share of the training data lies between 0 and 1"),
        ({"train": {"epochs": 1, "steps": 3}}, ".train", "epochs and steps are both given"),
        ({"train": {"batch_size": 1, "batch_tokens": 3}}, ".train", "batch_size and batch_tokens are both given"),
        ({"train": {"keep": "bset"}}, ".train", "keep is 'bset'"),
        ({"train": 3}, ".train", "got 3 (a whole number); it must be a table"),
        ({"task": {"labels": ["a", "b"]}}, ".task", "`name` is missing; known task names: embedding, extractive_qa"),
        ({"task": {"name": "pair", "labels": ["a", 1]}}, ".task.labels", 'got ["a", 1] (a list); it must be a list of strings'),
        ({"task": {"name": 3}}, ".task", "name: got 3; it must be a string"),
        ({"task": {"name": "multi_label", "threshold": 3}}, ".task", "threshold is 3"),
        ({"tuning": "lroa"}, ".tuning.name", "unknown tuning 'lroa' (did you mean 'lora'?)"),
        ({"tuning": {"name": "lora", "rank": 0}}, ".tuning", "rank is 0; it must be at least 1"),
        ({"tuning": ["lora"]}, ".tuning", 'got ["lora"] (a list); it must be a table'),
        ({"objective": "mlm"}, "", "objective and task are both given"),
        ({"task": None}, "", "give an objective or a task"),
        ({"data": None}, ".data", "missing; write data = "),
        ({"data": {"valid": "dev.tsv"}}, ".data.train", "missing; it must be a string or a list of strings"),
        ({"data": {"train": ""}}, ".data", "train is empty"),
        ({"data": {"train": []}}, ".data", "train is empty"),
        ({"data": {"train": "-"}}, ".data", "train is standard input, which cannot be read twice"),
        ({"data": {"train": "a", "valid": 1.5}}, ".data", "valid is 1.5; a share of the training data lies between 0 and 1"),
        ({"data": {"train": "a", "columns": {"text": 1.5}}}, ".data.columns", "must be a table"),
        ({"from": None}, ".from", "missing; it must be a folder"),
        ({"from": 3}, ".from", "got 3 (a whole number); it must be a folder"),
        ({"from": "builtin:none-such"}, ".from", "no built-in model 'none-such'"),
        ({"from": "stage:match"}, ".from", "'stage:match' is this stage itself; earlier stages: none"),
        ({"from": "stage:later"}, ".from", "'stage:later' comes later; earlier stages: none"),
        ({"from": {"family": "brt", "tokenizer": "v.txt"}}, ".from.family", "unknown model family 'brt' (did you mean 'bert'?)"),
        ({"from": {"family": "bert"}}, ".from.tokenizer", "missing; it must be a string"),
        ({"from": {"family": "bert", "tokenizer": "v", "hiden_size": 3}}, ".from.hiden_size", "unknown key (did you mean 'hidden_size'?)"),
        ({"from": {"family": "bert", "tokenizer": "v", "hidden_size": 0}}, ".from", "hidden_size is 0"),
        ({"name": "a/b"}, ".name", "it becomes a folder's name"),
        ({"epochs": 3}, ".epochs", "unknown key"),
        ({"seed": 1.5}, ".seed", "got 1.5 (a number); it must be a whole number"),
    ],
)
def test_a_mistake_in_a_stage(changes: dict[str, object], path: str, message: str):
    found = problems({"stage": [stage(**changes), stage(name="later")]})
    name = changes.get("name", "match")
    [first, *_] = [line for line in found if message in line] or [f"not in {found}"]
    assert first.startswith(f"stage {name!r} (stage[0]){path}: ")
    assert len(found) <= 2


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({}, "stage: there is none; write at least one [[stage]]"),
        ({"stage": []}, "stage: there is none; write at least one [[stage]]"),
        ({"stage": stage()}, "stage: write [[stage]], in two pairs of brackets"),
        ({"stage": [3]}, "stage[0]: got 3 (a whole number); it must be a table"),
        ({"stage": [stage(name=None)]}, "stage[0].name: missing"),
        ({"stage": [stage(), stage()]}, "stage 'match' (stage[1]).name: stage[0] has the name 'match' already"),
        ({"sead": 1, "stage": [stage()]}, "sead: unknown key (did you mean 'seed'?); known: seed, data_root, stage"),
        ({"data_root": 1, "stage": [stage()]}, "data_root: got 1 (a whole number); it must be a string"),
    ],
)
def test_a_mistake_in_the_recipe(recipe: dict[str, object], message: str):
    assert problems(recipe) == [message]


def test_a_wrong_value_does_not_hide_a_mistake_in_the_same_table_nor_bring_in_one_that_is_none():
    assert len(problems({"stage": [stage(train={"epochs": -1, "learning_rate": "high", "batchsize": 3})]})) == 3
    # The threshold that is mistyped leaves nothing to complain of but the key.
    assert len(problems({"stage": [stage(task={"name": "multi_label", "treshold": 3})]})) == 1


def test_broken_toml_shows_the_line_and_points_into_it():
    with pytest.raises(RecipeError) as caught:
        parse('seed = 1\n[[stage]]\nname = "a\nfrom = "b"', "broken.toml")
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("broken.toml is not TOML: ")
    assert lines[1].strip().startswith("line 3, column ")
    assert lines[1].endswith('name = "a')
    assert lines[2].strip() == "^"


def test_toml_that_ends_too_early_shows_the_last_line():
    with pytest.raises(RecipeError, match=r'line 1, column 13: names = \["a"'):
        parse('names = ["a"', "broken.toml")


@pytest.mark.parametrize(
    ("content", "message"), [(None, "there is no recipe .*did you mean 'recipe.toml'"), (b"\xff\xfe", "not UTF-8"), (b"#" * 2**21, "at most")]
)
def test_files_that_are_no_recipes(tmp_path: Path, content: bytes | None, message: str):
    (tmp_path / "recipe.toml").write_bytes(content or b"")
    with pytest.raises(RecipeError, match=message):
        read_recipe(tmp_path / ("recipe.toml" if content else "recipes.toml"))
    with pytest.raises(RecipeError, match="is a folder"):
        read_recipe(tmp_path)


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("seed=2", lambda recipe: recipe.seed == 2),
        ("stage.match.train.epochs=3", lambda recipe: recipe.stages[2].train.epochs == 3),
        ("stage[2].train.epochs = 3", lambda recipe: recipe.stages[2].train.epochs == 3),
        ("stage.match.tuning=frozen", lambda recipe: recipe.stages[2].tuning == Frozen()),
        ("stage.match.tuning=", lambda recipe: recipe.stages[2].tuning.name == "full"),
        ("stage.nli.tuning.name=lora", lambda recipe: recipe.stages[1].tuning == Lora()),
        ("stage.match.seed=7", lambda recipe: recipe.seed_of(recipe.stages[2]) == 7),
        ('stage.nli.task.labels=["a", "b"]', lambda recipe: recipe.stages[1].objective.labels == ("a", "b")),
        ('stage.nli.task={ name = "single" }', lambda recipe: recipe.stages[1].objective.name == "single"),
        ("stage.nli.data.train=/other/a=b.json", lambda recipe: recipe.stages[1].data.train == "/other/a=b.json"),
    ],
)
def test_the_command_line_overrides_the_recipe(override: str, read: object):
    assert read(parse(CHAIN, overrides=[override]))


def test_an_option_can_be_given_to_what_has_only_a_name():
    recipe = parse(CHAIN, overrides=["stage.match.tuning=lora", "stage.match.tuning.rank=4"])
    assert recipe.stages[2].tuning == Lora(rank=4)


def test_later_overrides_win_and_the_table_given_is_left_alone():
    table = {"stage": [stage()]}
    assert parse(table, overrides=["seed=2", "seed=3"]).seed == 3
    assert table == {"stage": [stage()]}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "--set seed: expected path=value"),
        (
            "stage.mach.train.epochs=3",
            "--set stage.mach.train.epochs=3: there is no stage mach (did you mean 'match'?); stages: adapt (0), nli (1), match (2)",
        ),
        ("stage[3].seed=3", "--set stage[3].seed=3: there is no stage 3; stages: adapt (0), nli (1), match (2)"),
        ("stage.match=3", "--set stage.match=3: stage.match is a whole stage; name a key in it"),
        (
            "stage.match.from.hidden_size=3",
            '--set stage.match.from.hidden_size=3: stage.match.from is "stage:nli" (a string), which has nothing in it to set',
        ),
        ("stage[a].seed=3", "--set stage[a].seed=3: 'stage[a].seed' is not a path such as seed, stage.NAME.train.epochs or stage[0].train.epochs"),
        ("=3", "--set =3: '' is not a path such as seed, stage.NAME.train.epochs or stage[0].train.epochs"),
        ("sed=3", "sed: unknown key (did you mean 'seed'?); known: seed, data_root, stage"),
    ],
)
def test_overrides_that_lead_nowhere(override: str, message: str):
    assert problems(CHAIN, (override,)) == [message]


def test_an_override_of_an_unknown_option_says_what_it_might_be():
    [found] = problems(CHAIN, ("stage.match.train.epoch=3",))
    assert found.startswith("stage 'match' (stage[2]).train.epoch: unknown key (did you mean 'epochs'?)")


def test_a_key_of_a_stage_outside_of_one_is_told_where_it_belongs():
    [found] = problems(CHAIN, ("train.epochs=3",))
    assert found == "train: a key of a stage; write it below [[stage]], or in --set as stage.NAME.train"


def test_what_is_not_finite_is_told_to_be_that():
    [found] = problems(CHAIN, ("stage.match.train.epochs=inf",))
    assert found.endswith("train.epochs: got inf (a number); it must be a finite number")
    [found] = problems(CHAIN, ("stage.match.train.epochs=1e9",))
    assert found.endswith("train: epochs is 1,000,000,000.0; it must be at most 100,000")


def test_an_override_cannot_smuggle_in_a_second_key():
    assert parse(CHAIN, overrides=["stage.match.data.train=1\nseed = 9"]).seed == 1


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recipe's folder, a data folder and the current folder in it."""
    for file in ("recipes/near.tsv", "data/far.tsv", "current/typed.tsv", "current/data/typed.tsv"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    monkeypatch.chdir(tmp_path / "current")
    return tmp_path


def train_file(here: Path, name: str, *overrides: str, **changes: object) -> str:
    recipe = parse({"stage": [stage(data={"train": name})], **changes}, here / "recipes" / "recipe.toml", overrides)
    assert isinstance(recipe.stages[0].data.train, str)
    return recipe.stages[0].data.train


def test_paths_begin_in_the_folder_of_the_recipe(here: Path):
    assert train_file(here, "near.tsv") == str(here / "recipes/near.tsv")
    assert train_file(here, "../data/far.tsv") == str(here / "data/far.tsv")
    assert train_file(here, "*.tsv") == str(here / "recipes/*.tsv")
    assert train_file(here, "nowhere.tsv") == str(here / "recipes/nowhere.tsv")
    assert train_file(here, "/absolute.tsv") == "/absolute.tsv"


def test_a_path_that_is_only_in_the_current_folder_is_found_there(here: Path):
    assert train_file(here, "typed.tsv") == str(here / "current/typed.tsv")
    assert train_file(here, "typed.*") == str(here / "current/typed.*")


def test_data_root_is_where_data_begins(here: Path):
    assert train_file(here, "far.tsv", data_root="../data") == str(here / "data/far.tsv")
    assert train_file(here, "typed.tsv", "data_root=data", data_root="../data") == str(here / "current/data/typed.tsv")
    assert train_file(here, "hub:owner/name?split=train", data_root="../data") == "hub:owner/name?split=train"


def test_the_vocabulary_of_a_new_model_is_found_with_the_recipe_and_with_the_data(here: Path):
    for name, place in (("near.tsv", "recipes/near.tsv"), ("far.tsv", "data/far.tsv"), ("nowhere.txt", "recipes/nowhere.txt")):
        recipe = {"data_root": "../data", "stage": [stage(**{"from": {"family": "bert", "tokenizer": name}})]}
        [found] = parse(recipe, here / "recipes/recipe.toml").stages
        assert found.start.tokenizer == str(here / place)


def test_data_of_the_package_keeps_its_name(here: Path):
    assert train_file(here, "builtin:reviews/train.tsv", data_root="../data") == "builtin:reviews/train.tsv"


@pytest.mark.parametrize(
    ("name", "start"), [("org/model", "org/model"), ("./model", "recipes/model"), ("../data", "data"), ("near.tsv", "recipes/near.tsv")]
)
def test_a_model_that_is_no_folder_is_a_name_on_the_hub_unless_it_looks_like_a_path(here: Path, name: str, start: str):
    [found] = parse({"stage": [stage(**{"from": name})]}, here / "recipes/recipe.toml").stages
    assert found.start == (start if name == start else str(here / start))


def table(required: dict[str, st.SearchStrategy], optional: dict[str, st.SearchStrategy] | None = None, **fixed: object) -> st.SearchStrategy:
    """Tables with these keys, some of which may be missing."""
    return st.fixed_dictionaries({**{key: st.just(value) for key, value in fixed.items()}, **required}, optional=optional or {})


names = st.from_regex(r"\A[a-z0-9_]{1,8}\Z")
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
shares = st.floats(0.01, 0.99)
labels = st.just([]) | st.lists(texts.filter(str.strip), min_size=2, max_size=3, unique=True)
files = st.sampled_from(["/data/a.tsv", "/data/*.json", "/资料/评论.txt", "hub:owner/name?split=train"])
some_files = files | st.lists(files, min_size=1, max_size=3)
new_model = {"family": "bert", "tokenizer": "/v.txt", "hidden_size": 256, "num_attention_heads": 4, "hidden_act": "relu"}
starts = st.sampled_from(["org/model", "/models/bert"]) | table({}, {"lowercase": st.booleans()}, **new_model)
objectives = table({}, {"unit": st.sampled_from(["token", "word", "ngram"]), "rate": shares, "max_length": st.integers(8, 512)}, name="mlm")
tasks = (
    table({}, {"labels": labels, "max_length": st.integers(8, 512)}, name="pair")
    | table({}, {"labels": labels, "threshold": shares, "separator": st.sampled_from([",", "|", "、", "\t"])}, name="multi_label")
    | table({}, {"minimum": st.floats(-9, 0), "maximum": st.floats(0, 9)}, name="regression")
)
optional_data = {
    "test": some_files,
    "columns": st.dictionaries(names, texts | st.integers(0, 9), max_size=2),
    "encoding": texts,
    "skip_bad_lines": st.booleans(),
}
data = table({"train": some_files}, {"valid": shares | some_files, "format": st.just("tsv"), **optional_data})
trains = table({}, {"epochs": st.floats(0.1, 9), "learning_rate": st.floats(1e-9, 1), "keep": st.sampled_from(["last", "best:f1"])}) | table(
    {"steps": st.integers(1, 10**6)}, {"batch_tokens": st.integers(1, 9999), "patience": st.integers(1, 9)}
)
tunings = table({}, {"rank": st.integers(1, 64), "alpha": st.floats(0.1, 64)}, name="lora") | table(
    {}, {"layers": st.integers(-1, 12)}, name="frozen"
)
common = {"name": names, "from": starts, "data": data}
also = {"tuning": tunings, "train": trains, "seed": st.integers()}
stages = table({**common, "task": tasks}, also) | table({**common, "objective": objectives}, also)
recipes = table({"stage": st.lists(stages, min_size=1, max_size=3, unique_by=lambda stage: stage["name"])}, {"seed": st.integers()})


@given(recipes)
@settings(deadline=None, max_examples=60)
def test_a_recipe_written_out_is_the_same_recipe(recipe: dict[str, object]):
    resolved = parse(recipe)
    assert parse(to_toml(resolved)) == resolved


def test_a_chain_written_out_is_the_same_chain_with_its_defaults():
    recipe = parse(CHAIN)
    text = to_toml(recipe)
    assert parse(text, "/elsewhere/recipe.toml") == recipe
    assert "warmup_rate = 0.1" in text
    assert "epochs = 3.0" not in text, "a stage with steps has no epochs"
