"""`bertsmith predict` and `bertsmith embed`: every format in, JSON lines out, nothing lost."""

import itertools
import json
import os
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bertsmith.checkpoint.vectors import VectorSettings
from bertsmith.cli.inputs import input_sources
from bertsmith.cli.predicting import Account, predicted
from bertsmith.cli.vectors import write_array
from bertsmith.core.progress import Silence
from bertsmith.core.types import Example
from bertsmith.data import readers
from bertsmith.data.dataset import Problem
from bertsmith.data.readers import stream
from bertsmith.models import load, save
from tests.cli.conftest import Cli

TEXTS = ["很好", "不好", "服务真差"]


def test_every_row_gives_a_line_with_its_number_and_text(cli: Cli, models: Path, tmp_path: Path):
    file = tmp_path / "new.txt"
    file.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    ran = cli("predict", models / "single", file)
    assert (ran.status, ran.err) == (0, "")
    assert [line["line"] for line in ran.lines] == [1, 2, 3]
    assert all("file" not in line for line in ran.lines), "there is only one"
    assert [line["text"] for line in ran.lines] == TEXTS
    assert all(line["label"] == max(line["scores"], key=line["scores"].get) for line in ran.lines)


def test_predictions_are_the_models(cli: Cli, models: Path):
    checkpoint = load(str(models / "single"))
    encoding = checkpoint.tokenizer.encode("服务真差")
    ids = torch.from_numpy(encoding.input_ids.astype(np.int64))[None]
    from bertsmith.core.types import Batch

    with torch.inference_mode():
        batch = Batch(ids, torch.ones_like(ids), torch.zeros_like(ids))
        expected = checkpoint.model.heads["classification"](checkpoint.model(batch)).softmax(1)[0]
    found = cli("predict", models / "single", "--text", "服务真差").json
    assert found["scores"] == pytest.approx(dict(zip(("差", "好"), expected.tolist(), strict=True)), abs=2e-4)
    assert "line" not in found


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "label\ttext_a\n1\t很好\n0\t不好\n"),
        ("a.csv", "text,id\n很好,x\n不好,y\n"),
        ("a.jsonl", '{"sentence": "很好", "id": 7}\n{"sentence": "不好", "id": 8}\n'),
        ("a.json", '[{"text": "很好"}, {"text": "不好"}]'),
    ],
)
def test_any_format_goes_in(cli: Cli, models: Path, tmp_path: Path, name: str, content: str):
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    ran = cli("predict", models / "single", file)
    assert (ran.status, ran.err) == (0, "")
    assert [line["text"] for line in ran.lines] == ["很好", "不好"]
    assert [line.get("id") for line in ran.lines] == {"a.csv": ["x", "y"], "a.jsonl": [7, 8]}.get(name, [None, None])


@pytest.mark.parametrize("stdin", ["很好\n不好\n", '{"text": "很好"}\n{"text": "不好"}\n', "text\tid\n很好\t1\n不好\t2\n"])
def test_standard_input_is_recognised(cli: Cli, models: Path, stdin: str):
    ran = cli("predict", models / "single", "-", stdin=stdin)
    assert (ran.status, ran.err) == (0, "")
    assert [line["text"] for line in ran.lines] == ["很好", "不好"]


def test_pairs(cli: Cli, models: Path, tmp_path: Path):
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"sentence1": "很好", "sentence2": "真好", "id": 1}\n', encoding="utf-8")
    found = cli("predict", models / "pair", file).json
    assert (found["text"], found["text_pair"], found["id"]) == ("很好", "真好", 1)
    same = cli("predict", models / "pair", "--text", "很好", "--text-pair", "真好").json
    assert same["scores"] == pytest.approx(found["scores"], abs=1e-4)
    swapped = cli("predict", models / "pair", file, "--column", "text=sentence2", "--column", "text_pair=sentence1").json
    assert (swapped["text"], swapped["text_pair"]) == ("真好", "很好")


