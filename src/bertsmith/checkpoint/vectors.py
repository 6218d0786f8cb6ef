"""How the states of a text become one vector, where a folder says it: the files of `sentence-transformers`, read and written.

::

    modules.json                        what follows what: Transformer, Pooling, Normalize
    1_Pooling/config.json               which pooling
    sentence_bert_config.json           how many tokens are read of a text, and whether it is lower-cased
    config_sentence_transformers.json   what is put in front of every text

What those files ask for and is not computed here (a dense layer, another pooling) is kept as a problem, and is an error only for whoever wants the
vectors: a classifier may be trained from such a folder as from any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tokenizers.normalizers import Lowercase

from bertsmith.checkpoint.folder import read_json, write_json
from bertsmith.core.errors import CheckpointError

MODULES, POOLING, PROMPTS = "modules.json", "1_Pooling", "config_sentence_transformers.json"
TRANSFORMER = "sentence_bert_config.json"

KEYS = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
"""Poolings of `sentence-transformers`, and the keys that its releases before the sixth have for them; later ones read these too."""

FIRST_KEYS = ("cls", "mean", "max", "mean_sqrt_len_tokens")
"""Those whose keys every release takes."""

COMPUTED = ("mean", "cls")
"""Poolings that are computed here."""

CHAINS = (("Transformer", "Pooling"), ("Transformer", "Pooling", "Normalize"))
"""Modules that are computed here."""


@dataclass(frozen=True, kw_only=True)
class VectorSettings:
    """How a text becomes a vector.

    Attributes:
        pooling: "mean" of the states of all tokens, special ones included, or "cls", the first token's.
        normalise: Whether the vector is scaled to length 1.
        max_length: Tokens that are read of a text; None for as many as the model has positions for.
        prompt: Put in front of every text.
        lowercase: Whether texts are lower-cased before they are tokenised, whatever the tokenizer does.
        problems: What the folder asks for beyond that, one line each; the vectors would be others without it.

    Example:
        >>> VectorSettings(prompt="Query: ", lowercase=True).prepared("What time is IT?")
        'query: what time is it?'
    """

    pooling: str = "mean"
    normalise: bool = True
    max_length: int | None = None
    prompt: str = ""
    lowercase: bool = False
    problems: tuple[str, ...] = ()

    def prepared(self, text: str) -> str:
        """A text as the tokenizer is to read it."""
        whole = self.prompt + text
        return Lowercase().normalize_str(whole) if self.lowercase else whole

    def check(self) -> None:
        """Find out whether the vectors that the folder describes are computed here.

        Raises:
            CheckpointError: Lists what is not.
        """
        if self.problems:
            raise CheckpointError(
                'the folder describes vectors that are not computed here; name a pooling, "mean" or "cls", for those of its encoder alone',
                self.problems,
            )


def read_vector_settings(folder: Path) -> VectorSettings | None:
    """What a folder of `sentence-transformers` says; None for any other folder. What is wrong with its files is among the `problems`."""
    if not (folder / MODULES).is_file():
        return None
    try:
        return _settings(folder, dict(_modules(folder / MODULES)))
    except CheckpointError as error:
        return VectorSettings(problems=(error.summary,))


def write_vector_settings(settings: VectorSettings | None, folder: Path, hidden_size: int) -> None:
    """Write the files by which `SentenceTransformer(folder)` gives the same vectors, of any release from the second on.

    Args:
        settings: Where there are none, or they have problems, nothing is written.
        folder: Holds the model.
        hidden_size: The length of a vector.
    """
    if settings is None or settings.problems:
        return
    chain = CHAINS[settings.normalise]
    places = ["", *(f"{number}_{kind}" for number, kind in enumerate(chain[1:], 1))]
    modules = [
        {"idx": number, "name": str(number), "path": place, "type": f"sentence_transformers.models.{kind}"}
        for number, (kind, place) in enumerate(zip(chain, places, strict=True))
    ]
    (folder / MODULES).write_text(json.dumps(modules, indent=2) + "\n", encoding="utf-8")
    (folder / POOLING).mkdir()
    modes = {KEYS[mode]: mode == settings.pooling for mode in FIRST_KEYS}
    write_json(folder / POOLING / "config.json", {"word_embedding_dimension": hidden_size, **modes})
    write_json(folder / TRANSFORMER, {"max_seq_length": settings.max_length, "do_lower_case": settings.lowercase})
    prompts = {"prompts": {"default": settings.prompt}, "default_prompt_name": "default"} if settings.prompt else {}
    write_json(folder / PROMPTS, {**prompts, "similarity_fn_name": "cosine"})


def _modules(file: Path) -> Iterator[tuple[str, Path]]:
    """The modules' kinds, without the package that they come from, and their folders; those that do nothing but in training are left out."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        listed = [(str(module["type"]).rpartition(".")[2], str(module["path"])) for module in found]
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError, TypeError, KeyError) as error:
        raise CheckpointError(f"{file} is not a list of modules, each with a type and a path: {error}") from error
    for kind, place in listed:
        if place == ".." or (place and Path(place).name != place):
            raise CheckpointError(f"{file} names {place!r}, which is not a folder beside it")
        if kind != "Dropout":
            yield kind, file.parent / place


def _settings(folder: Path, modules: Mapping[str, Path]) -> VectorSettings:
    problems: list[str] = []
    if tuple(modules) not in CHAINS:
        problems.append(f"its modules are {', '.join(modules) or 'none'}; computed are {' and '.join(CHAINS[0])}, and Normalize after them")
    pooled = _optional(modules.get("Pooling", folder / POOLING) / "config.json")
    modes = _modes(pooled)
    if len(modes) != 1 or modes[0] not in COMPUTED:
        problems.append(f"its pooling is {' and '.join(modes)}; computed are {' and '.join(COMPUTED)}")
    asked = _optional(folder / PROMPTS)
    prompt = _prompt(asked)
    if prompt and not pooled.get("include_prompt", True):
        problems.append(f"the prompt {prompt!r} is read and left out of the pooling")
    read = _optional(next(iter(sorted(folder.glob("sentence_*_config.json"))), folder / TRANSFORMER))
    return VectorSettings(
        pooling=modes[0] if modes[0] in COMPUTED else COMPUTED[0],
        normalise="Normalize" in modules,
        max_length=_longest(folder, read),
        prompt=prompt,
        lowercase=bool(read.get("do_lower_case", False)),
        problems=tuple(problems),
    )


def _modes(config: Mapping[str, Any]) -> list[str]:
    """The poolings that are asked for, in words; the mean where nothing is said."""
    named: Any = config.get("pooling_mode")
    if named is not None:
        return [str(mode) for mode in named] or ["none"] if isinstance(named, list) else [str(named)]
    return [mode for mode, key in KEYS.items() if config.get(key)] or ["mean"]


def _prompt(config: Mapping[str, Any]) -> str:
    prompts, name = config.get("prompts"), config.get("default_prompt_name")
    return str(cast("dict[str, Any]", prompts).get(name) or "") if isinstance(prompts, dict) and name else ""


def _longest(folder: Path, config: Mapping[str, Any]) -> int | None:
    """Tokens that are read; where the module does not say, the tokenizer's own file does."""
    length = config.get("max_seq_length") or _optional(folder / "tokenizer_config.json").get("model_max_length")
    return int(length) if isinstance(length, int | float) and 0 < length < 1e9 else None


def _optional(file: Path) -> Mapping[str, Any]:
    return read_json(file) if file.is_file() else {}
