"""The checks themselves: each finds what it is for, and says so."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bertsmith.checkpoint.weights import WeightTable
from bertsmith.core.registry import Registry
from bertsmith.core.types import Batch, Example
from bertsmith.layers.attention import Sight
from bertsmith.layers.decoder import DecoderBlock
from bertsmith.layers.embeddings import Embeddings
from bertsmith.models.bert import Bert
from bertsmith.models.family import Family, Head, families
from bertsmith.models.marian import Marian
from bertsmith.models.sequence_to_sequence import language_model
from bertsmith.objectives import objectives
from bertsmith.objectives.mlm import MaskedLanguageModel
from bertsmith.tasks import tasks
from bertsmith.tasks.embedding import Embedding
from bertsmith.tasks.single import SingleSentence
from bertsmith.testing import Peer, check_family, check_objective, check_task, check_tuning
from bertsmith.testing.expectations import expect_close, expect_error
from bertsmith.testing.tiny import TEXTS, ragged, tiny_family
from bertsmith.tuning import tunings
from bertsmith.tuning.full import Full
from bertsmith.tuning.lora import Lora

Change = dict[str, Any]


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Callable[[Registry[Any], type[Any], Change], Any]:
    """A registered class with some members changed, registered in its place for the length of a test."""

    def change(registry: Registry[Any], kind: type[Any], members: Change) -> Any:
        changed = dataclass(frozen=True, kw_only=True)(type(kind.__name__, (kind,), {"__module__": __name__, "__doc__": kind.__doc__, **members}))
        monkeypatch.setitem(registry._things, changed.model_type if registry is families else changed.name, changed)
        monkeypatch.setitem(globals(), kind.__name__, changed)  # where pickle looks for it
        return changed

    return change


class Scaled(nn.Module):
    """A head with a weight of its own that reinitialising does not know."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(hidden))

    def forward(self, encoded: Any) -> torch.Tensor:
        return encoded.first() * self.scale


class Forgetful(Embeddings):
    """Leaves out the segments."""

    def forward(self, batch: Batch, layout: Any, token_embeddings: Any = None) -> torch.Tensor:
        return self.norm(self.token(layout.pack(batch.input_ids)) + self.position(layout.pack(self.positions(batch.input_ids))))


class Peeping(Embeddings):
    """Lets every token see how wide the batch is."""

    def forward(self, batch: Batch, layout: Any, token_embeddings: Any = None) -> torch.Tensor:
        return super().forward(batch, layout, token_embeddings) * (1 + batch.input_ids.shape[1])


class Noisy(Embeddings):
    """Drops out always."""

    def forward(self, batch: Batch, layout: Any, token_embeddings: Any = None) -> torch.Tensor:
        return nn.functional.dropout(super().forward(batch, layout, token_embeddings), 0.5, training=True)


def embeddings_of(kind: type[Embeddings], **changes: Any) -> Callable[[Bert], Embeddings]:
    def embeddings(family: Bert) -> Embeddings:
        sizes: dict[str, Any] = {"vocabulary": family.vocab_size, "hidden": family.hidden_size, "segments": family.type_vocab_size}
        more = {"max_positions": family.max_position_embeddings, "epsilon": family.layer_norm_eps, "dropout": family.hidden_dropout_prob}
        return kind(**{**sizes, **more, **changes})

    return embeddings


def table(**rules: str) -> WeightTable:
    return WeightTable({**Bert.weights.rules, **{f"embeddings.{name}.{{}}": f"bert.embeddings.{theirs}.{{}}" for name, theirs in rules.items()}})


def without(name: str) -> WeightTable:
    return WeightTable({ours: theirs for ours, theirs in Bert.weights.rules.items() if name not in ours})


def lenient(cls: type[Family], config: Mapping[str, Any], origin: str = "") -> Family:
    fields = {field.name for field in dataclasses.fields(cls)}
    return cls(**{key: value for key, value in config.items() if key in fields})


SCALED = Head(lambda family, _, __: Scaled(family.hidden_size), WeightTable({"scale": "scaled.scale"}), "BertScaled", labelled=False)

