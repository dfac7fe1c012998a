"""Two answers at once, from two processes that hold the same claim: one counts, the other is told."""

from __future__ import annotations

from failure.conftest import PAY, Beside, folded, kinds

import dualcontrol as dc


def test_one_of_two_answers_counts(desk: dc.Desk, loop: dc.Loop, beside: Beside) -> None:
    case = loop.propose(**PAY)
    claim = desk.claim("ana")
    beside.start("answer", claim.id, "approve")
    beside.start("answer", claim.id, "reject")
    beside.go()
    said = beside.said()
    assert sorted(s.startswith("DC-") for s in said) == [False, True]
    assert "DC-SETTLED" in said
    events = kinds(desk, case.id)
    assert (events.count("Answered"), events.count("Decided"), events.count("Concluded")) == (1, 1, 1)
    assert desk.case(case.id).outcome.verdict == ("reject" if said[0].startswith("DC-") else "approve")
    assert folded(desk, case.id) == desk.case(case.id)


def test_two_people_of_a_quorum_at_once(desk: dc.Desk, beside: Beside) -> None:
    case = desk.loop("pay", context="minimal", quorum={"answers": 2}).propose(**PAY)
    for claim in (desk.claim("ana"), desk.claim("ben")):
        beside.start("answer", claim.id, "approve")
    beside.go()
    assert not [s for s in beside.said() if s.startswith("DC-")]
    assert kinds(desk, case.id).count("Decided") == 1
    assert set(desk.case(case.id).outcome.reviewers) == {"ana", "ben"}
