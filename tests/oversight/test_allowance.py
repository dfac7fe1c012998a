"""Lost errors by blind answers: single ones, pairs, their limits, and when another allowance takes the place of one."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest

from dualcontrol.oversight.allowance import MOST, Allowance, Blind, BlindAnswer, Lost, allowed


def blind(*answers: tuple[str, bool]) -> Blind:
    return Blind(BlindAnswer(source, missed) for source, missed in answers)


def test_the_first_two_answers_to_a_case_count() -> None:
    counted = blind(("x", True), ("y", False), ("x", False), ("x", True), ("z", True), ("z", True))
    assert (counted.first.of, counted.first.total) == (3, 2.0)
    assert (counted.pairs.both, counted.pairs.first, counted.pairs.second, counted.pairs.neither) == (1, 1, 0, 0)
    assert counted.answers == 5
    assert counted.halves() == ["y"]
    assert list(counted.sources) == ["x", "y", "z"]


def test_nothing_is_known_before_the_first_answer() -> None:
    assert blind().lost(0.005, confirmed=True) == Lost(0.0, 0.0, 1.0, 0)


def _no_miss(n: int, delta: float) -> float:
    """By hand: where nobody missed anything, six bets are mixed; bisected on the wealth itself."""
    low, high = 0.0, 1.0
    for _ in range(60):
        p = (low + high) / 2
        wealth = sum((1 + p * (exp(-b) - 1)) ** -n for b in (0.125, 0.25, 0.5, 1, 2, 700)) / 6 if p < 1 else 1e300
        low, high = (p, high) if wealth < 1 / delta else (low, p)
    return high


def test_limits_of_pairs_and_of_singles_share_delta() -> None:
    singles = blind(*((str(n), False) for n in range(60))).lost(0.005, confirmed=True)
    assert singles.upper == pytest.approx(2 * _no_miss(60, 0.0025), abs=1e-6)  # whatever the correlation
    pairs = blind(*((str(n // 2), False) for n in range(120))).lost(0.005, confirmed=True)
    assert pairs.upper == pytest.approx(_no_miss(60, 0.0025), abs=1e-6)
    alone = blind(*((str(n), False) for n in range(60))).lost(0.005, confirmed=False)
    assert alone.upper == pytest.approx(_no_miss(60, 0.005), abs=1e-6)
    assert alone.upper > -log(0.005) / 60 * 0.9


def test_an_error_is_lost_where_either_misses_it() -> None:
    lost = blind(*((str(n), miss) for n in range(20) for miss in (n < 4, n % 5 == 0))).lost(0.005, confirmed=True)
    assert lost.estimate == pytest.approx(7 / 20)  # 0 to 3, 5, 10, 15
    few = blind(*((str(n), n < 2) for n in range(10))).lost(0.005, confirmed=True)
    assert few.estimate == pytest.approx(1 - 0.8**2)


ASSUMED = Allowance(0.19)


@pytest.mark.parametrize(
    ("lost", "now", "then"),
    [
        (Lost(0.5, 0.1, 0.9, 19), ASSUMED, ASSUMED),  # too few to speak against it
        (Lost(0.5, 0.1, 0.9, 20), ASSUMED, Allowance(0.9, 20)),
        (Lost(0.5, 0.2, 0.9, 8), ASSUMED, Allowance(0.9, 8)),  # proven
        (Lost(0.1, 0.0, 0.5, 100), ASSUMED, ASSUMED),  # neither for nor against
        (Lost(0.0, 0.0, 0.153, 100), ASSUMED, ASSUMED),
        (Lost(0.0, 0.0, 0.152, 100), ASSUMED, Allowance(0.152, 100)),
        (Lost(0.0, 0.0, 0.1, 29), ASSUMED, ASSUMED),
        (Lost(0.0, 0.0, 0.5, 40), Allowance(0.6, 20), Allowance(0.6, 20)),
        (Lost(0.0, 0.0, 0.48, 40), Allowance(0.6, 20), Allowance(0.48, 40)),
        (Lost(0.62, 0.3, 0.9, 40), Allowance(0.6, 20), Allowance(0.9, 40)),
        (Lost(1.0, 0.8, 1.0, 40), ASSUMED, Allowance(MOST, 40)),
        (Lost(1.0, 0.8, 1.0, 60), Allowance(MOST, 40), Allowance(MOST, 40)),
    ],
)
def test_when_another_allowance_takes_its_place(lost: Lost, now: Allowance, then: Allowance) -> None:
    assert allowed(lost, now) == then


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_a_measured_allowance_is_seldom_below_the_truth(correlation: float) -> None:
    """200 teams whose two people miss a tenth each, looked at after every pair: below the truth in at most delta."""
    miss, delta, rng = 0.1, 0.1, np.random.default_rng(3)
    both = miss * miss + correlation * miss * (1 - miss)
    true, failed = 2 * miss - both, 0
    for _ in range(200):
        counted, now, wrong = Blind(), ASSUMED, False
        for n, draw in enumerate(rng.random(40)):
            first = draw < miss
            second = draw < both or miss <= draw < 2 * miss - both
            counted.observe(BlindAnswer(str(n), bool(first)))
            counted.observe(BlindAnswer(str(n), bool(second)))
            now = allowed(counted.lost(delta, confirmed=True), now)
            wrong |= now.measured is not None and now.rate < true - 1e-12
        failed += wrong
    assert failed / 200 <= delta
