"""The sides of the inference race, each in a process of its own: `python -m benchmarks.inference_sides`, requests on standard input.

Every side turns the same token ids into the same vectors: the mean of the last states, scaled to length 1. Batching, padding, pooling and putting
the results in order are timed; tokenising is not, except for the two sides that start from text. Every side but those that stand for the ordinary way
gets batches as good as ours: sequences sorted by length, cut at a number of tokens, padding counted; which number is found out by trying.
"""

import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.racing import answer_requests

BUDGETS = (512, 1024, 2048, 4096)
"""Tokens of a batch that a side may choose from."""

Ids = list[np.ndarray]
Forward = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Padded ids and attention mask in, last states out."""


class NotHereError(Exception):
    """The engine, or what it needs of the machine, is missing."""


class Padded:
    """A side that takes padded batches.

    Args:
        forwards: Ways to compute; the fastest is taken.
        arrival: Batches of 32 in the order of arrival, instead of sorted ones cut by tokens.
    """

    def __init__(self, forwards: dict[str, Forward], *, arrival: bool = False) -> None:
        self.forwards = forwards
        self.arrival = arrival
        self.way, self.budget = next(iter(forwards)), 2048

    def vectors(self, ids: Ids) -> np.ndarray:
        """The vectors in the order of the sequences."""
        results = np.empty((0, 0), np.float32)
        for run in self._batches([len(row) for row in ids]):
            padded, mask = _padded([ids[row] for row in run])
            states = self.forwards[self.way](padded, mask)
            pooled = np.einsum("blh,bl->bh", states, mask.astype(np.float32)) / mask.sum(1, keepdims=True)
            if not results.size:
                results = np.empty((len(ids), pooled.shape[1]), np.float32)
            results[run] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return results

    def tune(self, ids: Ids) -> str:
        """Try all ways and budgets and stay with the fastest."""
        if self.arrival:
            return "batches of 32"
        tried: dict[tuple[str, int], float] = {}
        for way in self.forwards:
            for budget in BUDGETS:
                self.way, self.budget = way, budget
                tried[way, budget] = _seconds(partial(self.vectors, ids))
        self.way, self.budget = min(tried, key=tried.__getitem__)
        return f"{self.way} batches of {self.budget} tokens".strip()

    def _batches(self, lengths: Sequence[int]) -> list[list[int]]:
        if self.arrival:
            return [list(range(start, min(start + 32, len(lengths)))) for start in range(0, len(lengths), 32)]
        runs: list[list[int]] = []
        for index in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
            if runs and (len(runs[-1]) + 1) * lengths[runs[-1][0]] <= self.budget:
                runs[-1].append(index)
            else:
                runs.append([index])
        return runs


class Plain:
    """A side that makes its own batches.

    Args:
        vectors: From token ids to vectors.
        note: What to say about it.
    """

    def __init__(self, vectors: Callable[[Ids], np.ndarray], note: str) -> None:
        self.vectors = vectors
        self.note = note

    def tune(self, _: Ids) -> str:
        """Nothing to choose."""
        return self.note


def bertsmith(place: Path, precision: str, pooling: str = "mean") -> Plain:
    """This project's engine, as it is by default."""
    from bertsmith.inference.engine import Engine
    from bertsmith.models.loading import load

    engine = Engine(load(str(place / "model"), heads={}), precision=precision, device="cpu")
    told = engine.describe()
    return Plain(lambda ids: engine.pooled([{"input_ids": row} for row in ids], pooling), f"{told['encoder']}; {told['batch_tokens']} tokens")


def bertsmith_text(place: Path, precision: str) -> Plain:
    """The same, from texts."""
    from bertsmith.inference.engine import Engine
    from bertsmith.models.loading import load

    engine = Engine(load(str(place / "model"), heads={}), precision=precision, device="cpu")
    return Plain(lambda texts: engine.embed(texts, max_length=512), "from text")  # pyright: ignore[reportArgumentType]


def sentence_transformers(place: Path, precision: str) -> Plain:
    """`SentenceTransformer.encode` as it comes: it sorts by length itself, in batches of 32."""
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(place / "model"), device="cpu")
    model.max_seq_length = 512
    if precision == "bfloat16":
        model = model.to(torch.bfloat16)
    return Plain(lambda texts: model.encode(texts, normalize_embeddings=True), "from text, its own batches of 32")


