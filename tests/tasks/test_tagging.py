"""Tagging: from rows to windows and tags, and from tags to entities."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bertsmith.core.errors import DataError
from bertsmith.core.types import Example
from bertsmith.data.dataset import Dataset
from bertsmith.layers.layout import Encoded
from bertsmith.models import create
from bertsmith.models.family import Model
from bertsmith.report.errors import analysed
from bertsmith.tasks import tagging
from bertsmith.tasks.outcome import Outcome
from bertsmith.tasks.tagged_text import BROKEN
from bertsmith.tasks.tagging import Tagging
from bertsmith.text.tokenizer import Tokenizer
from tests.tasks.sentences import SMALL

LETTERS = "abcdefghij"
TOKENIZER = Tokenizer.from_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS), *"我在北京好，"])
TASK = Tagging(labels=("LOC", "PER"), max_length=16)
NAME_ONE = "name one: --column text=… on the command line, columns = { text = … } in a recipe"


def conll(tokens: str | Sequence[str], tags: str = "", line: int = 1) -> Example:
    """A sentence; tags are given by their first letters: `BL` is B-LOC."""
    words = tokens.split() if isinstance(tokens, str) else list(tokens)
    types = {"L": "LOC", "P": "PER"}
    written = ["O" if tag == "O" else f"{tag[0]}-{types[tag[1]]}" for tag in tags.split()]
    return Example({"tokens": words, **({"tags": written} if tags else {})}, "train.conll", line)


def spans(text: str, *entities: tuple[int, int, str], line: int = 1) -> Example:
    items = [{"start": start, "end": end, "label": label} for start, end, label in entities]
    return Example({"text": text, "entities": items}, "train.jsonl", line)


class Told(nn.Module):
    """A head that says what it was told to say."""

    def __init__(self, scores: Tensor) -> None:
        super().__init__()
        self.scores = scores

    def forward(self, encoded: Encoded) -> Tensor:
        return self.scores


def outputs_of(task: Tagging, examples: Sequence[Example], scores: dict[int, dict[str, float]], chain: nn.Module | None = None) -> Outcome:
    """What a model says that gives some tags a score: by the place in the row, then by tag."""
    rows = list(task.encode(examples, TOKENIZER, labelled=False))
    batch = task.collate(rows, [np.random.default_rng(0)] * len(rows), TOKENIZER)
    table = torch.zeros(*batch.input_ids.shape, len(task.tags.names))
    for place, said in scores.items():
        for tag, score in said.items():
            table[:, place, task.tags.names.index(tag)] = score
    model = create("bert", TOKENIZER, SMALL, {task.head: len(task.tags.names)}).model
    head = Told(table)
    head.add_module("chain", chain or nn.Identity())
    model.heads[task.head] = head
    with torch.no_grad():
        return Outcome([output.numpy() for output in task.outputs(model, batch)], rows, examples, TOKENIZER)


def perfect(task: Tagging, examples: Sequence[Example]) -> Outcome:
    """What a model says that is always right."""
    rows = list(task.encode(examples, TOKENIZER))
    return Outcome([np.stack([row["tags"], np.ones(len(row["tags"]))], 1) for row in rows], rows, examples, TOKENIZER)


class TestEncoding:
    def test_the_first_piece_of_every_token_is_tagged(self):
        [row] = TASK.encode([conll("我 abc 好", "O BL O")], TOKENIZER)
        assert [TOKENIZER.token(number) for number in row["input_ids"]] == ["[CLS]", "我", "a", "##b", "##c", "好", "[SEP]"]
        assert row["places"].tolist() == [1, 2, 5]
        assert [TASK.tags.names[number] for number in row["tags"]] == ["O", "B-LOC", "O"]
        assert row["whole"].tolist() == [1, 1]

    def test_spans_of_characters_become_tags_of_words(self):
        [row] = TASK.encode([spans("我在北京 abc d。", (2, 4, "LOC"), (5, 10, "PER"))], TOKENIZER)
        names = [TASK.tags.names[number] for number in row["tags"]]
        assert names == ["O", "O", "B-LOC", "I-LOC", "B-PER", "I-PER", "O"]

    def test_the_other_scheme(self):
        task = Tagging(labels=("LOC",), scheme="bioes")
        [row] = task.encode([conll("a b c d e f", "BL O BL IL IL O")], TOKENIZER)
        assert [task.tags.names[number] for number in row["tags"]] == ["S-LOC", "O", "B-LOC", "I-LOC", "E-LOC", "O"]

    def test_a_long_text_has_windows(self):
        text = conll("a b c d e f g h i j", "O BL IL IL IL O O O BP O")
        rows = list(Tagging(labels=("LOC", "PER"), max_length=8, stride=4).encode([conll("a", "O"), text], TOKENIZER))
        assert [int(row["example"][0]) for row in rows] == [0, 1, 1]
        assert [row["units"].tolist() for row in rows[1:]] == [[0, 1, 2, 3, 4, 5], [4, 5, 6, 7, 8, 9]]
        assert [row["whole"].tolist() for row in rows[1:]] == [[1, 0], [0, 1]]
        assert rows[2]["tags"].tolist() == [2, 0, 0, 0, 3, 0]
        assert all(len(row["input_ids"]) == 8 for row in rows[1:])

    def test_half_a_window_is_the_step_where_none_is_given(self):
        rows = list(Tagging(labels=("LOC",), max_length=10).encode([conll("a b c d e f g h i j", "O " * 10)], TOKENIZER))
        assert [row["units"].tolist() for row in rows] == [[0, 1, 2, 3, 4, 5, 6, 7], [4, 5, 6, 7, 8, 9]]

    def test_a_text_without_anything_to_tag_is_a_row_without_tags(self):
        examples = [conll([], ""), spans(" "), conll("\u0096")]
        rows = list(TASK.encode(examples, TOKENIZER, labelled=False))
        assert [row["places"].tolist() for row in rows] == [[], [], []]
        assert TASK.decode(Outcome([np.zeros((0, 2))] * 3, rows, examples)) == [
            {"text": "", "entities": [], "tags": []},
            {"entities": []},
            {"text": "\u0096", "entities": [], "tags": ["O"]},
        ]

    def test_every_mistake_is_listed_with_its_place(self):
        rows = [
            conll("a b", "O BL", 1),
            conll("a b", "O", 4),
            Example({"tokens": ["a"], "tags": ["PER"]}, "train.conll", 7),
            spans("a b", (0, 1, "LOC"), (0, 3, "PER"), line=2),
            spans("a b", (0, 1, "LOCC"), line=3),
            Example({"label": 1}, "train.jsonl", 4),
        ]
        with pytest.raises(DataError) as caught:
            list(TASK.encode(rows, TOKENIZER))
        assert caught.value.problems == (
            "train.conll:4: 1 tags for 2 tokens",
            "train.conll:7: tag 'PER' is neither O nor a type after B-, I-, E-, S-, M-, L- or U-, such as B-PER",
            "train.jsonl:2: entity 'LOC' at 0 to 1 overlaps 'PER' at 0 to 3; tags cannot say that: leave one of them out",
            "train.jsonl:3: entity type 'LOCC' is not one of 'LOC', 'PER' (did you mean 'LOC'?)",
            f"train.jsonl:4: no text and no tokens; columns there are: 'label'; {NAME_ONE}",
        )

    def test_entities_that_pieces_cannot_tell_apart_are_counted(self, monkeypatch: pytest.MonkeyPatch):
        whole = Example({"tokens": list("我北京好"), "tags": ["O", "O", "B-LOC", "O"]}, "train.conll", 1)
        pieces = TOKENIZER.pieces("我北京好")
        joint = type(pieces)(pieces.input_ids[[0, 1, 3]], np.array([[0, 1], [1, 3], [3, 4]], np.int32))
        tokenised = TOKENIZER.pieces_many
        monkeypatch.setattr(TOKENIZER, "pieces_many", lambda texts: [joint] if texts == ["我北京好"] else tokenised(texts))
        [row] = TASK.encode([whole], TOKENIZER)
        assert row["lost"].tolist() == [1]
        assert (row["units"].tolist(), row["lasts"].tolist()) == ([0, 1, 3], [0, 2, 3])
        assert next(TASK.remarks([row, row])).startswith("2 entities begin inside a piece")
        assert list(TASK.remarks([{**row, "lost": np.array([0])}])) == []


class TestFitting:
    def test_types_come_from_both_kinds_of_rows(self):
        task = Tagging().fitted([conll("a b", "BP IP"), spans("a", (0, 1, "ORG"))])
        assert task.labels == ("ORG", "PER")
        assert task.output_labels == ("O", "B-ORG", "I-ORG", "B-PER", "I-PER")

    def test_data_without_entities_is_refused(self):
        with pytest.raises(DataError, match=r"no entity in 2 examples \(are the columns named `tokens` and `tags`, or `text` and `entities`\?\)"):
            Tagging().fitted([conll("a", "O"), spans("a")])

    def test_bad_rows_are_listed(self):
        with pytest.raises(DataError, match="1 example cannot be used") as caught:
            Tagging().fitted([conll("a b", "BL", 3), conll("a", "BL", 6)])
        assert caught.value.problems == ("train.conll:3: 1 tags for 2 tokens",)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"stride": 0}, "stride is 0; it must be at least 1"),
            ({"labels": ("O", "PER")}, r"labels has O, so all of them are tags \(leave O out to name types alone\): 'PER' is not a tag"),
            ({"labels": ("PER", "PER")}, "labels has 'PER' more than once"),
        ],
    )
    def test_impossible_options(self, options: dict[str, Any], message: str):
        with pytest.raises(ValueError, match=message):
            Tagging(**options)


class TestSettling:
    def test_broken_tags_are_counted_with_their_lines_and_every_row_gets_its_text(self):
        rows = [conll("我 a", "O IL", 1), conll("b c", "BL IL", 4), conll("d e", "BL IP", 7), spans("f", line=1)]
        settled = TASK.settled(Dataset.of(rows))
        assert [(row.line, row.message) for row in settled.mended_rows] == [(1, BROKEN), (7, BROKEN)]
        assert settled.mended == {BROKEN: 2}
        assert [row["text"] for row in settled] == ["我a", "b c", "d e", "f"]
        assert settled[0].line == 1
        assert settled[0]["tags"] == ["O", "I-LOC"]

    def test_what_cannot_be_used_is_left_for_the_list_of_mistakes(self):
        settled = TASK.settled(Dataset.of([conll("a b", "O", 1)]))
        assert settled.mended_rows == ()
        assert len(settled) == 1


class TestDecoding:
    def test_entities_of_tokens(self):
        outcome = outputs_of(TASK, [conll("我 abc d 好")], {1: {"O": 10.0}, 2: {"B-LOC": 10.0}, 5: {"I-LOC": 10.0}, 6: {"O": 10.0}})
        [prediction] = TASK.decode(outcome)
        share = np.exp(10) / (np.exp(10) + 4)
        assert prediction == {
            "text": "我abc d好",
            "entities": [{"start": 1, "end": 6, "label": "LOC", "text": "abc d", "score": pytest.approx(share, abs=1e-5)}],
            "tags": ["O", "B-LOC", "I-LOC", "O"],
        }

    def test_entities_of_a_text(self):
        [prediction] = TASK.decode(outputs_of(TASK, [Example({"text": "在 abc！"})], {1: {"O": 5.0}, 2: {"B-PER": 5.0}, 5: {"O": 5.0}}))
        [entity] = prediction["entities"]
        assert (entity["start"], entity["end"], entity["label"], entity["text"]) == (2, 5, "PER", "abc")
        assert prediction.keys() == {"entities"}

    def test_the_score_is_the_mean_probability_of_the_tags(self):
        outcome = outputs_of(TASK, [conll("a b")], {1: {"B-LOC": np.log(4)}, 2: {"I-LOC": np.log(12)}})
        [prediction] = TASK.decode(outcome)
        assert prediction["entities"][0]["score"] == pytest.approx((4 / 8 + 12 / 16) / 2, abs=1e-6)

    def test_what_the_scheme_forbids_is_not_said(self):
        """I-LOC is the best tag of b, but would have to follow B-LOC, which is much worse than O for a."""
        for begin, expected in ((0.0, ["O", "B-PER"]), (4.0, ["B-LOC", "I-LOC"])):
            said = {1: {"O": 5.0, "B-LOC": begin}, 2: {"I-LOC": 3.0, "B-PER": 1.5}}
            assert TASK.decode(outputs_of(TASK, [conll("a b")], said))[0]["tags"] == expected

    def test_a_window_may_begin_inside_an_entity(self):
        task = Tagging(labels=("LOC",), max_length=8, stride=6)
        outcome = outputs_of(
            task, [conll("a b c d e f g h i j")], {1: {"I-LOC": 3.0, "O": 1.0}, **{place: {"O": 1.0} for place in (2, 3, 4, 5)}, 6: {"B-LOC": 3.0}}
        )
        assert [output[:, 0].astype(int).tolist() for output in outcome.outputs] == [[0, 0, 0, 0, 0, 1], [2, 0, 0, 0]]
        assert task.decode(outcome)[0]["tags"] == ["O"] * 5 + ["B-LOC", "I-LOC"] + ["O"] * 3

    def test_a_unit_of_two_windows_is_read_where_it_has_more_around_it(self):
        task = Tagging(labels=("LOC",), max_length=10, stride=4)
        outcome = outputs_of(task, [conll("a b c d e f g h i j")], {})
        first, second = outcome.outputs
        assert [output["units"].tolist() for output in outcome.rows] == [[0, 1, 2, 3, 4, 5, 6, 7], [4, 5, 6, 7, 8, 9]]
        first[:, 0], second[:, 0] = 1, 0
        assert task.decode(outcome)[0]["tags"] == ["B-LOC"] * 6 + ["O"] * 4

    def test_a_chain_decides_where_scores_do_not(self):
        task = Tagging(labels=("LOC",), crf=True)
        chain = create("bert", TOKENIZER, SMALL, {"crf": 3}).model.heads["crf"].get_submodule("chain")
        with torch.no_grad():
            for weight in chain.parameters():
                weight.zero_()
            plain = outputs_of(task, [conll("a b")], {1: {"B-LOC": 1.0}, 2: {"O": 0.5}}, chain)
            chain.get_parameter("transitions.weight")[1, 2] = 1.0
            moved = outputs_of(task, [conll("a b")], {1: {"B-LOC": 1.0}, 2: {"O": 0.5}}, chain)
        assert [task.decode(outcome)[0]["tags"] for outcome in (plain, moved)] == [["B-LOC", "O"], ["B-LOC", "I-LOC"]]
        paths = {("O", "O"): 0.5, ("O", "B"): 0.0, ("B", "O"): 1.5, ("B", "I"): 2.0, ("B", "B"): 1.0}
        total = sum(np.exp(score) for score in paths.values())
        shares = [np.exp([1.5, 2.0, 1.0]).sum() / total, np.exp(2.0) / total]
        np.testing.assert_allclose(moved.outputs[0][:, 1], shares, rtol=1e-5)

    def test_what_is_marked(self):
        marked = TASK.marked(outputs_of(TASK, [conll("我 abc 好")], {1: {"O": 1.0}, 2: {"B-LOC": np.log(4)}, 5: {"O": 1.0}}))
        assert [(part, mark and mark.name) for part, mark in marked.pieces()] == [("我", None), ("abc", "LOC"), ("好", None)]
        assert marked.names == ("LOC", "PER")
        assert marked.spans.tolist() == [[0, 1], [1, 4], [4, 5]]
        np.testing.assert_allclose(marked.scores, [[0, 0], [0.5, 0], [0, 0]], rtol=1e-6)


class TestMeasuring:
    def test_by_hand(self):
        """Of three entities one is found, one has the wrong end, one the wrong type; one is found where there is none."""
        gold = [conll("a b c d", "BL O BP IP"), conll("e f g", "BP O O")]
        said = [conll("a b c d", "BL O BP O"), conll("e f g", "BL O BL")]
        outcome = perfect(TASK, said)
        measured = TASK.metrics(Outcome(outcome.outputs, outcome.rows, gold, TOKENIZER))
        assert measured["precision"] == 1 / 4
        assert measured["recall"] == 1 / 3
        assert measured["f1"] == pytest.approx(2 / 7)
        assert measured["f1_LOC"] == pytest.approx(2 * 1 / (1 + 3))
        assert measured["f1_PER"] == 0
        assert measured["macro_f1"] == pytest.approx(0.25)
        types = TASK.by_label(Outcome(outcome.outputs, outcome.rows, gold, TOKENIZER))
        assert types["LOC"] == {"precision": 1 / 3, "recall": 1.0, "f1": 0.5, "support": 1}
        assert types["PER"]["support"] == 2

    def test_all_right(self):
        rows = [conll("我 在 北 京 abc", "O O BL IL BP"), spans("a b, c", (0, 1, "PER"), (2, 6, "LOC")), conll("a", "O")]
        outcome = perfect(TASK, rows)
        assert set(TASK.metrics(outcome).values()) == {1.0}
        assert TASK.correct(outcome).tolist() == [1.0, 1.0, 1.0]
        assert TASK.interval(outcome).high == 1.0
        assert TASK.baseline(outcome) == dict.fromkeys(["f1", "precision", "recall", "macro_f1", "strict_f1", "f1_LOC", "f1_PER"], 0.0)

    def test_broken_tags_count_as_they_are_read_and_not_strictly(self):
        outcome = perfect(TASK, [conll("a b c", "BL O IP")])
        measured = TASK.metrics(outcome)
        assert measured["f1"] == 1.0
        assert measured["strict_f1"] == pytest.approx(2 / 3)

    def test_an_error_analysis_puts_the_windows_together_once(self, monkeypatch: pytest.MonkeyPatch):
        asked: list[object] = []
        plain = tagging.spans
        monkeypatch.setattr(tagging, "spans", lambda outcome, tags: asked.append(tags) or plain(outcome, tags))
        outcome = perfect(TASK, [conll("a b", "BL BP"), spans("a b", (0, 1, "LOC"))])
        analysed(TASK, outcome)
        TASK.interval(outcome)
        assert asked == [TASK.tags]

    def test_a_part_of_a_word_cannot_be_found(self):
        outcome = perfect(TASK, [spans("abcd e", (0, 2, "LOC"), (5, 6, "PER"))])
        assert TASK.metrics(outcome)["f1"] == 0.5

    def test_the_score_of_every_text(self):
        said = perfect(TASK, [conll("a b", "BL BP"), conll("a b", "O O"), conll("a b", "BL O"), conll("a b", "O O")])
        gold = [conll("a b", "BL BL"), conll("a b", "BL O"), conll("a b", "O O"), conll("a b", "O O")]
        outcome = Outcome(said.outputs, said.rows, gold, TOKENIZER)
        assert TASK.correct(outcome).tolist() == [0.5, 0.0, 0.0, 1.0]
        interval = TASK.interval(outcome)
        assert interval.low <= TASK.metrics(outcome)["f1"] <= interval.high
        assert interval.low < interval.high

    def test_a_person_reads_the_text(self):
        assert TASK.shown(conll("我 在 北 京")) == {"text": "我在北京"}
        assert TASK.shown(spans("a b")) == {"text": "a b"}

    def test_what_is_right_as_a_prediction_would_say_it(self):
        assert TASK.gold(conll("我 在 北 京", "O O BL IL")) == [{"start": 2, "end": 4, "label": "LOC", "text": "北京"}]
        assert TASK.gold(spans("abcd", (0, 2, "LOC"))) == [{"start": 0, "end": 2, "label": "LOC", "text": "ab"}]
        assert TASK.gold(conll("a")) is None


@pytest.mark.parametrize("crf", [False, True])
def test_a_batch_with_a_text_without_tokens_has_a_finite_loss_and_outputs(crf: bool):
    task = Tagging(labels=("LOC",), crf=crf)
    model: Model = create("bert", TOKENIZER, SMALL, {task.head: 3}).model
    for examples in ([conll([], ""), conll("a b", "BL O")], [Example({"text": "", "entities": []})]):
        rows = list(task.encode([Example({"tags": [], **example.values}) for example in examples], TOKENIZER))
        batch = task.collate(rows, [np.random.default_rng(0)] * len(rows), TOKENIZER)
        loss = task.loss(model, batch)["tagging"]
        assert loss.isfinite()
        assert (loss == 0) == (batch.counts["tagging"] == 0)
        assert [len(output) for output in task.outputs(model, batch)] == [len(row["places"]) for row in rows]
