"""Lines without columns: a label and a text, or text alone."""

from __future__ import annotations

from collections.abc import Iterator

from bertsmith.data.dataset import Problem
from bertsmith.data.formats.base import Reading, Row, formats
from bertsmith.data.lines import read_lines
from bertsmith.data.sources import Source


class Labelled:
    """`label text`: the first token of a line is its label, as in the usual files of SST-2 and TREC."""

    suffixes = ()

    def rows(self, source: Source, reading: Reading) -> Iterator[Row | Problem]:
        """Rows of `label` and `text`; blank lines are skipped."""
        for line in read_lines(source, encoding=reading.encoding):
            if isinstance(line, Problem):
                yield line
                continue
            parts = line.text.split(maxsplit=1)
            if len(parts) == 1:
                yield Problem(source.name, line.number, f"no text after the label {parts[0]!r}")
            elif parts:
                yield Row(line.number, {"label": parts[0], "text": parts[1].rstrip()})


class Text:
    """One example a line. Lines of one document stand together; a blank line ends it."""

    suffixes = (".txt",)

    def rows(self, source: Source, reading: Reading) -> Iterator[Row | Problem]:
        """Rows of `text` and `document`, the number of the document within the file, from 0."""
        document, begun = 0, False
        for line in read_lines(source, encoding=reading.encoding):
            if isinstance(line, Problem):
                yield line
            elif text := line.text.strip():
                begun = True
                yield Row(line.number, {"text": text, "document": document})
            elif begun:
                document, begun = document + 1, False


formats.register("labelled")(Labelled())
formats.register("text")(Text())
