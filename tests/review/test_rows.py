"""What a review is worth, and the order of the queue that follows, through the real desk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dualcontrol as dc
from dualcontrol.case import risk_number
from dualcontrol.events import ReviewOpened
from dualcontrol.review.rows import LEAST, value
from dualcontrol.testing import FakeClock

PROMISE = 900.0
CREW = {"reviewers": 3, "availability": 1.0}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def desk(clock: FakeClock) -> Iterator[dc.Desk]:
    with dc.open("sqlite:///:memory:", durability="process", clock=clock) as desk:
        yield desk


def opened(desk: dc.Desk, **settings: Any) -> dc.Loop:
    given = {"context": "minimal", "respond_within": "15m", "on_timeout": "hold", "threshold": 0.9}
    return desk.loop("pay", **{"capacity": CREW, **given, **settings})


def asked(loop: dc.Loop, confidence: float | None, **given: Any) -> str:
    return loop.propose(action="pay", args={}, input="x", confidence=confidence, **given).id


def taken(desk: dc.Desk, rows: int) -> list[str]:
    """The cases in the order in which people get them."""
    claims = [desk.claim(f"person {n}", "pay") for n in range(rows)]
    return [claim.case.id for claim in claims if claim is not None]


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0.1, 60), st.floats(0, 100))
def test_a_review_is_worth_the_loss_it_prevents(
    loss: float, wrong: float, miss: float, took: float, age: float
) -> None:
    found = value(loss, wrong, miss, took, age, promise=10.0)
    assert 0.0 <= found <= value(1.0, 1.0, 0.0, took, age, promise=10.0)
    assert found >= value(loss, wrong, miss, took * 2, age, promise=10.0)
    assert found <= value(loss, wrong, miss, took, age + 1, promise=10.0)
    assert value(loss, wrong, 0.0, 1.0) == loss * wrong


def test_the_likelier_wrong_goes_first(desk: dc.Desk, clock: FakeClock) -> None:
    loop = opened(desk)
    sure = asked(loop, 0.8)
    clock.tick(1)
    unsure = asked(loop, 0.3)
    clock.tick(1)
    unknown = asked(loop, None)
    assert taken(desk, 3) == [unknown, unsure, sure]


def test_first_come_where_no_capacity_is_declared(desk: dc.Desk, clock: FakeClock) -> None:
    loop = opened(desk, capacity=None)
    first = asked(loop, 0.8)
    clock.tick(1)
    second = asked(loop, 0.3)
    assert taken(desk, 2) == [first, second]


def test_a_risk_counts_as_much_as_the_chance(desk: dc.Desk, clock: FakeClock) -> None:
    """Half as likely wrong, twice as much to lose: first come."""
    loop = opened(desk)
    first = asked(loop, 0.5, risk="low")
    clock.tick(1)
    second = asked(loop, 0.75, risk="medium")
    clock.tick(1)
    third = asked(loop, 0.7, risk="medium")
    assert taken(desk, 3) == [third, first, second]


@pytest.mark.parametrize("risk", ["low", "medium", "high", "critical"])
@pytest.mark.parametrize("confidence", [0.0, 0.4, 0.85])
def test_a_place_is_when_it_is_worth_as_much_as_a_new_unknown_one(
    desk: dc.Desk, clock: FakeClock, risk: str, confidence: float
) -> None:
    """One response time after it, for all rows alike, so that places are not in the past."""
    case_id = asked(opened(desk, threshold=None), confidence, risk=risk)
    row = next(event for event in desk.events(case_id) if isinstance(event, ReviewOpened))
    age = (row.order_at - row.opened_at) / 1e6 - PROMISE
    loss = 4.0 * risk_number(risk)
    assert value(loss, 1.0 - confidence, 0.0, 1.0, age, PROMISE) == pytest.approx(1.0, abs=1e-6)


def test_nothing_starves(desk: dc.Desk, clock: FakeClock) -> None:
    """The surest waits for those that come within twenty response times, never for later ones."""
    loop = opened(desk, threshold=None)
    sure = asked(loop, 1.0)
    clock.tick(PROMISE / LEAST - PROMISE - 1)
    before = asked(loop, None)
    clock.tick(2)
    after = asked(loop, None)
    assert taken(desk, 3) == [before, sure, after]


def test_what_is_drawn_for_evidence_is_not_put_off_because_it_looks_right(desk: dc.Desk, clock: FakeClock) -> None:
    loop = opened(desk, audit=1.0)
    audited = asked(loop, 0.99)
    clock.tick(1)
    unsure = asked(loop, 0.5)
    assert taken(desk, 2) == [audited, unsure]
