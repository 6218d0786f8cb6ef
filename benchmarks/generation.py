"""The race of writers: beam search over sources and prompts, against `transformers.generate`.

    python -m benchmarks.generation                 both models, five rounds
    python -m benchmarks.generation --only bart     one of them; the results of the other stay as they are
    python -m benchmarks.generation --quick         few tokens, two rounds, into a temporary folder: to see that it works

All sides write from the same token ids with the same model of random weights, whose texts have no end before their last step; the tokens of the first
batch are compared first. Every side is a process of its own that is loaded and warmed up before the clock runs; the rounds go through them in another
order every time, with the load of the machine noted at each.
"""

import argparse
import shlex
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.racing import Side, add_places, earlier, machine, publish, run_again, settle_places, spread, table, tell, timed, versions

RACE = "generation"
MODULE = "benchmarks.generation_sides"
OURS, ORDINARY, PEER = "bertsmith", "bertsmith, weights as they are", "transformers"
NAMES = (OURS, ORDINARY, PEER)
ROWS = 8
LEAST_EQUAL = 0.99
"""Share of tokens in which sides must agree: where two texts are equally good but for rounding, either may win."""


@dataclass(frozen=True)
class Amount:
    """How much is written in a round.

    Attributes:
        batches: Of 8 rows.
        tokens: New ones for every row.
    """

    batches: int
    tokens: int


WHOLE, QUICK = Amount(1, 40), Amount(1, 4)
SIZES = {
    "bart": "BART-base: 6+6 layers, 768 wide, 50,265 tokens in the vocabulary; sources",
    "gpt2": "GPT-2: 12 layers, 768 wide, 50,257 tokens in the vocabulary; prompts",
}


def main() -> None:
    """Race, print the page, write it and the numbers behind it."""
    arguments = _arguments()
    results = earlier(arguments.out, RACE)
    for size in [arguments.only] if arguments.only else list(SIZES):
        with tempfile.TemporaryDirectory() as folder:
            results[size] = race(size, arguments, Path(folder))
    publish(arguments.out, RACE, results, report(results))


def race(size: str, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Prepare all sides of one model, compare what they write, and time them."""
    command = shlex.join(["python", "-m", "benchmarks.generation", *sys.argv[1:]])
    conditions = {**machine(), "versions": versions(["torch", "transformers", "numpy"]), "command": command}
    amount = QUICK if arguments.quick else WHOLE
    tell(f"{size}: making the model")
    maker = Side(MODULE, {"do": "make", "place": str(folder), "size": size, "batches": amount.batches, "rows": ROWS}, folder / "make.log")
    maker.close()
    sides: dict[str, Side] = {}
    try:
        for name in NAMES:
            tell(f"preparing {name}")
            request = {"do": "prepare", "side": name, "place": str(folder), "tokens": amount.tokens, "rows": ROWS}
            sides[name] = Side(MODULE, request, folder / f"{name}.log")
        agreement = compared({name: side.ask(do="check")["texts"] for name, side in sides.items()})
        seconds, loads = timed(sides, arguments.rounds)
    finally:
        for side in sides.values():
            side.close()
    return {
        "quick": arguments.quick, "rounds": arguments.rounds, "conditions": conditions, "agreement": agreement, "seconds": seconds, "loads": loads,
        "batches": amount.batches, "tokens": amount.tokens, **maker.ready,
    }  # fmt: skip


def compared(texts: dict[str, list[list[int]]]) -> dict[str, float]:
    """The share of tokens in which each side agrees with transformers.

    Raises:
        SystemExit: A side writes something else.
    """
    wanted = [token for text in texts[PEER] for token in text]
    equal: dict[str, float] = {}
    for name, some in texts.items():
        written = [token for text in some for token in text]
        same = sum(one == other for one, other in zip(written, wanted, strict=False))
        equal[name] = same / max(len(written), len(wanted))
    wrong = {name: share for name, share in equal.items() if share < LEAST_EQUAL}
    if wrong:
        raise SystemExit(f"these sides do not write what transformers writes (share of equal tokens): {wrong}")
    return equal


def report(results: dict[str, Any]) -> str:
    """The whole page, from what is in the JSON file."""
    return "# Generation\n\n" + "\n".join(_section(SIZES[size], result) for size, result in sorted(results.items()))


def _section(title: str, result: dict[str, Any]) -> str:
    conditions, lengths, million = result["conditions"], result["lengths"], result["parameters"] / 1e6
    smoke = "\n**A smoke run: these numbers mean nothing.**\n" if result["quick"] else ""
    return f"""## {title.rpartition("; ")[0]}
{smoke}
Beam search with 4 beams over {result["batches"] * ROWS} {title.rpartition("; ")[2]} of {statistics.median(lengths):g} tokens in the median
({min(lengths)}–{max(lengths)}), {ROWS} at a time, {result["tokens"]} new tokens each, float32, random weights ({million:.0f} million).
Tokens of the best texts are counted; reading is timed too. Medians of {result["rounds"]} rounds, the smallest and the largest value in
brackets; × are ratios within each round. At least {min(result["agreement"].values()):.1%} of the tokens of the first batch are those of transformers.

{_table(result)}

{run_again(conditions, result["loads"])}
"""


def _table(result: dict[str, Any]) -> str:
    seconds, written = result["seconds"], result["batches"] * ROWS * result["tokens"]
    rows = [
        [
            name,
            spread([written / own for own in seconds[name]], 1),
            spread([peer / own for peer, own in zip(seconds[PEER], seconds[name], strict=True)], 2),
        ]
        for name in sorted(seconds, key=lambda name: statistics.median(seconds[name]))
    ]
    return table(["side", "tokens/s", "× transformers"], rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generation", description="Race bertsmith's generation against transformers.")
    parser.add_argument("--quick", action="store_true", help="few tokens, two rounds, into a temporary folder: to see that it works")
    parser.add_argument("--only", choices=list(SIZES), help="one of the models; results of the other stay as they are")
    parser.add_argument("--rounds", type=int, help="5, or 2 with --quick")
    add_places(parser, RACE, data=False)
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (2 if arguments.quick else 5)
    settle_places(parser, arguments, RACE)
    return arguments


if __name__ == "__main__":
    main()
