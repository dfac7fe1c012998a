"""The rows that queues, lists and learning go by, against what the entries of each case make of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

import msgspec

from dualcontrol.case import Case
from dualcontrol.control import Control, Env, uuid7
from dualcontrol.doctor.finding import PROBLEM, Finding, some
from dualcontrol.errors import ReadOnlyError
from dualcontrol.events import Entry, fold
from dualcontrol.learn.examples import rows
from dualcontrol.store import Example, Queries

KEEP = "Keep a copy of the database as it is, and compare it with a backup."
UNREADABLE = (msgspec.MsgspecError, ValueError, KeyError, TypeError, LookupError, ReadOnlyError)
PAGE = 1_000
Made = tuple[str, str, int | None, int, int | None, float | None, float, int]
NONE: Counter[Made] = Counter()


def strayed(queries: Queries, case: Case, loop_id: int, head: str) -> Iterator[Finding]:
    """Columns of a case and its reviews that are not what its entries make them."""
    for stray in queries.strays(case, loop_id, head):
        row = f"review {stray.review_id}" if stray.review_id else "the columns"
        if stray.columns:
            are = "is" if stray.review_id else "are"
            what = f"{row} of case {case.id} {are} not what its entries say: {', '.join(stray.columns)}"
        else:
            what = f"{row} of case {case.id} has entries and no row"
        yield Finding("evidence", PROBLEM, what, KEEP, case.id, case.seq)


def nobodys(queries: Queries, known: int) -> Iterator[Finding]:
    """Rows of reviews that no entry opened; looked for only when there are not as many as there should be."""
    if queries.review_count() == known:
        return
    cases: dict[str, frozenset[str] | None] = {}
    for review_id, case_id in queries.review_ids():
        if case_id not in cases:
            cases[case_id] = _reviews(queries, case_id)
        opened = cases[case_id]
        if opened is not None and review_id not in opened:
            what = f"review {review_id} of case {case_id} has a row, and no entry opened it"
            yield Finding("evidence", PROBLEM, what, KEEP, case_id)


def _reviews(queries: Queries, case_id: str) -> frozenset[str] | None:
    """The reviews that a case knows; None when the case cannot be read, which is a finding of its own."""
    try:
        case = queries.case(case_id)
    except UNREADABLE:
        return None
    return frozenset(review.id for review in case.reviews) if case else frozenset()


class Examples:
    """Every stored example, case by case."""

    def __init__(self, queries: Queries, controls: Sequence[Control]) -> None:
        self._queries = queries
        self._found: dict[str, Counter[Made]] = {}
        self._read_to: dict[int, int] = {}
        self._loops = {control.loop: control for control in controls}
        for control in controls:
            self._read(control.loop_id)

    def _read(self, loop_id: int) -> None:
        """Those that came since the last look: programs go on writing while the doctor reads."""
        while page := self._queries.examples(loop_id, after=self._read_to.get(loop_id, 0), limit=PAGE):
            for example in page:
                self._found.setdefault(example.case_id, Counter())[_made(example)] += 1
            self._read_to[loop_id] = page[-1].id or 0

    def compared(self, case: Case, entries: Sequence[Entry]) -> Iterator[Finding]:
        """Whether there is one example for each decision and audit that the entries show, and says what they say."""
        control = self._loops.get(case.loop)
        if control is None:
            return
        said = Counter(_made(example) for example in _shown(entries, control))
        if said != self._found.get(case.id, NONE):
            self._read(control.loop_id)
        found = self._found.get(case.id, NONE)
        if said.total() != found.total():
            there = f"has {some(found.total(), 'example')}, its entries make {said.total()}"
            yield Finding("evidence", PROBLEM, f"case {case.id} {there}", KEEP, case.id, case.seq)
        elif said != found:
            what = f"an example of case {case.id} is not what its entries say{_wrong(found - said, said - found)}"
            yield Finding("evidence", PROBLEM, what, KEEP, case.id, case.seq)

    def left(self, cases: Collection[str]) -> Iterator[Finding]:
        """Examples of cases that are not there."""
        for case_id, made in self._found.items():
            if case_id in cases:
                continue  # it could not be read, or not be compared
            what = f"there is {some(made.total(), 'example')} of case {case_id}, which is not there"
            yield Finding("evidence", PROBLEM, what, KEEP, case_id)


def _shown(entries: Sequence[Entry], control: Control) -> Iterator[Example]:
    """The examples that a case's entries make, by the function that made them when they were written."""
    case: Case | None = None
    for entry in entries:
        case = fold(case, entry.events, seq=entry.seq)
        yield from rows(case, entry.events, control, Env(now=entry.at, new_id=uuid7, secret=b""))


def _made(e: Example) -> Made:
    return e.kind, e.verdict, e.wrong, e.epoch, e.bin, e.score, e.inclusion, e.at


def _wrong(stored: Counter[Made], said: Counter[Made]) -> str:
    """The figure that a threshold would be moved by, where that is what differs."""
    (one, *_), (other, *_) = stored, said
    return f": wrong is {one[2]}, not {other[2]}" if one[2] != other[2] else ""
