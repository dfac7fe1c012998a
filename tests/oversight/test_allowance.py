"""Lost errors by blind answers: single ones, pairs, their limits, and when another allowance takes the place of one."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest

from dualcontrol.oversight.allowance import MOST, Allowance, Blind, BlindAnswer, Lost, SecondAnswers, allowed


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
    assert singles.upper == pytest.approx(2 * _no_miss(60, 0.00125), abs=1e-6)  # whatever the correlation
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
NONE = Lost(0.0, 0.0, 1.0, 0)


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
        (Lost(0.1, 0.0, 0.7, 30), Allowance(0.9, 50, True), Allowance(0.7, 30)),
        (Lost(0.19, 0.0, 0.7, 29), Allowance(0.9, 50, True), ASSUMED),  # it was doubted, and is assumed again
        (Lost(0.2, 0.0, 0.7, 29), Allowance(0.9, 50, True), Allowance(0.9, 50, True)),
        (Lost(0.0, 0.0, 0.7, 29), Allowance(0.1, 50, True), Allowance(0.1, 50, True)),
    ],
)
def test_when_another_allowance_takes_its_place(lost: Lost, now: Allowance, then: Allowance) -> None:
    assert allowed(lost, NONE, now, 0.19) == then


@pytest.mark.parametrize(
    ("second", "now", "then"),
    [
        (Lost(0.5, 0.19, 0.9, 100, True), ASSUMED, ASSUMED),  # an error from the estimate it may still be so
        (Lost(0.5, 0.2, 0.9, 10, True), ASSUMED, Allowance(0.9, 10, True)),
        (Lost(0.0, 0.0, 0.1, 500, True), ASSUMED, ASSUMED),  # of who answers first they prove nothing
        (Lost(0.25, 0.1, 0.9, 100, True), Allowance(0.9, 50, True), Allowance(0.9, 50, True)),
        (Lost(0.25, 0.1, 0.7, 100, True), Allowance(0.9, 50, True), Allowance(0.7, 100, True)),
        (Lost(0.2, 0.1, 0.1, 100, True), Allowance(0.9, 50, True), Allowance(0.19, 100, True)),
        (Lost(0.5, 0.95, 1.0, 100, True), Allowance(0.9, 50, True), Allowance(MOST, 100, True)),
        (Lost(0.19, 0.1, 0.9, 100, True), Allowance(0.9, 50, True), ASSUMED),
        (Lost(0.1, 0.0, 0.9, 100, True), Allowance(0.9, 50), Allowance(0.9, 50)),  # what was measured stays
    ],
)
def test_what_is_allowed_for_of_two_people_by_their_second_answers(
    second: Lost, now: Allowance, then: Allowance
) -> None:
    assert allowed(NONE, second, now, 0.19) == then
    assert allowed(Lost(0.9, 0.0, 1.0, 19), second, now, 0.19) == then
    assert allowed(Lost(0.9, 1.0, 1.0, 19), second, now, 0.19) == (Allowance(MOST, 19) if now.rate < 0.99 else now)


@pytest.mark.parametrize(
    ("known", "second", "then"),
    [
        (Lost(0.1, 0.0, 0.6, 20), Lost(0.0, 0.0, 0.15, 30, True), Allowance(0.15, 30, True)),
        (Lost(0.1, 0.0, 0.6, 19), Lost(0.0, 0.0, 0.15, 30, True), ASSUMED),  # too few to tighten
        (Lost(0.1, 0.0, 0.6, 20), Lost(0.0, 0.0, 0.15, 29, True), ASSUMED),
        (Lost(0.0, 0.0, 0.1, 30), Lost(0.0, 0.0, 0.15, 30, True), Allowance(0.1, 30)),
        (Lost(0.151, 0.0, 0.6, 20), Lost(0.0, 0.0, 0.1, 30, True), ASSUMED),  # first answers miss more than second ones
        (Lost(0.15, 0.11, 0.6, 20), Lost(0.0, 0.0, 0.1, 30, True), ASSUMED),
        (Lost(0.5, 0.1, 0.9, 20), Lost(0.0, 0.0, 0.05, 500, True), Allowance(0.9, 20)),
        (Lost(0.3, 0.1, 0.9, 20), Lost(0.3, 0.2, 0.4, 500, True), Allowance(0.4, 500, True)),
        (Lost(0.2, 0.1, 0.9, 20), Lost(0.3, 0.2, 0.18, 500, True), ASSUMED),  # against it, and the limit is lower
    ],
)
def test_second_answers_tighten_what_known_errors_measure_where_both_agree(
    known: Lost, second: Lost, then: Allowance
) -> None:
    assert allowed(known, second, ASSUMED, 0.19) == then


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
            now = allowed(counted.lost(delta, confirmed=True), NONE, now, 0.19)
            wrong |= now.measured is not None and now.rate < true - 1e-12
        failed += wrong
    assert failed / 200 <= delta


# Second answers of two people


def seconds(*parts: tuple[float, int, int, int]) -> SecondAnswers:
    """Answers by score: how many first ones said "right", and of the others second ones confirmed and did not."""
    counted = SecondAnswers()
    for of in range(max(sum(part[1:]) for part in parts)):
        for score, right, confirmed, unconfirmed in parts:
            if of < right + confirmed + unconfirmed:
                counted.observe(score, None if of < right else of < right + confirmed)
    return counted


def test_second_answers_that_differ_where_errors_are_are_misses() -> None:
    lost = seconds((0.2, 150, 35, 15), (0.8, 193, 5, 2)).lost(0.005)
    m = (15 - 2) / (15 - 2 + 35 - 5)
    error = ((1 - m) ** 2 * (15 + 2) + m**2 * (35 + 5)) ** 0.5 / 43
    assert lost.estimate == pytest.approx(1 - (1 - m) ** 2)
    assert lost.lower == pytest.approx(1 - (1 - m + error) ** 2)
    assert (lost.answers, lost.second) == (57, True)
    assert lost.lower > 0.19 < lost.estimate < lost.upper


def test_second_answers_that_differ_everywhere_alike_are_false_alarms() -> None:
    lost = seconds((0.2, 155, 35, 10), (0.8, 185, 5, 10)).lost(0.005)
    assert (lost.estimate, lost.lower) == (0.0, 0.0)
    assert lost.upper > 2 * 20 / 60  # the limit takes all of them for misses


def test_where_scores_do_not_tell_errors_apart_all_that_differ_count_as_misses() -> None:
    few = seconds((0.5, 341, 41, 18)).lost(0.005)
    assert (few.answers, few.lower) == (59, 0.0)
    enough = seconds((0.5, 340, 42, 18)).lost(0.005)
    assert enough.estimate == enough.lower == pytest.approx(1 - 0.7**2)
    turned = seconds((0.2, 190, 5, 5), (0.8, 140, 40, 20)).lost(0.005)  # errors among the surest ones: nothing to tell
    assert turned.lower == pytest.approx(1 - (45 / 70) ** 2)


def test_before_there_are_scores_enough_to_divide_nothing_is_said() -> None:
    lost = seconds((0.2, 50, 35, 14), (0.8, 95, 4, 1)).lost(0.005)
    assert (lost.estimate, lost.lower, lost.answers) == (0.0, 0.0, 0)


@pytest.mark.parametrize(("miss", "false", "flagged"), [(0.3, 0.0, 0.9), (0.05, 0.05, 0.4), (0.0, 0.1, 0.5)])
def test_false_alarms_of_two_people_are_seldom_taken_for_misses(miss: float, false: float, flagged: float) -> None:
    """100 pairs of people and 1,500 cases, errors falling from 25 % to none with the score: looked at at every 25th."""
    rng, often = np.random.default_rng(11), 0
    for _ in range(100):
        counted, raised = SecondAnswers(), False
        scores, draws = rng.random(1_500), rng.random((1_500, 3))
        for n, (score, (w, a, b)) in enumerate(zip(scores, draws, strict=True)):
            wrong = w < 0.25 * (1.0 - score)
            first, second = (one >= miss if wrong else one < false for one in (a, b))
            counted.observe(float(score), bool(second) if first else None)
            raised |= n % 25 == 0 and allowed(NONE, counted.lost(0.005), ASSUMED, 0.19) != ASSUMED
        often += raised
    assert (often >= 100 * flagged) if miss > 0.1 else (often <= 100 * flagged)
