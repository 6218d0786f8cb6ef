"""How each family turns text into tokens: one `Pipeline` a family.

A pipeline says which tokens play which roles, what surrounds a text and a pair, and how its files become a `tokenizers.Tokenizer`. They are those of
`transformers`, so ids are equal to its ids.

Three families have other ids than their SentencePiece models. XLM-R has fairseq's four tokens in front of the normal pieces, which moves these by
one, and the mask behind them. PEGASUS has two masks and 101 unused tokens between `</s>` and the rest. Marian has its ids in `vocab.json`.

We differ from `transformers` 5 where it differs from what the checkpoints were trained with:

- ALBERT does not leave a comma behind a digit in one piece, "2008,": so google-research/albert, and the `tokenizer.json` that it was published with.
- A user-defined piece is a piece like others, as in SentencePiece: what follows it does not become the beginning of a word.
- PEGASUS has `<mask_1>` at 2 and `<mask_2>` at 3, whichever of them `tokenizer_config.json` calls the mask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors

from bertsmith.core.errors import CheckpointError
from bertsmith.text.sentencepiece import Kind, Piece, SentencePieces

Settings = Mapping[str, Any]
"""The keys of `tokenizer_config.json`."""

Surround = Callable[[tokenizers.Tokenizer, Mapping[str, str]], None]
"""Has a backend put special tokens around texts, given the token of every role."""

NORMALIZER_KEYS = {"do_lower_case": "lowercase", "strip_accents": "strip_accents", "tokenize_chinese_chars": "handle_chinese_chars"}
PEGASUS_OFFSET = 103
"""By how much PEGASUS' ids are larger than those of its SentencePiece model."""

COMMA_PENALTY = 100.0
"""What keeps ALBERT from choosing a piece, in log probability."""


def roles(unknown: str, separator: str, padding: str, opening: str, mask: str) -> dict[str, tuple[str, ...]]:
    """The five roles of an encoder's vocabulary."""
    tokens = {"unk_token": unknown, "sep_token": separator, "pad_token": padding, "cls_token": opening, "mask_token": mask}
    return {role: tuple(names.split()) for role, names in tokens.items()}


def template(single: str, pair: str) -> Surround:
    """Surround texts as `TemplateProcessing` writes it, with roles in the place of tokens."""

    def surround(backend: tokenizers.Tokenizer, tokens: Mapping[str, str]) -> None:
        words = {word.rpartition(":")[0] for word in pair.split() if not word.startswith("$")}
        named = {word: tokens.get(word, word) for word in words}
        filled = [[_filled(word, named) for word in line.split()] for line in (single, pair)]
        special = [(token, identifier(backend, token)) for token in sorted(set(named.values()))]
        backend.post_processor = processors.TemplateProcessing(single=filled[0], pair=filled[1], special_tokens=special)

    return surround


def _filled(word: str, named: Mapping[str, str]) -> str:
    token, _, segment = word.rpartition(":")
    return f"{named.get(token, token)}:{segment}"


def byte_level_bert(backend: tokenizers.Tokenizer, tokens: Mapping[str, str]) -> None:
    """RoBERTa: `<s> A </s>`, `<s> A </s></s> B </s>`, no segments, and no white space in offsets."""
    prefix = bool(getattr(backend.pre_tokenizer, "add_prefix_space", False))
    ends = [(tokens[role], identifier(backend, tokens[role])) for role in ("sep_token", "cls_token")]
    backend.post_processor = processors.RobertaProcessing(*ends, trim_offsets=True, add_prefix_space=prefix)


def byte_level(backend: tokenizers.Tokenizer, _tokens: Mapping[str, str]) -> None:
    """GPT-2: nothing; offsets hold the white space before a word."""
    backend.post_processor = backend.post_processor or processors.ByteLevel(trim_offsets=False)


def fitting(backend: tokenizers.Tokenizer, tokens: Mapping[str, str]) -> None:
    """A tokenizer of no known family: as BERT, or as RoBERTa if it is byte-level, where its vocabulary has the tokens."""
    if {"cls_token", "sep_token"} <= tokens.keys():
        (byte_level_bert if isinstance(backend.model, models.BPE) else BERT.surround)(backend, tokens)


def identifier(backend: tokenizers.Tokenizer, token: str) -> int:
    """The id of a token that stands around texts.

    Raises:
        CheckpointError: The vocabulary does not have it.
    """
    number = backend.token_to_id(token)
    if number is None:
        raise CheckpointError(f"the vocabulary has no {token!r}, which this family puts around its texts; fetch the tokenizer's files again")
    return number


