"""Two people on the same case: what both miss, what either misses, and what is assumed until it is measured."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualcontrol.errors import GuaranteeError
from dualcontrol.oversight.pairs import WORDS, Pairs, joint_miss, missed, missed_by_both, missed_by_either, total_miss
from dualcontrol.oversight.rates import Rate


@pytest.mark.parametrize(
    ("miss", "correlation", "both"),
    [(0.2, 0.0, 0.04), (0.2, 0.3, 0.088), (0.2, 0.6, 0.136), (0.1, 0.3, 0.037), (0.1, 1.0, 0.1), (0.1, -1.0, 0.0)],
)
def test_both_miss_more_than_the_square(miss: float, correlation: float, both: float) -> None:
    """m^2 + r m (1 - m); .04, .088 and .136 at .2 were simulated independently of this code."""
    assert joint_miss(miss, miss, correlation) == pytest.approx(both)


def test_where_both_have_to_catch_it_correlation_helps_so_that_none_is_assumed() -> None:
    assert total_miss(0.1, 0.1) == pytest.approx(0.19)
    assert total_miss(0.1, 0.1, 0.3) == pytest.approx(0.163)
    assert total_miss(0.1, 0.1, -1.0) == pytest.approx(0.2)
    assert total_miss(0.7, 0.8, -1.0) == 1.0


@settings(deadline=None)
@given(first=st.floats(0, 1), second=st.floats(0, 1), correlation=st.floats(-1, 1))
def test_the_four_outcomes_are_probabilities(first: float, second: float, correlation: float) -> None:
    both = joint_miss(first, second, correlation)
    cells = (both, first - both, second - both, 1.0 - total_miss(first, second, correlation))
    assert all(-1e-12 <= cell <= 1.0 + 1e-12 for cell in cells)
    assert sum(cells) == pytest.approx(1.0)
    assert total_miss(first, second, -1.0) >= total_miss(first, second, correlation) - 1e-12


@settings(deadline=None)
@given(counts=st.tuples(*[st.integers(1, 40)] * 4))
def test_rates_and_correlation_of_counted_pairs_give_the_joint_miss_again(counts: tuple[int, int, int, int]) -> None:
    pairs = pairs_of(*counts)
    one, two = (pairs.both + pairs.first) / pairs.of, (pairs.both + pairs.second) / pairs.of
    assert pairs.correlation is not None
    assert joint_miss(one, two, pairs.correlation) == pytest.approx(pairs.both / pairs.of)
    assert pairs.total == pytest.approx(total_miss(one, two, pairs.correlation))


def pairs_of(both: int, first: int, second: int, neither: int, delta: float = 0.05) -> Pairs:
    pairs = Pairs(delta)
    for count, answers in ((both, (1, 1)), (first, (1, 0)), (second, (0, 1)), (neither, (0, 0))):
        for _ in range(count):
            pairs.observe(first_missed=answers[0], second_missed=answers[1])
    return pairs


def test_the_correlation_is_the_phi_coefficient() -> None:
    """By hand: (10 * 70 - 10 * 10) / (20 * 80) of a hundred pairs."""
    assert pairs_of(10, 10, 10, 70).correlation == pytest.approx(0.375)
    assert pairs_of(10, 0, 0, 90).correlation == pytest.approx(1.0)
    assert pairs_of(0, 0, 5, 95).correlation is None
    assert Pairs().correlation is None


def failed(correlation: float, seed: int, of: int = 150) -> tuple[bool, bool]:
    """Whether the limits on both miss and on either misses ever lay below the truth, at .2 each."""
    rng, pairs, joint = random.Random(seed), Pairs(0.1), 0.04 + correlation * 0.16
    over, under = False, False
    for _ in range(of):
        draw = rng.random()
        pairs.observe(first_missed=draw < 0.2, second_missed=draw < joint or 0.2 <= draw < 0.4 - joint)
        over |= pairs.joint_upper < joint
        under |= pairs.total_upper < 0.4 - joint
    return over, under


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_limits_hold_at_every_look_whatever_the_correlation(correlation: float) -> None:
    """Of sixty pairs of people a tenth may fail; more than twelve would be one in a hundred runs."""
    found = [failed(correlation, seed) for seed in range(60)]
    assert max(sum(over for over, _ in found), sum(under for _, under in found)) <= 12


def rate_of(misses: int, of: int, delta: float = 0.01) -> Rate:
    rate = Rate(delta)
    for number in range(of):
        rate.observe(number < misses)
    return rate


def test_until_measured_it_is_assumed_and_says_so() -> None:
    assert missed(Rate()) == (
        0.1,
        False,
        "assuming that people notice at least 90 % of wrong proposals; not measured yet",
    )
    assert missed(rate_of(3, 29)).words == WORDS
    assert missed(Rate(), 0.05).words.startswith("assuming that people notice at least 95 %")
    assert missed_by_either(Rate(), Rate(), Pairs())[:2] == (pytest.approx(0.19), False)


def test_what_was_measured_takes_its_place_also_where_it_is_worse() -> None:
    known = missed(rate_of(3, 30))
    assert known.measured
    assert known.upper > 0.3
    assert known.words == "people notice at least 62 % of wrong proposals; measured on 30 known-wrong cases"


def test_a_few_answers_that_contradict_the_assumption_end_it() -> None:
    """Six misses of six say that people miss more than a tenth."""
    assert not missed(rate_of(2, 6)).measured
    assert missed(rate_of(6, 6))[:2] == (1.0, True)
    assert missed_by_either(rate_of(6, 6), Rate(), Pairs()).measured
    assert missed_by_either(Rate(), Rate(), pairs_of(0, 4, 4, 1)).measured


def test_either_of_two_is_bounded_by_pairs_or_by_the_rates_alone_whichever_is_less() -> None:
    """Rates of .03 with many answers beat a few pairs; many pairs beat the sum of the rates."""
    first, second = rate_of(30, 1_000), rate_of(30, 1_000)
    few = missed_by_either(first, second, pairs_of(1, 1, 1, 37, 0.01))
    many = missed_by_either(first, second, pairs_of(90, 10, 10, 2_890, 0.01))
    assert few.upper == pytest.approx(first.upper + second.upper)
    assert many.upper == pytest.approx(pairs_of(90, 10, 10, 2_890, 0.01).total_upper)
    assert many.upper < few.upper < 0.12
    assert "on 3000 that both answered" in many.words


def test_both_are_bounded_by_pairs_or_by_the_better_of_the_two() -> None:
    """Assumed .037; of thirty pairs on, by what both missed, and never above what one of them misses."""
    assert missed_by_both(Rate(), Rate(), Pairs())[:2] == (pytest.approx(0.037), False)
    assert missed_by_both(Rate(), Rate(), pairs_of(3, 0, 0, 0)).measured
    pairs = pairs_of(10, 20, 20, 150, 0.01)
    assert missed_by_both(Rate(), Rate(), pairs)[:2] == (pytest.approx(pairs.joint_upper), True)
    sharp = rate_of(0, 2_000)
    assert missed_by_both(sharp, Rate(), pairs).upper == sharp.upper < pairs.joint_upper
    assert missed_by_both(sharp, Rate(), pairs).words == (
        "two people together notice at least 99.7 % of wrong proposals; measured on 200 known-wrong cases "
        "that both answered"
    )


def test_stored_they_go_on() -> None:
    pairs = pairs_of(3, 2, 1, 30)
    back = Pairs.from_dict(json.loads(json.dumps(pairs.to_dict())))
    assert back.to_dict() == pairs.to_dict()
    assert (back.of, back.joint_upper) == (36, pairs.joint_upper)
    for change in ({"both": -1}, {"neither": "x"}, {"delta": 0}):
        with pytest.raises(GuaranteeError, match="no stored count of pairs"):
            Pairs.from_dict(pairs.to_dict() | change)


@pytest.mark.parametrize(
    "numbers", [(1.1, 0.1, 0.0), (0.1, -0.1, 0.0), (0.1, 0.1, 1.5), (float("nan"), 0, 0), (0, 0, True)]
)
def test_what_is_no_rate_or_correlation_is_refused(numbers: tuple[float, float, float]) -> None:
    with pytest.raises(GuaranteeError):
        joint_miss(*numbers)


def test_half_an_answer_is_refused_and_nothing_counted() -> None:
    pairs = Pairs()
    with pytest.raises(GuaranteeError, match="second_missed is None"):
        pairs.observe(first_missed=True, second_missed=None)  # type: ignore[arg-type]
    assert pairs.of == 0
