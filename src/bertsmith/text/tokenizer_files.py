"""A tokenizer's files, read.

Five sets of files make a tokenizer::

    tokenizer.json                          everything in one file, of whatever kind (WordPiece, byte-level BPE, Unigram); it is taken as it is
    vocab.txt                               BERT's WordPiece: BERT and all families that use its vocabulary, also Chinese BART, CPT, GPT-2 and PEGASUS
    vocab.json + merges.txt                 byte-level BPE: RoBERTa and BART, GPT-2
    one .model                              SentencePiece: ALBERT (spiece.model), XLM-R (sentencepiece.bpe.model), PEGASUS
    source.spm + target.spm + vocab.json    Marian: SentencePiece for either language, ids by name

Which `Pipeline` a folder wants is said by `tokenizer_class` in `tokenizer_config.json`; else by `tokenizer_class`, then by `model_type`, in
`config.json`; else by the name of the file, and with `vocab.json` by the tokens in it. Classes of no family (`PreTrainedTokenizerFast`) say nothing.

Then the files are chosen: Marian's if it is wanted, else `tokenizer.json`, else the first set from which the wanted pipeline is made, else the first
that is there. What is wanted and cannot be made of the files is an error; but a `model_type` does not speak against `vocab.txt`, which is BERT's
whoever has it, nor against `vocab.json` with `merges.txt`.

`tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` are read beside them where they are there: they name the tokens that play
the roles, and say whether text is lower-cased. Where nothing names a role, the conventional token of the family plays it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, normalizers, pre_tokenizers

from bertsmith.core.errors import CheckpointError
from bertsmith.text.files import read_bytes, read_ids, read_json, read_text
from bertsmith.text.pipelines import (
    ALBERT,
    ANY,
    BERT,
    GPT2,
    MARIAN,
    NORMALIZER_KEYS,
    OF_CLASS,
    OF_MODEL_TYPE,
    PEGASUS,
    ROBERTA,
    SPLINTER,
    XLM_ROBERTA,
    Pipeline,
    byte_pairs,
    token_name,
    wordpiece,
)
from bertsmith.text.sentencepiece import Kind, parse_sentencepiece
from bertsmith.text.tokenizer_settings import mistakes

VERBATIM_CLASSES = ("PreTrainedTokenizerFast", "TokenizersBackend")
"""The classes of `transformers` that take `tokenizer.json` as it is; the others let `tokenizer_config.json` overrule it."""

CLASSES_OF_NO_FAMILY = (*VERBATIM_CLASSES, "PreTrainedTokenizer", "PythonBackend")

FILE_SETS: Mapping[tuple[str, ...], tuple[Pipeline, ...]] = {
    ("vocab.txt",): (BERT, SPLINTER),
    ("vocab.json", "merges.txt"): (ROBERTA, GPT2),
    ("*.model",): (ALBERT, XLM_ROBERTA, PEGASUS),
}
"""The pipelines that a set of files can be, the usual one first."""

OF_FILE_NAME = {"spiece.model": ALBERT, "sentencepiece.bpe.model": XLM_ROBERTA}
MARIAN_FILES = ("source.spm", "target.spm", "vocab.json")
SHARED_AT_LEAST = 0.5
"""Of the pieces of a SentencePiece model, the share that `vocab.json` must know to belong to it."""

UNMERGED_AT_MOST = 0.1
"""Of the tokens of a `vocab.json`, the share that `merges.txt` may have no merge for."""


@dataclass(frozen=True, slots=True)
class TokenizerFiles:
    """What the files of a tokenizer say.

    Attributes:
        backend: The pipeline: normaliser, pre-tokeniser, model, template; neither truncating nor padding.
        roles: The token that plays each role, under the keys of `tokenizer_config.json`; a role that the family does not have is not in it.
        model_max_length: The length the files recommend, in tokens; None where they do not.
        ids: The ids of tokens where they are not those of the backend; a token that has none is unknown.
        target: The tokenizer of the other language, where there is one.
        originals: Files that are written as they were read, by name; they then are the tokenizer, with `settings` beside them.
        settings: What `tokenizer_config.json` says of them.
    """

    backend: tokenizers.Tokenizer
    roles: Mapping[str, str]
    model_max_length: int | None = None
    ids: Mapping[str, int] | None = None
    target: TokenizerFiles | None = None
    originals: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Declared:
    """What a folder says of its tokenizer.

    Attributes:
        pipeline: The pipeline; None where nothing is said, or a name that is not known.
        tokenizer_class: The class, where one is named.
        model_type: The family of the model, where it is named.
    """

    pipeline: Pipeline | None
    tokenizer_class: str | None
    model_type: str | None

    def __str__(self) -> str:
        return f"the tokenizer_class {self.tokenizer_class}" if self.tokenizer_class else f"the model_type {self.model_type}"


def read_folder(folder: Path) -> TokenizerFiles:
    """Read the tokenizer of a model folder.

    Raises:
        CheckpointError: A file is missing, too large, not UTF-8 or not what its name says; files do not belong together; no token plays one of the
            roles that the family needs; or it cannot be told which pipeline is wanted.
    """
    settings = _settings(folder)
    declared = _declared(folder, settings)
    length = settings.get("model_max_length")
    recommended = int(length) if isinstance(length, int | float) and 0 < length < 10**9 else None
    if _is_marian(folder, declared):
        return replace(_marian(folder, settings), model_max_length=recommended)
    backend, pipeline = _backend(folder, settings, declared)
    backend.no_truncation()
    backend.no_padding()
    _add_tokens(backend, folder, settings)
    return replace(_with_roles(backend, pipeline, settings, str(folder)), model_max_length=recommended)


def read_vocabulary(file: Path) -> list[str]:
    """The tokens of a `vocab.txt`, one a line; a token's id is its line, from 0.

    Raises:
        CheckpointError: The file is missing, too large, empty or not UTF-8.
    """
    tokens = read_text(file).split("\n")
    if not tokens[-1]:
        tokens.pop()
    if not tokens:
        raise CheckpointError(f"{file} is empty; a vocabulary has one token a line")
    return tokens


def from_tokens(tokens: Sequence[str], *, settings: Mapping[str, Any], source: str = "the vocabulary") -> TokenizerFiles:
    """BERT's pipeline over a WordPiece vocabulary.

    Args:
        tokens: The vocabulary, in the order of ids.
        settings: Keys of `tokenizer_config.json`; `do_lower_case` is true where it is not given.
        source: What the vocabulary is called in messages.

    Raises:
        CheckpointError: No token plays one of the roles.
    """
    return _with_roles(wordpiece(tokens, settings), BERT, settings, source)


def _settings(folder: Path) -> dict[str, Any]:
    """`tokenizer_config.json`, overruled by the older `special_tokens_map.json` unless it lists its tokens itself."""
    if not folder.is_dir():
        raise CheckpointError(f"there is no folder {folder}; a tokenizer is read from a model folder")
    config, names = (read_json(file) if (file := folder / name).exists() else {} for name in ("tokenizer_config.json", "special_tokens_map.json"))
    settings = config if "added_tokens_decoder" in config else {**config, **names}
    if problems := list(mistakes(settings)):
        raise CheckpointError(
            f"tokenizer_config.json or special_tokens_map.json of {folder} cannot be used; mend them, or fetch them again", problems
        )
    return settings


def _declared(folder: Path, settings: Mapping[str, Any]) -> Declared:
    config = read_json(file) if (file := folder / "config.json").exists() else {}
    model_type = config.get("model_type")
    for name in (settings.get("tokenizer_class"), config.get("tokenizer_class")):
        if isinstance(name, str) and name not in CLASSES_OF_NO_FAMILY:
            return Declared(OF_CLASS.get(name.removesuffix("Fast")), name, model_type)
    return Declared(OF_MODEL_TYPE.get(str(model_type)), None, model_type)


def _is_marian(folder: Path, declared: Declared) -> bool:
    spm = any((folder / name).exists() for name in MARIAN_FILES[:2])
    whole = (folder / "tokenizer.json").exists()
    return (declared.pipeline is MARIAN and (spm or not whole)) or (spm and not whole and declared.tokenizer_class is None)


def _marian(folder: Path, settings: Mapping[str, Any]) -> TokenizerFiles:
    missing = [name for name in MARIAN_FILES if not (folder / name).exists()]
    if missing:
        raise CheckpointError(
            f"{folder} has no {' and no '.join(missing)}; Marian's tokenizer is {', '.join(MARIAN_FILES[:2])} and {MARIAN_FILES[2]}"
        )
    if settings.get("separate_vocabs"):
        raise CheckpointError(f"{folder} has separate_vocabs; only Marian models with one vocabulary for both languages can be read")
    originals = {name: read_bytes(folder / name) for name in MARIAN_FILES}
    ids = read_ids(folder / "vocab.json")
    source, target = (_marian_side(folder / name, originals[name], ids, settings) for name in MARIAN_FILES[:2])
    kept = {key: settings[key] for key in ("source_lang", "target_lang") if settings.get(key)}
    return replace(source, target=target, originals=originals, settings={"tokenizer_class": MARIAN.classes[0], **kept})


def _marian_side(file: Path, content: bytes, ids: Mapping[str, int], settings: Mapping[str, Any]) -> TokenizerFiles:
    model = parse_sentencepiece(content, str(file))
    pieces = [piece.text for piece in model.pieces if piece.kind == Kind.NORMAL]
    known = sum(piece in ids for piece in pieces)
    if known < SHARED_AT_LEAST * len(pieces):
        hint = "fetch both again"
        raise CheckpointError(f"{file} and vocab.json do not belong together: {known:,} of {len(pieces):,} pieces are in the vocabulary; {hint}")
    assert MARIAN.build is not None
    backend = MARIAN.build(model, settings)
    backend.add_tokens([AddedToken(token, normalized=False) for token in ids if token.startswith(">>") and token.endswith("<<")])
    return _with_roles(backend, MARIAN, settings, f"vocab.json of {file.parent}", ids)


def _backend(folder: Path, settings: Mapping[str, Any], declared: Declared) -> tuple[tokenizers.Tokenizer, Pipeline]:
    if (file := folder / "tokenizer.json").exists():
        backend = _whole(file, settings)
        return backend, _recognised(backend, declared, settings)
    names, pipelines = _chosen_set(folder, declared)
    if names[0] == "vocab.txt":
        return wordpiece(read_vocabulary(folder / names[0]), settings), _fitting(names[0], pipelines, declared, folder)
    if names[0] == "vocab.json":
        ids = read_ids(folder / names[0])
        usual = GPT2 if "<|endoftext|>" in ids and "<s>" not in ids else ROBERTA
        return _byte_pairs(folder, ids, settings), _fitting(names[0], (usual, *pipelines), declared, folder)
    file = min(folder.glob(names[0]), key=lambda file: (file.name not in OF_FILE_NAME, file.name))
    pipeline = _fitting(file.name, pipelines, declared, folder)
    assert pipeline.build is not None
    model = parse_sentencepiece(read_bytes(file), str(file))
    try:
        return pipeline.build(model, settings), pipeline
    except CheckpointError as error:
        raise CheckpointError(f"{file}: {error.summary}") from error


def _chosen_set(folder: Path, declared: Declared) -> tuple[tuple[str, ...], tuple[Pipeline, ...]]:
    present = {names: pipelines for names, pipelines in FILE_SETS.items() if all(any(folder.glob(name)) for name in names)}
    if not present:
        halves = [name for name in ("vocab.json", "merges.txt") if (folder / name).exists()]
        lacking = f" (it has {halves[0]}, not the other)" if halves else ""
        wanted = "tokenizer.json, or vocab.txt, or vocab.json with merges.txt, or a SentencePiece .model"
        raise CheckpointError(f"{folder} has no tokenizer: {wanted} is needed{lacking}")
    fit = [item for item in present.items() if declared.pipeline in item[1]]
    return (fit or list(present.items()))[0]


def _fitting(file: str, pipelines: Sequence[Pipeline], declared: Declared, folder: Path) -> Pipeline:
    """The pipeline that is declared if the file can be it, else the one that the file usually is if nothing speaks against it."""
    if declared.pipeline and declared.pipeline in pipelines:
        return declared.pipeline
    by_name = OF_FILE_NAME.get(file) if file.endswith(".model") else pipelines[0]
    contradicted = declared.tokenizer_class or (declared.model_type and file.endswith(".model"))
    if by_name is None or contradicted:
        classes = sorted({name for pipeline in pipelines for name in pipeline.classes})
        said = f"and {declared} is not one" if contradicted else "and nothing says which"
        hint = f"name one of these as tokenizer_class in tokenizer_config.json ({', '.join(classes)}), or write a tokenizer.json with transformers"
        raise CheckpointError(f"{file} of {folder} can be the tokenizer of {len(pipelines)} families, {said}; {hint}")
    return by_name


def _whole(file: Path, settings: Mapping[str, Any]) -> tokenizers.Tokenizer:
    text = read_text(file)
    try:
        backend = tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # the library raises nothing narrower
        raise CheckpointError(f"{file} is not a tokenizer ({error}); it may have been cut off: fetch it again") from error
    if settings.get("tokenizer_class") not in VERBATIM_CLASSES:
        _overrule(backend, settings)
    return backend


def _recognised(backend: tokenizers.Tokenizer, declared: Declared, settings: Mapping[str, Any]) -> Pipeline:
    """The declared pipeline if the vocabulary can be its; else GPT-2's if the vocabulary has nothing but an end of text."""
    if declared.pipeline and not _roles(backend.token_to_id, declared.pipeline, settings)[1]:
        return declared.pipeline
    roles, _ = _roles(backend.token_to_id, ANY, settings)
    alone = not {"cls_token", "eos_token"} & roles.keys() and not _roles(backend.token_to_id, GPT2, settings)[1]
    return GPT2 if alone else ANY


