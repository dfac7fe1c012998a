"""Limits of miss rates: by enumeration of all answers, against chance that drifts or reacts, and against one look."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import cache
from math import exp, sin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualcontrol.errors import GuaranteeError
from dualcontrol.guarantee import binomial
from dualcontrol.oversight.rates import RANKED, Rate, Team, lower, upper

upper_of = cache(upper)
Chance = Callable[[tuple[int, ...]], float]

REACTIONS: dict[str, Chance] = {
    "constant": lambda past: 0.3,
    "always": lambda past: 0.97,
    "tires": lambda past: min(0.9, 0.05 + 0.1 * len(past)),
    "careful after a miss": lambda past: 0.05 if past and past[-1] else 0.6,
    "careless after a catch": lambda past: 0.9 if past and not past[-1] else 0.1,
    "gives up while unseen": lambda past: 0.5 if not sum(past) else 0.01,
}


def ever_missed(chance: Chance, of: int, delta: float, limit: Callable[[int, int, float], float]) -> float:
    """The exact probability that the limit lies below the mean of the chances at any of `of` looks."""

    def from_here(past: tuple[int, ...], total: float, weight: float) -> float:
        if past and limit(sum(past), len(past), delta) < total / len(past) - 1e-12:
            return weight
        if len(past) == of or weight == 0.0:
            return 0.0
        p = chance(past)
        return from_here((*past, 1), total + p, weight * p) + from_here((*past, 0), total + p, weight * (1 - p))

    return from_here((), 0.0, 1.0)


@pytest.mark.parametrize("delta", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("reaction", REACTIONS)
def test_by_enumeration_it_fails_with_at_most_delta_whatever_the_reviewer_does(reaction: str, delta: float) -> None:
    assert ever_missed(REACTIONS[reaction], 11, delta, upper_of) <= delta


def test_the_enumeration_would_notice() -> None:
    """One look's exact limit, looked at after each of eleven answers, fails too often."""
    exact = cache(lambda wrong, of, delta: binomial.upper(wrong, of, 1.0 - delta))
    assert ever_missed(REACTIONS["constant"], 11, 0.2, exact) > 0.25
    assert ever_missed(REACTIONS["gives up while unseen"], 11, 0.5, upper_of) > 0.05


def worst(of: int, delta: float, limit: Callable[[int, int, float], float], grid: int = 10) -> float:
    """The same for who knows the limit and chooses each chance to make it fail, by dynamic programming.

    Chances are multiples of 1 / `grid`; a state is the number of answers, of misses, and the sum of chances.
    """

    @cache
    def ahead(n: int, missed: int, total: int) -> float:
        if n and limit(missed, n, delta) < total / grid / n - 1e-12:
            return 1.0
        if n == of:
            return 0.0
        return max(
            p / grid * ahead(n + 1, missed + 1, total + p) + (1 - p / grid) * ahead(n + 1, missed, total + p)
            for p in range(grid + 1)
        )

    return ahead(0, 0, 0)


@pytest.mark.parametrize("delta", [0.05, 0.2, 0.5])
def test_nobody_who_knows_the_limit_makes_it_fail_more_often_than_delta(delta: float) -> None:
    exact = cache(lambda wrong, of, delta: binomial.upper(wrong, of, 1.0 - delta))
    assert delta / 4 < worst(16, delta, upper_of) <= delta
    assert worst(16, delta, exact) > delta


BETS = (0.125, 0.25, 0.5, 1.0, 2.0)  # of the docs, besides the one that stakes everything


@pytest.mark.parametrize("delta", [0.05, 0.004])
@pytest.mark.parametrize(("total", "of"), [(0, 30), (1, 30), (3, 30), (16, 120), (60, 120), (500, 5000), (7.25, 90)])
def test_at_the_limit_the_wealth_of_the_six_bets_is_one_over_delta(total: float, of: int, delta: float) -> None:
    """Written out as the page of the docs has it."""
    mean = upper(total, of, delta)
    wealth = sum(exp(-bet * total) / (1.0 + mean * (exp(-bet) - 1.0)) ** of for bet in BETS)
    wealth += (1.0 - mean) ** -of if total == 0 else 0.0
    assert wealth / 6.0 == pytest.approx(1.0 / delta, rel=1e-6)
    assert total / of < mean < 1.0


