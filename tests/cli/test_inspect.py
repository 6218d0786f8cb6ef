"""`bertsmith inspect`: what is shown is what the model computes."""

import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from bertsmith.cli.opening import opened_to_look
from bertsmith.core.errors import RecipeError
from bertsmith.core.types import Example
from bertsmith.inspecting import Inspection, inspect
from bertsmith.inspecting.page import page
from bertsmith.inspecting.terminal import view
from bertsmith.inspecting.vectors import PARTS, attention_of, pull
from bertsmith.models import create, load, save
from bertsmith.tasks import tasks
from bertsmith.text.tokenizer import Tokenizer
from tests.cli.conftest import CONFIG, Cli

CHINESE = "使用语言模型来预测下一个词的概率"


def looked(models: Path, name: str, text: str, pair: str | None = None, **options: Any) -> Inspection:
    checkpoint, task = opened_to_look(str(models / name))
    return inspect(checkpoint, text, pair, name=name, task=task, **options)


def test_the_three_ids_of_a_pair(models: Path, tokenizer: Tokenizer):
    found = looked(models, "pretrained", "How old are you?", "zebrafish 好")
    columns = found.tokens.columns
    assert [column.token for column in columns] == ["[CLS]", "how", "old", "are", "you", "?", "[SEP]", "zebra", "##fish", "好", "[SEP]"]
    assert [column.input_id for column in columns] == [tokenizer.id(column.token) for column in columns]
    assert [column.token_type_id for column in columns] == [0] * 7 + [1] * 4
    assert [column.position for column in columns] == list(range(11))
    assert {column.attention_mask for column in columns} == {1}
    assert [column.text for column in columns] == ["", "How", "old", "are", "you", "?", "", "zebra", "fish", "好", ""]


def test_a_family_without_segments(tokenizer: Tokenizer, tmp_path: Path):
    sizes = {"dim": 12, "n_layers": 2, "n_heads": 3, "hidden_dim": 20, "max_position_embeddings": 40}
    save(create("distilbert", tokenizer, sizes, {"mlm": 0}), tmp_path / "model")
    found = inspect(load(str(tmp_path / "model")), "How [MASK] are you?", "zebrafish", masks=2)
    assert (found.facts["num_layers"], found.facts["num_heads"], found.facts["hidden_size"]) == (2, 3, 12)
    assert "distilbert models have no segments: the two texts are told apart by their separators alone." in found.notes
    assert {part.norms["segment"] for part in found.contributions} == {0.0}
    assert {part.cosines["segment"] for part in found.contributions} == {0.0}
    assert not pull(found.trace, "segment").any()
    np.testing.assert_allclose(pull(found.trace, "sum"), pull(found.trace, "token") + pull(found.trace, "position"), rtol=1e-6)
    assert list(found.guesses) == [2]
    assert json.loads(json.dumps(found.as_json()))["family"] == "distilbert"
    console = Console(file=io.StringIO(), width=140)
    console.print(*view(found, embeddings=True, attention=attention_of(found.trace, None, None), title="last layer"))
    assert "distilbert, 2 layers × 3 heads, width 12" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "distilbert" in page(found)


def test_a_family_with_one_segment_and_positions_of_its_own(tmp_path: Path):
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "Ġ", "a", "Ġa", "Ċ"]
    (tmp_path / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}), encoding="utf-8")
    (tmp_path / "merges.txt").write_text("#version: 0.2\nĠ a\n", encoding="utf-8")
    (tmp_path / "config.json").write_text('{"model_type": "roberta"}', encoding="utf-8")
    checkpoint = create("roberta", Tokenizer.from_folder(tmp_path), {**CONFIG, "max_position_embeddings": 40}, {"mlm": 0})
    save(checkpoint, tmp_path / "model")
    found = inspect(load(str(tmp_path / "model")), "a a\n", "a<mask>", masks=3)
    columns = found.tokens.columns
    assert [column.token for column in columns] == ["<s>", "a", "Ġa", "Ċ", "</s>", "</s>", "a", "<mask>", "</s>"]
    assert [column.token_type_id for column in columns] == [0] * 9
    assert [column.position for column in columns] == list(range(2, 11)), "counted from behind the padding id"
    assert [column.word for column in columns][4:8] == [None, None, columns[3].word + 1, columns[3].word + 2]  # type: ignore[operator]
    assert list(found.guesses) == [7]
    assert any("have one segment" in note for note in found.notes)
    assert "roberta" in page(found)
    console = Console(file=io.StringIO(), width=120)
    for part in view(found, embeddings=True, attention=attention_of(found.trace, 1, 1), title="attention"):
        console.print(part)
    assert isinstance(console.file, io.StringIO)
    assert "⏎" in console.file.getvalue(), "a line feed does not tear the table"


