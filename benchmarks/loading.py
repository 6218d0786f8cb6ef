"""The race of loading: from nothing to the first embedding, in a fresh process every time, and the memory that it takes.

    python -m benchmarks.loading                both models, seven rounds
    python -m benchmarks.loading --quick        MiniLM, two rounds, into a temporary folder: to see that it works

Both sides embed one sentence with the published weights of MiniLM; that they give the same vector is looked at first. Files are read once before the
clock runs, so that all find them in the system's memory. The clock runs in the process that starts them, from before the interpreter is started to
when the vector comes out. Memory is the most that the process ever held, above what it held when its imports were done, over the size of the weights;
the shape of BERT-base is there for that, because its weights are larger than what any process needs besides.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.racing import ROOT, machine, minilm_folder, publish, rounds, spread, table, versions

RACE = "loading"
OURS, THEIRS, FLOOR = "bertsmith", "transformers", "import torch"
SIDES = (OURS, THEIRS, FLOOR)
IMPORT = "import bertsmith"
FARTHEST = 1e-5
TITLES = {"minilm": "MiniLM: all-MiniLM-L6-v2, 6×384, its published weights", "base": "BERT-base: 12×768, random weights"}
TARGETS = "Targets: 3× as fast as transformers, `import bertsmith` in 1.5 s, 1.2 × the weights in memory while loading."


def main() -> None:
    """Race, print the page, write it and the numbers behind it."""
    arguments = _arguments()
    conditions = {**machine(), "versions": versions(["torch", "transformers", "safetensors", "tokenizers"]), "command": _command()}
    results: dict[str, Any] = {"quick": arguments.quick, "rounds": arguments.rounds, "conditions": conditions, "models": {}}
    with tempfile.TemporaryDirectory() as place:
        folders = {"minilm": minilm_folder(), **({} if arguments.quick else {"base": _base(Path(place))})}
        for name, folder in folders.items():
            results["models"][name] = race(folder, arguments.rounds)
    results["import"] = [_import_seconds() for _ in range(arguments.rounds)]
    publish(arguments.out, RACE, results, report(results))


def race(folder: Path, repetitions: int) -> dict[str, Any]:
    """Compare the two vectors, then time all sides."""
    vectors = {side: run(side, folder)["vector"] for side in SIDES}
    apart = max(abs(mine - other) for mine, other in zip(vectors[OURS], vectors[THEIRS], strict=True))
    if apart > FARTHEST:
        raise SystemExit(f"the two sides do not compute the same vector: they are {apart} apart")
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for number, order in enumerate(rounds(SIDES, repetitions), 1):
        for side in order:
            found[side].append(run(side, folder))
            print(f"{folder.name}, round {number}: {side} {found[side][-1]['seconds']:.2f} s", file=sys.stderr, flush=True)
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    runs = {side: [{key: one[key] for key in ("seconds", "load", "marks")} for one in several] for side, several in found.items()}
    return {"weights": weights, "apart": apart, "runs": runs}


def run(side: str, folder: Path) -> dict[str, Any]:
    """One side, once."""
    command = [sys.executable, "-m", "benchmarks.loading_sides", side, str(folder)]
    load, started = os.getloadavg()[0], time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment()) as process:
        assert process.stdout is not None, "opened as a pipe"
        line = process.stdout.readline()
        seconds = time.perf_counter() - started
        _, errors = process.communicate()
    if not line:
        raise SystemExit(f"{side} ended with status {process.returncode}:\n{errors[-3000:]}")
    return {"seconds": seconds, "load": load, **json.loads(line)}


def _import_seconds() -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORT], check=True, cwd=ROOT, env=_environment())
    return time.perf_counter() - started


def _environment() -> dict[str, str]:
    return {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


def _base(place: Path) -> Path:
    """A folder with the shape of BERT-base, in a process of its own so that this one stays small."""
    code = (
        "import sys, pathlib, bertsmith\n"
        "from bertsmith.models import create, save\n"
        "tokenizer = bertsmith.Tokenizer.from_folder(pathlib.Path(sys.argv[1]))\n"
        "save(create('bert', tokenizer, {}, {'pooler': 0}), pathlib.Path(sys.argv[2]))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(minilm_folder()), str(place / "base")], check=True, cwd=ROOT)
    return place / "base"


def report(results: dict[str, Any]) -> str:
    """The whole page, from what is in the JSON file."""
    conditions = results["conditions"]
    smoke = "\n**A smoke run: these numbers mean nothing.**\n" if results["quick"] else ""
    sections = "\n".join(_section(TITLES[name], model) for name, model in results["models"].items())
    loads = [one["load"] for model in results["models"].values() for several in model["runs"].values() for one in several]
    return f"""# Loading
{smoke}
From the start of the interpreter to the first embedding of one sentence, files in the system's memory. Medians of {results["rounds"]} rounds, the
smallest and the largest value in brackets; × are ratios within each round. Memory is the peak above what the process held after its imports, over the
size of the weights: while loading, and when the first embedding was there. {TARGETS}

{sections}
`import bertsmith`: {spread(results["import"], 2)} s; it imports nothing heavy, and `bertsmith.load` then does.

{conditions["processor"]} (family/model {conditions["family_model"]}), {conditions["cores"]} cores; load {min(loads):.1f} to {max(loads):.1f} while
it ran. {conditions["date"]}. {", ".join(f"{name} {version}" for name, version in conditions["versions"].items())}.

    {conditions["command"]}
"""


def _section(title: str, model: dict[str, Any]) -> str:
    theirs = [one["seconds"] for one in model["runs"][THEIRS]]
    rows: list[list[str]] = []
    for side, several in model["runs"].items():
        seconds = [one["seconds"] for one in several]
        ratio = spread([other / mine for other, mine in zip(theirs, seconds, strict=True)], 2)
        memory = [f"{statistics.median(_share(one, when, model['weights']) for one in several):.2f}" for when in ("loaded", "first embedding")]
        rows.append([side, spread(seconds, 2), *([ratio, *memory] if side != FLOOR else ["", "", ""])])
    head = ["side", "seconds", "× transformers", "memory, loading", "memory, first embedding"]
    return f"## {title}\n\n{model['weights'] / 1e6:,.1f} MB of weights; the two vectors are {model['apart']:.1e} apart.\n\n{table(head, rows)}\n"


def _share(one: dict[str, Any], when: str, weights: int) -> float:
    marks = one["marks"]
    return (marks[when]["peak"] - marks["imported"]["peak"]) / weights


def _command() -> str:
    return shlex.join(["python", "-m", "benchmarks.loading", *sys.argv[1:]])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loading", description="Race bertsmith to the first embedding against transformers.")
    parser.add_argument("--quick", action="store_true", help="MiniLM, two rounds, into a temporary folder: to see that it works")
    parser.add_argument("--rounds", type=int, help="7, or 2 with --quick")
    parser.add_argument("--out", type=Path, help=f"where {RACE}.json and {RACE}.md go: benchmarks/results, or a temporary folder with --quick")
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (2 if arguments.quick else 7)
    arguments.out = arguments.out or (Path(tempfile.mkdtemp(prefix=f"{RACE}-")) if arguments.quick else ROOT / "benchmarks" / "results")
    return arguments


if __name__ == "__main__":
    main()
