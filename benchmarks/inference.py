"""The race of encoders: many texts through MiniLM and through the shape of BERT-base, against the engines that people use for it.

    python -m benchmarks.inference                   both models, five rounds
    python -m benchmarks.inference --only minilm     one of them; the results of the other stay as they are
    python -m benchmarks.inference --quick           few texts, two rounds, into a temporary folder: to see that it works

All sides compute the same vectors from the same token ids, and those are compared first. Every side is a process of its own that is loaded, warmed up
and tuned before the clock runs; the rounds go through all of them in another order every time, with the matrix-product rate measured in between.
Where the processor multiplies in bfloat16, every side that can runs in it too. Engines that are not installed are named and left out.
"""

import argparse
import random
import shlex
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.racing import (
    Side,
    add_places,
    earlier,
    machine,
    minilm_folder,
    publish,
    rounds,
    run_again,
    settle_places,
    spread,
    table,
    tell,
    versions,
)

RACE = "inference"
OURS, FIRST = "bertsmith", "bertsmith, first token only"
ARRIVAL, SORTED = "transformers, arrival order", "transformers, sorted"
NAMES = (OURS, FIRST, ARRIVAL, SORTED, "ONNX Runtime", "OpenVINO", "CTranslate2")
FROM_TEXT = ("bertsmith, from text", "sentence-transformers, from text")
LEAST_COSINE = {"float32": 0.99999, "bfloat16": 0.999}
SETS = ("short", "long", "one")
LIMITS = {"short": 256, "long": 512}
PACKAGES = ["torch", "transformers", "sentence-transformers", "onnxruntime", "openvino", "ctranslate2", "numpy"]


@dataclass(frozen=True)
class Size:
    """A model of the race.

    Attributes:
        title: For the page.
        counts: Texts of each set.
        quick_counts: Of a smoke run.
        names: Sides.
    """

    title: str
    counts: dict[str, int]
    quick_counts: dict[str, int]
    names: tuple[str, ...]


SIZES = {
    "minilm": Size(
        "MiniLM: all-MiniLM-L6-v2, 6×384, its published weights", {"short": 512, "long": 256}, {"short": 64, "long": 16}, (*NAMES, *FROM_TEXT)
    ),
    "base": Size("BERT-base: 12×768, random weights", {"short": 128, "long": 32}, {"short": 16, "long": 4}, NAMES),
}


def main() -> None:
    """Race, print the page, write it and the numbers behind it."""
    arguments = _arguments()
    results = earlier(arguments.out, RACE)
    texts = {name: build(arguments.data) for name, build in (("short", short_texts), ("long", long_texts))}
    for size in [arguments.only] if arguments.only else list(SIZES):
        with tempfile.TemporaryDirectory() as folder:
            results[size] = race(size, arguments, Path(folder), texts)
    publish(arguments.out, RACE, results, report(results))


def race(size: str, arguments: argparse.Namespace, folder: Path, texts: dict[str, list[str]]) -> dict[str, Any]:
    """Prepare all sides of one model, compare what they compute, and time them."""
    conditions = {**machine(), "versions": versions(PACKAGES), "command": shlex.join(["python", "-m", "benchmarks.inference", *sys.argv[1:]])}
    counts = SIZES[size].quick_counts if arguments.quick else SIZES[size].counts
    tell(f"{size}: exporting the model")
    maker = Side(
        "benchmarks.inference_models",
        {"do": "make", "place": str(folder), "size": size, "minilm": str(minilm_folder()), "texts": texts, "limits": LIMITS, "counts": counts},
        folder / "make.log",
    )
    maker.close()
    precisions = ["float32", "bfloat16"] if multiplies_bfloat16() else ["float32"]
    sides, missing, notes = _prepared(SIZES[size].names, folder, precisions, maker.ready["missing"])
    try:
        agreement = compared(sides, folder)
        timings = _timed(sides, precisions, maker.ready["shapes"], arguments.rounds)
    finally:
        for side in sides.values():
            side.close()
    return {
        "quick": arguments.quick, "rounds": arguments.rounds, "conditions": conditions, "missing": missing, "notes": notes, "agreement": agreement,
        **{key: maker.ready[key] for key in ("layers", "hidden", "shapes", "lengths")}, **timings,
    }  # fmt: skip


