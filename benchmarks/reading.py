"""The race of readers: questions about texts that are longer than the model reads at once, against the window loop of `transformers`.

    python -m benchmarks.reading                          both models, paragraphs and whole articles, three rounds
    python -m benchmarks.reading --only small-articles    one of the four; the results of the others stay as they are
    python -m benchmarks.reading --quick                  few questions, two rounds, into a temporary folder: to see that it works

All sides answer questions of DRCD from text to answer with the same model of random weights over the same windows; the answers to all questions
are compared first. Every side is a process of its own that is loaded and warmed up before the clock runs; the rounds go through them in another order
every time, with the load of the machine noted at each.
"""

import argparse
import shlex
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.racing import Side, add_places, earlier, machine, publish, run_again, settle_places, spread, table, tell, timed, versions

RACE = "reading"
MODULE = "benchmarks.reading_sides"
OURS, SORTED, PEER = "bertsmith", "transformers, sorted", "transformers"
NAMES = (OURS, SORTED, PEER)
LEAST_EQUAL = 0.99
"""Share of questions in which sides must agree: where two answers are equally good but for rounding, either may win."""

MODELS = {"small": "BERT, 4×256", "minilm": "MiniLM's shape, 6×384"}
QUESTIONS = {"paragraphs": 96, "articles": 8}
QUICK = {"paragraphs": 6, "articles": 2}
PARTS = [f"{size}-{texts}" for size in MODELS for texts in QUESTIONS]


def main() -> None:
    """Race, print the page, write it and the numbers behind it."""
    arguments = _arguments()
    results = earlier(arguments.out, RACE)
    for part in [arguments.only] if arguments.only else PARTS:
        with tempfile.TemporaryDirectory() as folder:
            results[part] = race(part, arguments, Path(folder))
    publish(arguments.out, RACE, results, report(results))


def race(part: str, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Prepare all sides, compare what they answer, and time them."""
    size, texts = part.split("-")
    command = shlex.join(["python", "-m", "benchmarks.reading", *sys.argv[1:]])
    conditions = {**machine(), "versions": versions(["torch", "transformers", "tokenizers", "numpy"]), "command": command}
    questions = (QUICK if arguments.quick else QUESTIONS)[texts]
    tell(f"{part}: making the model")
    request = {"do": "make", "place": str(folder), "data": str(arguments.data), "size": size, "texts": texts, "questions": questions}
    maker = Side(MODULE, request, folder / "make.log")
    maker.close()
    sides: dict[str, Side] = {}
    try:
        for name in NAMES:
            tell(f"preparing {name}")
            sides[name] = Side(MODULE, {"do": "prepare", "side": name, "place": str(folder)}, folder / f"{name}.log")
        agreement = compared({name: side.ask(do="check")["answers"] for name, side in sides.items()})
        seconds, loads = timed(sides, arguments.rounds)
    finally:
        for side in sides.values():
            side.close()
    return {
        "quick": arguments.quick, "rounds": arguments.rounds, "conditions": conditions, "agreement": agreement, "seconds": seconds, "loads": loads,
        "questions": questions, **maker.ready,
    }  # fmt: skip


def compared(answers: dict[str, list[list[int]]]) -> dict[str, float]:
    """The share of questions to which each side gives the answer of transformers.

    Raises:
        SystemExit: A side answers something else.
    """
    wanted = answers[PEER]
    equal = {name: sum(one == other for one, other in zip(own, wanted, strict=True)) / len(wanted) for name, own in answers.items()}
    wrong = {name: share for name, share in equal.items() if share < LEAST_EQUAL}
    if wrong:
        raise SystemExit(f"these sides do not answer what transformers answers (share of equal answers): {wrong}")
    return equal


def report(results: dict[str, Any]) -> str:
    """The whole page, from what is in the JSON file."""
    return "# Reading comprehension\n\n" + "\n".join(_section(part, results[part]) for part in PARTS if part in results)


def _section(part: str, result: dict[str, Any]) -> str:
    size, texts = part.split("-")
    conditions, lengths = result["conditions"], result["characters"]
    smoke = "\n**A smoke run: these numbers mean nothing.**\n" if result["quick"] else ""
    return f"""## {MODELS[size]}, {texts}
{smoke}
{result["questions"]} questions of DRCD about {texts} of {statistics.median(lengths):,g} characters in the median ({min(lengths):,}–{max(lengths):,}),
from text to answer: windows of 384 tokens, 128 from one to the next, float32, random weights ({result["parameters"] / 1e6:.0f} million).
`transformers` goes through windows in the order of the questions, 32 at a time, padded to 384; sorted, in the order of their lengths and padded to
the longest of a batch.
Medians of {result["rounds"]} rounds, the smallest and the largest value in brackets; × are ratios within each round. At least
{min(result["agreement"].values()):.1%} of the answers are those of transformers.

{_table(result)}

{run_again(conditions, result["loads"])}
"""


def _table(result: dict[str, Any]) -> str:
    seconds = result["seconds"]
    rows = [
        [name, spread([result["questions"] / own for own in seconds[name]], 1), *(_ratios(seconds, name, peer) for peer in (PEER, SORTED))]
        for name in sorted(seconds, key=lambda name: statistics.median(seconds[name]))
    ]
    return table(["side", "questions/s", "× transformers", "× transformers, sorted"], rows)


def _ratios(seconds: dict[str, list[float]], name: str, peer: str) -> str:
    return spread([theirs / own for theirs, own in zip(seconds[peer], seconds[name], strict=True)], 2)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reading", description="Race bertsmith's reading comprehension against transformers.")
    parser.add_argument("--quick", action="store_true", help="few questions, two rounds, into a temporary folder: to see that it works")
    parser.add_argument("--only", choices=PARTS, help="one part; results of the others stay as they are")
    parser.add_argument("--rounds", type=int, help="3, or 2 with --quick")
    add_places(parser, RACE)
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (2 if arguments.quick else 3)
    settle_places(parser, arguments, RACE)
    return arguments


if __name__ == "__main__":
    main()
