"""A question, a text, and the place that answers it."""

import json
import math
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertsmith.core.errors import DataError
from bertsmith.core.types import IGNORED, Example, Features
from bertsmith.data.dataset import Dataset
from bertsmith.inference.engine import Engine
from bertsmith.metrics import reading
from bertsmith.models import create
from bertsmith.tasks.extractive_qa import ExtractiveQuestionAnswering as Reading
from bertsmith.tasks.outcome import Outcome
from bertsmith.tasks.questions import nearest_sentence, right_answers
from bertsmith.text.tokenizer import Tokenizer
from tests.tasks.sentences import SMALL, TOKENIZER, batch_of, examples

CONTEXT = "c d e f g h i j"
ASKED = {"question": "a b", "context": CONTEXT}
SMALL_WINDOWS = Reading(max_length=11, stride=3, max_question=4)
"""Of a context, 6 tokens go beside a question of 2."""


def answered(*texts: str, start: int | None = None, context: str = CONTEXT) -> list[dict[str, Any]]:
    return [{"text": text, "start": context.find(text) if start is None else start} for text in texts]


def example(text: str | None = None, **others: Any) -> Example:
    return examples({**ASKED, "answers": [] if text is None else answered(text), **others})[0]


def rows_of(task: Reading, *rows: Example, tokenizer: Tokenizer = TOKENIZER, labelled: bool = True) -> list[Features]:
    return list(task.encode(rows, tokenizer, labelled=labelled))


def said(task: Reading, rows: list[Features], found: list[Example], *best: tuple[int, float, int, float], silence: float = -9.0) -> Outcome:
    """An outcome where every window's scores are 0 but those of a first and of a last token, and those of [CLS]."""
    outputs = []
    for row, (first, start, last, end) in zip(rows, best, strict=True):
        scores = np.zeros((1 + len(row["begins"]), 2), np.float32)
        scores[0] = silence / 2
        scores[1 + first, 0], scores[1 + last, 1] = start, end
        outputs.append(scores)
    return Outcome(outputs, rows, found, TOKENIZER)


class TestWindows:
    def test_a_context_that_fits_is_one_row(self):
        [row] = rows_of(Reading(max_length=16), example("e f"))
        assert {name: (values.tolist(), values.dtype.name) for name, values in row.items()} == {
            "input_ids": ([2, 5, 6, 3, 7, 8, 9, 10, 11, 12, 13, 14, 3], "int32"),
            "token_type_ids": ([0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1], "int32"),
            "truncated": ([0], "int32"),
            "context": ([4], "int32"),
            "begins": ([0, 2, 4, 6, 8, 10, 12, 14], "int32"),
            "ends": ([1, 3, 5, 7, 9, 11, 13, 15], "int32"),
            "widest": ([1, 1, 1, 1, 1, 1, 1, 1], "uint8"),
            "example": ([0], "int32"),
            "answer": ([6, 7], "int64"),
        }

    def test_a_longer_one_is_several_and_points_to_cls_where_the_answer_is_not(self):
        rows = rows_of(SMALL_WINDOWS, example("d e"), example("h i"), example("e f g h"))
        assert [row["example"].item() for row in rows] == [0, 0, 1, 1, 2, 2]
        assert [row["input_ids"].tolist() for row in rows[:2]] == [[2, 5, 6, 3, 7, 8, 9, 10, 11, 12, 3], [2, 5, 6, 3, 10, 11, 12, 13, 14, 3]]
        assert [row["widest"].tolist() for row in rows[:2]] == [[1, 1, 1, 1, 1, 0], [0, 0, 1, 1, 1]]
        assert [row["begins"].tolist() for row in rows[:2]] == [[0, 2, 4, 6, 8, 10], [6, 8, 10, 12, 14]]
        assert [row["answer"].tolist() for row in rows] == [[5, 6], [0, 0], [0, 0], [6, 7], [6, 9], [0, 0]]

    def test_a_question_without_an_answer_points_to_cls_in_every_window(self):
        assert [row["answer"].tolist() for row in rows_of(SMALL_WINDOWS, example(None))] == [[0, 0], [0, 0]]

    def test_a_long_question_is_cut_once_and_counted_once(self):
        task = Reading(max_length=16, max_question=3, stride=4)
        rows = rows_of(task, example("e", question="a b a b a b"))
        assert [row["truncated"].item() for row in rows] == [3]
        rows = rows_of(Reading(max_length=11, stride=1, max_question=64), example("e", question="a " * 50))
        assert [row["truncated"].item() for row in rows] == [46, 0, 0, 0, 0], "half of the room is left for the context"
        assert all(len(row["input_ids"]) <= 11 for row in rows)

    def test_a_context_is_tokenised_once_for_all_its_questions(self, monkeypatch: pytest.MonkeyPatch):
        seen: list[str] = []
        whole = Tokenizer.pieces_many
        monkeypatch.setattr(Tokenizer, "pieces_many", lambda self, texts: seen.extend(texts) or whole(self, texts))
        rows_of(SMALL_WINDOWS, *(example("e", question=question) for question in "abcab"))
        assert sorted(seen) == sorted(["a", "b", "c", CONTEXT])

    def test_chunks_do_not_change_what_is_encoded(self, monkeypatch: pytest.MonkeyPatch):
        found = [example("e"), example("f"), example(None), example("j")]
        whole = rows_of(SMALL_WINDOWS, *found)
        monkeypatch.setattr("bertsmith.tasks.extractive_qa.CHUNK", 2)
        for ours, expected in zip(rows_of(SMALL_WINDOWS, *found), whole, strict=True):
            assert {name: values.tolist() for name, values in ours.items()} == {name: values.tolist() for name, values in expected.items()}


