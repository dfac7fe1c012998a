"""What is typed, piped or kept in a file, read as text or JSON; a mistake is a usage error that says where."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from dualcontrol.case import once
from dualcontrol.characters import escaped


def usage(message: str) -> Exception:
    """A mistake in how the command was called: exit code 2."""
    return typer.BadParameter(message)


def text_of(argument: str) -> str:
    """The argument itself; ``@FILE`` is what the file holds, ``-`` what comes on stdin."""
    if argument == "-":
        return sys.stdin.read()
    return contents(argument[1:]) if argument.startswith("@") else argument


def contents(path: str) -> str:
    """A file as text, ``-`` is stdin; a usage error when it cannot be read."""
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise usage(f"{path} cannot be read: {_why(error)}") from error


def write(path: str, content: str | bytes, *, force: bool = True) -> None:
    """Write a file as a whole, ``-`` is stdout; without `force` an existing one is a usage error."""
    data = content.encode() if isinstance(content, str) else content
    if path == "-":
        text = data.decode()
        sys.stdout.write(escaped(text) if sys.stdout.isatty() else text)  # nothing in it acts on a terminal
        sys.stdout.flush()  # a reader that has gone is an error here, before anything counts as written
        return
    try:
        with Path(path).open("wb" if force else "xb") as file:
            file.write(data)
    except FileExistsError as error:
        raise usage(f"{path} exists already; --force replaces it") from error
    except OSError as error:
        raise usage(f"{path} cannot be written: {_why(error)}") from error


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def json_of(argument: str, what: str) -> Any:
    """The JSON value that an argument gives, directly, by ``@FILE`` or by ``-``."""
    try:
        return parsed(text_of(argument))
    except ValueError as error:
        quoted = "; a text needs its quotes: '\"…\"'" if argument[:1] not in ("@", "-", "{", "[") else ""
        raise usage(f"{what} is not JSON: {error}{quoted}") from error


def parsed(text: str) -> Any:
    """A JSON value; NaN and infinity, which are not JSON, are refused, and so is a key that stands twice."""
    return json.loads(text, parse_constant=_no_constant, object_pairs_hook=once)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def loose(text: str) -> Any:
    """The JSON value that a text spells, or the text itself."""
    try:
        return parsed(text)
    except ValueError:
        return text


def rows_of(path: str, needed: Sequence[str] = ()) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """(line, row) of a file of JSON lines or CSV; a line that cannot be read comes as its error's text.

    A table whose header lacks a `needed` column is another file than was meant: a usage error.
    """
    text = contents(path)
    if not path.lower().endswith(".csv"):
        yield from json_rows(text)
        return
    names = columns(text)
    for name in needed:
        if name not in names:
            raise usage(f"{path} has no column {name}; its columns are: {', '.join(names) or 'none'}")
    yield from csv_rows(text)


def columns(text: str) -> list[str]:
    """The names in the header line of a table."""
    return next(csv.reader(io.StringIO(text, newline="")), [])


def json_rows(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """The rows of JSON lines."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = parsed(line)
        except ValueError as error:
            yield number, f"not JSON: {error}"
            continue
        yield number, row if isinstance(row, dict) else "not a JSON object"


def csv_rows(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """The rows of a table with a header line; empty cells are not there."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if None in row:
                yield reader.line_num, "more cells than the header names"
            else:
                yield reader.line_num, {k: v for k, v in row.items() if v not in (None, "")}
    except csv.Error as error:
        yield reader.line_num, f"not CSV: {error}"
