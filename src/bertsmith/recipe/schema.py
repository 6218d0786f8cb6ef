"""What a recipe is: a seed and stages, each a value that can be compared, written down and run.

::

    file ──source──▶ table ──schema──▶ Recipe ──checks──▶ (nothing wrong) ──run──▶ folder
                       ▲                  │
                     --set             writing ──▶ the resolved recipe

Objectives, tasks, tunings and training options are dataclasses with schemas of their own (`fields`); here is what holds them together. Whatever is
wrong with the table is found in one reading; what only files can tell is for `checks`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from bertsmith.checkpoint.locate import builtin_models
from bertsmith.core.errors import CheckpointError, RecipeError
from bertsmith.core.fields import Place, as_table, component, construct, converted, shown
from bertsmith.core.literals import kind
from bertsmith.core.registry import nearest
from bertsmith.models.family import families
from bertsmith.objectives.base import Objective, objectives
from bertsmith.recipe.places import Folders
from bertsmith.recipe.source import overridden, read_text, read_toml
from bertsmith.tasks.base import tasks
from bertsmith.tasks.mixture import Mixture
from bertsmith.train.mixing import Mixing
from bertsmith.train.options import TrainOptions
from bertsmith.tuning.base import Tuning, tunings
from bertsmith.tuning.full import Full

STAGE = "stage:"
BUILTIN = "builtin:"

STAGE_KEYS = ("name", "from", "objective", "task", "tuning", "data", "train", "seed", "mixture", "part")
PART_KEYS = ("name", "objective", "task", "data")
RECIPE_KEYS = ("seed", "data_root", "stage")
NAME = re.compile(r"\w[\w-]*")


@dataclass(frozen=True, kw_only=True)
class StageData:
    """The `data` table of a stage.

    Relative paths begin at the recipe's folder, or at `data_root` where the recipe has one.

    Args:
        train: What is trained on: paths, patterns, `hub:owner/name?split=train`, `builtin:NAME/FILE`; one or a list.
        valid: What is evaluated on during training: likewise, or a share of the training data, 0-1, drawn by the stage's seed and with the same share
            of every label; rows about one text (questions about a context) stay together.
        test: What the finished model is evaluated on: likewise, without shares.
        columns: Which column of the files is `text`, `text_pair`, `label`; recognised where they are not given.
        format: Of the files; recognised where it is not given.
        encoding: Of the files.
        skip_bad_lines: Leave out lines that cannot be read, instead of asking for them to be mended.
    """

    train: str | tuple[str, ...]
    valid: str | tuple[str, ...] | float | None = None
    test: str | tuple[str, ...] | None = None
    columns: Mapping[str, str | int] = field(default_factory=dict[str, str | int])
    format: str | None = None
    encoding: str = "utf-8"
    skip_bad_lines: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.valid, int | float) and not 0 < self.valid < 1:
            raise ValueError(f"valid is {self.valid}; a share of the training data lies between 0 and 1")
        for name in ("train", "valid", "test"):
            value = getattr(self, name)
            if value in ("", ()) or (isinstance(value, tuple) and "" in value):
                raise ValueError(f"{name} is empty; it must name at least one file")
            if value == "-" or (isinstance(value, tuple) and "-" in value):
                raise ValueError(f"{name} is standard input, which cannot be read twice; save it to a file")


@dataclass(frozen=True, kw_only=True)
class NewModel:
    """A model with random weights, where a stage's `from` is a table.

    Args:
        family: A registered model family: "bert".
        tokenizer: A folder with a tokenizer, or a `vocab.txt`.
        lowercase: For a `vocab.txt`: whether text is lower-cased.
        config: Further keys of the table, which are those of `config.json`.
    """

    family: str
    tokenizer: str
    lowercase: bool = True
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One training.

    Attributes:
        name: Its folder's name, and what later stages call it.
        start: Where it starts (the key `from`): a folder, a name on the Hub, `builtin:NAME`, `stage:NAME`, or a new model.
        objective: What it trains: a pre-training objective or a task; of a stage with parts, their mixture.
        data: On what; of a stage with parts, what the first of them is trained on.
        tuning: By which technique.
        train: How long, how fast.
        seed: Of everything random in it; the recipe's where it is None.
        parts: Where several objectives are trained together: a stage for each, with the same start, technique and options.
        mixing: How often each of the parts has its turn.
    """

    name: str
    start: str | NewModel
    objective: Objective
    data: StageData
    tuning: Tuning = field(default_factory=Full)
    train: TrainOptions = field(default_factory=TrainOptions)
    seed: int | None = None
    parts: tuple[Stage, ...] = ()
    mixing: Mixing = field(default_factory=Mixing)

    @property
    def singly(self) -> tuple[Stage, ...]:
        """Its parts; the stage itself where it has none."""
        return self.parts or (self,)

    @property
    def earlier(self) -> str | None:
        """The name of the stage that it starts from, if it starts from one."""
        return self.start.removeprefix(STAGE) if isinstance(self.start, str) and self.start.startswith(STAGE) else None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Stages, in the order in which they are run.

    Attributes:
        stages: At least one.
        seed: Of every stage that has none of its own.
    """

    stages: tuple[Stage, ...]
    seed: int = 1

    def place(self, stage: Stage) -> str:
        """Where a stage stands, for messages: `stage 'match' (stage[2])`."""
        return f"stage {stage.name!r} (stage[{self.stages.index(stage)}])"

    def seed_of(self, stage: Stage) -> int:
        """The seed that a stage is run with."""
        return self.seed if stage.seed is None else stage.seed


def read_recipe(file: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe's file; see `parse`."""
    return parse(read_text(file), file, overrides)


