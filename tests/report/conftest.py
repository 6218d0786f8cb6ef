"""A run's folder as a finished run leaves it, with numbers made up."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

MACHINE = {"processor": "a processor", "device": "cpu", "threads": 2, "cores": 2, "processes": 1, "precision": "float32", "system": "Linux"}
VERSIONS = {"python": "3.11.2", "bertsmith": "0.1.0", "torch": "2.13.0", "tokenizers": "0.22.0", "numpy": "2.1.0"}


def account(name: str, rows: int, labels: dict[str, int]) -> dict[str, Any]:
    file = {"name": f"reviews/{name}.tsv", "format": "tsv", "sha256": "ab12" * 16, "rows": rows}
    return {"files": [file], "rows": rows, "labels": labels, "skipped": 0, "dropped": {}, "truncated": 0.0}


def stage(name: str, start: str, **changes: Any) -> dict[str, Any]:
    """A stage's part of `result.json`."""
    data = {
        "train": account("train", 240, {"positive": 120, "negative": 120}),
        "valid": account("valid", 80, {"positive": 40, "negative": 40}),
        "test": account("test", 200, {"positive": 100, "negative": 100}),
    }
    values = {
        "name": name,
        "start": start,
        "objective": "single",
        "is_task": True,
        "key": name,
        "seed": 1,
        "metrics": {split: {"accuracy": 0.845, "macro_f1": 0.8449, "micro_f1": 0.845, "matthews": 0.69} for split in ("valid", "test")},
        "steps": 90,
        "epochs": 6.0,
        "kept_step": 75,
        "stopped_early": False,
        "tokens": 41_000,
        "tokens_per_second": 4812.2,
        "seconds": {"load": 0.2, "train": 11.8, "evaluate": 0.9, "save": 0.1},
        "peak_memory": 812.4,
        "num_parameters": 6_132_738,
        "resumed_at": 0,
        "data": data,
        "notes": [],
        "versions": VERSIONS,
        "machine": MACHINE,
        "cached": False,
    }
    return {**values, **changes}


def pretraining(name: str) -> dict[str, Any]:
    metrics = {"before": {"loss": 3.9, "perplexity": 49.4}, "valid": {"loss": 3.0, "perplexity": 20.1}}
    data = {"train": {"rows": 1140}, "valid": {"rows": 60}}
    return stage(name, "builtin:mini-zh", objective="mlm", is_task=False, metrics=metrics, data=data)


