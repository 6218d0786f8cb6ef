"""Templates and label words: how a classification becomes a gap in a text.

::

    {text} 这句话的情感是[MASK]的。       味道不错          ──fill──▶   味道不错 这句话的情感是[MASK]的。
    positive = 好, 不错 · negative = 差   ──spell──▶   the tokens that each word would be in that gap

A word of several tokens needs a gap of as many, so a text is filled once for every length that words have. Everything is tokenised as one text, as a
person would give it to a fill-mask model; what is cut off a long text is found by its place, so that nothing is ever cut off the template.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from string import Formatter

import numpy as np
from jaxtyping import Bool, Int32

from bertsmith.core.amounts import plural
from bertsmith.core.errors import RecipeError
from bertsmith.core.registry import nearest
from bertsmith.text.tokenizer import Encoding, Tokenizer, longest_first

MASK = "[MASK]"
"""The gap, as users write it whatever the model's own token is called."""

FIELDS = ("text", "text_pair")
"""What a template can hold of an example."""

ROOM = 8
"""The fewest tokens that a template must leave for the texts."""

STAND_IN = ","
"""Stands before a word for whatever stands before the gap: no vocabulary writes it as one token with a letter."""

Span = tuple[int, int]
"""Begin and end in a text, in characters, end exclusive."""


@dataclass(frozen=True, slots=True)
class Template:
    """A text with places for an example's texts and for a label word.

    Attributes:
        parts: In order, each with its slot: "text", "text_pair", `MASK`, or "" for words that stand for themselves.

    Example:
        >>> template = Template.parse("{text} It was [MASK].")
        >>> template.parts
        (('text', ''), ('', ' It was '), ('[MASK]', ''), ('', '.'))
        >>> template.filled({"text": "No reason to watch."}, "<mask>")
        ('No reason to watch. It was <mask>.', {'text': (0, 19), '[MASK]': (27, 33)})
    """

    parts: tuple[tuple[str, str], ...]

    @classmethod
    @lru_cache(maxsize=16)
    def parse(cls, template: str) -> Template:
        """Read a template. Braces that stand for themselves are written twice, as in Python's `str.format`.

        Raises:
            ValueError: Says everything that is wrong with it.
        """
        try:
            parts = tuple(_parts(template))
        except ValueError as error:
            raise ValueError(f"template is {template!r}: {error}; write {{{{ or }}}} for a brace that stands for itself") from error
        if problems := list(_problems([slot for slot, _ in parts])):
            raise ValueError(f"template is {template!r}: {'; '.join(problems)}")
        return cls(parts)

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns that it takes from an example."""
        return tuple(field for field in FIELDS if field in dict(self.parts))

    @property
    def before_mask(self) -> str:
        """What a label word has to be spelled behind, so that it comes out as it would in the gap; empty where the gap is at the beginning."""
        slots = [slot for slot, _ in self.parts]
        place = slots.index(MASK)
        if not place:
            return ""
        return f"{STAND_IN} " if self.parts[place - 1][1][-1:].isspace() else STAND_IN

    def filled(self, texts: Mapping[str, str], mask: str) -> tuple[str, dict[str, Span]]:
        """The whole text, and where each slot's part of it stands."""
        whole, spans = "", dict[str, Span]()
        for slot, words in self.parts:
            part = mask if slot == MASK else texts[slot] if slot else words
            if slot:
                spans[slot] = (len(whole), len(whole) + len(part))
            whole += part
        return whole, spans


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """A filled template in tokens, its gap one token wide.

    Attributes:
        input_ids: With special tokens.
        mask: Where the gap is.
        truncated: How many tokens of the texts were cut off.
    """

    input_ids: Int32[np.ndarray, " length"]
    mask: int
    truncated: int = 0

    def with_gap(self, width: int) -> Int32[np.ndarray, " longer"]:
        """The same with a wider gap."""
        return np.insert(self.input_ids, self.mask, np.repeat(self.input_ids[self.mask], width - 1))


