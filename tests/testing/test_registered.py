"""Everything that is registered conforms; being registered brings these tests along."""

from pathlib import Path

import pytest
import torch
import transformers

from bertsmith.core.types import Example
from bertsmith.models import families
from bertsmith.objectives import objectives
from bertsmith.tasks import tasks
from bertsmith.testing import Peer, check_family, check_objective, check_task, check_tuning
from bertsmith.testing.tiny import SIZES, ragged, randomise, tiny_family, tiny_tokenizer
from bertsmith.tuning import tunings

EXAMPLES: dict[str, list[Example]] = {}
"""Labelled data for tasks that need other columns than text, text_pair and label."""


@pytest.fixture(params=list(families))
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Peer:
    """The same family in `transformers`, found by its model_type."""
    config = transformers.AutoConfig.for_model(request.param, **SIZES)
    model = transformers.AutoModel.from_config(config).eval()
    randomise(model)
    model.save_pretrained(tmp_path)
    family = tiny_family(
        families[request.param], {key: value for key, value in config.to_dict().items() if key in families[request.param].__dataclass_fields__}
    )
    tiny_tokenizer(family, ()).save(tmp_path)
    batch = ragged(family)
    with torch.no_grad():
        output = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, token_type_ids=batch.token_type_ids)
    return Peer(tmp_path, batch, output.last_hidden_state, {"pooler": output.pooler_output})


def test_families(peer: Peer):
    check_family(transformers.AutoConfig.from_pretrained(peer.folder).model_type, peers=[peer])


@pytest.mark.parametrize("family", list(families))
@pytest.mark.parametrize("name", list(objectives))
def test_objectives(name: str, family: str):
    check_objective(name, examples=EXAMPLES.get(name), family=family)


@pytest.mark.parametrize("family", list(families))
@pytest.mark.parametrize("name", list(tasks))
def test_tasks(name: str, family: str):
    check_task(name, examples=EXAMPLES.get(name), family=family)


@pytest.mark.parametrize("family", list(families))
@pytest.mark.parametrize("name", list(tunings))
def test_tunings(name: str, family: str):
    check_tuning(name, family=family)
