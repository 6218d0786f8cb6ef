"""Text in, token ids out, and the way back.

::

    encode   [CLS] text [SEP] text_pair [SEP]   for a model: special tokens, segments, cut to a length
    pieces   text                               for pre-training: no special tokens, nothing cut

All tokenising is the `tokenizers` library's; here are the names of the special tokens, truncation that leaves the shared pipeline untouched (so that
threads may ask for different lengths at once) and numpy arrays.

Not every family has every special token: GPT-2 has an end of text and nothing else, Marian and PEGASUS have no [CLS] and no [SEP]. Asking for one
that is not there is an error that says what is there.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, SupportsInt

import numpy as np
import tokenizers
from jaxtyping import Int32

from bertsmith.core.errors import CheckpointError, RecipeError
from bertsmith.text.tokenizer_files import TokenizerFiles, from_tokens, read_folder, read_vocabulary
from bertsmith.text.tokenizer_writing import write_folder

LONE_SURROGATE = re.compile("[\ud800-\udfff]")

CHINESE = "[\u3000-\u303f\u3400-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
BESIDE_CHINESE = re.compile(rf"(?<={CHINESE}) | (?={CHINESE})")


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """A text, or a pair, as a model takes it.

    Attributes:
        input_ids: Token ids with special tokens.
        token_type_ids: The segment of every token: 0, or 1 for the second text of a pair where the family has segments.
        offsets: Where every token stands in the original text of its segment, in characters, end exclusive; (0, 0) for special tokens.
        tokens: The tokens as the vocabulary writes them.
        truncated: How many tokens were cut off.
    """

    input_ids: Int32[np.ndarray, " length"]
    token_type_ids: Int32[np.ndarray, " length"]
    offsets: Int32[np.ndarray, "length 2"]
    tokens: list[str]
    truncated: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """A text's tokens, nothing added and nothing cut.

    Attributes:
        input_ids: Token ids.
        offsets: Where every token stands in the text, in characters, end exclusive.
    """

    input_ids: Int32[np.ndarray, " length"]
    offsets: Int32[np.ndarray, "length 2"]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What a family puts around the two texts of a pair: `[CLS]` text `[SEP]` text `[SEP]`.

    Attributes:
        opening: Token ids before the first text.
        middle: Token ids between the two.
        closing: Token ids after the second text.
        segments: Of the opening, the first text, the middle, the second text and the closing.
    """

    opening: Int32[np.ndarray, " opening"]
    middle: Int32[np.ndarray, " middle"]
    closing: Int32[np.ndarray, " closing"]
    segments: tuple[int, int, int, int, int]

    @property
    def size(self) -> int:
        """Its tokens."""
        return len(self.opening) + len(self.middle) + len(self.closing)

    def around(
        self, first: Int32[np.ndarray, " first"], second: Int32[np.ndarray, " second"]
    ) -> tuple[Int32[np.ndarray, " length"], Int32[np.ndarray, " length"]]:
        """Token ids and segments of a pair, given the ids of its texts."""
        parts = (self.opening, first, self.middle, second, self.closing)
        segments = np.repeat(np.array(self.segments, np.int32), [len(part) for part in parts])
        return np.concatenate(parts), segments


