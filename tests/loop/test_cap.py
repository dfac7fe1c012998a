"""The cap: nobody answers more cases of a risk in 24 hours than the loop allows, whichever loops they were in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dualcontrol as dc
from dualcontrol.control import Cap, level_of
from dualcontrol.errors import CapError, SettingsError
from dualcontrol.testing import FakeClock

LOOP: dict[str, Any] = {"mode": "labels", "labels": ["a", "b"], "context": "minimal", "lease": "1h"}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def desk(database_url: str, clock: FakeClock) -> Iterator[dc.Desk]:
    with dc.open(database_url, durability="process", clock=clock) as desk:
        yield desk


def ask(loop: dc.Loop, risk: Any = "high") -> dc.Case:
    return loop.propose(proposal="a", alternatives=["b"], input="q", risk=risk)


def test_a_case_above_the_cap_is_refused_and_goes_to_others(desk: dc.Desk, clock: FakeClock) -> None:
    loop = desk.loop("mail", cap={"high": 2}, **LOOP)
    cases = [ask(loop) for _ in range(4)]
    for case in cases[:2]:
        desk.claim("ana", case=case).label("a")
    with pytest.raises(CapError, match="Ana has had 2 cases of high risk in 24 hours") as refused:
        desk.claim("Ana", case=cases[2])
    assert (refused.value.code, refused.value.details) == ("DC-CAP", {"bound": 2, "what": "of high risk"})
    with pytest.raises(CapError):
        desk.claim("ana", "mail")
    assert desk.case(cases[2].id).reviews[0].state == "open"
    low = ask(loop, "low")
    assert desk.claim("ana", "mail").case.id == low.id  # another risk has a count of its own
    desk.claim("ben", case=cases[2]).label("a")
    clock.tick(86_401.0)
    desk.claim("ana", case=cases[3]).label("a")


def test_what_somebody_holds_counts_and_what_they_give_back_does_not(desk: dc.Desk) -> None:
    loop = desk.loop("mail", cap={"high": 1}, **LOOP)
    first, second = ask(loop), ask(loop)
    held = desk.claim("ana", case=first)
    with pytest.raises(CapError):
        desk.claim("ana", case=second)
    held.release()
    assert desk.claim("ana", case=second) is not None


def test_all_loops_count_together_also_what_is_not_closed_yet(desk: dc.Desk) -> None:
    other = desk.loop("other", quorum={"answers": 2}, **LOOP)
    loop = desk.loop("mail", cap={"high": 1, "total": 2}, **LOOP)
    assert desk.claim("ana", case=ask(other)).label("a").state == "open"
    with pytest.raises(CapError, match="1 case of high risk"):
        desk.claim("ana", case=ask(loop))
    desk.claim("ana", case=ask(other, None)).label("a")
    with pytest.raises(CapError, match="2 cases in all"):
        desk.claim("ana", case=ask(loop, "low"))
    assert desk.claim("ana", case=ask(other)) is not None  # that loop has no cap


def test_accounts_of_one_human_count_together(desk: dc.Desk) -> None:
    loop = desk.loop("mail", cap={"high": 1}, **LOOP)
    desk.people.set_up("root", "a long password of ours")
    for name in ("ana", "ana2"):
        desk.people.invite(name, by="root", roles=[dc.people.Grant(role="reviewer")])
    desk.people.link("ana", "ana2", by="root")
    desk.claim("ana", case=ask(loop)).label("a")
    with pytest.raises(CapError):
        desk.claim("ana2", case=ask(loop))


@pytest.mark.parametrize(("cap", "words"), [({"hgih": 3}, "did you mean 'high'"), ({"high": -1}, "from 0 to 100000")])
def test_a_cap_that_is_none_is_refused(cap: Any, words: str) -> None:
    with dc.open("sqlite:///:memory:") as desk, pytest.raises(SettingsError, match=words):
        desk.loop("mail", cap=cap, **LOOP)


@given(st.floats(0, 1))
def test_a_number_belongs_to_the_highest_level_that_it_reaches(risk: float) -> None:
    level = level_of(risk)
    assert level == level_of(level) or level == "low"
    assert {"low": 0.0, "medium": 0.5, "high": 0.75, "critical": 1.0}[level] <= risk
    assert Cap(**{level: 0}).reached(risk, {}) == (f"of {level} risk", 0)
    assert Cap(**{level: 1}).reached(risk, {}) is None