def test_bad_lines_are_listed_and_the_good_ones_are_written(cli: Cli, models: Path, tmp_path: Path):
    file, output = tmp_path / "new.jsonl", tmp_path / "out.jsonl"
    lines = [
        b'{"text": "\xe5\xbe\x88"}',
        b'{"text": ""}',
        b"not json",
        b'{"text": 7}',
        b'{"other": "x"}',
        b'{"text": "\xff"}',
        b'{"text": "\xe5\xa5\xbd"}',
    ]
    file.write_bytes(b"\n".join(lines))
    ran = cli("predict", models / "single", file, "--output", output)
    assert (ran.status, ran.out) == (2, "")
    written = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [(line["line"], line["text"]) for line in written] == [(1, "很"), (7, "好")]
    assert "error: 5 of 7 rows could not be read; the other 2 were done" in ran.err
    for number, reason in ((2, "text is empty"), (3, "not JSON"), (4, "not a string"), (5, "no column 'text'"), (6, "not UTF-8")):
        assert any(f"new.jsonl:{number}: " in line and reason in line for line in ran.err.splitlines())


def test_of_an_input_that_is_mostly_bad_the_good_rows_that_were_read_are_written(
    cli: Cli, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("bertsmith.cli.predicting.MANY_PROBLEMS", 3)
    file, output = tmp_path / "new.jsonl", tmp_path / "out.jsonl"
    good = '{"text": "很好"}\n'
    file.write_text(good + "{\n{\n" + good * 2 + "{\n{\n" + good, encoding="utf-8")
    ran = cli("predict", models / "single", file, "--output", output)
    assert ran.status == 2
    assert [json.loads(line)["line"] for line in output.read_text(encoding="utf-8").splitlines()] == [1, 4, 5]
    assert "error: 4 of 7 rows could not be read; the other 3 were done; so many are bad that what follows was not read\n" in ran.err
    file.write_text('{"text": 7}\n' * 9 + good, encoding="utf-8")
    assert "3 of 3 rows could not be read; nothing was done; so many are bad" in cli("predict", models / "single", file).err


@pytest.mark.parametrize(("name", "content"), [("a.json", "[]"), ("a.csv", "text,id\n")])
def test_an_input_without_rows_is_a_mistake(cli: Cli, models: Path, tmp_path: Path, name: str, content: str):
    (tmp_path / name).write_text(content, encoding="utf-8")
    for command in ("predict", "embed"):
        ran = cli(command, models / "single", tmp_path / name)
        assert (ran.status, ran.out, ran.err) == (2, "", "error: the input has no rows; there is nothing to do\n")


def test_a_long_text_tells_how_far_it_is(models: Path, monkeypatch: pytest.MonkeyPatch):
    """Of one row there is no other progress than that of its windows."""
    from bertsmith.inference.engine import Engine

    told: list[float] = []
    monkeypatch.setattr(Silence, "begin", lambda _self, what, total, unit: told.append(total) if what == "score" else None)
    monkeypatch.setattr(Silence, "advance", lambda _self, amount=1, **_numbers: told.append(amount))
    rows = [Example({"text": text}, "a.txt", number) for number, text in enumerate(TEXTS * 700)]
    assert len(list(predicted(Engine.open(models / "single"), rows, Account(), Silence()))) == 2100
    assert told[0] == 2100
    assert sum(told[1:]) >= 2 * 2100, "by sequence and by row"
    assert len(told) > 10


def test_a_row_of_a_pair_without_its_second_text_is_a_bad_line(cli: Cli, models: Path, tmp_path: Path):
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"text": "很好", "text_pair": "好"}\n{"text": "很好"}\n{"text": "不", "text_pair": "好"}\n', encoding="utf-8")
    ran = cli("predict", models / "pair", file)
    assert ran.status == 2
    assert [line["line"] for line in ran.lines] == [1, 3]
    assert "pairs.jsonl:2: no column 'text_pair'" in ran.err


