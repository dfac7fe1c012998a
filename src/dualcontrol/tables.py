"""Reader of rows in files: CSV however a spreadsheet wrote it, JSON lines, Parquet; packed or not.

What is not said is found out from the content: encoding, packing, kind of file, separator.  `Table.taken` says what
was found where it is not what anybody would expect.  A line that cannot be read comes as the text of its error, and
the lines behind it are read all the same.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, cast

from dualcontrol.errors import FileError, RequestError
from dualcontrol.learn.trainers import optional
from dualcontrol.spelling import parsed

csv.field_size_limit(2**31 - 1)  # a cell may hold a whole document; the module's own limit is 128 KiB

Cells = dict[str, Any]
Line = tuple[int, Cells | str | None]
Rows = Callable[[Sequence[str] | None], Iterator[Line]]
PACKED = {b"\x1f\x8b": ("gzip", "gzip"), b"BZh": ("bzip2", "bz2"), b"\xfd7zXZ\x00": ("xz", "lzma")}
FOREIGN = {
    b"PK\x03\x04": "is a zip archive or the workbook of a spreadsheet; save the sheet as CSV, or unzip the file",
    b"\xd0\xcf\x11\xe0": "is the workbook of a spreadsheet; save the sheet as CSV",
    b"\x28\xb5\x2f\xfd": "is packed with zstd; unpack it first",
    b"ARROW1": "is an Arrow or Feather file; save it as Parquet or CSV",
    b"SQLite format 3": "is a database; save the table as CSV",
}
MARKS = {
    b"\xef\xbb\xbf": "utf-8", b"\xff\xfe\x00\x00": "utf-32-le", b"\x00\x00\xfe\xff": "utf-32-be",
    b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be",
}  # fmt: skip
HEAD = 64  # bytes of the header, whose names are nearly always plain
PADDING = "\0\x1a\r\n"  # what old programs fill the end of a file with
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
QUOTES = "\"'\r\n"
LONGEST_ROW = 1_000  # lines, of a row that a broken quote before it may have swallowed
BROKEN = {  # where the module's own words do not say it to people
    "end of data": "a quote is opened and never closed",
    "expected after": "a quote is closed in the middle of a cell, or never",
}
PARQUET, JSON_LINES = (".parquet", ".pq"), (".jsonl", ".ndjson", ".json")
_JSON = re.compile(r'\s*(\{\s*["}]|\[\s*[{\]])')
_DAMAGED = re.compile("[\ud800-\udfff]")


class Table(NamedTuple):
    """A file of rows: its kind, the names in its header (none where each row names its own), and how it was read.

    `rows` gives (line, row) with the cells that are not empty, of the columns named or of all; None for an empty row.
    """

    name: str
    kind: str
    header: tuple[str, ...]
    taken: str
    rows: Rows

    def twice(self, names: Sequence[str]) -> str | None:
        """The first of these names that stands in the header more than once."""
        return next((name for name in names if self.header.count(name) > 1), None)


def opened(
    path: str, wanted: Sequence[str] = (), *, only: bool = False, swallowed: Callable[[Cells], bool] | None = None
) -> Table:  # fmt: skip
    """A file, ``-`` is stdin, read as what it is; an error where it cannot be.

    `wanted` are names that help to tell the separator.  Where `only` these are looked at, what is odd elsewhere does no
    harm: broken quotes, JSON with keys that stand twice, or with NaN where a value is missing.  A quoted cell that
    goes on over lines is broken where `swallowed` says of one of these that it is a row by itself.
    """
    data, packing = _unpacked(path)
    odd = [f"unpacked from {packing}"] if packing else []
    ending = Path(re.sub(r"\.(gz|bz2|xz)$", "", path, flags=re.IGNORECASE)).suffix.lower()
    if data.startswith(b"PAR1") or ending in PARQUET:
        header, rows = _parquet(data, path)
        return Table(path, "parquet", header, ", ".join(["Parquet", *odd]) if odd else "", rows)
    text, encoding = _decoded(data, path)
    odd += [encoding] if encoding else []
    if ending in JSON_LINES or _JSON.match(text):
        read = partial(parsed, gaps=only, minded=wanted if only else None)
        words = ", ".join(["JSON lines", *odd]) if odd else ""
        return Table(path, "json", (), words, lambda names: _json_rows(text, read))
    header, rows, separator = _csv(path, text.rstrip(PADDING), wanted, swallowed, only)
    odd += [f"separated by {SEPARATORS.get(separator, repr(separator))}"] if separator != "," else []
    return Table(path, "csv", header, ", ".join(["CSV", *odd]) if odd and header else "", rows)


def damaged(row: Cells) -> str | None:
    """The first cell of a row that holds bytes which the file's encoding does not know."""
    return next((name for name, cell in row.items() if isinstance(cell, str) and _DAMAGED.search(cell)), None)


