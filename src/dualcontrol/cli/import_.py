"""``import``: a file of answers, line by line, each in one transaction and under the same checks as everywhere.

Every row of the file is reported: applied, skipped, without an answer, empty, or refused with its line and the reason.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from dualcontrol.case import Actor, Case
from dualcontrol.cli.command import State, group, os_user, verb
from dualcontrol.cli.open import desk_of
from dualcontrol.cli.read import authenticated, usage
from dualcontrol.cli.screen import document, note, progress, show, styled, table
from dualcontrol.exchange import DIGEST, FIELDS, ID, answered, take
from dualcontrol.layout import some
from dualcontrol.learn.export import unharmed
from dualcontrol.tables import Cells, Line, Table, damaged, opened

app = group("import", "Import.")
SHOWN = 50
NEEDED = ("case_id", "review_id")
BECAME = ("applied", "skipped", "unanswered", "refused", "empty")


@verb(
    app, "import",
    "dualcontrol import answers.jsonl --person ana --dry-run",
    "dualcontrol import labels.csv --person ana --json",
)  # fmt: skip
def import_answers(
    state: State,
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON lines or CSV, packed or not; - is stdin.")],
    person: Annotated[
        str | None, typer.Option(metavar="PERSON", help="Who answered; the system's user if not given.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every line and write nothing.")] = False,
) -> int:
    """Apply a file of answers, each line under the same checks as everywhere.

    A line whose answer is in force already is skipped, so that the same file can be imported again.
    The exit code is 1 when a line was refused; the other lines are applied all the same.

    A table may come from a spreadsheet: separated by semicolons or tabs, in UTF-16 or Latin-1, with decimal commas,
    1.0 for the label 1 and TRUE for true.
    """
    rows, who = _rows(file), person or os_user()
    actor = Actor(person=who, via="import", authenticated=authenticated(who))
    rehearsed: dict[str, Case] | None = {} if dry_run else None
    lines = []
    doing = "checking" if dry_run else "applying"
    with desk_of(state) as desk, progress(doing, len(rows), quiet=state.as_json) as step:
        for number, row in rows:
            lines.append(take(desk, number, row, actor, rehearsed))
            step()
    counts = Counter(line.became for line in lines)
    refused = [(str(line.line), styled(line.code, "red"), line.why) for line in lines if line.became == "refused"]
    if state.as_json:
        totals = {name: counts[name] for name in BECAME}
        document({"rows": len(lines)} | totals | {"dry_run": dry_run, "lines": [line._asdict() for line in lines]})
        return 1 if refused else 0
    if refused:
        show(table(("line", "refused", "why"), refused[:SHOWN], whole=("refused",)))
        if len(refused) > SHOWN:
            note(f"and {len(refused) - SHOWN} more; --json lists all")
    applied = "would be applied" if dry_run else "applied"
    empty = f", {counts['empty']} empty" if counts["empty"] else ""
    show(
        f"{some(len(lines), 'row')}: {counts['applied']} {applied}, {counts['skipped']} skipped (answered so already), "
        f"{counts['unanswered']} without an answer, {len(refused)} refused{empty}"
    )
    return 1 if refused else 0


def _rows(file: str) -> list[Line]:
    """The rows of a file; a usage error where it is another file than was meant, or names a field twice."""
    # a line within a quoted cell that is a row of answers by itself has been swallowed by a broken quote
    answers = opened(file, NEEDED, swallowed=lambda row: all(ID.fullmatch(row[name].strip()) for name in NEEDED))
    if answers.kind == "parquet":
        raise usage(f"{file} is Parquet; answers come as JSON lines or CSV")
    for name in NEEDED if answers.kind == "csv" else ():
        if name not in answers.header:
            raise usage(f"{file} has no column {name}; its columns are: {', '.join(answers.header) or 'none'}")
    twice = answers.twice(FIELDS)
    if twice is not None:
        raise usage(f"{file}: the header names {twice!r} twice, so nobody knows which is meant")
    if answers.taken:
        note(f"{file} was read as {answers.taken}")
    return [(line, _read(row, answers) if isinstance(row, dict) else row) for line, row in answers.rows(None)]


def _read(row: Cells, table: Table) -> Cells | str:
    """The row with its cells as they were meant; an apostrophe before a formula is the export's."""
    name = damaged(row)
    if name is not None:
        return f"{name} holds bytes that are not UTF-8, as the rest of the file is"
    if table.kind != "csv":
        return row
    cells = {name: unharmed(cell) for name, cell in row.items()}
    cells |= {name: cell.strip() for name, cell in cells.items() if name in (*NEEDED, "verdict", "shown", "confidence")}
    cells["verdict"] = cells.get("verdict", "").lower()
    if "shown" in table.header and not answered(cells) and not DIGEST.fullmatch(str(cells.get("shown"))):
        return "the line has no answer, and its shown, which comes before that, is cut off or missing"
    return cells
