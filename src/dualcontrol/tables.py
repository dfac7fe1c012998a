"""Rows of a file as people have them: CSV however a spreadsheet wrote it, JSON lines, Parquet; packed or not.

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
PARQUET, JSON_LINES, TEXTS = (".parquet", ".pq"), (".jsonl", ".ndjson", ".json"), (".csv", ".tsv", ".txt")
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
    rows: Callable[[Sequence[str] | None], Iterator[Line]]

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
    data, packing = _unpacked(_bytes(path), path)
    ending = Path(_bare(path)).suffix.lower()
    if data.startswith(b"PAR1") or ending in PARQUET:
        return _parquet(data, path, packing)
    text, encoding = _decoded(data, path)
    if ending in JSON_LINES or _JSON.match(text):
        read = partial(parsed, gaps=only, minded=wanted if only else None)
        return Table(path, "json", (), _told("JSON lines", packing, encoding), lambda names: _json_rows(text, read))
    return _csv_table(path, text.rstrip(PADDING), wanted, swallowed, only, (packing, encoding))


def damaged(row: Cells) -> str | None:
    """The first cell of a row that holds bytes which the file's encoding does not know."""
    return next((name for name, cell in row.items() if isinstance(cell, str) and _DAMAGED.search(cell)), None)


# what the bytes are


def _bytes(path: str) -> bytes:
    try:
        if path != "-":
            return Path(path).read_bytes()
        stream = getattr(sys.stdin, "buffer", None)
        return bytes(stream.read()) if stream is not None else sys.stdin.read().encode()
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from error


def _unpacked(data: bytes, path: str) -> tuple[bytes, str]:
    """The content of a packed file, told by its first bytes whatever its name is, and by what it was packed."""
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


def _bare(path: str) -> str:
    """The name without the ending that says how a file is packed."""
    return re.sub(r"\.(gz|bz2|xz)$", "", path, flags=re.IGNORECASE)


def _decoded(data: bytes, path: str) -> tuple[str, str]:
    """The text, and its encoding where that is not UTF-8: by its mark, by its zeros, or since it is no UTF-8."""
    for mark, encoding in MARKS.items():
        if data.startswith(mark):
            return _marked(data[len(mark) :], encoding, path)
    zeros = [data[:HEAD][place::2].count(0) for place in (0, 1)]
    if max(zeros) * 4 > len(data[:HEAD]) > min(zeros) * 16:
        return _marked(data, "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be", path)
    try:
        return data.decode(), ""
    except UnicodeDecodeError:
        return _mostly(data)


def _marked(data: bytes, encoding: str, path: str) -> tuple[str, str]:
    try:
        if encoding == "utf-8":
            return data.decode(errors="surrogateescape"), ""
        return data.decode(encoding), encoding[: len("utf-16")].upper()
    except UnicodeDecodeError as error:
        raise FileError(
            f"{path} is {encoding.upper()} by its first bytes, and damaged at byte {error.start:,}"
        ) from error


def _mostly(data: bytes) -> tuple[str, str]:
    """UTF-8 with broken lines, where more lines are UTF-8 than are not; else Latin-1 as Windows has it."""
    beyond = [line for line in re.split(rb"[\r\n]", data) if not line.isascii()]
    if 2 * sum(map(_is_utf8, beyond)) > len(beyond):
        return data.decode(errors="surrogateescape"), "UTF-8 with broken lines"
    try:
        return data.decode("cp1252"), "Latin-1 (Windows-1252), since it is not UTF-8"
    except UnicodeDecodeError:
        return data.decode("latin-1"), "Latin-1, since it is not UTF-8"


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _told(kind: str, packing: str, encoding: str, separator: str = ",") -> str:
    """How a file was read, in words; nothing where it is plain CSV or JSON lines in UTF-8."""
    odd = [f"unpacked from {packing}"] if packing else []
    odd += [encoding] if encoding else []
    odd += [f"separated by {SEPARATORS.get(separator, repr(separator))}"] if separator != "," else []
    return ", ".join([kind, *odd]) if odd else ""


# Parquet and JSON


def _parquet(data: bytes, path: str, packing: str) -> Table:
    arrow = cast(Any, optional("dualcontrol.learn.parquet", "arrow"))
    try:
        names = tuple(arrow.names_in(data, path))
    except RequestError as error:
        raise FileError(error.message) from error

    def rows(wanted: Sequence[str] | None) -> Iterator[Line]:
        try:
            yield from arrow.rows_of(data, path, [n for n in (names if wanted is None else wanted) if n in names])
        except RequestError as error:
            raise FileError(error.message) from error

    return Table(path, "parquet", names, _told("Parquet", packing, ""), rows)


def _json_rows(text: str, read: Callable[[str], Any]) -> Iterator[Line]:
    """The objects of JSON lines, or of one array; a line that is none as the text of its error."""
    listed = _array(text, read)
    if listed is not None:
        yield from ((number, row if isinstance(row, dict) else "not a JSON object") for number, row in listed)
        return
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        if not line.strip():
            continue
        try:
            row = read(line)
        except ValueError as error:
            yield number, f"not JSON: {error}"
            continue
        yield number, row if isinstance(row, dict) else "not a JSON object"


