"""What waits too long or lies unused, loop by loop: the queue, decisions not yet fed back, model files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from dualcontrol.control import Control
from dualcontrol.doctor.finding import OK, PROBLEM, WARNING, Finding
from dualcontrol.store import ModelRow, Store

SERVE = "Run `dualcontrol serve`, which does what is due each second."


def loops(store: Store, *, now: int, models: str | Path | None) -> Iterator[Finding]:
    """Findings on every loop, in the order of their names."""
    unfed = store.queries.unfed()
    for control in store.queries.loops():
        yield from queue(store, control)
        yield from feedback(control, unfed.get(control.loop, 0))
        yield from files(control, store.queries.models(control.loop_id), models)


def queue(store: Store, control: Control) -> Iterator[Finding]:
    """Overdue cases, and reviews in a group that the loop no longer names, which nobody is offered."""
    counts = store.queries.counts(control.loop_id)
    if counts["overdue"]:
        what = f"loop {control.loop}: {counts['overdue']} open cases are past their response time"
        yield Finding("queue", WARNING, what, SERVE)
    lost = lost_reviews(store, control)
    if lost:
        what = f"loop {control.loop}: {len(lost)} cases wait in a group that the loop no longer names"
        yield Finding("queue", WARNING, what, "Name the group in the settings again.", lost[0])
    if not counts["overdue"] and not lost:
        yield Finding("queue", OK, f"loop {control.loop}: {counts['open']} open cases, none overdue")


def lost_reviews(store: Store, control: Control) -> list[str]:
    """Open cases with an open review in a group that is none of the loop's."""
    groups = set(control.settings.pools())
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = store.queries.cases(loop=control.loop, state="open", kind=None, limit=500, cursor=cursor)
        for row in page.rows:
            case = store.queries.case(row.id)
            if case is not None and any(r.state == "open" and r.group not in groups for r in case.reviews):
                found.append(row.id)
        cursor = page.next
        if cursor is None:
            return found


def feedback(control: Control, unfed: int) -> Iterator[Finding]:
    """Answers that nothing has learned from."""
    feed = control.settings.feedback
    if not unfed:
        return
    learns = feed is not None and feed.trainer != "export"
    hint = f"Run `dualcontrol train {control.loop}`." if learns else f"Run `dualcontrol export {control.loop} OUT`."
    enough = feed is None or feed.retrain_every is None or unfed >= feed.retrain_every
    level = WARNING if enough else OK
    yield Finding("feedback", level, f"loop {control.loop}: {unfed} answers not yet used", hint)


def files(control: Control, rows: list[ModelRow], folder: str | Path | None) -> Iterator[Finding]:
    """Model files that are gone or are not what was trained."""
    for row in rows:
        if row.version != control.model and row.state != "promoted":
            continue
        what = wrong_with(row, folder)
        if what:
            level = PROBLEM if row.version == control.model else WARNING
            hint = f"Train again with `dualcontrol train {control.loop}`; until then every case goes to a human."
            yield Finding("models", level, f"loop {control.loop}: model {row.version}: {what}", hint)
        elif row.version == control.model:
            yield Finding("models", OK, f"loop {control.loop}: model {row.version} is there and unchanged")


def wrong_with(row: ModelRow, folder: str | Path | None) -> str:
    """What is wrong with a model's file; nothing when it is there and unchanged."""
    path = Path(row.path) if folder is None else Path(folder) / row.path
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"its file {path} cannot be read ({error.strerror})"
    return "" if digest == row.sha256 else f"its file {path} is not what was trained"
