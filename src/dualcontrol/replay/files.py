"""Scores and truths from a file: CSV, JSON lines or Parquet; a mistake is an error that names line and count."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Any, NamedTuple

from dualcontrol.case import JSON
from dualcontrol.errors import FileError
from dualcontrol.guarantee.curve import ScoredRow
from dualcontrol.layout import one_line, some
from dualcontrol.spelling import FALSE, TRUE, number_of
from dualcontrol.tables import Cells, Table, damaged, opened

YES, NO = ("1", "1.0", "yes", "right", "correct", *TRUE), ("0", "0.0", "no", "wrong", "incorrect", *FALSE)
VERDICTS = {**dict.fromkeys(YES, True), **dict.fromkeys(NO, False)}
NAMED, QUOTED = 5, 60
MEND = {
    "score": "leave such a row out, since without a score it is for a human",
    "truth": "find it out: rows whose truth nobody knows are seldom as easy as the rest, and nothing is known of them",
    "proposal": "give what was proposed, or leave --proposal away",
    "group": "give each row a group, or leave --group away",
}


class Fields(NamedTuple):
    """The names of the fields that are read."""

    score: str
    truth: str
    proposal: str | None = None
    group: str | None = None


class ScoredFile(NamedTuple):
    """The rows of a file, and remarks on how they were read."""

    rows: list[ScoredRow]
    remarks: list[str]


Line = tuple[int, Cells]


def scored(file: str, fields: Fields) -> ScoredFile:
    """The rows of a file; an error names the first line that does not fit, and how many lack a field.

    Only the named fields are looked at, whatever else the file holds.
    """

    def is_row(cells: Cells) -> bool:
        """Whether a line within a quoted cell is a row by itself, which a broken quote has swallowed."""
        score, truth = number_of(cells.get(fields.score, "")), cells.get(fields.truth, "").strip().lower()
        return score is not None and 0 <= score <= 1 and (bool(truth) if fields.proposal else truth in VERDICTS)

    roles = {role: name for role, name in fields._asdict().items() if name}
    names = list(roles.values())
    table = opened(file, names, only=True, swallowed=is_row)
    twice = table.twice(names)
    if twice is not None:
        raise FileError(f"{file}:1: the header names {twice!r} twice, so nobody knows which is meant")
    lines = list(_lines(table, names))
    if not lines:
        raise FileError(f"{file} holds no rows; each row is a proposal with a score and a truth")
    header = table.header or tuple(dict.fromkeys(key for _, row in lines for key in row))
    for name in names:
        if name not in header:
            where = f"{file}:{1 if table.header else lines[0][0]}"
            more = "; is the header missing? The first line names the fields, such as score,truth"
            try:
                list(map(float, header))
            except ValueError:
                more = ""
            raise FileError(f"{where}: there is no field {name!r}; there are: {', '.join(header)}{more}")
    for role, name in roles.items():
        _complete(file, lines, name, role, fields.group)
    rows = [_scored(f"{file}:{line}", row, fields, table) for line, row in lines]
    reading = [f"as {table.taken}"] if table.taken else []
    reading += ["with decimal commas"] if any("," in str(row[fields.score]) for _, row in lines) else []
    remarks = [f"{table.name} was read {', '.join(reading)}"] if reading else []
    return ScoredFile(rows, [*remarks, *_compared(file, lines, fields.proposal, fields.truth, table)])


def _lines(table: Table, names: Sequence[str]) -> Iterator[Line]:
    """The rows that say anything, with the fields of these names; those that name their own keep them all."""
    for line, row in table.rows(names if table.header else None):
        if row is None:
            continue
        if isinstance(row, str):
            raise FileError(f"{table.name}:{line}: {row}")
        broken = damaged(row)
        if broken in names:
            raise FileError(f"{table.name}:{line}: {broken} holds bytes that are not UTF-8, as the rest of the file is")
        yield line, row


def _complete(file: str, lines: Sequence[Line], name: str, role: str, group: str | None) -> None:
    """Refuse a field that some rows lack; a group in which all do is named."""
    bare = [line for line, row in lines if _absent(row.get(name))]
    if not bare:
        return
    listed = ", ".join(map(str, bare[:NAMED])) + (" …" if len(bare) > NAMED else "")
    what = f"{some(len(bare), 'row')} of {len(lines)} without {name!r}"
    if group and name != group:
        having = {str(row.get(group)) for _, row in lines if not _absent(row.get(name))}
        without = [str(row[group]) for _, row in lines if group in row and str(row[group]) not in having]
        listed += f"; no row of group {without[0]!r} has one" if without else ""
    raise FileError(f"{file}:{bare[0]}: {what}: empty, null or NaN in line {listed}; {MEND[role]}")


def _absent(value: Any) -> bool:
    """Whether a cell says nothing: null, spaces, or the NaN that tables write for it; a text "nan" is a value."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def _scored(where: str, row: Cells, fields: Fields, table: Table) -> ScoredRow:
    truth, value = row[fields.truth], row[fields.score]
    try:
        score = -1.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = number_of(value) if isinstance(value, str) else None
        score = -1.0 if number is None else float(number)
    if not isfinite(score) or not 0 <= score <= 1:
        raise FileError(f"{where}: {fields.score} is {_quoted(value)}, not a number from 0 to 1")
    right = VERDICTS.get(str(truth).strip().lower())
    if fields.proposal:
        right = _meant(truth, table) == _meant(row[fields.proposal], table)
    elif right is None:
        raise FileError(
            f"{where}: {fields.truth} is {_quoted(truth)}, neither right (1, true, yes) nor wrong (0, false, no); "
            "see --proposal"
        )
    return ScoredRow(score, bool(right), str(row[fields.group]).strip() if fields.group else "")


