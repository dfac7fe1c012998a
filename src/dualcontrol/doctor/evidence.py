"""The evidence: the hash chain of every stream, the fold of every case against its row, every payload's seal."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from dualcontrol.case import ENCODER, Case, Review
from dualcontrol.doctor.chain import chain
from dualcontrol.doctor.finding import OK, PROBLEM, WARNING, Finding
from dualcontrol.doctor.stuck import stuck
from dualcontrol.errors import ReadOnlyError
from dualcontrol.events import Entry, Unknown, fold
from dualcontrol.store import CaseRow, Store

KEEP = "Keep a copy of the database as it is, and compare it with a backup."
NEWER = "Upgrade dualcontrol; until then the case cannot be changed."
UNREADABLE = (msgspec.MsgspecError, ValueError, KeyError, TypeError, LookupError, ReadOnlyError)


class Evidence:
    """Reads every case and stream once; remembers which reviews are open."""

    def __init__(self, store: Store, done: Callable[[], None] = lambda: None) -> None:
        self._queries = store.queries
        self._done = done
        self._cases: set[str] = set()
        self._streams = 0
        self._settings = {control.loop: control.settings for control in store.queries.loops()}
        self.waiting: dict[str, list[Review]] = {}

    def findings(self) -> Iterator[Finding]:
        """What does not hold, and what is sound and still needs somebody."""
        problems = 0
        for finding in self._all():
            problems += finding.level == PROBLEM
            yield finding
        if not problems:
            sound = f"{len(self._cases)} cases are what their entries say, content included"
            yield Finding("evidence", OK, f"{self._streams} hash chains hold; {sound}")

    def _all(self) -> Iterator[Finding]:
        for row in self._rows():
            self._cases.add(row.id)
            yield from self._case(row)
            self._done()
        for stream in self._queries.streams():
            self._streams += 1
            kind, _, name = stream.partition("/")
            if kind != "case":
                yield from self._stream(stream)
            elif name not in self._cases:
                yield Finding("evidence", PROBLEM, f"case {name} has entries and no row", KEEP, name)

    def _rows(self) -> Iterator[CaseRow]:
        cursor: str | None = None
        while True:
            page = self._queries.cases(kind=None, limit=500, cursor=cursor)
            yield from page.rows
            cursor = page.next
            if cursor is None:
                return

    def _stream(self, stream: str) -> Iterator[Finding]:
        entries, broken = chain(self._queries, stream)
        yield from broken
        if stream.startswith("loop/") and not broken:
            yield from self._loop(stream, entries)

    def _loop(self, stream: str, entries: list[Entry]) -> Iterator[Finding]:
        control = next((c for c in self._queries.loops() if f"loop/{c.loop_id}" == stream), None)
        if control is None:
            yield Finding("evidence", PROBLEM, f"{stream} has entries and no loop", KEEP)
        elif control.seq != len(entries):
            what = f"loop {control.loop} is at entry {control.seq}, its stream ends at {len(entries)}"
            yield Finding("evidence", PROBLEM, what, KEEP, seq=len(entries))

    def _case(self, row: CaseRow) -> Iterator[Finding]:
        try:
            case = self._queries.case(row.id)
        except UNREADABLE as error:
            yield from self._unread(row, error)
            return
        if case is None:
            return
        self.waiting.setdefault(case.loop, []).extend(r for r in case.reviews if r.state == "open")
        entries, broken = chain(self._queries, f"case/{case.id}")
        yield from broken if broken else folded(case, entries)
        yield from columns(row, case)
        yield from self._seals(case)
        yield from attention(case)
        if case.loop in self._settings:
            yield from stuck(case, self._settings[case.loop])

    def _unread(self, row: CaseRow, error: Exception) -> Iterator[Finding]:
        """A row that cannot be read is a newer version's where its entries are as well; else it is damaged."""
        entries, broken = chain(self._queries, f"case/{row.id}")
        yield from broken
        if not broken and any(isinstance(event, Unknown) for entry in entries for event in entry.events):
            what = f"case {row.id} was written by a newer version: this one can neither show nor change it"
            yield Finding("evidence", WARNING, what, NEWER, row.id)
        else:
            yield Finding("evidence", PROBLEM, f"the row of case {row.id} cannot be read: {error}", KEEP, row.id)

    def _seals(self, case: Case) -> Iterator[Finding]:
        """Every slot that the case names has the bytes it committed to; an erased case has none."""
        rows = self._queries.slots(f"case/{case.id}")
        for row in rows:
            if not row.sound:
                what = f"the content {row.slot} of case {case.id} is not what it was sealed as"
                yield Finding("evidence", PROBLEM, what, KEEP, case.id)
        if case.erased and rows:
            hint = "Erase the case again; until then its content can be read."
            what = f"case {case.id} was erased, and {len(rows)} slots of its content remain"
            yield Finding("evidence", PROBLEM, what, hint, case.id)
        kept = {(row.slot, row.commitment) for row in rows}
        for slot, seal in case.content.seals.items():
            if not case.erased and (slot, seal) not in kept:
                yield Finding("evidence", PROBLEM, f"the content {slot} of case {case.id} is gone", KEEP, case.id)


