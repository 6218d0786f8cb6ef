"""The race of trainings: fine-tuning on real lengths, and masked-language-model pre-training, against the Trainer of `transformers`.

    python -m benchmarks.training                    three repetitions of everything; about 80 minutes on two cores
    python -m benchmarks.training --quick            a few updates of each, to see that it works

Three sides take the same number of updates over the very same sequences, from the same weights, with the same hyper-parameters: bertsmith, the
Trainer as it comes (float32, random order, padded batch by batch), and the Trainer in its best setting (grouped by length, SDPA, bfloat16 where the
processor multiplies in it). Every run is a process of its own, and all runs of a repetition, the measurement of the matrix-product rate among them,
stand in random order. This process imports nothing heavy, because a child's peak memory begins with its parent's.

Tokens are those of the sequences: padding does not count. The arithmetic is counted as what these tokens need, alike for all sides
(`training_sides.training_flops`).
"""

import argparse
import platform
import shlex
import statistics
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.racing import Side, add_places, earlier, machine, publish, rounds, settle_places, spread, table, versions
from benchmarks.training_sides import BATCH, DECAY, JOBS, WARMUP, Job, Run

RACE = "training"
SIDES = {"bertsmith": "bertsmith", "plain": "transformers, as it comes", "best": "transformers, best setting"}
SMOKE = "\n**A smoke run: these numbers mean nothing.**\n"
TOLERANCE = 1e-3
"""Nats by which the sides' losses may differ before training; they start from the same weights and see the same sequences."""


def main() -> None:
    """Race, print the page, write it and the numbers behind it."""
    arguments = _arguments()
    results = earlier(arguments.out, RACE)
    with tempfile.TemporaryDirectory() as folder:
        results |= race(arguments, Path(folder))
    publish(arguments.out, RACE, results, report(results))