def _overrule(backend: tokenizers.Tokenizer, settings: Mapping[str, Any]) -> None:
    """Let `tokenizer_config.json` decide what it names, as `BertTokenizer` and `RobertaTokenizer` of transformers do."""
    normalizer = backend.normalizer
    if isinstance(normalizer, normalizers.BertNormalizer):
        for key, name in NORMALIZER_KEYS.items():
            if key in settings:
                setattr(normalizer, name, settings[key])
        backend.normalizer = normalizer
    pre_tokenizer = backend.pre_tokenizer
    if isinstance(pre_tokenizer, pre_tokenizers.ByteLevel) and "add_prefix_space" in settings:
        pre_tokenizer.add_prefix_space = bool(settings["add_prefix_space"])
        backend.pre_tokenizer = pre_tokenizer


def _byte_pairs(folder: Path, ids: Mapping[str, int], settings: Mapping[str, Any]) -> tokenizers.Tokenizer:
    lines = [line for line in read_text(folder / "merges.txt").split("\n") if line and not line.startswith("#version")]
    merges = [(left, right) for left, _, right in (line.partition(" ") for line in lines)]
    try:
        backend = byte_pairs(ids, merges, settings)
    except Exception as error:  # the library raises nothing narrower
        raise CheckpointError(f"vocab.json and merges.txt of {folder} do not belong together ({error}); fetch both again") from error
    merged = {left + right for left, right in merges}
    unmerged = [token for token in ids if len(token) > 1 and token not in merged and (token[0], token[-1]) not in {("<", ">"), ("[", "]")}]
    if len(unmerged) > UNMERGED_AT_MOST * len(ids):
        summary = f"nothing is merged to {len(unmerged):,} of {len(ids):,} tokens, such as {unmerged[0]!r}"
        raise CheckpointError(f"vocab.json and merges.txt of {folder} do not belong together ({summary}); fetch both again")
    return backend


