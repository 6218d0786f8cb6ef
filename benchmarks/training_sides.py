"""The sides of the training race, each in a process of its own that `benchmarks.training` starts and asks.

Nothing heavy is imported before it is needed: a side must not carry the other side's memory.
"""

import json
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from benchmarks.racing import answer_requests, minilm_folder

BATCH, MAX_LENGTH, WARMUP, DECAY, MASKED = 32, 128, 0.1, 0.01, 0.15
HELD_OUT = 256

Run = dict[str, Any]
"""What one process measured."""


@dataclass(frozen=True)
class Job:
    """What is trained.

    Attributes:
        title: For the report.
        what: Model and text.
        sequences: How many of those there are; None is all.
        quick: How many in a smoke run.
        epochs: How often they are read.
        learning_rate: The highest.
    """

    title: str
    what: str
    sequences: int | None
    quick: int
    epochs: int
    learning_rate: float


JOBS = {
    "finetune": Job("Fine-tuning", "all-MiniLM-L6-v2 (6×384, its published weights), all training sentences of SST-2", None, 4 * BATCH, 3, 5e-5),
    "mlm": Job(
        "MLM pre-training",
        "BERT 4×256 from random weights, 21,128 tokens (vocabulary of bert-base-chinese), Chinese text",
        40 * BATCH,
        2 * BATCH,
        1,
        5e-4,
    ),
}


def training_flops(shape: dict[str, int], lengths: Iterable[int]) -> float:
    """Floating-point operations that training on some sequences needs: matrix products only, a multiply-add is two, backward is twice forward.

    Args:
        shape: `layers`, `hidden`, `inner`, and the head: `vocabulary` for masked tokens (only they are projected), else `labels` for [CLS].
        lengths: Tokens of every sequence; attention is counted without padding.
    """
    hidden, layers = shape["hidden"], shape["layers"]
    forward = 0.0
    for length in lengths:
        linear = length * (4 * hidden**2 + 2 * hidden * shape["inner"])
        attention = 2 * length**2 * hidden
        outputs = max(1, round(MASKED * (length - 2))) if "vocabulary" in shape else 1
        head = outputs * (hidden**2 + hidden * shape.get("vocabulary", shape.get("labels", 0)))
        forward += 2 * (layers * (linear + attention) + head)
    return 3 * forward


def prepare(*, job: str, place: str, data: str, quick: bool) -> Run:
    """Write the start weights, the sequences to train on and those held out, for all sides to read."""
    import torch

    from bertsmith.core.precision import multiplies_bfloat16
    from bertsmith.data.store import FeatureStore
    from bertsmith.text.tokenizer import Tokenizer

    folder = Path(place)
    shape = START[job](folder / "start", Path(data))
    tokenizer, objective = Tokenizer.from_folder(folder / "start"), _objective(job)
    sequences = JOBS[job].quick if quick else JOBS[job].sequences
    train, others = SEQUENCES[job](Path(data), tokenizer, objective, sequences)
    rows = FeatureStore.build(train, folder / "rows")
    assert len(rows) == (sequences or len(rows)), "there is less text than the race needs"
    for part, held_out in others.items():
        _write_batches(folder, part, held_out, tokenizer, objective)
    lengths, epochs = rows.lengths.tolist(), JOBS[job].epochs
    return {
        "updates": epochs * -(-len(rows) // BATCH),
        "epochs": epochs,
        "tokens": epochs * sum(lengths),
        "median_length": statistics.median(lengths),
        "longest": max(lengths),
        "held_out": len(others["held_out"]),
        "shape": shape,
        "flops": epochs * training_flops(shape, lengths),
        "bfloat16": multiplies_bfloat16(torch.device("cpu")),
        "threads": torch.get_num_threads(),
    }


def _write_batches(folder: Path, part: str, rows: list[Any], tokenizer: Any, objective: Any) -> None:
    """Batches of like lengths, with their labels; the same masks for whoever reads them."""
    import numpy as np

    from bertsmith.core.randomness import generator_at

    rows = sorted(rows, key=lambda row: len(row["input_ids"]))
    for number, start in enumerate(range(0, len(rows), BATCH)):
        chunk = rows[start : start + BATCH]
        batch = objective.collate(chunk, [generator_at(0, "held out", start + row) for row in range(len(chunk))], tokenizer)
        (labels,) = batch.labels.values()
        np.savez(folder / f"{part}.{number}.npz", input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=labels)


def _start_finetune(folder: Path, _: Path) -> dict[str, int]:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    source = minilm_folder()
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=2)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return {**_sizes(model.config), "labels": 2}


