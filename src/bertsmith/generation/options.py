"""How to write: every choice that generation leaves open, checked before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bertsmith.core.errors import RecipeError


@dataclass(frozen=True, kw_only=True)
class Generation:
    """Options of `generate`. Without any, the most likely next token is taken, 20 times at most.

    Attributes:
        max_new_tokens: The most tokens that are written, the last one included; at least 1.
        min_new_tokens: The text does not end before so many; at most `max_new_tokens`.
        eos_token_id: The token that ends a text; None where every text has `max_new_tokens`.
        decoder_start_token_id: What an encoder-decoder's text begins after; it is not part of the result. A decoder alone begins after its prompt.
        beams: How many unfinished texts are followed at once; 1 follows the most likely token alone.
        length_penalty: Scores are divided by the number of tokens to this power: above 0 longer texts gain. Without beams it changes the scores only.
        early_stopping: When a beam search stops. False: once no unfinished text could beat the finished ones if it ended now. True: as soon as there
            are as many finished texts as beams. "never": once none could at any length.
        no_repeat_ngram: No sequence of so many tokens appears twice, the prompt included; 0 lets everything repeat.
        repetition_penalty: By how much tokens that are already there are made unlikely; above 0, and 1 leaves them as they are.
        forced_bos_token_id: The first token that is written, whatever the model says.
        forced_eos_token_id: The last one, where a text reaches `max_new_tokens`.
        suppressed: Tokens that are never written, unless they are forced. That which ends a text is none of them: see `min_new_tokens`.
        renormalize: Make probabilities of tokens add up to 1 again after some were suppressed, penalised or forced. Matters where beams are compared;
            OPUS-MT's translators are published with it.
        sample: Draw the next token by its probability. Draws depend on `seed` and on the number of the row, and not on the batch it is in.
        temperature: What scores are divided by before drawing; above 0, below 1 makes likely tokens likelier.
        top_k: Draw from so many most likely tokens; 0 for all.
        top_p: Draw from the most likely tokens that together have this probability; above 0, 1 for all.
        num_return_sequences: Texts for every row: at most as many as beams, or as many draws.
        seed: Of the draws.

    Raises:
        RecipeError: Lists all values that are impossible, alone or together.

    Example:
        >>> Generation(beams=4, max_new_tokens=60, no_repeat_ngram=3).length_penalty
        1.0
        >>> Generation(beams=0, top_k=10)
        Traceback (most recent call last):
        bertsmith.core.errors.RecipeError: nothing can be generated with these options
          beams is 0; it must be at least 1
          top_k is 10, which is about drawing: set sample = true as well
    """

    max_new_tokens: int = 20
    min_new_tokens: int = 0
    eos_token_id: int | None = None
    decoder_start_token_id: int | None = None
    beams: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | str = False
    no_repeat_ngram: int = 0
    repetition_penalty: float = 1.0
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | None = None
    suppressed: tuple[int, ...] = ()
    renormalize: bool = False
    sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    num_return_sequences: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        problems = [*self._out_of_range(), *self._contradictions()]
        if problems:
            raise RecipeError("nothing can be generated with these options", problems)

    @property
    def branches(self) -> int:
        """Texts that are written side by side for every row."""
        return max(self.beams, self.num_return_sequences)

    def _out_of_range(self) -> Iterator[str]:
        for name, least in LEAST.items():
            if (value := getattr(self, name)) < least:
                yield f"{name} is {value}; it must be at least {least}"
        for name in ("repetition_penalty", "temperature", "top_p"):
            if not getattr(self, name) > 0:
                yield f"{name} is {getattr(self, name)}; it must be above 0"
        if not math.isfinite(self.length_penalty):
            yield f"length_penalty is {self.length_penalty}; it must be finite"
        if self.top_p > 1:
            yield f"top_p is {self.top_p}; it is a probability, and 1 takes all tokens"
        if self.early_stopping not in (True, False, "never"):
            yield f"early_stopping is {self.early_stopping!r}; allowed: true, false, 'never'"
        yield from self._no_tokens()

    def _no_tokens(self) -> Iterator[str]:
        for name in IDS:
            if (getattr(self, name) or 0) < 0:
                yield f"{name} is {getattr(self, name)}; ids of tokens begin at 0"
        if negative := [number for number in self.suppressed if number < 0]:
            yield f"suppressed holds {negative}; ids of tokens begin at 0"
        if self.eos_token_id is not None and self.eos_token_id in self.suppressed:
            yield f"suppressed holds {self.eos_token_id}, which ends a text; for texts of a certain length set min_new_tokens"

    def _contradictions(self) -> Iterator[str]:
        if self.min_new_tokens > self.max_new_tokens:
            yield f"min_new_tokens is {self.min_new_tokens} and max_new_tokens {self.max_new_tokens}: there is no such text"
        if self.sample and self.beams > 1:
            yield f"sample is set and beams is {self.beams}: draw with one beam, or search without drawing"
        if not self.sample:
            for name, neutral in (("temperature", 1.0), ("top_k", 0), ("top_p", 1.0)):
                if (value := getattr(self, name)) != neutral:
                    yield f"{name} is {value}, which is about drawing: set sample = true as well"
            if self.num_return_sequences > max(self.beams, 1):
                yield f"num_return_sequences is {self.num_return_sequences}; without drawing there are as many texts as beams, which are {self.beams}"


IDS = ("eos_token_id", "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id")
"""Options that a model answers for, where they are not set."""

LEAST = {"max_new_tokens": 1, "min_new_tokens": 0, "beams": 1, "no_repeat_ngram": 0, "top_k": 0, "num_return_sequences": 1}

PUBLISHED = {
    "eos_token_id": "eos_token_id",
    "decoder_start_token_id": "decoder_start_token_id",
    "num_beams": "beams",
    "length_penalty": "length_penalty",
    "early_stopping": "early_stopping",
    "no_repeat_ngram_size": "no_repeat_ngram",
    "repetition_penalty": "repetition_penalty",
    "forced_bos_token_id": "forced_bos_token_id",
    "forced_eos_token_id": "forced_eos_token_id",
    "max_new_tokens": "max_new_tokens",
    "min_new_tokens": "min_new_tokens",
    "renormalize_logits": "renormalize",
}
"""Keys of a published configuration, and what they are called here."""

TYPES = {
    "a number": ("length_penalty", "repetition_penalty"),
    "true or false": ("renormalize_logits",),
    "a whole number": (*(key for key in PUBLISHED if key.endswith(("_id", "_tokens", "_size", "_beams"))), "max_length", "min_length"),
}
"""Of what type their values are, in words."""

ALLOWED: dict[str, tuple[type, ...]] = {"a number": (int, float), "true or false": (bool,), "a whole number": (int,)}

UNBUILT = {
    **dict.fromkeys(("num_beam_groups", "encoder_repetition_penalty", "guidance_scale"), 1),
    **dict.fromkeys(("diversity_penalty", "encoder_no_repeat_ngram_size", "penalty_alpha"), 0),
    **dict.fromkeys("begin_suppress_tokens constraints exponential_decay_length_penalty force_words_ids forced_decoder_ids".split()),
    **dict.fromkeys("dola_layers sequence_bias stop_strings suppress_tokens watermarking_config".split()),
}
"""Keys that would change what is written, and the value with which they do not."""


def published(config: Mapping[str, Any]) -> Generation:
    """The options that a model was published with.

    Args:
        config: The content of `generation_config.json`, or of a `config.json` that says the same, as older models have it. Options of drawing are
            left out: a model that is asked for a text gives the same one every time.

    Raises:
        RecipeError: As for `Generation`; or lists what is of the wrong type, and what would change the text in a way that is not built.

    Example:
        >>> options = published({"num_beams": 4, "max_length": 142, "min_length": 56, "decoder_start_token_id": 2, "bad_words_ids": [[7]]})
        >>> options.beams, options.max_new_tokens, options.min_new_tokens, options.decoder_start_token_id, options.suppressed
        (4, 141, 55, 2, (7,))
    """
    config = {key: value[0] if key.endswith("_id") and isinstance(value, list) and len(value) == 1 else value for key, value in config.items()}
    if problems := [*_wrong_types(config), *_unbuilt(config)]:
        raise RecipeError("a text cannot be written as the model was published to do it: mend its generation_config.json", problems)
    values = {ours: config[theirs] for theirs, ours in PUBLISHED.items() if config.get(theirs) is not None}
    for theirs, ours in (("max_length", "max_new_tokens"), ("min_length", "min_new_tokens")):
        if config.get(theirs) and ours not in values:
            values[ours] = max(config[theirs] - 1, 0)  # published lengths count the token that a decoder starts with
    if words := config.get("bad_words_ids"):
        values["suppressed"] = tuple(token for [token] in words if token != values.get("eos_token_id"))
    values["max_new_tokens"] = max(values.get("max_new_tokens", 20), values.get("min_new_tokens", 0), 1)
    return Generation(**values)


def _wrong_types(config: Mapping[str, Any]) -> Iterator[str]:
    for kind, keys in TYPES.items():
        for key in keys:
            value = config.get(key)
            several = key == "eos_token_id" and isinstance(value, list)
            if value is not None and (not isinstance(value, ALLOWED[kind]) or (isinstance(value, bool) and bool not in ALLOWED[kind])):
                yield f"{key} is {value!r}; it must be {kind}" + (": one token ends a text, name one of them" if several else "")


def _unbuilt(config: Mapping[str, Any]) -> Iterator[str]:
    for key, neutral in UNBUILT.items():
        if config.get(key) not in (None, neutral, [], {}):
            yield f"{key} is {config[key]!r}, which changes what is written and is not built: take it out"
    words = config.get("bad_words_ids") or []
    if not isinstance(words, list) or not all(isinstance(word, list) and [type(token) for token in word] == [int] for word in words):
        yield f"bad_words_ids is {words!r}; it must be a list of lists of one token each: words of several tokens cannot be forbidden"