class Tokenizer:
    """A tokenizer of any family.

    Attributes:
        vocabulary_size: One more than the largest id: the rows that an embedding needs.
        role_ids: The ids of the tokens that play a role, under the keys of `tokenizer_config.json` ("mask_token"); those that the family has.
        special_ids: All tokens that are not text.
        num_segments: How many segments the texts of a pair are in: 2 for BERT, 1 for families that do not tell them apart.
        target: The tokenizer of what is to be generated: for translation the other language's, else this one.

    Example:
        >>> tokenizer = Tokenizer.from_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "我", "爱", "bert", "##s"])
        >>> encoding = tokenizer.encode("我爱", "BERTs")
        >>> encoding.input_ids.tolist(), encoding.token_type_ids.tolist()
        ([2, 5, 6, 3, 7, 8, 3], [0, 0, 0, 0, 1, 1, 1])
        >>> encoding.tokens[4:], encoding.offsets[4:].tolist()
        (['bert', '##s', '[SEP]'], [[0, 4], [4, 5], [0, 0]])
    """

    def __init__(self, files: TokenizerFiles) -> None:
        self._files = files
        self._backend = files.backend
        vocabulary = files.ids or self._backend.get_vocab()
        self.role_ids = {role: vocabulary[token] for role, token in files.roles.items()}
        added = self._backend.get_added_tokens_decoder()
        self.special_ids = frozenset(vocabulary[token.content] for token in added.values() if token.special)
        self.vocabulary_size = 1 + max(vocabulary.values())
        self._strings = [""] * self.vocabulary_size
        for token, number in vocabulary.items():
            self._strings[number] = token
        self.num_segments = 1 + max(self._backend.encode("", "").type_ids, default=0)
        self.target = self if files.target is None else Tokenizer(files.target)

    @property
    def cls_id(self) -> int:
        """The token that opens a sequence: [CLS] or <s>."""
        return self._needed("cls_token")

    @property
    def sep_id(self) -> int:
        """The token that closes a segment: [SEP] or </s>."""
        return self._needed("sep_token")

    @property
    def pad_id(self) -> int:
        """The token that fills up a batch; where a family has none, the end of the text, which the attention mask hides as well (GPT-2)."""
        return self._needed("pad_token" if "pad_token" in self.role_ids or self.eos_id is None else "eos_token")

    @property
    def mask_id(self) -> int:
        """The token that hides another."""
        return self._needed("mask_token")

    @property
    def unknown_id(self) -> int:
        """The token for what the vocabulary cannot write; -1, which no token has, where it can write everything."""
        return self.role_ids.get("unk_token", -1)

    @property
    def bos_id(self) -> int | None:
        """The token that begins a text that is generated, where the family has one."""
        return self.role_ids.get("bos_token")

    @property
    def eos_id(self) -> int | None:
        """The token that ends a text that is generated, where the family has one."""
        return self.role_ids.get("eos_token")

    @classmethod
    def from_folder(cls, folder: Path) -> "Tokenizer":
        """Read the tokenizer of a model folder from whichever files it has; `text.tokenizer_files` says which, and how the family is found.

        Raises:
            CheckpointError: A file is missing, too large, not UTF-8 or not what its name says; files do not belong together; or a special token that
                the family needs is missing.
        """
        return cls(read_folder(folder))

    @classmethod
    def from_vocabulary(cls, file: Path, *, lowercase: bool = True) -> "Tokenizer":
        """A BERT tokenizer over a WordPiece vocabulary, one token a line.

        Args:
            file: The `vocab.txt`.
            lowercase: Lower-case the text and take accents off, as "uncased" and Chinese models do.

        Raises:
            CheckpointError: The file is missing, too large, empty or not UTF-8; or a special token is missing.
        """
        return cls(from_tokens(read_vocabulary(file), settings={"do_lower_case": lowercase}, source=str(file)))

    @classmethod
    def from_tokens(cls, tokens: Sequence[str], *, lowercase: bool = True) -> "Tokenizer":
        """A BERT tokenizer over a WordPiece vocabulary that is at hand, such as `train_vocabulary` returns.

        Raises:
            CheckpointError: A special token is missing.
        """
        return cls(from_tokens(tokens, settings={"do_lower_case": lowercase}))

    @property
    def kind(self) -> str:
        """How it cuts words into pieces: "WordPiece", "BPE", "Unigram"."""
        return type(self._backend.model).__name__

    def save(self, folder: Path) -> None:
        """Write the files from which `from_folder` and `transformers.AutoTokenizer` make a tokenizer with equal ids.

        Raises:
            CheckpointError: The folder cannot be written to.
        """
        write_folder(self._files, folder)

    def num_special(self, pair: bool) -> int:
        """How many special tokens `encode` adds to a text, or to a pair."""
        return self._backend.num_special_tokens_to_add(pair)

    def encode(self, text: str, text_pair: str | None = None, *, max_length: int | None = None) -> Encoding:
        """One text, or a pair, with special tokens; see `encode_many`."""
        return self.encode_many([text], None if text_pair is None else [text_pair], max_length=max_length)[0]

    def encode_many(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None, *, max_length: int | None = None) -> list[Encoding]:
        """Texts, or pairs, with special tokens, on all cores.

        Args:
            texts: The first segments.
            text_pairs: The second segments, as many; None where there are none.
            max_length: The most tokens of a result, special tokens included. What is longer loses tokens on the right of whichever segment is longer
                until it fits; `Encoding.truncated` says how many.

        Raises:
            RecipeError: `max_length` has no room for the special tokens; or a pair is to be encoded and the family puts nothing between two texts.
        """
        if text_pairs is not None:
            self._require_separator()
        special = self.num_special(text_pairs is not None)
        if max_length is not None and max_length < special:
            raise RecipeError(f"max_length is {max_length}; the special tokens alone are {special}, ask for more")
        inputs = list(texts) if text_pairs is None else list(zip(texts, text_pairs, strict=True))
        return [self._encoding(raw, max_length) for raw in self._run(inputs, special=True)]

    def frame(self) -> Frame:
        """What `encode` puts around the two texts of a pair, for those who put pairs together themselves.

        Raises:
            RecipeError: The family puts nothing between two texts.

        Example:
            >>> tokenizer = Tokenizer.from_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "好"])
            >>> frame = tokenizer.frame()
            >>> [part.tolist() for part in (frame.opening, frame.middle, frame.closing)], frame.segments
            ([[2], [3], [3]], (0, 0, 0, 1, 1))
        """
        self._require_separator()
        raw = self._backend.encode("a", "a")
        ids, segments = self._ids(raw), raw.type_ids
        first, second = ([place for place, owner in enumerate(raw.sequence_ids) if owner == number] for number in (0, 1))
        ends = [0, first[0], first[-1] + 1, second[0], second[-1] + 1, len(ids)]
        opening, _, middle, _, closing = (ids[begin:end] for begin, end in pairwise(ends))
        of_parts = [segments[begin] if begin < end else 0 for begin, end in pairwise(ends)]
        return Frame(opening, middle, closing, (of_parts[0], of_parts[1], of_parts[2], of_parts[3], of_parts[4]))

    def pieces(self, text: str) -> Pieces:
        """One text's tokens, nothing added and nothing cut."""
        return self.pieces_many([text])[0]

    def pieces_many(self, texts: Sequence[str]) -> list[Pieces]:
        """Texts' tokens, nothing added and nothing cut, on all cores."""
        return [Pieces(self._ids(raw), _offsets(raw)) for raw in self._run(list(texts), special=False)]

    def decode(self, ids: Iterable[SupportsInt], *, skip_special: bool = True) -> str:
        """The text of some tokens, as far as it can be got back: what was lower-cased or unknown is lost."""
        numbers = [int(number) for number in ids]
        if self._files.ids is None:
            return self._backend.decode(numbers, skip_special_tokens=skip_special)
        left_out = self.special_ids if skip_special else frozenset[int]()
        known = (number for number in numbers if 0 <= number < self.vocabulary_size and number not in left_out)
        return self._backend.decoder.decode([self._strings[number] for number in known])

    def text_of(self, ids: Iterable[SupportsInt]) -> str:
        """The text that a model has written: as `decode`, but for the blanks that WordPiece puts between Chinese characters.

        Example:
            >>> Tokenizer.from_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "我", "爱", "bert", "##s"]).text_of([2, 5, 6, 7, 8, 3])
            '我爱berts'
        """
        text = self.decode(ids)
        return BESIDE_CHINESE.sub("", text) if self.kind == "WordPiece" else text

    def token(self, number: SupportsInt) -> str:
        """The token of an id, as the vocabulary writes it; empty where it leaves out the id, as it does if it lists a token twice.

        Raises:
            IndexError: No token has this id.
        """
        if not 0 <= int(number) < self.vocabulary_size:
            raise IndexError(f"no token has the id {number}; ids go from 0 to {self.vocabulary_size - 1}")
        return self._strings[int(number)]

    def id(self, token: str) -> int | None:
        """The id of a token, None where the vocabulary does not have it."""
        return self._backend.token_to_id(token) if self._files.ids is None else self._files.ids.get(token)

    def _needed(self, role: str) -> int:
        if role not in self.role_ids:
            raise CheckpointError(f"this vocabulary has no {role}; it has {self._roles()}. What you ask for needs a model of another family")
        return self.role_ids[role]

    def _require_separator(self) -> None:
        if self.num_special(pair=True) <= self.num_special(pair=False):
            raise RecipeError(f"two texts need a sep_token between them, and this vocabulary has none; it has {self._roles()}. Join them yourself")

    def _roles(self) -> str:
        return ", ".join(f"{role} {self._strings[number]}" for role, number in self.role_ids.items()) or "no special tokens"

    def _ids(self, raw: tokenizers.Encoding) -> Int32[np.ndarray, " length"]:
        known = self._files.ids
        return np.array(raw.ids if known is None else [known.get(token, self.unknown_id) for token in raw.tokens], dtype=np.int32)

    def _run(self, inputs: list[Any], *, special: bool) -> list[tokenizers.Encoding]:
        try:
            return self._backend.encode_batch(inputs, add_special_tokens=special)
        except TypeError:  # half a surrogate pair, as cut-off web text has: no UTF-8 exists for it
            return self._backend.encode_batch([_well_formed(text) for text in inputs], add_special_tokens=special)

    def _encoding(self, raw: tokenizers.Encoding, max_length: int | None) -> Encoding:
        ids, segments, offsets = self._ids(raw), np.array(raw.type_ids, dtype=np.int32), _offsets(raw)
        excess = 0 if max_length is None else max(0, len(ids) - max_length)
        if excess and max_length is not None:
            kept = _kept(raw.sequence_ids, max_length)
            ids, segments, offsets = ids[kept], segments[kept], offsets[kept]
        return Encoding(ids, segments, offsets, [self._strings[number] for number in ids.tolist()], excess)


