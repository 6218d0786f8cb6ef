"""JSON that is read from the outside in, so that every part of it knows where it begins.

`json.loads` gives values without places. Here the brackets of the outer levels are walked by hand and only what lies inside them is left to `json`,
at its speed: a file of 40 MB takes little longer than otherwise, and a message can lead to the line that is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

from bertsmith.core.errors import DataError
from bertsmith.data.dataset import Problem

KINDS = {list: "an array", dict: "an object", str: "a string", int: "a number", float: "a number", bool: "true or false", type(None): "null"}
"""What JSON calls the values of Python."""

SPACE = re.compile(r"[ \t\r\n]*")


class Part(NamedTuple):
    """A value and the character of the file at which it begins."""

    start: int
    value: Any


class Spot(NamedTuple):
    """A value and how people find it.

    Attributes:
        line: It begins in, from 1.
        path: From the outside in: `data[0].paragraphs[2]`.
        value: What is there.
    """

    line: int
    path: str
    value: Any

    def problem(self, file: str, message: str) -> Problem:
        """What is wrong there."""
        return Problem(file, self.line, f"{self.path}: {message}")


class JsonText:
    r"""A text of JSON and a place in it that only moves forward.

    Args:
        name: Of the file, for messages.
        text: All of it.

    Raises:
        DataError: By all methods, where the text is not JSON; with the line.

    Example:
        >>> text = JsonText("a.json", '[[1, 2],\n {"a": 3}]')
        >>> [(text.line(text.start), text.value()) for _ in text.elements()]
        [(1, [1, 2]), (2, {'a': 3})]
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.start = self._after_space(0)
        self.kind = "array" if self.at("[") else "object"
        self._counted, self._line = 0, 1
        self._decoder = json.JSONDecoder()

    def at(self, character: str) -> bool:
        """Whether the next value begins so."""
        return self.text.startswith(character, self.start)

    @property
    def first(self) -> str:
        """The character that the next value begins with."""
        return self.text[self.start : self.start + 1]

    def line(self, start: int) -> int:
        """The line of a character, from 1; fastest if they are asked for in order."""
        forward, (first, last) = start >= self._counted, sorted((start, self._counted))
        self._line += self.text.count("\n", first, last) * (1 if forward else -1)
        self._counted = start
        return self._line

    def value(self) -> Any:
        """The value that begins here."""
        try:
            value, end = self._decoder.raw_decode(self.text, self.start)
        except (ValueError, RecursionError) as error:
            raise self.broken(f"the {self.kind} cannot be read further: {reason(error)}") from error
        self.start = self._after_space(end)
        return value

    def elements(self) -> Iterator[int]:
        """The numbers of an array's elements, each when the place is at it; what is not read by then is passed over."""
        begins = self.start
        self._expect("[", begins)
        for number in count():
            if self._comes("]"):
                return
            if number:
                self._expect(",", begins)
            begins = self.start
            yield number
            if self.start == begins:
                self.value()

    def members(self) -> Iterator[str]:
        """The keys of an object, each when the place is at its value; what is not read by then is passed over."""
        begins = self.start
        self._expect("{", begins)
        for number in count():
            if self._comes("}"):
                return
            if number:
                self._expect(",", begins)
            if not self.at('"'):
                raise self.broken(f"the {self.kind} cannot be read further: Expecting a key in quotation marks")
            key = self.value()
            self._expect(":", begins)
            begins = self.start
            yield key
            if self.start == begins:
                self.value()

    def parts(self, *keys: str) -> Any:
        """The value that begins here, in which elements of arrays are a `Part` each: those of the first key, within them of the second, and so on.

        Example:
            >>> JsonText("", '{"n": [1], "a": [{"b": [7]}]}').parts("a", "b")
            {'n': [1], 'a': [Part(start=17, value={'b': [Part(start=24, value=7)]})]}
        """
        if not keys or not self.at("{"):
            return self.value()
        found: dict[str, Any] = {}
        for key in self.members():
            nested = key == keys[0] and self.at("[")
            found[key] = [Part(self.start, self.parts(*keys[1:])) for _ in self.elements()] if nested else self.value()
        return found

    def finish(self) -> None:
        """Nothing may follow."""
        if self.start < len(self.text):
            raise self.broken(f"the file begins with an {self.kind} and goes on after its end; expected is one array, or one object a line")

    def broken(self, message: str, start: int | None = None) -> DataError:
        """The error for something that is wrong here, or at a character."""
        return DataError(f"{self.name}:{self.line(self.start if start is None else start)}: {message}")

    def _expect(self, character: str, begins: int) -> None:
        if not self._comes(character):
            raise self.broken(f"the {self.kind} cannot be read further: no {character!r} after the element that begins here", begins)

    def _comes(self, character: str) -> bool:
        if not self.at(character):
            return False
        self.start = self._after_space(self.start + 1)
        return True

    def _after_space(self, start: int) -> int:
        match = SPACE.match(self.text, start)
        return match.end() if match else start


def spots(text: JsonText, outer: Spot, key: str, expected: str) -> Iterator[Spot | Problem]:
    """The elements of an array that is a member of an object, or why there is none.

    Args:
        text: That `parts` has read the object from, with this key among its own.
        outer: The object.
        key: Of the array.
        expected: What the object should be, for the message.
    """
    value = outer.value
    if not isinstance(value, dict):
        yield outer.problem(text.name, f"{KINDS[type(value)]}, where {expected} is expected: an object with {key!r}")
    elif key not in value:
        yield outer.problem(text.name, f"no {key!r}, where {expected} is expected; there is {', '.join(map(repr, value)) or 'nothing'}")
    elif not isinstance(value[key], list):
        yield outer.problem(text.name, f"{key!r} is {KINDS[type(value[key])]}, not an array")
    else:
        for number, part in enumerate(value[key]):
            yield Spot(text.line(part.start), f"{outer.path}.{key}[{number}]", part.value)


def not_strings(value: dict[str, Any], *keys: str) -> list[str]:
    """What is wrong with members that have to be strings.

    Example:
        >>> not_strings({"question": 3}, "question", "context")
        ["'question' is a number, not a string", "no 'context'"]
    """
    wrong = [(key, KINDS[type(value[key])] if key in value else "") for key in keys if not isinstance(value.get(key), str)]
    return [f"{key!r} is {kind}, not a string" if kind else f"no {key!r}" for key, kind in wrong]


def reason(error: Exception) -> str:
    """Why something is not JSON, in few words."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
