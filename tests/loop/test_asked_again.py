"""What slips through people, looked at directly: a share of what they decided is asked again of somebody else."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import dualcontrol as dc
from dualcontrol.events import AlarmRaised, Audited, ReviewOpened
from dualcontrol.testing import FakeClock, seeded_ids

TEAM = ("ana", "ben", "cal")
PROMISE = {"max_error": 0.2, "confidence": 0.8, "pilot": 20, "launch": 0, "miss_rate": 0.0, "blind_share": 0.2}


class Team:
    """A loop whose people catch everything blind, and the share `shown` of what they see proposed.

    Half of the less sure half is wrong, and nothing of the rest.  With `notices_probes` they know a question that
    comes again, and look at it.
    """

    def __init__(self, url: str, *, shown: float = 1.0, again: float = 0.5, notices_probes: bool = False) -> None:
        self.url, self.shown, self.chance = url, shown, random.Random(2)
        self.clock, self.ids, self.truth = FakeClock(), seeded_ids(4), {}
        self.again, self.notices_probes, self.decided = again, notices_probes, set()
        self.open()

    def open(self) -> None:
        self.desk = dc.open(self.url, clock=self.clock, new_id=self.ids, durability="process", secret="5eed" * 16)
        self.loop = self.desk.loop(
            "mail", mode="labels", labels=["a", "b"], context="minimal", audit=0.05, guarantee=PROMISE,
            probes={"share": 0.2, "again": self.again},
        )  # fmt: skip

    def go(self, count: int) -> Team:
        for _ in range(count):
            self.clock.tick(10.0)
            score = self.chance.random()
            wrong = score < 0.5 and self.chance.random() < 0.5
            question = f"mail {len(self.truth)}"
            self.truth[question] = "b" if wrong else "a"
            self.loop.propose(proposal="a", input=question, confidence=score)
            for person in self.chance.sample(TEAM, len(TEAM)):
                while (claim := self.desk.claim(person, "mail")) is not None:
                    asked, seen = claim.view["input"], claim.view["proposal"]
                    looks = seen is None or self.chance.random() < self.shown
                    looks = looks or (self.notices_probes and asked in self.decided)
                    claim.label(self.truth[asked] if looks else seen["value"])
                    self.decided.add(asked)
        self.desk.sweep()
        return self

    def opened(self) -> Team:
        for _ in range(20):
            if self.loop.control.thresholds:
                return self
            self.go(30)
        raise AssertionError("nothing was certified")

    def cases(self) -> list[Any]:
        ids = dict.fromkeys(e.case_id for e in self.desk.store.queries.examples(self.loop.control.loop_id, limit=5_000))
        return [case for case in map(self.desk.case, ids) if case.kind == "live"]

    def again_rows(self) -> list[tuple[Any, ReviewOpened]]:
        return [
            (case, event) for case in self.cases() for entry in self.desk.store.queries.entries(f"case/{case.id}")
            for event in entry.events if isinstance(event, ReviewOpened) and event.again is not None
        ]  # fmt: skip

    def alarms(self) -> list[str]:
        events = [e for entry in self.desk.store.queries.entries(self.loop.stream) for e in entry.events]
        return [e.reason for e in events if isinstance(e, AlarmRaised) and e.code == "oversight_disagrees"]


@pytest.fixture
def team() -> Iterator[Any]:
    made: list[Team] = []

    def start(url: str = "sqlite:///:memory:", **given: Any) -> Team:
        made.append(Team(url, **given))
        return made[-1]

    yield start
    for one in made:
        one.desk.close()


def test_a_share_of_what_was_decided_with_the_proposal_is_asked_again_blind(team, database_url: str):
    t = team(database_url).opened().go(80)
    drawn = t.again_rows()
    decided = [case for case in t.cases() if case.route.shown]
    assert 0.3 * len(decided) < len(drawn) < 0.7 * len(decided)
    for case, event in drawn:
        assert case.route.shown
        assert (event.review, event.blind, event.again) == ("audit", True, "0.5")
        assert case.review(event.review_id).person not in (case.answered[0].actor.person, None)
        assert case.outcome is not None
    examples = Counter(e.case_id for e in t.desk.store.queries.examples(t.loop.control.loop_id, limit=5_000))
    assert {examples[case.id] for case, _ in drawn} == {1}


def test_it_is_no_evidence_and_nobody_is_asked_once_more(team):
    t = team(shown=0.0).opened().go(80)
    drawn = t.again_rows()
    wrong = [case for case, _ in drawn if case.audits[-1]["wrong"] == 1]
    assert wrong
    assert all(len(case.reviews) == 2 for case, _ in drawn)
    counted = {row["seq"] for row in t.loop.evidence()}
    positions = {
        case.id: entry.pos for case, _ in drawn for entry in t.desk.store.queries.entries(f"case/{case.id}")[:1]
    }
    assert positions
    assert not counted & set(positions.values())


def test_none_is_asked_again_where_the_settings_say_so_or_while_all_is_blind(team):
    t = team(again=0.0).opened().go(60)
    assert [case for case in t.cases() if case.route.shown]
    assert t.again_rows() == []
    early = team(again=0.5).go(30)
    assert early.loop.control.thresholds == {}
    assert early.again_rows() == []


def test_the_certificate_has_the_direct_figure(team, tmp_path):
    t = team(f"sqlite:///{tmp_path}/dc.db", shown=0.0).opened().go(120)
    figures = t.desk.prober.figures(t.loop.control).certificate.figures()
    audited = [e for case, _ in t.again_rows() for entry in t.desk.store.queries.entries(f"case/{case.id}")
               for e in entry.events if isinstance(e, Audited)]  # fmt: skip
    passed = [e.wrong for e in audited]
    assert figures.direct == pytest.approx(sum(passed) / len(passed))  # whoever is shown a proposal lets it pass
    blind = [case.settled.wrong for case in t.cases()
             if case.route.asked_blind and case.route.evidence < 1.0 and case.settled is not None]  # fmt: skip
    assert figures.wrong == pytest.approx(sum(blind) / len(blind))
    t.desk.close()
    t.open()
    assert t.desk.prober.figures(t.loop.control).certificate.figures() == figures


def test_an_alarm_is_raised_once_where_probes_and_the_direct_figure_exclude_each_other(team, tmp_path):
    t = team(f"sqlite:///{tmp_path}/dc.db", shown=0.0, notices_probes=True).opened()
    while not t.alarms():
        t.go(20)
        assert len(t.truth) < 1_500
    (reason,) = t.alarms()
    assert reason.startswith("more gets through than probes say")
    t.desk.close()
    t.open()
    t.go(60)
    assert len(t.alarms()) == 1
