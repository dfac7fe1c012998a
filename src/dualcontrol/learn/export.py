"""Examples as files: for people and programs, and in the shapes of trainers (TRL's preference and prompt-completion).

The ending of a file's name says what kind of file it is, the format which decisions it holds and in what shape.  TRL's
formats are those of its 1.x line: explicit prompts, one pair or one completion a line; the provenance rides along in
columns of its own, which trainers leave alone.  Every column is of one type throughout, and shows it at once.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from dualcontrol.case import JSON
from dualcontrol.errors import RequestError, SettingsError
from dualcontrol.layout import json_line
from dualcontrol.learn.examples import TrainingRow
from dualcontrol.learn.trainers import DeskPort, optional
from dualcontrol.learn.uniform import Type, as_text, in_order, look, signs, typed

PROVENANCE = ("case_id", "who", "at", "shown", "inclusion", "weight", "epoch", "origin", "source")
ENDINGS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}
KINDS = ("csv", "jsonl", "parquet")  # of files; as formats they hold everything
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
Lines = Iterator[dict[str, JSON]]


class Exported(int):
    """How many lines a file holds.

    `left_out` counts the pairs that were left out because both sides are the same; `as_text` names the columns that
    are JSON text because their values have no type in common.
    """

    left_out: int
    as_text: tuple[str, ...]

    def __new__(cls, lines: int, left_out: int = 0, as_text: tuple[str, ...] = ()) -> Exported:
        """That many lines."""
        made = super().__new__(cls, lines)
        made.left_out, made.as_text = left_out, as_text
        return made


def export(rows: Sequence[TrainingRow], path: str | os.PathLike[str], format: str | None = None) -> Exported:
    """Write rows in a format to a file, whole or not at all; returns how many lines it holds."""
    target = _file(path)
    lines, data = content(rows, kind_of(target.name, format), format)
    _write(target, data)
    return lines


def _file(path: Any) -> Path:
    """A path that can name a file."""
    try:
        named = isinstance(path, str | os.PathLike) and b"\0" not in os.fsencode(path) and Path(path).name
    except (TypeError, UnicodeEncodeError):
        named = ""
    if not named:
        raise RequestError(f"a file is named by a text or a path, not {path!r:.80}", hint="Name the file to write.")
    return Path(path)


def kind_of(name: str, format: str | None = None) -> str:
    """What kind of file a name stands for, by its ending; a format of another kind is refused."""
    if format is not None and str(format) not in FORMATS:
        raise SettingsError(f"there is no export format {format!r:.80}; known are {', '.join(sorted(FORMATS))}",
                            hint="Use one of the formats named in the message.")  # fmt: skip
    kind = ENDINGS.get(Path(name).suffix.lower())
    if kind is None:
        raise SettingsError(f"the ending of {name!r:.80} names no kind of file; known are {', '.join(sorted(ENDINGS))}",
                            hint="End the file's name in one of them: it says what is written.")  # fmt: skip
    if format in KINDS and format != kind:
        raise SettingsError(f"the format {format} does not go into {name!r:.80}, whose ending says {kind}",
                            hint="Leave the format away, or end the name in it.")  # fmt: skip
    return kind


def content(rows: Sequence[TrainingRow], kind: str, format: str | None = None) -> tuple[Exported, bytes]:
    """How many lines the rows make in a format, and the bytes of a file of that kind."""
    shape = FORMATS[str(format or kind)]
    lines, left_out = list(shape.lines(rows)), sum(map(shape.left_out, rows))
    if kind == "csv":
        return Exported(len(lines), left_out), _csv(lines, shape.columns)
    types = typed(lines, shape.columns)
    mixed = tuple(name for name, of in types.items() if of is None)
    count = Exported(len(lines), left_out, mixed)
    if kind == "parquet":
        return count, bytes(optional("dualcontrol.learn.parquet", "arrow").written(lines, types))
    return count, _jsonl(lines, types)


def mark(desk: DeskPort, loop: str, rows: Sequence[TrainingRow], format: str | None, name: str) -> int:
    """Say that an export took these rows, once its file is whole: with feedback = "export" that is their use.

    A row that the format leaves out stays unused; `name` says which export it was.
    """
    control = desk.control(loop)
    feedback = control.settings.feedback if control is not None else None
    if control is None or feedback is None or feedback.trainer != "export":
        return 0
    taken = [
        row.id for row in rows if row.used_by is None and any(True for _ in FORMATS[format or "jsonl"].lines([row]))
    ]
    with desk.store.transaction() as tx:
        return int(tx.mark_used(control.loop_id, taken, f"export:{name}"))


def _write(target: Path, data: bytes) -> None:
    """Beside the target first, so that a reader never sees half a file."""
    partial = target.with_name(f".{target.name}.partial")
    partial.write_bytes(data)
    partial.replace(target)


def _jsonl(lines: Sequence[dict[str, JSON]], types: dict[str, Type | None]) -> bytes:
    plain = [dict(_fields(line, types)) for line in lines]
    texts = [(json_line(line) + "\n", line) for line in plain]
    ordered = in_order(texts, lambda pair: signs(pair[1]), lambda pair: len(pair[0]))
    return "".join(text for text, _ in ordered).encode()


def _fields(line: dict[str, JSON], types: dict[str, Type | None]) -> Iterator[tuple[str, JSON]]:
    """The fields of a line; where others hold an object or a list, one that is null is left out."""
    for name, value in line.items():
        of = types[name]
        if of is None:
            yield name, as_text(value)
        elif value is not None or not of.is_nested:
            yield name, value


def _csv(lines: Sequence[dict[str, JSON]], columns: Sequence[str]) -> bytes:
    rows = [[_cell(line[name]) for name in columns] for line in lines]
    ordered = in_order(rows, lambda row: enumerate(map(look, row)), lambda row: sum(map(len, row)))
    return csv_text(columns, ordered).encode()


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a header line; a cell that holds a line break of any kind is quoted."""
    out: list[str] = []
    # Python quotes a carriage return only where lines end with one
    file = SimpleNamespace(write=lambda line: out.append(line.removesuffix("\r\n") + "\n"))
    csv.writer(file, lineterminator="\r\n").writerows([columns, *rows])
    return "".join(out)