class TestAnswersInTheData:
    def test_the_first_answer_that_is_in_the_context_is_learned(self):
        [row] = rows_of(Reading(max_length=16), example(answers=[{"text": "x", "start": 0}, {"text": "g", "start": 8}, {"text": "c", "start": 0}]))
        assert row["answer"].tolist() == [8, 8]

    def test_one_that_is_not_at_its_start_is_looked_for(self):
        [row] = rows_of(Reading(max_length=16), example(answers=answered("g h", start=3)))
        assert row["answer"].tolist() == [8, 9]

    def test_a_part_of_a_token_is_the_token(self):
        tokenizer = Tokenizer.from_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "play", "##ing", "who"])
        [row] = rows_of(Reading(), example(question="who", context="play playing", answers=[{"text": "in", "start": 9}]), tokenizer=tokenizer)
        assert row["answer"].tolist() == [5, 5]

    def test_one_that_no_token_holds_takes_no_part_in_the_loss(self):
        context = "c \u200b d"  # a character that tokenizers drop
        batch, [row, _] = batch_of(Reading(), [example(context=context, answers=answered("\u200b", context=context)), example("e")])
        assert row["answer"].tolist() == [IGNORED, IGNORED]
        assert batch.counts == {"extractive_qa": 1}

    def test_settling_drops_for_training_what_cannot_be_learned_and_counts_what_was_mended(self):
        data = Dataset.of([
            example("e f"), example(answers=answered("g h", start=2)), example(answers=answered("x y", start=0)),
            example(None), example(answers=None), example(answers=answered("g  h", start=8)),
        ])  # fmt: skip
        settled = Reading().settled(data, training=True)
        assert [row["answers"] for row in settled] == [data[place]["answers"] for place in (0, 1, 3, 5)]
        assert settled.dropped == {"no answer is in the context": 1, "no answers (a question that has none has the empty list)": 1}
        assert settled.mended == {
            "an answer is not at its start, but elsewhere in the context": 1,
            "an answer stands in the context with other spaces or widths": 1,
        }
        assert {row.line for row in (*settled.dropped_rows, *settled.mended_rows)} == {2}
        measured = Reading().settled(data)
        assert len(measured) == 5, "it can be measured against"
        assert measured.mended["no answer is in the context; it is measured against all the same"] == 1

    def test_answers_that_are_none_are_listed(self):
        wrong = examples(
            {**ASKED, "answers": "e"},
            {**ASKED, "answers": [{"text": "e"}]},
            {**ASKED, "answers": [{"text": " ", "start": 1}]},
            {**ASKED, "answers": [3]},
        )
        for use in (lambda: Reading().settled(Dataset.of(wrong)), lambda: Reading().fitted(wrong), lambda: rows_of(Reading(), *wrong)):
            with pytest.raises(DataError) as caught:
                use()
            assert [problem.split(" ")[0] for problem in caught.value.problems] == [f"train.tsv:{line}:" for line in (2, 3, 4, 5)]
            assert "answers is 'e', not a list" in caught.value.problems[0]
            assert "is empty; a question without an answer has none: []" in caught.value.problems[2]

    def test_questions_and_contexts_that_are_none_are_listed_for_prediction_too(self):
        wrong = [example(question=" "), example(context=None), example(context=3), example(question=None, context="\0")]
        with pytest.raises(DataError, match="4 questions cannot be used for the task 'extractive_qa'") as caught:
            rows_of(Reading(), *wrong, labelled=False)
        assert caught.value.problems == (
            "train.tsv:2: question is empty",
            "train.tsv:2: no context",
            "train.tsv:2: context is '3' (int), not a string",
            "train.tsv:2: no question; context holds a NUL character",
        )

    def test_whether_there_are_questions_without_an_answer_is_told_by_the_training_data(self):
        assert Reading().fitted([example("e")]).unanswerable is False
        assert Reading().fitted([example("e"), example(None)]).unanswerable is True
        assert Reading(unanswerable=False).fitted([example("e"), example(None)]).unanswerable is False
        with pytest.raises(DataError, match="not one of 1 questions has an answer"):
            Reading().fitted([example(None)])

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"stride": 0}, "stride is 0; it must be at least 1"),
            ({"max_question": 0}, "max_question is 0"),
            ({"max_answer": -1}, "max_answer is -1"),
            ({"n_best": 0}, "n_best is 0"),
            ({"n_best": 21}, "n_best is 21; it must be at most 20"),
            ({"null_threshold": 1.5}, "null_threshold is 1.5; it must be from 0 to 1"),
            ({"labels": ("a", "b")}, "labels are given; an answer is a place in its context"),
            ({"max_length": 7}, "max_length is 7"),
        ],
    )
    def test_impossible_options_are_refused_by_name(self, options: dict[str, Any], message: str):
        with pytest.raises(ValueError, match=message):
            Reading(**options)