def _start_mlm(folder: Path, data: Path) -> dict[str, int]:
    import torch
    from transformers import BertConfig, BertForMaskedLM

    from bertsmith.text.tokenizer import Tokenizer

    torch.manual_seed(0)
    config = BertConfig(vocab_size=21128, hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024)
    BertForMaskedLM(config).save_pretrained(folder)
    Tokenizer.from_vocabulary(data / "vocab/google_zh_vocab.txt").save(folder)
    return {**_sizes(config), "vocabulary": config.vocab_size}


def _sizes(config: Any) -> dict[str, int]:
    return {"layers": config.num_hidden_layers, "hidden": config.hidden_size, "inner": config.intermediate_size}


def _sequences_finetune(data: Path, tokenizer: Any, task: Any, count: int | None) -> tuple[list[Any], dict[str, list[Any]]]:
    from bertsmith.data.readers import read

    train, dev, test = (read(data / f"sst2/{part}.txt").examples for part in ("train", "dev", "test"))
    train = random.Random(0).sample(train, count or len(train))
    train, dev, test = (list(task.encode(examples, tokenizer)) for examples in (train, dev, test))
    return train, {"held_out": dev, "test": test}


def _sequences_mlm(data: Path, tokenizer: Any, objective: Any, count: int | None) -> tuple[list[Any], dict[str, list[Any]]]:
    from bertsmith.core.types import Example

    documents = list(_chinese(data))
    random.Random(0).shuffle(documents)
    lines = (Example({"text": line, "document": number}) for number, document in enumerate(documents) for line in document.splitlines())
    sequences = objective.encode(lines, tokenizer)
    return list(islice(sequences, count)), {"held_out": list(islice(sequences, HELD_OUT))}


def _chinese(data: Path) -> Iterator[str]:
    """Web pages, reviews and headlines: documents as they are, long and short."""
    yield from (data / "corpora/cluecorpussmall_sample.txt").read_text(encoding="utf-8").split("\n\n")
    yield from (line.split("\t")[1] for line in (data / "chnsenticorp/train.tsv").read_text(encoding="utf-8").splitlines()[1:])
    for name in ("eprstmt", "tnews"):
        rows = (data / f"fewclue/{name}/unlabeled.json").read_text(encoding="utf-8").splitlines()[:10000]
        yield from (json.loads(row)["sentence"] for row in rows)


START = {"finetune": _start_finetune, "mlm": _start_mlm}
SEQUENCES = {"finetune": _sequences_finetune, "mlm": _sequences_mlm}


def _objective(job: str) -> Any:
    from bertsmith.objectives.mlm import MaskedLanguageModel
    from bertsmith.tasks.single import SingleSentence

    if job == "mlm":
        return MaskedLanguageModel(unit="token", rate=MASKED, max_length=MAX_LENGTH)
    return SingleSentence(labels=("0", "1"), max_length=MAX_LENGTH)


def train(*, job: str, place: str, side: str, seed: int, bfloat16: bool) -> Run:
    """Train one side and measure it."""
    with tempfile.TemporaryDirectory() as out:
        if side == "bertsmith":
            return _train_bertsmith(job, Path(place), Path(out), seed)
        return _train_transformers(job, Path(place), Path(out), seed, bfloat16=bfloat16 if side == "best" else None)


