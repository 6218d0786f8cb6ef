"""`bertsmith embed`: one vector a text, or the nearest texts of a corpus."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bertsmith.cli.options import Columns, Format, Input, Model, Precision, column_names
from bertsmith.core.errors import RecipeError

EXAMPLE = """\
  bertsmith embed builtin:mini-zh sentences.txt --output vectors.npy
  echo 你好 | bertsmith embed builtin:mini-zh - --pooling cls
  bertsmith embed MODEL questions.txt --nearest answers.txt --top 3"""

TOP = 5
"""Neighbours, where nobody says how many."""


def embed(
    model: Model,
    source: Input,
    *,
    pooling: Annotated[
        Literal["cls", "mean"] | None,
        typer.Option(
            "--pooling", help="The state of [CLS], or the mean of all tokens; where nothing is said, as the model's folder has it, or the mean."
        ),
    ] = None,
    raw: Annotated[
        bool | None,
        typer.Option("--raw/--normalise", help="Leave vectors as long as they are, or scale them to length 1; else as the folder has it, or to 1."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE.npy", help="Where the vectors go (or the neighbours, as JSON lines); else standard output."),
    ] = None,
    corpus: Annotated[
        str | None, typer.Option("--nearest", metavar="CORPUS", help="Give for every text the nearest of this file or pattern, instead of vectors.")
    ] = None,
    top: Annotated[int | None, typer.Option("--top", metavar="N", min=1, help=f"How many of them; {TOP} where nothing is said.")] = None,
    vectors: Annotated[
        Path | None, typer.Option("--vectors", metavar="FILE.npy", help="The vectors of CORPUS, written by an earlier --output of this model.")
    ] = None,
    columns: Columns = None,
    corpus_columns: Annotated[
        list[str] | None, typer.Option("--corpus-column", metavar="text=COLUMN", help="Which column of CORPUS is the text; recognised otherwise.")
    ] = None,
    format_name: Format = None,
    precision: Precision = "auto",
) -> None:
    """Turn texts into vectors, or find the nearest texts.

    The last layer's states become one vector a text: a row of an .npy file, or a line of JSON. With --nearest, every text gives a line of JSON with
    its neighbours, the nearest first, by the cosine of the vectors. Lines that cannot be read do not stop the others and are listed at the end; the
    exit status is then 2.
    """
    from bertsmith.cli.inputs import input_sources
    from bertsmith.cli.output import STANDARD, opened_output
    from bertsmith.cli.predicting import Account, embedded, refuse_bad_lines, write_lines
    from bertsmith.cli.progress import terminal_progress
    from bertsmith.cli.searching import Search
    from bertsmith.cli.truncation import say_truncated
    from bertsmith.cli.vectors import check_array_file
    from bertsmith.data.readers import stream
    from bertsmith.inference.engine import Engine
    from bertsmith.models import load

    _check(source, corpus, raw, {"--top": top, "--vectors": vectors, "--corpus-column": corpus_columns})
    if output is not None and corpus is None:
        check_array_file(output)
    sources, others = input_sources(source, output), input_sources(corpus, output) if corpus is not None else []
    engine, account = Engine(load(model, heads={}), precision=precision), Account()
    rows = stream(sources, columns=column_names(columns), format=format_name, needed=["text"])
    with terminal_progress(bars=output is not None or not sys.stdout.isatty()) as progress:
        if corpus is None:
            found = embedded(engine, rows, account, progress, pooling=pooling, normalise=None if raw is None else not raw)
            count = _write_vectors(found, source, output, engine.hidden_size)
        else:
            search = Search(engine, pooling, top or TOP, account, progress)
            texts = stream(others, columns=column_names(corpus_columns), needed=["text"])
            with opened_output(str(output or STANDARD)) as file, search.corpus(texts, corpus, vectors) as searched:
                count = write_lines(search.neighbours(rows, searched), source, file) + len(searched.lines)
    say_truncated(account.truncated, count, engine)
    refuse_bad_lines(account, count)


def _check(source: str, corpus: str | None, raw: bool | None, for_neighbours: Mapping[str, Any]) -> None:
    """Whether the options go together."""
    from bertsmith.cli.output import STANDARD

    if corpus is None and (stray := [name for name, value in for_neighbours.items() if value]):
        raise RecipeError(f"{' and '.join(stray)}: for neighbours alone; say among which texts with --nearest CORPUS")
    if corpus is not None and raw is not None:
        raise RecipeError("--raw and --normalise are for vectors; neighbours are told by the cosine, in which lengths do not count")
    if source == corpus == STANDARD:
        raise RecipeError("INPUT and CORPUS are both standard input, which can be read once; save one of them to a file")


def _write_vectors(found: Iterator[tuple[Any, Any]], source: str, output: Path | None, hidden: int) -> int:
    """Write vectors to a file, or as JSON lines; how many there were."""
    from bertsmith.cli.output import say
    from bertsmith.cli.predicting import lines_left_out, write_lines
    from bertsmith.cli.vectors import write_array
    from bertsmith.core.amounts import plural

    if output is None:
        return write_lines(((example, {"vector": vector.tolist()}) for example, vector in found), source, sys.stdout)
    last: dict[str, int] = {}

    def vectors() -> Iterator[Any]:
        for example, vector in found:
            last[example.file] = example.line
            yield vector

    count = write_array(output, vectors(), hidden)
    say(f"written: {output}, {plural(count, 'vector')}{lines_left_out(last, count)}")
    return count