def prompts(template: Template, texts: Sequence[Mapping[str, str]], tokenizer: Tokenizer, longest: int) -> list[Prompt]:
    """Fill a template with the texts of examples and tokenise it, on all cores.

    Args:
        template: What is filled.
        texts: For every example, what goes into the template's fields.
        tokenizer: The model's.
        longest: Tokens of the longest prompt. What is too much is taken off the right of the texts, always of that which is longer.
    """
    mask = tokenizer.token(tokenizer.mask_id)
    filled = [template.filled(example, mask) for example in texts]
    encodings = tokenizer.encode_many([whole for whole, _ in filled])
    return [_prompt(encoding, spans, tokenizer.mask_id, longest) for encoding, (_, spans) in zip(encodings, filled, strict=True)]


def check_room(template: Template, tokenizer: Tokenizer, max_length: int, width: int) -> None:
    """Check that a template leaves room for the texts.

    Args:
        template: What is filled.
        tokenizer: The model's.
        max_length: Tokens of the longest sequence.
        width: Tokens of the longest label word.

    Raises:
        RecipeError: It does not.
    """
    [bare] = prompts(template, [dict.fromkeys(template.fields, "")], tokenizer, max_length)
    taken = len(bare.input_ids) + width - 1
    if max_length - taken < ROOM:
        raise RecipeError(
            f"max_length is {max_length}; template, label words and special tokens take {taken} tokens, and the texts need at least {ROOM}: "
            f"ask for at least {taken + ROOM}, or for a shorter template"
        )


@lru_cache(maxsize=16)
def spelled(words: tuple[tuple[str, tuple[str, ...]], ...], before: str, tokenizer: Tokenizer) -> tuple[tuple[int, ...], ...]:
    """The tokens of every label word, in order.

    Args:
        words: Labels with their words.
        before: What each is spelled behind: `Template.before_mask`. After a space, a word of a byte-level or SentencePiece vocabulary is another
            token than without it ("Ġgreat" and "great").
        tokenizer: The model's.

    Raises:
        RecipeError: Lists the words that the vocabulary cannot write, or cannot tell apart from one another.

    Example:
        >>> tokenizer = Tokenizer.from_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "好", "不", "错", "差"])
        >>> spelled((("positive", ("好", "不错")), ("negative", ("差",))), "", tokenizer)
        ((5,), (6, 7), (8,))
    """
    problems: list[str] = []
    seen: dict[tuple[int, ...], str] = {}
    tokens: list[tuple[int, ...]] = []
    for label, word in ((label, word) for label, ours in words for word in ours):
        ids, problem = _spelled(word, before, tokenizer)
        name = f"{word!r} of the label {label!r}"
        if not problem and ids in seen:
            problem = f"is written as {seen[ids]} is: {' '.join(tokenizer.token(number) for number in ids)}"
        if problem:
            problems.append(f"{name} {problem}")
        seen.setdefault(ids, name)
        tokens.append(ids)
    if problems:
        raise RecipeError(f"{plural(len(problems), 'label word')} cannot be used with this model's vocabulary; choose others", problems)
    return tuple(tokens)


def wrong_words(verbalizer: Mapping[str, Sequence[str]], labels: Iterable[str]) -> Iterator[str]:
    """What is wrong with the words of labels whatever the vocabulary, one line each.

    Example:
        >>> list(wrong_words({"good": ("好", "棒"), "bad": ("好",)}, ["good", "bad"]))
        ["verbalizer gives the word '好' to 'good' and to 'bad'; a word belongs to one label"]
    """
    known = list(labels)
    for label in (label for label in known if label not in verbalizer):
        yield f"verbalizer has no words for the label {label!r}{nearest(label, verbalizer)}"
    for label in (label for label in verbalizer if label not in known):
        yield f"verbalizer has words for {label!r}, which is not one of the labels {', '.join(map(repr, known))}{nearest(label, known)}"
    for label in (label for label, ours in verbalizer.items() if not ours):
        yield f"verbalizer gives no words to {label!r}; give it at least one"
    owners: dict[str, str] = {}
    for label, word in ((label, word) for label, ours in verbalizer.items() for word in ours):
        if not word or word != word.strip():
            yield f"verbalizer gives {word!r} to {label!r}; a word neither is nor begins or ends with a space: the template has the space before it"
        if word in owners:
            yield f"verbalizer gives the word {word!r} to {owners[word]!r} and to {label!r}; a word belongs to one label"
        owners.setdefault(word, label)