FAMILIES: dict[str, tuple[Change, str]] = {
    "a weight without a name": ({"weights": without("segment")}, r"no published name for \['backbone.embeddings.segment.weight'\]"),
    "two weights of one name": (
        {"weights": table(segment="position_embeddings")},
        r"two weights have one published name: \['bert.embeddings.position",
    ),
    "a configuration that is not read": ({"from_config": classmethod(lenient)}, "a configuration with two mistakes: nothing was raised"),
    "another model_type in the file": (
        {"to_config": lambda self: {**dataclasses.asdict(self), "model_type": "brt"}},
        "gives the model_type 'brt', not 'bert'",
    ),
    "an embedding that is not used": ({"embeddings": embeddings_of(Forgetful)}, r"no gradient reaches \['backbone.embeddings.segment.weight'\]"),
    "a weight that stays uninitialised": ({"heads": {"scaled": SCALED}}, r"reinitialise\(\) does not reach \['heads.scaled.scale'\]"),
    "dropout at the wrong time": ({"embeddings": embeddings_of(Noisy)}, "in evaluation mode, the same input gives different results"),
    "padding that counts": ({"embeddings": embeddings_of(Peeping)}, "they differ by up to"),
    "a wrong longest length": ({"max_length": property(lambda self: 99)}, "max_length of the family is 99, that of its embeddings 64"),
    "positions that run out": (
        {"embeddings": embeddings_of(Embeddings, max_positions=64, reserved_positions=-1), "max_length": property(lambda self: 65)},
        None,
    ),
}


@pytest.mark.parametrize("what", FAMILIES)
def test_what_is_wrong_with_a_family_is_found(what: str, registered: Any):
    change, message = FAMILIES[what]
    kind = registered(families, Bert, {"heads": {"pooler": Bert.heads["pooler"]}, **change})
    with pytest.raises((AssertionError, IndexError), match=message):
        check_family(kind)


MARIAN = Marian


def seeing_ahead(family: Marian) -> DecoderBlock:
    block = MARIAN.decoder_block(family)
    block.attention.sight = Sight()
    return block


SEQUENCE_TO_SEQUENCE: dict[str, tuple[Change, str]] = {
    "a decoder that sees ahead": ({"decoder_block": seeing_ahead}, "states step by step and all at once: they differ"),
    "a decoder with an embedding of its own": (
        {"embeddings": lambda family, _: MARIAN.embeddings(family, family.vocab_size)},
        r"no published name for \['backbone.decoder.embeddings.token.weight'\]",
    ),
    "a bias that is not saved": ({"heads": {"lm": Head(language_model("").build, WeightTable({}), "MarianMTModel", labelled=False)}}, "no published"),
}


@pytest.mark.parametrize("what", SEQUENCE_TO_SEQUENCE)
def test_what_is_wrong_with_a_family_that_has_a_decoder_is_found(what: str, registered: Any):
    change, message = SEQUENCE_TO_SEQUENCE[what]
    with pytest.raises(AssertionError, match=message):
        check_family(registered(families, MARIAN, change))


def test_a_family_that_is_not_registered_is_no_family():
    with pytest.raises(AssertionError, match="is not registered as 'nobody', its model_type"):
        check_family(dataclass(frozen=True, kw_only=True)(type("Nobody", (Bert,), {"model_type": "nobody"})))


def test_a_peer_that_computes_something_else_is_found(tmp_path: Path):
    from bertsmith.models import Checkpoint, save
    from bertsmith.testing.tiny import tiny_model, tiny_tokenizer

    family = tiny_family(Bert)
    model, batch = tiny_model(family, {"pooler": 0}), ragged(family)
    save(Checkpoint(model, tiny_tokenizer(family, ())), tmp_path / "peer")
    with torch.no_grad():
        encoded = model(batch)
        states, pooled = encoded.padded(), model.heads["pooler"](encoded)
    check_family("bert", peers=[Peer(tmp_path / "peer", batch, states, {"pooler": pooled})])
    with pytest.raises(AssertionError, match=r"peer: states, ours and the peer's: they differ by up to 0\.001"):
        check_family("bert", peers=[Peer(tmp_path / "peer", batch, states + 1e-3)])
    with pytest.raises(AssertionError, match="peer: scores of the head 'pooler'"):
        check_family("bert", peers=[Peer(tmp_path / "peer", batch, states, {"pooler": pooled + 1e-3})])
    with pytest.raises(AssertionError, match="the head 'nsp' was not found in it"):
        check_family("bert", peers=[Peer(tmp_path / "peer", batch, states, {"nsp": pooled})])


MLM = MaskedLanguageModel
counter = iter(range(10**9))


def _fields(self: MLM, examples: Any, tokenizer: Any) -> Any:
    for number, row in enumerate(MLM.encode(self, examples, tokenizer)):
        yield {**row, "extra": row["input_ids"]} if number else row