class TestDecoding:
    def test_the_best_span_of_all_windows_is_the_answer(self):
        found = [example("d e")]
        rows = rows_of(SMALL_WINDOWS, *found, labelled=False)
        [prediction] = SMALL_WINDOWS.decode(said(SMALL_WINDOWS, rows, found, (1, 3.0, 2, 3.0), (2, 4.0, 3, 3.5)))
        assert (prediction["answer"], prediction["start"], prediction["end"]) == ("h i", 10, 13)
        assert [one["answer"] for one in prediction["n_best"][:2]] == ["h i", "d e"]
        assert len(prediction["n_best"]) == 5
        assert "no_answer" not in prediction
        assert prediction["score"] == prediction["n_best"][0]["score"]
        assert prediction["n_best"][1]["score"] / prediction["score"] == pytest.approx(math.exp(6.0 - 7.5), rel=1e-4)
        json.dumps(prediction, allow_nan=False)

    def test_a_span_begins_where_its_window_shows_it_best(self):
        found = [example("d e")]
        rows = rows_of(SMALL_WINDOWS, *found, labelled=False)
        [prediction] = SMALL_WINDOWS.decode(said(SMALL_WINDOWS, rows, found, (0, 1.0, 0, 1.0), (0, 9.0, 1, 9.0)))
        assert not prediction["answer"].startswith("f"), "the first token of the second window belongs to the first one"

    def test_an_answer_is_no_longer_than_allowed(self):
        task = Reading(max_length=16, max_answer=2)
        found = [example("d e")]
        [prediction] = task.decode(said(task, rows_of(task, *found), found, (1, 9.0, 4, 9.0)))
        assert len(prediction["answer"].split()) <= 2

    def test_without_tokens_there_is_no_answer(self):
        found = [example(None, context="\u200b")]
        task = Reading()
        rows = rows_of(task, *found, labelled=False)
        nothing = {"answer": "", "start": None, "end": None, "score": 0.0, "n_best": []}
        assert task.decode(Outcome([np.zeros((1, 2), np.float32)], rows, found, TOKENIZER)) == [nothing]

    @pytest.mark.parametrize(("silence", "threshold", "answer"), [(5.0, None, "e f"), (7.0, None, ""), (7.0, 0.8, "e f"), (5.0, 0.2, "")])
    def test_nothing_is_said_where_that_is_probable_enough(self, silence: float, threshold: float | None, answer: str):
        task = Reading(max_length=16, unanswerable=True, null_threshold=threshold)
        found = [example("e f")]
        [prediction] = task.decode(said(task, rows_of(task, *found), found, (2, 3.0, 3, 3.0), silence=silence))
        assert prediction["answer"] == answer
        assert (prediction["start"], prediction["end"]) == ((None, None) if not answer else (4, 7))
        assert prediction["no_answer"] == pytest.approx(1 / (1 + math.exp(6.0 - silence)), abs=1e-6)
        assert "" in [one["answer"] for one in prediction["n_best"]]
        assert prediction["score"] == next(one["score"] for one in prediction["n_best"] if one["answer"] == answer)

    def test_the_lowest_score_of_saying_nothing_counts(self):
        task = Reading(max_length=11, stride=3, unanswerable=True)
        found = [example(None)]
        rows = rows_of(task, *found)
        outcome = said(task, rows, found, (1, 3.0, 2, 3.0), (2, 1.0, 3, 1.0))
        outcome.outputs[0][0], outcome.outputs[1][0] = 1.0, 50.0
        [prediction] = task.decode(outcome)
        assert prediction["no_answer"] == pytest.approx(1 / (1 + math.exp(6.0 - 2.0)), abs=1e-6)

    @settings(max_examples=60)
    @given(st.text("ab好差 c\u0301d\U0001f600e\u3000", min_size=1, max_size=80), st.data())
    def test_every_answer_is_found_again_from_its_tokens(self, context: str, data: Any):
        start = data.draw(st.integers(0, len(context) - 1))
        end = data.draw(st.integers(start + 1, len(context)))
        if not context[start:end].strip():
            return
        task = Reading(max_length=24, stride=data.draw(st.integers(1, 20)), max_answer=80)
        found = [example(context=context, answers=[{"text": context[start:end], "start": start}])]
        rows = rows_of(task, *found)
        best = [(0, -5.0, 0, -5.0)] * len(rows)
        for number, row in enumerate(rows):
            first, last = (int(place) - int(row["context"][0]) for place in row["answer"])
            if row["answer"][0] > 0 and row["widest"][first]:
                best[number] = (first, 50.0, last, 50.0)
        if all(one[1] < 0 for one in best):
            return  # it lies across windows, or has no token
        [prediction] = task.decode(said(task, rows, found, *best))
        tokens = TOKENIZER.pieces(context).offsets
        held = {place for begin, stop in tokens.tolist() for place in range(begin, stop)} & set(range(start, end))
        assert prediction["answer"] == context[prediction["start"] : prediction["end"]]
        assert held <= set(range(prediction["start"], prediction["end"]))
        assert prediction["start"] >= min(begin for begin, stop in tokens.tolist() if stop > start)


