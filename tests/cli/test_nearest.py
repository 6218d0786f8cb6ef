"""`bertsmith embed --nearest`: every text finds what is most like it."""

from pathlib import Path

import numpy as np
import pytest

from bertsmith.inference import engine, neighbours
from tests.cli.conftest import Cli, Ran

CORPUS = ["很好", "不好", "服务真差", "how old are you", "good movie", "不好", "bad movie?"]
QUERIES = ["不好", "a good movie"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    file = tmp_path / "corpus.txt"
    file.write_text("\n".join(CORPUS) + "\n", encoding="utf-8")
    return file


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    file = tmp_path / "queries.txt"
    file.write_text("\n".join(QUERIES) + "\n", encoding="utf-8")
    return file


def embed(cli: Cli, models: Path, *arguments: object, stdin: str = "") -> Ran:
    return cli("embed", models / "bare", "--precision", "float32", *arguments, stdin=stdin)


def by_hand(cli: Cli, model: Path, queries: Path, corpus: Path, pooling: str) -> np.ndarray:
    first, second = (
        np.array([line["vector"] for line in cli("embed", model, file, "--precision", "float32", "--pooling", pooling).lines])
        for file in (queries, corpus)
    )
    return first @ second.T


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_neighbours_come_with_line_text_and_cosine(cli: Cli, models: Path, queries: Path, corpus: Path, pooling: str):
    ran = embed(cli, models, queries, "--nearest", corpus, "--top", 3, "--pooling", pooling)
    assert ran.status == 0, ran.err
    assert [(line["line"], line["text"]) for line in ran.lines] == [(1, QUERIES[0]), (2, QUERIES[1])]
    scores = by_hand(cli, models / "bare", queries, corpus, pooling)
    for line, row in zip(ran.lines, scores, strict=True):
        assert len(line["neighbours"]) == 3
        for near, score in zip(line["neighbours"], sorted(row, reverse=True), strict=False):
            assert near["text"] == CORPUS[near["line"] - 1]
            assert near["score"] == pytest.approx(score, abs=2e-5)
            assert near["score"] == pytest.approx(row[near["line"] - 1], abs=2e-5)
    first, second, _ = ran.lines[0]["neighbours"]
    assert [first["line"], second["line"]] == [2, 6], "the same text twice: in the order of the lines"
    assert first["score"] == second["score"] == 1


def test_five_where_nothing_is_said_and_never_more_than_there_are(cli: Cli, models: Path, queries: Path, corpus: Path):
    assert [len(line["neighbours"]) for line in embed(cli, models, queries, "--nearest", corpus).lines] == [5, 5]
    assert [len(line["neighbours"]) for line in embed(cli, models, queries, "--nearest", corpus, "--top", 99).lines] == [7, 7]


def test_vectors_that_were_saved_need_not_be_made_again(cli: Cli, models: Path, queries: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch):
    saved = corpus.with_suffix(".npy")
    expected = embed(cli, models, queries, "--nearest", corpus).lines
    assert embed(cli, models, corpus, "--output", saved, "--raw").status == 0
    read: list[int] = []
    rows_of = engine.Engine.rows_of
    monkeypatch.setattr(engine.Engine, "rows_of", lambda self, texts, *rest: read.append(len(texts)) or rows_of(self, texts, *rest))
    found = embed(cli, models, queries, "--nearest", corpus, "--vectors", saved).lines
    assert read == [2], "the queries alone"
    for line, wanted in zip(found, expected, strict=True):
        assert [near["line"] for near in line["neighbours"]] == [near["line"] for near in wanted["neighbours"]]
        assert [near["score"] for near in line["neighbours"]] == pytest.approx([near["score"] for near in wanted["neighbours"]], abs=2e-6)


def test_chunks_and_blocks_change_nothing(cli: Cli, models: Path, queries: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch):
    expected = embed(cli, models, corpus, "--nearest", corpus).lines
    monkeypatch.setattr(neighbours, "BLOCK", 2)
    monkeypatch.setattr("bertsmith.inference.engine.CHUNK", 3)
    monkeypatch.setattr("bertsmith.cli.searching.CHUNK", 2)
    found = embed(cli, models, corpus, "--nearest", corpus).lines
    assert [line["text"] for line in found] == CORPUS
    for line, wanted in zip(found, expected, strict=True):
        assert [near["score"] for near in line["neighbours"]] == pytest.approx([near["score"] for near in wanted["neighbours"]], abs=2e-6)


def test_a_table_is_searched_by_a_column_and_its_id_is_repeated(cli: Cli, models: Path, tmp_path: Path):
    file = tmp_path / "faq.csv"
    file.write_text("id,frage,antwort\n17,很好,a\n18,不好,b\n", encoding="utf-8")
    ran = embed(cli, models, "-", "--nearest", file, "--corpus-column", "text=frage", "--top", 1, stdin="不好\n")
    assert ran.lines == [{"line": 1, "text": "不好", "neighbours": [{"line": 3, "id": "18", "text": "不好", "score": 1.0}]}]
    assert embed(cli, models, "-", "--nearest", file, stdin="不好\n").status == 2


def test_neighbours_go_to_a_file(cli: Cli, models: Path, queries: Path, corpus: Path, tmp_path: Path):
    output = tmp_path / "found.jsonl"
    ran = embed(cli, models, queries, "--nearest", corpus, "--output", output)
    assert (ran.status, ran.out) == (0, "")
    assert len(output.read_text(encoding="utf-8").splitlines()) == 2


def test_bad_lines_of_either_side_are_listed_and_the_others_done(cli: Cli, models: Path, tmp_path: Path):
    first, second = tmp_path / "queries.jsonl", tmp_path / "corpus.jsonl"
    first.write_text('{"text": "很好"}\n{"text": ""}\n', encoding="utf-8")
    second.write_text('{"text": "不好"}\n{\n{"text": "很好"}\n', encoding="utf-8")
    ran = embed(cli, models, first, "--nearest", second, "--top", 1)
    assert ran.status == 2
    assert [line["neighbours"][0]["line"] for line in ran.lines] == [3]
    assert "2 of 5 rows could not be read; the other 3 were done" in ran.err
    assert "queries.jsonl:2: text is empty" in ran.err
    assert "corpus.jsonl:2: not JSON" in ran.err


@pytest.mark.parametrize("saved", [False, True])
def test_a_corpus_that_is_mostly_bad_is_not_searched(
    cli: Cli, models: Path, queries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: bool
):
    monkeypatch.setattr("bertsmith.cli.predicting.MANY_PROBLEMS", 3)
    corpus, vectors = tmp_path / "corpus.jsonl", tmp_path / "vectors.npy"
    corpus.write_text('{"text": "不好"}\n{\n{\n{\n{"text": "很好"}\n', encoding="utf-8")
    np.save(vectors, np.ones((1, 24), np.float32))
    ran = embed(cli, models, queries, "--nearest", corpus, *(("--vectors", vectors) if saved else ()))
    assert (ran.status, ran.out) == (2, "")
    assert "3 of 4 rows could not be read; the other 1 was done; so many are bad that what follows was not read" in ran.err


def test_bad_lines_of_the_corpus_are_not_held_against_the_queries(cli: Cli, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bertsmith.cli.predicting.MANY_PROBLEMS", 3)
    first, second = tmp_path / "queries.jsonl", tmp_path / "corpus.jsonl"
    first.write_text('{"text": ""}\n{"text": "很好"}\n', encoding="utf-8")
    second.write_text('{"text": "不好"}\n' * 5 + '{"text": ""}\n' * 3, encoding="utf-8")
    ran = embed(cli, models, first, "--nearest", second, "--top", 1)
    assert [line["line"] for line in ran.lines] == [2]
    assert "4 of 10 rows could not be read; the other 6 were done" in ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["QUERIES", "--top", 3], "--top: for neighbours alone; say among which texts with --nearest CORPUS"),
        (["QUERIES", "--vectors", "a.npy", "--top", 2], "--top and --vectors: for neighbours alone"),
        (["QUERIES", "--nearest", "CORPUS", "--raw"], "--raw and --normalise are for vectors"),
        (["-", "--nearest", "-"], "INPUT and CORPUS are both standard input"),
        (["QUERIES", "--nearest", "nope.txt"], "there is no file nope.txt"),
        (["QUERIES", "--nearest", "CORPUS", "--top", 0], "Invalid value for '--top'"),
        (["QUERIES", "--nearest", "CORPUS", "--output", "CORPUS"], "is the input itself; name another file"),
        (["QUERIES", "--nearest", "CORPUS", "--vectors", "nope.npy"], "cannot read vectors from nope.npy: No such file"),
        (["QUERIES", "--nearest", "CORPUS", "--vectors", "QUERIES"], "is damaged, or is not an .npy file with a row of numbers for every text"),
        (["QUERIES", "--nearest", "CORPUS", "--vectors", "SPOILT"], "row 1 of the corpus, counted from 0, is of length nan"),
        (["QUERIES", "--nearest", "CORPUS", "--vectors", "FEW"], "has 2 vectors and"),
        (["QUERIES", "--nearest", "CORPUS", "--vectors", "NARROW"], "vectors of 16 numbers cannot be compared with vectors of 3"),
        (["QUERIES", "--nearest", "CORPUS", "--vectors", "LABELS"], "does not hold vectors"),
    ],
)
def test_mistakes(cli: Cli, models: Path, queries: Path, corpus: Path, tmp_path: Path, arguments: list[object], message: str):
    arrays = {"FEW": np.ones((2, 16), np.float32), "NARROW": np.ones((7, 3), np.float32), "LABELS": np.arange(7)}
    arrays["SPOILT"] = np.where(np.arange(7)[:, None] == 1, np.nan, np.ones((7, 16))).astype(np.float32)
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    places: dict[object, object] = {"QUERIES": queries, "CORPUS": corpus, **{name: tmp_path / f"{name}.npy" for name in arrays}}
    ran = embed(cli, models, *(places.get(argument, argument) for argument in arguments))
    assert (ran.status, ran.out) == (2, "")
    assert message in ran.err