def _prepared(
    names: tuple[str, ...], folder: Path, precisions: list[str], lacking: dict[str, str]
) -> tuple[dict[str, Side], dict[str, str], dict[str, dict[str, str]]]:
    sides: dict[str, Side] = {}
    missing: dict[str, str] = {}
    notes: dict[str, dict[str, str]] = {}
    for name in [(name, precision) for precision in precisions for name in names if not (name == ARRIVAL and precision == "bfloat16")]:
        title = ", ".join(name)
        if name[0] in lacking:
            missing[title] = lacking[name[0]]
            continue
        tell(f"preparing {title}")
        request = {"do": "prepare", "side": name[0], "place": str(folder), "precision": name[1]}
        side = Side("benchmarks.inference_sides", request, folder / f"{title}.log")
        if "missing" in side.ready:
            missing[title] = side.ready["missing"]
            side.close()
        else:
            sides[title], notes[title] = side, side.ready["notes"]
    return sides, missing, notes


def compared(sides: dict[str, Side], folder: Path) -> dict[str, float]:
    """The least cosine between a side's vectors and those of transformers in float32.

    Raises:
        SystemExit: A side computes something else.
    """
    vectors: dict[str, np.ndarray] = {}
    for title, side in sides.items():
        place = folder / "vectors.npy"
        side.ask(do="check", place=str(place), texts=64)
        vectors[title] = np.load(place).astype(np.float64)
    reference = vectors[f"{ARRIVAL}, float32"]
    # The first tokens' vectors are another thing than the mean: those are compared with the same thing in the tests.
    cosines = {title: float((reference * some).sum(1).min()) for title, some in vectors.items() if FIRST not in title}
    wrong = {title: cosine for title, cosine in cosines.items() if cosine < LEAST_COSINE[title.rpartition(", ")[2]]}
    if wrong:
        raise SystemExit(f"these sides do not compute the same vectors as transformers (least cosine): {wrong}")
    return cosines


def _timed(sides: dict[str, Side], precisions: list[str], shapes: list[list[int]], repetitions: int) -> dict[str, Any]:
    seconds: dict[str, dict[str, list[float]]] = {title: {name: [] for name in SETS} for title in sides}
    floors: dict[str, list[float]] = {precision: [] for precision in precisions}
    any_side = next(iter(sides.values()))
    for number, order in enumerate(rounds([*sides, *precisions], repetitions), 1):
        for title in order:
            if title in floors:
                floors[title].append(any_side.ask(do="floor", shapes=shapes, precision=title)["rate"])
                continue
            for name in SETS:
                seconds[title][name].append(sides[title].ask(do="time", texts=name)["seconds"])
            tell(f"round {number}: {title}: " + ", ".join(f"{name} {seconds[title][name][-1]:.3f} s" for name in SETS))
    return {"seconds": seconds, "floors": floors}


def short_texts(data: Path) -> list[str]:
    """Sentences, questions and short passages: about 40 tokens in the median."""
    rng = random.Random(1)
    news = news_sentences(data)
    sentences, questions = (labelled_texts(data / name) for name in ("sst2/train.txt", "trec/train.txt"))
    texts: list[str] = []
    for _ in range(2000):
        kind = rng.random()
        if kind < 0.3:
            texts.append(rng.choice(sentences if kind < 0.23 else questions))
        else:
            texts.append(passage(news, max(1, round(rng.lognormvariate(0.6, 0.6))), rng))
    return texts


def long_texts(data: Path) -> list[str]:
    """Passages of several sentences: about 180 tokens in the median."""
    rng = random.Random(2)
    news = news_sentences(data)
    return [passage(news, max(2, round(rng.lognormvariate(1.8, 0.5))), rng) for _ in range(2000)]


def passage(sentences: list[str], count: int, rng: random.Random) -> str:
    """Consecutive sentences from somewhere in a text."""
    start = rng.randrange(max(1, len(sentences) - count))
    return " ".join(sentences[start : start + count])


def news_sentences(data: Path) -> list[str]:
    """The English side of the translation sample, in its order."""
    lines = (data / "news_commentary_en_zh/sample.tsv").read_text(encoding="utf-8").splitlines()
    return [line.partition("\t")[0] for line in lines]


