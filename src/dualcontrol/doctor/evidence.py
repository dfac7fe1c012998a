"""The evidence: the hash chain of every stream, the fold of every case against its row, every payload's seal."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from dualcontrol.case import Case, Review
from dualcontrol.doctor.chain import chain
from dualcontrol.doctor.finding import OK, PROBLEM, WARNING, Finding, guarded, lasted, some
from dualcontrol.doctor.folding import NEWER, folded, unknown
from dualcontrol.doctor.governed import governed
from dualcontrol.doctor.keys import Keys
from dualcontrol.doctor.stored import KEEP, UNREADABLE, Examples, nobodys, strayed
from dualcontrol.doctor.stuck import stuck
from dualcontrol.events import Entry, Unknown
from dualcontrol.store import CaseRow, Store


class Evidence:
    """Reads every case and stream once; remembers which reviews are open."""

    def __init__(self, store: Store, done: Callable[[], None] = lambda: None, secret: bytes | None = None) -> None:
        self._store, self._queries, self._secret = store, store.queries, secret
        self._done = done
        self._cases: set[str] = set()
        self._streams = 0
        self._reviews = 0
        self.waiting: dict[str, list[Review]] = {}

    def _begin(self) -> None:
        self._now = self._queries.now()
        self._controls = {control.loop: control for control in self._queries.loops()}
        self._examples = Examples(self._queries, tuple(self._controls.values()))
        self._keys = Keys(self._queries, self._secret or self._store.secret())

    def findings(self) -> Iterator[Finding]:
        """What does not hold, and what is sound and still needs somebody."""
        self._begin()
        problems = 0
        for finding in self._all():
            problems += finding.level == PROBLEM
            yield finding
        if not problems:
            sound = f"loops, {some(len(self._cases), 'case')}, reviews, keys and examples are what the entries say"
            yield Finding("evidence", OK, f"{self._streams} hash chains hold; {sound}, content included")

    def _all(self) -> Iterator[Finding]:
        yield from guarded("the list of cases", self._listed())
        yield from guarded("the table `reviews`", nobodys(self._queries, self._reviews))
        yield from guarded("the table `case_keys`", self._keys.left())
        yield from guarded("the table `examples`", self._examples.left(self._cases))
        yield from guarded("the table `entries`", self._of_streams())

    def _listed(self) -> Iterator[Finding]:
        for row in self._rows():
            self._cases.add(row.id)
            yield from guarded(f"case {row.id}", self._case(row))
            self._done()

    def _of_streams(self) -> Iterator[Finding]:
        loops = {f"loop/{control.loop_id}" for control in self._controls.values()}
        for stream in self._queries.streams():
            self._streams += 1
            kind, _, name = stream.partition("/")
            if kind != "case":
                loops.discard(stream)
                yield from guarded(stream, self._stream(stream))
            elif name not in self._cases and self._gone(name):
                yield Finding("evidence", PROBLEM, f"case {name} has entries and no row", KEEP, name)
        for stream in sorted(loops):
            yield Finding("evidence", PROBLEM, f"{stream} has a row and no entries", KEEP)

    def _gone(self, case_id: str) -> bool:
        """Whether there is no such case, not even one opened since the cases were listed."""
        try:
            return self._queries.case(case_id) is None
        except UNREADABLE:
            return False

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
        else:
            yield from governed(control, self._queries.loop_columns(control.loop_id), entries)

    def _case(self, row: CaseRow) -> Iterator[Finding]:
        try:
            case = self._queries.case(row.id)
        except UNREADABLE as error:
            yield from self._unread(row, error)
            return
        if case is None:
            return
        self.waiting.setdefault(case.loop, []).extend(r for r in case.reviews if r.state == "open")
        self._reviews += len(case.reviews)
        found = list(self._recorded(case))
        later = self._later(case) if found else None
        yield from found if later is None else self._recorded(later)
        yield from attention(case, self._now)
        if case.loop in self._controls:
            yield from stuck(case, self._controls[case.loop].settings)

    def _later(self, case: Case) -> Case | None:
        """The case again where it has moved on while it was read, since programs go on writing."""
        try:
            later = self._queries.case(case.id)
        except UNREADABLE:
            return None
        return later if later is not None and later.seq != case.seq else None

    def _recorded(self, case: Case) -> Iterator[Finding]:
        """Whether chain, row, columns, reviews, examples and content of a case hold."""
        entries, broken = chain(self._queries, f"case/{case.id}")
        again, wrong = (None, broken) if broken else folded(case, entries)
        yield from wrong
        if again is not None:
            yield from self._rows_of(again, entries, case)
        yield from self._seals(case)

    def _rows_of(self, case: Case, entries: list[Entry], kept: Case) -> Iterator[Finding]:
        """What stands beside the snapshot of a case, as its entries make it; what was kept has the content."""
        control = self._controls.get(case.loop)
        if control is not None and not case.read_only:
            yield from strayed(self._queries, case, control.loop_id, entries[-1].hash)
            yield from self._keys.compared(replace(case, content=kept.content), control.loop_id)
            yield from self._examples.compared(case, entries)

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
            what = f"case {case.id} was erased, and {some(len(rows), 'slot')} of its content can still be read"
            yield Finding("evidence", PROBLEM, what, hint, case.id)
        kept = {(row.slot, row.commitment) for row in rows}
        for slot, seal in case.content.seals.items():
            if not case.erased and (slot, seal) not in kept:
                yield Finding("evidence", PROBLEM, f"the content {slot} of case {case.id} is gone", KEEP, case.id)


def attention(case: Case, now: int) -> Iterator[Finding]:
    """What is sound and still needs somebody: an alarm, an effect without an end, an event of a newer version."""
    for alarm in case.alarms if case.state == "open" else ():
        hint = "Add people to the group or name an arbiter, then propose it again or withdraw it."
        yield Finding("alarms", WARNING, f"case {case.id}: {alarm['reason']}", hint, case.id)
    if case.effect.state == "unknown":
        hint = "Look whether it happened, then say so: `dualcontrol resolve CASE --happened` or `--did-not-happen`."
        what = f"nobody knows whether the effect of case {case.id} happened"
        yield Finding("effects", WARNING, what, hint, case.id)
    elif case.effect.state == "started" and case.effect.until is not None and case.effect.until <= now:
        late = lasted(now - case.effect.until)
        what = f"the effect of case {case.id} was started and has not ended; its time ran out {late} ago"
        hint = "Run `dualcontrol serve` or desk.sweep(): it becomes unknown, and somebody can look whether it happened."
        yield Finding("effects", WARNING, what, hint, case.id)
    if case.read_only:
        yield unknown(case, case.read_only)
