"""The record of a loop's probes: what people answered to them, folded into rates, scorecards and alarms.

It is read from the cases themselves, and kept in memory; any process folds the same record again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from dualcontrol.case import Case, Value
from dualcontrol.names import identity
from dualcontrol.oversight.allowance import Blind, BlindAnswer
from dualcontrol.oversight.certificate import OversightCertificate
from dualcontrol.oversight.rates import Team
from dualcontrol.oversight.scorecard import Scorecard
from dualcontrol.oversight.stamping import Stamping
from dualcontrol.probe import key_of
from dualcontrol.schema import plain_text
from dualcontrol.vigilance.direct import Direct

OVERLAP = 60_000_000  # microseconds that are read again, since who closed a case first may have committed last
DAY = 86_400_000_000
LARGEST = 2.0  # weight of a probe: those whom it is not needed of get half as many
DELTA = 0.05
FASTEST = 0.001  # seconds: a program answers faster, and its times say nothing of people


class Answered(Value, frozen=True, kw_only=True):
    """One probe that somebody answered."""

    case_id: str
    person: str
    at: int
    wrong: bool
    rejected: bool
    blind: bool
    how: str
    weight: float
    seconds: float | None
    verdict: str
    mode: str = "labels"
    by_step: bool = False
    correct: bool | None = None
    first_wrong: bool | None = None
    level: str = ""
    source: str | None = None

    @property
    def counts(self) -> bool:
        """Whether it says what people miss: a wrong proposal in view, or the model's own error asked blind.

        Without the proposal nobody can miss that another one was put in its place; an action is seen in the end.
        """
        return self.wrong and (not self.blind or self.how == "replayed" or self.mode == "approval")

    @property
    def slip(self) -> bool | None:
        """Whether it is a miss for the rubber-stamp test; None where it says nothing.

        Of who commits first by their step it is what they say at last of an action, and whether a label is right.
        """
        if not self.by_step:
            return not self.rejected if self.counts else None
        if self.mode == "approval":
            return self.verdict == "approve" if self.wrong else None
        return None if self.correct is None else not self.correct

    @property
    def switch(self) -> dict[str, bool] | None:
        """What a commitment and the answer after it were, for `Scorecard.switch`; None where nobody committed.

        Where an action was made wrong the right one should happen, and not the one that was shown then.
        """
        if self.first_wrong is None:
            return None
        should = not self.wrong or self.how == "mutated"
        return {
            "right_before": should is not self.first_wrong, "ai_right": not self.wrong,
            "right_after": (self.verdict != "approve") is self.wrong,
        }  # fmt: skip


class Verdict(NamedTuple):
    """How a run of the rubber-stamp test ended for somebody, and by which probe."""

    person: str
    at: int
    case_id: str
    stamping: bool


class Flag(NamedTuple):
    """When somebody was flagged by the rubber-stamp test, and by which probe."""

    person: str
    at: int
    case_id: str


def answered(case: Case) -> Answered | None:
    """The probe of a case, if it is one that somebody answered."""
    scored = case.scored
    if case.kind != "probe" or scored is None or scored.rejected is None:
        return None
    review, answer = case.review(scored.review_id), next(
        (a for a in case.answered if a.review_id == scored.review_id), None
    )  # fmt: skip
    if review is None or answer is None:
        return None
    first, key = case.content.get(f"first/{review.id}"), key_of(case)
    said = case.content.get(f"answer/{review.id}") or {}
    known = key is not None and key.right is not None and case.mode != "approval"
    return Answered(
        case_id=case.id, person=answer.actor.person, at=scored.at, wrong=scored.wrong, rejected=scored.rejected,
        blind=scored.blind, how=scored.how, weight=scored.weight, verdict=answer.verdict, mode=case.mode,
        by_step=review.by_step,
        correct=plain_text(said.get("value")) == plain_text(key.right) if known and key is not None else None,
        seconds=answer.seconds if answer.seconds is not None and answer.seconds >= FASTEST else None,
        first_wrong=None if first is None else first.get("should") == "not", level=key.level if key else "",
        source=case.parent,
    )  # fmt: skip


class Practised(NamedTuple):
    """A training case that is over: for whom, when it was opened, and whether it was answered."""

    person: str
    opened_at: int
    answered: bool


class Record:
    """All answered probes of a loop in order of time, and what they come to."""

    def __init__(self) -> None:
        self.probes: dict[str, Answered] = {}
        self.practised: dict[str, Practised] = {}
        self.exposed: defaultdict[str, set[str]] = defaultdict(set)  # who has seen a probe of a source, by its case
        self.authored: dict[str, None] = {}  # cases that somebody wrote as probes, to be copied
        self.direct = Direct()
        self.since = 0
        self._known: dict[str, int] = {}  # the last entry of each case that was read
        self._blind: Blind | None = None  # what follows from all probes, until there is another one

    def read(self, closed: Callable[[int, Mapping[str, int]], Iterable[Case]]) -> None:
        """Read on; `closed` gives the probes that were closed since a time, but for those known as they are."""
        for case in closed(max(0, self.since - OVERLAP), self._known):
            self._known[case.id] = case.seq
            self.since = max(self.since, case.closed_at or 0)
            for review in case.reviews:
                if case.parent is not None and review.addressee is not None:
                    self.exposed[case.parent].add(identity(review.addressee))
            if case.scored is not None and case.scored.how == "authored" and not case.reviews and not case.erased:
                self.authored[case.id] = None
            if case.kind == "practice" and case.scored is not None and case.reviews:
                person = identity(case.reviews[0].addressee or "")
                self.practised[case.id] = Practised(person, case.opened_at, case.scored.rejected is not None)
            probe = answered(case)
            if probe is not None and probe != self.probes.get(case.id):
                self.probes[case.id] = probe
                self._blind = None

    def ordered(self) -> list[Answered]:
        """The probes in the order in which they were answered."""
        return sorted(self.probes.values(), key=lambda probe: (probe.at, probe.case_id))

    def blind(self) -> Blind:
        """The blind answers to the model's own errors: what evidence loses by people who miss them."""
        if self._blind is None:
            known = (probe for probe in self.ordered() if probe.blind and probe.counts)
            self._blind = Blind(BlindAnswer(probe.source or probe.case_id, not probe.rejected) for probe in known)
        return self._blind

    def figures(self) -> Figures:
        """Everything that the probes say."""
        return Figures(self.ordered(), self.direct)


