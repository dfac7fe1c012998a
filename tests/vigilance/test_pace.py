"""People over time, by simulated people whose habits are known: who tires, who hurries, who works without a pause."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ladder_cases import answer, mail, probe

import dualcontrol as dc
from dualcontrol.testing import FakeClock
from dualcontrol.vigilance.pace import (
    HOUR,
    MINUTE,
    PAUSE,
    SHIFT,
    Timed,
    break_due,
    by_hour,
    by_week,
    drift,
    pace,
    shift_began,
)
from dualcontrol.vigilance.record import DAY, Answered

BEGINS = 1_767_225_600_000_000  # Thursday, 1 January 2026, of week 2026-W01


def shown(at: int, caught: bool, person: str = "ana") -> Answered:
    return Answered(
        case_id=f"c{at}", person=person, at=at, wrong=True, rejected=caught, blind=False, how="replayed", weight=1.0,
        seconds=5.0, verdict="label",
    )  # fmt: skip


def work(days: int, per_day: int, seconds: float, every: int = MINUTE, first: int = BEGINS) -> list[Timed]:
    """A shift a day of one person, answers at a steady pace."""
    return [
        Timed("ana", at - int(seconds * 1_000_000), at)
        for day in range(days)
        for at in range(first + day * DAY, first + day * DAY + per_day * every, every)
    ]


# Over a shift, and over weeks


def test_who_tires_over_a_shift_is_seen_by_its_hour_and_not_by_that_of_the_clock() -> None:
    """5 % more is missed with each hour, on shifts that begin at different times of the day."""
    rng = random.Random(1)
    answers, probes = [], []
    for day in range(60):
        first = BEGINS + day * DAY + rng.randrange(6) * HOUR
        times = range(first, first + 9 * HOUR, 10 * MINUTE)
        answers += [Timed("ana", at - 5_000_000, at) for at in times]
        probes += [shown(at, rng.random() > 0.05 + 0.08 * ((at - first) // HOUR)) for at in times]
    hours = by_hour({"ana": answers}, probes)
    assert [h.of for h in hours] == [f"hour {n}" for n in range(1, 8)] + ["hour 8 and later"]
    assert [h.wrong for h in hours] == [360] * 7 + [720]
    rates = [h.caught / h.wrong for h in hours]
    assert all(abs(rate - (0.95 - 0.08 * n)) < 0.07 for n, rate in enumerate(rates[:7]))
    assert all(h.low < h.caught / h.wrong < h.high for h in hours)


def test_a_shift_begins_after_two_hours_without_an_answer() -> None:
    times = [0, HOUR, 2 * HOUR, 2 * HOUR + SHIFT, 5 * HOUR]
    assert shift_began(times, 2 * HOUR) == 0
    assert shift_began(times, 3 * HOUR) == 0
    assert shift_began(times, 5 * HOUR) == 2 * HOUR + SHIFT
    assert shift_began([], 7) == 7


@given(st.lists(st.integers(0, 10_000), max_size=40).map(sorted), st.integers(0, 10_000), st.integers(1, 3_000))
def test_a_shift_has_no_pause_in_it_and_one_before_it(times: list[int], at: int, gap: int) -> None:
    began = shift_began(times, at, gap)
    inside = [time for time in times if began <= time <= at] + [at]
    assert all(later - earlier < gap for earlier, later in pairwise(inside))
    assert all(began - time >= gap for time in times if time < began)


def test_weeks_are_those_of_the_calendar() -> None:
    probes = [shown(BEGINS, True), shown(BEGINS + 3 * DAY, False), shown(BEGINS + 4 * DAY, True)]
    assert [(w.of, w.caught, w.wrong) for w in by_week(probes)] == [("2026-W01", 1, 2), ("2026-W02", 1, 1)]


# Pace


def test_who_hurries_while_more_comes_through_is_an_alarm() -> None:
    usual, hurried = work(20, 60, 10.0), work(1, 20, 5.0, first=BEGINS + 20 * DAY)
    careless = [False] * 20 + [True] * 4 + [False] * 4
    alarm = pace("ana", usual + hurried, careless)
    assert alarm is not None
    assert (alarm.seconds, alarm.baseline, alarm.ratio) == (5.0, 10.0, 0.5)
    assert alarm.alarm == "ana answers in 50% of their usual time, while letting more wrong proposals pass than before"


@pytest.mark.parametrize(
    ("seconds", "missed", "long_queue", "expected"),
    [
        (5.0, [False] * 30, False, None),  # quick, and as good as ever: experience
        (5.0, [], False, None),
        (5.0, [False] * 7 + [True] * 8, False, None),  # too few probes to say
        (5.0, [], True, "ana answers in 50% of their usual time, while the queue is long"),
        (6.8, [False] * 20 + [True] * 8, True, None),  # not quick enough
        (20.0, [False] * 20 + [True] * 8, True, None),
    ],
)
def test_a_quick_pace_alone_is_no_alarm(
    seconds: float, missed: list[bool], long_queue: bool, expected: str | None
) -> None:
    answers = work(20, 60, 10.0) + work(1, 20, seconds, first=BEGINS + 20 * DAY)
    measured = pace("ana", answers, missed, long_queue=long_queue)
    assert measured is not None
    assert measured.alarm == expected


def test_there_is_no_baseline_before_fifty_answers_or_from_more_than_a_month_ago() -> None:
    few, old = (
        pace("ana", work(1, 69, 10.0)),
        pace("ana", work(5, 60, 10.0) + work(1, 20, 5.0, first=BEGINS + 60 * DAY)),
    )
    assert few is not None
    assert old is not None
    assert (few.ratio, old.ratio, old.seconds) == (None, None, 5.0)
    assert pace("ana", work(1, 70, 10.0)).ratio == 1.0  # type: ignore[union-attr]
    assert pace("ana", [Timed("ana", 5, 5)]) is None  # a program's


def test_a_steady_person_is_seldom_alarming() -> None:
    """Log-normal times of a steady pace, looked at after every answer: the pace falls below two thirds seldom."""
    rng = random.Random(2)
    looks = quick = 0
    for _ in range(20):
        answers = [
            Timed("ana", at - int(rng.lognormvariate(2.3, 0.6) * 1_000_000), at)
            for at in range(BEGINS, BEGINS + 200 * MINUTE, MINUTE)
        ]
        for count in range(70, len(answers)):
            measured = pace("ana", answers[:count])
            assert measured is not None
            assert measured.ratio is not None
            looks, quick = looks + 1, quick + (measured.ratio < 0.67)
    assert quick / looks < 0.05


def test_everything_of_a_loop_is_one_value() -> None:
    answers = work(20, 60, 10.0) + work(1, 20, 5.0, first=BEGINS + 20 * DAY)
    probes = [shown(a.at, True, "Ana") for a in answers[:400:20]]
    blind = Answered(**{**probes[0].to_dict(), "blind": True, "seconds": None})
    whole = drift(answers, [*probes, blind], names={"ana": "Ana"}, long_queue=True)
    assert sum(hour.wrong for hour in whole.hours) == len(probes)
    assert [p.person for p in whole.paces] == ["Ana"]
    assert whole.alarms == ("Ana answers in 50% of their usual time, while the queue is long",)
    assert whole.to_dict()["paces"][0]["ratio"] == 0.5


# Breaks


def test_a_break_is_suggested_once_after_forty_minutes_without_a_pause() -> None:
    times, suggested = [], []
    for minute in range(0, 100, 3):
        times.append(BEGINS + minute * MINUTE)
        suggested.append(break_due(times, times[-1] + 1))
    assert suggested.index(True) == 14  # the first answer from minute 40 on is that of minute 42
    assert suggested.count(True) == 1
    assert not break_due(times[:15], times[14] + PAUSE)  # it has been taken
    assert not break_due([], BEGINS)


def test_who_takes_breaks_is_not_told_to() -> None:
    times = [BEGINS + n * 30 * MINUTE + k * MINUTE for n in range(8) for k in range(20)]
    assert not any(break_due(times[:n], times[n - 1]) for n in range(1, len(times)))


# At the desk


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def desk(database_url: str, clock: FakeClock) -> Iterator[dc.Desk]:
    with dc.open(database_url, durability="process", clock=clock) as desk:
        yield desk


def test_the_desk_measures_by_what_was_answered(desk: dc.Desk, clock: FakeClock) -> None:
    loop = mail(desk, "off")
    notices = []
    for n in range(15):
        case = probe(desk, loop, "ana")
        claim = desk.claim("ana", case=case)
        clock.tick(200.0)
        claim.label("b" if n % 5 == 0 else "a")
        notices += desk.prober.notices("ana", [loop.control])
    assert len(notices) == 1
    assert "40 minutes" in notices[0]
    measured = desk.prober.drift(loop.control)
    assert [(h.of, h.caught, h.wrong) for h in measured.hours] == [("hour 1", 12, 15)]
    assert [(p.person, p.seconds) for p in measured.paces] == [("ana", 200.0)]
    answer(desk, loop.propose(proposal="a", alternatives=["b"], input="q", confidence=0.5), "ben", careless=False)
    assert [p.person for p in desk.prober.drift(loop.control).paces] == ["ana"]  # at once is a program's
