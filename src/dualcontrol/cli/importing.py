"""``import``: a file of answers, line by line, each in one transaction and under the same checks as everywhere."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer
from rich.text import Text

from dualcontrol.case import Case
from dualcontrol.cli.opening import desk_of
from dualcontrol.cli.reading import rows_of
from dualcontrol.cli.screen import document, note, progress, show, styled, table
from dualcontrol.cli.state import State, os_user
from dualcontrol.cli.taking import Said, take
from dualcontrol.cli.verb import group, verb

app = group("importing", "Import.")
SHOWN = 50


@verb(
    app, "import",
    "dualcontrol import answers.jsonl --person ana --dry-run",
    "dualcontrol import labels.csv --person ana --json",
)  # fmt: skip
def import_answers(
    state: State,
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON lines, or .csv; - is stdin.")],
    person: Annotated[
        str | None, typer.Option(metavar="PERSON", help="Who answered; the system's user if not given.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every line and write nothing.")] = False,
) -> int:
    """Apply a file of answers, each line under the same checks as everywhere.

    A line whose answer is in force already is skipped, so that the same file can be imported again.
    The exit code is 1 when a line was refused; the other lines are applied all the same.
    """
    rows = list(rows_of(file, needed=("case_id", "review_id")))
    lines: list[Said] = []
    rehearsed: dict[str, Case] | None = {} if dry_run else None
    with desk_of(state) as desk, progress("checking" if dry_run else "applying", len(rows), quiet=state.as_json) as bar:
        for number, row in rows:
            lines.append(take(desk, number, row, person or os_user(), rehearsed))
            bar.on()
    return _report(state, lines, dry_run)


def _report(state: State, lines: list[Said], dry_run: bool) -> int:
    counts = Counter(line.became for line in lines)
    refused = [line for line in lines if line.became == "refused"]
    if state.as_json:
        found = {name: counts[name] for name in ("applied", "skipped", "unanswered", "refused")}
        document(found | {"dry_run": dry_run, "lines": [line._asdict() for line in lines]})
        return 1 if refused else 0
    if refused:
        show(table(("line", "refused", "why"), [_row(line) for line in refused[:SHOWN]], whole=("refused",)))
        if len(refused) > SHOWN:
            note(f"and {len(refused) - SHOWN} more; --json lists all")
    applied = "would be applied" if dry_run else "applied"
    show(
        f"{counts['applied']} {applied}, {counts['skipped']} skipped (answered so already), "
        f"{counts['unanswered']} without an answer, {len(refused)} refused"
    )
    return 1 if refused else 0


def _row(line: Said) -> list[str | Text]:
    return [str(line.line), styled(line.code, "red"), line.why]