def labelled_texts(file: Path) -> list[str]:
    """The texts of a file of `label text` lines."""
    return [line.partition(" ")[2] for line in file.read_text(encoding="utf-8", errors="replace").splitlines()]


def multiplies_bfloat16() -> bool:
    """Whether this processor does."""
    import torch

    from bertsmith.core.precision import multiplies_bfloat16 as asked

    return asked(torch.device("cpu"))


def report(results: dict[str, Any]) -> str:
    """The whole page, from what is in the JSON file."""
    return "# Inference\n\n" + "\n".join(_section(SIZES[size], result) for size, result in sorted(results.items(), reverse=True))


def _section(size: Size, result: dict[str, Any]) -> str:
    conditions, lengths = result["conditions"], result["lengths"]
    described = "; ".join(
        f"{len(lengths[name])} {name} texts of {statistics.median(lengths[name]):g} tokens in the median, {max(lengths[name])} at most"
        for name in ("short", "long")
    )
    floors = ", ".join(f"{spread(rates)} GFLOP/s in {precision}" for precision, rates in result["floors"].items())
    absent = "".join(f"\nNot in the race: {title} ({why.splitlines()[0]})." for title, why in result["missing"].items())
    smoke = "\n**A smoke run: these numbers mean nothing.**\n" if result["quick"] else ""
    return f"""## {size.title}
{smoke}
Real English text: {described}; one sentence of {lengths["one"][0]} tokens for the latency.
Medians of {result["rounds"]} rounds, the smallest and the largest value in brackets; × are ratios within each round. Arrival order is padded batches
of 32; every other side has sequences sorted by length and batches cut by tokens, whose size it chose by trying. Rows from text include tokenising.

{_table(result)}

Floor: the matrix products of the linear layers alone run at {floors}; a share is what these products need at that rate, over the time taken for
everything. Vectors of all sides agree with those of transformers in float32 to a cosine of {min(result["agreement"].values()):.6f} or better.{absent}

{run_again(conditions)}
"""


def _table(result: dict[str, Any]) -> str:
    seconds = result["seconds"]
    best = {name: _best_transformers(seconds, name) for name in SETS}
    rows: list[list[str]] = []
    for title in sorted(seconds, key=lambda title: statistics.median(seconds[title]["short"])):
        cells = [title]
        for name in ("short", "long"):
            own, tokens = seconds[title][name], sum(result["lengths"][name])
            ratios = [
                spread([peer / mine for peer, mine in zip(seconds[other][name], own, strict=True)], 2)
                for other in (f"{ARRIVAL}, float32", best[name])
            ]
            cells += [spread([tokens / mine for mine in own]), *ratios, f"{share(result, title, name):.0%}"]
        rows.append([*cells, spread([1000 * mine for mine in seconds[title]["one"]], 1)])
    head = ["side"]
    for name in ("short", "long"):
        head += [f"{name}: tokens/s", "× arrival order", "× best transformers", "share of floor"]
    return table([*head, "one sentence, ms"], rows)


def share(result: dict[str, Any], title: str, name: str) -> float:
    """What the matrix products of the linear layers need at the measured rate, over the time taken, 0-1."""
    work = 2 * result["layers"] * sum(inputs * outputs for inputs, outputs in result["shapes"]) * sum(result["lengths"][name])
    rate = statistics.median(result["floors"][title.rpartition(", ")[2]])
    return work / 1e9 / rate / statistics.median(result["seconds"][title][name])


def _best_transformers(seconds: dict[str, dict[str, list[float]]], name: str) -> str:
    return min((title for title in seconds if title.startswith(SORTED)), key=lambda title: statistics.median(seconds[title][name]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference", description="Race bertsmith's encoder against other engines.")
    parser.add_argument("--quick", action="store_true", help="few texts, two rounds, into a temporary folder: to see that it works")
    parser.add_argument("--only", choices=list(SIZES), help="one of the models; results of the other stay as they are")
    parser.add_argument("--rounds", type=int, help="5, or 2 with --quick")
    add_places(parser, RACE)
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (2 if arguments.quick else 5)
    settle_places(parser, arguments, RACE)
    return arguments


if __name__ == "__main__":
    main()