def _train_bertsmith(job: str, folder: Path, out: Path, seed: int) -> Run:
    import torch

    from bertsmith.core.types import Batch
    from bertsmith.data.store import FeatureStore
    from bertsmith.models import load
    from bertsmith.train import Training, TrainOptions

    objective = _objective(job)
    checkpoint = load(str(folder / "start"), {head: request.labels for head, request in objective.heads().items()})
    options = TrainOptions(
        epochs=JOBS[job].epochs,
        batch_size=BATCH,
        learning_rate=JOBS[job].learning_rate,
        warmup_rate=WARMUP,
        weight_decay=DECAY,
        checkpoint_every=1e9,
    )
    training = Training(
        model=checkpoint.model,
        tokenizer=checkpoint.tokenizer,
        objective=objective,
        rows=FeatureStore.open(folder / "rows"),
        options=options,
        seed=seed,
        folder=out,
    )

    def batch_of(inputs: dict[str, torch.Tensor], labels: torch.Tensor) -> Batch:
        name = "mlm" if job == "mlm" else "label"
        return Batch(**inputs, token_type_ids=torch.zeros_like(inputs["input_ids"]), labels={name: labels})

    def summed_loss(inputs: dict[str, torch.Tensor], labels: torch.Tensor) -> float:
        (loss,) = objective.loss(checkpoint.model, batch_of(inputs, labels)).values()
        return float(loss)

    def right(inputs: dict[str, torch.Tensor], labels: torch.Tensor) -> float:
        return float((objective.scores(checkpoint.model, batch_of(inputs, labels)).argmax(1) == labels.squeeze(1)).sum())

    before = _mean(folder, "held_out", checkpoint.model, summed_loss)
    measured = _measured(training.run)
    losses = [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    after = _mean(folder, "held_out", checkpoint.model, summed_loss)
    scores = _accuracy(job, folder, checkpoint.model, right)
    return {**measured, "precision": training.precision, "losses": losses, "held_out": [before, after], **scores}


def _train_transformers(job: str, folder: Path, out: Path, seed: int, *, bfloat16: bool | None) -> Run:
    """The Trainer as it comes, or in its best setting where it is said whether that is in bfloat16."""
    import torch
    import transformers

    best = bfloat16 is not None
    kind = transformers.AutoModelForMaskedLM if job == "mlm" else transformers.AutoModelForSequenceClassification
    model = kind.from_pretrained(folder / "start", **({"attn_implementation": "sdpa"} if best else {}))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "start")
    settings = {"train_sampling_strategy": "group_by_length", "bf16": bfloat16} if best else {}
    arguments = transformers.TrainingArguments(
        output_dir=str(out),
        num_train_epochs=JOBS[job].epochs,
        per_device_train_batch_size=BATCH,
        learning_rate=JOBS[job].learning_rate,
        warmup_steps=WARMUP,
        weight_decay=DECAY,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
        remove_unused_columns=False,  # keeps the lengths, and which tokens are special; the collator takes out what the model does not know
        seed=seed,
        **settings,
    )
    rows, collator = _peer_rows(job, folder, tokenizer)
    trainer = transformers.Trainer(model, arguments, collator, rows, callbacks=[])
    trainer.remove_callback(transformers.PrinterCallback)

    def summed_loss(inputs: dict[str, torch.Tensor], labels: torch.Tensor) -> float:
        return float(model(**inputs, labels=labels).loss) * int((labels != -100).sum())

    def right(inputs: dict[str, torch.Tensor], labels: torch.Tensor) -> float:
        return float((model(**inputs).logits.argmax(1) == labels.squeeze(1)).sum())

    before = _mean(folder, "held_out", model, summed_loss)
    measured = _measured(trainer.train)
    trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    after = _mean(folder, "held_out", model, summed_loss)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    scores = _accuracy(job, folder, model, right)
    return {**measured, "precision": "bfloat16" if bfloat16 else "float32", "losses": losses, "held_out": [before, after], **scores}


