"""`generation_config.json`: how a model that writes is to write. Older folders say the same in `config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertsmith.checkpoint.folder import read_json

GENERATION_FILE = "generation_config.json"

GENERATION_KEYS = frozenset(
    "bad_words_ids bos_token_id decoder_start_token_id early_stopping eos_token_id forced_bos_token_id forced_eos_token_id length_penalty max_length "
    "min_length no_repeat_ngram_size num_beams pad_token_id repetition_penalty".split()
)
"""Those of its keys that are taken from a `config.json`."""


def read_generation(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """What a folder says of it: the file where there is one, and nothing else; otherwise what `config.json` says, as in `transformers`.

    Raises:
        CheckpointError: The file is not a JSON object.
    """
    file = folder / GENERATION_FILE
    return read_json(file) if file.is_file() else {key: value for key, value in config.items() if key in GENERATION_KEYS}
