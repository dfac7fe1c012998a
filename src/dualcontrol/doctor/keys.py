"""The rows of keys against the cases that were opened with them: what is not found under its key runs again."""

from __future__ import annotations

from collections.abc import Iterator

from dualcontrol.case import Case
from dualcontrol.doctor.finding import PROBLEM, WARNING, Finding, some
from dualcontrol.doctor.stored import KEEP, UNREADABLE
from dualcontrol.keys import content_print
from dualcontrol.store import Queries, key_digest

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
        self._sound = 0
        self._other: dict[str, Finding] = {}

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
        else:
            self._fingerprint(case, row.fingerprint)
            return
        yield Finding("evidence", PROBLEM, what, AGAIN, case.id)

    def _fingerprint(self, case: Case, stored: str) -> None:
        """Note whether the key stands for this content; erased content can no longer be compared."""
        if case.erased:
            return
        content = case.content
        if stored == content_print(self._secret, content.get("candidates", ()), case.proposed, content.get("input")):
            self._sound += 1
            return
        what = f"the key of case {case.id} stands for other content than the case has: it is refused when it comes back"
        self._other[case.id] = Finding("evidence", PROBLEM, what, KEEP, case.id)

    def left(self) -> Iterator[Finding]:
        """Fingerprints that do not hold, and keys of which no case knows."""
        if self._other and not self._sound:
            what = f"{some(len(self._other), 'key')} cannot be compared with content: this secret made none of them"
            yield Finding("evidence", WARNING, what, SECRET)
        else:
            yield from self._other.values()
        if self._queries.key_count() != len(self._known):
            yield from self._nobodys()

    def _nobodys(self) -> Iterator[Finding]:
        for loop_id, digest, case_id in self._queries.key_rows():
            try:
                case = self._queries.case(case_id)
            except UNREADABLE:
                continue  # a finding of its own
            if case is None or case.key is None or key_digest(case.key) != digest:
                what = f"a key of loop/{loop_id} leads to case {case_id}, which was not opened with it"
                yield Finding("evidence", PROBLEM, what, KEEP, case_id)