def _standing_still(self: MLM, model: Any, batch: Batch) -> dict[str, torch.Tensor]:
    """Has a gradient, and always the same value."""
    loss = MLM.loss(self, model, batch)["mlm"]
    return {"mlm": loss - loss.detach() + batch.counts["mlm"]}


OBJECTIVES: dict[str, tuple[Change, str]] = {
    "encoding at random": (
        {"encode": lambda self, examples, tokenizer: ({**row, "n": np.array([next(counter)])} for row in MLM.encode(self, examples, tokenizer))},
        "encoded twice: n of row 0",
    ),
    "fields that come and go": ({"encode": _fields}, "row 1 has the fields"),
    "wide ids": (
        {
            "encode": lambda self, examples, tokenizer: (
                {**row, "input_ids": row["input_ids"].astype(np.int64)} for row in MLM.encode(self, examples, tokenizer)
            )
        },
        "input_ids are int64, not int32",
    ),
    "one draw for all": (
        {"collate": lambda self, rows, generators, tokenizer: MLM.collate(self, rows, [np.random.default_rng(len(rows)) for _ in rows], tokenizer)},
        "depends on its neighbours",
    ),
    "a draw from nowhere": (
        {"collate": lambda self, rows, generators, tokenizer: MLM.collate(self, rows, [np.random.default_rng() for _ in rows], tokenizer)},
        "collated twice from one source of randomness",
    ),
    "a mean for a sum": (
        {"loss": lambda self, model, batch: {"mlm": MLM.loss(self, model, batch)["mlm"] / batch.counts["mlm"]}},
        "the loss 'mlm' of a batch and the sum of those of its rows",
    ),
    "a loss without a count": (
        {"loss": lambda self, model, batch: {"masked": MLM.loss(self, model, batch)["mlm"]}},
        r"losses \['masked'\] and counts \['mlm'\]",
    ),
    "a count that is none": (
        {"collate": lambda self, rows, generators, tokenizer: replace(MLM.collate(self, rows, generators, tokenizer), counts={"mlm": 5})},
        "the counts of 'mlm' do not add up",
    ),
    "a loss that is no number": (
        {"loss": lambda self, model, batch: {"mlm": MLM.loss(self, model, batch)["mlm"] * float("nan")}},
        "not one finite number",
    ),
    "a loss that teaches nothing": (
        {"loss": _standing_still},
        "steps on one batch bring the loss from",
    ),
    "a head that is not trained": (
        {"heads": lambda self: {**MLM.heads(self), "pooler": MLM.heads(self)["mlm"]}},
        "no gradient reaches the head 'pooler'",
    ),
    "rows whose order counts": (
        {
            "rows_are_independent": False,
            "loss": lambda self, model, batch: {"mlm": MLM.loss(self, model, batch)["mlm"] * (1 + batch.input_ids[0, 1])},
        },
        "the loss 'mlm' of a batch and that of the same rows in another order",
    ),
    "no documentation": ({"__doc__": None}, "has no docstring"),
    "text that is not asked for": (
        {"encode": lambda self, examples, tokenizer: MLM.encode(self, (row for row in examples if row.get("text")), tokenizer)},
        "examples without 'text': nothing was raised",
    ),
}


@pytest.mark.parametrize("what", OBJECTIVES)
def test_what_is_wrong_with_an_objective_is_found(what: str, registered: Any):
    change, message = OBJECTIVES[what]
    kind = registered(objectives, MLM, change)
    with pytest.raises(AssertionError, match=message):
        check_objective(kind)


SINGLE = SingleSentence

TASKS: dict[str, tuple[Change, str]] = {
    "labels in the order of the file": (
        {"fitted": lambda self, examples: replace(self, labels=tuple(dict.fromkeys(str(example["label"]) for example in examples)))},
        "depends on the order of the examples",
    ),
    "a prediction too few": ({"decode": lambda self, outcome: SINGLE.decode(self, outcome)[1:]}, "5 predictions for 6 examples"),
    "a metric that is no number": ({"metrics": lambda self, outcome: {"accuracy": float("nan")}}, r"the metrics \['accuracy'\] are not finite"),
    "a metric that is not measured": ({"best_metric": "f2"}, r"best_metric is 'f2', and metrics\(\) gives"),
    "a metric that comes and goes": (
        {"metrics": lambda self, outcome: {"accuracy": 1.0, **({"sure": 1.0} if outcome.scores.any() else {})}},
        r"metrics\(\) gives \['accuracy', 'sure'\], and \['accuracy'\] where blank\(\)",
    ),
    "scores that look around": (
        {"scores": lambda self, model, batch: SINGLE.scores(self, model, batch) + len(batch.input_ids)},
        "what is said of row 0 depends on its neighbours",
    ),
    "one number for all": ({"correct": lambda self, outcome: np.ones(1)}, r"correct\(\) gives the shape \(1,\) for 6 examples"),
    "labels that may be missing": (
        {
            "encode": lambda self, examples, tokenizer, labelled=True: SINGLE.encode(
                self, (row for row in examples if row.get("label") or not labelled), tokenizer, labelled=labelled
            )
        },
        "examples without 'label': nothing was raised",
    ),
}


