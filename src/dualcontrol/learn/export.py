"""Examples as files: for people (jsonl, csv) and for trainers (TRL's preference and prompt-completion formats).

TRL's formats are those of its 1.x line: explicit prompts, one pair or one completion a line; the provenance rides
along in columns of its own, which trainers leave alone.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dualcontrol.case import JSON
from dualcontrol.errors import RequestError, SettingsError
from dualcontrol.learn.dataset import Row
from dualcontrol.learn.ports import DeskPort

PROVENANCE = ("case_id", "who", "at", "shown", "inclusion", "weight", "epoch", "origin", "source")
LABEL_COLUMNS = ("input", "label", "distribution", "proposal", "wrong", *PROVENANCE)
Lines = Iterator[dict[str, JSON]]


def export(rows: Sequence[Row], path: str | os.PathLike[str], format: str = "jsonl") -> int:
    """Write rows in a format to a file, whole or not at all; returns how many lines it holds."""
    target = _file(path)
    lines, text = content(rows, format, as_csv=target.suffix == ".csv")
    _write(target, text)
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


def content(rows: Sequence[Row], format: str = "jsonl", *, as_csv: bool = False) -> tuple[int, str]:
    """How many lines the rows make in a format, and their text; labels may be CSV."""
    if str(format) not in FORMATS:
        raise SettingsError(f"there is no export format {format!r:.80}; known are {', '.join(sorted(FORMATS))}",
                            hint="Use one of the formats named in the message.")  # fmt: skip
    lines = list(FORMATS[str(format)](rows))
    return len(lines), _csv(lines) if as_csv and format == "labels" else _jsonl(lines)


def mark(desk: DeskPort, loop: str, rows: Sequence[Row], format: str, name: str) -> int:
    """Say that an export took these rows, once its file is whole: with feedback = "export" that is their use.

    A row that the format leaves out stays unused; `name` says which export it was.
    """
    control = desk.control(loop)
    feedback = control.settings.feedback if control is not None else None
    if control is None or feedback is None or feedback.trainer != "export":
        return 0
    taken = [row.id for row in rows if row.used_by is None and any(True for _ in FORMATS[format]([row]))]
    with desk.store.transaction() as tx:
        return int(tx.mark_used(control.loop_id, taken, f"export:{name}"))


def _write(target: Path, text: str) -> None:
    """Beside the target first, so that a reader never sees half a file."""
    partial = target.with_name(f".{target.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(target)


def _jsonl(lines: Sequence[dict[str, JSON]]) -> str:
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _csv(lines: Sequence[dict[str, JSON]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, LABEL_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in line.items()} for line in lines)
    return out.getvalue()


def _cell(value: JSON) -> str:
    """Text as it is, nothing as an empty cell (no label is not the label "null"), anything else as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def _rows(rows: Sequence[Row]) -> Lines:
    """Everything, one decision a line."""
    return (row.to_dict() for row in rows)


def _labels(rows: Sequence[Row]) -> Lines:
    """Input and label; answers that were only collected give their distribution and no label."""
    for row in rows:
        if row.kind == "label":
            said = {"input": row.input, "label": row.value, "distribution": row.distribution}
            yield said | {"proposal": row.proposal, "wrong": row.wrong, **_source(row)}


def _completions(rows: Sequence[Row]) -> Lines:
    """Prompt and completion: what a human wrote or corrected; without an input there is no prompt."""
    for row in rows:
        if row.kind in ("edit", "demonstration") and row.value is not None and row.input is not None:
            yield {"prompt": prompt(row.input), "completion": text(row.value), **_source(row)}


def _pairs(rows: Sequence[Row]) -> Lines:
    """Prompt, chosen and rejected: each pair of a ranking, and each edit over what it corrected."""
    for row in rows:
        for chosen, rejected in preferences(row) if row.input is not None else ():
            yield {"prompt": prompt(row.input), "chosen": text(chosen), "rejected": text(rejected), **_source(row)}


def preferences(row: Row) -> Iterator[tuple[JSON, JSON]]:
    """What was preferred to what in a decision."""
    if row.kind == "edit" and row.proposal is not None and row.value != row.proposal:
        yield row.value, row.proposal
    for ranking in _rankings(row):
        values = {c["id"]: c["value"] for c in row.candidates}
        tiers = [tier for tier in (*ranking.get("ranking", ()), ranking.get("rejected", ())) if tier]
        for place, tier in enumerate(tiers):
            below = [other for lower in tiers[place + 1 :] for other in lower]
            yield from ((values[better], values[worse]) for better in tier for worse in below)


def _rankings(row: Row) -> list[dict[str, JSON]]:
    """A decision's ranking, or each of a distribution of them, as often as it was given."""
    if row.kind != "preference":
        return []
    if isinstance(row.value, dict):
        return [row.value]
    return [said["value"] for said in row.distribution or () for _ in range(int(said["answers"]))]


def _source(row: Row) -> dict[str, JSON]:
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
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


FORMATS: dict[str, Callable[[Sequence[Row]], Lines]] = {
    "jsonl": _rows,
    "labels": _labels,
    "prompt-completion": _completions,
    "sft": _completions,
    "trl-preference": _pairs,
}
