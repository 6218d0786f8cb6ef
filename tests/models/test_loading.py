"""Opening and saving model folders: what is there is used, what is not is said, and a failure leaves everything as it was."""

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bertsmith.core.errors import CheckpointError, UnknownNameError
from bertsmith.models import Checkpoint, create, load, save
from bertsmith.models import loading as loading_module
from bertsmith.text.tokenizer import Tokenizer

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"我爱你", "bert"]
TOKENIZER = Tokenizer.from_tokens(TOKENS)
SMALL = {
    "type_vocab_size": 2,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 12,
}
CONFIG, WEIGHTS = "config.json", "model.safetensors"


def new(heads: dict[str, int] | None = None, family: str = "bert", **config: Any) -> Checkpoint:
    return create(family, TOKENIZER, {**(SMALL if family != "gpt2" else {}), **config}, heads)


def saved(folder: Path, heads: dict[str, int] | None = None, family: str = "bert", **config: Any) -> Path:
    save(new(heads, family, **config), folder)
    return folder


def change_config(folder: Path, **changes: Any) -> None:
    content = json.loads((folder / CONFIG).read_text())
    content = {key: value for key, value in {**content, **changes}.items() if value is not ...}
    (folder / CONFIG).write_text(json.dumps(content))


def change_weights(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS)


def weights_of(checkpoint: Checkpoint) -> dict[str, Tensor]:
    return checkpoint.model.state_dict()


def assert_equal(first: Checkpoint, second: Checkpoint) -> None:
    assert weights_of(first).keys() == weights_of(second).keys()
    assert all(torch.equal(weight, weights_of(second)[name]) for name, weight in weights_of(first).items())
    assert first.model.family == second.model.family


class TestThereAndBack:
    @pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta"])
    @pytest.mark.parametrize(
        "heads", [{}, {"mlm": 0}, {"classification": 3}, {"tagging": 5}, {"span": 0}, {"pooler": 0}, {"mlm": 0, "classification": 3}]
    )
    def test_weights_are_the_same_to_the_bit(self, family: str, heads: dict[str, int], tmp_path: Path):
        checkpoint = new(heads, family)
        save(checkpoint, tmp_path / "model")
        again = load(str(tmp_path / "model"))
        assert_equal(again, checkpoint)
        assert again.stored_heads == set(heads)
        assert again.fresh_heads == set()
        assert again.folder == tmp_path / "model"

    def test_labels_and_the_task_come_back(self, tmp_path: Path):
        task = {"name": "single", "max_length": 64, "problem_type": "single_label_classification"}
        save(replace(new({"classification": 2}), labels=("差评", "好评"), task=task), tmp_path / "model")
        again = load(str(tmp_path / "model"))
        assert again.labels == ("差评", "好评")
        assert again.task == task
        assert json.loads((tmp_path / "model" / CONFIG).read_text())["problem_type"] == "single_label_classification"

    def test_more_than_ten_labels_keep_their_order(self, tmp_path: Path):
        labels = tuple(f"label {number}" for number in range(23))
        save(replace(new({"classification": 23}), labels=labels), tmp_path / "model")
        assert load(str(tmp_path / "model")).labels == labels

    def test_the_tokenizer_comes_back(self, tmp_path: Path):
        again = load(str(saved(tmp_path / "model"))).tokenizer
        assert again.encode("我爱bert", "你").input_ids.tolist() == TOKENIZER.encode("我爱bert", "你").input_ids.tolist()

    def test_what_the_configuration_says_besides_comes_back_and_what_spoke_of_old_weights_does_not(self, tmp_path: Path):
        kept = {"bos_token_id": 7, "eos_token_id": 3, "license": "mit", "pooler_fc_size": 8, "is_decoder": False, "task_specific_params": {"a": {}}}
        folder = saved(tmp_path / "old", {"classification": 3})
        change_config(folder, **kept, finetuning_task="sst2", torch_dtype="float16", transformers_version="4.2", _name_or_path="x", problem_type="y")
        opened = load(str(folder), {"tagging": 2})
        save(opened, tmp_path / "new")
        content = json.loads((tmp_path / "new" / CONFIG).read_text())
        assert {key: content.get(key) for key in kept} == kept
        rest = content.keys() - kept.keys() - opened.model.family.to_config().keys()
        assert {key: content[key] for key in rest} == {
            "architectures": ["BertForTokenClassification"],
            "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
            "label2id": {"LABEL_0": 0, "LABEL_1": 1},
            "torch_dtype": "float32",
        }
        save(replace(opened, task={"name": "tagging"}), tmp_path / "new")
        assert "task_specific_params" not in json.loads((tmp_path / "new" / CONFIG).read_text())

    @pytest.mark.parametrize("file", [True, False])
    def test_how_a_model_writes_is_said_in_one_place(self, file: bool, tmp_path: Path):
        folder = saved(tmp_path / "old", {"lm": 0}, "gpt2", n_embd=8, n_layer=1, n_head=2, n_positions=12)
        change_config(folder, num_beams=3, n_ctx=12)
        if file:
            (folder / "generation_config.json").write_text(json.dumps({"num_beams": 2}))
        opened = load(str(folder))
        save(opened, tmp_path / "new")
        content, written = (json.loads((tmp_path / "new" / name).read_text()) for name in (CONFIG, "generation_config.json"))
        assert ("num_beams" in content, content["n_ctx"], written["num_beams"]) == (False, 12, 2 if file else 3)
        save(replace(opened, model=opened.model.with_heads({})), tmp_path / "bare")
        assert json.loads((tmp_path / "bare" / CONFIG).read_text())["num_beams"] == 3
        assert not (tmp_path / "bare" / "generation_config.json").exists()

    def test_a_padding_token_that_nobody_named_and_the_vocabulary_does_not_have_is_the_tokenizers(self, tmp_path: Path):
        folder = saved(tmp_path / "old", {"lm": 0}, "gpt2", n_embd=8, n_layer=1, n_head=2, n_positions=12)
        change_config(folder, pad_token_id=...)
        save(load(str(folder)), tmp_path / "new")
        assert json.loads((tmp_path / "new" / CONFIG).read_text())["pad_token_id"] == TOKENIZER.pad_id

    def test_what_was_opened_is_ready_for_use(self, tmp_path: Path):
        checkpoint = load(str(saved(tmp_path / "model", {"classification": 2})))
        assert not checkpoint.model.training
        assert all(weight.requires_grad and weight.dtype == torch.float32 for weight in checkpoint.model.parameters())

    def test_saving_over_the_folder_it_came_from_works(self, tmp_path: Path):
        checkpoint = load(str(saved(tmp_path / "model", {"mlm": 0})))
        save(checkpoint, tmp_path / "model")
        assert_equal(load(str(tmp_path / "model")), checkpoint)
        assert [path.name for path in tmp_path.iterdir()] == ["model"]