def test_what_training_would_refuse_is_not_predicted(cli: Cli, models: Path):
    ran = cli("predict", models / "single", "-", stdin='{"text": "\\ud83d 好"}\n{"text": "\\u0000"}\n{"text": "好"}\n')
    assert (ran.status, [line["line"] for line in ran.lines]) == (2, [3])
    assert "standard input:1: text holds half a surrogate pair" in ran.err
    assert "standard input:2: text holds a NUL character" in ran.err
    assert "--text holds half a surrogate pair" in cli("predict", models / "single", "--text", "\ud83d").err
    assert "error: --text is not UTF-8; set the terminal to UTF-8\n" in cli("predict", models / "single", "--text", "caf\udce9").err


def test_an_id_that_is_not_utf_8_is_written_as_it_came(cli: Cli, models: Path, tmp_path: Path):
    output = tmp_path / "out.jsonl"
    assert cli("predict", models / "single", "-", "--output", output, stdin='{"text": "好", "id": "\\ud83d"}\n').status == 0
    assert json.loads(output.read_text(encoding="utf-8"))["id"] == "\ud83d"


class Endless:
    """Says how far it has been read."""

    def __init__(self) -> None:
        self.read = 0

    def __iter__(self) -> "Endless":
        return self

    def __next__(self) -> Example:
        self.read += 1
        return Example({"text": "很好"}, "endless", self.read)


def test_the_first_results_come_before_the_input_has_ended(models: Path):
    from bertsmith.inference.engine import Engine

    rows = Endless()
    results = predicted(Engine.open(models / "single"), rows, Account(), Silence())
    assert [example.line for example, _ in itertools.islice(results, 3)] == [1, 2, 3]
    assert rows.read < 20_000


def test_rows_are_read_as_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(readers, "SAMPLE", 2)
    file = tmp_path / "a.txt"
    file.write_text("很好\n不好\n真好\n", encoding="utf-8")
    rows = stream(input_sources(str(file)))
    first = next(rows)
    assert isinstance(first, Example)
    assert first["text"] == "很好"
    assert [row["text"] for row in rows if isinstance(row, Example)] == ["不好", "真好"]


def test_several_files_of_a_pattern(cli: Cli, models: Path, tmp_path: Path):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text("很好\n", encoding="utf-8")
    lines = cli("predict", models / "single", tmp_path / "*.txt").lines
    assert [(Path(line["file"]).name, line["line"]) for line in lines] == [("a.txt", 1), ("b.txt", 1)]


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        ("single", ["nope.txt"], "there is no file nope.txt"),
        ("single", ["--column", "text=txet", "DATA"], "no column 'txet' for text (did you mean 'text'?)"),
        ("single", ["--column", "txet=text", "DATA"], "unknown name 'txet' (did you mean 'text'?); known: text, text_pair, label, document"),
        ("single", ["--column", "other=text", "DATA"], "no column is known to be text; columns there are: text. Name it: --column text=…"),
        ("single", ["--column", "text", "DATA"], "--column takes NAME=COLUMN"),
        ("single", ["--format", "tvs", "DATA"], "unknown format 'tvs' (did you mean 'tsv'?)"),
        ("single", ["--precision", "float8", "DATA"], "float8"),
        ("pair", ["DATA"], "text_pair"),
        ("pair", ["--text", "很好"], "give --text-pair"),
        ("single", [], "name an INPUT"),
        ("single", ["DATA", "--text", "很好"], "--text is in the place of an INPUT"),
        ("single", ["DATA", "--output", "/nowhere/out.jsonl"], "cannot write /nowhere/out.jsonl"),
        ("single", ["-"], "standard input is empty"),
        ("pretrained", ["DATA"], "was not fine-tuned for a task that is known here (trained heads: mlm)"),
        ("nowhere", ["DATA"], "no folder"),
        ("nowhere", ["nope.txt"], "there is no file nope.txt"),
        ("single", ["DATA", "--output", "DATA"], "is the input itself"),
        ("single", ["DATA", "--output", "DATA/out.jsonl"], "Not a directory"),
        ("single", ["DATA", "--output", "x" * 300], "File name too long"),
        ("single", ["--text", "很好", "--text-pair", "好"], "the task 'single' reads one text: leave --text-pair out"),
        ("pair", ["DATA", "--text-pair", "好"], "--text-pair is in the place of an INPUT"),
        ("single", ["--question", "好？", "--context", "好"], "the task 'single' reads one text: leave --question and --context out"),
    ],
)
def test_mistakes(cli: Cli, models: Path, tmp_path: Path, model: str, arguments: list[str], message: str):
    data = tmp_path / "data.jsonl"
    data.write_text('{"text": "很好"}\n', encoding="utf-8")
    ran = cli("predict", f"{models / model}", *(argument.replace("DATA", str(data)) for argument in arguments))
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert message in ran.err
    assert data.read_text(encoding="utf-8") == '{"text": "很好"}\n'


