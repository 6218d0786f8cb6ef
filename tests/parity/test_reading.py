"""Reading comprehension: losses, windows and answers are those of `transformers`."""

import json
from itertools import islice
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from bertsmith.core.types import Batch, Example
from bertsmith.tasks.extractive_qa import ExtractiveQuestionAnswering as Reading
from bertsmith.text.tokenizer import Tokenizer
from tests.parity.peers import assert_close, assert_gradients_equal, inputs, pair, ragged
from tests.text.test_families import KINDS

ANSWERS = torch.tensor([[2, 3], [0, 0], [8, 8]])
ONE_SEGMENT = {"splinter", "xlm-roberta"}
"""As the first was pre-trained, and as the second has it: cut into windows, its tokenizer says 1 in places, and its model does not read that."""


@pytest.mark.parametrize("family", ["bert", "roberta", "electra", "distilbert", "splinter"])
def test_the_loss_is_equal(family: str, tmp_path: Path):
    both = pair(family, "span", tmp_path)
    batch = ragged(family, lengths=(9, 9, 9))
    labels = {"answer": ANSWERS, "context": torch.tensor([[2, 6]] * 3)}
    ours = Batch(batch.input_ids, batch.attention_mask, batch.token_type_ids, labels, {"extractive_qa": 3})
    loss = Reading().loss(both.checkpoint.model, ours)["extractive_qa"] / 3
    expected = both.peer(**inputs(batch, both.peer), start_positions=ANSWERS[:, 0].clone(), end_positions=ANSWERS[:, 1].clone()).loss
    assert_close(loss, expected, "loss")
    loss.backward()
    expected.backward()
    assert assert_gradients_equal(both) > 20


@pytest.mark.parametrize("kind", ["albert", "xlm-roberta", "chinese-bart", "splinter", "bart"])
def test_windows_are_those_of_its_tokenizers(kind: str, shared_data: Path, tmp_path: Path):
    folder = KINDS[kind](tmp_path / kind, shared_data)
    ours, theirs = Tokenizer.from_folder(folder), AutoTokenizer.from_pretrained(folder)
    task = Reading(max_length=96, stride=20, max_question=30)
    for question in _questions(shared_data, 60):
        rows = list(task.encode([Example(question)], ours, labelled=False))
        asked = len(ours.pieces(question["question"]).input_ids)
        if asked > 30:
            continue
        room = 96 - ours.num_special(pair=True) - asked
        expected = theirs(
            question["question"], question["context"], truncation="only_second", max_length=96, stride=room - 20,
            return_overflowing_tokens=True, return_offsets_mapping=True, return_token_type_ids=True,
        )  # fmt: skip
        assert [row["input_ids"].tolist() for row in rows] == expected["input_ids"]
        for number, row in enumerate(rows):
            begin = row["context"].item()
            spans = expected["offset_mapping"][number][begin : begin + len(row["begins"])]
            assert list(zip(row["begins"].tolist(), row["ends"].tolist(), strict=True)) == spans
            segments = expected["token_type_ids"][number] if kind not in ONE_SEGMENT else [0] * len(row["input_ids"])
            assert row["token_type_ids"].tolist() == segments


def _questions(data: Path, count: int) -> list[dict[str, str]]:
    squad = json.loads((data / "cmrc2018/trial.json").read_text(encoding="utf-8"))
    pairs = (
        {"question": question["question"], "context": paragraph["context"]}
        for article in squad["data"]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    )
    return list(islice(pairs, 0, count * 5, 5))


def test_every_answer_of_a_real_set_is_found_again(shared_data: Path):
    """Traditional Chinese, by characters: what the answer's tokens stand for is the answer, but for what a token of digits or letters adds."""
    tokenizer = Tokenizer.from_vocabulary(shared_data / "vocab/google_zh_vocab.txt")
    squad = json.loads((shared_data / "drcd/dev.json").read_text(encoding="utf-8"))
    found = [
        Example(
            {
                "question": question["question"],
                "context": paragraph["context"],
                "answers": [{"text": answer["text"], "start": answer["answer_start"]}],
            }
        )
        for article in squad["data"][:100]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
        for answer in question["answers"][:1]
    ]
    same = 0
    for row in Reading(max_length=512, stride=512).encode(found, tokenizer):
        example = found[row["example"].item()]
        first, last = (row["answer"] - row["context"]).tolist()
        if first < 0:
            continue
        start, end = row["begins"][first].item(), row["ends"][last].item()
        answer = example["answers"][0]
        assert start <= answer["start"]
        assert end >= answer["start"] + len(answer["text"])
        same += example["context"][start:end] == answer["text"]
    assert same > 0.98 * len(found)
