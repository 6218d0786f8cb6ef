"""What every tuning technique must be able to do."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from bertsmith.core.types import Batch
from bertsmith.models.family import Model, families
from bertsmith.models.loading import Checkpoint, load, save
from bertsmith.tasks.single import SingleSentence
from bertsmith.testing.expectations import expect, expect_close, expect_same_weights
from bertsmith.testing.objective import trained
from bertsmith.testing.tiny import LABELS, ragged, tiny_family, tiny_model, tiny_tokenizer, without_dropout
from bertsmith.tuning.base import Tuning, tunings

LEARNING_RATE, WEIGHT_DECAY = 0.01, 0.1


def check_tuning(tuning: str | type[Tuning] | Tuning, *, family: str = "bert") -> None:
    """Check that a tuning technique keeps what the training loop relies on.

    It is registered; what it draws at random depends on torch's seed; every weight that is to be trained is in exactly one group, with a learning
    rate, and no other is; biases and norms are not decayed; training lowers the loss, changes what is in the groups and nothing else; and what is
    left behind is an ordinary model that computes the same and opens again with the same bits.

    Args:
        tuning: A registered name, a class that can be made without arguments, or an instance.
        family: The family of the model it is tried on.

    Raises:
        AssertionError: Says what does not hold.

    Example:
        >>> check_tuning("full")
    """
    kind = tunings[tuning] if isinstance(tuning, str) else tuning
    checked = kind() if isinstance(kind, type) else kind
    name = type(checked).__name__
    expect(checked.name in tunings and tunings[checked.name] is type(checked), f"{name} is not registered as {checked.name!r}, its name")
    tiny = without_dropout(tiny_family(families[family]))
    model, same = (tiny_model(tiny, {"classification": LABELS}) for _ in range(2))
    for one in (model, same):
        torch.manual_seed(5)
        checked.apply(one)
    expect_same_weights(same, model, f"{name}, applied twice from one seed")
    _check_groups(checked, model)
    _check_training(checked, model, _batch(model))
    _check_finish(checked, model, _batch(model))


def _batch(model: Model) -> Batch:
    batch = ragged(model.family)
    labels = torch.arange(len(batch.input_ids))[:, None] % LABELS
    return Batch(batch.input_ids, batch.attention_mask, batch.token_type_ids, {"label": labels}, {"single": len(labels)})


def _check_groups(tuning: Tuning, model: Model) -> None:
    name = type(tuning).__name__
    names = {id(weight): weight_name for weight_name, weight in model.named_parameters()}
    groups = tuning.parameter_groups(model, LEARNING_RATE, WEIGHT_DECAY)
    grouped = [weight for group in groups for weight in group["params"]]
    foreign = sum(id(weight) not in names for weight in grouped)
    expect(not foreign, f"{name}: {foreign} of the weights in its groups are not the model's")
    twice = sorted({names[id(weight)] for weight in grouped if sum(other is weight for other in grouped) > 1})
    expect(not twice, f"{name}: {twice} are in several groups")
    found = {names[id(weight)] for weight in grouped}
    wanted = {weight_name for weight_name, weight in model.named_parameters() if weight.requires_grad}
    expect(found == wanted, f"{name}: left out of the groups: {sorted(wanted - found)}; in them, but not to be trained: {sorted(found - wanted)}")
    expect(any(weight_name.startswith("heads.") for weight_name in found), f"{name}: the head is not trained")
    for group in groups:
        shown = {key: value for key, value in group.items() if key != "params"}
        expect(0 < group["lr"] <= LEARNING_RATE, f"{name}: a group has the learning rate {group['lr']}; asked for was {LEARNING_RATE}: {shown}")
        decayed = [names[id(weight)] for weight in group["params"] if weight.ndim < 2 and group["weight_decay"]]
        expect(not decayed, f"{name}: biases and norms are decayed: {decayed}")


def _check_training(tuning: Tuning, model: Model, batch: Batch) -> None:
    name = type(tuning).__name__
    before = {weight_name: weight.detach().clone() for weight_name, weight in model.named_parameters()}
    task = SingleSentence(labels=tuple("abcdefgh"[:LABELS]))
    first, last = trained(task, model, batch, tuning.parameter_groups(model, LEARNING_RATE, WEIGHT_DECAY))
    expect(last < 0.9 * first, f"{name}: training brings the loss from {first:.4g} to {last:.4g} only")
    changed = {weight_name for weight_name, weight in model.named_parameters() if not torch.equal(weight, before[weight_name])}
    resting = {weight_name for weight_name, weight in model.named_parameters() if not weight.requires_grad}
    expect(not changed & resting, f"{name}: these were to rest, and changed: {sorted(changed & resting)}")
    unchanged = before.keys() - changed - resting
    expect(not unchanged, f"{name}: these were to be trained, and stayed as they were: {sorted(unchanged)}")


def _check_finish(tuning: Tuning, model: Model, batch: Batch) -> None:
    name = type(tuning).__name__
    expected = _scores(model, batch)
    left = copy.deepcopy(model)
    with tempfile.TemporaryDirectory() as place:
        tuning.finish(left, Path(place) / "run", "builtin:nothing")
        expect_close(_scores(left, batch), expected, f"{name}: scores before and after finish()", 1e-4)
        ordinary = model.family.build_model({"classification": LABELS}).state_dict().keys()
        odd = sorted(left.state_dict().keys() ^ ordinary)
        expect(not odd, f"{name}: finish() does not leave an ordinary model behind: {odd}")
        save(Checkpoint(left, tiny_tokenizer(model.family, ())), Path(place) / "model")
        expect_same_weights(load(str(Path(place) / "model")).model, left, f"{name}, saved and opened")


def _scores(model: Model, batch: Batch) -> Tensor:
    with torch.no_grad():
        return model.heads["classification"](model.eval()(batch))