def longest_first(first: int, second: int, budget: int) -> tuple[int, int]:
    """How many tokens two segments keep if tokens are taken off the longer one until both fit, as `transformers` does it.

    Args:
        first: Tokens of the first segment.
        second: Tokens of the second segment.
        budget: Tokens that there is room for.

    Example:
        >>> longest_first(10, 3, 8), longest_first(10, 9, 7), longest_first(2, 3, 8)
        ((5, 3), (4, 3), (2, 3))
    """
    if first + second <= budget:
        return first, second
    if first > second:
        second, first = longest_first(second, first, budget)
        return first, second
    return (first, budget - first) if 2 * first <= budget else (budget // 2, budget - budget // 2)


def _kept(sequence_ids: Sequence[int | None], max_length: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which tokens stay: the special tokens of the template and the beginning of each segment."""
    owner = np.array([-1 if number is None else number for number in sequence_ids])
    kept = owner < 0
    places = [np.flatnonzero(owner == number) for number in (0, 1)]
    counts = longest_first(len(places[0]), len(places[1]), max_length - int(kept.sum()))
    for place, count in zip(places, counts, strict=True):
        kept[place[:count]] = True
    return kept


def _offsets(raw: tokenizers.Encoding) -> Int32[np.ndarray, "length 2"]:
    return np.fromiter(chain.from_iterable(raw.offsets), np.int32, 2 * len(raw)).reshape(-1, 2)


def _well_formed(text: Any) -> Any:
    if isinstance(text, tuple):
        return tuple(_well_formed(part) for part in text)
    return LONE_SURROGATE.sub("\ufffd", text)
