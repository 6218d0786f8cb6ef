"""SQuAD: articles of paragraphs of questions, as one JSON object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bertsmith.data.answers import answers_of
from bertsmith.data.dataset import Problem
from bertsmith.data.formats.base import Reading, Row, formats
from bertsmith.data.formats.nested import KINDS, JsonText, Spot, not_strings, spots
from bertsmith.data.lines import decode_all
from bertsmith.data.sources import Source

SHAPE = '{"data": [{"title": …, "paragraphs": [{"context": …, "qas": [{"id": …, "question": …, "answers": [{"text": …, "answer_start": …}]}]}]}]}'


class Squad:
    """SQuAD 1.1 and 2.0, CMRC 2018, DRCD and whatever else is nested like them.

    A question that `is_impossible` has no answers, whatever else is written beside it; one without `answers` is not labelled. Answers need not be
    where `answer_start` says: see `bertsmith.data.answers`.

    Reference:
        Rajpurkar et al. 2016 and 2018 (SQuAD 1.1 and 2.0), Cui et al. 2019 (CMRC 2018), Shao et al. 2018 (DRCD).
    """

    suffixes = ()

    def rows(self, source: Source, reading: Reading) -> Iterator[Row | Problem]:
        """Rows of `question`, `context`, `answers`, `id` and `title`; what is wrong at any level, with its path.

        Raises:
            DataError: It is not JSON, or not an object with an array `data`.
        """
        text = JsonText(source.name, decode_all(source, reading.encoding))
        for article in _articles(text):
            if isinstance(article, Problem):
                yield article
                continue
            for paragraph in spots(text, article, "paragraphs", "an article"):
                if isinstance(paragraph, Problem):
                    yield paragraph
                else:
                    yield from _questions(text, paragraph, _title(article.value))


formats.register("squad")(Squad())


def _articles(text: JsonText) -> Iterator[Spot | Problem]:
    if not text.at("{"):
        raise text.broken(f"the file begins with {text.first!r}, where an object is expected: {SHAPE}")
    keys: list[str] = []
    found = False
    for key in text.members():
        keys.append(key)
        if key == "data" and text.at("["):
            found = True
            for number in text.elements():
                line = text.line(text.start)
                yield Spot(line, f"data[{number}]", text.parts("paragraphs", "qas"))
    text.finish()
    if not found:
        there = ", ".join(map(repr, keys)) or "nothing"
        wrong = "'data' is no array" if "data" in keys else f"the file has no array 'data' at its outermost level, where there is {there}"
        raise text.broken(f"{wrong}; expected is {SHAPE}", 0)


def _title(article: Any) -> Any:
    return article.get("title") if isinstance(article, dict) else None


def _questions(text: JsonText, paragraph: Spot, title: Any) -> Iterator[Row | Problem]:
    for question in spots(text, paragraph, "qas", "a paragraph"):
        yield question if isinstance(question, Problem) else _question(text.name, question, paragraph.value, title)


def _question(file: str, spot: Spot, paragraph: dict[str, Any], title: Any) -> Row | Problem:
    question, answers = spot.value, dict[str, Any]()
    if not isinstance(question, dict):
        return spot.problem(file, f"{KINDS[type(question)]}, where a question is expected: an object with 'question'")
    wrong = [*not_strings(question, "question"), *(f"its paragraph: {reason}" for reason in not_strings(paragraph, "context"))]
    try:
        answers = _answers(question)
    except ValueError as error:
        wrong.append(str(error))
    if wrong:
        return spot.problem(file, "; ".join(wrong))
    others = {name: value for name, value in (("id", question.get("id")), ("title", title)) if value is not None}
    return Row(spot.line, {"question": question["question"], "context": paragraph["context"], **answers, **others}, spot.path)


def _answers(question: dict[str, Any]) -> dict[str, Any]:
    """The column `answers`, or none where the question is not labelled."""
    impossible = question.get("is_impossible", False)
    if not isinstance(impossible, bool):
        raise ValueError(f"'is_impossible' is {KINDS[type(impossible)]}, neither true nor false")  # noqa: TRY004 (wrong is the file, not the caller)
    if impossible:
        return {"answers": []}
    return {"answers": answers_of(question["answers"])} if question.get("answers") is not None else {}
