"""`bertsmith embed`: one vector a text."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from bertsmith.cli.options import Columns, Format, Input, Model, Precision, column_names

EXAMPLE = """\
  bertsmith embed builtin:mini-zh sentences.txt --output vectors.npy
  echo 你好 | bertsmith embed builtin:mini-zh - --pooling cls"""


def embed(
    model: Model,
    source: Input,
    *,
    pooling: Annotated[Literal["cls", "mean"], typer.Option("--pooling", help="The state of [CLS], or the mean of all tokens.")] = "mean",
    raw: Annotated[bool, typer.Option("--raw", help="Leave vectors as long as they are, instead of scaling them to length 1.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE.npy", help="Where the vectors go; JSON lines on standard output without it.")
    ] = None,
    columns: Columns = None,
    format_name: Format = None,
    precision: Precision = "auto",
) -> None:
    """Turn texts into vectors.

    The last layer's states become one vector a text, of length 1: a row of an .npy file, or a line of JSON. Lines that cannot be read do not stop
    the others and are listed at the end; the exit status is then 2.
    """
    from bertsmith.cli.inputs import input_sources
    from bertsmith.cli.output import say
    from bertsmith.cli.predicting import Account, embedded, lines_left_out, refuse_bad_lines, write_lines
    from bertsmith.cli.progress import terminal_progress
    from bertsmith.cli.truncation import say_truncated
    from bertsmith.cli.vectors import check_array_file, write_array
    from bertsmith.data.readers import stream
    from bertsmith.inference.engine import Engine
    from bertsmith.models import load

    if output is not None:
        check_array_file(output)
    sources = input_sources(source, output)
    engine = Engine(load(model, heads={}), precision=precision)
    rows = stream(sources, columns=column_names(columns), format=format_name, needed=["text"])
    account = Account()
    with terminal_progress(bars=output is not None or not sys.stdout.isatty()) as progress:
        vectors = embedded(engine, rows, account, progress, pooling=pooling, normalise=not raw)
        if output is None:
            count = write_lines(((example, {"vector": vector.tolist()}) for example, vector in vectors), source, sys.stdout)
        else:
            kept = list(vectors)
            count = len(kept)
            write_array(output, [vector for _, vector in kept])
            say(f"written: {output}, {count:,} vectors{lines_left_out(example for example, _ in kept)}")
    say_truncated(account.truncated, count, engine)
    refuse_bad_lines(account.problems, count)
