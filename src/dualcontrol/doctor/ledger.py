"""Audit of the evidence: each stream's hash chain, each case folded from its entries against its rows, each seal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from dualcontrol.case import ENCODER, Case, Example, Review
from dualcontrol.control import Control, Env, LoopSettings, uuid7
from dualcontrol.doctor.database import OK, PROBLEM, WARNING, Finding, guarded
from dualcontrol.doctor.loops import stuck
from dualcontrol.errors import ReadOnlyError
from dualcontrol.events import Entry, Unknown, link
from dualcontrol.evolve import fold, governed_by
from dualcontrol.keys import content_print
from dualcontrol.layout import lasted, some
from dualcontrol.learn.examples import rows
from dualcontrol.store import CaseRow, Queries, Store, key_digest


class Evidence:
    """Reads every case and stream once; remembers which reviews are open."""

    def __init__(self, store: Store, done: Callable[[], None] = lambda: None, secret: bytes | None = None) -> None:
        self._store, self._queries, self._secret = store, store.queries, secret
        self._done = done
        self._cases: set[str] = set()
        self._streams = 0
        self._reviews = 0
        self.waiting: dict[str, list[Review]] = {}
        self.unproven: Counter[str] = Counter()  # answers since there are accounts for which nobody signed in, by door

    def findings(self) -> Iterator[Finding]:
        """What does not hold, and what is sound and still needs somebody."""
        self._now = self._queries.now()
        first = self._queries.entries("people", limit=1, values=False)
        self._since = first[0].at if first else None
        self._controls = {control.loop: control for control in self._queries.loops()}
        self._examples = Examples(self._queries, tuple(self._controls.values()))
        self._keys = Keys(self._queries, self._secret or self._store.secret())
        parts = {
            "the list of cases": self._case_list(),
            "the table `reviews`": self._unopened(),
            "the table `case_keys`": self._keys.remaining(),
            "the table `examples`": self._examples.remaining(self._cases),
            "the table `entries`": self._stream_list(),
        }
        problems = 0
        for part, findings in parts.items():
            for finding in guarded(part, findings):
                problems += finding.level == PROBLEM
                yield finding
        if not problems:
            sound = f"loops, {some(len(self._cases), 'case')}, reviews, keys and examples are what the entries say"
            yield Finding("evidence", OK, f"{self._streams} hash chains hold; {sound}, content included")

    def _case_list(self) -> Iterator[Finding]:
        cursor: str | None = None
        while True:
            page = self._queries.cases(kind=None, limit=500, cursor=cursor)
            for row in page.rows:
                self._cases.add(row.id)
                yield from guarded(f"case {row.id}", self._case(row))
                self._done()
            cursor = page.next
            if cursor is None:
                return

    def _stream_list(self) -> Iterator[Finding]:
        loops = {f"loop/{control.loop_id}" for control in self._controls.values()}
        for stream in self._queries.streams():
            self._streams += 1
            kind, _, name = stream.partition("/")
            if kind != "case":
                loops.discard(stream)
                yield from guarded(stream, self._stream(stream))
            elif name not in self._cases and look_up(self._queries, name) == (None, True):  # not even opened meanwhile
                yield Finding("evidence", PROBLEM, f"case {name} has entries and no row", KEEP, name)
        for stream in sorted(loops):
            yield Finding("evidence", PROBLEM, f"{stream} has a row and no entries", KEEP)

    def _stream(self, stream: str) -> Iterator[Finding]:
        """The hash chain of a stream that is no case's, and what governs the loop if it is a loop's."""
        entries, broken = chain(self._queries, stream)
        yield from broken
        if broken or not stream.startswith("loop/"):
            return
        control = next((c for c in self._queries.loops() if f"loop/{c.loop_id}" == stream), None)
        if control is None:
            yield Finding("evidence", PROBLEM, f"{stream} has entries and no loop", KEEP)
        elif control.seq != len(entries):
            what = f"loop {control.loop} is at entry {control.seq}, its stream ends at {len(entries)}"
            yield Finding("evidence", PROBLEM, what, KEEP, seq=len(entries))
        else:
            yield from control_findings(control, self._queries.loop_columns(control.loop_id), entries)

    def _case(self, row: CaseRow) -> Iterator[Finding]:
        try:
            case = self._queries.case(row.id)
        except UNREADABLE as error:  # a newer version's where its entries are as well; else it is damaged
            entries, broken = chain(self._queries, f"case/{row.id}")
            yield from broken
            if not broken and any(isinstance(event, Unknown) for entry in entries for event in entry.events):
                what = f"case {row.id} was written by a newer version: this one can neither show nor change it"
                yield Finding("evidence", WARNING, what, NEWER, row.id)
            else:
                yield Finding("evidence", PROBLEM, f"the row of case {row.id} cannot be read: {error}", KEEP, row.id)
            return
        if case is None:
            return
        self.waiting.setdefault(case.loop, []).extend(r for r in case.reviews if r.state == "open")
        self._reviews += len(case.reviews)
        if self._since is not None:
            actors = [answer.actor for answer in case.answered if answer.at >= self._since]
            self.unproven.update(actor.via for actor in actors if actor.authenticated == "none")
        findings = list(self._findings_of(case))
        later = look_up(self._queries, case.id)[0] if findings else None
        # programs go on writing: a case that has moved on while it was read is compared once more
        yield from findings if later is None or later.seq == case.seq else self._findings_of(later)
        yield from attention(case, self._now)
        if case.loop in self._controls:
            yield from stuck(case, self._controls[case.loop])

    def _findings_of(self, case: Case) -> Iterator[Finding]:
        """Whether chain, row, columns, reviews, keys, examples and content of a case hold."""
        entries, broken = chain(self._queries, f"case/{case.id}")
        again, wrong = (None, broken) if broken else folded(case, entries)
        yield from wrong
        control = None if again is None else self._controls.get(again.loop)
        if again is not None and control is not None and not again.read_only:
            yield from column_findings(self._queries, again, control.loop_id, entries[-1].hash)
            yield from self._keys.compared(replace(again, content=case.content), control.loop_id)
            yield from self._examples.compared(again, entries)
        yield from self._seals(case)

    def _unopened(self) -> Iterator[Finding]:
        """Rows of reviews that no entry opened; looked for only when there are not as many as there should be."""
        if self._queries.review_count() == self._reviews:
            return
        opened: dict[str, frozenset[str] | None] = {}  # by case; None where it cannot be read
        for review_id, case_id in self._queries.review_ids():
            if case_id not in opened:
                case, readable = look_up(self._queries, case_id)
                reviews = frozenset(review.id for review in case.reviews) if case else frozenset()
                opened[case_id] = reviews if readable else None
            known = opened[case_id]
            if known is not None and review_id not in known:
                what = f"review {review_id} of case {case_id} has a row, and no entry opened it"
                yield Finding("evidence", PROBLEM, what, KEEP, case_id)

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
        stored = {(row.slot, row.commitment) for row in rows}
        for slot, seal in case.content.seals.items():
            if not case.erased and (slot, seal) not in stored:
                yield Finding("evidence", PROBLEM, f"the content {slot} of case {case.id} is gone", KEEP, case.id)


def look_up(queries: Queries, case_id: str) -> tuple[Case | None, bool]:
    """A case, and whether it can be read; that it cannot is a finding of its own."""
    try:
        return queries.case(case_id), True
    except UNREADABLE:
        return None, False


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
        late = lasted((now - case.effect.until) // 1_000_000)
        what = f"the effect of case {case.id} was started and has not ended; its time ran out {late} ago"
        hint = "Run `dualcontrol serve` or desk.sweep(): it becomes unknown, and somebody can look whether it happened."
        yield Finding("effects", WARNING, what, hint, case.id)
    if case.read_only:
        yield unknown(case, case.read_only)


# The hash chain of one stream; a broken link is named by its entry's number


HINT = "Keep a copy of the database as it is, and compare this stream with a backup."
UNREADABLE_ENTRY = (msgspec.MsgspecError, ValueError, KeyError, TypeError, ReadOnlyError)


def chain(queries: Queries, stream: str) -> tuple[list[Entry], list[Finding]]:
    """The entries of a stream, and every place where its chain does not hold."""
    try:
        entries = queries.entries(stream, values=False)
    except UNREADABLE_ENTRY:
        return [], [_first_unreadable(queries, stream)]
    broken: list[Finding] = []
    number, before = 0, ""
    for entry in entries:
        number += 1
        if entry.stream != stream or entry.seq != number:
            broken.append(_broken(stream, number, f"entry {number} of {stream} is missing or says that it is another"))
            number = entry.seq
        elif link(before, entry.body.encode()) != entry.hash:
            what = f"the hash of entry {number} of {stream} does not hold: it, or the one before, was changed"
            broken.append(_broken(stream, number, what))
        before = entry.hash
    return entries, broken


def _first_unreadable(queries: Queries, stream: str) -> Finding:
    number = 0
    while True:
        try:
            entries = queries.entries(stream, after=number, limit=1, values=False)
        except UNREADABLE_ENTRY as error:
            why = str(error).partition("\n")[0]
            return _broken(stream, number + 1, f"entry {number + 1} of {stream} cannot be read: {why}")
        if not entries:
            return _broken(stream, number, f"{stream} cannot be read after entry {number}")
        number += 1


def _broken(stream: str, seq: int, what: str) -> Finding:
    case_id = stream.removeprefix("case/") if stream.startswith("case/") else ""
    return Finding("evidence", PROBLEM, what, HINT, case_id, seq)


# A case folded from its entries again, against the snapshot in its row


NEWER = "Upgrade dualcontrol; until then the case cannot be changed."


def folded(case: Case, entries: list[Entry]) -> tuple[Case | None, list[Finding]]:
    """The case that its entries make, and what is wrong with them or with its row."""
    again: Case | None = None
    for entry in entries:
        try:
            again = fold(again, entry.events, seq=entry.seq)
        except UNREADABLE as error:
            what = f"entry {entry.seq} of case {case.id} does not follow from those before: {error}"
            return None, [Finding("evidence", PROBLEM, what, KEEP, case.id, entry.seq)]
    if again is None:
        return None, [Finding("evidence", PROBLEM, f"case {case.id} has a row and no entries", KEEP, case.id)]
    findings = []
    if again.seq != case.seq:
        what = f"case {case.id} is at entry {case.seq}, its stream ends at {again.seq}"
        findings.append(Finding("evidence", PROBLEM, what, KEEP, case.id, again.seq))
    elif again.read_only and not case.read_only:
        findings.append(unknown(case, again.read_only))  # what a newer version made of it, this one cannot compare
    elif _differs(again, case):
        fields = ", ".join(f for f in Case.__struct_fields__ if _differs(getattr(again, f), getattr(case, f)))
        what = f"the row of case {case.id} is not what its entries say: {fields}"
        findings.append(Finding("evidence", PROBLEM, what, KEEP, case.id, case.seq))
    return again, findings


def _differs(one: object, other: object) -> bool:
    return ENCODER.encode(one) != ENCODER.encode(other)


def unknown(case: Case, name: str) -> Finding:
    """The finding on an event of a newer version, which is no fault of the record."""
    what = f"case {case.id} holds an event {name!r} that this version does not know"
    return Finding("evidence", WARNING, what, NEWER, case.id)


# The control of a loop, folded from the loop's own events, against its row


RESTORE = "Keep a copy of the database as it is, and compare the loop with a backup; until then trust no route of it."
NEWER_LOOP = "Upgrade dualcontrol to check what governs this loop."


def control_findings(control: Control, columns: dict[str, Any], entries: Sequence[Entry]) -> Iterator[Finding]:
    """Whether a loop's row, control and columns, is what its entries say."""
    last = entries[-1]
    if any(isinstance(event, Unknown) for entry in entries for event in entry.events):
        what = f"loop {control.loop} holds an event that this version does not know: its control is not checked"
        yield Finding("evidence", WARNING, what, NEWER_LOOP, seq=last.seq)
        return
    # name and id are the row's, all else is what the events make of it
    again = Control(loop=control.loop, loop_id=control.loop_id, version=0, settings=LoopSettings(name=control.loop))
    for event in (event for entry in entries for event in entry.events):
        again = governed_by(again, event)
    again = replace(again, seq=last.seq)
    expected = {
        "name": again.settings.name, "mode": again.settings.mode, "version": again.version, "seq": last.seq,
        "head": last.hash,
    }  # fmt: skip
    wrong = [*_differences(again, control), *(n for n, value in expected.items() if columns.get(n) != value)]
    if wrong:
        fields = ", ".join(dict.fromkeys(wrong))
        what = f"what governs loop {control.loop} is not what its entries say: {fields}"
        yield Finding("evidence", PROBLEM, what, RESTORE, seq=last.seq)


