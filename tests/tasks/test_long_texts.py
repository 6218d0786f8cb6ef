"""Texts as long as books are tokenised a few at a time, so that the memory that this takes does not grow with their number."""

from collections.abc import Callable
from typing import Any

import pytest

from bertsmith.tasks.base import Task
from bertsmith.tasks.embedding import Embedding
from bertsmith.tasks.multiple_choice import MultipleChoice
from bertsmith.tasks.single import SingleSentence
from bertsmith.tasks.tagging import Tagging
from bertsmith.tasks.text_to_text import TextToText
from bertsmith.text.tokenizer import Tokenizer
from tests.tasks.sentences import TOKENIZER, examples

ROWS = 9


@pytest.mark.parametrize(
    ("task", "row"),
    [
        (SingleSentence(labels=("x", "y")), lambda text: {"text": text, "label": "x"}),
        (Embedding(), lambda text: {"text": "a", "text_pair": text}),
        (TextToText(), lambda text: {"text": text, "target": "a"}),
        (Tagging(labels=("X",)), lambda text: {"tokens": text.split(), "tags": ["O"] * len(text.split())}),
        (MultipleChoice(), lambda text: {"question": "a", "choices": [text, "b"], "label": 0}),
    ],
    ids=lambda value: value.name if isinstance(value, Task) else "",
)
def test_long_texts_are_tokenised_a_few_at_a_time(task: Task, row: Callable[[str], dict[str, Any]], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bertsmith.core.chunks.MOST_CHARACTERS", 100)
    texts = ["a b " * 15 + "cdefghijk"[number] for number in range(ROWS)]
    together: list[int] = []
    plain = Tokenizer._run

    def counted(self: Tokenizer, inputs: list[Any], *, special: bool) -> Any:
        together.append(sum(map(len, inputs)))
        return plain(self, inputs, special=special)

    monkeypatch.setattr(Tokenizer, "_run", counted)
    assert len(list(task.encode(examples(*map(row, texts)), TOKENIZER))) >= ROWS
    assert 60 < max(together) <= 130, "of two of them, not of nine"
