"""Make a trained model small enough to travel with the package: its weights in half precision.

    python recipes/mini-zh/package.py RUN src/bertsmith/builtin/models/mini-zh

RUN is a finished run of `recipes/mini-zh/pretrain.toml`. The weights lose what float16 cannot hold (one part in two thousand); `config.json` says
float32, so that everybody computes in it, and BERT's usual dropout, which pre-training did without and fine-tuning wants. The log of the training
goes along, for the record.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

LARGEST = 12 * 2**20
DROPOUT = 0.1
KEPT = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")


def main(run: Path, out: Path) -> None:
    """Copy the model in half precision, with the log beside it."""
    out.mkdir(parents=True, exist_ok=True)
    weights = load_file(run / "model" / "model.safetensors")
    save_file({name: weight.to(torch.float16) for name, weight in weights.items()}, out / "model.safetensors", metadata={"format": "pt"})
    for name in KEPT:
        if (run / "model" / name).is_file():
            shutil.copy(run / "model" / name, out / name)
    config = json.loads((run / "model" / "config.json").read_text(encoding="utf-8"))
    config |= dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), DROPOUT)
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    log = [line for line in lines if "valid" in line or line["step"] % 50 == 0]
    (out / "training.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log), encoding="utf-8")
    size = sum(file.stat().st_size for file in out.iterdir())
    if size > LARGEST:
        raise SystemExit(f"{size:,} bytes are more than the {LARGEST:,} that the package has room for")
    print(f"{out}: {size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
