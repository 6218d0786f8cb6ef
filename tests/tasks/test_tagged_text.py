"""Rows of data with entities, and what can be wrong with them."""

from typing import Any

import pytest

from bertsmith.core.types import Example
from bertsmith.tasks.tagged_text import BROKEN, INSIDE, TRIMMED, entities_in, is_labelled, mendings, passage_of, schemes_of, strict_spans


def row(**values: Any) -> Example:
    return Example(values, "train.jsonl", 3)


def spans(example: Example) -> list[tuple[int, int, str]]:
    return [entity.characters for entity in entities_in(example, passage_of(example))]


def entity(start: int, end: int, label: str = "LOC") -> dict[str, Any]:
    return {"start": start, "end": end, "label": label}


class TestPassages:
    def test_tokens_make_the_text(self):
        passage = passage_of(row(tokens=["我", "在", "New", "York"], text="something else"))
        assert passage.text == "我在New York"
        assert passage.characters(2, 4) == (2, 10)
        assert passage.around(2, 10) == (2, 4)

    def test_a_text_has_words(self):
        passage = passage_of(row(text="在 New York。"))
        assert [passage.text[start:end] for start, end in passage.units] == ["在", "New", "York", "。"]
        assert passage.around(3, 4) == (1, 2)
        assert passage.around(4, 8) == (1, 3)

    @pytest.mark.parametrize(
        ("example", "message"),
        [
            (row(id=3, body="很好"), "no text and no tokens; columns there are: 'id', 'body'; name one: --column text=… on the"),
            (row(text=None, tokens=None), "no text and no tokens$"),
            (row(text=3), r"text is '3' \(int\), not a string"),
            (row(tokens="New York"), r"tokens are 'New York' \(str\), not a list"),
            (row(tokens=["New", ["York"]]), r"token \"\['York'\]\" is no string \(list\)"),
        ],
    )
    def test_what_is_no_text(self, example: Example, message: str):
        with pytest.raises(ValueError, match=message):
            passage_of(example)


