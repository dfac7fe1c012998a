"""Parquet, read and written; the one file that needs pyarrow, loaded by name."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
from pyarrow import ArrowException

from dualcontrol.case import JSON
from dualcontrol.errors import RequestError
from dualcontrol.learn.column_types import Type, as_text

BATCH = 8_192
SCALARS = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "text": pa.string(), "null": pa.string()}


def written(lines: Sequence[Mapping[str, JSON]], columns: Mapping[str, Type | None]) -> bytes:
    """Lines as a file whose columns have these types; one without a type, or of objects of nothing, is JSON text."""
    types = {name: None if of is None else _arrow(of) for name, of in columns.items()}
    schema = pa.schema([(name, of or pa.string()) for name, of in types.items()])
    out = io.BytesIO()
    with parquet.ParquetWriter(out, schema) as file:
        for start in range(0, len(lines), BATCH):
            part = [
                {name: as_text(line.get(name)) if of is None else line.get(name) for name, of in types.items()}
                for line in lines[start : start + BATCH]
            ]
            file.write_batch(pa.RecordBatch.from_pylist(part, schema=schema))
    return out.getvalue()


def _arrow(of: Type) -> pa.DataType | None:
    """Arrow's type; None where an object of nothing is inside, which Parquet cannot hold."""
    if of.item is not None:
        item = _arrow(of.item)
        return None if item is None else pa.list_(item)
    if of.name == "object":
        fields = {name: _arrow(one) for name, one in of.fields.items()}
        return pa.struct(list(fields.items())) if fields and None not in fields.values() else None
    return SCALARS[of.name]


def names_in(data: bytes, what: str) -> list[str]:
    """The columns of a file."""
    return list(_opened(data, what).schema_arrow.names)


def rows_of(data: bytes, what: str, names: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row number from 1, row) of a file with these columns only, whatever the others hold; null stays None."""
    try:
        table = _opened(data, what).read(columns=list(names))
        columns = [table.column(name) for name in names]
        # times as text, since not every one of Arrow's is one of Python's
        values = [(c.cast(pa.string()) if pa.types.is_temporal(c.type) else c).to_pylist() for c in columns]
    except (OSError, ArrowException) as error:
        raise _unreadable(what, error) from error
    for number, row in enumerate(zip(*values, strict=True), 1):
        yield number, dict(zip(names, row, strict=True))


def _opened(data: bytes, what: str) -> parquet.ParquetFile:
    try:
        return parquet.ParquetFile(io.BytesIO(data))
    except (OSError, ArrowException) as error:
        raise _unreadable(what, error) from error


def _unreadable(what: str, error: Exception) -> RequestError:
    return RequestError(f"{what} cannot be read as Parquet: {error}", hint="Is it whole, and is it a Parquet file?")