def _differences(again: Control, control: Control) -> Iterator[str]:
    """The fields that differ; a setting by its own name.

    Why a training failed governs nothing, and a program of an older version leaves it out of the row.
    """
    for holder, other, without in (
        (again, control, ("settings", "untrained")), (again.settings, control.settings, ())
    ):  # fmt: skip
        for name in type(holder).__struct_fields__:
            if name not in without and _differs(getattr(holder, name), getattr(other, name)):
                yield name


# The rows that queues, lists and learning go by, against what the entries of each case make of them


KEEP = "Keep a copy of the database as it is, and compare it with a backup."
UNREADABLE = (msgspec.MsgspecError, ValueError, KeyError, TypeError, LookupError, ReadOnlyError)
PAGE = 1_000
ExampleKey = tuple[str, str, int | None, int, int | None, float | None, float, int]
NONE: Counter[ExampleKey] = Counter()


def column_findings(queries: Queries, case: Case, loop_id: int, head: str) -> Iterator[Finding]:
    """Columns of a case and its reviews that are not what its entries make them."""
    for stray in queries.strays(case, loop_id, head):
        row = f"review {stray.review_id}" if stray.review_id else "the columns"
        if stray.columns:
            are = "is" if stray.review_id else "are"
            what = f"{row} of case {case.id} {are} not what its entries say: {', '.join(stray.columns)}"
        else:
            what = f"{row} of case {case.id} has entries and no row"
        yield Finding("evidence", PROBLEM, what, KEEP, case.id, case.seq)