def lines(stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lines of `metrics.jsonl`."""
    made: list[dict[str, Any]] = []
    for number, values in enumerate(stages):
        for step in range(1, values["steps"] + 1):
            wobble = 0.12 * math.sin(step * 1.7 + number) + 0.05 * math.cos(step * 5.3)
            top = 0.8 if values["is_task"] else 4.0
            made.append({"stage": values["name"], "step": step, "epoch": step // 15, "loss": top * math.exp(-step / 45) + 0.2 + wobble * top / 3})
            if step % 15 == 0:
                gained = 0.35 * (1 - math.exp(-step / 30)) + 0.01 * number
                valid = {"accuracy": 0.5 + gained, "macro_f1": 0.49 + gained} if values["is_task"] else {"loss": 4 - gained * 3, "perplexity": 20.0}
                made.append({"stage": values["name"], "step": step, "epoch": step // 15, "valid": valid})
    return made


TEXTS = [
    ("耳机降噪一开，地铁里像突然安静了，太喜欢了。", "positive", "negative", 0.981),
    ("被子蓬鬆輕暖，蓋上就不想起床，體驗很好。", "positive", "negative", 0.93),
    ("Not what I had feared, and not what I had hoped for either; the second half drags badly.", "negative", "positive", 0.88),
    ("没有想象中那么辣，孩子也能吃。", "positive", "negative", 0.74),
    ("Great.", "positive", "positive", 0.99),
    ("打扫的阿姨没敲门就进来了，体验很糟糕。", "negative", "negative", 0.97),
]


def predictions() -> list[dict[str, Any]]:
    return [
        {"line": number, "text": text, "gold": gold, "label": label, "score": score, "scores": {"negative": 0.5, "positive": 0.5}}
        for number, (text, gold, label, score) in enumerate(TEXTS, 2)
    ]


def write_run(folder: Path, stages: list[dict[str, Any]], *, predicted: list[dict[str, Any]] | None = None, comparison: Any = None) -> Path:
    """Write a folder such as `bertsmith run` leaves."""
    folder.mkdir(parents=True, exist_ok=True)
    result = {"folder": None, "seed": 1, "stages": stages, "plan": [], "notes": []}
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    (folder / "recipe.toml").write_text('seed = 1\n\n[[stage]]\nname = "match"\n', encoding="utf-8")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines(stages)), encoding="utf-8")
    if predicted is not None:
        place = folder / "stages" / stages[-1]["name"]
        place.mkdir(parents=True)
        (place / "predictions.jsonl").write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in predicted), encoding="utf-8")
    if comparison is not None:
        (folder / "comparison.json").write_text(json.dumps(comparison, ensure_ascii=False), encoding="utf-8")
    return folder


def scores(*values: float) -> dict[str, Any]:
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1)) if len(values) > 1 else None
    return {"values": list(values), "mean": mean, "deviation": deviation}


def comparison() -> dict[str, Any]:
    """What `comparison.json` holds."""
    difference = {"title": "adapted − plain", "difference": 0.013, "low": -0.01, "high": 0.037, "p_value": 0.31, "verdict": "inside the noise"}
    return {
        "title": "What raw text is worth",
        "about": "Three trainings each.",
        "verdict": "Adapting to raw text changed accuracy by +1.3 points, which is inside the noise.",
        "command": "bertsmith demo --out again",
        "metric": "accuracy",
        "subsets": [{"name": "all", "title": "all", "examples": 200}, {"name": "zh", "title": "Chinese", "examples": 134}],
        "systems": [
            {"title": "Always “negative”", "about": "no training", "stages": [], "scores": {"all": scores(0.5), "zh": scores(0.5)}},
            {
                "title": "Fine-tuned",
                "about": "from the built-in model",
                "stages": ["plain-1", "plain-2", "plain-3"],
                "scores": {"all": scores(0.81, 0.825, 0.835), "zh": scores(0.85, 0.86, 0.87)},
            },
            {
                "title": "Adapted, then fine-tuned",
                "about": "the built-in model saw raw reviews first",
                "stages": ["adapted-1", "adapted-2", "adapted-3"],
                "scores": {"all": scores(0.83, 0.835, 0.845), "zh": scores(0.86, 0.87, 0.88)},
            },
        ],
        "differences": [{**difference, "subset": "all"}, {**difference, "subset": "Chinese"}],
        "steps": [
            {"name": "adapt to raw text", "seconds": 48.2},
            {"name": "fine-tune, 3 seeds", "seconds": 33.0},
            {"name": "predict", "seconds": 0.4},
        ],
        "predictions": [
            {"text": "房间干净，下次还来。", "label": "positive", "score": 0.97},
            {"text": "東西太貴。", "label": "negative", "score": 0.88},
        ],
    }


@pytest.fixture
def plain_run(tmp_path: Path) -> Path:
    """A run of two stages: adapt, then fine-tune."""
    return write_run(tmp_path / "reviews", [pretraining("adapt"), stage("match", "stage:adapt")], predicted=predictions())


@pytest.fixture
def compared_run(tmp_path: Path) -> Path:
    """A run of seven stages, with a comparison."""
    names = [f"{kind}-{seed}" for kind in ("plain", "adapted") for seed in (1, 2, 3)]
    stages = [pretraining("adapt"), *(stage(name, "builtin:mini-zh" if name.startswith("plain") else "stage:adapt") for name in names)]
    return write_run(tmp_path / "demo", stages, predicted=predictions(), comparison=comparison())