@settings(deadline=None)
@given(total=st.integers(0, 400), more=st.integers(0, 400), delta=st.floats(1e-6, 0.5))
def test_it_is_wider_than_one_look_and_in_order(total: int, more: int, delta: float) -> None:
    of = total + more
    if of == 0:
        assert (lower(0, 0, delta), upper(0, 0, delta)) == (0.0, 1.0)
        return
    low, high = lower(total, of, delta), upper(total, of, delta)
    assert low <= binomial.lower(total, of, 1.0 - delta) + 1e-9
    assert high >= binomial.upper(total, of, 1.0 - delta) - 1e-9
    assert 0.0 <= low <= total / of <= high <= 1.0
    assert upper(total, of, delta / 2) >= high
    assert upper(total + 1, of + 1, delta) >= high - 1e-9
    assert upper(total, of + 1, delta) <= high + 1e-9


@pytest.mark.parametrize("delta", [1e-300, 1e-17, 1 - 1e-9])
def test_a_delta_at_the_edge_of_numbers_gives_a_limit(delta: float) -> None:
    assert 0.0 <= upper(0, 1, delta) <= upper(1, 1, delta) <= 1.0


def test_it_comes_close_to_the_truth() -> None:
    """A tenth of misses; the limit of one look would be .164, .117 and .107."""
    assert [round(upper(n // 10, n, 0.05), 3) for n in (100, 1_000, 5_000)] == [0.21, 0.131, 0.114]
    assert upper(0, 10**9, 0.05) < 1e-7


PATHS = {
    "constant": lambda n: 0.1,
    "fatigue": lambda n: 0.05 + 0.55 * (n % 200) / 200,
    "jump": lambda n: 0.05 if n < 150 else 0.6,
    "sine": lambda n: 0.2 + 0.15 * sin(n / 20),
}


def failed(path: str, seed: int, delta: float, of: int = 300) -> tuple[bool, bool]:
    """Whether the upper and the lower limit ever failed to hold the mean so far."""
    rng, total, missed, over, under = random.Random(seed), 0.0, 0, False, False
    for n in range(of):
        total += (p := PATHS[path](n))
        missed += rng.random() < p
        over |= upper_of(missed, n + 1, delta) < total / (n + 1)
        under |= 1.0 - upper_of(n + 1 - missed, n + 1, delta) > total / (n + 1)
    return over, under


@pytest.mark.parametrize("path", PATHS)
def test_limits_hold_at_every_look_under_drift(path: str) -> None:
    """A tenth of a thousand reviewers may fail, and 1.65 standard errors of chance more."""
    found = [failed(path, seed, 0.1) for seed in range(1_000)]
    most = 1_000 * (0.1 + 1.65 * (0.1 * 0.9 / 1_000) ** 0.5)
    assert max(sum(over for over, _ in found), sum(under for _, under in found)) <= most


def test_a_weighted_rate_is_that_of_the_work_and_not_of_the_probes() -> None:
    """Who does four fifths of the work and stamps gets half of the probes: five eighths of what is wrong passes."""
    rng, plain, weighted = random.Random(3), Rate(), Rate(largest=1.6)
    for n in range(2_000):
        stamper = n % 2 == 0
        missed = rng.random() < (0.75 if stamper else 0.125)
        plain.observe(missed)
        weighted.observe(missed, 1.6 if stamper else 0.4)
    true = 0.8 * 0.75 + 0.2 * 0.125
    assert plain.upper < 0.5 < weighted.lower < true < weighted.upper < 0.72


def test_limits_depend_on_counts_alone_and_survive_storage() -> None:
    one, other = Rate(0.1), Rate(0.1)
    for missed in (1, 0, 0, 1, 0):
        one.observe(missed)
        other = Rate.from_dict(json.loads(json.dumps(other.to_dict())))
        other.observe(missed)
    backwards = Rate(0.1)
    for missed in (0, 1, 0, 0, 1):
        backwards.observe(missed)
    assert one.to_dict() == other.to_dict() == backwards.to_dict()
    assert one.interval == (one.lower_at(0.05), one.upper_at(0.05))
    assert (one.of, one.estimate) == (5, 0.4)


def test_nothing_seen_means_nothing_known() -> None:
    assert (Rate().estimate, Rate().lower, Rate().upper) == (None, 0.0, 1.0)


@pytest.mark.parametrize("missed", [None, 2, "yes", 0.5, float("nan"), 1.0])
def test_what_is_no_answer_is_refused(missed: object) -> None:
    rate = Rate()
    with pytest.raises(GuaranteeError, match="missed is"):
        rate.observe(missed)  # type: ignore[arg-type]
    assert rate.of == 0


@pytest.mark.parametrize("weight", [0.0, -1.0, 2.1, float("nan"), None, "1"])
def test_a_weight_out_of_range_is_refused(weight: object) -> None:
    rate = Rate(largest=2.0)
    with pytest.raises(GuaranteeError, match="weight of an answer"):
        rate.observe(True, weight)  # type: ignore[arg-type]
    assert rate.of == 0


@pytest.mark.parametrize(("delta", "largest"), [(0.0, 1.0), (1.0, 1.0), ("x", 1.0), (0.05, 0.5), (0.05, float("inf"))])
def test_a_rate_without_sense_is_refused(delta: float, largest: float) -> None:
    with pytest.raises(GuaranteeError):
        Rate(delta, largest=largest)


@pytest.mark.parametrize(
    "change", [{"of": -1}, {"of": 1.5}, {"total": 9}, {"total": None}, {"delta": 2}, {"largest": 0}]
)
def test_a_damaged_rate_is_refused(change: dict[str, object]) -> None:
    rate = Rate()
    rate.observe(True)
    with pytest.raises(GuaranteeError, match="no stored rate"):
        Rate.from_dict(rate.to_dict() | change)
    with pytest.raises(GuaranteeError, match="'of' is missing"):
        Rate.from_dict({"delta": 0.05, "largest": 1.0})


# teams


def test_the_two_kinds_of_answers_are_never_mixed() -> None:
    team = Team("blind")
    with pytest.raises(GuaranteeError, match=r"'shown' says nothing of answers given 'blind'"):
        team.observe("ana", missed=True, kind="shown")
    assert team.all.of == 0
    with pytest.raises(GuaranteeError, match="must be 'blind' or 'shown'"):
        Team("both")  # type: ignore[arg-type]


def test_all_limits_of_a_team_share_its_delta_however_many_people_come() -> None:
    team = Team("shown", 0.05)
    for number in range(500):
        team.observe(f"person {number}", missed=number % 3 == 0, kind="shown")
    spent = team.all.delta + sum(rate.delta for rate in team.people.values())
    assert 0.0499 < spent <= 0.05
    assert team.all.of == 500


def test_the_second_answer_to_one_case_counts_for_its_person_only() -> None:
    team = Team("shown")
    team.observe("ana", missed=True, kind="shown")
    team.observe("ben", missed=True, kind="shown", again=True)
    assert (team.all.of, team.people["ana"].of, team.people["ben"].of) == (1, 1, 1)


def test_nobody_with_fewer_than_a_hundred_probes_is_ranked() -> None:
    team = Team("shown")
    for name, of, every in (("few", RANKED - 1, 100), ("good", RANKED, 20), ("stamper", 150, 2), ("better", 200, 50)):
        for number in range(of):
            team.observe(name, missed=number % every == 0, kind="shown")
    assert team.ranked() == ["better", "good", "stamper"]
    assert Team("shown").ranked() == []


def test_a_team_survives_storage_and_goes_on() -> None:
    team = Team("blind")
    for number in range(40):
        team.observe(f"p{number % 7}", missed=number % 3 == 0, kind="blind")
    back = Team.from_dict(json.loads(json.dumps(team.to_dict())))
    for one in (team, back):
        one.observe("new", missed=False, kind="blind")
    assert back.to_dict() == team.to_dict()
    with pytest.raises(GuaranteeError, match="no stored team"):
        Team.from_dict(team.to_dict() | {"people": [["p0", {}]]})


@pytest.mark.parametrize("person", ["", None, 3])
def test_somebody_without_a_name_is_refused(person: str) -> None:
    with pytest.raises(GuaranteeError, match="must be a name"):
        Team("blind").observe(person, missed=False, kind="blind")