def _added(token: Any, *, special: bool = True, strip_left: bool = False) -> AddedToken:
    if isinstance(token, dict):
        flags = {key: bool(token[key]) for key in ("lstrip", "rstrip", "normalized", "single_word", "special") if key in token}
        return AddedToken(token["content"], **{"special": special, **flags})
    return AddedToken(token, special=special, normalized=not special, lstrip=strip_left)


def _add_tokens(backend: tokenizers.Tokenizer, folder: Path, settings: Mapping[str, Any]) -> None:
    """Add the tokens that the files list beside the vocabulary, where the vocabulary does not have them yet."""
    known = {token.content for token in backend.get_added_tokens_decoder().values()}
    problems: list[str] = []
    for number, token in _listed_tokens(folder, settings):
        if token.content not in known:
            (backend.add_special_tokens if token.special else backend.add_tokens)([token])
        if number is not None and backend.token_to_id(token.content) != number:
            problems.append(f"{token.content!r} is listed as {number} and would get {backend.token_to_id(token.content)}")
    if problems:
        raise CheckpointError(f"the added tokens of {folder} do not fit its vocabulary; fetch all files of the tokenizer again", problems)


def _listed_tokens(folder: Path, settings: Mapping[str, Any]) -> Iterator[tuple[int | None, AddedToken]]:
    listed = settings.get("added_tokens_decoder") or {}
    yield from sorted(((int(number), _added(token, special=False)) for number, token in listed.items()), key=lambda pair: pair[0])
    if "added_tokens_decoder" not in settings and (file := folder / "added_tokens.json").exists():
        added = read_ids(file) if read_json(file) else {}
        yield from ((number, _added(token, special=False)) for token, number in sorted(added.items(), key=lambda item: item[1]))
    for key in ("additional_special_tokens", "extra_special_tokens"):
        tokens = settings.get(key)
        yield from ((None, _added(token)) for token in (tokens if isinstance(tokens, list) else []))