def _peer_rows(job: str, folder: Path, tokenizer: Any) -> tuple[Any, Callable[[list[Any]], Any]]:
    """The sequences as a data set of theirs, and their collator for it; what can be computed beforehand is."""
    import datasets
    import numpy as np
    import transformers

    values, offsets = (np.load(folder / f"rows/input_ids.{part}.npy") for part in ("values", "offsets"))
    ids = [values[begin:end].tolist() for begin, end in pairwise(offsets)]
    columns: dict[str, Any] = {"input_ids": ids, "length": [len(row) for row in ids]}
    if job == "mlm":
        columns["special_tokens_mask"] = [[1, *[0] * (len(row) - 2), 1] for row in ids]
        collator = transformers.DataCollatorForLanguageModeling(tokenizer, mlm_probability=MASKED)
    else:
        columns["labels"] = np.load(folder / "rows/label.values.npy").tolist()
        collator = transformers.DataCollatorWithPadding(tokenizer)
    return datasets.Dataset.from_dict(columns), lambda rows: collator([{key: row[key] for key in row if key != "length"} for row in rows])


def _accuracy(job: str, folder: Path, model: Any, right: Callable[[dict[str, Any], Any], float]) -> Run:
    """Share of the development and of the test set that a classifier gets right."""
    if job == "mlm":
        return {}
    return {"accuracy": {"dev": _mean(folder, "held_out", model, right), "test": _mean(folder, "test", model, right)}}


def _mean(folder: Path, part: str, model: Any, summed: Callable[[dict[str, Any], Any], float]) -> float:
    """Mean over the labels of a part that was held out, in float32."""
    import numpy as np
    import torch

    total, count = 0.0, 0
    model.eval()
    with torch.no_grad():
        for file in sorted(folder.glob(f"{part}.*.npz")):
            with np.load(file) as arrays:
                inputs = {name: torch.from_numpy(arrays[name]) for name in ("input_ids", "attention_mask")}
                labels = torch.from_numpy(arrays["labels"])
            total += summed(inputs, labels)
            count += int((labels != -100).sum())
    return total / count


def _measured(run: Callable[[], Any]) -> Run:
    """Seconds, processor seconds, and the peak memory of this process in MB."""
    began, worked = time.perf_counter(), time.process_time()
    run()
    seconds, processor = time.perf_counter() - began, time.process_time() - worked
    unit = 1 if sys.platform == "darwin" else 1024
    return {"seconds": seconds, "processor_seconds": processor, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6}


def floor(*, shape: dict[str, int], tokens: int, bfloat16: bool) -> Run:
    """The rate of matrix products by precision, in GFLOP/s: the better of the widest layer of a whole batch and a square one, medians over seconds.

    Args:
        shape: Of the model.
        tokens: Of a batch.
        bfloat16: Whether the processor multiplies in bfloat16.
    """
    import torch

    sizes = [(tokens, shape["hidden"], shape["inner"]), (1024, 1024, 1024)]
    precisions = {"float32": torch.float32, **({"bfloat16": torch.bfloat16} if bfloat16 else {})}
    return {name: max(_rate(*size, dtype) for size in sizes) for name, dtype in precisions.items()}


def _rate(rows: int, inputs: int, outputs: int, dtype: Any, seconds: float = 1.0) -> float:
    import torch

    states, weight = torch.randn(rows, inputs).to(dtype), torch.randn(outputs, inputs).to(dtype)
    times: list[float] = []
    end = time.perf_counter() + seconds
    with torch.inference_mode():
        while time.perf_counter() < end or len(times) < 5:
            began = time.perf_counter()
            torch.nn.functional.linear(states, weight)
            times.append(time.perf_counter() - began)
    return 2 * rows * inputs * outputs / statistics.median(times) / 1e9


if __name__ == "__main__":
    answer_requests({"prepare": prepare, "train": train, "floor": floor})
