"""Texts as long as books are tokenised a few at a time, so that the memory that this takes does not grow with their number."""

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

LONG = "a b " * 15


@pytest.mark.parametrize(
    ("task", "row"),
    [
        (SingleSentence(labels=("x", "y")), {"text": LONG, "label": "x"}),
        (Embedding(), {"text": "a", "text_pair": LONG}),
        (TextToText(), {"text": LONG, "target": "a"}),
        (Tagging(labels=("X",)), {"tokens": ["a"] * 60, "tags": ["O"] * 60}),
        (MultipleChoice(), {"question": "a", "choices": [LONG, "b"], "label": 0}),
    ],
    ids=lambda value: value.name if isinstance(value, Task) else "",
)
def test_long_texts_are_tokenised_a_few_at_a_time(task: Task, row: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bertsmith.core.chunks.MOST_CHARACTERS", 100)
    together: list[int] = []
    plain = Tokenizer._run

    def counted(self: Tokenizer, inputs: list[Any], *, special: bool) -> Any:
        together.append(sum(map(len, inputs)))
        return plain(self, inputs, special=special)

    monkeypatch.setattr(Tokenizer, "_run", counted)
    assert len(list(task.encode(examples(*[row] * 9), TOKENIZER))) >= 9
    assert max(together) < 9 * 60
    assert max(together) <= 2 * 120, "two rows, with what stands between their tokens"
