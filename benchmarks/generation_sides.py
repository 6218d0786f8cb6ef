"""The sides of the generation race, each in a process of its own: `python -m benchmarks.generation_sides`, requests on standard input.

Every side writes the same texts from the same token ids with the same beam search. A new side is a function in `SIDES`.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.racing import answer_requests

BEAMS = 4
VOCABULARIES = {"bart": 50265, "gpt2": 50257}
FIRST = 4
"""The first id that is not a special token of BART."""

Ids = list[np.ndarray]
Write = Callable[[Ids], list[list[int]]]
"""Sources or prompts in, the new tokens of the best texts out."""


def make(*, place: str, size: str, batches: int, rows: int) -> dict[str, Any]:
    """Write a model of `transformers` with random weights, and batches of random token ids.

    Args:
        place: An empty folder.
        size: "bart" for the shape of BART-base, "gpt2" for that of GPT-2.
        batches: How many.
        rows: Of each.
    """
    import torch
    import transformers

    torch.manual_seed(1)
    model = {"bart": _bart, "gpt2": _gpt2}[size](transformers)
    folder = Path(place)
    model.save_pretrained(folder / "model")
    for name, content in (
        ("vocab.json", json.dumps({token: number for number, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])})),
        ("merges.txt", ""),
    ):
        (folder / "model" / name).write_text(content, encoding="utf-8")  # a tokenizer that nobody asks for anything
    generator = np.random.default_rng(1)
    lengths = np.clip(generator.normal(100, 12, batches * rows).round().astype(int), 70, 130)
    tokens = generator.integers(FIRST, VOCABULARIES[size], lengths.sum())
    np.savez(folder / "tokens.npz", tokens=tokens, ends=lengths.cumsum())
    return {"lengths": lengths.tolist(), "parameters": sum(weight.numel() for weight in model.parameters())}


def _bart(transformers: Any) -> Any:
    sizes = {
        f"{side}_{name}": value for side in ("encoder", "decoder") for name, value in (("layers", 6), ("attention_heads", 12), ("ffn_dim", 3072))
    }
    return transformers.BartForConditionalGeneration(transformers.BartConfig(d_model=768, **sizes, init_std=0.06))


def _gpt2(transformers: Any) -> Any:
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(initializer_range=0.06))


def bertsmith(folder: Path, tokens: int, *, prepared: bool = True) -> Write:
    """This project's generation, with the weights laid out as `Writer` does it, or as the model has them."""
    import torch

    from bertsmith.core.types import Batch
    from bertsmith.generation import Generation, generate
    from bertsmith.generation.running import Parts
    from bertsmith.inference.fused_decoder import fused
    from bertsmith.models.loading import load

    parts = Parts.of(load(str(folder / "model")).model)
    parts = fused(parts) if prepared else parts
    options = Generation(beams=BEAMS, max_new_tokens=tokens)

    def write(rows: Ids) -> list[list[int]]:
        ids, mask = (torch.from_numpy(array) for array in padded(rows, "right"))
        return [texts[0].input_ids.tolist() for texts in generate(parts, Batch(ids, mask, torch.zeros_like(ids)), options)]

    return write


def transformers(folder: Path, tokens: int) -> Write:
    """`generate` as it comes, with SDPA and its cache."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, GenerationConfig

    reads = AutoConfig.from_pretrained(folder / "model").is_encoder_decoder
    kind = AutoModelForSeq2SeqLM if reads else AutoModelForCausalLM
    model = kind.from_pretrained(folder / "model", attn_implementation="sdpa").eval()
    model.generation_config = GenerationConfig(pad_token_id=1, decoder_start_token_id=2 if reads else None)
    options = GenerationConfig(num_beams=BEAMS, max_new_tokens=tokens, do_sample=False)

    def write(rows: Ids) -> list[list[int]]:
        ids, mask = (torch.from_numpy(array) for array in padded(rows, "right" if reads else "left"))
        with torch.inference_mode():
            return model.generate(ids, attention_mask=mask, generation_config=options)[:, -tokens:].tolist()

    return write


def ordinary(folder: Path, tokens: int) -> Write:
    """Ours with the weights as the model has them."""
    return bertsmith(folder, tokens, prepared=False)


SIDES: dict[str, Callable[[Path, int], Write]] = {"bertsmith": bertsmith, "bertsmith, weights as they are": ordinary, "transformers": transformers}


class Race:
    """One side, ready to be asked."""

    def prepare(self, *, side: str, place: str, tokens: int, rows: int) -> dict[str, Any]:
        """Load the model and the batches, and warm up."""
        folder = Path(place)
        self.write = SIDES[side](folder, tokens)
        stored = np.load(folder / "tokens.npz")
        texts = np.split(stored["tokens"], stored["ends"][:-1])
        self.batches = [texts[start : start + rows] for start in range(0, len(texts), rows)]
        self.write(self.batches[0][:2])
        return {}

    def check(self) -> dict[str, Any]:
        """What it writes for the first batch."""
        return {"texts": self.write(self.batches[0])}

    def time(self) -> dict[str, Any]:
        """Seconds for all batches."""
        begin = time.perf_counter()
        for batch in self.batches:
            self.write(batch)
        return {"seconds": time.perf_counter() - begin}


def padded(rows: Ids, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Ids and attention mask, with padding on one side."""
    shape = len(rows), max(len(row) for row in rows)
    ids, mask = np.ones(shape, np.int64), np.zeros(shape, np.int64)
    for number, row in enumerate(rows):
        place = slice(len(row)) if side == "right" else slice(shape[1] - len(row), None)
        ids[number, place], mask[number, place] = row, 1
    return ids, mask


if __name__ == "__main__":
    race = Race()
    answer_requests({"make": make, "prepare": race.prepare, "check": race.check, "time": race.time})