class TestHeads:
    def test_a_head_that_is_not_there_is_drawn_afresh_and_named(self, tmp_path: Path):
        folder = saved(tmp_path / "model", {"mlm": 0})
        checkpoint = load(str(folder), {"mlm": 0, "classification": 4})
        assert checkpoint.fresh_heads == {"classification"}
        assert checkpoint.stored_heads == {"mlm"}
        assert checkpoint.labels == ()
        assert weights_of(checkpoint)["heads.classification.output.weight"].shape == (4, 8)
        assert weights_of(checkpoint)["heads.classification.output.weight"].std() > 0

    def test_what_is_drawn_afresh_depends_on_the_seed_alone(self, tmp_path: Path):
        folder = str(saved(tmp_path / "model"))
        torch.manual_seed(1)
        first = load(folder, {"classification": 2}, seed=5)
        torch.manual_seed(2)
        assert_equal(load(folder, {"classification": 2}, seed=5), first)
        other = load(folder, {"classification": 2}, seed=6)
        assert not torch.equal(weights_of(other)["heads.classification.output.weight"], weights_of(first)["heads.classification.output.weight"])

    def test_a_classifier_for_another_number_of_labels_is_drawn_afresh(self, tmp_path: Path):
        folder = saved(tmp_path / "model", {"classification": 3})
        assert load(str(folder), {"classification": 3}).fresh_heads == set()
        other = load(str(folder), {"classification": 4})
        assert other.fresh_heads == {"classification"}
        assert other.labels == ()

    @pytest.mark.parametrize(("stored", "size"), [("nsp", 0), ("classification", 3)])
    def test_a_fresh_classifier_keeps_the_pooler_that_is_there(self, stored: str, size: int, tmp_path: Path):
        folder = str(saved(tmp_path / "model", {stored: size}))
        opened = load(folder, {"classification": 2})
        assert opened.fresh_heads == {"classification"}
        pooler = weights_of(load(folder))[f"heads.{stored}.pooler.dense.weight"]
        assert torch.equal(weights_of(opened)["heads.classification.pooler.dense.weight"], pooler)
        assert weights_of(opened)["heads.classification.output.weight"].std() > 0

    def test_heads_that_are_not_asked_for_are_left_out(self, tmp_path: Path):
        folder = saved(tmp_path / "model", {"mlm": 0, "classification": 3})
        checkpoint = load(str(folder), {})
        assert list(checkpoint.model.heads) == []
        assert checkpoint.stored_heads == {"mlm", "classification"}

    def test_a_tagger_and_a_classifier_are_told_apart_by_the_architecture(self, tmp_path: Path):
        for head in ("tagging", "classification"):
            assert load(str(saved(tmp_path / head, {head: 3}))).stored_heads == {head}
        change_config(tmp_path / "classification", architectures=["BertForTokenClassification"])
        assert load(str(tmp_path / "classification")).stored_heads == {"tagging"}
        change_config(tmp_path / "classification", architectures=...)
        assert load(str(tmp_path / "classification")).stored_heads == {"classification"}

    def test_a_head_that_the_family_does_not_have_is_refused(self, tmp_path: Path):
        with pytest.raises(CheckpointError, match="roberta models have no head 'nsp'"):
            load(str(saved(tmp_path / "model", family="roberta")), {"nsp": 0})

    def test_two_heads_that_are_stored_by_one_name_are_not_saved_over_one_another(self, tmp_path: Path):
        with pytest.raises(CheckpointError, match=r"the heads classification, tagging cannot be in one folder: .* stored as classifier.weight"):
            save(new({"classification": 2, "tagging": 2}), tmp_path / "model")
        assert list(tmp_path.iterdir()) == []


