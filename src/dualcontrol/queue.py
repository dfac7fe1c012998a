"""The next review for a person, and what is due, past cases that this version cannot change.

What a newer version wrote stays where it is, for programs of that version; here it is passed over.
Which cases those are is remembered for a while, so that they cost neither a load each time nor a place among the
few that are taken at once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dualcontrol.case import Case
from dualcontrol.errors import ReadOnlyError
from dualcontrol.store import Tx

Due = tuple[str, str | None]
LOOK_AGAIN = 60_000_000  # microseconds: a case may have been mended, or be one of ours again
PASSED_AT_ONCE = 100  # a transaction that holds more rows than that would be in the way of others


class Queue:
    """What waits for people and for time, as far as this version can work on it."""

    def __init__(self) -> None:
        self._passed: dict[str, int] = {}

    def next(self, tx: Tx, person: str, pools: Sequence[tuple[int, str]]) -> tuple[Case, str] | None:
        """Lock and load the next case with a review that this person may take, and the review's id."""
        self._look_again(tx.now)
        if not self._passed:
            taken = tx.take(person, pools, now=tx.now)
            if taken is None:
                return None
            case = self.workable(tx, taken[0])
            if case is not None:
                return case, taken[1]
        return self._behind(tx, person, pools)

    def _behind(self, tx: Tx, person: str, pools: Sequence[tuple[int, str]]) -> tuple[Case, str] | None:
        """The same where cases at the head are passed over; the next call goes on where this one gave up."""
        before = len(self._passed)
        for case_id, review_id in tx.queue(person, pools, without=self._passed):
            case = self.workable(tx, case_id)
            if case is not None:
                return case, review_id
            if len(self._passed) >= before + PASSED_AT_ONCE:
                break
        return None

    def workable(self, tx: Tx, case_id: str, *, values: bool = True) -> Case | None:
        """The case, if it is there and this version can change it; else it is passed over from now on."""
        try:
            case = tx.load(case_id, values=values)
        except ReadOnlyError:
            case = None
        if case is not None and case.read_only is None:
            return case
        self.pass_over(case_id, tx.now)
        return None

    def due(self, tx: Tx, what: str, limit: int, seen: Collection[Due] = ()) -> list[Due]:
        """(case id, review id or None) whose time has come, as many as `limit` beside those passed over and seen."""
        self._look_again(tx.now)
        found = tx.due(what, tx.now, limit + len(self._passed) + len(seen))
        return [row for row in found if row[0] not in self._passed and row not in seen][:limit]

    def pass_over(self, case_id: str, now: int) -> None:
        """Leave a case to newer versions for a while."""
        self._passed.pop(case_id, None)
        self._passed[case_id] = now + LOOK_AGAIN

    def _look_again(self, now: int) -> None:
        """Forget the case that has been passed over for longest, once its time is up: one a call, never all."""
        for case_id, until in list(self._passed.items())[:1]:
            if until <= now:
                self._passed.pop(case_id, None)