class TestEntities:
    def test_tags_of_any_scheme(self):
        for tags in (["O", "B-LOC", "I-LOC"], ["O", "B-LOC", "E-LOC"], ["O", "B-LOC", "L-LOC"], ["O", "I-LOC", "I-LOC"]):
            assert spans(row(tokens=["in", "New", "York"], tags=tags)) == [(3, 11, "LOC")]
        assert spans(row(tokens=list("在北京市"), tags=["O", "B-LOC", "M-LOC", "E-LOC"])) == [(1, 4, "LOC")]
        assert spans(row(tokens=["Rome"], tags=["U-LOC"])) == [(0, 4, "LOC")]

    def test_spans_in_any_order(self):
        example = row(text="Rome and Paris", entities=[entity(9, 14), entity(0, 4, "PER")])
        assert spans(example) == [(0, 4, "PER"), (9, 14, "LOC")]
        assert [found.units for found in entities_in(example, passage_of(example))] == [(0, 1, "PER"), (2, 3, "LOC")]

    def test_none(self):
        assert spans(row(tokens=["a"], tags=["O"])) == spans(row(text="a", entities=[])) == []

    @pytest.mark.parametrize(
        ("example", "message"),
        [
            (row(tokens=["a"]), "no tags"),
            (row(tokens=["a", "b"], tags=["O"]), "1 tags for 2 tokens"),
            (row(tokens=["a", "b"], tags=["O", "PER"]), "tag 'PER' is neither O nor a type after B-, I-, E-, S-, M-, L- or U-, such as B-PER"),
            (row(tokens=["a"], tags=["B"]), "tag 'B' is neither"),
            (row(tokens=["a"], tags=["B-"]), "tag 'B-' is neither"),
            (row(tokens=["a"], tags=["B-O"]), "tag 'B-O' is neither"),
            (row(text="a", entities=[entity(0, 10**400)]), "at 0 to 10000000000000000000 is not inside the text"),
            (row(tokens=["a"], tags=["o"]), "tag 'o' is neither"),
            (row(tokens=["a"], tags=[3]), r"tag '3' is no string \(int\); expected is a list of tags"),
            (row(text="a"), r"no entities \(a text without any has an empty list\)"),
            (row(text="a", entities={"start": 0}), r"entities are \"\{'start': 0\}\" \(dict\); expected is a list of"),
            (row(text="a", entities=[[entity(0, 1)]]), "an entity is .* \\(list\\); expected is a list of"),
            (row(text="a", entities=[{"start": 0, "end": 1}]), "entity {'start': 0, 'end': 1} has no label of the right kind"),
            (row(text="a", entities=[{"start": "0", "end": 1.0, "label": "A"}]), "has no start and no end of the right kind"),
            (
                row(text="abc", entities=[entity(2, 2)]),
                r"entity 'LOC' at 2 to 2 is not inside the text, which has 3 characters \(the end is exclusive\)",
            ),
            (row(text="abc", entities=[entity(1, 4)]), "entity 'LOC' at 1 to 4 is not inside the text"),
            (row(text="abc", entities=[entity(-1, 2)]), "entity 'LOC' at -1 to 2 is not inside the text"),
            (row(text="a  b", entities=[entity(1, 3)]), "entity 'LOC' at 1 to 3 is nothing but white space"),
            (row(text="abc", entities=[entity(0, 1, "O")]), "entity at 0 to 1 has the type 'O'; a type is a name, such as PER"),
            (row(text="abc", entities=[entity(0, 2), entity(1, 3, "PER")]), "entity 'LOC' at 0 to 2 overlaps 'PER' at 1 to 3"),
        ],
    )
    def test_what_is_wrong_is_said(self, example: Example, message: str):
        with pytest.raises(ValueError, match=message):
            spans(example)

    def test_whether_there_are_labels(self):
        assert is_labelled(row(tokens=["a"], tags=["O"]))
        assert is_labelled(row(text="a", entities=[]))
        assert not is_labelled(row(tokens=["a"], entities=[]))
        assert not is_labelled(row(text="a", tags=["O"]))


class TestMending:
    def mended(self, example: Example, scheme: Any = "bio") -> list[str]:
        return list(mendings(example, passage_of(example), scheme))

    def test_tags_that_break_the_rules(self):
        example = row(tokens=["a", "b", "c"], tags=["O", "I-LOC", "I-PER"])
        assert self.mended(example) == [BROKEN]
        assert spans(example) == [(2, 3, "LOC"), (4, 5, "PER")]
        assert strict_spans(example, passage_of(example), "bio") == []
        assert self.mended(row(tokens=["a"], tags=["B-LOC"]), "bio") == []
        assert self.mended(row(tokens=["a"], tags=["B-LOC"]), "bioes") == [BROKEN]

    def test_white_space_around_an_entity(self):
        example = row(text="in Rome ", entities=[entity(2, 8)])
        assert self.mended(example) == [TRIMMED]
        assert spans(example) == [(3, 7, "LOC")]

    def test_a_part_of_a_word(self):
        example = row(text="the Londoners", entities=[entity(4, 10)])
        assert self.mended(example) == [INSIDE]
        [found] = entities_in(example, passage_of(example))
        assert found.characters == (4, 10, "LOC")
        assert found.units == (1, 2, "LOC")

    def test_the_scheme_is_that_of_the_file(self):
        examples = [
            Example({"tags": ["B-A", "O"]}, "a.conll", 1),
            Example({"tags": ["U-A", "O"]}, "b.conll", 1),
            Example({"tags": ["B-A"]}, "b.conll", 4),
            Example({"tags": ["nonsense", "S-A"]}, "a.conll", 9),
            Example({"tags": None}, "c.jsonl", 1),
        ]
        assert schemes_of(examples) == {"a.conll": "bio", "b.conll": "bioes"}
