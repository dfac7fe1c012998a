"""Until when an answer may be taken back: as the loop declares, else ten seconds for what is answered on a page."""

from __future__ import annotations

from typing import Any

import pytest

import dualcontrol as dc

SECOND = 1_000_000
NOW = 1_800_000_000 * SECOND


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now

    def tick(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(database_url: str, clock: Clock):
    with dc.open(database_url, durability="process", clock=clock) as desk:
        yield desk


def paid(desk: dc.Desk, **settings: Any) -> dc.Case:
    """A payment that waits for a human."""
    return desk.loop("pay", context="minimal", **settings).propose(action="pay", args={"n": 1}, input="x")


def answered(desk: dc.Desk, case: dc.Case, via: str, person: str = "ana", verdict: str = "approve") -> dc.Case:
    claim = desk.claim(person, case=case)
    assert claim is not None
    return claim.answer(verdict, via=via)


def effective_after(case: dc.Case) -> float | None:
    """Seconds from the start of the test to the moment when the decision counts."""
    return None if case.settled is None else (case.settled.effective_at - NOW) / SECOND


DOORS: list[tuple[dict[str, Any], str, float]] = [
    ({}, "web", 10), ({}, "python", 0), ({}, "http", 0), ({}, "cli", 0), ({}, "import", 0),
    ({"undo": "1m"}, "web", 60), ({"undo": "1m"}, "python", 60), ({"undo": "1m"}, "import", 60),
    ({"undo": 0}, "web", 0), ({"undo": 0}, "http", 0), ({"undo": None}, "web", 10),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "via", "seconds"), DOORS)
def test_when_an_answer_counts(desk: dc.Desk, clock: Clock, settings: dict[str, Any], via: str, seconds: float) -> None:
    """By door where the loop says nothing, else alike at every door; the outcome is there from then on, not before."""
    case = answered(desk, paid(desk, **settings), via)
    assert effective_after(case) == seconds
    assert (case.outcome is not None) == (seconds == 0)
    clock.tick(max(seconds - 0.001, 0))
    desk.sweep()
    assert (desk.case(case.id).outcome is not None) == (seconds == 0)
    clock.tick(0.001)
    desk.sweep()
    assert desk.case(case.id).outcome is not None


def test_what_was_answered_on_a_page_may_be_taken_back(desk: dc.Desk, clock: Clock) -> None:
    case = answered(desk, paid(desk), "web")
    clock.tick(9.9)
    desk.retract(case.id, "ana")
    assert desk.case(case.id).settled is None
    again = answered(desk, case, "web", verdict="reject")
    clock.tick(10)
    with pytest.raises(dc.errors.SettledError):
        desk.retract(case.id, "ana")
    assert desk.case(again.id).outcome.verdict == "reject"  # type: ignore[union-attr]


def test_everybody_of_a_quorum_has_their_time(desk: dc.Desk, clock: Clock) -> None:
    """An answer by a program settles what was answered on a page two seconds ago: eight are left to that person."""
    case = paid(desk, quorum={"answers": 2})
    answered(desk, case, "web")
    clock.tick(2)
    assert effective_after(answered(desk, case, "python", "ben")) == 10
    other = desk.loop("pay").propose(action="pay", args={"n": 2}, input="x")
    answered(desk, other, "web")
    clock.tick(11)
    assert effective_after(answered(desk, other, "python", "ben")) == 13


def test_a_stored_loop_that_never_said_so_has_its_ten_seconds(desk: dc.Desk) -> None:
    """What was left out is left out in the database as well; what was said is kept."""
    paid(desk)
    assert desk.control("pay").settings.undo is None  # type: ignore[union-attr]
    paid(desk, undo=0)
    assert desk.control("pay").settings.undo == 0  # type: ignore[union-attr]
    assert desk.loop("pay").control.settings.undo_for("web") == 0