class TestMetrics:
    def outcome(self, task: Reading) -> Outcome:
        found = [example("e f"), example("g h"), example(None)]
        rows = rows_of(task, *found)
        return said(task, rows, found, (2, 3.0, 3, 3.0), (4, 3.0, 4, 3.0), (0, 1.0, 0, 1.0), silence=4.0)

    def test_exact_and_f1_over_all_answers(self):
        task = Reading(max_length=16, unanswerable=False)
        metrics = task.metrics(self.outcome(task))
        assert metrics["exact"] == pytest.approx(1 / 3)
        assert metrics["f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
        assert task.correct(self.outcome(task)).tolist() == pytest.approx([1.0, 2 / 3, 0.0])
        interval = task.interval(self.outcome(task))
        assert interval.low <= metrics["f1"] <= interval.high

    def test_the_best_threshold_is_found_and_kept(self):
        task = Reading(max_length=16, unanswerable=True, null_threshold=None)
        outcome = self.outcome(task)
        outcome.outputs[2][0] = 0.9  # less than its best span by 0.2: at 0.5 it answers where there is nothing to answer
        metrics = task.metrics(outcome)
        assert metrics["no_answer_f1"] == 0.0
        assert metrics["best_f1"] == pytest.approx((1 + 2 / 3 + 1) / 3)
        tuned = task.tuned(outcome)
        assert tuned.metrics(outcome)["f1"] == pytest.approx(metrics["best_f1"])
        doubts = sorted(one["no_answer"] for one in task.decode(outcome))
        assert doubts[1] < tuned.null_threshold < doubts[2], "in the middle, not at a question"
        sure = self.outcome(task)
        sure.outputs[2][0] = 9.0
        assert task.tuned(sure).null_threshold == 0.5, "which does as well as any other"
        assert Reading(max_length=16, unanswerable=True, null_threshold=0.3).tuned(outcome).null_threshold == 0.3
        assert Reading(max_length=16, unanswerable=False).tuned(outcome).null_threshold is None

    def test_a_threshold_is_found_where_silence_is_certain_and_wrong(self):
        task = Reading(max_length=16, unanswerable=True)
        found = [example("e f"), example("g h"), example(None)]
        outcome = said(task, rows_of(task, *found), found, (2, 3.0, 3, 3.0), (4, 3.0, 5, 3.0), (0, 1.0, 0, 1.0), silence=99.0)
        assert {one["no_answer"] for one in task.decode(outcome)} == {1.0}
        tuned = task.tuned(outcome)
        assert tuned.null_threshold == 1.0, "no doubt is beyond it"
        assert (task.metrics(outcome)["f1"], tuned.metrics(outcome)["f1"]) == pytest.approx((1 / 3, 2 / 3))

    def test_the_baseline_is_a_sentence_or_nothing(self):
        context = "李白是诗人。杜甫生于巩县。他们是朋友。"
        assert nearest_sentence("杜甫生在哪里？", context) == "杜甫生于巩县。"
        found = [example(question="杜甫生在哪里？", context=context, answers=answered("巩县", context=context))]
        task = Reading()
        baseline = task.baseline(Outcome([], [], found, TOKENIZER))
        assert baseline["exact"] == 0.0
        assert baseline["f1"] == pytest.approx(2 * 2 / (6 + 2))
        silent = [*found, example(None), example(None)]
        assert task.baseline(Outcome([], [], silent, TOKENIZER))["f1"] == pytest.approx(2 / 3)

    def test_a_script_is_chosen_by_the_language_or_by_the_user(self):
        task, found = (
            Reading(),
            [example(question="谁？", context="答案是张三、李四。", answers=answered("张三、李四", context="答案是张三、李四。"))],
        )
        tokenizer = Tokenizer.from_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"谁？答案是张三、李四。"])
        rows = rows_of(task, *found, tokenizer=tokenizer)
        outcome = said(task, rows, found, (3, 9.0, 4, 9.0))
        assert task.metrics(outcome)["f1"] == pytest.approx(2 * 2 / (2 + 4)), "characters, without 、"
        assert Reading(metric="squad").metrics(outcome)["f1"] == 0.0

    def test_the_language_is_told_by_the_beginnings_of_contexts(self, monkeypatch: pytest.MonkeyPatch):
        lengths: list[int] = []
        monkeypatch.setattr(reading, "script_for", lambda texts: lengths.extend(map(len, texts)) or "squad")
        found = [example("e f", context=CONTEXT + " k" * 5000)]
        Reading().baseline(Outcome([], [], found, TOKENIZER))
        assert lengths == [2000], "a book is not counted through for every question"

    def test_right_are_all_answers_or_what_the_file_scores_by(self):
        assert right_answers(example(answers=answered("e", "f"))) == ["e", "f"]
        assert right_answers(example(answers=answered("e"), aliases=["E", "eh"])) == ["E", "eh"]
        assert Reading().gold(example(None)) == []
        assert Reading().gold(example(answers=None)) is None