class Examples:
    """Every stored example, case by case."""

    def __init__(self, queries: Queries, controls: Sequence[Control]) -> None:
        self._queries = queries
        self._stored: dict[str, Counter[ExampleKey]] = {}
        self._read_to: dict[int, int] = {}
        self._loops = {control.loop: control for control in controls}
        for control in controls:
            self._read(control.loop_id)

    def _read(self, loop_id: int) -> None:
        """Those that came since the last look: programs go on writing while the doctor reads."""
        while page := self._queries.examples(loop_id, after=self._read_to.get(loop_id, 0), limit=PAGE):
            for example in page:
                self._stored.setdefault(example.case_id, Counter())[_key(example)] += 1
            self._read_to[loop_id] = page[-1].id or 0

    def compared(self, case: Case, entries: Sequence[Entry]) -> Iterator[Finding]:
        """Whether there is one example for each decision and audit that the entries show, and says what they say."""
        control = self._loops.get(case.loop)
        if control is None:
            return
        expected: Counter[ExampleKey] = Counter()
        again: Case | None = None
        for entry in entries:  # by the function that made the examples when the entries were written
            again = fold(again, entry.events, seq=entry.seq)
            env = Env(now=entry.at, new_id=uuid7, secret=b"")
            expected.update(_key(example) for example in rows(again, entry.events, control, env))
        if expected != self._stored.get(case.id, NONE):
            self._read(control.loop_id)
        stored = self._stored.get(case.id, NONE)
        if expected.total() != stored.total():
            there = f"has {some(stored.total(), 'example')}, its entries make {expected.total()}"
            yield Finding("evidence", PROBLEM, f"case {case.id} {there}", KEEP, case.id, case.seq)
        elif expected != stored:
            (one, *_), (other, *_) = stored - expected, expected - stored
            # the figure that a threshold would be moved by, where that is what differs
            wrong = f": wrong is {one[2]}, not {other[2]}" if one[2] != other[2] else ""
            what = f"an example of case {case.id} is not what its entries say{wrong}"
            yield Finding("evidence", PROBLEM, what, KEEP, case.id, case.seq)

    def remaining(self, cases: Collection[str]) -> Iterator[Finding]:
        """Examples of cases that are not there."""
        for case_id, stored in self._stored.items():
            if case_id in cases:
                continue  # it could not be read, or not be compared
            what = f"there is {some(stored.total(), 'example')} of case {case_id}, which is not there"
            yield Finding("evidence", PROBLEM, what, KEEP, case_id)