def transformers(place: Path, precision: str, *, arrival: bool) -> Padded:
    """`AutoModel` with SDPA."""
    import torch
    from transformers import AutoModel

    model = AutoModel.from_pretrained(place / "model", attn_implementation="sdpa", dtype=getattr(torch, precision)).eval()

    def forward(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).last_hidden_state.float().numpy()

    return Padded({"": forward}, arrival=arrival)


def onnxruntime(place: Path, precision: str) -> Padded:
    """ONNX Runtime on a graph fused by its own optimiser for BERT."""
    import onnxruntime as ort

    if precision != "float32":
        raise NotHereError("its CPU kernels have no bfloat16")
    options = ort.SessionOptions()
    options.intra_op_num_threads = _threads()
    session = ort.InferenceSession(str(place / "optimised.onnx"), options, providers=["CPUExecutionProvider"])
    return Padded({"": lambda ids, mask: session.run(None, {"input_ids": ids, "attention_mask": mask})[0]})


class OpenVino(Padded):
    """OpenVINO in latency and in throughput mode; the faster one is taken.

    Args:
        place: Folder of the race.
        precision: Of the inference.
    """

    def __init__(self, place: Path, precision: str) -> None:
        import openvino as ov

        core = ov.Core()
        kind = {"float32": "f32", "bfloat16": "bf16"}[precision]
        options = {"INFERENCE_PRECISION_HINT": kind, "INFERENCE_NUM_THREADS": _threads()}
        self.compiled = {
            mode: core.compile_model(str(place / "model.xml"), "CPU", {**options, "PERFORMANCE_HINT": mode}) for mode in ("LATENCY", "THROUGHPUT")
        }
        super().__init__({mode: partial(self._one, mode) for mode in self.compiled})

    def vectors(self, ids: Ids) -> np.ndarray:
        """In throughput mode several batches are under way at once."""
        if self.way == "LATENCY":
            return super().vectors(ids)
        import openvino as ov

        results: list[np.ndarray] = [np.empty(0)] * len(ids)

        def done(request: Any, batch: tuple[list[int], np.ndarray]) -> None:
            run, mask = batch
            pooled = np.einsum("blh,bl->bh", request.get_output_tensor(0).data, mask.astype(np.float32)) / mask.sum(1, keepdims=True)
            for row, vector in zip(run, pooled / np.linalg.norm(pooled, axis=1, keepdims=True), strict=True):
                results[row] = vector

        queue = ov.AsyncInferQueue(self.compiled["THROUGHPUT"])
        queue.set_callback(done)
        for run in self._batches([len(row) for row in ids]):
            padded, mask = _padded([ids[row] for row in run])
            queue.start_async([padded, mask], userdata=(run, mask))
        queue.wait_all()
        return np.stack(results)

    def _one(self, mode: str, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return self.compiled[mode]([ids, mask])[0]


def ctranslate2(place: Path, precision: str) -> Padded:
    """CTranslate2's encoder, on MKL or oneDNN as it decides itself."""
    import ctranslate2 as ct2

    kinds = ct2.get_supported_compute_types("cpu")
    if precision not in kinds:
        raise NotHereError(f"it computes in {', '.join(sorted(kinds))} here")
    encoder = ct2.Encoder(str(place / "ctranslate2"), device="cpu", compute_type=precision, inter_threads=1, intra_threads=_threads())

    def forward(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        rows = [row[:length].tolist() for row, length in zip(ids, mask.sum(1), strict=True)]
        return np.array(encoder.forward_batch(rows).last_hidden_state, np.float32)

    return Padded({"": forward})


SIDES: dict[str, Callable[[Path, str], Padded | Plain]] = {
    "bertsmith": bertsmith,
    "bertsmith, first token only": partial(bertsmith, pooling="cls"),
    "transformers, arrival order": partial(transformers, arrival=True),
    "transformers, sorted": partial(transformers, arrival=False),
    "ONNX Runtime": onnxruntime,
    "OpenVINO": OpenVino,
    "CTranslate2": ctranslate2,
    "bertsmith, from text": bertsmith_text,
    "sentence-transformers, from text": sentence_transformers,
}
FROM_TEXT = ("bertsmith, from text", "sentence-transformers, from text")


class Race:
    """One side, ready to be asked."""

    def prepare(self, *, side: str, place: str, precision: str) -> dict[str, Any]:
        """Load the engine and the sequences, warm up, choose the best batches for each set of texts."""
        folder = Path(place)
        try:
            self.side = SIDES[side](folder, precision)
        except (ImportError, NotHereError) as error:
            return {"missing": str(error)}
        stored = np.load(folder / "tokens.npz")
        self.sets: dict[str, Any] = {name: np.split(stored[name], stored[f"{name}_ends"][:-1]) for name in ("short", "long", "check", "one")}
        if side in FROM_TEXT:
            self.sets = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
        self.chosen: dict[str, tuple[str, int]] = {}
        notes = {name: self._tuned(name) for name in ("short", "long", "one")}
        return {"notes": notes}

    def check(self, *, place: str, texts: int) -> dict[str, Any]:
        """Write the vectors of some sequences to a file."""
        self._use("short")
        np.save(place, self.side.vectors(self.sets["check"][:texts]))
        return {}

    def time(self, *, texts: str) -> dict[str, Any]:
        """Seconds for a set of texts, or for one sentence (the median of several)."""
        self._use(texts)
        run = partial(self.side.vectors, self.sets[texts])
        run() if texts == "one" else self.side.vectors(self.sets[texts][:16])
        return {"seconds": statistics.median(_seconds(run) for _ in range(15)) if texts == "one" else _seconds(run)}

    def _tuned(self, name: str) -> str:
        self.side.vectors(self.sets[name][:4])
        note = self.side.tune(_sample(self.sets[name]))
        if isinstance(self.side, Padded):
            self.chosen[name] = self.side.way, self.side.budget
        return note

    def _use(self, name: str) -> None:
        if isinstance(self.side, Padded):
            self.side.way, self.side.budget = self.chosen[name]


def floor(*, shapes: list[tuple[int, int]], precision: str, tokens: int = 2048) -> dict[str, float]:
    """The rate of a model's matrix products alone, GFLOP/s: the better of MKL and of oneDNN with its weights laid out beforehand.

    Args:
        shapes: Inputs and outputs of a block's linear layers.
        precision: "float32" or "bfloat16".
        tokens: Rows that are multiplied at once.
    """
    import torch
    from torch.nn import functional as F

    dtype, best = getattr(torch, precision), 0.0
    with torch.inference_mode():
        inputs = {size: torch.randn(tokens, size, dtype=dtype) for size in {inputs for inputs, _ in shapes}}
        weights = [torch.randn(outputs, size, dtype=dtype) for size, outputs in shapes]
        biases = [torch.zeros(outputs, dtype=dtype) for _, outputs in shapes]
        results = [torch.empty(tokens, outputs, dtype=dtype) for _, outputs in shapes]

        def mkl() -> None:
            for (size, _), weight, bias, out in zip(shapes, weights, biases, results, strict=True):
                torch.addmm(bias, inputs[size], weight.t(), out=out)

        ways = [mkl]
        if torch.backends.mkldnn.is_available() and (precision == "float32" or torch.backends.cpu.get_cpu_capability() == "AVX512"):
            laid_out = [torch.ops.mkldnn._reorder_linear_weight(weight) for weight in weights]  # noqa: SLF001

            def onednn() -> None:
                for (size, _), weight, bias in zip(shapes, laid_out, biases, strict=True):
                    torch.ops.mkldnn._linear_pointwise(inputs[size], weight, bias, "none", [], "")  # noqa: SLF001

            ways.append(onednn)
        work = 2 * tokens * sum(size * outputs for size, outputs in shapes)
        for way in ways:
            way()
            best = max(best, work / 1e9 / min(_seconds(way) for _ in range(10)))
        F.relu(inputs[shapes[0][0]])
    return {"rate": best}


def _sample(ids: Ids, tokens: int = 6144) -> Ids:
    """Evenly chosen sequences, enough to fill more than one of the largest batches."""
    return ids[:: max(1, sum(len(row) for row in ids) // tokens)]


def _padded(ids: Ids) -> tuple[np.ndarray, np.ndarray]:
    shape = len(ids), max(len(row) for row in ids)
    padded, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for number, row in enumerate(ids):
        padded[number, : len(row)], mask[number, : len(row)] = row, 1
    return padded, mask


def _seconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def _threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    race = Race()
    answer_requests({"prepare": race.prepare, "check": race.check, "time": race.time, "floor": floor})
