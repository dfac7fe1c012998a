"""Examples as files: for people and programs, and in the shapes of trainers (TRL's preference and prompt-completion).

The ending of a file's name says what kind of file it is, the format which decisions it holds and in what shape.  TRL's
formats are those of its 1.x line: explicit prompts, one pair or one completion a line; the provenance rides along in
columns of its own, which trainers leave alone.  Every column is of one type throughout, and shows it at once.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

from dualcontrol.case import JSON
from dualcontrol.errors import RequestError, SettingsError
from dualcontrol.layout import json_line
from dualcontrol.learn.column_types import as_text, in_order, look, signs, typed
from dualcontrol.learn.examples import TrainingRow
from dualcontrol.learn.trainers import DeskPort, optional

PROVENANCE = ("case_id", "who", "at", "shown", "inclusion", "weight", "epoch", "origin", "source")
ENDINGS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}
KINDS = ("csv", "jsonl", "parquet")  # of files; as formats they hold everything
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


class Exported(int):
    """How many lines a file holds.

    `left_out` counts the pairs that were left out because both sides are the same; `as_text` names the columns that
    are JSON text because their values have no type in common.
    """

    left_out: int
    as_text: tuple[str, ...]

    def __new__(cls, lines: int, left_out: int = 0, as_text: tuple[str, ...] = ()) -> Exported:
        """That many lines."""
        count = super().__new__(cls, lines)
        count.left_out, count.as_text = left_out, as_text
        return count


def export(rows: Sequence[TrainingRow], path: str | os.PathLike[str], format: str | None = None) -> Exported:
    """Write rows in a format to a file, whole or not at all; returns how many lines it holds."""
    try:
        named = b"\0" not in os.fsencode(path) and Path(path).name
    except (TypeError, UnicodeEncodeError):
        named = ""
    if not named:
        raise RequestError(f"a file is named by a text or a path, not {path!r:.80}", hint="Name the file to write.")
    target = Path(path)
    lines, data = content(rows, kind_of(target.name, format), format)
    partial = target.with_name(f".{target.name}.partial")  # a reader never sees half a file
    partial.write_bytes(data)
    partial.replace(target)
    return lines


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
    """How many lines the rows make in a format, and the bytes of a file of that kind.

    A cell of CSV is text as it is, nothing as an empty cell (no label is not the label "null"), anything else as JSON.
    Where other JSON lines hold an object or a list, a field that is null is left out.
    """
    shape = str(format or kind)
    columns, left_out = FORMATS[shape], 0
    lines: list[dict[str, JSON]] = []
    for row in rows:
        own, alike = lines_of(row, shape)
        lines += own
        left_out += alike
    if kind == "csv":
        table = [
            [harmless(v or "") if v is None or isinstance(v, str) else json_line(v) for v in cells]
            for cells in ([line[name] for name in columns] for line in lines)
        ]
        ordered = in_order(table, lambda cells: enumerate(map(look, cells)), lambda cells: sum(map(len, cells)))
        return Exported(len(lines), left_out), csv_text(columns, ordered).encode()
    types = typed(lines, columns)
    mixed = tuple(name for name, of in types.items() if of is None)
    count, nested = Exported(len(lines), left_out, mixed), {name for name, of in types.items() if of and of.is_nested}
    if kind == "parquet":
        return count, bytes(optional("dualcontrol.learn.parquet", "arrow").written(lines, types))
    plain = [
        {name: as_text(value) if name in mixed else value for name, value in line.items()
         if value is not None or name not in nested}
        for line in lines
    ]  # fmt: skip
    texts = [(json_line(line) + "\n", line) for line in plain]
    in_file = in_order(texts, lambda pair: signs(pair[1]), lambda pair: len(pair[0]))
    return count, "".join(text for text, _ in in_file).encode()


def lines_of(row: TrainingRow, format: str) -> tuple[list[dict[str, JSON]], int]:
    """The lines that a decision makes in a format, and how many of its pairs are left out.

    Answers that were only collected give their distribution and no label.  A completion is what a human wrote or
    corrected; without an input there is no prompt.  Pairs come from rankings, and from each edit over what it
    corrected; one whose sides are the same text teaches nothing, and is left out.
    """
    if format in KINDS:
        return [row.to_dict()], 0
    source = {name: getattr(row, name) for name in PROVENANCE}
    if format == "labels":
        label = {"input": row.input, "label": row.value, "distribution": row.distribution}
        line = label | {"proposal": row.proposal, "wrong": row.wrong, **source}
        return [line] if row.kind == "label" else [], 0
    if row.input is None:
        return [], 0
    if format == "trl-preference":
        pairs = [(text(chosen), text(rejected)) for chosen, rejected in preferences(row)]
        differing = [(chosen, rejected) for chosen, rejected in pairs if chosen != rejected]
        lines = [{"prompt": prompt(row.input), "chosen": one, "rejected": two, **source} for one, two in differing]
        return lines, len(pairs) - len(differing)
    if row.kind not in ("edit", "demonstration") or row.value is None:
        return [], 0
    return [{"prompt": prompt(row.input), "completion": text(row.value), **source}], 0


def mark(desk: DeskPort, loop: str, rows: Sequence[TrainingRow], format: str | None, name: str) -> int:
    """Say that an export took these rows, once its file is whole: with feedback = "export" that is their use.

    A row that the format leaves out stays unused; `name` says which export it was.
    """
    control = desk.control(loop)
    feedback = control.settings.feedback if control is not None else None
    if control is None or feedback is None or feedback.trainer != "export":
        return 0
    ids = [row.id for row in rows if row.used_by is None and lines_of(row, format or "jsonl")[0]]
    with desk.store.transaction() as tx:
        return int(tx.mark_used(control.loop_id, ids, f"export:{name}"))


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a header line; a cell that holds a line break of any kind is quoted."""
    out: list[str] = []
    # Python quotes a carriage return only where lines end with one
    file = SimpleNamespace(write=lambda line: out.append(line.removesuffix("\r\n") + "\n"))
    csv.writer(file, lineterminator="\r\n").writerows([columns, *rows])
    return "".join(out)


