"""The tags of a model and the order in which they may follow one another."""

from itertools import pairwise, product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.core.errors import DataError
from bertsmith.metrics.entities import Scheme, Span, violations
from bertsmith.tasks.tag_set import TagSet, tag_set, usual

NER = ("O", "B-MISC", "I-MISC", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
IOB1 = ("B-LOC", "B-MISC", "B-ORG", "I-LOC", "I-MISC", "I-ORG", "I-PER", "O")
"""The tags of published models: dslim/bert-base-NER, dbmdz/bert-large-cased-finetuned-conll03-english."""


def test_names_are_in_a_fixed_order():
    assert tag_set(("LOC", "PER"), "bio").names == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    assert tag_set(("LOC",), "bioes").names == ("O", "B-LOC", "I-LOC", "E-LOC", "S-LOC")
    assert tag_set((), "bio").names == ("O",)


def test_tags_of_a_model_from_elsewhere_are_kept_as_they_are():
    tags = tag_set(NER, "bioes")
    assert tags.names == NER
    assert tags.types == ["LOC", "MISC", "ORG", "PER"]
    assert tags.scheme == "bio"
    assert tag_set(("U-A", "L-A", "O", "I-A", "B-A"), "bio").scheme == "bioes"


@pytest.mark.parametrize("tag", ["PER", "X-PER", "B_PER", "LABEL_1"])
def test_what_is_no_tag_is_refused(tag: str):
    with pytest.raises(DataError, match=f"'{tag}' is not a tag"):
        tag_set(("O", "B-LOC", tag), "bio")


def test_other_letters():
    assert [usual(tag) for tag in ("M-A", "L-A", "U-A", "B-A", "S-A", "O")] == ["I-A", "E-A", "S-A", "B-A", "S-A", "O"]
    assert usual("M") == "M"  # a letter alone is left to those who judge it


@given(st.sets(st.tuples(st.integers(0, 5), st.sampled_from(["LOC", "PER"]))), st.sampled_from(["bio", "bioes"]))
def test_entities_become_tags_and_tags_entities(starts: set[tuple[int, str]], scheme: Scheme):
    entities: list[Span] = [(2 * start, 2 * start + 1 + start % 2, label) for start, label in dict(starts).items()]
    tags = tag_set(("LOC", "PER"), scheme)
    assert tags.entities(tags.numbers(entities, 12).tolist()) == sorted(entities)


def test_what_a_model_cannot_say_is_said_as_well_as_it_can():
    tags = tag_set(IOB1, "bio")
    numbers = tags.numbers([(0, 2, "PER"), (3, 4, "LOC")], 5)
    assert [tags.names[number] for number in numbers] == ["I-PER", "I-PER", "O", "B-LOC", "O"]
    assert tags.entities(numbers.tolist()) == [(0, 2, "PER"), (3, 4, "LOC")]


def permitted(tags: TagSet, names: tuple[str, ...]) -> bool:
    transitions, edges = tags.barriers
    numbers = [tags.names.index(name) for name in names]
    steps = [transitions[before, after].item() for before, after in pairwise(numbers)]
    return sum([edges[0, numbers[0]].item(), *steps, edges[1, numbers[-1]].item()]) == 0


@pytest.mark.parametrize("scheme", ["bio", "bioes"])
def test_what_is_permitted_is_what_keeps_to_the_rules(scheme: Scheme):
    tags = tag_set(("A", "B"), scheme)
    for length in (1, 2, 3):
        for names in product(tags.names, repeat=length):
            assert permitted(tags, names) == (not violations(names, scheme)), names


def test_a_model_without_beginnings_begins_with_what_it_has():
    tags = tag_set(IOB1, "bio")
    assert permitted(tags, ("O", "I-PER", "I-PER", "O"))
    assert permitted(tags, ("O", "I-LOC", "B-LOC", "I-LOC"))
    assert permitted(tags, ("I-ORG", "I-PER"))


def test_a_model_without_ends_ends_with_what_it_has():
    tags = tag_set(("O", "B-A", "I-A", "B-B", "I-B", "E-B", "S-B"), "bio")
    assert permitted(tags, ("B-A", "I-A", "O"))
    assert not permitted(tags, ("B-B", "I-B", "O"))


def test_barriers_are_nothing_or_minus_infinity():
    for barrier in tag_set(NER, "bio").barriers:
        assert set(barrier.flatten().tolist()) == {0.0, -torch.inf}
