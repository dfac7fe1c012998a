"""What slips through people, looked at directly: blind answers to cases that people decide, and to what they decided.

Once a guarantee has opened, people decide most cases with the proposal shown; a share is asked blind instead, and of
the others a share is asked again afterwards, blind.  The first say how many proposals that reach people are wrong, the
second how many wrong ones come through.  Each is one person's word, which nobody adjudicates.
"""

from __future__ import annotations

from collections.abc import Iterable

from dualcontrol.events import AlarmRaised, Audited, Concluded, Decided, Entry, Event, ReviewOpened, Routed
from dualcontrol.oversight.certificate import OversightCertificate

DISAGREES = "oversight_disagrees"  # the code of the alarm


class Direct:
    """Counts of a loop's blind answers, folded from the ledger up to position `read`.

    `wrong` of `labels` proposals that reached people were wrong, `passed` of `audits` decisions let a wrong one pass.
    """

    def __init__(self) -> None:
        self.read = 0
        self.labels = self.wrong = self.audits = self.passed = 0
        self._asked: dict[str, tuple[bool, int | None]] = {}  # of open cases: asked blind, and wrong by the decision
        self._concluded: tuple[str, int | None] = ("", None)
        self._again: dict[str, int] = {}  # cases that are asked again: wrong by the decision

    def take(self, entries: Iterable[Entry]) -> int:
        """Take entries of the feed in; returns how many there were."""
        count = 0
        for entry in entries:
            count, self.read = count + 1, entry.pos or self.read
            kind, _, case_id = entry.stream.partition("/")
            for event in entry.events if kind == "case" else ():
                self._take(case_id, event)
        return count

    def _take(self, case_id: str, event: Event) -> None:
        if isinstance(event, Routed):
            # while all are asked blind, none is shown: they are other cases than those that are asked again
            if event.to == "human" and event.evidence is not None and float(event.evidence) < 1.0:
                self._asked[case_id] = bool(event.asked_blind), None
        elif isinstance(event, Decided) and case_id in self._asked:
            self._asked[case_id] = self._asked[case_id][0], event.wrong
        elif isinstance(event, Concluded) and case_id in self._asked:
            blind, wrong = self._asked.pop(case_id)
            if not blind:
                self._concluded = case_id, wrong
            elif event.by == "human" and wrong is not None:
                self.labels, self.wrong = self.labels + 1, self.wrong + wrong
        elif isinstance(event, ReviewOpened) and event.again is not None:
            concluded, wrong = self._concluded
            if concluded == case_id and wrong is not None:
                self._again[case_id] = wrong
        elif isinstance(event, Audited) and case_id in self._again:
            wrong = self._again.pop(case_id)
            if event.wrong is not None:
                self.audits, self.passed = self.audits + 1, self.passed + (event.wrong and not wrong)

    def tell(self, certificate: OversightCertificate) -> None:
        """Give the counts to a certificate, which asks for no order."""
        for place in range(self.labels):
            certificate.label(wrong=place < self.wrong)
        for place in range(self.audits):
            certificate.audit(passed_wrong=place < self.passed)

    def alarm(self, certificate: OversightCertificate, now: int) -> AlarmRaised | None:
        """The alarm where probes and the direct figure exclude each other."""
        disagreement = certificate.disagreement
        if disagreement is None:
            return None
        reason = (
            f"{disagreement} than probes say: {self.passed} of {self.audits} decisions of people, asked again without "
            f"the proposal, let a wrong one pass, and {certificate.words}. Probes may be easier or harder to see than "
            "real errors, or come at other times"
        )
        return AlarmRaised(code=DISAGREES, reason=reason, at=now)