class TestLabels:
    def test_names_that_nobody_chose_are_counted(self, tmp_path: Path):
        folder = saved(tmp_path / "model", {"classification": 2})
        change_config(folder, id2label=..., label2id=...)
        checkpoint = load(str(folder))
        assert checkpoint.labels == ("LABEL_0", "LABEL_1")
        assert checkpoint.fresh_heads == set()

    @pytest.mark.parametrize(
        "names", [{"0": "a"}, {"0": "a", "1": "b"}, {"1": "a", "2": "b", "3": "c"}, {"a": 0, "b": 1, "c": 2}, ["a", "b", "c"], "abc"]
    )
    def test_names_that_do_not_fit_the_head_are_refused(self, names: object, tmp_path: Path):
        folder = saved(tmp_path / "model", {"classification": 3})
        change_config(folder, id2label=names)
        with pytest.raises(CheckpointError, match=r"config.json: id2label must name the 3 labels of the stored head, from 0 on; it is"):
            load(str(folder))
        assert load(str(folder), {"classification": 7}).fresh_heads == {"classification"}  # names of a head that is replaced do not matter

    def test_labels_of_a_head_that_the_model_no_longer_has_are_not_saved(self, tmp_path: Path):
        save(replace(new({"classification": 4}), labels=("a", "b")), tmp_path / "model")
        assert load(str(tmp_path / "model")).labels == ("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3")
        save(replace(new({"mlm": 0}), labels=("a", "b")), tmp_path / "other")
        assert "id2label" not in json.loads((tmp_path / "other" / CONFIG).read_text())