def _cell(value: JSON) -> str:
    """Text as it is, nothing as an empty cell (no label is not the label "null"), anything else as JSON."""
    if value is None or isinstance(value, str):
        return harmless(value or "")
    return json_line(value)


def harmless(cell: str) -> str:
    """A text that no spreadsheet takes for a formula, told by an apostrophe before it."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unharmed(cell: str) -> str:
    """The text that `harmless` was given."""
    return cell[1:] if cell[:1] == "'" and _FORMULA.match(cell) else cell


def _rows(rows: Sequence[TrainingRow]) -> Lines:
    """Everything, one decision a line."""
    return (row.to_dict() for row in rows)


def _labels(rows: Sequence[TrainingRow]) -> Lines:
    """Input and label; answers that were only collected give their distribution and no label."""
    for row in rows:
        if row.kind == "label":
            said = {"input": row.input, "label": row.value, "distribution": row.distribution}
            yield said | {"proposal": row.proposal, "wrong": row.wrong, **_source(row)}


def _completions(rows: Sequence[TrainingRow]) -> Lines:
    """Prompt and completion: what a human wrote or corrected; without an input there is no prompt."""
    for row in rows:
        if row.kind in ("edit", "demonstration") and row.value is not None and row.input is not None:
            yield {"prompt": prompt(row.input), "completion": text(row.value), **_source(row)}


def _pairs(rows: Sequence[TrainingRow]) -> Lines:
    """Prompt, chosen and rejected: each pair of a ranking, and each edit over what it corrected.

    A pair whose sides are the same text teaches nothing, and is left out.
    """
    for row in rows:
        for chosen, rejected in _texts(row):
            if chosen != rejected:
                yield {"prompt": prompt(row.input), "chosen": chosen, "rejected": rejected, **_source(row)}


def _texts(row: TrainingRow) -> Iterator[tuple[str, str]]:
    pairs = preferences(row) if row.input is not None else ()
    return ((text(chosen), text(rejected)) for chosen, rejected in pairs)


def _alike(row: TrainingRow) -> int:
    """How many pairs of a decision have the same text on both sides."""
    return sum(chosen == rejected for chosen, rejected in _texts(row))


def preferences(row: TrainingRow) -> Iterator[tuple[JSON, JSON]]:
    """What was preferred to what in a decision."""
    if row.kind == "edit" and row.proposal is not None and row.value != row.proposal:
        yield row.value, row.proposal
    for ranking in _rankings(row):
        values = {c["id"]: c["value"] for c in row.candidates}
        tiers = [tier for tier in (*ranking.get("ranking", ()), ranking.get("rejected", ())) if tier]
        for place, tier in enumerate(tiers):
            below = [other for lower in tiers[place + 1 :] for other in lower]
            yield from ((values[better], values[worse]) for better in tier for worse in below)


def _rankings(row: TrainingRow) -> list[dict[str, JSON]]:
    """A decision's ranking, or each of a distribution of them, as often as it was given."""
    if row.kind != "preference":
        return []
    if isinstance(row.value, dict):
        return [row.value]
    return [said["value"] for said in row.distribution or () for _ in range(int(said["answers"]))]


def _source(row: TrainingRow) -> dict[str, JSON]:
    return {name: getattr(row, name) for name in PROVENANCE}


def prompt(given: JSON) -> str:
    """An input as a prompt: its own text where it has one, else JSON."""
    if isinstance(given, dict):
        for name in ("prompt", "question", "text"):
            if isinstance(given.get(name), str):
                return str(given[name])
    return text(given)


def text(value: JSON) -> str:
    """A value as text: a response's text, a text itself, else JSON with sorted keys."""
    if isinstance(value, dict) and set(value) == {"text"}:
        value = value["text"]
    return value if isinstance(value, str) else json_line(value, sort_keys=True)


class ExportFormat(NamedTuple):
    """A format: its columns, the lines that rows make in it, and how many pairs of a row it leaves out."""

    columns: tuple[str, ...]
    lines: Callable[[Sequence[TrainingRow]], Lines]
    left_out: Callable[[TrainingRow], int] = lambda row: 0


_EVERYTHING = ExportFormat(TrainingRow.__struct_fields__, _rows)
_WRITTEN = ExportFormat(("prompt", "completion", *PROVENANCE), _completions)
FORMATS: dict[str, ExportFormat] = {
    **dict.fromkeys(KINDS, _EVERYTHING),
    "labels": ExportFormat(("input", "label", "distribution", "proposal", "wrong", *PROVENANCE), _labels),
    "prompt-completion": _WRITTEN,
    "sft": _WRITTEN,
    "trl-preference": ExportFormat(("prompt", "chosen", "rejected", *PROVENANCE), _pairs, _alike),
}
