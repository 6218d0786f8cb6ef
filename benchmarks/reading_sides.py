"""The sides of the reading race, each in a process of its own: `python -m benchmarks.reading_sides`, requests on standard input.

Every side answers the same questions about the same texts, from text to answers, with the same model over the same windows: 384 tokens, 128 tokens
from the beginning of one to that of the next. A new side is a function in `SIDES`.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.racing import answer_requests

LONGEST, STEP, LONGEST_QUESTION, LONGEST_ANSWER, TRIED = 384, 128, 64, 30, 20
BATCH = 32
SPECIAL = 3
SHAPES = {
    "small": {"num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024},
    "minilm": {"num_hidden_layers": 6, "hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1536},
}

Question = dict[str, str]
Answer = list[int]
"""The first character of an answer, and the one after its last."""
Reader = Callable[[list[Question]], list[Answer]]


def make(*, place: str, data: str, size: str, texts: str, questions: int) -> dict[str, Any]:
    """Write a model of `transformers` with random weights, and questions with the texts that they are about.

    Args:
        place: An empty folder.
        data: Public data sets.
        size: One of `SHAPES`.
        texts: "paragraphs" as the data set has them, or "articles", all paragraphs of one put together.
        questions: How many, taken evenly from all.
    """
    import torch
    import transformers

    torch.manual_seed(1)
    folder, vocabulary = Path(place), Path(data) / "vocab" / "google_zh_vocab.txt"
    words = vocabulary.read_text(encoding="utf-8").splitlines()
    model = transformers.BertForQuestionAnswering(transformers.BertConfig(vocab_size=len(words), **SHAPES[size], initializer_range=0.06))
    model.save_pretrained(folder / "model")
    (folder / "model" / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (folder / "model" / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    found = list(_questions(json.loads((Path(data) / "drcd" / "dev.json").read_text(encoding="utf-8")), texts))
    chosen = [found[len(found) * number // questions] for number in range(questions)]
    (folder / "questions.json").write_text(json.dumps(chosen, ensure_ascii=False), encoding="utf-8")
    return {"parameters": sum(weight.numel() for weight in model.parameters()), "characters": [len(one["context"]) for one in chosen]}


def _questions(squad: dict[str, Any], texts: str) -> Iterator[Question]:
    for article in squad["data"]:
        whole = "\n".join(paragraph["context"] for paragraph in article["paragraphs"])
        for paragraph in article["paragraphs"]:
            for question in (one for one in paragraph["qas"] if len(one["question"]) < LONGEST_QUESTION):
                yield {"question": question["question"], "context": whole if texts == "articles" else paragraph["context"]}


def bertsmith(folder: Path) -> Reader:
    """This project's engine, as it is by default, in float32 like the others."""
    from bertsmith.core.types import Example
    from bertsmith.inference.engine import Engine
    from bertsmith.models.loading import load
    from bertsmith.tasks.extractive_qa import ExtractiveQuestionAnswering

    task = ExtractiveQuestionAnswering(max_length=LONGEST, stride=STEP, max_question=LONGEST_QUESTION, max_answer=LONGEST_ANSWER)
    engine = Engine(load(str(folder / "model")), task, precision="float32")

    def read(questions: list[Question]) -> list[Answer]:
        return [[said["start"], said["end"]] for said in engine.predict(Example(question) for question in questions)]

    return read


def transformers(folder: Path) -> Reader:
    """The window loop of most scripts: tokenised question by question, padded to the full length, in the order of the questions."""
    return _window_loop(folder, in_order_of_length=False)


def transformers_sorted(folder: Path) -> Reader:
    """The same with windows in the order of their lengths, and padded to the longest of a batch."""
    return _window_loop(folder, in_order_of_length=True)


SIDES: dict[str, Callable[[Path], Reader]] = {
    "bertsmith": bertsmith,
    "transformers, sorted": transformers_sorted,
    "transformers": transformers,
}