class TestModels:
    def test_outputs_are_cls_and_the_context(self):
        model = create("bert", TOKENIZER, SMALL, {"span": 0}).model
        batch, rows = batch_of(SMALL_WINDOWS, [example("d e")])
        with torch.no_grad():
            outputs = SMALL_WINDOWS.outputs(model, batch)
            scores = model.heads["span"](model(batch))
        assert [tuple(output.shape) for output in outputs] == [(1 + len(row["begins"]), 2) for row in rows]
        assert torch.equal(outputs[1][0], scores[1, 0])
        assert torch.equal(outputs[1][1:], scores[1, 4:9])

    def test_a_text_of_a_megabyte_is_read_in_little_memory(self):
        context = "好差 " * 120_000 + "a b"  # 360,003 characters, 240,002 tokens
        task = Reading(max_length=128, stride=100, unanswerable=True)
        engine = Engine(create("bert", TOKENIZER, SMALL, {"span": 0}), task, device="cpu")
        tracemalloc.start()
        [prediction] = engine.predict([Example({"question": "a", "context": context})])
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert prediction["answer"] == context[prediction["start"] or 0 : prediction["end"] or 0]
        assert peak < 150e6

    def test_several_long_texts_are_read_one_after_the_other(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("bertsmith.core.chunks.MOST_CHARACTERS", 100)
        engine = Engine(create("bert", TOKENIZER, SMALL, {"span": 0}), Reading(max_length=32), device="cpu")
        found = [example(None, context=f"{CONTEXT} " * size) for size in (1, 20, 2, 30)]
        together = list(engine.predict(found))
        assert together == [prediction for one in found for prediction in engine.predict([one])]

    def test_what_is_marked_is_the_answer_and_every_token_once(self):
        task = SMALL_WINDOWS
        found = [example("h i")]
        marked = task.marked(said(task, rows_of(task, *found), found, (0, 0.0, 0, 0.0), (2, 9.0, 3, 9.0)))
        assert [(mark.start, mark.end, mark.name) for mark in marked.marks] == [(10, 13, "answer")]
        assert [marked.text[start:end] for start, end in marked.spans.tolist()] == list("cdefghij")
        assert marked.scores.shape == (8, 2)
        assert marked.scores.argmax(0).tolist() == [5, 6]
        assert (marked.scores.sum(0) <= 1).all()


def splinter_tokenizer(folder: Path) -> Tokenizer:
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[QUESTION]", ".", *"abcdefghij"]
    (folder / "vocab.txt").write_text("\n".join(tokens), encoding="utf-8")
    (folder / "config.json").write_text('{"model_type": "splinter"}', encoding="utf-8")
    return Tokenizer.from_folder(folder)


class TestSplinter:
    def test_the_question_ends_with_its_token_and_all_is_one_segment(self, tmp_path: Path):
        tokenizer = splinter_tokenizer(tmp_path)
        [row] = rows_of(Reading(), example("e f"), tokenizer=tokenizer)
        assert [tokenizer.token(number) for number in row["input_ids"]] == "[CLS] a b [QUESTION] . [SEP] c d e f g h i j [SEP]".split()
        assert not row["token_type_ids"].any()
        assert row["answer"].tolist() == [8, 9]
        assert row["context"].tolist() == [6]

    def test_no_token_looks_at_a_separator_and_none_is_an_answer(self, tmp_path: Path):
        tokenizer = splinter_tokenizer(tmp_path)
        task, found = Reading(), [example("e f"), example("c", context="c")]
        rows = rows_of(task, *found, tokenizer=tokenizer)
        batch = task.collate(rows, [], tokenizer)
        assert batch.attention_mask[0].tolist() == [1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0]
        model = create("splinter", tokenizer, {**SMALL, "question_token_id": 5}, {"span": 0}).model
        with torch.no_grad():
            outputs = task.outputs(model, batch)
        assert [len(output) for output in outputs] == [9, 2]
        assert all(output.isfinite().all() for output in outputs)
        loss = task.loss(model, batch)["extractive_qa"]
        loss.backward()
        assert loss.isfinite()
        assert all(weight.grad is None or weight.grad.isfinite().all() for weight in model.parameters())

    def test_the_engine_reads_it_as_the_model_does(self, tmp_path: Path):
        tokenizer = splinter_tokenizer(tmp_path)
        task, found = Reading(max_length=12, stride=2), [example(None), example(None, question="c d a")]
        checkpoint = create("splinter", tokenizer, {**SMALL, "question_token_id": 5, "initializer_range": 0.5}, {"span": 0})
        rows = rows_of(task, *found, tokenizer=tokenizer, labelled=False)
        with torch.no_grad():
            expected = [output.numpy() for output in task.outputs(checkpoint.model, task.collate(rows, [], tokenizer))]
        for ours, own in zip(Engine(checkpoint, task, precision="float32", device="cpu").outputs(rows), expected, strict=True):
            np.testing.assert_allclose(ours, own, atol=1e-4)