def _array(text: str, read: Callable[[str], Any]) -> Iterator[tuple[int, Any]] | None:
    """The items of a file that is one array, by their number; None where it is none."""
    if not text.lstrip().startswith("["):
        return None
    try:
        listed = read(text)
    except ValueError:
        return None
    return enumerate(listed, 1) if isinstance(listed, list) else None


# CSV


def _csv_table(
    path: str, text: str, wanted: Sequence[str], swallowed: Callable[[Cells], bool] | None, only: bool,
    found: tuple[str, str],
) -> Table:  # fmt: skip
    lines = list(io.StringIO(text, newline=""))
    separator, start = _separator(lines, wanted)
    spaced = _is_spaced(lines[start:], separator)
    read = partial(csv.reader, delimiter=separator, skipinitialspace=spaced)
    first = next(((at, cells) for at, cells in _records(lines, read, start) if _says(cells)), None)
    if first is None:
        return Table(path, "csv", (), "", lambda names: iter(()))
    if isinstance(first[1], str):
        raise FileError(f"{path}:{first[0]}: the header is {first[1]}")
    header = tuple(cell.strip() for cell in first[1])
    named = tuple(name for name in header if name)

    def is_row(line: str) -> bool:
        cells = next(read([line]), [])
        return swallowed is not None and len(cells) == len(header) and swallowed(dict(zip(header, cells, strict=True)))

    def mended(line: str) -> list[str] | None:
        """A line with a broken quote, where it has all its cells nevertheless."""
        cells = next(read([line]), [])
        return [cell.rstrip("\r\n") for cell in cells] if only and len(cells) == len(header) else None

    def rows(names: Sequence[str] | None) -> Iterator[Line]:
        for at, cells in _records(lines, read, first[0], is_row, mended):
            if isinstance(cells, list) and len(cells) < 2 <= len(header) and not _says(cells):
                continue  # a blank line
            yield at, cells if isinstance(cells, str) else _row(header, cells, names)

    return Table(path, "csv", named, _told("CSV", *found, separator), rows)


def _says(cells: list[str] | str) -> bool:
    return isinstance(cells, str) or any(cell.strip() for cell in cells)


def _row(header: tuple[str, ...], cells: list[str], names: Sequence[str] | None) -> Cells | str | None:
    row = {name: cell for name, cell in zip(header, cells, strict=False) if cell and not cell.isspace()}
    over = row.pop("", "") or "".join(cells[len(header) :]).strip()
    if over:
        return "more cells than the header names"
    if not row:
        return None
    return row if names is None else {name: row[name] for name in names if name in row}


def _separator(lines: list[str], wanted: Sequence[str]) -> tuple[str, int]:
    """What separates cells, and after how many lines the header begins: as said in the first line, else as fits best.

    What fits best names most of the wanted columns, and then most columns at all; a sign that separates nothing as a
    rule has to name more of the wanted ones than any that does.
    """
    said = re.fullmatch(r"\ufeff?sep=(.)", lines[0].strip("\r\n")) if lines else None
    if said is not None:
        return said[1], 1
    head = next((line for line in lines if line.strip()), "")

    def fit(separator: str) -> tuple[int, int]:
        cells = [cell.strip() for cell in next(csv.reader([head], delimiter=separator, skipinitialspace=True), [])]
        return len(set(cells) & set(wanted)), len(cells)

    usual = max(SEPARATORS, key=fit)
    odd = max((sign for sign in sorted(set(head)) if not sign.isalnum() and sign not in QUOTES), key=fit, default=usual)
    return (odd if fit(odd)[0] > fit(usual)[0] else usual), 0


def _is_spaced(lines: Sequence[str], separator: str) -> bool:
    """Whether a space stands before each cell but the first, which may then be quoted behind it."""
    head = next((line for line in lines if line.strip()), "")
    cells = next(csv.reader([head], delimiter=separator), [])[1:]
    return separator != " " and bool(cells) and all(cell.startswith(" ") and cell.strip() for cell in cells)


def _records(
    lines: list[str], read: Callable[..., Any], start: int, is_row: Callable[[str], bool] | None = None,
    mended: Callable[[str], list[str] | None] = lambda line: None,
) -> Iterator[tuple[int, list[str] | str]]:  # fmt: skip
    """(number of its first line, cells) of each record after `start` lines; a broken one ends at its first line."""
    at = start
    while at < len(lines):
        reader = read((lines[place] for place in range(at, len(lines))), strict=True)
        begun, broken, whole = at, "", None
        try:
            for cells in reader:
                end = begun + reader.line_num
                if is_row and end > at + 1 and any(map(is_row, lines[at + 1 : end])):
                    broken = "a quoted cell goes on over the rows behind it"
                    break
                yield at + 1, cells
                at = end
        except csv.Error as error:
            broken, whole = str(error), mended(lines[at])
        if broken:
            yield at + 1, whole or f"not CSV: {_plainly(broken)}"
            at += 1


def _plainly(broken: str) -> str:
    """What is wrong, where the module's own words do not say it to people."""
    if "end of data" in broken:
        return "a quote is opened and never closed"
    if "expected after" in broken:
        return "a quote is closed in the middle of a cell, or never"
    return broken
