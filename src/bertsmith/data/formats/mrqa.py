"""The lines of MRQA: a context each, with its questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bertsmith.data.answers import Answer, answers_of
from bertsmith.data.dataset import Problem
from bertsmith.data.formats.base import Reading, Row, formats
from bertsmith.data.formats.json_lines import JsonLines
from bertsmith.data.formats.nested import KINDS, Spot, not_strings
from bertsmith.data.sources import Source


class Mrqa:
    """The files of the MRQA shared task; the line `{"header": …}` that they begin with is no row.

    An answer is a span that the file has detected in the context (`char_spans`, the end inclusive), in the context's own characters. The answers that
    the official script scores by, some of which may not be in the context, are the column `aliases`.

    Reference:
        Fisch et al. 2019, MRQA 2019 Shared Task: Evaluating Generalization in Reading Comprehension.
    """

    suffixes = ()

    def rows(self, source: Source, reading: Reading) -> Iterator[Row | Problem]:
        """Rows of `question`, `context`, `answers`, `id` and `aliases`; several of a line."""
        for row in JsonLines().rows(source, reading):
            if isinstance(row, Problem):
                yield row
            elif "header" not in row.values or "qas" in row.values:
                yield from _questions(source, row)


formats.register("mrqa")(Mrqa())


def _questions(source: Source, row: Row) -> Iterator[Row | Problem]:
    line = dict(row.values)
    questions = line.get("qas")
    wrong = [*not_strings(line, "context"), *([] if isinstance(questions, list) else ["'qas' is no array" if "qas" in line else "no 'qas'"])]
    if wrong:
        yield Problem(source.name, row.line, "; ".join(wrong))
        return
    for number, question in enumerate(questions or ()):
        yield _question(source.name, Spot(row.line, f"qas[{number}]", question), line["context"])


def _question(file: str, spot: Spot, context: str) -> Row | Problem:
    question, answers = spot.value, dict[str, Any]()
    if not isinstance(question, dict):
        return spot.problem(file, f"{KINDS[type(question)]}, where a question is expected: an object with 'question'")
    wrong = not_strings(question, "question")
    try:
        answers = _answers(question, context)
    except ValueError as error:
        wrong.append(str(error))
    if wrong:
        return spot.problem(file, "; ".join(wrong))
    name = question.get("qid", question.get("id"))
    return Row(spot.line, {"question": question["question"], "context": context, **answers, **({} if name is None else {"id": name})}, spot.path)


def _answers(question: Mapping[str, Any], context: str) -> dict[str, Any]:
    """The columns `answers` and `aliases`, or none where the question is not labelled."""
    written = question.get("answers")
    if "detected_answers" not in question:
        return {} if written is None else {"answers": answers_of(written)}
    detected = question["detected_answers"]
    if not isinstance(detected, list):
        raise ValueError(f"'detected_answers' is {KINDS[type(detected)]}, not an array")  # noqa: TRY004 (wrong is the file, not the caller)
    found = [answer for number, one in enumerate(detected) for answer in _detected(f"detected_answers[{number}]", one, context)]
    return {"answers": found} | ({"aliases": written} if isinstance(written, list) else {})


def _detected(name: str, value: Any, context: str) -> Iterator[Answer]:
    """An answer for each of its spans."""
    spans = value.get("char_spans") if isinstance(value, dict) else None
    if not isinstance(spans, list):
        raise ValueError(f"{name} has no array 'char_spans'")  # noqa: TRY004
    for span in spans:
        if not isinstance(span, list) or len(span) != 2 or not all(type(end) is int for end in span):
            raise ValueError(f"{name}: the span {str(span)[:40]} is not [first, last]")
        first, last = span
        if not 0 <= first <= last < len(context):
            raise ValueError(f"{name}: the span {span} is not within the {len(context):,} characters of the context")
        yield {"text": context[first : last + 1], "start": first}