def _key(e: Example) -> ExampleKey:
    return e.kind, e.verdict, e.wrong, e.epoch, e.bin, e.score, e.inclusion, e.at


# The rows of keys against the cases that were opened with them: what is not found under its key runs again


AGAIN = (
    "Stop the programs that use this key, or what it stands for is run again; "
    "then restore the table `case_keys` from a backup."
)
SECRET = "If the programs use a `secret` of their own, give it to the doctor too; else compare with a backup."


class Keys:
    """What each key stands for, compared with the case that was opened with it."""

    def __init__(self, queries: Queries, secret: bytes) -> None:
        self._queries, self._secret = queries, secret
        self._known: set[str] = set()
        self._matching = 0
        self._mismatched: dict[str, Finding] = {}

    def compared(self, case: Case, loop_id: int) -> Iterator[Finding]:
        """Whether the key of a case leads to it, and is closed when the case is erased."""
        if case.key is None:
            return
        self._known.add(case.id)
        row = self._queries.key_row(loop_id, case.key)
        if row is None:
            what = f"the key of case {case.id} is gone: who proposes with it again runs it again"
        elif row.case_id != case.id:
            what = f"the key of case {case.id} leads to case {row.case_id}"
        elif row.erased != case.erased:
            is_ = "is" if row.erased else "is not"
            what = f"the key of case {case.id} {is_} closed as that of an erased case"
        elif case.erased:
            return  # erased content can no longer be compared
        else:
            candidates, value = case.content.get("candidates", ()), case.content.get("input")
            if row.fingerprint == content_print(self._secret, candidates, case.proposed, value):
                self._matching += 1
                return
            what = (
                f"the key of case {case.id} stands for other content than the case has: "
                "it is refused when it comes back"
            )
            self._mismatched[case.id] = Finding("evidence", PROBLEM, what, KEEP, case.id)
            return
        yield Finding("evidence", PROBLEM, what, AGAIN, case.id)

    def remaining(self) -> Iterator[Finding]:
        """Fingerprints that do not hold, and keys of which no case knows."""
        if self._mismatched and not self._matching:
            what = (
                f"{some(len(self._mismatched), 'key')} cannot be compared with content: this secret made none of them"
            )
            yield Finding("evidence", WARNING, what, SECRET)
        else:
            yield from self._mismatched.values()
        if self._queries.key_count() == len(self._known):
            return
        for loop_id, digest, case_id in self._queries.key_rows():
            case, readable = look_up(self._queries, case_id)
            if readable and (case is None or case.key is None or key_digest(case.key) != digest):
                what = f"a key of loop/{loop_id} leads to case {case_id}, which was not opened with it"
                yield Finding("evidence", PROBLEM, what, KEEP, case_id)
