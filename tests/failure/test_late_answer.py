"""An answer that comes after its lease has run out is refused, whoever else was there or not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from failure.conftest import PAY, kinds

import dualcontrol as dc
from dualcontrol.errors import ClaimError
from dualcontrol.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def desk(database_url: str, clock: FakeClock) -> Iterator[dc.Desk]:
    with dc.open(database_url, durability="process", clock=clock) as desk:
        desk.loop("pay", context="minimal")
        yield desk


@pytest.fixture
def case(desk: dc.Desk) -> dc.Case:
    return desk.loop("pay").propose(**PAY)


def test_nobody_else_took_it(desk: dc.Desk, case: dc.Case, clock: FakeClock) -> None:
    late = desk.claim("ana", lease="1m")
    clock.tick(60)
    for _ in range(2):
        with pytest.raises(ClaimError):
            late.approve()
        desk.sweep()
    assert desk.case(case.id).settled is None
    assert kinds(desk, case.id)[-2:] == ["Claimed", "LeaseExpired"]
    desk.claim("ana").approve()
    assert desk.case(case.id).outcome.reviewers == ("ana",)


def test_somebody_else_holds_it(desk: dc.Desk, case: dc.Case, clock: FakeClock) -> None:
    late = desk.claim("ana", lease="1m")
    clock.tick(61)
    other = desk.claim("ben")
    with pytest.raises(ClaimError):
        late.reject("no")
    with pytest.raises(ClaimError):
        late.extend("10m")
    with pytest.raises(ClaimError):
        late.release()
    other.approve()
    assert desk.case(case.id).outcome.reviewers == ("ben",)


def test_somebody_else_has_answered(desk: dc.Desk, case: dc.Case, clock: FakeClock) -> None:
    late = desk.claim("ana", lease="1m")
    clock.tick(61)
    desk.claim("ben").reject("no")
    before = len(desk.store.queries.entries(f"case/{case.id}"))
    with pytest.raises(ClaimError):
        late.approve()
    assert len(desk.store.queries.entries(f"case/{case.id}")) == before
    assert desk.case(case.id).outcome.verdict == "reject"


def test_an_answer_in_the_last_moment_counts(desk: dc.Desk, case: dc.Case, clock: FakeClock) -> None:
    claim = desk.claim("ana", lease="1m")
    clock.tick(59.999)
    claim.approve()
    assert desk.case(case.id).outcome.verdict == "approve"


def test_more_time_is_more_time(desk: dc.Desk, case: dc.Case, clock: FakeClock) -> None:
    claim = desk.claim("ana", lease="1m")
    clock.tick(30)
    claim.extend("1m")
    clock.tick(45)
    claim.approve()
    assert desk.case(case.id).outcome.verdict == "approve"