@pytest.mark.parametrize("what", TASKS)
def test_what_is_wrong_with_a_task_is_found(what: str, registered: Any):
    change, message = TASKS[what]
    kind = registered(tasks, SINGLE, change)
    with pytest.raises(AssertionError, match=message):
        check_task(kind)


def test_rows_that_are_one_anothers_negatives_are_not_independent(registered: Any):
    pairs = [Example({"text": text, "text_pair": TEXTS[-1 - number]}) for number, text in enumerate(TEXTS)]
    with pytest.raises(AssertionError, match="the loss 'embedding' of a batch and the sum of those of its rows"):
        check_task(registered(tasks, Embedding, {"rows_are_independent": True}), examples=pairs)


def test_predictions_must_be_ready_for_json(registered: Any):
    kind = registered(tasks, SINGLE, {"decode": lambda self, outcome: [{"scores": row} for row in outcome.outputs]})
    with pytest.raises(TypeError, match="not JSON serializable"):
        check_task(kind)


def grouped(change: Callable[[list[dict[str, Any]]], object]) -> Change:
    def parameter_groups(self: Full, model: Any, learning_rate: float, weight_decay: float) -> list[dict[str, Any]]:
        groups = Full.__mro__[1].parameter_groups(self, model, learning_rate, weight_decay)
        change(groups)
        return groups

    return {"parameter_groups": parameter_groups}


def _freeze(self: Any, model: Any) -> None:
    model.heads.requires_grad_(False)


def _draw(self: Any, model: Any) -> None:
    nn.init.normal_(model.heads["classification"].output.weight, generator=torch.Generator().manual_seed(next(counter)))


def _double(self: Any, model: Any, folder: Path, base: str) -> None:
    with torch.no_grad():
        model.heads["classification"].output.weight.mul_(2)


TUNINGS: dict[str, tuple[type[Any], Change, str]] = {
    "weights in two groups": (Full, grouped(lambda groups: groups.append({**groups[0]})), "are in several groups"),
    "weights in no group": (Full, grouped(lambda groups: groups.pop()), "left out of the groups: .*bias"),
    "decayed biases": (Full, grouped(lambda groups: groups[1].update(weight_decay=0.1)), "biases and norms are decayed"),
    "a rate that was not asked for": (
        Full,
        grouped(lambda groups: groups[0].update(lr=1.0)),
        "a group has the learning rate 1.0; asked for was 0.01",
    ),
    "a head at rest": (Full, {"apply": _freeze}, "the head is not trained"),
    "a draw from nowhere": (Full, {"apply": _draw}, "applied twice from one seed"),
    "a model that is not ordinary": (Lora, {"finish": lambda self, model, folder, base: None}, r"finish\(\) does not leave an ordinary model behind"),
    "another model than was trained": (Full, {"finish": _double}, r"scores before and after finish\(\)"),
}


@pytest.mark.parametrize("what", TUNINGS)
def test_what_is_wrong_with_a_tuning_is_found(what: str, registered: Any):
    kind, change, message = TUNINGS[what]
    with pytest.raises(AssertionError, match=message):
        check_tuning(registered(tunings, kind, change))


class TestExpectations:
    def test_shapes_are_compared_first(self):
        with pytest.raises(AssertionError, match=r"x: the shape is \[2\], not \[2, 1\]"):
            expect_close(torch.ones(2), torch.ones(2, 1), "x")

    def test_what_is_not_a_number_is_not_close(self):
        with pytest.raises(AssertionError, match="differ by up to nan"):
            expect_close(torch.tensor([float("nan")]), torch.zeros(1), "x")

    def test_another_error_than_expected_is_reported(self):
        with pytest.raises(AssertionError, match=r"x: ZeroDivisionError was raised .*; expected ValueError"):
            expect_error(ValueError, lambda: 1 / 0, "x")
