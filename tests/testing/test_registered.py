"""Everything that is registered conforms; being registered brings these tests along."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from bertsmith.core.registry import Registry
from bertsmith.core.types import Batch, Example
from bertsmith.models import families
from bertsmith.models.family import Family
from bertsmith.objectives import objectives
from bertsmith.tasks import Task, tasks
from bertsmith.tasks.similarity import Similarity
from bertsmith.tasks.text_to_text import TextToText
from bertsmith.testing import Peer, check_family, check_objective, check_task, check_tuning
from bertsmith.testing.tiny import TEXTS, ragged, randomise, tiny_family, tiny_tokenizer
from bertsmith.tuning import tunings


def _answers(context: str, answer: str) -> list[dict[str, Any]]:
    return [{"text": answer, "start": context.index(answer)}] if answer else []


QUESTIONS = {
    "谁写了这本书?": ("这本书是王先生写的,在北京。", "王先生"),
    "书在哪里?": ("这本书是王先生写的,在北京。", "北京"),
    "Who came?": ("It rained; nobody came to the game.", "nobody"),
    "Why?": ("It rained; nobody came to the game.", ""),
}

CHOICES = [
    ("谁去公园?", ["她", "我们"], "我们今天去公园散步。", 1),
    ("How was it?", ["long", "short", "sunny"], None, "long"),
    ("她在哪里读书?", ["北京", "公园", "家里", "上海"], "她在北京读书。", 0),
    ("Who came?", ["nobody", "all of us"], "It rained.", 0),
]

EXAMPLES: dict[str, list[Example]] = {
    "text_to_text": [Example({"text": text[:20], "target": text[4:12]}, "train.tsv", number) for number, text in enumerate(TEXTS, 1)],
    "extractive_qa": [
        Example({"question": question, "context": context, "answers": _answers(context, answer)}, "train.json", number)
        for number, (question, (context, answer)) in enumerate(QUESTIONS.items(), 1)
    ],
    "tagging": [
        Example({"tokens": ["我", "在", "New", "York"], "tags": ["O", "O", "B-LOC", "I-LOC"]}, "train.conll", 1),
        Example(
            {"text": "Ann lives in 北京.", "entities": [{"start": 0, "end": 3, "label": "PER"}, {"start": 13, "end": 15, "label": "LOC"}]},
            "train.jsonl",
            1,
        ),
        Example({"tokens": ["nobody", "came"], "tags": ["O", "O"]}, "train.conll", 6),
        Example({"text": "王小明 saw Rome " * 40, "entities": [{"start": 0, "end": 3, "label": "PER"}]}, "train.jsonl", 2),
    ],
    "multiple_choice": [
        Example({"question": question, "choices": choices, "context": context, "label": label}, "choices.jsonl", number)
        for number, (question, choices, context, label) in enumerate(CHOICES, 1)
    ],
    "embedding": [
        Example(
            {"text": text, "text_pair": TEXTS[-1 - number], "label": 1, "negative": ["A good book", "很好"][: number % 3]}, "train.tsv", number + 1
        )
        for number, text in enumerate(TEXTS)
    ],
    "similarity": [  # no pair comes twice, the other way round, with another number
        Example({"text": text, "text_pair": TEXTS[number - 1], "label": number % 3}, "train.tsv", number + 1) for number, text in enumerate(TEXTS)
    ],
}
"""Labelled data for tasks that need other columns than text, text_pair and label."""

QUICK: dict[str, Task] = {"text_to_text": TextToText(max_new_tokens=10, beams=2), "similarity": Similarity(temperature=0.5)}
"""Tasks whose defaults take long, or are too steep for the large steps that tiny models are trained with."""


@pytest.fixture(params=list(families))
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Peer:
    """The same family in `transformers`, found by its model_type."""
    kind = families[request.param]
    family = tiny_family(kind)
    config = transformers.AutoConfig.for_model(request.param, **dataclasses.asdict(family))
    model = transformers.AutoModel.from_config(config).eval()
    randomise(model)
    model.save_pretrained(tmp_path)
    tiny_tokenizer(family, ()).save(tmp_path)
    batch = ragged(family)
    with torch.no_grad():
        output = model(**_inputs(kind, batch))
    return Peer(tmp_path, batch, output.last_hidden_state, {"pooler": output.pooler_output} if "pooler" in kind.heads else {})


def _inputs(kind: type[Family], batch: Batch) -> dict[str, Tensor]:
    """What a peer of the family is given."""
    given = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    if batch.target is not None:
        given |= {"decoder_input_ids": batch.target.input_ids, "decoder_attention_mask": batch.target.attention_mask}
    return {**given, "token_type_ids": batch.token_type_ids} if "type_vocab_size" in kind.__dataclass_fields__ else given


def test_families(peer: Peer):
    check_family(transformers.AutoConfig.from_pretrained(peer.folder).model_type, peers=[peer])


def with_heads_for(kinds: Registry[type[Any]]) -> list[tuple[str, str]]:
    """Every pair of what is registered and a family that has the heads it asks for, and is of use to it."""
    return [(name, family) for name in kinds for family, kind in families.items() if _suits(kinds[name](), kind)]


def _suits(thing: Any, kind: type[Family]) -> bool:
    return set(thing.heads()) <= set(kind.heads) and all(option for option, _ in thing.misfits(tiny_family(kind)))


@pytest.mark.parametrize(("name", "family"), with_heads_for(objectives))
def test_objectives(name: str, family: str):
    check_objective(name, examples=EXAMPLES.get(name), family=family)


@pytest.mark.parametrize(("name", "family"), with_heads_for(tasks))
def test_tasks(name: str, family: str):
    check_task(QUICK.get(name, name), examples=EXAMPLES.get(name), family=family)


@pytest.mark.parametrize("family", [family for family, kind in families.items() if "classification" in kind.heads])
@pytest.mark.parametrize("name", list(tunings))
def test_tunings(name: str, family: str):
    check_tuning(name, family=family)