def _parts(template: str) -> Iterator[tuple[str, str]]:
    """Slots and the words between them.

    Raises:
        ValueError: Braces do not pair, or hold more than a name.
    """
    for words, field, specification, conversion in Formatter().parse(template):
        for place, part in enumerate(words.split(MASK)):
            yield from [(MASK, "")] * (place > 0)
            yield from [("", part)] * bool(part)
        if specification or conversion or field == "":
            raise ValueError("a pair of braces holds the name of a field and nothing else")
        if field is not None:
            yield field, ""


def _problems(slots: Sequence[str]) -> Iterator[str]:
    masks = slots.count(MASK)
    if not masks:
        yield f"it has no {MASK}, the place of the label word; write it so, whatever the model's own token is called"
    if masks > 1:
        yield f"it has {masks} {MASK}; write one, which becomes as many as a label word has tokens"
    for field in FIELDS:
        if slots.count(field) > 1:
            yield f"it has {{{field}}} {slots.count(field)} times; once is allowed"
    if "text" not in slots:
        yield "it has no {text}"
    for slot in dict.fromkeys(slots):
        if slot not in {"", MASK, *FIELDS}:
            yield f"it has {{{slot}}}, which is no field{nearest(slot, FIELDS)}; fields: {', '.join(f'{{{field}}}' for field in FIELDS)}"


def _prompt(encoding: Encoding, spans: Mapping[str, Span], mask_id: int, longest: int) -> Prompt:
    ids, (begins, ends) = encoding.input_ids, encoding.offsets.T
    begin, end = spans[MASK]
    [mask] = np.flatnonzero((ids == mask_id) & (ends > begin) & (begins < end)).tolist()  # a text may hold a mask of its own
    inside = [np.flatnonzero((begins >= spans[field][0]) & (ends <= spans[field][1]) & (ends > 0)) for field in FIELDS if field in spans]
    cut = _cut(inside, len(ids) - longest)
    kept = np.ones(len(ids), np.bool_)
    kept[cut] = False
    return Prompt(ids[kept], int(kept[:mask].sum()), len(cut))


def _cut(inside: Sequence[np.ndarray], excess: int) -> np.ndarray:
    """The tokens that go if so many are too many.

    Args:
        inside: For every text, its tokens' places.
        excess: How many have to go.
    """
    if excess <= 0:
        return np.zeros(0, np.int64)
    first, second = (*inside, np.zeros(0, np.int64))[:2]
    counts = longest_first(len(first), len(second), max(0, len(first) + len(second) - excess))
    return np.concatenate([first[counts[0] :], second[counts[1] :]])


def _spelled(word: str, before: str, tokenizer: Tokenizer) -> tuple[tuple[int, ...], str]:
    """A word's tokens, and what is wrong with them."""
    pieces = tokenizer.pieces(before + word)
    ours: Bool[np.ndarray, " tokens"] = pieces.offsets[:, 1] > len(before.rstrip())
    ids = tuple(pieces.input_ids[ours].tolist())
    if not ids:
        return ids, "is nothing that the vocabulary writes"
    if tokenizer.unknown_id in ids:
        written = " ".join(tokenizer.token(number) for number in ids)
        return ids, f"has something in it that the vocabulary cannot write ({written})"
    if special := tokenizer.special_ids.intersection(ids):
        return ids, f"has {tokenizer.token(min(special))} in it, which is no word but a sign of the model's own"
    if (pieces.offsets[ours, 0] < len(before.rstrip())).any():
        return ids, "is written as one token with a comma before it"
    return ids, ""
