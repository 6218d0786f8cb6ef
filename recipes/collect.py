"""Put the results of several runs, one a seed, together: the numbers behind the table of results.

    python recipes/collect.py NAME RUN RUN RUN

NAME is the recipe's; every RUN is a folder of `bertsmith run`. `recipes/results/NAME.json` gets what was measured, on which data (by hash) and with
which versions, without the paths of the machine; the means and standard deviations are printed.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
KEPT = ("name", "objective", "seed", "metrics", "steps", "epochs", "tokens", "seconds", "peak_memory", "versions", "machine")


def main(name: str, runs: list[Path]) -> None:
    """Read, write, print."""
    if unfinished := [str(run) for run in runs if not (run / "result.json").is_file()]:
        raise SystemExit(f"no result.json in {', '.join(unfinished)}: a run that is finished has one")
    stages = [collected(stage) for run in runs for stage in json.loads((run / "result.json").read_text(encoding="utf-8"))["stages"]]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(stages, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for line in summary(stages):
        print(line)


def collected(stage: dict[str, Any]) -> dict[str, Any]:
    """What is worth keeping of a stage's result; a split that was drawn from another one has no files of its own."""
    data = {split: [_named(file) for file in entry.get("files", [])] for split, entry in stage["data"].items()}
    start = "/".join(stage["start"].split("/")[-2:])
    parts = {"parts": stage["parts"]} if stage.get("parts") else {}
    return {"start": start, **{key: stage[key] for key in KEPT}, **parts, "data": data}


def _named(file: dict[str, str]) -> dict[str, str]:
    return {"name": Path(file["name"]).name, "sha256": file["sha256"]}


def summary(stages: list[dict[str, Any]]) -> list[str]:
    """Every metric of every stage, over its seeds."""
    values: dict[tuple[str, str, str], list[float]] = {}
    for stage in stages:
        for split, metrics in stage["metrics"].items():
            for metric, value in metrics.items():
                values.setdefault((stage["name"], split, metric), []).append(value)
    return [f"{' '.join(key)}: {statistics.fmean(found):.4f}{_spread(found)} ({len(found)} seeds)" for key, found in values.items()]


def _spread(values: list[float]) -> str:
    return f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    main(sys.argv[1], [Path(run) for run in sys.argv[2:]])
