"""The betting test on cases that humans saw with unequal probabilities: valid, and no weaker than it must be."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dualcontrol.errors import CalibrationError
from dualcontrol.guarantee.offline import bounds, certify_weighted, peak

AUDIT = 0.25


def judged(error, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cases of which all below 0.5 and a share of the others are seen: scores, errors, inclusion."""
    scores = rng.random(n)
    chances = np.where(scores >= 0.5, AUDIT, 1.0)
    seen = rng.random(n) < chances
    return scores[seen], (rng.random(n) < error(scores))[seen], chances[seen]


def risk(error, threshold: float) -> float:
    """The true error of what reaches a threshold."""
    return float(error(np.linspace(threshold, 1, 20_001)).mean())


@pytest.mark.parametrize(
    "error", [lambda u: 0.2 * (1 - u), lambda u: np.where(u > 0.5, 0.12, 0.02), lambda u: np.full_like(u, 0.051)],
    ids=["falling", "worse above", "flat"],
)  # fmt: skip
def test_a_certified_threshold_is_rarely_too_low(error):
    rng, runs, delta = np.random.default_rng(4), 250, 0.05
    false = 0
    for _ in range(runs):
        threshold = certify_weighted(*judged(error, rng, 1500), 0.05, 1 - delta, least=AUDIT).threshold
        false += threshold is not None and risk(error, threshold) > 0.05
    assert false <= runs * delta + 1.65 * math.sqrt(runs * delta * (1 - delta))


def test_without_weights_a_region_that_is_worse_above_would_pass():
    """What humans happened to see is mostly the easy part: weights are what makes it stand for all."""
    rng = np.random.default_rng(4)
    scores, wrong, chances = judged(lambda u: np.where(u > 0.5, 0.12, 0.0), rng, 6000)
    assert certify_weighted(scores, wrong, chances, 0.05, thresholds=[0.0]).threshold is None
    assert certify_weighted(scores, wrong, np.ones(len(scores)), 0.05, thresholds=[0.0]).threshold == 0.0


def test_the_bounds_hold_and_close_in():
    rng, missed, widths = np.random.default_rng(8), 0, []
    for n in (300, 3000):
        for _ in range(60):
            _, wrong, chances = judged(lambda u: np.full_like(u, 0.08), rng, n)
            low, high = bounds(wrong.astype(float), chances, 0.95, AUDIT)
            missed += not low <= 0.08 <= high
            widths.append(high - low)
    assert missed <= 120 * 0.1
    assert np.mean(widths[60:]) < np.mean(widths[:60]) / 2


def test_seen_whole_it_certifies_what_it_should():
    rng, coverage = np.random.default_rng(6), []
    for _ in range(20):
        scores = rng.random(4000)
        found = certify_weighted(scores, rng.random(4000) < 0.2 * (1 - scores), np.ones(4000), 0.05)
        assert found.method == "betting"
        assert found.error_interval[1] <= 0.05
        coverage.append(found.coverage)
    assert np.mean(coverage) > 0.3  # half of all could run on autopilot; the exact test lets through 0.41


def test_a_stake_has_mean_one_at_the_edge():
    """Exactly, over every way that two rows can come out: a fair game, so that Ville's inequality applies."""
    error, chance, total = 0.05, 0.5, 0.0
    ways = {0.0: 1 - chance, error / chance: chance * (1 - error), (error - 1) / chance: chance * error}
    for one, p in ways.items():
        for two, q in ways.items():
            stake = np.exp(np.log1p(np.minimum(np.geomspace(0.01, 0.9, 8), 0.9 * chance)[:, None] * [one, two]).sum(1))
            total += p * q * stake.mean()
    assert total == pytest.approx(1.0)
    assert peak(np.array([]), 1.0) == 0.0


def phases(error, rng: np.random.Generator, whole: int, after: int) -> tuple[np.ndarray, ...]:
    """Cases that people saw all of at first, and of which they see a share from then on; the floor of each as well."""
    n = whole + after
    scores, floors = rng.random(n), np.where(np.arange(n) < whole, 1.0, AUDIT / 5)
    chances = np.where(scores >= 0.5, floors, 1.0)
    seen = rng.random(n) < chances
    return scores[seen], (rng.random(n) < error(scores))[seen], chances[seen], floors[seen]


@pytest.mark.parametrize(
    "error", [lambda u: np.where(u > 0.5, 0.055, 0.04), lambda u: np.full_like(u, 0.051)], ids=["worse above", "flat"]
)
def test_a_floor_for_each_row_keeps_the_promise(error):
    """The bets grow and shrink with what was in force at each decision, which its outcome has no part in."""
    rng, runs, delta, false = np.random.default_rng(12), 250, 0.1, 0
    for _ in range(runs):
        scores, wrong, chances, floors = phases(error, rng, 600, 2000)
        threshold = certify_weighted(scores, wrong, chances, 0.05, 1 - delta, least=floors).threshold
        false += threshold is not None and risk(error, threshold) > 0.05
    assert false <= runs * delta + 1.65 * math.sqrt(runs * delta * (1 - delta))


def test_rare_audits_later_take_nothing_from_what_was_seen_whole_before():
    rng, each, one = np.random.default_rng(3), 0, 0
    for _ in range(20):
        scores, wrong, chances, floors = phases(lambda u: 0.1 * (1 - u), rng, 2000, 800)
        each += certify_weighted(scores, wrong, chances, 0.05, least=floors).threshold is not None
        one += certify_weighted(scores, wrong, chances, 0.05, least=AUDIT / 5).threshold is not None
    assert each > 15
    assert one < 5


@pytest.mark.parametrize("floors", [[0.5], [0.5, 0.6], [0.5, 0.0], [0.5, math.nan]])
def test_a_floor_above_what_there_was_is_refused(floors):
    with pytest.raises(CalibrationError, match="floor above 0 and at most its inclusion"):
        certify_weighted([0.1, 0.2], [0, 1], [0.5, 0.5], 0.05, least=floors)


def test_too_few_and_too_wrong_are_told_apart():
    few = certify_weighted(np.linspace(0, 1, 50), np.zeros(50), np.ones(50), 0.05)
    assert few.threshold is None
    assert few.labels_needed > 50
    bad = certify_weighted(np.linspace(0, 1, 50), np.ones(50), np.ones(50), 0.05)
    assert (bad.threshold, bad.labels_needed) == (None, None)
    assert "more cases alone will not help" in bad.reason


@pytest.mark.parametrize("inclusion", [[1.0], [1.0, 0.0], [1.0, 1.5], [1.0, math.nan]])
def test_a_row_without_a_probability_is_refused(inclusion):
    with pytest.raises(CalibrationError, match="inclusion probability above 0"):
        certify_weighted([0.1, 0.2], [0, 1], inclusion, 0.05)