# Bytes: unpacked and decoded


def _unpacked(path: str) -> tuple[bytes, str]:
    """The content of a file, and by what it was packed: told by its first bytes, whatever its name is."""
    try:
        if path != "-":
            data = Path(path).read_bytes()
        else:
            stream = getattr(sys.stdin, "buffer", None)
            data = bytes(stream.read()) if stream is not None else sys.stdin.read().encode()
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from error
    for mark, what in FOREIGN.items():
        if data.startswith(mark):
            raise FileError(f"{path} {what}")
    for mark, (name, module) in PACKED.items():
        if data.startswith(mark):
            try:
                return import_module(module).decompress(data), name
            except ImportError as error:  # a Python may be built without one of them
                raise FileError(f"{path} is packed with {name}, which this Python cannot unpack") from error
            except Exception as error:  # each module has its own for a file that is damaged
                raise FileError(f"{path} cannot be unpacked: it is {name} that is cut off or damaged") from error
    return data, ""


def _decoded(data: bytes, path: str) -> tuple[str, str]:
    """The text, and its encoding where that is not UTF-8: by its mark, by its zeros, or since it is no UTF-8."""
    mark, encoding = next(((mark, name) for mark, name in MARKS.items() if data.startswith(mark)), (b"", ""))
    zeros = [data[:HEAD][place::2].count(0) for place in (0, 1)]
    if not mark and max(zeros) * 4 > len(data[:HEAD]) > min(zeros) * 16:
        encoding = "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    if encoding == "utf-8":
        return data[len(mark) :].decode(errors="surrogateescape"), ""
    if encoding:
        try:
            return data[len(mark) :].decode(encoding), encoding[: len("utf-16")].upper()
        except UnicodeDecodeError as error:
            damage = f"is {encoding.upper()} by its first bytes, and damaged at byte {error.start:,}"
            raise FileError(f"{path} {damage}") from error
    with suppress(UnicodeDecodeError):
        return data.decode(), ""
    # UTF-8 with broken lines, where more lines are UTF-8 than are not; else Latin-1 as Windows has it
    beyond = [line for line in re.split(rb"[\r\n]", data) if not line.isascii()]
    if 2 * sum(line.decode(errors="ignore").encode() == line for line in beyond) > len(beyond):
        return data.decode(errors="surrogateescape"), "UTF-8 with broken lines"
    with suppress(UnicodeDecodeError):
        return data.decode("cp1252"), "Latin-1 (Windows-1252), since it is not UTF-8"
    return data.decode("latin-1"), "Latin-1, since it is not UTF-8"


# Parquet and JSON


def _parquet(data: bytes, path: str) -> tuple[tuple[str, ...], Rows]:
    arrow = cast(Any, optional("dualcontrol.learn.parquet", "arrow"))
    try:
        header = tuple(arrow.names_in(data, path))
    except RequestError as error:
        raise FileError(error.message) from error

    def rows(names: Sequence[str] | None) -> Iterator[Line]:
        try:
            yield from arrow.rows_of(
                data, path, [name for name in (header if names is None else names) if name in header]
            )
        except RequestError as error:
            raise FileError(error.message) from error

    return header, rows


def _json_rows(text: str, read: Callable[[str], Any]) -> Iterator[Line]:
    """The objects of JSON lines, or of one array; a line that is none as the text of its error."""
    array = None
    if text.lstrip().startswith("["):
        with suppress(ValueError):
            array = read(text)
    if isinstance(array, list):
        yield from (
            (number, row if isinstance(row, dict) else "not a JSON object") for number, row in enumerate(array, 1)
        )
        return
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        try:
            if line.strip():
                row = read(line)
                yield number, row if isinstance(row, dict) else "not a JSON object"
        except ValueError as error:
            yield number, f"not JSON: {error}"


# CSV


