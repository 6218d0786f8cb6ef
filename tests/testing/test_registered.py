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
from bertsmith.tasks import tasks
from bertsmith.testing import Peer, check_family, check_objective, check_task, check_tuning
from bertsmith.testing.tiny import TEXTS, ragged, randomise, tiny_family, tiny_tokenizer
from bertsmith.tuning import tunings

EXAMPLES: dict[str, list[Example]] = {
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
    return set(thing.heads()) <= set(kind.heads) and not thing.misfit(tiny_family(kind))


@pytest.mark.parametrize(("name", "family"), with_heads_for(objectives))
def test_objectives(name: str, family: str):
    check_objective(name, examples=EXAMPLES.get(name), family=family)


@pytest.mark.parametrize(("name", "family"), with_heads_for(tasks))
def test_tasks(name: str, family: str):
    check_task(name, examples=EXAMPLES.get(name), family=family)


@pytest.mark.parametrize("family", [family for family, kind in families.items() if "classification" in kind.heads])
@pytest.mark.parametrize("name", list(tunings))
def test_tunings(name: str, family: str):
    check_tuning(name, family=family)
