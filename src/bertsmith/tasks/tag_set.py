"""The tags of a model: what its head scores for every token, and in which order they may follow one another.

Ours are in a fixed order: `O`, then for every type of entity `B-TYPE` and `I-TYPE`, with `E-TYPE` and `S-TYPE` in the scheme `bioes`. A model from
elsewhere has what it has, in any order and in other letters: M for I, L for E, U for S. One whose types lack B-, all or some of them (IOB1, the
tags of the CoNLL-2003 files), begins entities with I-.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bertsmith.core.errors import DataError
from bertsmith.metrics.entities import Scheme, Span, entities_of, scheme_of, tags_of

OUTSIDE = "O"
LETTERS: dict[Scheme, str] = {"bio": "BI", "bioes": "BIES"}
OTHER_LETTERS = {"M-": "I-", "L-": "E-", "U-": "S-"}
"""BMES and BILOU call the same by other names."""

IN_PLACE_OF = {"B": "BISE", "I": "IBES", "E": "EIBS", "S": "SBIE"}
"""What a set that lacks a letter for a type marks it with."""


@lru_cache(maxsize=4096)
def usual(tag: str) -> str:
    """A tag in the letters of BIOES.

    Example:
        >>> usual("M-PER"), usual("B-PER"), usual("O")
        ('I-PER', 'B-PER', 'O')
    """
    return OTHER_LETTERS.get(tag[:2], tag[:2]) + tag[2:]


@dataclass(frozen=True)
class TagSet:
    """Tags by number.

    Attributes:
        names: As `config.json` has them.

    Example:
        >>> tags = tag_set(("LOC", "PER"), "bio")
        >>> tags.names
        ('O', 'B-LOC', 'I-LOC', 'B-PER', 'I-PER')
        >>> tags.numbers([(1, 3, "PER")], 4).tolist(), tags.entities([0, 3, 4, 0])
        ([0, 3, 4, 0], [(1, 3, 'PER')])
    """

    names: tuple[str, ...]

    @cached_property
    def usual(self) -> list[str]:
        """The names in the letters of BIOES."""
        return [usual(name) for name in self.names]

    @cached_property
    def scheme(self) -> Scheme:
        """`bioes` if there is an E- or an S-."""
        return scheme_of([self.usual])

    @cached_property
    def types(self) -> list[str]:
        """The types of entities, in the order of the alphabet."""
        return sorted({label for _, _, label in entities_of(self.usual)})

    @cached_property
    def _known(self) -> dict[str, int]:
        return {name: number for number, name in reversed(list(enumerate(self.usual)))}

    def numbers(self, entities: Iterable[Span], length: int) -> Int[np.ndarray, " length"]:
        """The tags of a sentence with these entities, in units; none over another.

        Raises:
            DataError: Two entities overlap, or one is not inside the sentence.
        """
        tags = tags_of(entities, length, self.scheme)
        candidates = ([tag] if tag == OUTSIDE else [f"{letter}{tag[1:]}" for letter in IN_PLACE_OF[tag[0]]] for tag in tags)
        return np.array([next(self._known[name] for name in names if name in self._known) for names in candidates], np.int64)

    def entities(self, numbers: Sequence[int]) -> list[Span]:
        """The entities in the tags of a sentence, read as the script of CoNLL reads them."""
        names = self.usual
        return entities_of([names[number] for number in numbers])

    @property
    def barriers(self) -> tuple[Float[Tensor, "tags tags"], Float[Tensor, "2 tags"]]:
        """What keeps a sequence to the scheme: minus infinity for a tag that may not follow another, and for one that may not begin or end it."""
        return _barriers(self.names)


@lru_cache(maxsize=64)
def tag_set(labels: tuple[str, ...], scheme: Scheme) -> TagSet:
    """The tags for the types of entities; or `labels` themselves, where they are tags: O is among them.

    Raises:
        DataError: One of the tags is none.

    Example:
        >>> tag_set(("O", "I-PER", "I-LOC"), "bio").types
        ['LOC', 'PER']
    """
    if OUTSIDE not in labels:
        return TagSet((OUTSIDE, *(f"{letter}-{label}" for label in labels for letter in LETTERS[scheme])))
    try:
        entities_of([usual(label) for label in labels])
    except DataError as error:
        raise DataError(f"labels has O, so all of them are tags (leave O out to name types alone): {error}") from error
    return TagSet(tuple(labels))


@lru_cache(maxsize=64)
def _barriers(names: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    tags = TagSet(names)
    parts = [(tag[0], tag[2:]) for tag in tags.usual]
    begun, ended = ({label for letter, label in parts if letter in letters} for letters in ("BS", "ES"))
    lenient = any(letter == "I" and label not in begun for letter, label in parts)
    opens = [letter in "OBS" or lenient or label not in begun for letter, label in parts]
    closes = [letter in "OES" or tags.scheme == "bio" or label not in ended for letter, label in parts]
    transitions = torch.full((len(names), len(names)), -torch.inf)
    for before, (letter, label) in enumerate(parts):
        for after, (next_letter, next_label) in enumerate(parts):
            goes_on = letter in "BI" and next_letter in "IE" and label == next_label
            if goes_on or (closes[before] and opens[after]):
                transitions[before, after] = 0.0
    edges = torch.where(torch.tensor([opens, closes]), 0.0, -torch.inf)
    return transitions, edges