def parse(recipe: str | Mapping[str, Any], origin: Path | str = "recipe", overrides: Sequence[str] = ()) -> Recipe:
    """A recipe from its text, or from its table.

    Args:
        recipe: TOML, or what it stands for.
        origin: Its file; relative paths in it begin in that file's folder, and messages name it.
        overrides: `path=value`, as `--set` takes them: `seed=2`, `stage.match.train.epochs=3`, `stage[0].tuning=lora`; no value takes a key away.

    Raises:
        RecipeError: Lists everything that is wrong with it, each with its path.

    Example:
        >>> text = '''
        ... [[stage]]
        ... name = "match"
        ... from = "hfl/chinese-roberta-wwm-ext"
        ... task = { name = "single" }
        ... data = { train = "/data/train.tsv" }
        ... '''
        >>> parse(text, overrides=["stage.match.train.epochs=2"]).stages[0].train.epochs
        2.0
    """
    problems: list[str] = []
    table = overridden(read_toml(recipe, str(origin)) if isinstance(recipe, str) else recipe, overrides, problems)
    made = _recipe(table, Path(origin).expanduser().absolute().parent, Place("", problems))
    if problems:
        raise RecipeError(f"{origin}: {len(problems)} {'things are' if len(problems) > 1 else 'thing is'} wrong", problems)
    assert made is not None, "a recipe that cannot be made has a problem that was noted"
    return made


def _recipe(table: Mapping[str, Any], folder: Path, place: Place) -> Recipe | None:
    misplaced = [name for name in table if name in STAGE_KEYS and name not in RECIPE_KEYS]
    for name in misplaced:
        place.at(name).wrong(f"a key of a stage; write it below [[stage]], or in --set as stage.NAME.{name}")
    _note_unknown({name: value for name, value in table.items() if name not in misplaced}, RECIPE_KEYS, place)
    seed = _value(int, table, "seed", 1, place)
    root = _value(str, table, "data_root", "", place)
    folders = Folders.of(folder, root or "")
    listed: Any = table.get("stage", [])
    if not isinstance(listed, list) or not listed:
        place.at("stage").wrong("there is none; write at least one [[stage]]" if not listed else "write [[stage]], in two pairs of brackets")
        return None
    stages = [_stage(item, _stage_place(item, number, place), folders) for number, item in enumerate(listed)]
    _note_wrong_order(listed, place)
    return None if None in stages or seed is None else Recipe(seed=seed, stages=tuple(stage for stage in stages if stage is not None))


