"""Everything that is registered conforms; being registered brings these tests along."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from bertsmith.core.registry import Registry
from bertsmith.core.types import Batch, Example
from bertsmith.models import families
from bertsmith.objectives import objectives
from bertsmith.tasks import tasks
from bertsmith.testing import Peer, check_family, check_objective, check_task, check_tuning
from bertsmith.testing.tiny import ragged, randomise, tiny_family, tiny_tokenizer
from bertsmith.tuning import tunings

EXAMPLES: dict[str, list[Example]] = {}
"""Labelled data for tasks that need other columns than text, text_pair and label."""


@pytest.fixture(params=list(families))
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Peer:
    """The same family in `transformers`, found by its model_type."""
    kind = families[request.param]
    tiny = tiny_family(kind).to_config()
    known = transformers.AutoConfig.for_model(request.param)
    config = transformers.AutoConfig.for_model(
        request.param, **{key: value for key, value in tiny.items() if hasattr(known, key) and key != "model_type"}
    )
    model = transformers.AutoModel.from_config(config).eval()
    randomise(model)
    model.save_pretrained(tmp_path)
    family = kind.from_config({key: value for key, value in config.to_dict().items() if key in kind.__dataclass_fields__})
    tiny_tokenizer(family, ()).save(tmp_path)
    batch = ragged(family)
    with torch.no_grad():
        output = model(**_inputs(batch))
    pooled = getattr(output, "pooler_output", None)
    return Peer(tmp_path, batch, output.last_hidden_state, {} if pooled is None else {"pooler": pooled})


def _inputs(batch: Batch) -> dict[str, Tensor]:
    """What a peer is given; GPT-2 would take segments for tokens, and models without segments know no such input."""
    given = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    if batch.target is not None:
        given |= {"decoder_input_ids": batch.target.input_ids, "decoder_attention_mask": batch.target.attention_mask}
    return {**given, "token_type_ids": batch.token_type_ids} if batch.token_type_ids.any() else given


def test_families(peer: Peer):
    check_family(transformers.AutoConfig.from_pretrained(peer.folder).model_type, peers=[peer])


def _fitting(things: Registry[Any]) -> list[tuple[str, str]]:
    """Every objective or task with every family that has the heads for it."""
    return [(name, family) for name in things for family in families if things[name]().heads().keys() <= families[family].heads.keys()]


@pytest.mark.parametrize(("name", "family"), _fitting(objectives))
def test_objectives(name: str, family: str):
    check_objective(name, examples=EXAMPLES.get(name), family=family)


@pytest.mark.parametrize(("name", "family"), _fitting(tasks))
def test_tasks(name: str, family: str):
    check_task(name, examples=EXAMPLES.get(name), family=family)


@pytest.mark.parametrize("family", [family for family in families if "classification" in families[family].heads])
@pytest.mark.parametrize("name", list(tunings))
def test_tunings(name: str, family: str):
    check_tuning(name, family=family)
