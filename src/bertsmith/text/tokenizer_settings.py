"""What `tokenizer_config.json` may say. Where a key is not of its type, the libraries that it is handed on to would say so in words of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

SWITCHES = ("do_lower_case", "strip_accents", "tokenize_chinese_chars", "add_prefix_space", "keep_accents", "separate_vocabs")
ROLES = tuple(f"{role}_token" for role in "unk sep pad cls mask bos eos question".split())


def mistakes(settings: Mapping[str, Any]) -> Iterator[str]:
    """Everything in the settings of a tokenizer that is not of its type, one line each.

    Example:
        >>> list(mistakes({"do_lower_case": "yes", "pad_token": {"content": "[PAD]"}, "sep_token": 3}))
        ["do_lower_case is 'yes'; it must be true or false", 'sep_token is 3; it must be a token, or an object with its content']
    """
    for key in SWITCHES:
        if not isinstance(settings.get(key), bool | None):
            yield f"{key} is {settings[key]!r}; it must be true or false"
    for key in ROLES:
        if settings.get(key) is not None and not _is_token(settings[key]):
            yield f"{key} is {settings[key]!r}; it must be a token, or an object with its content"
    listed = settings.get("added_tokens_decoder") or {}
    if not isinstance(listed, dict) or not all(number.isdecimal() and _is_token(token) for number, token in listed.items()):
        yield f"added_tokens_decoder is {listed!r}; it must give an object with its content for every id"
    for key in ("additional_special_tokens", "extra_special_tokens"):
        tokens = settings.get(key)
        if isinstance(tokens, list) and not all(map(_is_token, tokens)):
            yield f"{key} is {tokens!r}; it must be a list of tokens"


def _is_token(value: Any) -> bool:
    return isinstance(value.get("content") if isinstance(value, dict) else value, str)
