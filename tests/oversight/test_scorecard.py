"""The scorecard against published tables and intervals, and the counts that it refuses."""

from __future__ import annotations

import json
import random
from math import exp, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualcontrol.errors import GuaranteeError
from dualcontrol.oversight.scorecard import Scorecard, detection, wilson


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_score_interval_is_that_of_newcombe(count: int, of: int, low: float, high: float) -> None:
    """Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3."""
    assert wilson(count, of) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.parametrize(("of", "low", "high"), [(100, 0.77, 0.91), (200, 0.79, 0.89)])
def test_what_so_many_probes_say_of_a_catch_rate_of_85_percent(of: int, low: float, high: float) -> None:
    assert wilson(round(0.85 * of), of) == (pytest.approx(low, abs=0.02), pytest.approx(high, abs=0.02))


@settings(deadline=None)
@given(count=st.integers(0, 300), more=st.integers(0, 300))
def test_the_score_interval_holds_the_share_and_mirrors(count: int, more: int) -> None:
    low, high = wilson(count, count + more)
    assert 0.0 <= low <= (count / (count + more) if count + more else low) <= high <= 1.0
    assert wilson(more, count + more) == (pytest.approx(1.0 - high), pytest.approx(1.0 - low))


def test_detection_is_that_of_the_normal_table() -> None:
    """With the correction .85 and .45 of each ten: quantiles 1.0364 and -0.1257."""
    seen = detection(8, 9, 4, 9)
    assert seen.d_prime == pytest.approx(1.0364 + 0.1257, abs=2e-4)
    assert seen.criterion == pytest.approx(-(1.0364 - 0.1257) / 2, abs=2e-4)
    assert seen.d_a == pytest.approx((2 / 1.36) ** 0.5 * (1.0364 + 0.6 * 0.1257), abs=2e-4)
    assert detection(8, 9, 1, 9).criterion == pytest.approx(0.0, abs=1e-12)
    assert detection(8, 9, 1, 9, slope=1.0).d_a == pytest.approx(detection(8, 9, 1, 9).d_prime)


def test_who_guesses_has_no_sensitivity_and_nobody_an_infinite_one() -> None:
    assert detection(25, 50, 25, 50)[:2] == pytest.approx((0.0, 0.0))
    assert detection(50, 50, 0, 50).d_prime == pytest.approx(2 * 2.3338, abs=1e-3)  # of 50.5 / 51
    assert detection(0, 0, 0, 0).d_prime == 0.0


@settings(deadline=None)
@given(hits=st.integers(0, 60), alarms=st.integers(0, 60))
def test_who_swaps_the_verdicts_mirrors_the_figures(hits: int, alarms: int) -> None:
    seen, mirrored = detection(hits, 60, alarms, 60), detection(60 - hits, 60, 60 - alarms, 60)
    assert mirrored.d_prime == pytest.approx(-seen.d_prime)
    assert mirrored.criterion == pytest.approx(-seen.criterion)


@pytest.mark.parametrize(("of", "wanted"), [(30, 0.40), (100, 0.23)])
def test_the_spread_is_that_of_simulated_reviewers(of: int, wanted: float) -> None:
    """Who turns down 85 % of what is wrong and 10 % of what is right."""
    rng, found = random.Random(of), []
    for _ in range(2_000):
        counts = [sum(rng.random() < p for _ in range(of)) for p in (0.85, 0.10)]
        found.append(detection(counts[0], of, counts[1], of).d_prime)
    mean = sum(found) / len(found)
    spread = (sum((d - mean) ** 2 for d in found) / len(found)) ** 0.5
    said = detection(round(0.85 * of), of, round(0.10 * of), of).spread
    assert said == pytest.approx(spread, rel=0.12)
    assert said == pytest.approx(wanted, abs=0.02)


def card(hit: float, alarm: float, of: int = 100) -> Scorecard:
    scored = Scorecard()
    for number in range(of):
        scored.observe(wrong=True, rejected=number < hit * of)
        scored.observe(wrong=False, rejected=number < alarm * of)
    return scored


@pytest.mark.parametrize(
    ("hit", "alarm", "of", "wanted"),
    [
        (0.85, 0.10, 100, "attentive"), (0.30, 0.01, 100, "lenient"), (0.50, 0.50, 100, "cannot tell them apart"),
        (0.99, 0.40, 100, "turns down too much"), (0.85, 0.10, 29, "too few probes"),
    ],
)  # fmt: skip
def test_four_kinds_of_reviewers_are_told_apart(hit: float, alarm: float, of: int, wanted: str) -> None:
    assert card(hit, alarm, of).diagnosis == wanted


def test_the_typical_time_is_the_geometric_mean() -> None:
    scored = Scorecard()
    assert scored.seconds is None
    for seconds in (10.0, 40.0, 20.0):
        scored.observe(wrong=True, rejected=True, seconds=seconds)
    mean, low, high = scored.seconds or (0.0, 0.0, 0.0)
    assert mean == pytest.approx(20.0)
    assert high / mean == pytest.approx(mean / low) == pytest.approx(exp(1.96 * log(2) / 3**0.5), rel=1e-3)


def test_switches_are_counted_where_they_could_happen() -> None:
    scored = Scorecard()
    for before, ai, after in ((1, 0, 0), (1, 0, 1), (0, 1, 1), (0, 1, 1), (0, 1, 0), (1, 1, 1), (0, 0, 0)):
        scored.switch(right_before=before, ai_right=ai, right_after=after)
    assert (scored.harmful, scored.could_harm, scored.helpful, scored.could_help) == (1, 2, 2, 3)


def test_stored_it_goes_on() -> None:
    scored = card(0.8, 0.2, 40)
    scored.observe(wrong=False, rejected=False, seconds=7.0)
    scored.switch(right_before=True, ai_right=False, right_after=False)
    back = Scorecard.from_dict(json.loads(json.dumps(scored.to_dict())))
    for one in (scored, back):
        one.observe(wrong=True, rejected=False, seconds=3.0)
    assert back.to_dict() == scored.to_dict()
    assert (back.detection, back.seconds) == (scored.detection, scored.seconds)
    for change in ({"hits": 99}, {"timed": -1}, {"sums": [1]}, {"sums": None}):
        with pytest.raises(GuaranteeError, match="no stored scorecard"):
            Scorecard.from_dict(scored.to_dict() | change)


@pytest.mark.parametrize("answer", [
    {"wrong": None}, {"rejected": "no"}, {"seconds": 0.0}, {"seconds": -1.0}, {"seconds": float("nan")},
    {"seconds": "3"},
])  # fmt: skip
def test_what_is_no_answer_is_refused_and_nothing_counted(answer: dict[str, object]) -> None:
    scored = Scorecard()
    with pytest.raises(GuaranteeError):
        scored.observe(**({"wrong": True, "rejected": True} | answer))  # type: ignore[arg-type]
    assert scored.to_dict() == Scorecard().to_dict()


@pytest.mark.parametrize("counts", [(5, 4, 0, 1), (-1, 4, 0, 1), (1, 4, 2, 1), (1.5, 4, 0, 1)])
def test_counts_that_cannot_be_are_refused(counts: tuple[int, int, int, int]) -> None:
    with pytest.raises(GuaranteeError):
        detection(*counts)
    with pytest.raises(GuaranteeError):
        wilson(3, 2)