def race(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Prepare the jobs, run all sides of all of them, one repetition after the other, each in another order."""
    packages = versions(["bertsmith", "torch", "transformers", "accelerate"])
    conditions = {**machine(), "versions": {"Python": platform.python_version(), **packages}, "command": _command()}
    results: dict[str, Any] = {}
    for job in [arguments.only] if arguments.only else JOBS:
        data = _process(folder, do="prepare", job=job, place=str(folder / job), data=str(arguments.data), quick=arguments.quick)
        runs: dict[str, list[Run]] = {side: [] for side in (*SIDES, "floor")}
        results[job] = {"quick": arguments.quick, "repetitions": arguments.repetitions, "conditions": conditions, "data": data, "runs": runs}
    names = [f"{job} {side}" for job in results for side in results[job]["runs"]]
    for number, order in enumerate(rounds(names, arguments.repetitions), start=1):
        for job, side in map(str.split, order):
            results[job]["runs"][side].append(_run(job, side, folder, number, results[job]["data"]))
        for job, result in results.items():
            check_start(job, result["runs"])
    return results


def check_start(job: str, runs: dict[str, list[Run]]) -> None:
    """Stop if the sides do not compute the same: then there is nothing to compare."""
    before = {side: runs[side][-1]["held_out"][0] for side in SIDES}
    if max(before.values()) - min(before.values()) > TOLERANCE:
        raise SystemExit(f"{job}: the sides do not start with the same loss on the sequences that were held out: {before}")


def _run(job: str, side: str, folder: Path, number: int, data: dict[str, Any]) -> Run:
    print(f"repetition {number}: {job}, {side} …", end=" ", file=sys.stderr, flush=True)
    if side == "floor":
        run = _process(folder, do="floor", shape=data["shape"], tokens=data["tokens"] // data["updates"], bfloat16=data["bfloat16"])
        print(", ".join(f"{rate:.0f} GFLOP/s {precision}" for precision, rate in run.items()), file=sys.stderr)
    else:
        run = _process(folder, do="train", job=job, place=str(folder / job), side=side, seed=number, bfloat16=data["bfloat16"])
        assert len(run["losses"]) == data["updates"], "every side does the same work"
        print(f"{data['tokens'] / run['seconds']:.0f} tokens/s", file=sys.stderr)
    return run


def _process(folder: Path, **request: Any) -> Run:
    """Have one thing done in a process that then ends."""
    side = Side("benchmarks.training_sides", request, folder / "log.txt")
    side.close()
    return side.ready


def _command() -> str:
    return shlex.join(["python", "-m", "benchmarks.training", *sys.argv[1:]])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training", description="Race bertsmith's training against the Trainer of transformers."
    )
    parser.add_argument("--quick", action="store_true", help="a few updates, one repetition, into a temporary folder: to see that it works")
    parser.add_argument("--only", choices=list(JOBS), help="one of the jobs; results of the other stay as they are")
    parser.add_argument("--repetitions", type=int, help="of every run: 3, or 1 with --quick")
    add_places(parser, RACE)
    arguments = parser.parse_args()
    arguments.repetitions = (1 if arguments.quick else 3) if arguments.repetitions is None else arguments.repetitions
    if arguments.repetitions < 1:
        parser.error(f"--repetitions is {arguments.repetitions}; at least 1 is needed")
    settle_places(parser, arguments, RACE)
    return arguments


def mean_and_deviation(values: Sequence[float], digits: int = 3) -> str:
    """Mean and standard deviation, the latter where there are several values."""
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{deviation}"


def curve(losses: Sequence[float], parts: int = 10) -> list[float]:
    """Mean loss of equal parts of a training."""
    parts = min(parts, len(losses))
    cuts = [round(part * len(losses) / parts) for part in range(parts + 1)]
    return [statistics.fmean(losses[begin:end]) for begin, end in pairwise(cuts)]


def within_noise(ours: Sequence[float], theirs: Sequence[float]) -> bool | None:
    """Whether two sets of repetitions may have the same mean (Welch's t test at 5 %); None where there are too few to tell."""
    if min(len(ours), len(theirs)) < 2:
        return None
    from scipy.stats import ttest_ind

    return bool(ttest_ind(ours, theirs, equal_var=False).pvalue >= 0.05)


def report(results: dict[str, Any]) -> str:
    """The whole page, from what is in the JSON file."""
    return "# Training\n\n" + "\n".join(_section(JOBS[name], result) for name, result in sorted(results.items()))


def _section(job: Job, result: dict[str, Any]) -> str:
    data, runs, conditions = result["data"], result["runs"], result["conditions"]
    floors = {precision: statistics.median(run[precision] for run in runs["floor"]) for precision in runs["floor"][0]}
    projection = ", of the vocabulary projection for the masked ones only" if "vocabulary" in data["shape"] else ""
    return f"""## {job.title}
{SMOKE if result["quick"] else ""}
{job.what}; {data["updates"]} updates of {BATCH} sequences{_epochs(data)}, {data["tokens"]:,} tokens in all
({data["median_length"]:g} a sequence in the median, {data["longest"]} at most). Learning rate {job.learning_rate:g}, {WARMUP:.0%} warm-up,
linear decay, weight decay {DECAY:g}, clipping at 1, dropout 0.1. Medians over the repetitions ({result["repetitions"]}), the smallest and
the largest value in brackets; ratios (×) are taken within each repetition.{_disturbed(runs)}

{_speeds(result, floors)}

Floor: matrix products at {", ".join(f"{rate:.0f} GFLOP/s in {precision}" for precision, rate in floors.items())}, measured between the runs. The
arithmetic is counted as {data["flops"] / 1e12:.2f} TFLOP for every side, {data["flops"] / data["tokens"] / 1e6:.1f} MFLOP a token: the matrix
products of real tokens{projection}; backward counts as two forwards. Of the last block
bertsmith computes only what the loss depends on, which is less.

Loss in the course of training, in nats, mean and standard deviation over the repetitions; each side draws its own order, masks and dropout.
The Trainer that groups by length takes long batches first, so that its curve is one of length too; the loss on {data["held_out"]} sequences
that were held out (no dropout, the same masks for all) is not. Compare bertsmith with the best setting first: both make batches of like
length, the Trainer as it comes does not, and over few updates that alone can move the loss. Before training, all sides agree to
{TOLERANCE:g} or there is no page.

{_losses(runs)}
{_scores(runs)}
{conditions["processor"]} ({", ".join(conditions["instructions"])}), {conditions["cores"]} cores, {data["threads"]} thread(s);
load {conditions["load"]} when it began. {conditions["date"]}.
{", ".join(f"{name} {version}" for name, version in conditions["versions"].items())}.

    {conditions["command"]}
"""


def _speeds(result: dict[str, Any], floors: dict[str, float]) -> str:
    head = ["", "precision", "tokens/s", "× as it comes", "× best setting", "peak memory, MB", "share of the floor"]
    tokens, flops = result["data"]["tokens"], result["data"]["flops"]
    timed = _timed(result["runs"])
    runs = {side: [result["runs"][side][number] for number in timed] for side in SIDES}
    rows: list[list[str]] = []
    for side, name in SIDES.items():
        own = runs[side]
        precision = own[0]["precision"]
        ratios = [spread([peer["seconds"] / run["seconds"] for run, peer in zip(own, runs[other], strict=True)], 2) for other in ("plain", "best")]
        share = flops / statistics.median(run["seconds"] for run in own) / 1e9 / floors[precision]
        memory = spread([run["peak"] for run in own])
        rows.append([name, precision, spread([tokens / run["seconds"] for run in own]), *ratios, memory, f"{share:.0%}"])
    return table(head, rows)


def _epochs(data: dict[str, Any]) -> str:
    return f" in {data['epochs']} epochs" if data.get("epochs", 1) > 1 else ""


def _scores(runs: dict[str, list[Run]]) -> str:
    """How long the whole training took and what came of it, for a classifier that was trained to its end."""
    if "accuracy" not in runs["bertsmith"][0]:
        return ""
    rows: list[list[str]] = []
    for side, name in SIDES.items():
        scores = [mean_and_deviation([100 * run["accuracy"][part] for run in runs[side]], 1) for part in ("dev", "test")]
        rows.append([name, spread([runs[side][number]["seconds"] for number in _timed(runs)]), *scores])
    head = ["", "seconds of training", "accuracy, development set, %", "accuracy, test set, %"]
    return f"\nThe accuracy that came of it, mean and standard deviation over the repetitions; every repetition is a seed.\n\n{table(head, rows)}\n"


def _timed(runs: dict[str, list[Run]]) -> list[int]:
    """The repetitions whose times count: `seconds` is taken out of the JSON file where something else was seen to run, or the code was another."""
    return [number for number in range(len(runs["bertsmith"])) if all("seconds" in runs[side][number] for side in SIDES)]


def _disturbed(runs: dict[str, list[Run]]) -> str:
    left_out = len(runs["bertsmith"]) - len(_timed(runs))
    return (
        f" The times of {left_out} of the\nrepetitions are left out: disturbed, or of an earlier race; the losses and scores are there."
        if left_out
        else ""
    )


def _losses(runs: dict[str, list[Run]]) -> str:
    curves = {side: [curve(run["losses"]) for run in runs[side]] for side in SIDES}
    parts = len(curves["plain"][0])
    steps = [f"{round(100 * part / parts)}–{round(100 * (part + 1) / parts)} %" for part in range(parts)]
    ours = [run["held_out"][1] for run in runs["bertsmith"]]
    rows: list[list[str]] = []
    for side, name in SIDES.items():
        cells = [mean_and_deviation(values) for values in zip(*curves[side], strict=True)]
        before, after = zip(*(run["held_out"] for run in runs[side]), strict=True)
        same = {None: "too few runs", True: "within noise", False: "differs"}[within_noise(ours, after)] if side != "bertsmith" else ""
        rows.append([name, *cells, f"{before[0]:.4f}", mean_and_deviation(after), same])
    return table(["", *steps, "held out, before", "held out, after", "as bertsmith?"], rows)


if __name__ == "__main__":
    main()