def test_words_are_numbered_through_both_texts(models: Path):
    found = looked(models, "pretrained", "使用语言", "zebrafish")
    assert found.tokens.words == ("使用", "语言", "zebrafish")
    assert [column.word for column in found.tokens.columns] == [None, 0, 0, 1, 1, None, 2, 2, None]
    by_character = looked(models, "pretrained", "使用语言", segmenter="characters")
    assert by_character.tokens.words == ("使", "用", "语", "言")


def test_vectors_are_those_of_the_model(models: Path):
    found = looked(models, "pretrained", "很好")
    model = load(str(models / "pretrained")).model
    embeddings = model.backbone.embeddings
    ids = [column.input_id for column in found.tokens.columns]
    token = embeddings.token.weight[ids].detach()
    position = embeddings.position.weight[: len(ids)].detach()
    segment = embeddings.segment.weight[[0] * len(ids)].detach()
    for name, expected in {"token": token, "position": position, "segment": segment, "sum": token + position + segment}.items():
        np.testing.assert_allclose(pull(found.trace, name), expected, rtol=1e-5, atol=1e-6)
    with torch.inference_mode():
        final = model(found.tokens.batch).padded()[0]
        np.testing.assert_allclose(pull(found.trace, "layer:0"), embeddings.norm(token + position + segment), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(pull(found.trace, "layer:2"), final, rtol=1e-4, atol=1e-5)


def test_norms_and_cosines(models: Path):
    found = looked(models, "pretrained", "好")
    total = pull(found.trace, "sum")
    for name in PARTS:
        vectors = pull(found.trace, name)
        cosines = (vectors * total).sum(1) / np.linalg.norm(vectors, axis=1) / np.linalg.norm(total, axis=1)
        np.testing.assert_allclose([part.norms[name] for part in found.contributions], np.linalg.norm(vectors, axis=1), rtol=1e-5)
        np.testing.assert_allclose([part.cosines[name] for part in found.contributions], cosines, rtol=1e-4, atol=1e-6)


def test_attention_rows_sum_to_one_and_the_mean_is_of_all_heads(models: Path):
    found = looked(models, "pretrained", CHINESE)
    heads = [attention_of(found.trace, 1, head) for head in (1, 2)]
    np.testing.assert_allclose(heads[0].sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(attention_of(found.trace, 1, None), np.mean(heads, axis=0), rtol=1e-5)
    np.testing.assert_array_equal(attention_of(found.trace, None, 1), attention_of(found.trace, 2, 1))
    with pytest.raises(RecipeError, match="no layer 3; there are 1 to 2"):
        attention_of(found.trace, 3, None)
    with pytest.raises(RecipeError, match="no head 0; there are 1 to 2"):
        attention_of(found.trace, 1, 0)


def test_masks_hide_whole_words_and_never_a_separator(models: Path):
    found = looked(models, "pretrained", CHINESE, "zebrafish", masks=200)
    assert len(found.draws) == 200
    fates = {fate for draw in found.draws for fate in draw.fates}
    assert fates == {"", "masked", "replaced", "kept"}
    for draw in found.draws:
        hidden = [bool(fate) for fate in draw.fates]
        for word in range(len(found.tokens.words)):
            own = [is_hidden for column, is_hidden in zip(found.tokens.columns, hidden, strict=True) if column.word == word]
            assert len(set(own)) == 1, "a word is hidden as a whole or not at all"
        assert not any(is_hidden for column, is_hidden in zip(found.tokens.columns, hidden, strict=True) if column.word is None)
        for column, token, fate in zip(found.tokens.columns, draw.tokens, draw.fates, strict=True):
            assert fate != "masked" or token == "[MASK]"
            assert fate in {"masked", "replaced"} or token == column.token
    assert len({draw.fates for draw in found.draws}) > 20, "they are drawn anew"
    by_token = looked(models, "pretrained", CHINESE, masks=100, unit="token")
    assert any(len({bool(draw.fates[1]), bool(draw.fates[2])}) == 2 for draw in by_token.draws), "使 without 用"


def test_a_mask_is_filled_where_the_head_is_there(models: Path, tokenizer: Tokenizer):
    found = looked(models, "pretrained", "很[MASK]")
    [(place, guesses)] = found.guesses.items()
    assert place == 2
    model = load(str(models / "pretrained")).model
    with torch.inference_mode():
        states = model(found.tokens.batch).states[2:3]
        expected = model.heads["mlm"](states).softmax(1)[0]
    assert guesses[0].token == tokenizer.token(int(expected.argmax()))
    assert [guess.probability for guess in guesses] == pytest.approx(expected.topk(5).values.tolist(), rel=1e-4)
    without = looked(models, "single", "很[MASK]")
    assert without.guesses == {}
    assert any("holds no trained mlm head, so it cannot fill a hidden token" in note for note in without.notes)


def test_a_fine_tuned_model_says_what_it_thinks(models: Path):
    found = looked(models, "pair", "很好", "不好")
    assert found.prediction is not None
    assert found.prediction["label"] in {"no", "yes"}
    assert looked(models, "pretrained", "很好").prediction is None


def test_what_is_shown_is_what_the_model_reads(models: Path):
    checkpoint = load(str(models / "pretrained"))
    alone = inspect(checkpoint, "很好", "不好", task=tasks["similarity"]())
    assert [token.token for token in alone.tokens.columns] == ["[CLS]", "很", "好", "[SEP]"]
    assert "Each of the two texts is read by itself; the tokens are those of the first." in alone.notes
    prompted = tasks["prompted"](template="{text}服务[MASK]", verbalizer={"good": "好", "bad": "差"})
    filled = inspect(checkpoint, "真", "很", task=prompted)
    assert [token.token for token in filled.tokens.columns] == ["[CLS]", "真", "服", "务", "[MASK]", "[SEP]"]
    assert any("its template has no {text_pair}" in note for note in filled.notes)
    with pytest.raises(RecipeError, match=r"needs choices; .*; a choice is given with --choice"):
        inspect(checkpoint, "真", "很", task=tasks["multiple_choice"]())


def test_no_more_is_shown_than_the_task_reads(models: Path):
    checkpoint, task = opened_to_look(str(models / "single"))
    assert task is not None
    found = inspect(checkpoint, "很" * 40, task=replace(task, max_length=16))
    assert len(found.tokens.columns) == 16
    assert found.trace.states[-1].shape[1] == 16
    assert found.notes == ("26 tokens were cut off: max_length = 16.",)


def test_ids_and_mask_are_those_that_the_task_gives_the_model(tmp_path: Path):
    (tmp_path / "vocab.txt").write_text("\n".join("[PAD] [UNK] [CLS] [SEP] [MASK] [QUESTION] . a b c d".split()), encoding="utf-8")
    (tmp_path / "config.json").write_text('{"model_type": "splinter"}', encoding="utf-8")
    checkpoint = create("splinter", Tokenizer.from_folder(tmp_path), {**CONFIG, "question_token_id": 5}, {"span": 0})
    found = inspect(checkpoint, "b c d " * 9, "a", task=tasks["extractive_qa"](max_length=16, stride=4))
    columns = found.tokens.columns
    assert [column.token for column in columns] == "[CLS] a [QUESTION] . [SEP] b c d b c d b c d b [SEP]".split()
    assert {column.token_type_id for column in columns} == {0}
    assert [column.position for column in columns if not column.attention_mask] == [4, 15]
    assert attention_of(found.trace, None, None)[:, [4, 15]].max() == 0, "nobody looks at a separator"
    json.dumps(found.as_json(), allow_nan=False)
    assert "[QUESTION]" in page(found)


def test_a_long_text_is_cut_and_it_is_said(cli: Cli, models: Path):
    ran = cli("inspect", models / "pretrained", "很" * 200, "--masks", 1, "--attention")
    assert ran.status == 0
    assert "138 tokens were cut off: the model has positions for 64" in ran.out
    assert "… and 24 more tokens" in ran.out, "of 64 the heat map shows 40"


def test_a_task_may_ask_for_more_than_the_model_has(cli: Cli, models: Path):
    ran = cli("inspect", models / "single", "很" * 200, "--task", '{ name = "single", max_length = 4000 }', "--json")
    assert ran.status == 0, ran.err
    assert ran.json["prediction"]["label"] in {"差", "好"}


def test_why_a_model_from_elsewhere_predicts_nothing_is_said(cli: Cli, tokenizer: Tokenizer, tmp_path: Path):
    checkpoint = create("bert", tokenizer, CONFIG, {"tagging": 3}, seed=3)
    save(replace(checkpoint, labels=("NOUN", "VERB", "X")), tmp_path / "words")
    ran = cli("inspect", tmp_path / "words", "很好", "--json")
    assert ran.status == 0, ran.err
    assert "nothing is predicted: the head of" in ran.err
    assert "has 3 outputs (NOUN, VERB, X)" in ran.err
    assert ran.json["prediction"] is None


def test_the_terminal_shows_everything_that_is_asked_for(cli: Cli, models: Path):
    ran = cli("inspect", models / "single", "zebrafish 很好😀", "--masks", 2, "--embeddings", "--layer", 1, "--head", 2)
    assert (ran.status, ran.err) == (0, "")
    for shown in (
        "token_type_id",
        "zebrafish",
        "##fish",
        "‖position‖",
        "cos segment",
        "layer 1, head 2",
        "looks at most",
        "masks drawn",
        "prediction",
        "[UNK]",
    ):
        assert shown in ran.out
    plain = cli("inspect", models / "single", "很好").out
    scores = cli("inspect", models / "single", "很好", "--json").json["prediction"]["scores"]
    assert f"scores {' · '.join(f'{name} {scores[name]:.3f}' for name in sorted(scores, key=lambda name: -scores[name]))}" in plain
    assert "‖" not in plain
    assert "attention of" not in plain


def test_json_has_it_all(cli: Cli, models: Path):
    ran = cli("inspect", models / "pretrained", "很[MASK]", "--json", "--masks", 3, "--attention")
    found = ran.json
    assert [token["token"] for token in found["tokens"]] == ["[CLS]", "很", "[MASK]", "[SEP]"]
    assert len(found["draws"]) == 3
    assert len(found["guesses"]["2"]) == 5
    assert np.array(found["attention"]).shape == (4, 4)
    assert found["tokens"][1]["norms"].keys() == {"token", "position", "segment", "sum", "total"}


def test_any_embedding_can_be_pulled_out(cli: Cli, models: Path, tmp_path: Path):
    file = tmp_path / "states.npy"
    ran = cli("inspect", models / "bare", "很好", "--embedding", "layer:1", "--output", file)
    assert (ran.status, ran.out) == (0, "")
    saved = np.load(file)
    assert saved.shape == (4, 16)
    lines = cli("inspect", models / "bare", "很好", "--embedding", "layer:1").lines
    assert [line["token"] for line in lines] == ["[CLS]", "很", "好", "[SEP]"]
    np.testing.assert_allclose([line["vector"] for line in lines], saved, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["好", "--embedding", "sun"], "no embedding 'sun' (did you mean 'sum'?); there are: token, position, segment, sum, layer:0 to layer:2"),
        (["好", "--embedding", "layer:3"], "layer:0 to layer:2"),
        (["好", "--layer", "9"], "there is no layer 9; there are 1 to 2"),
        (["好", "--output", "x.npy"], "say which with --embedding"),
        (["好", "--embedding", "sum", "--output", "x.txt"], "ends in"),
        (["好", "--segmenter", "jeiba"], "did you mean 'jieba'?"),
        ([" "], "the text is empty"),
        (["好", ""], "the text is empty"),
        (["\udcff"], "not UTF-8"),
        (["好", "--html", "/nowhere/at/all.html"], "cannot write"),
        (["好", "--task", "single"], "no"),
    ],
)
def test_mistakes(cli: Cli, models: Path, arguments: list[str], message: str):
    ran = cli("inspect", models / "pretrained", *arguments)
    assert ran.status == 2
    assert ran.out == ""
    assert message in ran.err