@pytest.mark.parametrize("content", ["a\tb\n1\t2\n", '{"other": "x"}\n'])
def test_an_output_stays_as_it_was_where_a_command_fails(cli: Cli, models: Path, tmp_path: Path, content: str):
    data, output = tmp_path / "data.txt", tmp_path / "out.jsonl"
    data.write_text(content, encoding="utf-8")
    output.write_text("precious", encoding="utf-8")
    assert cli("predict", models / "single", data, "--output", output, "--format", "jsonl", "--column", "text=x").status == 2
    assert output.read_text(encoding="utf-8") == "precious"
    assert {file.name for file in tmp_path.iterdir()} == {"data.txt", "out.jsonl"}


def test_an_output_may_be_a_link_or_a_pipe(cli: Cli, models: Path, tmp_path: Path):
    link, pipe = tmp_path / "link.jsonl", tmp_path / "pipe"
    link.symlink_to("real.jsonl")
    assert cli("predict", models / "single", "--text", "很好", "--output", link).status == 0
    assert link.is_symlink()
    assert json.loads((tmp_path / "real.jsonl").read_text(encoding="utf-8"))["text"] == "很好"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as reader:
        read = reader.submit(pipe.read_text, encoding="utf-8")
        assert cli("predict", models / "single", "--text", "很好", "--output", pipe).status == 0
    assert json.loads(read.result())["text"] == "很好"
    assert cli("predict", models / "single", "--text", "很好", "--output", "/dev/null").status == 0


def test_an_array_says_that_its_rows_are_not_lines(cli: Cli, models: Path, tmp_path: Path):
    data, output = tmp_path / "data.txt", tmp_path / "vectors.npy"
    data.write_text("\n很好\n\n不好\n", encoding="utf-8")
    ran = cli("embed", models / "bare", data, "--output", output)
    assert ran.status == 0
    assert ran.err.startswith(f"written: {output}, 2 vectors; 2 lines of the input have none (blank, unreadable, or a header)")


