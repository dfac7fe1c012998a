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
    """The rows of a file, and what whoever reads their figures should know of them."""

    rows: list[ScoredRow]
    remarks: list[str]


Line = tuple[int, Cells]


def scored(file: str, fields: Fields) -> ScoredFile:
    """The rows of a file; an error names the first line that does not fit, and how many lack a field.

    Only the named fields are looked at, whatever else the file holds.
    """
    wanted = {role: name for role, name in fields._asdict().items() if name}
    table = opened(file, list(wanted.values()), only=True, swallowed=lambda row: _is_row(row, fields))
    twice = table.twice(list(wanted.values()))
    if twice is not None:
        raise FileError(f"{file}:1: the header names {twice!r} twice, so nobody knows which is meant")
    lines = list(_lines(table, list(wanted.values())))
    if not lines:
        raise FileError(f"{file} holds no rows; each row is a proposal with a score and a truth")
    known = table.header or tuple(dict.fromkeys(key for _, row in lines for key in row))
    for name in wanted.values():
        _there(f"{file}:{1 if table.header else lines[0][0]}", name, known)
    for role, name in wanted.items():
        _complete(file, lines, name, role, fields.group)
    found = [_scored(f"{file}:{line}", row, fields, table) for line, row in lines]
    return ScoredFile(found, [*_taken(table, lines, fields), *_compared(file, lines, fields, table)])


def _is_row(row: Cells, fields: Fields) -> bool:
    """Whether a line within a quoted cell is a row by itself, which a broken quote has swallowed."""
    score, truth = number_of(row.get(fields.score, "")), row.get(fields.truth, "").strip().lower()
    return score is not None and 0 <= score <= 1 and (bool(truth) if fields.proposal else truth in VERDICTS)


def _lines(table: Table, wanted: Sequence[str]) -> Iterator[Line]:
    """The rows that say anything, with the fields that are wanted; those that name their own keep them all."""
    for line, row in table.rows(wanted if table.header else None):
        if row is None:
            continue
        if isinstance(row, str):
            raise FileError(f"{table.name}:{line}: {row}")
        broken = damaged(row)
        if broken in wanted:
            raise FileError(f"{table.name}:{line}: {broken} holds bytes that are not UTF-8, as the rest of the file is")
        yield line, row


def _there(where: str, name: str, known: Sequence[str]) -> None:
    """Refuse a field that no row has."""
    if name in known:
        return
    bare = all(_is_number(field) for field in known)
    more = "; is the header missing? The first line names the fields, such as score,truth" if bare else ""
    raise FileError(f"{where}: there is no field {name!r}; there are: {', '.join(known)}{more}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _complete(file: str, lines: Sequence[Line], name: str, role: str, group: str | None) -> None:
    """Refuse a field that some rows lack; a group in which all do is named."""
    bare = [line for line, row in lines if _absent(row.get(name))]
    if not bare:
        return
    named = ", ".join(map(str, bare[:NAMED])) + (" …" if len(bare) > NAMED else "")
    what = f"{some(len(bare), 'row')} of {len(lines)} without {name!r}"
    none = _empty_group(lines, name, group) if group else ""
    raise FileError(f"{file}:{bare[0]}: {what}: empty, null or NaN in line {named}{none}; {MEND[role]}")


def _empty_group(lines: Sequence[Line], name: str, group: str) -> str:
    """Says which group has no value of a field at all."""
    having = {str(row.get(group)) for _, row in lines if not _absent(row.get(name))}
    without = [str(row[group]) for _, row in lines if group in row and str(row[group]) not in having]
    return f"; no row of group {without[0]!r} has one" if without and name != group else ""


def _absent(value: Any) -> bool:
    """Whether a cell says nothing: null, spaces, or the NaN that tables write for it; a text "nan" is a value."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def _scored(where: str, row: Cells, fields: Fields, table: Table) -> ScoredRow:
    truth, score = row[fields.truth], _score(row[fields.score], f"{where}: {fields.score}")
    if fields.proposal:
        right = _meant(truth, table) == _meant(row[fields.proposal], table)
    else:
        right = _right(truth, f"{where}: {fields.truth}")
    return ScoredRow(score, right, str(row[fields.group]).strip() if fields.group else "")


def _score(value: Any, where: str) -> float:
    try:
        share = -1.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = number_of(value) if isinstance(value, str) else None
        share = -1.0 if number is None else float(number)
    if not isfinite(share) or not 0 <= share <= 1:
        raise FileError(f"{where} is {_quoted(value)}, not a number from 0 to 1")
    return share


def _right(value: Any, where: str) -> bool:
    right = VERDICTS.get(str(value).strip().lower())
    if right is None:
        raise FileError(
            f"{where} is {_quoted(value)}, neither right (1, true, yes) nor wrong (0, false, no); see --proposal"
        )
    return right


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


def _compared(file: str, lines: Sequence[Line], fields: Fields, table: Table) -> Iterator[str]:
    """What is odd where proposals are compared with truths; an error where none of either is one of the other."""
    if fields.proposal is None:
        return
    rows = [(line, row[fields.proposal], row[fields.truth]) for line, row in lines]
    unlike = [(line, a, b) for line, a, b in rows if _meant(a, table) != _meant(b, table)]
    close = [row for row in unlike if _loosely(row[1]) == _loosely(row[2])]
    if len(unlike) == len(rows):
        proposals, truths = ({_key(_meant(row[place], table)) for row in rows} for place in (1, 2))
        line, proposed, truth = (close or unlike)[0]
        example = f"line {line} proposes {_quoted(proposed)} where the truth is {_quoted(truth)}"
        if close or not proposals & truths:
            raise FileError(f"{file}: no truth is equal to any proposal: {example}; {_difference(proposed, truth)}")
        yield f"no proposal is right: {example}"
    elif close:
        line, proposed, truth = close[0]
        yield (
            f"{some(len(close), 'row')} count as wrong where proposal and truth are alike: line {line} has "
            f"{_quoted(proposed)} and {_quoted(truth)}; {_difference(proposed, truth)}"
        )


def _key(value: JSON) -> str:
    return f"{type(value).__name__} {value}" if isinstance(value, str) else repr(value)


def _quoted(value: JSON) -> str:
    return one_line(repr(value), QUOTED)


def _difference(proposed: JSON, truth: JSON) -> str:
    """In what two values differ, and what to do about it."""
    kinds = [_kind(value) for value in (proposed, truth)]
    if kinds[0] != kinds[1]:
        return f"the one is {kinds[0]}, the other {kinds[1]}: write both alike"
    if _loosely(proposed) == _loosely(truth):
        return "they differ in spelling: write both alike"
    return "are these two columns of the same thing?"


def _kind(value: JSON) -> str:
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, int | float):
        return "a number"
    return "a text" if isinstance(value, str) else "a list" if isinstance(value, list) else "an object"


def _taken(table: Table, lines: Sequence[Line], fields: Fields) -> Iterator[str]:
    """How the file was read, where that is not as anybody would expect."""
    comma = any("," in str(row[fields.score]) for _, row in lines)
    said = [f"as {table.taken}"] if table.taken else []
    said += ["with decimal commas"] if comma else []
    if said:
        yield f"{table.name} was read {', '.join(said)}"
