"""C3: dialogues and texts with questions to choose an answer of, as nested arrays of JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bertsmith.data.dataset import Problem
from bertsmith.data.formats.base import Reading, Row, formats
from bertsmith.data.formats.nested import KINDS, JsonText, Part, Spot, not_strings
from bertsmith.data.lines import decode_all
from bertsmith.data.sources import Source


class C3:
    """`[[[line, …], [{"question": …, "choice": [text, …], "answer": text}, …], id], …]`, as C3 is published.

    The lines become one `context`, a line each; the right choice becomes its number, from 0. A question without `answer` is not labelled.

    Reference:
        Sun et al. 2020, Investigating Prior Knowledge for Challenging Chinese Machine Reading Comprehension.
    """

    suffixes = ()

    def rows(self, source: Source, reading: Reading) -> Iterator[Row | Problem]:
        """Rows of `question`, `choices`, `context`, `label` and `id`; what is wrong at any level, with its path.

        Raises:
            DataError: It is not JSON, or no array.
        """
        text = JsonText(source.name, decode_all(source, reading.encoding))
        if not text.at("["):
            raise text.broken(f"the file begins with {text.first!r}, where an array is expected: [[[line, …], [question, …], id], …]")
        for number in text.elements():
            yield from _questions(text, Spot(text.line(text.start), f"[{number}]", _dialogue(text)))
        text.finish()


formats.register("c3")(C3())


def _dialogue(text: JsonText) -> Any:
    """The value that begins here; if it is an array, the elements of its second one know where they are."""
    if not text.at("["):
        return text.value()
    return [[Part(text.start, text.value()) for _ in text.elements()] if number == 1 and text.at("[") else text.value() for number in text.elements()]


def _questions(text: JsonText, dialogue: Spot) -> Iterator[Row | Problem]:
    if wrong := _wrong_shape(dialogue.value):
        yield dialogue.problem(text.name, wrong)
        return
    lines, questions, name = dialogue.value
    for number, part in enumerate(questions):
        spot = Spot(text.line(part.start), f"{dialogue.path}[1][{number}]", part.value)
        yield _question(text.name, spot, "\n".join(lines), f"{name}-{number}")


def _wrong_shape(value: Any) -> str:
    expected = "expected is [[line, …], [question, …], id]"
    if not isinstance(value, list) or len(value) != 3:
        found = f"an array of {len(value)}" if isinstance(value, list) else KINDS[type(value)]
        return f"{found}; {expected}"
    lines, questions, _ = value
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        return f"the first of three is no array of strings; {expected}"
    return "" if isinstance(questions, list) else f"the second of three is {KINDS[type(questions)]}; {expected}"


def _question(file: str, spot: Spot, context: str, name: str) -> Row | Problem:
    question = spot.value
    if not isinstance(question, dict):
        return spot.problem(file, f"{KINDS[type(question)]}, not an object with 'question', 'choice' and 'answer'")
    choices: Any = question.get("choice")
    answer: Any = question.get("answer")
    wrong = not_strings(question, "question") + _wrong_choices(choices, answer)
    if wrong:
        return spot.problem(file, "; ".join(wrong))
    label = {} if answer is None else {"label": choices.index(answer)}
    return Row(spot.line, {"question": question["question"], "choices": choices, "context": context, **label, "id": name}, spot.path)


def _wrong_choices(choices: Any, answer: Any) -> list[str]:
    if not isinstance(choices, list):
        return ["no 'choice'" if choices is None else f"'choice' is {KINDS[type(choices)]}, not an array"]
    if len(choices) < 2:
        return [f"{len(choices)} {'choice' if len(choices) == 1 else 'choices'}; at least two are expected"]
    wrong = [f"choice[{number}] is {_what(choice)}" for number, choice in enumerate(choices) if not isinstance(choice, str) or not choice.strip()]
    if answer is not None and choices.count(answer) != 1:
        is_what = "is several of" if answer in choices else "is none of"
        wrong.append(f"the answer {str(answer)[:40]!r} {is_what} the choices {', '.join(repr(str(choice)[:40]) for choice in choices)}")
    return wrong


def _what(choice: Any) -> str:
    return "empty" if isinstance(choice, str) else f"{KINDS[type(choice)]}, not a string"
