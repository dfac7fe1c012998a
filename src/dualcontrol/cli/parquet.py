"""Parquet as rows; the one file of the command line that needs pyarrow, loaded by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as parquet
from pyarrow import ArrowException

from dualcontrol.cli.reading import usage


def rows_of(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row number from 1, row) of a file; null stays None."""
    try:
        table = parquet.read_table(path)
    except (OSError, ArrowException) as error:
        raise usage(f"{path} cannot be read: {error}") from error
    yield from enumerate(table.to_pylist(), 1)
