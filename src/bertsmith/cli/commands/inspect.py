"""`bertsmith inspect`: what a text becomes before and inside a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bertsmith.cli.options import AsJson, Model, TaskName
from bertsmith.core.errors import RecipeError

EXAMPLE = """\
  bertsmith inspect builtin:mini-zh 使用语言模型来预测下一个词 --masks 5
  bertsmith inspect MODEL "How old are you?" "I am six." --html pair.html
  bertsmith inspect MODEL "some text" --embedding layer:4 --output layer4.npy
  bertsmith inspect MODEL CONTEXT QUESTION --choice 饭店 --choice 邮局"""


def inspect(
    model: Model,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to look at; a [MASK] in it is filled.")],
    text_pair: Annotated[str | None, typer.Argument(metavar="TEXT_PAIR", help="The second text of a pair, or the question about a context.")] = None,
    *,
    choice: Annotated[
        list[str] | None, typer.Option("--choice", metavar="TEXT", help="A choice of the question, for models of multiple choice. Once for each.")
    ] = None,
    masks: Annotated[int, typer.Option("--masks", metavar="N", min=0, help="Draw masks as in pre-training, N times.")] = 0,
    unit: Annotated[Literal["token", "word", "ngram"], typer.Option("--unit", help="What is masked together.")] = "word",
    segmenter: Annotated[
        str, typer.Option("--segmenter", metavar="NAME", help="Where Chinese words come from: jieba, spaces or characters.")
    ] = "jieba",
    embeddings: Annotated[bool, typer.Option("--embeddings", help="Show the lengths of the three embeddings and of their sum.")] = False,
    attention: Annotated[bool, typer.Option("--attention", help="Show which tokens each token looks at.")] = False,
    layer: Annotated[int | None, typer.Option("--layer", metavar="N", help="Attention of this layer, from 1; the last by default.")] = None,
    head: Annotated[int | None, typer.Option("--head", metavar="N", help="Attention of this head, from 1; the mean of all by default.")] = None,
    embedding: Annotated[
        str | None,
        typer.Option("--embedding", metavar="WHICH", help="Pull out vectors: token, position, segment, sum, or layer:N (layer:0 is the normed sum)."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE.npy", help="Where the vectors go; JSON lines on standard output without it.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write all of it as one page.")] = None,
    task: TaskName = None,
    as_json: AsJson = False,
) -> None:
    """Show what a text becomes before and inside a model.

    Tokens with their three ids and the words they are pieces of; embeddings, attention and masks on request; and what the model says of the text.
    """
    from bertsmith.cli.opening import opened_to_look
    from bertsmith.cli.output import emit, say, writable
    from bertsmith.cli.terminal import text_console
    from bertsmith.inspecting import inspect as look
    from bertsmith.inspecting.page import page
    from bertsmith.inspecting.terminal import view
    from bertsmith.inspecting.vectors import attention_of

    _check((text, text_pair or "", *(choice or ())), embedding, output)
    checkpoint, found_task = opened_to_look(model, task)
    found = look(checkpoint, text, text_pair, choices=choice or (), name=model, task=found_task, masks=masks, unit=unit, segmenter=segmenter)
    attention = attention or layer is not None or head is not None
    weights = attention_of(found.trace, layer, head)
    if html is not None:
        writable(str(html)).write_text(page(found), encoding="utf-8")
        say(f"written: {html}")
    if embedding is not None:
        _pull(found, embedding, output)
    elif as_json:
        emit({**found.as_json(), **({"attention": weights.tolist()} if attention else {})})
    elif html is None:
        console = text_console()
        for part in view(found, embeddings=embeddings, attention=weights if attention else None, title=_title(layer, head, found)):
            console.print(part)


def _check(texts: Sequence[str], embedding: str | None, output: Path | None) -> None:
    from bertsmith.cli.vectors import check_array_file

    if output is not None:
        if embedding is None:
            raise RecipeError("--output is for vectors; say which with --embedding, for instance --embedding sum")
        check_array_file(output)
    for part in texts:
        try:
            part.encode()
        except UnicodeEncodeError as error:
            raise RecipeError("the text is not UTF-8; set the terminal to UTF-8") from error


def _pull(found: Any, name: str, output: Path | None) -> None:
    from bertsmith.cli.output import emit, say
    from bertsmith.cli.vectors import write_array
    from bertsmith.inspecting.vectors import pull

    vectors = pull(found.trace, name)
    if output is not None:
        write_array(output, vectors, vectors.shape[1])
        say(f"written: {output}, {vectors.shape[0]} tokens × {vectors.shape[1]}")
        return
    for column, vector in zip(found.tokens.columns, vectors.tolist(), strict=True):
        emit({"position": column.position, "token": column.token, "vector": vector})


def _title(layer: int | None, head: int | None, found: Any) -> str:
    of = ", in the choice that is chosen" if found.choices else ""
    return f"attention of {f'layer {layer}' if layer else 'the last layer'}, {f'head {head}' if head else 'mean of all heads'}{of}"