def _window_loop(folder: Path, *, in_order_of_length: bool) -> Reader:
    import torch
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    model = AutoModelForQuestionAnswering.from_pretrained(folder / "model", attn_implementation="sdpa").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")

    def read(questions: list[Question]) -> list[Answer]:
        found = [window for number, question in enumerate(questions) for window in _tokenised(tokenizer, question, number)]
        order = sorted(range(len(found)), key=lambda place: -len(found[place]["input_ids"])) if in_order_of_length else range(len(found))
        for start in range(0, len(found), BATCH):
            some = [found[place] for place in order[start : start + BATCH]]
            inputs = [{name: window[name] for name in ("input_ids", "token_type_ids", "attention_mask")} for window in some]
            padded = tokenizer.pad(inputs, padding=True if in_order_of_length else "max_length", max_length=LONGEST, return_tensors="pt")
            with torch.inference_mode():
                said = model(**padded)
            for window, starts, ends in zip(some, said.start_logits.numpy(), said.end_logits.numpy(), strict=True):
                window["starts"], window["ends"] = starts[: len(window["input_ids"])], ends[: len(window["input_ids"])]
        return [_best(list(windows)) for _, windows in groupby(found, key=lambda window: window["question"])]

    return read


def _tokenised(tokenizer: Any, question: Question, number: int) -> Iterator[dict[str, Any]]:
    """The windows of one question, each with where its tokens stand in the text and which of them belong to it."""
    from bertsmith.text.windows import widest  # spares this side its own, slower search for the widest context

    asked = len(tokenizer(question["question"], add_special_tokens=False, truncation=True, max_length=LONGEST_QUESTION)["input_ids"])
    room = LONGEST - SPECIAL - asked
    encoded = tokenizer(
        question["question"], question["context"], truncation="only_second", max_length=LONGEST, stride=room - STEP,
        return_overflowing_tokens=True, return_offsets_mapping=True,
    )  # fmt: skip
    sizes = [len(ids) - SPECIAL - asked for ids in encoded["input_ids"]]
    over = [(place * STEP, place * STEP + size) for place, size in enumerate(sizes)]
    for place, mine in enumerate(widest(over)):
        inputs = {name: encoded[name][place] for name in ("input_ids", "token_type_ids", "attention_mask")}
        yield {**inputs, "question": number, "offsets": encoded["offset_mapping"][place], "first": asked + 2, "mine": mine}


def _best(windows: Sequence[dict[str, Any]]) -> Answer:
    """The best pair of a start and an end, tried one by one."""
    candidates: list[dict[str, Any]] = []
    for window in windows:
        first, last, offsets = window["first"], len(window["input_ids"]) - 1, window["offsets"]
        starts = np.where(window["mine"], window["starts"][first:last], -np.inf)
        ends = window["ends"][first:last]
        for start in np.argsort(starts)[: -TRIED - 1 : -1].tolist():
            for end in np.argsort(ends)[: -TRIED - 1 : -1].tolist():
                if end < start or end - start + 1 > LONGEST_ANSWER or not window["mine"][start]:
                    continue
                place = [offsets[first + start][0], offsets[first + end][1]]
                candidates.append({"place": place, "score": float(starts[start]) + float(ends[end])})
    best = sorted(candidates, key=lambda candidate: candidate["score"], reverse=True)[:TRIED]
    scores = np.array([candidate["score"] for candidate in best])
    shares = np.exp(scores - scores.max())
    for candidate, share in zip(best, shares / shares.sum(), strict=True):
        candidate["probability"] = float(share)
    return best[0]["place"]


class Race:
    """One side, ready to be asked."""

    def prepare(self, *, side: str, place: str) -> dict[str, Any]:
        """Load the model and the questions, and warm up."""
        folder = Path(place)
        self.read = SIDES[side](folder)
        self.questions: list[Question] = json.loads((folder / "questions.json").read_text(encoding="utf-8"))
        self.read(self.questions[:4])
        return {}

    def check(self) -> dict[str, Any]:
        """What it answers."""
        return {"answers": self.read(self.questions)}

    def time(self) -> dict[str, Any]:
        """Seconds for all questions."""
        begin = time.perf_counter()
        self.read(self.questions)
        return {"seconds": time.perf_counter() - begin}


if __name__ == "__main__":
    race = Race()
    answer_requests({"make": make, "prepare": race.prepare, "check": race.check, "time": race.time})