class TestWhatIsWrongWithAFolder:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return saved(tmp_path / "model", {"mlm": 0})

    def assert_refused(self, folder: Path, message: str, heads: dict[str, int] | None = None) -> tuple[str, ...]:
        with pytest.raises(CheckpointError, match=message) as caught:
            load(str(folder), heads)
        assert str(folder) in str(caught.value)
        return caught.value.problems

    @pytest.mark.parametrize(
        ("file", "message"), [(CONFIG, "config.json is missing"), (WEIGHTS, "no weights in"), ("tokenizer.json", None), ("vocab.txt", None)]
    )
    def test_a_missing_file(self, file: str, message: str | None, folder: Path):
        (folder / file).unlink()
        if message is not None:
            self.assert_refused(folder, message)
        else:  # one of the two suffices
            assert load(str(folder)).tokenizer.vocabulary_size == len(TOKENS)

    def test_a_missing_tokenizer(self, folder: Path):
        (folder / "tokenizer.json").unlink()
        (folder / "vocab.txt").unlink()
        self.assert_refused(folder, "has no tokenizer")

    @pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
    def test_weights_that_are_cut_off(self, share: float, folder: Path):
        whole = (folder / WEIGHTS).read_bytes()
        (folder / WEIGHTS).write_bytes(whole[: int(share * len(whole))])
        self.assert_refused(folder, r"model.safetensors cannot be read \([\d,]+ bytes\): .*copy it again")

    def test_unknown_weights_are_all_named(self, folder: Path):
        change_weights(folder, lambda weights: weights.update({"bert.embeddings.factor.weight": torch.ones(2), "adapter.up": torch.ones(2)}))
        problems = self.assert_refused(folder, "the weights in .* do not fit its config.json")
        assert problems == ("adapter.up is there; no bert model has it", "bert.embeddings.factor.weight is there; no bert model has it")

    def test_weights_under_an_old_and_a_present_name_are_refused(self, folder: Path):
        change_weights(folder, lambda weights: weights.update({"bert.embeddings.LayerNorm.gamma": torch.zeros(8)}))
        assert self.assert_refused(folder, "there under an old name and under the present one") == ("bert.embeddings.LayerNorm.weight",)

    def test_missing_weights_are_all_named(self, folder: Path):
        gone = ["bert.embeddings.LayerNorm.bias", "bert.encoder.layer.1.attention.self.key.weight", "cls.predictions.transform.LayerNorm.bias"]
        change_weights(folder, lambda weights: [weights.pop(name) for name in gone])
        problems = self.assert_refused(folder, r"the weights in .* do not fit its config.json")
        assert problems == tuple(f"{name} is missing" for name in gone)

    def test_weights_that_are_not_finite_are_all_named(self, folder: Path):
        broken = ["bert.embeddings.LayerNorm.bias", "bert.encoder.layer.1.output.dense.weight"]
        change_weights(
            folder, lambda weights: [weights[name].view(-1)[1:2].fill_(value) for name, value in zip(broken, (torch.nan, -torch.inf), strict=True)]
        )
        assert self.assert_refused(folder, "2 weights in .* hold NaN or infinity") == tuple(broken)

    def test_large_weights_are_finite(self, folder: Path):
        change_weights(folder, lambda weights: weights["bert.embeddings.LayerNorm.bias"].fill_(3e38))
        load(str(folder))

    def test_wrong_shapes_are_all_named(self, folder: Path):
        change_config(folder, intermediate_size=16)
        problems = self.assert_refused(folder, "do not fit its config.json")
        assert "bert.encoder.layer.0.intermediate.dense.weight has the shape [12, 8]; config.json asks for [16, 8]" in problems
        assert len(problems) == 2 * 3

    def test_layers_that_the_configuration_does_not_have_are_not_dropped_in_silence(self, folder: Path):
        change_config(folder, num_hidden_layers=1)
        problems = self.assert_refused(folder, "do not fit its config.json")
        assert "bert.encoder.layer.1.output.dense.bias is there; config.json describes a model without it" in problems
        assert len(problems) == 16

    def test_layers_that_the_weights_do_not_have(self, folder: Path):
        change_config(folder, num_hidden_layers=3)
        assert len(self.assert_refused(folder, "do not fit its config.json")) == 16

    def test_a_scalar_in_the_place_of_a_matrix(self, tmp_path: Path):
        folder = saved(tmp_path / "model", {"classification": 2})
        change_weights(folder, lambda weights: weights.update({"classifier.weight": torch.tensor(1.0)}))
        self.assert_refused(folder, "id2label must name the 1 labels")
        change_config(folder, id2label=...)
        self.assert_refused(folder, r"classifier.weight has the shape \[\]; config.json asks for \[1, 8\]")

    def test_no_model_type(self, folder: Path):
        change_config(folder, model_type=...)
        self.assert_refused(folder, r'config.json has no model_type; known: .*bert, .* Add, for instance, "model_type": "bert"')

    @pytest.mark.parametrize("model_type", ["t5", "brt", 7, ["bert"], {"a": 1}])
    def test_a_wrong_model_type(self, model_type: object, folder: Path):
        change_config(folder, model_type=model_type)
        self.assert_refused(folder, r"config.json says that model_type is .*, which is not built.*; built: .*bert, ")

    def test_the_model_type_of_another_family(self, folder: Path):
        change_config(folder, model_type="roberta", pad_token_id=1)
        message = r"weights in .* do not belong to a roberta model; their names are those of bert: is model_type in .*config.json right\?"
        problems = self.assert_refused(folder, message)
        assert "bert.embeddings.word_embeddings.weight" in problems

    def test_the_configuration_of_another_family(self, tmp_path: Path):
        folder = saved(tmp_path / "model", {"lm": 0}, "gpt2", n_embd=8, n_layer=1, n_head=2, n_positions=12)
        change_config(folder, model_type="bert")
        problems = self.assert_refused(folder, r"a bert model that cannot be built; its keys are those of gpt2: is model_type right\?")
        assert any(problem.startswith("n_embd is 8") for problem in problems)

    def test_a_configuration_with_several_mistakes(self, folder: Path):
        change_config(folder, hidden_size="8", is_decoder=True, num_hidden_layers=-2)
        problems = self.assert_refused(folder, r"config.json describes a bert model that cannot be built")
        assert len(problems) >= 2

    def test_a_vocabulary_that_does_not_fit(self, folder: Path):
        Tokenizer.from_tokens([*TOKENS, "more", "than", "fits"]).save(folder)
        self.assert_refused(folder, r"the vocabulary in .* has 12 tokens and the model embeds 9: they are not of one model")

    def test_an_embedding_with_spare_rows_is_no_mistake(self, tmp_path: Path):
        assert load(str(saved(tmp_path / "model", vocab_size=16))).model.family.vocab_size == 16

    @pytest.mark.parametrize("content", ["[]", '{"task": 3}', "{"])
    def test_a_task_file_that_is_none(self, content: str, folder: Path):
        (folder / "bertsmith.json").write_text(content)
        self.assert_refused(folder, r"bertsmith.json")


