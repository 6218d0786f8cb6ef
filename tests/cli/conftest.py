"""Tiny models with random weights, and the command line in this process."""

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bertsmith.cli.main import run
from bertsmith.models import Checkpoint, create, save
from bertsmith.text.tokenizer import Tokenizer

VOCABULARY = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *"使用语言模型来预测下一个词的概率很好不服务差真，。？！",
    *"abcdefghijklmnopqrstuvwxyz0123456789?.!,",
    *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz0123456789"),
    *("how", "old", "are", "you", "good", "bad", "movie", "the", "zebra", "##fish"),
]
CONFIG = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 64}


@dataclass(frozen=True)
class Ran:
    """What a command line gave."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def json(self) -> Any:
        [line] = self.lines
        return line


Cli = Callable[..., Ran]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    def call(*arguments: object, stdin: str | bytes = b"") -> Ran:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
        capsys.readouterr()
        status = run([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        return Ran(status, shown.out, shown.err)

    return call


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_tokens(VOCABULARY)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    """A folder of model folders: `pretrained`, `single`, `pair`, `regression`, `multi_label`, `bare`, and `foreign`, which has no bertsmith.json."""
    folder = tmp_path_factory.mktemp("models")

    def made(heads: dict[str, int]) -> Checkpoint:
        return create("bert", tokenizer, {**CONFIG, "initializer_range": 0.5}, heads, seed=3)

    def fine_tuned(name: str, labels: tuple[str, ...], problem: str) -> Checkpoint:
        task = {"name": name, "labels": list(labels), "max_length": 32, "problem_type": problem}
        return replace(made({"classification": len(labels)}), labels=labels, task=task)

    save(made({"mlm": 0}), folder / "pretrained")
    save(made({}), folder / "bare")
    save(fine_tuned("single", ("差", "好"), "single_label_classification"), folder / "single")
    save(fine_tuned("pair", ("no", "yes"), "single_label_classification"), folder / "pair")
    save(fine_tuned("multi_label", ("fast", "cheap"), "multi_label_classification"), folder / "multi_label")
    save(fine_tuned("regression", ("score",), "regression"), folder / "regression")
    save(replace(fine_tuned("single", ("bad", "good"), "single_label_classification"), task={}), folder / "foreign")
    return folder
