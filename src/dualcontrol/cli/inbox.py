"""``inbox``: the reviews that wait, in queue order."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from dualcontrol.cli.command import State, group, os_user, verb
from dualcontrol.cli.open import desk_of
from dualcontrol.cli.screen import document, due, note, show, styled, table
from dualcontrol.cli.stop import notes
from dualcontrol.desk import Desk
from dualcontrol.errors import DualcontrolError
from dualcontrol.layout import one_line
from dualcontrol.names import own_pool
from dualcontrol.people import may, pools_of, refuse
from dualcontrol.review.view import as_seen, seen_by
from dualcontrol.step import as_listed
from dualcontrol.stop import in_force
from dualcontrol.store import InboxRow
from dualcontrol.web.show import titles

app = group("inbox", "Look at what waits.")
COLUMNS = ("due", "loop", "what", "about", "confidence", "risk", "kind", "held by", "case")
WHOLE, SPARE = ("due", "confidence", "risk", "case"), ("kind", "confidence", "held by", "loop", "risk", "about")


@verb(app, "inbox", "dualcontrol inbox --loop refunds --person ana")
def inbox(
    state: State,
    loop: Annotated[str | None, typer.Option(metavar="LOOP", help="Only this loop.")] = None,
    person: Annotated[str | None, typer.Option(metavar="PERSON", help="Only what this person may take.")] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many.")] = 50,
) -> None:
    """List the reviews that wait for a person, in the order in which they should be answered."""
    with desk_of(state) as desk:
        page = desk.store.queries.inbox(pools(desk, loop, person), person=person, limit=limit)
        now = desk.steps.now()
        stops = list(notes(in_force(desk.store), [desk.governing(loop)] if loop else desk.loops(), now))
        about = [_about(desk, row, person or os_user()) for row in page.rows]
    rows = [as_listed(row) for row in page.rows]
    if state.as_json:
        pairs = zip(rows, about, strict=True)
        return document([{**row.to_dict(), "title": title, "about": subject} for row, (title, subject) in pairs])
    for line in stops:
        note(line)
    if not rows:
        return show("Nothing waits." if person is None else f"Nothing waits for {person}.")
    cells = [_row(row, title, subject, now) for row, (title, subject) in zip(rows, about, strict=True)]
    show(table(COLUMNS, cells, whole=WHOLE, spare=SPARE, cut=("what", "about")))
    if any(row.read_only for row in rows):
        note("what is read only waits for a newer version of dualcontrol; `dualcontrol doctor` says why")
    if page.next:
        note(f"these are the first {limit}; --limit shows more")
    return None


def pools(desk: Desk, loop: str | None, person: str | None) -> list[tuple[int, str]]:
    """Every queue of the loops, or those that a person may take reviews from; an error says why it is none."""
    controls = [desk.governing(loop)] if loop else desk.loops()
    refusals = [may(person, "claim", control) for control in controls] if person is not None else []
    if refusals and all(refusals):
        refuse(refusals[0])
    pools = [pool for control in controls for pool in pools_of(person, control)]
    if person is None:  # whose inbox has it, finds it here as well
        pools += [(control.loop_id, own_pool(os_user())) for control in controls if control.settings.probe_share > 0.0]
    return pools


def _about(desk: Desk, row: InboxRow, person: str) -> tuple[str, str]:
    """What a line of the inbox is called and is about, as the page says it: the arguments, the label, or the input."""
    try:
        case = desk.case(row.review.case_id)
    except DualcontrolError:  # a newer version wrote it
        return row.action or row.mode, ""
    seen = seen_by(case, person, desk.governing(case.loop)).case
    shown = as_seen(case, row.review)[0] if row.review.blind else seen
    title = titles.title(shown)
    return title, titles.subject(shown) or ("" if title == titles.spoken(shown.input) else titles.spoken(shown.input))


def _row(row: InboxRow, title: str, subject: str, now: int) -> list[str | Text]:
    late = row.review.due_at is not None and row.review.due_at < now
    return [
        styled(due(row.review.due_at, now), "bold red" if late else None),
        one_line(row.loop, 24),
        one_line(title, 32),
        one_line(subject, 48),
        "" if row.confidence is None else f"{row.confidence:g}",
        row.risk or "",
        row.review.kind,
        "read only" if row.read_only else row.review.person or "",
        row.review.case_id,
    ]