class Page(HTMLParser):
    """What a page refers to and holds."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.chips = 0
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in {"src", "href", "srcset"} and value]
        self.chips += ("class", "piece") in {(name, (value or "").split(" ")[0]) for name, value in attrs}


def test_the_page_stands_alone(cli: Cli, models: Path, tmp_path: Path):
    file = tmp_path / "page.html"
    ran = cli("inspect", models / "pretrained", "很[MASK]<script>alert(1)</script>", "不好", "--html", file, "--masks", 2)
    assert (ran.status, ran.out) == (0, "")
    text = file.read_text(encoding="utf-8")
    parsed = Page()
    parsed.feed(text)
    assert parsed.links == []
    assert "url(" not in text
    assert "@import" not in text
    assert parsed.tags.count("script") == 2, "what the user wrote is text, not code"
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    assert parsed.chips == len(data["tokens"])
    assert data["attention"][0]["layers"] == 2


def test_the_page_keeps_attention_small_and_right(tmp_path: Path, tokenizer: Tokenizer):
    import base64

    save(create("bert", tokenizer, {**CONFIG, "max_position_embeddings": 2000}, {}), tmp_path / "long")
    found = inspect(load(str(tmp_path / "long")), "很好" * 900)
    data = json.loads(re.search(r'id="data">(.*?)</script>', page(found), re.DOTALL)[1])["attention"][0]  # type: ignore[index]
    assert data["size"] == 866, "the root of 3,000,000 weights by 2 layers of 2 heads"
    weights = np.frombuffer(base64.b64decode(data["data"]), np.uint8).reshape(2, 2, 866, 866) / 255
    np.testing.assert_allclose(weights[1, 0], attention_of(found.trace, 2, 1)[:866, :866], atol=1 / 255)


def said_on(file: Path) -> str:
    """What a page has under "What it was fine-tuned to say", in words."""
    section = file.read_text(encoding="utf-8").partition("<h2>What it was fine-tuned to say</h2>")[2].partition("<h2>")[0]
    return " ".join(re.sub("<[^>]*>", " ", section).split())


def test_the_page_says_which_of_several_labels_are_given(cli: Cli, models: Path, tmp_path: Path):
    table = '{{ name = "multi_label", labels = ["fast", "cheap"], threshold = {} }}'
    for threshold, given in ((1e-6, "labels fast · cheap"), (1 - 1e-6, "labels none")):
        file = tmp_path / "page.html"
        assert cli("inspect", models / "multi_label", "很好", "--task", table.format(threshold), "--html", file).status == 0
        assert said_on(file).startswith(given)


def test_the_page_says_how_many_entities_there_are_and_how_sure_each_is(cli: Cli, tokenizer: Tokenizer, tmp_path: Path):
    for bias, said, found in (((0.0, 9.0, 0.0), "entities 2", ["LOC 100%"] * 2), ((9.0, 0.0, 0.0), "entities none", [])):
        checkpoint = create("bert", tokenizer, CONFIG, {"tagging": 3}, seed=3)
        checkpoint.model.heads["tagging"].get_submodule("output").get_parameter("bias").data.copy_(torch.tensor(bias))
        save(replace(checkpoint, labels=("O", "B-LOC", "I-LOC")), tmp_path / "tagger")
        file = tmp_path / "page.html"
        assert cli("inspect", tmp_path / "tagger", "很好", "--html", file).status == 0
        assert said_on(file) == said
        assert re.findall("<mark>.<small>(.*?)</small></mark>", file.read_text(encoding="utf-8")) == found


QUESTION = ("很好。不好！", "好不好？")
CHOICES = ("--choice", "好", "--choice", "很好", "--choice", "不")


@pytest.fixture(scope="module")
def chooser(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    """A model of multiple choice."""
    folder = tmp_path_factory.mktemp("chooser") / "model"
    checkpoint = create("bert", tokenizer, {**CONFIG, "initializer_range": 0.5}, {"choice": 0}, seed=3)
    save(replace(checkpoint, task={"name": "multiple_choice", "max_length": 16}), folder)
    return folder


def chosen(folder: Path, *texts: str, choices: Sequence[str] = CHOICES[1::2]) -> Inspection:
    checkpoint, task = opened_to_look(str(folder))
    return inspect(checkpoint, *texts, choices=choices, name="chooser", task=task)


def test_every_choice_is_the_sequence_that_the_model_reads(chooser: Path):
    checkpoint, task = opened_to_look(str(chooser))
    assert task is not None
    found = inspect(checkpoint, *QUESTION, choices=CHOICES[1::2], task=task)
    context, question = QUESTION
    [row] = task.encode([Example({"context": context, "question": question, "choices": list(CHOICES[1::2])})], checkpoint.tokenizer, labelled=False)
    assert np.concatenate([choice.tokens.batch.input_ids[0].numpy() for choice in found.choices]).tolist() == row["input_ids"].tolist()
    assert np.concatenate([choice.tokens.batch.token_type_ids[0].numpy() for choice in found.choices]).tolist() == row["token_type_ids"].tolist()
    columns = found.choices[1].tokens.columns
    assert "".join(column.text for column in columns if column.token_type_id == 0) == context
    assert "".join(column.text for column in columns if column.token_type_id == 1) == "好不好？很好"
    assert [column.position for column in columns] == list(range(len(columns)))


def test_the_choice_with_the_highest_score_is_chosen(chooser: Path):
    found = chosen(chooser, *QUESTION)
    model = load(str(chooser)).model
    with torch.inference_mode():
        scores = [float(model.heads["choice"](model.states_for("choice", choice.tokens.batch))) for choice in found.choices]
    assert [choice.score for choice in found.choices] == pytest.approx(scores, abs=1e-5)
    assert [choice.probability for choice in found.choices] == pytest.approx(torch.tensor(scores).softmax(0).tolist(), abs=1e-5)
    [best] = [choice for choice in found.choices if choice.is_chosen]
    assert best.score == max(choice.score for choice in found.choices)
    assert found.prediction is not None
    assert found.prediction["choice"] == best.text
    assert found.tokens is best.tokens


def test_a_long_context_is_cut_and_the_choice_is_not(chooser: Path):
    found = chosen(chooser, "很" * 40 + "？", QUESTION[1])
    for choice in found.choices:
        assert len(choice.tokens.columns) == 16
        assert "".join(column.text for column in choice.tokens.columns).endswith(f"好不好？{choice.text}")
        assert choice.tokens.truncated == 41 + 4 + len(choice.text) - 13
    assert any("tokens were cut off: max_length = 16" in note for note in found.notes)


def test_a_question_alone_has_no_context(chooser: Path):
    found = chosen(chooser, QUESTION[1])
    assert ["".join(column.text for column in found.tokens.columns if column.token_type_id == segment) for segment in (0, 1)] == [
        QUESTION[1],
        found.prediction["choice"],  # type: ignore[index]
    ]


def test_choices_in_the_terminal(cli: Cli, chooser: Path):
    ran = cli("inspect", chooser, *QUESTION, *CHOICES, "--attention")
    assert (ran.status, ran.err) == (0, "")
    headings = [line for line in ran.out.splitlines() if line.startswith("choice ")]
    assert [heading.split()[:3] for heading in headings] == [["choice", "0:", "好"], ["choice", "1:", "很好"], ["choice", "2:", "不"]]
    assert sum("chosen" in heading for heading in headings) == 1
    assert ran.out.count("the first 12 tokens are those of choice 0") == 2
    assert ran.out.count("token_type_id") == 3
    assert "in the choice that is chosen" in " ".join(ran.out.split())


def test_choices_as_json_and_on_the_page(cli: Cli, chooser: Path, tmp_path: Path):
    found = cli("inspect", chooser, *QUESTION, *CHOICES, "--json").json["choices"]
    assert [choice["choice"] for choice in found] == ["好", "很好", "不"]
    assert found[2]["tokens"][-2]["token"] == "不"
    file = tmp_path / "page.html"
    assert cli("inspect", chooser, *QUESTION, "--choice", "好", "--choice", "<b>", "--html", file).status == 0
    text = file.read_text(encoding="utf-8")
    parsed = Page()
    parsed.feed(text)
    assert parsed.tags.count("details") == 2
    assert "1 · &lt;b&gt; <span>" in text, "a choice is text"
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    assert [attention["of"] for attention in data["attention"]] == [len(choice["tokens"]) for choice in data["choices"]]
    assert sum(len(choice["tokens"]) for choice in data["choices"]) == parsed.chips


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (QUESTION, "needs choices; the texts that it is given are context and then question; a choice is given with --choice, once for each"),
        ((*QUESTION, "--choice", "好"), "choices has only '好'; at least two are needed"),
        ((*QUESTION, "--choice", "好", "--choice", " "), "choice 1 is empty"),
    ],
)
def test_mistakes_with_choices(cli: Cli, chooser: Path, arguments: tuple[str, ...], message: str):
    ran = cli("inspect", chooser, *arguments)
    assert (ran.status, ran.out) == (2, "")
    assert message in ran.err


def test_choices_are_for_multiple_choice(cli: Cli, models: Path):
    assert "the task 'single' has none; leave them out" in cli("inspect", models / "single", "很好", *CHOICES).err
    assert "a model without a task has none; leave them out" in cli("inspect", models / "pretrained", "很好", *CHOICES).err