# proposals and truths side by side


def _meant(value: Any, table: Table) -> Any:
    """What a cell is compared by: in CSV, where nothing has a type, numbers and truth values by what they say."""
    if table.kind != "csv":
        return value
    text = str(value).strip()
    if text.lower() in ("true", "false"):
        return text.lower()
    number = number_of(text)
    return text if number is None or re.match(r"[+-]?0\d", text) else number


def _loosely(value: Any) -> str:
    """A value without its type, its case and its spaces."""
    number = number_of(str(value))
    return " ".join(str(value).split()).casefold() if number is None else str(number.normalize())


def _compared(file: str, lines: Sequence[Line], proposal: str | None, truth: str, table: Table) -> Iterator[str]:
    """What is odd where proposals are compared with truths; an error where none of either is one of the other."""
    if proposal is None:
        return
    rows = [(line, row[proposal], row[truth]) for line, row in lines]
    unlike = [(line, a, b) for line, a, b in rows if _meant(a, table) != _meant(b, table)]
    close = [row for row in unlike if _loosely(row[1]) == _loosely(row[2])]
    if not unlike:
        return
    line, a, b = (close or unlike)[0]
    kinds = _kind(a), _kind(b)
    if kinds[0] != kinds[1]:
        difference = f"the one is {kinds[0]}, the other {kinds[1]}: write both alike"
    elif close:
        difference = "they differ in spelling: write both alike"
    else:
        difference = "are these two columns of the same thing?"
    if len(unlike) == len(rows):
        proposals, truths = ({repr(_meant(row[place], table)) for row in rows} for place in (1, 2))
        example = f"line {line} proposes {_quoted(a)} where the truth is {_quoted(b)}"
        if close or not proposals & truths:
            raise FileError(f"{file}: no truth is equal to any proposal: {example}; {difference}")
        yield f"no proposal is right: {example}"
    elif close:
        yield (
            f"{some(len(close), 'row')} count as wrong where proposal and truth are alike: line {line} has "
            f"{_quoted(a)} and {_quoted(b)}; {difference}"
        )


def _quoted(value: JSON) -> str:
    return one_line(repr(value), QUOTED)


def _kind(value: JSON) -> str:
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, int | float):
        return "a number"
    return "a text" if isinstance(value, str) else "a list" if isinstance(value, list) else "an object"
