"""Waiting times against known values and a simulated queue; relief in its order, and never in the other direction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_queue import waits

from dualcontrol.route.capacity import (
    ALARM,
    AUDITS,
    CALM,
    JOINED,
    LATER,
    LONGER,
    NONE,
    ORDER,
    SHED,
    Crew,
    Demand,
    Handling,
    erlang_c,
    fits,
    greatest_rate,
    relief,
    repeated,
    staff_needed,
    wait_exceeds,
)

SERVERS = st.integers(1, 60)
RATES = st.floats(0.001, 20.0)
PROMISES = st.floats(0.1, 200.0)
SCVS = st.floats(0.0, 10.0)
SHARES = st.floats(0.001, 0.5)
STREAMS = 8  # one long stream of a busy queue says less than a few that know nothing of each other


# Erlang


@pytest.mark.parametrize(
    ("servers", "load", "busy"),
    [(1, 0.5, 1 / 2), (2, 1.0, 1 / 3), (3, 2.0, 4 / 9), (4, 2.0, 4 / 23), (3, 3.0, 1.0), (1, 7.0, 1.0), (5, 0.0, 0.0)],
)
def test_the_chance_that_all_are_busy(servers: int, load: float, busy: float) -> None:
    assert erlang_c(servers, load) == pytest.approx(busy, rel=1e-12)


def test_one_server_waits_as_the_closed_form_says() -> None:
    assert wait_exceeds(1, 0.1, 4.0, 15.0) == pytest.approx(0.4 * np.exp(-0.6 * 15 / 4), rel=1e-12)


@pytest.mark.parametrize(("servers", "an_hour"), [(1, 6.4), (3, 35.0), (10, 139), (30, 439)])
def test_the_greatest_rate_at_four_minutes_within_fifteen(servers: int, an_hour: float) -> None:
    assert greatest_rate(servers, 4.0, 15.0, 0.05) * 60 == pytest.approx(an_hour, rel=0.01)


def exponential(seed: int) -> np.ndarray:
    """Handling times of four minutes, as the formula has them."""
    return np.random.default_rng(seed).exponential(4.0, 100_000)


def lognormal(seed: int) -> np.ndarray:
    """The same mean with a heavy tail: a squared coefficient of variation of e - 1."""
    return np.random.default_rng(seed).lognormal(np.log(4.0) - 0.5, 1.0, 100_000)


@pytest.mark.parametrize("servers", [1, 3, 10])
def test_a_simulated_queue_keeps_the_promise_at_the_greatest_rate(servers: int) -> None:
    rate = greatest_rate(servers, 4.0, 15.0, 0.05)
    late = [waits(servers, rate, exponential(seed), 50 + seed) > 15.0 for seed in range(STREAMS)]
    assert 0.6 * 0.05 <= np.mean(late) <= 1.4 * 0.05


@pytest.mark.parametrize("servers", [1, 3, 10])
def test_uneven_handling_needs_the_correction(servers: int) -> None:
    scv = float(np.e - 1)
    corrected, plain = greatest_rate(servers, 4.0, 15.0, 0.05, scv), greatest_rate(servers, 4.0, 15.0, 0.05)
    late = [waits(servers, corrected, lognormal(seed), 50 + seed) > 15.0 for seed in range(STREAMS)]
    assert np.mean(late) <= 1.4 * 0.05
    late = [waits(servers, plain, lognormal(seed), 50 + seed) > 15.0 for seed in range(STREAMS)]
    assert np.mean(late) > 1.4 * 0.05


@given(servers=SERVERS, rate=RATES, promise=PROMISES, scv=SCVS)
def test_waits_fall_with_servers_and_promise_and_grow_with_rate_and_unevenness(
    servers: int, rate: float, promise: float, scv: float
) -> None:
    late = wait_exceeds(servers, rate, 1.0, promise, scv)
    assert 0.0 <= late <= 1.0
    assert wait_exceeds(servers + 1, rate, 1.0, promise, scv) <= late + 1e-12
    assert wait_exceeds(servers, rate, 1.0, promise * 1.1, scv) <= late + 1e-12
    assert wait_exceeds(servers, rate * 1.1, 1.0, promise, scv) >= late - 1e-12
    assert wait_exceeds(servers, rate, 1.0, promise, scv + 0.5) >= late - 1e-12


@given(servers=SERVERS, promise=PROMISES, late=SHARES, scv=SCVS)
def test_the_greatest_rate_keeps_the_promise_and_no_greater_one_does(
    servers: int, promise: float, late: float, scv: float
) -> None:
    rate = greatest_rate(servers, 1.0, promise, late, scv)
    assert wait_exceeds(servers, rate, 1.0, promise, scv) <= late
    assert wait_exceeds(servers, rate * 1.000001 + 1e-9, 1.0, promise, scv) > late
    assert greatest_rate(servers + 1, 1.0, promise, late, scv) >= rate
    assert greatest_rate(servers, 1.0, promise * 1.1, late, scv) >= rate


@given(rate=RATES, promise=PROMISES, late=SHARES, scv=SCVS)
def test_the_fewest_servers_are_enough_and_one_less_is_not(
    rate: float, promise: float, late: float, scv: float
) -> None:
    needed = staff_needed(rate, 1.0, promise, late, scv)
    assert wait_exceeds(needed, rate, 1.0, promise, scv) <= late
    assert needed == 1 or wait_exceeds(needed - 1, rate, 1.0, promise, scv) > late


# what is measured


def test_few_answers_say_little_and_many_say_nearly_all() -> None:
    assert Handling.measured([]) == Handling(mean=240.0, scv=1.0)
    assert Handling.measured([0.0]).mean == pytest.approx(2401 / 11)
    even = Handling.measured([60.0] * 5_000)
    assert (even.mean, even.scv) == (pytest.approx(60.0, rel=0.01), pytest.approx(0.0, abs=0.1))
    uneven = np.random.default_rng(1).lognormal(np.log(240.0) - 0.5, 1.0, 20_000)
    assert Handling.measured(uneven.tolist()).scv == pytest.approx(np.e - 1, rel=0.2)


@given(st.lists(st.floats(0.0, 1e6), max_size=30))
def test_whatever_was_measured_can_be_computed_with(seconds: list[float]) -> None:
    handling = Handling.measured(seconds)
    assert handling.mean >= 1.0
    assert handling.scv >= 0.0
    assert Crew(people=3, promise=900.0, handling=handling).capacity() >= 0.0


def test_people_who_are_there_for_part_of_the_time() -> None:
    assert [Crew(people=n, promise=900.0).servers for n in (1, 2, 3, 7, 20)] == [1, 1, 2, 5, 17]
    assert Crew(people=20, promise=900.0, availability=0.15).servers == 3


@given(people=st.integers(1, 40), rate=st.floats(0.0001, 0.2), availability=st.floats(0.2, 1.0))
def test_with_those_who_lack_the_promise_is_kept(people: int, rate: float, availability: float) -> None:
    crew = Crew(people=people, promise=900.0, availability=availability)
    more = Crew(people=people + crew.lacking(rate), promise=900.0, availability=availability)
    assert wait_exceeds(more.servers, rate, 240.0, 900.0) <= 0.05
    assert crew.lacking(rate) >= 0


# relief

CREW = Crew(people=3, promise=900.0, availability=1.0)
AN_HOUR = 1 / 3600
RATE = st.floats(0, 0.2)
DEMANDS = st.builds(Demand, low=RATE, audits=RATE, other=RATE, low_again=RATE, other_again=RATE)


def demand(low: float, audits: float, other: float, again: float = 0.0) -> Demand:
    return Demand(low=low * AN_HOUR, audits=audits * AN_HOUR, other=other * AN_HOUR, other_again=again * AN_HOUR)


@pytest.mark.parametrize(
    ("asked", "level"),
    [
        (demand(10, 5, 15), NONE),
        (demand(10, 1, 60, again=50), JOINED),
        (demand(10, 20, 60, again=45), AUDITS),
        (demand(10, 20, 15), AUDITS),
        (demand(25, 1, 15), LATER),
        (demand(200, 10, 15), SHED),
        (demand(200, 10, 90), ALARM),
    ],
)
def test_relief_goes_up_step_by_step_until_it_is_enough_and_down_again(asked: Demand, level: int) -> None:
    climbed = [NONE]
    while (following := relief(climbed[-1], asked, CREW)) != climbed[-1]:
        climbed.append(following)
    assert climbed == [step for step in ORDER if step <= level]
    fallen = [level]
    while (following := relief(fallen[-1], demand(5, 1, 5), CREW)) != fallen[-1]:
        fallen.append(following)
    assert fallen == [step for step in reversed(ORDER) if step <= level]


def test_what_barely_fits_changes_nothing() -> None:
    greatest = CREW.capacity() / AN_HOUR
    for share in (CALM + 0.02, 0.98):
        assert relief(NONE, demand(0, 0, greatest * share), CREW) == NONE
        assert relief(JOINED, demand(0, 0, greatest * share), CREW) == JOINED
        assert relief(AUDITS, demand(0, 0, greatest * share), CREW) == AUDITS
    assert relief(AUDITS, demand(0, 0, greatest * (CALM - 0.02)), CREW) == JOINED
    assert relief(JOINED, demand(0, 0, greatest * (CALM - 0.02)), CREW) == NONE
    assert relief(NONE, demand(0, 0, greatest * 1.02), CREW) == JOINED
    assert relief(JOINED, demand(0, 0, greatest * 1.02), CREW) == AUDITS


def test_relief_that_joins_does_not_end_because_it_joins() -> None:
    """What has joined is counted as it would be without relief, so that the level is the same at every look."""
    greatest = CREW.capacity() / AN_HOUR
    asked = demand(0, 0, 3 * greatest, again=2.5 * greatest)
    assert relief(NONE, asked, CREW) == JOINED
    assert relief(JOINED, asked, CREW) == JOINED
    assert relief(AUDITS, asked, CREW) == JOINED


@pytest.mark.parametrize(
    ("rows", "places"),
    [
        ([], []),
        ([("a", 1, None), ("b", 2, None)], []),
        ([("a", 1, None), ("a", 2, None), ("a", 3, None)], [1, 2]),
        ([("a", 1, 3), ("a", 2, 9), ("a", 4, None), ("a", 5, None)], [1, 3]),
        ([("a", 1, 2), ("a", 2, None)], []),
        ([("a", 1, 2), ("b", 1, None), ("a", 3, 4), ("b", 4, None), ("a", 5, None)], [3]),
    ],
)
def test_a_question_could_join_one_that_nobody_had_taken(
    rows: list[tuple[str, int, int | None]], places: list[int]
) -> None:
    assert repeated(rows) == places


@settings(deadline=None)
@given(now=st.sampled_from(ORDER), asked=DEMANDS, people=st.integers(1, 30))
def test_relief_moves_one_step_and_comes_to_rest(now: int, asked: Demand, people: int) -> None:
    crew = Crew(people=people, promise=900.0)
    levels = [now]
    for _ in range(2 * len(ORDER)):
        levels.append(relief(levels[-1], asked, crew))
        assert abs(ORDER.index(levels[-1]) - ORDER.index(levels[-2])) <= 1
    assert levels[-1] == levels[-2]


@given(asked=DEMANDS, people=st.integers(1, 30))
def test_each_level_asks_for_no_more_than_the_one_before(asked: Demand, people: int) -> None:
    crew = Crew(people=people, promise=900.0)
    totals = [sum(asked.at(level)) for level in ORDER]
    assert totals == sorted(totals, reverse=True)
    assert totals[0] == pytest.approx(asked.whole)
    enough = [fits(level, asked, crew) for level in ORDER]
    assert enough == sorted(enough)
    assert crew.capacity(LONGER) >= crew.capacity()


@given(now=st.sampled_from(ORDER), asked=DEMANDS, more=st.floats(1.0, 10.0), people=st.integers(1, 30))
def test_more_demand_never_brings_less_relief(now: int, asked: Demand, more: float, people: int) -> None:
    crew = Crew(people=people, promise=900.0)
    rates = {name: getattr(asked, name) * more for name in ("low", "audits", "other", "low_again", "other_again")}
    grown = Demand(**rates)
    assert relief(now, grown, crew) >= relief(now, asked, crew)