def test_an_output_that_cannot_be_written_is_found_out_before_the_work(cli: Cli, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = tmp_path / "data.txt"
    data.write_text("很好\n", encoding="utf-8")
    assert cli("embed", models / "bare", data, "--output", "vectors.txt").status == 2
    for output, reason in (("nowhere/v.npy", "No such file or directory"), ("data.txt/v.npy", "Not a directory")):
        for command in (["embed", "./no-model", data], ["inspect", "./no-model", "好", "--embedding", "sum"]):
            ran = cli(*command, "--output", tmp_path / output)
            assert (ran.status, ran.err) == (2, f"error: cannot write {tmp_path / output}: {reason}\n")
    assert cli("predict", models / "single", data, "--output", tmp_path).status == 2


def test_texts_that_lose_their_end_are_counted(cli: Cli, models: Path, tmp_path: Path):
    file = tmp_path / "new.txt"
    file.write_text(f"很好\n{'很' * 40}\n{'好' * 70}\n", encoding="utf-8")
    ran = cli("predict", models / "single", file)
    assert (ran.status, len(ran.lines)) == (0, 3)
    assert ran.err == "2 of 3 texts are longer than max_length = 32; the end was cut off\n"
    ran = cli("embed", models / "bare", file)
    assert (ran.status, len(ran.lines)) == (0, 3)
    assert ran.err == "1 of 3 texts is longer than max_length = 64; the end was cut off\n"


def test_data_of_the_package_goes_in_by_its_name(cli: Cli, models: Path):
    ran = cli("embed", models / "bare", "builtin:reviews/test.tsv")
    assert ran.status == 0, ran.err
    assert "file" not in ran.lines[0]
    assert ran.lines[0]["text"]
    ran = cli("predict", models / "single", "builtin:reviews/tset.tsv")
    assert (ran.status, ran.err) == (2, "error: there is no file builtin:reviews/tset.tsv (did you mean 'test.tsv'?)\n")


def test_embeddings_as_lines_and_as_an_array(cli: Cli, models: Path, tmp_path: Path):
    data, output = tmp_path / "data.txt", tmp_path / "vectors.npy"
    data.write_text("\n".join(TEXTS), encoding="utf-8")
    ran = cli("embed", models / "bare", data, "--output", output)
    assert (ran.status, ran.out, ran.err) == (0, "", f"written: {output}, 3 vectors\n")
    saved = np.load(output)
    assert (saved.shape, saved.dtype) == ((3, 16), np.float32)
    lines = cli("embed", models / "bare", data).lines
    assert [line["text"] for line in lines] == TEXTS
    np.testing.assert_allclose([line["vector"] for line in lines], saved, atol=1e-5)
    first = cli("embed", models / "bare", data, "--pooling", "cls").lines
    assert not np.allclose([line["vector"] for line in first], saved)


def test_vectors_are_written_as_they_come(tmp_path: Path):
    """None is kept: a corpus may be larger than memory. What is interrupted leaves nothing behind."""
    file, alive = tmp_path / "vectors.npy", list[weakref.ref[np.ndarray]]()

    def vectors(count: int) -> Iterator[np.ndarray]:
        for number in range(count):
            vector = np.full(5, number, np.float32)
            alive.append(weakref.ref(vector))
            assert sum(one() is not None for one in alive) <= 2
            yield vector
        if count == 7:
            raise KeyboardInterrupt

    for count in (1, 300):
        assert write_array(file, vectors(count), 5) == count
        assert np.array_equal(np.load(file), np.repeat(np.arange(count), 5).reshape(-1, 5))
        alive.clear()
    with pytest.raises(KeyboardInterrupt):
        write_array(file, vectors(7), 5)
    assert [one.name for one in tmp_path.iterdir()] == ["vectors.npy"]
    assert len(np.load(file)) == 300, "as it was"


def test_the_length_that_a_folder_names_is_what_texts_are_cut_to(cli: Cli, models: Path, tmp_path: Path):
    checkpoint = replace(load(str(models / "bare"), heads={}), vectors=VectorSettings(max_length=9))
    save(checkpoint, tmp_path / "short")
    ran = cli("embed", tmp_path / "short", "-", stdin=f"{'很' * 40}\n")
    assert ran.err == "1 of 1 texts is longer than max_length = 9; the end was cut off\n"


def test_vectors_are_the_means_of_the_last_states(cli: Cli, models: Path):
    states = cli("inspect", models / "bare", "服务真差", "--embedding", "layer:2").lines
    mean = np.mean([state["vector"] for state in states], axis=0)
    [raw] = cli("embed", models / "bare", "-", "--raw", stdin="服务真差\n").lines
    np.testing.assert_allclose(raw["vector"], mean, atol=1e-4)
    [scaled] = cli("embed", models / "bare", "-", stdin="服务真差\n").lines
    np.testing.assert_allclose(scaled["vector"], mean / np.linalg.norm(mean), atol=1e-4)


def test_problems_are_not_examples(tmp_path: Path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "很好"}\n{"text": " "}\n', encoding="utf-8")
    kinds = [type(row) for row in stream(input_sources(str(file)))]
    assert kinds == [Example, Problem]