def _csv(
    path: str, text: str, wanted: Sequence[str], swallowed: Callable[[Cells], bool] | None, only: bool
) -> tuple[tuple[str, ...], Rows, str]:
    """The names in the header, the rows, and what separates cells."""
    lines = list(io.StringIO(text, newline=""))
    read, separator, start = _dialect(lines, wanted)
    records = _records(lines, read, start)
    head = next(((at, cells) for at, cells in records if isinstance(cells, str) or "".join(cells).strip()), None)
    if head is None:
        return (), lambda names: iter(()), separator
    begun, cells = head
    if isinstance(cells, str):
        raise FileError(f"{path}:{begun}: the header is {cells}")
    header = tuple(cell.strip() for cell in cells)

    def rows(names: Sequence[str] | None) -> Iterator[Line]:
        for at, cells in _records(lines, read, begun, header, swallowed, only):
            if isinstance(cells, str):
                yield at, cells
                continue
            row = {name: cell for name, cell in zip(header, cells, strict=False) if cell and not cell.isspace()}
            if row.pop("", "") or "".join(cells[len(header) :]).strip():
                yield at, "more cells than the header names"
            elif row:
                yield at, row if names is None else {name: row[name] for name in names if name in row}
            elif len(cells) > 1 or len(header) < 2:  # else a blank line
                yield at, None

    return tuple(name for name in header if name), rows, separator


def _dialect(lines: list[str], wanted: Sequence[str]) -> tuple[Callable[..., Any], str, int]:
    """How lines are read, what separates cells, and after how many lines the header begins.

    A separator is as said in the first line, else as fits best: what names most of the wanted columns, and then most
    columns at all; a sign that separates nothing as a rule has to name more of the wanted ones than any that does.
    """
    declared = re.fullmatch(r"\ufeff?sep=(.)", lines[0].strip("\r\n")) if lines else None
    start = 1 if declared else 0
    head = next((line for line in lines[start:] if line.strip()), "")

    def fit(separator: str) -> tuple[int, int]:
        cells = [cell.strip() for cell in next(csv.reader([head], delimiter=separator, skipinitialspace=True), [])]
        return len(set(cells) & set(wanted)), len(cells)

    if declared:
        separator = declared[1]
    else:
        usual = max(SEPARATORS, key=fit)
        signs = (sign for sign in sorted(set(head)) if not sign.isalnum() and sign not in QUOTES)
        odd = max(signs, key=fit, default=usual)
        separator = odd if fit(odd)[0] > fit(usual)[0] else usual
    # a space may stand before each cell but the first, which may then be quoted behind it
    cells = next(csv.reader([head], delimiter=separator), [])[1:]
    spaced = separator != " " and bool(cells) and all(cell.startswith(" ") and cell.strip() for cell in cells)
    return partial(csv.reader, delimiter=separator, skipinitialspace=spaced), separator, start


def _records(
    lines: list[str], read: Callable[..., Any], start: int, header: Sequence[str] = (),
    swallowed: Callable[[Cells], bool] | None = None, only: bool = False,
) -> Iterator[tuple[int, list[str] | str]]:  # fmt: skip
    """(number of its first line, cells) of each record after `start` lines; a broken one ends at its first line.

    Where `only` some columns are looked at, a line with a broken quote is taken that has all its cells nevertheless.
    """

    def is_row(place: int) -> bool:
        """Whether a row of the file begins with this line, and may go on over the next ones."""
        rest = (lines[at] for at in range(place, min(place + LONGEST_ROW, len(lines))))
        cells: list[str] = next(read(rest), [])
        return swallowed is not None and len(cells) == len(header) and swallowed(dict(zip(header, cells, strict=True)))

    at = start
    while at < len(lines):
        reader = read((lines[place] for place in range(at, len(lines))), strict=True)
        begun, broken, whole = at, "", list[str]()
        try:
            for cells in reader:
                end = begun + reader.line_num
                if swallowed is not None and end > at + 1 and any(map(is_row, range(at + 1, end))):
                    broken = "a quoted cell goes on over the rows behind it"
                    break
                yield at + 1, cells
                at = end
        except csv.Error as error:
            broken = next((words for sign, words in BROKEN.items() if sign in str(error)), str(error))
            whole = [cell.rstrip("\r\n") for cell in next(read([lines[at]]), [])] if only else []
        if broken:
            yield at + 1, whole if whole and len(whole) == len(header) else f"not CSV: {broken}"
            at += 1