class Figures:
    """Rates of both kinds with their limits, a scorecard for each person, and the flags of the rubber-stamp test."""

    def __init__(self, probes: list[Answered], direct: Direct | None = None) -> None:
        self.probes = probes
        self.names: dict[str, str] = {}
        self.shown, self.blind = Team("shown", DELTA), Team("blind", DELTA)
        self._sources: set[str] = set()  # whose first blind answer has counted
        self.certificate = OversightCertificate(1.0 - DELTA, largest=LARGEST)
        self.cards: defaultdict[str, Scorecard] = defaultdict(Scorecard)
        self.team = Scorecard()
        self.levels, self.levels_blind = Team("shown", DELTA), Team("blind", DELTA)  # by context level
        self.level_cards: defaultdict[str, Scorecard] = defaultdict(Scorecard)
        self.tests: defaultdict[str, Stamping] = defaultdict(Stamping)
        self.verdicts: defaultdict[str, list[Verdict]] = defaultdict(list)
        self.flags: list[Flag] = []
        for probe in probes:
            self._count(probe)
        if direct is not None:
            direct.tell(self.certificate)

    def _count(self, probe: Answered) -> None:
        person = identity(probe.person)
        self.names[person] = probe.person
        if not probe.blind:
            for card in (self.team, self.cards[person], *([self.level_cards[probe.level]] if probe.level else ())):
                card.observe(wrong=probe.wrong, rejected=probe.rejected, seconds=probe.seconds)
        if (switch := probe.switch) is not None:
            for card in (self.team, self.cards[person]):
                card.switch(**switch)
        self._test(probe, person)
        if not probe.counts:
            return
        missed = not probe.rejected
        team = self.blind if probe.blind else self.shown
        source = probe.source or probe.case_id
        team.observe(person, missed=missed, kind=team.kind, again=probe.blind and source in self._sources)
        if probe.blind:
            self._sources.add(source)
        if probe.level:
            levels = self.levels_blind if probe.blind else self.levels
            levels.observe(probe.level, missed=missed, kind=levels.kind)
        if not probe.blind:
            self.certificate.probe(missed=missed, weight=probe.weight)

    def _test(self, probe: Answered, person: str) -> None:
        """Go on with somebody's rubber-stamp test; a run of it that ends is a verdict."""
        ending = None if probe.slip is None else self.tests[person].observe(probe.slip)
        if ending is not None:
            self.verdicts[person].append(Verdict(probe.person, probe.at, probe.case_id, ending == "stamping"))
        if ending == "stamping":
            self.flags.append(Flag(probe.person, probe.at, probe.case_id))

    def known_wrong(self, person: str, since: int) -> int:
        """How many probes that count somebody has answered since a time."""
        key = identity(person)
        return sum(p.counts and p.at >= since and identity(p.person) == key for p in self.probes)

    def suspected(self, person: str) -> bool:
        """Whether the test leans towards stamping."""
        test = self.tests.get(identity(person))
        return test is not None and test.evidence > 0.0