def _with_roles(
    backend: tokenizers.Tokenizer, pipeline: Pipeline, settings: Mapping[str, Any], source: str, ids: Mapping[str, int] | None = None
) -> TokenizerFiles:
    """Find the token for every role, register it as special and give the pipeline its template where it has none."""
    find = backend.token_to_id if ids is None else ids.get
    roles, problems = _roles(find, pipeline, settings)
    if problems:
        raise CheckpointError(f"{source} lacks tokens that are needed; add them to the vocabulary, or name others in tokenizer_config.json", problems)
    _register_roles(backend, settings, roles)
    if not backend.num_special_tokens_to_add(is_pair=False):
        pipeline.surround(backend, roles)
    return TokenizerFiles(backend, roles, ids=ids)


def _roles(find: Callable[[str], int | None], pipeline: Pipeline, settings: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """The token for every role that there is; and the roles that are needed, or named, and have none."""
    roles: dict[str, str] = {}
    problems: list[str] = []
    for role, conventional in pipeline.conventions.items():
        named = token_name(settings.get(role))
        candidates = (named,) if named else conventional
        found = next((token for token in candidates if find(token) is not None), None)
        if found is not None:
            roles[role] = found
        elif role in pipeline.needed or (named and role not in ("bos_token", "eos_token")):
            problems.append(f"{role}: {' or '.join(candidates)}")
    return roles, problems


def _register_roles(backend: tokenizers.Tokenizer, settings: Mapping[str, Any], roles: Mapping[str, str]) -> None:
    known = {token.content for token in backend.get_added_tokens_decoder().values()}
    byte_level = isinstance(backend.decoder, decoders.ByteLevel)
    for role, token in roles.items():
        if token not in known:  # a byte-level mask takes the space before it along: fairseq strips that space, too
            backend.add_special_tokens([_added(settings.get(role) or token, strip_left=byte_level and role == "mask_token")])
