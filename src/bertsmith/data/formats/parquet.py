"""Parquet files and data sets of the Hub."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import parse_qsl

from bertsmith.core.errors import DataError
from bertsmith.data.dataset import Problem
from bertsmith.data.formats.base import Reading, Row, formats
from bertsmith.data.sources import HUB, Source

BATCH_ROWS = 1024


class Parquet:
    """A Parquet file; the line of a row is its number, from 1."""

    suffixes = (".parquet",)

    def rows(self, source: Source, reading: Reading) -> Iterator[Row | Problem]:
        """The rows, by batches, so that the file is never in memory as a whole.

        Raises:
            DataError: It is not a Parquet file, or a damaged one.
        """
        del reading
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile

        number = 0
        with source.open() as file:
            try:
                for batch in ParquetFile(file).iter_batches(BATCH_ROWS):
                    for values in batch.to_pylist():
                        number += 1
                        yield Row(number, values)
            except (ArrowException, OSError) as error:
                raise DataError(f"{source.name} cannot be read as Parquet: {error}") from error


class Hub:
    """A data set of the Hub: `hub:owner/name?split=train&config=zh`; the split is `train` if none is named."""

    suffixes = ()

    def rows(self, source: Source, reading: Reading) -> Iterator[Row | Problem]:
        """The rows of one split; numbers of classes, lists of them too, become their names, and -1 becomes no label.

        Raises:
            DataError: The data set, its configuration or its split does not exist, or cannot be reached and is not in the local cache.
        """
        del reading
        data, classes = _load(source.name)
        for number, values in enumerate(data, 1):
            yield Row(number, {name: _class_name(value, classes.get(name)) for name, value in values.items()})


def _load(name: str) -> tuple[Any, dict[str, list[str]]]:
    import datasets
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    path, _, query = name.removeprefix(HUB).partition("?")
    options = dict(parse_qsl(query))
    unknown = sorted(set(options) - {"split", "config", "revision"})
    if unknown:
        raise DataError(f"{name}: unknown option {', '.join(unknown)}; known: config, revision, split")
    try:
        data = datasets.load_dataset(path, name=options.get("config"), split=options.get("split", "train"), revision=options.get("revision"))
    except (OSError, ValueError, HfHubHTTPError, OfflineModeIsEnabled, DatasetsError) as error:
        raise DataError(
            f"{name} cannot be loaded: {error}. Without a network only data sets in the local cache can be read; "
            "download the file elsewhere and name it by its path"
        ) from error
    kinds = {column: getattr(kind, "feature", kind) for column, kind in data.features.items()}  # of a list, what it is a list of
    return data, {column: kind.names for column, kind in kinds.items() if isinstance(kind, datasets.ClassLabel)}


def _class_name(value: Any, names: list[str] | None) -> Any:
    if names is None:
        return value
    if isinstance(value, list):
        return [_class_name(one, names) for one in cast("list[Any]", value)]
    if not isinstance(value, int):
        return value
    return names[value] if value >= 0 else None


formats.register("parquet")(Parquet())
formats.register("hub")(Hub())