class TestCreating:
    def test_unknown_keys_are_all_named(self):
        with pytest.raises(CheckpointError, match="a new bert model cannot be made") as caught:
            new(hidden_sise=8, layers=3)
        assert caught.value.problems == ("hidden_sise is not a key of a bert configuration", "layers is not a key of a bert configuration")

    def test_impossible_sizes_are_all_named(self):
        with pytest.raises(CheckpointError, match="the configuration of a new bert model describes") as caught:
            new(hidden_size=0, num_hidden_layers=-1)
        assert len(caught.value.problems) == 2

    def test_an_unknown_family_is_answered_with_the_nearest(self):
        with pytest.raises(UnknownNameError, match="did you mean 'roberta'"):
            new(family="robertta")

    def test_the_vocabulary_must_fit(self):
        with pytest.raises(CheckpointError, match="the vocabulary in a new bert model has 9 tokens and the model embeds 5"):
            new(vocab_size=5)

    def test_weights_depend_on_the_seed(self):
        first, same, other = (create("bert", TOKENIZER, SMALL, seed=seed) for seed in (1, 1, 2))
        assert_equal(first, same)
        assert not torch.equal(weights_of(first)["backbone.embeddings.token.weight"], weights_of(other)["backbone.embeddings.token.weight"])


def _full(*_: Any, **__: Any) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


class TestSavingThatFails:
    @pytest.mark.parametrize("at", ["write_json", "write_weights", "the tokenizer"])
    def test_a_full_disk_leaves_the_old_folder_and_no_draft(self, at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        before = load(str(saved(tmp_path / "model", {"mlm": 0})))
        if at == "the tokenizer":
            monkeypatch.setattr(Tokenizer, "save", _full)
        else:
            monkeypatch.setattr(loading_module, at, _full)
        with pytest.raises(CheckpointError, match=r"cannot write .*model: No space left on device; nothing there was changed"):
            save(new({"classification": 2}), tmp_path / "model")
        monkeypatch.undo()
        assert [path.name for path in tmp_path.iterdir()] == ["model"]
        assert_equal(load(str(tmp_path / "model")), before)


def test_a_tokenizer_with_more_segments_than_the_model_is_refused(tmp_path: Path):
    with pytest.raises(
        CheckpointError, match="the tokenizer in a new roberta model tells 2 segments apart and the model 1: type_vocab_size must be 2"
    ):
        new(family="roberta", type_vocab_size=1)
    folder = saved(tmp_path / "model")
    change_config(folder, type_vocab_size=1)
    change_weights(folder, lambda weights: weights.update({"embeddings.token_type_embeddings.weight": torch.ones(1, 8)}))
    with pytest.raises(CheckpointError, match="type_vocab_size must be 2"):
        load(str(folder))