def _stage(value: Any, place: Place, folders: Folders) -> Stage | None:
    table = as_table(value, place)
    if table is None:
        return None
    _note_unknown(table, STAGE_KEYS, place)
    name = _value(str, table, "name", None, place)
    if name is not None and not NAME.fullmatch(name):
        place.at("name").wrong(f"got {shown(name)}; it becomes a folder's name: letters, digits, _ and -")
    start = _start(table, place.at("from"), folders)
    trained = _parts(table, place, folders) if "part" in table else _alone(table, place, folders)
    tuning = component(tunings, table.get("tuning", "full"), place.at("tuning"))
    train = _train(table, place.at("train"))
    mixing = _mixing(table, place.at("mixture")) if "part" in table else Mixing()
    seed = _value(int, table, "seed", None, place) if "seed" in table else None
    if name is None or start is None or tuning is None or train is None or trained is None or mixing is None:
        return None
    made = [Stage(name=part, start=start, objective=one, data=data, tuning=tuning, train=train, seed=seed) for part, one, data in trained]
    if "part" not in table:
        return replace(made[0], name=name)
    mixture = Mixture(parts={part.name: part.objective for part in made})
    return replace(made[0], name=name, objective=mixture, parts=tuple(made), mixing=mixing)


def _alone(table: Mapping[str, Any], place: Place, folders: Folders) -> list[tuple[str, Objective, StageData]] | None:
    """What an ordinary stage trains, and on what."""
    if "mixture" in table:
        place.at("mixture").wrong("there is nothing to mix: write at least two [[stage.part]], each with a name, a task or an objective, and data")
    objective, data = _objective(table, place), _data(table, place.at("data"), folders)
    return None if objective is None or data is None else [("", objective, data)]


def _parts(table: Mapping[str, Any], place: Place, folders: Folders) -> list[tuple[str, Objective, StageData]] | None:
    """What a stage with parts trains, and on what."""
    for key in ("objective", "task", "data"):
        if key in table:
            place.at(key).wrong("the stage has parts; write it below one of [[stage.part]]")
    listed: Any = table["part"]
    if not isinstance(listed, list) or len(listed) < 2:
        place.at("part").wrong("write [[stage.part]], in two pairs of brackets, at least twice")
        return None
    made = [_part(item, place.at("part").at(number), folders) for number, item in enumerate(listed)]
    names = _part_names(table)
    for number, name in enumerate(names):
        if name is not None and name in names[:number]:
            place.at("part").at(number).at("name").wrong(f"part[{names.index(name)}] has the name {name!r} already")
    return None if None in made else [part for part in made if part is not None]


def _part(value: Any, place: Place, folders: Folders) -> tuple[str, Objective, StageData] | None:
    table = as_table(value, place)
    if table is None:
        return None
    _note_unknown(table, PART_KEYS, place)
    name = _value(str, table, "name", None, place)
    if name is not None and not NAME.fullmatch(name):
        place.at("name").wrong(f"got {shown(name)}; it becomes a folder's name: letters, digits, _ and -")
    objective, data = _objective(table, place), _data(table, place.at("data"), folders)
    return None if name is None or objective is None or data is None else (name, objective, data)


def _part_names(table: Mapping[str, Any]) -> list[Any]:
    """The names of a stage's parts, whatever they are; None for one without a name."""
    listed: Any = table["part"]
    return [part.get("name") if isinstance(part, Mapping) else None for part in (listed if isinstance(listed, list) else ())]


def _mixing(table: Mapping[str, Any], place: Place) -> Mixing | None:
    """How the parts of a stage have their turns; looked at even where a part is wrong."""
    given = as_table(table.get("mixture", {}), place)
    if given is None:
        return None
    weights: Any = given.get("weights")
    names = [name for name in _part_names(table) if isinstance(name, str)]
    for name in weights if isinstance(weights, Mapping) else ():
        if name not in names:
            place.at("weights").at(name).wrong(f"no part has this name{nearest(name, names)}; parts: {', '.join(names)}")
    return construct(Mixing, given, place)


def _stage_place(value: Any, number: int, place: Place) -> Place:
    here = place.at("stage").at(number)
    name: Any = value.get("name") if isinstance(value, Mapping) else None
    return Place(f"stage {name!r} ({here.path})", place.problems) if isinstance(name, str) else here