def folded(case: Case, entries: list[Entry]) -> Iterator[Finding]:
    """Whether the entries of a case, folded, are its row."""
    again: Case | None = None
    if not entries:
        yield Finding("evidence", PROBLEM, f"case {case.id} has a row and no entries", KEEP, case.id)
    for entry in entries:
        try:
            again = fold(again, entry.events, seq=entry.seq)
        except UNREADABLE as error:
            what = f"entry {entry.seq} of case {case.id} does not follow from those before: {error}"
            yield Finding("evidence", PROBLEM, what, KEEP, case.id, entry.seq)
            return
    if again is not None and again.seq != case.seq:
        what = f"case {case.id} is at entry {case.seq}, its stream ends at {again.seq}"
        yield Finding("evidence", PROBLEM, what, KEEP, case.id, again.seq)
    elif again is not None and again.read_only and not case.read_only:
        yield _unknown(case, again.read_only)  # what a newer version made of it, this one cannot compare
    elif again is not None and ENCODER.encode(again) != ENCODER.encode(case):
        fields = ", ".join(f for f in Case.__struct_fields__ if _differs(getattr(again, f), getattr(case, f)))
        what = f"the row of case {case.id} is not what its entries say: {fields}"
        yield Finding("evidence", PROBLEM, what, KEEP, case.id, case.seq)


def columns(row: CaseRow, case: Case) -> Iterator[Finding]:
    """Whether the columns that queues and lists go by are what the case says."""
    said = {
        "loop": case.loop, "kind": case.kind, "state": case.state, "action": case.action, "effect": case.effect.state,
        "opened_at": case.opened_at, "due_at": case.due_at, "closed_at": case.closed_at,
        "route": case.route.to if case.route else "", "audited": case.route.audited if case.route else False,
        "by": case.concluded.by if case.concluded else None,
    }  # fmt: skip
    wrong = [name for name, value in said.items() if getattr(row, name) != value]
    if wrong:
        what = f"the columns of case {case.id} are not what the case says: {', '.join(wrong)}"
        yield Finding("evidence", PROBLEM, what, KEEP, case.id)


def _differs(one: object, other: object) -> bool:
    return ENCODER.encode(one) != ENCODER.encode(other)


def attention(case: Case) -> Iterator[Finding]:
    """What is sound and still needs somebody: an alarm, an effect of unknown end, an event of a newer version."""
    for alarm in case.alarms if case.state == "open" else ():
        hint = "Add people to the group or name an arbiter, then propose it again or withdraw it."
        yield Finding("alarms", WARNING, f"case {case.id}: {alarm['reason']}", hint, case.id)
    if case.effect.state == "unknown":
        hint = "Look whether it happened, then say so: desk.resolve_effect(case_id, happened=True or False)."
        what = f"nobody knows whether the effect of case {case.id} happened"
        yield Finding("effects", WARNING, what, hint, case.id)
    if case.read_only:
        yield _unknown(case, case.read_only)


def _unknown(case: Case, name: str) -> Finding:
    what = f"case {case.id} holds an event {name!r} that this version does not know"
    return Finding("evidence", WARNING, what, NEWER, case.id)
