"""Tagging against `seqeval` and `transformers`, and on the published data sets."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from seqeval.metrics import classification_report, f1_score, precision_score, recall_score
from seqeval.scheme import IOB2

from bertsmith.core.errors import CheckpointError
from bertsmith.core.types import Batch, Example
from bertsmith.data.dataset import Dataset
from bertsmith.inference.engine import Engine
from bertsmith.models import create, load, save
from bertsmith.tasks.opening import task_of
from bertsmith.tasks.outcome import Outcome
from bertsmith.tasks.tagging import Tagging
from bertsmith.text.tokenizer import Tokenizer
from tests.tasks.sentences import SMALL, TOKENIZER

TYPES = ("LOC", "ORG", "PER")


def tags(generator: np.random.Generator, length: int) -> list[str]:
    """Tags in any order, rules or not."""
    return [str(generator.choice(["O", *(f"{letter}-{label}" for letter in "BI" for label in TYPES)])) for _ in range(length)]


def sentences(count: int, seed: int = 1) -> list[Example]:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, 20, count).tolist()
    return [
        Example({"tokens": list(generator.choice(list("abcdefghij好差"), n)), "tags": tags(generator, n)}, "a.conll", i)
        for i, n in enumerate(lengths, 1)
    ]


def random_outcome(task: Tagging, examples: Sequence[Example], seed: int = 2) -> Outcome:
    """What a model says that is right about every other tag."""
    generator = np.random.default_rng(seed)
    rows = list(task.encode(examples, TOKENIZER))
    outputs: list[np.ndarray] = []
    for row in rows:
        guesses = generator.integers(0, len(task.tags.names), len(row["tags"]))
        numbers = np.where(generator.random(len(guesses)) < 0.7, row["tags"], guesses)
        outputs.append(np.stack([numbers, np.ones(len(numbers))], 1))
    return Outcome(outputs, rows, examples, TOKENIZER)


@pytest.mark.parametrize("max_length", [128, 8])
def test_metrics_are_those_of_seqeval(max_length: int):
    examples = sentences(200)
    task = Tagging(max_length=max_length).fitted(examples)
    outcome = random_outcome(task, examples)
    gold = [list(example["tags"]) for example in examples]
    said = [prediction["tags"] for prediction in task.decode(outcome)]
    measured = task.metrics(outcome)
    assert measured["f1"] == pytest.approx(f1_score(gold, said), abs=1e-12)
    assert measured["precision"] == pytest.approx(precision_score(gold, said), abs=1e-12)
    assert measured["recall"] == pytest.approx(recall_score(gold, said), abs=1e-12)
    assert measured["macro_f1"] == pytest.approx(f1_score(gold, said, average="macro"), abs=1e-12)
    assert measured["strict_f1"] == pytest.approx(f1_score(gold, said, mode="strict", scheme=IOB2), abs=1e-12)
    report = classification_report(gold, said, output_dict=True)
    assert {label: measured[f"f1_{label}"] for label in TYPES} == pytest.approx({label: report[label]["f1-score"] for label in TYPES}, abs=1e-12)
    assert 0.1 < measured["f1"] < 0.9


def saved(task: Tagging, folder: Path) -> Path:
    names = task.output_labels
    checkpoint = create("bert", TOKENIZER, {**SMALL, "initializer_range": 0.5}, {task.head: len(names)}, seed=4)
    table = {"name": "tagging", "labels": list(task.labels), "crf": task.crf, "scheme": task.scheme, "max_length": task.max_length}
    save(replace(checkpoint, labels=names, task=table), folder)
    return folder


@pytest.mark.parametrize("crf", [False, True])
def test_a_folder_opens_there_with_equal_scores_and_here_with_all_of_it(crf: bool, tmp_path: Path):
    task = Tagging(labels=TYPES, crf=crf, scheme="bioes")
    folder = saved(task, tmp_path / "model")
    with warnings.catch_warnings(action="ignore"):
        theirs = transformers.AutoModelForTokenClassification.from_pretrained(folder).eval()
    assert theirs.config.id2label == dict(enumerate(task.tags.names))
    ours = load(str(folder))
    assert ours.stored_heads == {task.head}
    assert ours.labels == task.tags.names
    encoding = TOKENIZER.encode("abc 好 d e f")
    ids = torch.tensor(encoding.input_ids[None].astype(np.int64))
    with torch.no_grad():
        batch = Batch(ids, torch.ones_like(ids), torch.zeros_like(ids))
        scores = ours.model.heads[task.head](ours.model(batch))
        torch.testing.assert_close(scores, theirs(input_ids=ids).logits, atol=1e-5, rtol=0)
    found = task_of(ours, str(folder))
    assert found == task
    if crf:
        chain = ours.model.heads["crf"].get_submodule("chain")
        assert chain.get_parameter("transitions.weight").std() > 0.1


def test_a_folder_with_a_chain_serves_as_the_beginning_of_another_task(tmp_path: Path):
    folder = saved(Tagging(labels=TYPES, crf=True), tmp_path / "model")
    assert load(str(folder), {"classification": 2}).fresh_heads == {"classification"}
    assert load(str(folder), {"crf": 7}).fresh_heads == frozenset()
    assert load(str(folder), {"crf": 5}).fresh_heads == {"crf"}


@pytest.mark.parametrize(
    "names",
    [
        ("O", "B-MISC", "I-MISC", "B-PER", "I-PER"),
        ("B-LOC", "I-LOC", "I-PER", "O"),
        ("O", "U-PER", "B-PER", "I-PER", "L-PER"),
    ],
)
def test_a_model_from_elsewhere_predicts(names: tuple[str, ...], tmp_path: Path):
    config = transformers.BertConfig(
        **SMALL,
        vocab_size=TOKENIZER.vocabulary_size,
        initializer_range=0.5,
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
    )
    torch.manual_seed(3)
    theirs = transformers.BertForTokenClassification(config).eval()
    theirs.save_pretrained(tmp_path)
    TOKENIZER.save(tmp_path)
    engine = Engine.open(tmp_path, precision="float32", device="cpu")
    assert isinstance(engine.task, Tagging)
    assert engine.task.tags.names == names
    [prediction] = engine.predict([Example({"tokens": list("abcdefgh")})])
    assert len(prediction["tags"]) == 8
    with torch.no_grad():
        ids = torch.tensor(TOKENIZER.encode("a b c d e f g h").input_ids[None].astype(np.int64))
        best = theirs(input_ids=ids).logits.softmax(2)
    rows = list(engine.task.encode([Example({"tokens": list("abcdefgh")})], TOKENIZER, labelled=False))
    [output] = engine.outputs(rows)
    chosen = best[0, torch.arange(1, 9), torch.from_numpy(output[:, 0].astype(np.int64))]
    np.testing.assert_allclose(output[:, 1], chosen.numpy(), atol=1e-5)


def test_a_tagger_of_something_else_says_so(tmp_path: Path):
    checkpoint = create("bert", TOKENIZER, SMALL, {"tagging": 3})
    save(replace(checkpoint, labels=("NOUN", "VERB", "X")), tmp_path / "model")
    with pytest.raises(CheckpointError, match="3 outputs"):
        Engine.open(tmp_path / "model")


def read_conll(file: Path, count: int | None = None) -> Iterator[Example]:
    """The plainest reader of a CoNLL file."""
    tokens: list[str] = []
    labels: list[str] = []
    for line in [*file.read_text(encoding="utf-8").split("\n"), ""]:
        cells = line.split("\t") if "\t" in line else line.split(" ")
        if len(cells) == 2 and cells[0]:
            tokens.append(cells[0])
            labels.append(cells[1])
        elif tokens:
            yield Example({"tokens": tokens, "tags": labels}, file.name, 1)
            tokens, labels = [], []
            if count is not None and (count := count - 1) == 0:
                return


@pytest.mark.parametrize(
    ("file", "vocabulary", "count", "most_lost"),
    [
        ("wnut17/train.conll", "google_uncased_en_vocab.txt", 200, 0),
        ("wnut17/test.conll", "google_zh_vocab.txt", 150, 0),
        ("peopledaily/dev.txt", "google_zh_vocab.txt", 150, 0),
    ],
)
def test_every_entity_survives_the_way_to_pieces_and_back(shared_data: Path, file: str, vocabulary: str, count: int, most_lost: int):
    tokenizer = Tokenizer.from_vocabulary(shared_data / "vocab" / vocabulary)
    examples = list(read_conll(shared_data / file, count))
    for scheme in ("bio", "bioes"):
        task = Tagging(scheme=scheme, max_length=64).fitted(examples)
        rows = list(task.encode(examples, tokenizer))
        lost = sum(int(row["lost"][0]) for row in rows)
        assert lost <= most_lost
        outcome = Outcome([np.stack([row["tags"], np.ones(len(row["tags"]))], 1) for row in rows], rows, examples, tokenizer)
        measured = task.metrics(outcome)
        assert measured["recall"] == 1 - lost / sum(len(task.gold(example) or []) for example in examples)
        said = [prediction["tags"] for prediction in task.decode(outcome)]
        assert f1_score([list(example["tags"]) for example in examples], said) == pytest.approx(measured["f1"], abs=1e-12)
    settled = task.settled(Dataset.of(examples))
    assert settled.mended_rows == ()