def harmless(cell: str) -> str:
    """A text that no spreadsheet takes for a formula, told by an apostrophe before it."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unharmed(cell: str) -> str:
    """The text that `harmless` was given."""
    return cell[1:] if cell[:1] == "'" and _FORMULA.match(cell) else cell


def preferences(row: TrainingRow) -> Iterator[tuple[JSON, JSON]]:
    """What was preferred to what in a decision: by an edit, by its ranking, or by each ranking of a distribution."""
    if row.kind == "edit" and row.proposal is not None and row.value != row.proposal:
        yield row.value, row.proposal
    if row.kind != "preference":
        return
    rankings, values = [row.value], {c["id"]: c["value"] for c in row.candidates}
    if not isinstance(row.value, dict):
        rankings = [share["value"] for share in row.distribution or () for _ in range(int(share["answers"]))]
    for ranking in rankings:
        tiers = [tier for tier in (*ranking.get("ranking", ()), ranking.get("rejected", ())) if tier]
        for place, tier in enumerate(tiers):
            below = [other for lower in tiers[place + 1 :] for other in lower]
            yield from ((values[better], values[worse]) for better in tier for worse in below)


def prompt(value: JSON) -> str:
    """An input as a prompt: its own text where it has one, else JSON."""
    if isinstance(value, dict):
        for name in ("prompt", "question", "text"):
            if isinstance(value.get(name), str):
                return str(value[name])
    return text(value)


def text(value: JSON) -> str:
    """A value as text: a response's text, a text itself, else JSON with sorted keys."""
    if isinstance(value, dict) and set(value) == {"text"}:
        value = value["text"]
    return value if isinstance(value, str) else json_line(value, sort_keys=True)


_COMPLETION = ("prompt", "completion", *PROVENANCE)
FORMATS: dict[str, tuple[str, ...]] = {  # the columns of each format
    **dict.fromkeys(KINDS, TrainingRow.__struct_fields__),
    "labels": ("input", "label", "distribution", "proposal", "wrong", *PROVENANCE),
    "prompt-completion": _COMPLETION,
    "sft": _COMPLETION,
    "trl-preference": ("prompt", "chosen", "rejected", *PROVENANCE),
}
