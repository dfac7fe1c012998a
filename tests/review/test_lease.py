"""Random claims, releases, answers and time against a small dictionary model; the ledger folds to the row each time."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import dualcontrol as dc
from dualcontrol.doctor import PROBLEM, examine
from dualcontrol.errors import AnswerError, ClaimError
from dualcontrol.evolve import fold
from dualcontrol.testing import FakeClock, seeded_ids

PEOPLE = st.sampled_from(["ana", "ben", "cleo"])
WHAT = st.sampled_from(["approve", "reject", "abstain", "release", "extend", "steal"])
LEASE = 60.0


class Leases(RuleBasedStateMachine):
    """The model: which case is held by whom until when, which claim ids were ever given, what was answered."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.desk = dc.open("sqlite:///:memory:", durability="process", clock=self.clock, new_id=seeded_ids(0))
        self.loop = self.desk.loop("pay", context="minimal", lease=LEASE)
        self.open: list[str] = []
        self.held: dict[str, tuple[str, str, float]] = {}
        self.given: dict[str, tuple[str, str]] = {}
        self.answered: dict[str, tuple[str, str]] = {}
        self.passed: set[tuple[str, str]] = set()

    def teardown(self) -> None:
        assert not [finding for finding in examine(self.desk.store) if finding.level == PROBLEM]
        self.desk.close()

    @property
    def now(self) -> float:
        return self.clock.at / 1e6

    def in_force(self, claim_id: str) -> bool:
        case, _ = self.given[claim_id]
        held = self.held.get(case)
        return held is not None and held[0] == claim_id and held[2] > self.now

    def free(self, person: str) -> list[str]:
        """What this person may claim now; who has abstained from a case does not see it again."""
        idle = [c for c in self.open if c not in self.held or self.held[c][2] <= self.now]
        return [c for c in idle if (c, person) not in self.passed]

    @rule()
    def propose(self) -> None:
        self.open.append(self.loop.propose(action="pay", args={}, input=1).id)

    @rule(person=PEOPLE)
    def claim(self, person: str) -> None:
        claim = self.desk.claim(person, "pay")
        assert (claim is None) == (not self.free(person))
        if claim is not None:
            assert claim.case.id in self.free(person)
            assert claim.id not in self.given
            self.given[claim.id] = (claim.case.id, person)
            self.held[claim.case.id] = (claim.id, person, self.now + LEASE)

    @rule(seconds=st.sampled_from([1.0, 30.0, 61.0]))
    def tick(self, seconds: float) -> None:
        self.clock.tick(seconds)

    @rule()
    def sweep(self) -> None:
        self.desk.sweep()

    @precondition(lambda self: self.given)
    @rule(
        which=st.integers(0, 30), what=st.sampled_from(["approve", "reject", "abstain", "release", "extend", "steal"])
    )
    def use(self, which: int, what: str) -> None:
        """Do something under any claim that was ever given; it counts only while the claim is in force."""
        claim_id = list(self.given)[which % len(self.given)]
        case, person = self.given[claim_id]
        allowed = self.in_force(claim_id) and what != "steal"
        try:
            self.do(claim_id, what)
        except (AnswerError, ClaimError):
            assert not allowed
            return
        assert allowed
        self.note(claim_id, case, person, what)

    def do(self, claim_id: str, what: str) -> None:
        if what == "release":
            self.desk.release(claim_id)
        elif what == "extend":
            self.desk.extend(claim_id, LEASE * 2)
        elif what == "steal":
            self.desk.answer(claim_id, "approve", person="mallory")
        else:
            self.desk.answer(claim_id, what)

    def note(self, claim_id: str, case: str, person: str, what: str) -> None:
        if what == "extend":
            self.held[case] = (claim_id, person, max(self.held[case][2], self.now + LEASE * 2))
            return
        del self.held[case]
        if what in ("approve", "reject"):
            self.open.remove(case)
            self.answered[case] = (person, what)
        elif what == "abstain":
            self.passed.add((case, person))

    @invariant()
    def rows_are_what_the_model_says(self) -> None:
        for case_id, (person, verdict) in self.answered.items():
            outcome = self.desk.case(case_id).outcome
            assert outcome is not None
            assert (outcome.reviewers, outcome.verdict) == ((person,), verdict)

    @invariant()
    def the_ledger_folds_to_the_row(self) -> None:
        for case_id in {case for case, _ in self.given.values()}:
            case = None
            for entry in self.desk.store.queries.entries(f"case/{case_id}"):
                case = fold(case, entry.events, seq=entry.seq)
            assert case == self.desk.case(case_id)


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