@dataclass(frozen=True, slots=True)
class Pipeline:
    """How a family turns text into tokens.

    Attributes:
        name: The family.
        classes: The classes of `transformers` that are this pipeline.
        conventions: The tokens that play each role, under the keys of `tokenizer_config.json`, unless others are named there.
        surround: Adds the special tokens.
        needed: The roles without which it is not the vocabulary of this family.
        build: Makes a backend of a SentencePiece model, where the family has one.
    """

    name: str
    classes: tuple[str, ...]
    conventions: Mapping[str, tuple[str, ...]]
    surround: Surround
    needed: Sequence[str] = ()
    build: Callable[[SentencePieces, Settings], tokenizers.Tokenizer] | None = None


def wordpiece(tokens: Sequence[str], settings: Settings) -> tokenizers.Tokenizer:
    """BERT: WordPiece after `BertNormalizer`; lower-cased unless the settings say otherwise."""
    ids = {token: number for number, token in enumerate(tokens)}
    backend = tokenizers.Tokenizer(models.WordPiece(ids, unk_token=token_name(settings.get("unk_token")) or "[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
        strip_accents=settings.get("strip_accents"),
        lowercase=settings.get("do_lower_case", True),
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    return backend


def byte_pairs(ids: Mapping[str, int], merges: Sequence[tuple[str, str]], settings: Settings) -> tokenizers.Tokenizer:
    """RoBERTa, BART and GPT-2: byte-level BPE.

    Raises:
        Exception: The merges are not of this vocabulary; the library raises nothing narrower.
    """
    backend = tokenizers.Tokenizer(models.BPE(dict(ids), list(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=bool(settings.get("add_prefix_space", False)))
    backend.decoder = decoders.ByteLevel()
    return backend


def token_name(token: Any) -> str | None:
    """A token in a settings file is a string, or an object with its `content`."""
    return token.get("content") if isinstance(token, dict) else token


def _albert(model: SentencePieces, settings: Settings) -> tokenizers.Tokenizer:
    steps: list[Any] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if not settings.get("keep_accents", False):
        steps += [normalizers.NFKD(), normalizers.StripAccents()]
    if settings.get("do_lower_case", True):
        steps.append(normalizers.Lowercase())
    pieces = tuple(piece._replace(score=piece.score - COMMA_PENALTY * _ends_in_number_and_comma(piece)) for piece in model.pieces)
    return _backend(model, pieces, _unknown(pieces), steps + _table(model), [pre_tokenizers.WhitespaceSplit()])


def _ends_in_number_and_comma(piece: Piece) -> bool:
    return piece.text[-1] == "," and piece.text[-2:-1].isdigit()


def _xlm_roberta(model: SentencePieces, settings: Settings) -> tokenizers.Tokenizer:
    _check_first(model, ("<unk>", "<s>", "</s>"), "XLM-R")
    tokens = {role: Piece(token_name(settings.get(role)) or conventional[0], 0.0) for role, conventional in XLM_ROBERTA.conventions.items()}
    front = [tokens[role] for role in ("bos_token", "pad_token", "eos_token", "unk_token")]
    pieces = (*front, *model.pieces[3:], tokens["mask_token"])
    return _backend(model, pieces, front.index(tokens["unk_token"]), _table(model), [pre_tokenizers.WhitespaceSplit()])


def _pegasus(model: SentencePieces, _settings: Settings) -> tokenizers.Tokenizer:
    _check_first(model, ("<pad>", "</s>", "<unk>"), "PEGASUS")
    front = [Piece(token, 0.0) for token in ("<pad>", "</s>", "<mask_1>", "<mask_2>")]
    unused = [Piece(f"<unk_{number}>", -100.0, Kind.CONTROL) for number in range(2, PEGASUS_OFFSET)]
    steps = _table(model) or [normalizers.Replace("\n", " ")]
    pieces = (*front, *unused, *model.pieces[2:])
    return _backend(model, pieces, 2 + PEGASUS_OFFSET, [*steps, normalizers.Replace(Regex(" {2,}"), " ")])


def _marian(model: SentencePieces, _settings: Settings) -> tokenizers.Tokenizer:
    """As SentencePiece itself does it: only what a text is made of can be found in it. Ids are `vocab.json`'s and not those of this backend."""
    pieces = tuple(piece for piece in model.pieces if piece.kind not in (Kind.CONTROL, Kind.UNUSED))
    spaces = [normalizers.Replace(Regex(" {2,}"), " "), normalizers.Replace(Regex("^ | $"), "")]
    return _backend(model, pieces, _unknown(pieces), [*_table(model), *spaces])


def _check_first(model: SentencePieces, tokens: tuple[str, ...], family: str) -> None:
    found = tuple(piece.text for piece in model.pieces[: len(tokens)])
    if found != tokens:
        hint = "it belongs to another family; name its tokenizer_class in tokenizer_config.json"
        raise CheckpointError(f"{family}'s SentencePiece models begin with {' '.join(tokens)}, this one with {' '.join(found)}: {hint}")


def _backend(
    model: SentencePieces, pieces: tuple[Piece, ...], unknown: int, steps: Sequence[Any], before: Sequence[Any] = ()
) -> tokenizers.Tokenizer:
    """A SentencePiece tokenizer: normalise, cut into words that begin with "▁", cut these into pieces."""
    backend = tokenizers.Tokenizer(model.model(pieces, unknown))
    backend.normalizer = normalizers.Sequence(list(steps))
    scheme = "always" if model.prefix else "never"
    backend.pre_tokenizer = pre_tokenizers.Sequence([*before, pre_tokenizers.Metaspace(prepend_scheme=scheme)])
    backend.decoder = decoders.Metaspace(prepend_scheme=scheme)
    backend.add_special_tokens([piece.text for piece in pieces if piece.kind == Kind.CONTROL])
    return backend


def _unknown(pieces: tuple[Piece, ...]) -> int:
    return next(number for number, piece in enumerate(pieces) if piece.kind == Kind.UNKNOWN)


def _table(model: SentencePieces) -> list[Any]:
    return [normalizers.Precompiled(model.table)] if model.table else []


EITHER = roles("[UNK] <unk>", "[SEP] </s>", "[PAD] <pad>", "[CLS] <s>", "[MASK] <mask>")
ANY = Pipeline("any", (), {**EITHER, "bos_token": ("<s>",), "eos_token": ("</s>",)}, fitting)
BERT = Pipeline(
    "bert",
    tuple(f"{name}Tokenizer" for name in "Bert DistilBert Electra ConvBert MobileBert SqueezeBert RetriBert Lxmert LayoutLM".split()),
    {**EITHER, "bos_token": (), "eos_token": ()},
    template("cls_token:0 $A:0 sep_token:0", "cls_token:0 $A:0 sep_token:0 $B:1 sep_token:1"),
    needed=("unk_token", "sep_token", "pad_token", "cls_token", "mask_token"),
)
SPLINTER = replace(
    BERT,
    name="splinter",
    classes=("SplinterTokenizer",),
    conventions={**BERT.conventions, "question_token": ("[QUESTION]",)},
    surround=template("cls_token:0 $A:0 sep_token:0", "cls_token:0 $A:0 question_token:0 .:0 sep_token:0 $B:1 sep_token:1"),
    needed=(*BERT.needed, "question_token"),
)
ROBERTA = Pipeline(
    "roberta",
    tuple(f"{name}Tokenizer" for name in "Roberta Bart Longformer LED Mvp".split()),
    {**roles("<unk>", "</s>", "<pad>", "<s>", "<mask>"), "bos_token": ("<s>",), "eos_token": ("</s>",)},
    byte_level_bert,
    needed=BERT.needed,
)
GPT2 = Pipeline(
    "gpt2",
    ("GPT2Tokenizer",),
    {"unk_token": ("<|endoftext|>",), "bos_token": ("<|endoftext|>",), "eos_token": ("<|endoftext|>",), "pad_token": ()},
    byte_level,
    needed=("eos_token",),
)
ALBERT = replace(
    BERT,
    name="albert",
    classes=("AlbertTokenizer",),
    conventions={**roles("<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"), "bos_token": ("[CLS]",), "eos_token": ("[SEP]",)},
    build=_albert,
)
XLM_ROBERTA = replace(
    ROBERTA,
    name="xlm-roberta",
    classes=("XLMRobertaTokenizer",),
    surround=template("cls_token:0 $A:0 sep_token:0", "cls_token:0 $A:0 sep_token:0 sep_token:0 $B:0 sep_token:0"),
    build=_xlm_roberta,
)
PEGASUS = Pipeline(
    "pegasus",
    ("PegasusTokenizer",),
    {"unk_token": ("<unk>",), "pad_token": ("<pad>",), "mask_token": ("<mask_2>",), "mask_token_sent": ("<mask_1>",), "eos_token": ("</s>",)},
    template("$A:0 eos_token:0", "$A:0 $B:0 eos_token:0"),
    needed=("unk_token", "pad_token", "eos_token"),
    build=_pegasus,
)
MARIAN = Pipeline(
    "marian",
    ("MarianTokenizer",),
    {"unk_token": ("<unk>",), "pad_token": ("<pad>",), "eos_token": ("</s>",)},
    template("$A:0 eos_token:0", "$A:0 $B:0 eos_token:0"),
    needed=("unk_token", "pad_token", "eos_token"),
    build=_marian,
)

PIPELINES = (BERT, SPLINTER, ROBERTA, GPT2, ALBERT, XLM_ROBERTA, PEGASUS, MARIAN)
OF_CLASS = {name: pipeline for pipeline in PIPELINES for name in pipeline.classes}
OF_MODEL_TYPE = {**{pipeline.name: pipeline for pipeline in PIPELINES}, "bart": ROBERTA}