def _start(table: Mapping[str, Any], place: Place, folders: Folders) -> str | NewModel | None:
    value: Any = table.get("from")
    if isinstance(value, Mapping):
        return _new_model(value, place, folders)
    if not isinstance(value, str) or not value:
        got = "missing" if value is None else f"got {shown(value)} ({kind(value)})"
        place.wrong(f"{got}; it must be a folder, a name on the Hub, {BUILTIN}NAME, {STAGE}NAME, or the table of a new model")
        return None
    name = value.removeprefix(BUILTIN)
    if name != value and name not in builtin_models():
        place.wrong(f"no built-in model {name!r}{nearest(name, builtin_models())}; there are: {', '.join(builtin_models()) or 'none'}")
    return value if value.startswith((STAGE, BUILTIN)) else folders.model(value)


def _new_model(table: Mapping[str, Any], place: Place, folders: Folders) -> NewModel | None:
    ours = {item.name for item in fields(NewModel)} - {"config"}
    model = construct(NewModel, {name: value for name, value in table.items() if name in ours}, place)
    if model is None:
        return None
    if model.family not in families:
        place.at("family").wrong(f"unknown model family {model.family!r}{nearest(model.family, families)}; known: {', '.join(families)}")
        return None
    config = {name: value for name, value in table.items() if name not in ours}
    if construct(families[model.family], config, place, sorted(ours)) is not None:
        try:
            families[model.family].from_config(config)
        except CheckpointError as error:
            for problem in error.problems:
                place.wrong(problem)
    return NewModel(family=model.family, tokenizer=folders.tokenizer(model.tokenizer), lowercase=model.lowercase, config=config)


def _objective(table: Mapping[str, Any], place: Place) -> Objective | None:
    given = [key for key in ("objective", "task") if key in table]
    if len(given) != 1:
        place.wrong("objective and task are both given; a stage has one of them" if given else "give an objective or a task")
        return None
    objective: Objective | None = component(tasks if given == ["task"] else objectives, table[given[0]], place.at(given[0]))
    return objective


def _data(table: Mapping[str, Any], place: Place, folders: Folders) -> StageData | None:
    if "data" not in table:
        place.wrong('missing; write data = { train = "FILE" }')
        return None
    given = as_table(table["data"], place)
    made = construct(StageData, given, place) if given is not None else None
    if made is None:
        return None
    valid = folders.files(made.valid) if isinstance(made.valid, str | tuple) else made.valid
    return replace(made, train=folders.files(made.train), valid=valid, test=None if made.test is None else folders.files(made.test))


def _train(table: Mapping[str, Any], place: Place) -> TrainOptions | None:
    given = as_table(table.get("train", {}), place)
    if given is None:
        return None
    if {"epochs", "steps"} <= given.keys():
        place.wrong("epochs and steps are both given; a training has one length: leave one of them out (--set PATH= takes one away)")
    return construct(TrainOptions, given, place)


def _note_unknown(table: Mapping[str, Any], known: Sequence[str], place: Place) -> None:
    for key in table:
        if key not in known:
            place.at(key).wrong(f"unknown key{nearest(key, known)}; known: {', '.join(known)}")


def _note_wrong_order(stages: Sequence[Any], place: Place) -> None:
    """Stages of one name, and stages that start from what is not there yet."""
    names = [stage.get("name") if isinstance(stage, Mapping) else None for stage in stages]
    for number, stage in enumerate(stages):
        here = _stage_place(stage, number, place)
        if names[number] is not None and names[number] in names[:number]:
            here.at("name").wrong(f"stage[{names.index(names[number])}] has the name {names[number]!r} already")
        start: Any = stage.get("from") if isinstance(stage, Mapping) else None
        if isinstance(start, str) and start.startswith(STAGE) and (wanted := start.removeprefix(STAGE)) not in names[:number]:
            earlier = [str(name) for name in names[:number] if name is not None]
            here.at("from").wrong(
                f"{start!r} {_why_not(wanted, names, number)}{nearest(wanted, earlier)}; earlier stages: {', '.join(earlier) or 'none'}"
            )


def _why_not(wanted: str, names: Sequence[Any], number: int) -> str:
    if wanted == names[number]:
        return "is this stage itself"
    return "comes later" if wanted in names else "names no stage"


def _value(hint: type[Any], table: Mapping[str, Any], key: str, default: Any, place: Place) -> Any | None:
    """One value of a table that is not a dataclass; None where it is wrong, or missing without a default."""
    if key not in table:
        if default is None:
            place.at(key).wrong("missing")
        return default
    try:
        return converted(hint, table[key])
    except ValueError as error:
        place.at(key).wrong(str(error))
        return None
