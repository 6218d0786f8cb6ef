"""A tokenizer's files, in and out.

Three sets of files make a tokenizer; the first that a folder has is read::

    tokenizer.json                  everything in one file, of whatever kind (WordPiece, byte-level BPE, Unigram)
    vocab.txt                       BERT: WordPiece after `BertNormalizer`
    vocab.json + merges.txt         RoBERTa: byte-level BPE

`tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` are read beside them where they are there: they name the tokens that play
the five roles, and say whether text is lower-cased. Where nothing names a role, the conventional token of the vocabulary plays it. The pipelines are
those of `transformers`, so ids are equal to its ids; what is written here opens there.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors

from bertsmith.core.errors import CheckpointError

LARGEST_FILE = 256 * 2**20
"""Bytes. The largest vocabularies in use make a `tokenizer.json` of about 30 MB; what is far beyond is another kind of file."""

ROLES: Mapping[str, tuple[str, ...]] = {
    "unk_token": ("[UNK]", "<unk>"),
    "sep_token": ("[SEP]", "</s>"),
    "pad_token": ("[PAD]", "<pad>"),
    "cls_token": ("[CLS]", "<s>"),
    "mask_token": ("[MASK]", "<mask>"),
}
"""The five roles, under the keys of `tokenizer_config.json`, and the tokens that play them by convention."""

NORMALIZER_KEYS = {"do_lower_case": "lowercase", "strip_accents": "strip_accents", "tokenize_chinese_chars": "handle_chinese_chars"}
VERBATIM_CLASSES = ("PreTrainedTokenizerFast", "TokenizersBackend")
"""The classes of `transformers` that take `tokenizer.json` as it is; the others let `tokenizer_config.json` overrule it."""


@dataclass(frozen=True, slots=True)
class TokenizerFiles:
    """What the files of a tokenizer say.

    Attributes:
        backend: The pipeline: normaliser, pre-tokeniser, model, template; neither truncating nor padding.
        roles: The token that plays each of `ROLES`.
        model_max_length: The length the files recommend, in tokens; None where they do not.
    """

    backend: tokenizers.Tokenizer
    roles: Mapping[str, str]
    model_max_length: int | None = None


def read_folder(folder: Path) -> TokenizerFiles:
    """Read the tokenizer of a model folder.

    Raises:
        CheckpointError: A file is missing, too large, not UTF-8 or not what its name says; or no token plays one of the roles.
    """
    settings = _settings(folder)
    backend = _backend(folder, settings)
    backend.no_truncation()
    backend.no_padding()
    _add_tokens(backend, folder, settings)
    roles = _assign_roles(backend, settings, str(folder))
    length = settings.get("model_max_length")
    return TokenizerFiles(backend, roles, int(length) if isinstance(length, int | float) and 0 < length < 10**9 else None)


def read_vocabulary(file: Path) -> list[str]:
    """The tokens of a `vocab.txt`, one a line; a token's id is its line, from 0.

    Raises:
        CheckpointError: The file is missing, too large, empty or not UTF-8.
    """
    tokens = _text(file).split("\n")
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
    backend = _wordpiece(tokens, settings)
    return TokenizerFiles(backend, _assign_roles(backend, settings, source))


def write_folder(files: TokenizerFiles, folder: Path) -> None:
    """Write a tokenizer so that `transformers.AutoTokenizer` opens it with equal ids.

    Writes `tokenizer.json` and `tokenizer_config.json`, and `vocab.txt` where the model is WordPiece, for the tools that know no other file.

    Raises:
        CheckpointError: The folder cannot be written to.
    """
    texts = {
        "tokenizer.json": files.backend.to_str(pretty=True),
        "tokenizer_config.json": json.dumps(_config(files), indent=2, ensure_ascii=False) + "\n",
    }
    vocabulary = files.backend.get_vocab(with_added_tokens=False)
    if isinstance(files.backend.model, models.WordPiece) and sorted(vocabulary.values()) == list(range(len(vocabulary))):
        texts["vocab.txt"] = "".join(f"{token}\n" for token in sorted(vocabulary, key=vocabulary.__getitem__))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise CheckpointError(f"cannot write the tokenizer to {folder}: {error.strerror}") from error


def _text(file: Path) -> str:
    try:
        if (size := file.stat().st_size) > LARGEST_FILE:
            raise CheckpointError(f"{file} has {size:,} bytes, a vocabulary at most {LARGEST_FILE:,}; is it another kind of file under this name?")
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CheckpointError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{file} is not UTF-8 text (byte {error.start}); fetch it again, or save it as UTF-8") from error


def _json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(_text(file))
    except (json.JSONDecodeError, RecursionError) as error:
        raise CheckpointError(f"{file} is not JSON ({error}); it may have been cut off: fetch it again") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{file} holds a JSON {type(value).__name__}, an object is needed")
    return value


def _settings(folder: Path) -> dict[str, Any]:
    """`tokenizer_config.json`, overruled by the older `special_tokens_map.json` unless it lists its tokens itself."""
    if not folder.is_dir():
        raise CheckpointError(f"there is no folder {folder}; a tokenizer is read from a model folder")
    config, names = (_json(file) if (file := folder / name).exists() else {} for name in ("tokenizer_config.json", "special_tokens_map.json"))
    return config if "added_tokens_decoder" in config else {**config, **names}


def _backend(folder: Path, settings: Mapping[str, Any]) -> tokenizers.Tokenizer:
    present = {name for name in ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt") if (folder / name).exists()}
    if "tokenizer.json" in present:
        return _whole(folder / "tokenizer.json", settings)
    if "vocab.txt" in present:
        return _wordpiece(read_vocabulary(folder / "vocab.txt"), settings)
    if {"vocab.json", "merges.txt"} <= present:
        return _byte_level(folder, settings)
    models_found = sorted(file.name for file in folder.glob("*.model"))
    if models_found:
        hint = "open it with transformers.AutoTokenizer and save_pretrained() it; that writes a tokenizer.json"
        raise CheckpointError(f"{folder} has {models_found[0]}, which cannot be read; {hint}")
    lacking = f" (it has {present.pop()}, not the other)" if present else ""
    raise CheckpointError(f"{folder} has no tokenizer: tokenizer.json, or vocab.txt, or vocab.json with merges.txt is needed{lacking}")


def _whole(file: Path, settings: Mapping[str, Any]) -> tokenizers.Tokenizer:
    text = _text(file)
    try:
        backend = tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # the library raises nothing narrower
        raise CheckpointError(f"{file} is not a tokenizer ({error}); it may have been cut off: fetch it again") from error
    if settings.get("tokenizer_class") not in VERBATIM_CLASSES:
        _overrule(backend, settings)
    return backend


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


def _wordpiece(tokens: Sequence[str], settings: Mapping[str, Any]) -> tokenizers.Tokenizer:
    ids = {token: number for number, token in enumerate(tokens)}
    unknown = _name(settings.get("unk_token")) or "[UNK]"
    backend = tokenizers.Tokenizer(models.WordPiece(ids, unk_token=unknown))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
        strip_accents=settings.get("strip_accents"),
        lowercase=settings.get("do_lower_case", True),
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    return backend


def _byte_level(folder: Path, settings: Mapping[str, Any]) -> tokenizers.Tokenizer:
    ids = _json(folder / "vocab.json")
    lines = [line for line in _text(folder / "merges.txt").split("\n") if line and not line.startswith("#version")]
    try:
        backend = tokenizers.Tokenizer(models.BPE(ids, [_pair(line) for line in lines]))
    except Exception as error:  # the library raises nothing narrower
        raise CheckpointError(f"vocab.json and merges.txt of {folder} do not belong together ({error}); fetch both again") from error
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=bool(settings.get("add_prefix_space", False)))
    backend.decoder = decoders.ByteLevel()
    return backend


def _pair(line: str) -> tuple[str, str]:
    left, _, right = line.partition(" ")
    return left, right


def _name(token: Any) -> str | None:
    """A token in a settings file is a string, or an object with its `content`."""
    return token.get("content") if isinstance(token, dict) else token


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
        yield from ((number, _added(token, special=False)) for token, number in sorted(_json(file).items(), key=lambda item: item[1]))
    for key in ("additional_special_tokens", "extra_special_tokens"):
        tokens = settings.get(key)
        yield from ((None, _added(token)) for token in (tokens if isinstance(tokens, list) else []))


def _assign_roles(backend: tokenizers.Tokenizer, settings: Mapping[str, Any], source: str) -> dict[str, str]:
    """Find the token for every role, register it as special and give the pipeline its template where it has none."""
    roles: dict[str, str] = {}
    problems: list[str] = []
    for role, conventional in ROLES.items():
        named = _name(settings.get(role))
        candidates = (named,) if named else conventional
        found = next((token for token in candidates if backend.token_to_id(token) is not None), None)
        if found is None:
            problems.append(f"{role}: {' or '.join(candidates)}")
        else:
            roles[role] = found
    if problems:
        raise CheckpointError(f"{source} lacks tokens that are needed; add them to the vocabulary, or name others in tokenizer_config.json", problems)
    _register_roles(backend, settings, roles)
    if not backend.num_special_tokens_to_add(is_pair=False):
        _add_template(backend, roles)
    return roles


def _register_roles(backend: tokenizers.Tokenizer, settings: Mapping[str, Any], roles: Mapping[str, str]) -> None:
    known = {token.content for token in backend.get_added_tokens_decoder().values()}
    byte_level = isinstance(backend.model, models.BPE)
    for role, token in roles.items():
        if token not in known:  # a byte-level mask takes the space before it along: fairseq strips that space, too
            backend.add_special_tokens([_added(settings.get(role) or token, strip_left=byte_level and role == "mask_token")])


def _add_template(backend: tokenizers.Tokenizer, roles: Mapping[str, str]) -> None:
    cls, sep = roles["cls_token"], roles["sep_token"]
    cls_id, sep_id = backend.token_to_id(cls), backend.token_to_id(sep)
    assert cls_id is not None
    assert sep_id is not None
    if isinstance(backend.model, models.BPE):
        prefix = bool(getattr(backend.pre_tokenizer, "add_prefix_space", False))
        backend.post_processor = processors.RobertaProcessing((sep, sep_id), (cls, cls_id), trim_offsets=True, add_prefix_space=prefix)
        return
    single = f"{cls}:0 $A:0 {sep}:0"
    backend.post_processor = processors.TemplateProcessing(
        single=single, pair=f"{single} $B:1 {sep}:1", special_tokens=[(cls, cls_id), (sep, sep_id)]
    )


def _config(files: TokenizerFiles) -> dict[str, Any]:
    """`tokenizer_config.json`: a class that rebuilds exactly this pipeline, or else the one that takes `tokenizer.json` as it is."""
    parts = {name: part or {} for name, part in json.loads(files.backend.to_str()).items()}
    kinds = tuple(parts[name].get("type") for name in ("model", "normalizer", "pre_tokenizer"))
    if kinds == ("WordPiece", "BertNormalizer", "BertPreTokenizer") and _is_plain_bert(files.backend, parts["model"]):
        config = {"tokenizer_class": "BertTokenizer", **{key: parts["normalizer"][name] for key, name in NORMALIZER_KEYS.items()}}
    elif kinds == ("BPE", None, "ByteLevel") and parts["post_processor"].get("type") == "RobertaProcessing":
        config = {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": parts["pre_tokenizer"]["add_prefix_space"]}
    else:
        segments = ["token_type_ids"] if 1 in files.backend.encode("", "a").type_ids else []
        config = {"tokenizer_class": VERBATIM_CLASSES[0], "model_input_names": ["input_ids", *segments, "attention_mask"]}
    return {**config, **files.roles, **({"model_max_length": files.model_max_length} if files.model_max_length else {})}


def _is_plain_bert(backend: tokenizers.Tokenizer, model: Mapping[str, Any]) -> bool:
    return model["max_input_chars_per_word"] == 100 and backend.num_special_tokens_to_add(is_pair=True) == 3
