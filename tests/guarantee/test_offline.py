"""A threshold chosen once from rows whose truth is known: as the definition says, rarely wrong, and worth having."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import beta, binom

from dualcontrol.errors import CalibrationError, DualcontrolError
from dualcontrol.guarantee.offline import OfflineCertificate, certify, first, grid, labels_at

FINE = np.linspace(0, 1, 100_001)
Stream = Callable[[np.ndarray], np.ndarray]
STREAMS: dict[str, Stream] = {
    "calibrated": lambda u: 0.25 * (1 - u) ** 1.5,
    "wrong at the top": lambda u: np.where(u > 0.95, 0.07, 0.25 * (1 - u) ** 1.5),
    "waves": lambda u: 0.05 + 0.06 * np.sin(40 * u),
    "uninformative": lambda u: np.full_like(u, 0.051),
}


def drawn(error: Stream, rng: np.random.Generator, n: int, levels: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores, rounded down to so many levels if any, and whether each row was wrong."""
    u = rng.random(n)
    return (np.floor(u * levels) / levels if levels else u), rng.random(n) < error(u)


def risk(error: Stream, threshold: float) -> float:
    """The true error of what reaches a threshold."""
    return float(error(FINE[threshold - 1e-9 <= FINE]).mean())


def by_hand(scores: list[float], wrong: list[bool], max_error: float, confidence: float) -> float | None:
    """The definition, row by row: fixed sequence of exact binomial tests, ties whole."""
    n, start = len(scores), first(len(scores), max_error, confidence)
    falling, held = sorted(scores, reverse=True), None
    for percent in range(20, 101):
        rank = min(n, max(start, math.ceil(n * percent / 100 - 1e-9)))
        threshold = falling[rank - 1]
        reached = [w for s, w in zip(scores, wrong, strict=True) if s >= threshold]
        if binom.cdf(sum(reached), len(reached), max_error) > 1 - confidence:
            return held
        held = threshold
    return held


@pytest.mark.parametrize("levels", [0, 3, 20])
def test_it_is_what_the_definition_says(levels):
    rng = np.random.default_rng(7)
    found = []
    for _ in range(40):
        n, max_error, confidence = int(rng.integers(20, 800)), rng.choice([0.02, 0.05, 0.2]), rng.choice([0.8, 0.95])
        scores, wrong = drawn(lambda u: 0.3 * (1 - u) ** 2, rng, n, levels)
        found.append(certify(scores, wrong, float(max_error), float(confidence)).threshold)
        assert found[-1] == by_hand(scores.tolist(), wrong.tolist(), max_error, confidence)
    assert None in found
    assert any(threshold is not None for threshold in found)


@pytest.mark.parametrize("levels", [0, 8])
@pytest.mark.parametrize("name", STREAMS)
def test_a_certified_threshold_is_rarely_too_low(name, levels):
    rng, runs, delta = np.random.default_rng(11), 400, 0.05
    error = STREAMS[name]
    chosen = [certify(*drawn(error, rng, 600, levels), 0.05, 1 - delta).threshold for _ in range(runs)]
    false = sum(threshold is not None and risk(error, threshold) > 0.05 for threshold in chosen)
    assert false <= runs * delta + 1.65 * math.sqrt(runs * delta * (1 - delta))


def test_an_empirical_threshold_would_be_too_low():
    """The streams tell: without the test, the lowest threshold with few errors in the sample fails most of the time."""
    rng, error = np.random.default_rng(11), STREAMS["calibrated"]
    false = 0
    for _ in range(100):
        scores, wrong = drawn(error, rng, 600)
        order = np.argsort(-scores)
        low = np.flatnonzero(np.cumsum(wrong[order]) <= 0.05 * np.arange(1, 601)).max()
        false += risk(error, float(scores[order][low])) > 0.05
    assert false > 40


def test_it_lets_through_most_of_what_could_be():
    rng, error = np.random.default_rng(3), STREAMS["calibrated"]
    best = max(1 - t for t in np.linspace(0, 1, 500, endpoint=False) if risk(error, t) <= 0.05)
    for rows, least in ((1000, 0.6), (4000, 0.85)):
        coverage = np.mean([certify(*drawn(error, rng, rows), 0.05).coverage for _ in range(60)])
        assert coverage >= least * best


def test_interval_and_promise_agree():
    scores, wrong = drawn(STREAMS["calibrated"], np.random.default_rng(2), 3000)
    found = certify(scores, wrong, 0.05)
    reached = wrong[scores >= found.threshold]
    assert (found.accepted, found.wrong, found.error) == (len(reached), reached.sum(), reached.mean())
    low, high = found.error_interval
    assert high == pytest.approx(beta.ppf(0.95, reached.sum() + 1, len(reached) - reached.sum()), abs=1e-9)
    assert low == pytest.approx(beta.ppf(0.05, reached.sum(), len(reached) - reached.sum() + 1), abs=1e-9)
    assert high <= 0.05


def test_the_start_looks_at_no_truth_and_can_pass():
    scores = np.random.default_rng(1).random(500)
    rows = first(500, 0.02, 0.95)
    assert rows == 236  # with one error forgiven: 20 % of 500 could not pass at all
    assert grid(scores, rows)[0] == sorted(scores)[-rows]
    assert first(5000, 0.02, 0.95) == 1000
    assert first(100, 0.02, 0.95) == 149


def test_a_named_threshold_is_the_only_one_tested():
    scores, wrong = [0.99] * 20 + [0.9] * 400, [True] * 20 + [False] * 400
    assert certify(scores, wrong, 0.1, thresholds=[0.9]).threshold == 0.9
    refused = certify(scores, wrong, 0.1, thresholds=[0.95])
    assert (refused.threshold, refused.labels_needed) == (None, None)
    assert "20 were wrong" in refused.reason
    assert "no row has a score" in certify(scores, wrong, 0.1, thresholds=[1.0]).reason


def test_constant_scores_are_all_or_nothing():
    good = certify([0.7] * 300, [0] * 298 + [1] * 2, 0.05)
    assert (good.threshold, good.coverage) == (0.7, 1.0)
    bad = certify([0.7] * 300, [1] * 50 + [0] * 250, 0.05)
    assert bad.threshold is None
    assert bad.reason.startswith("every score is 0.7, so it is all rows or none")


def test_tied_scores_stay_together():
    scores = [0.9] * 100 + [0.8] * 100 + [0.7] * 100
    found = certify(scores, [0] * 200 + [1] * 100, 0.05)
    assert (found.threshold, found.accepted) == (0.8, 200)


def test_too_few_labels_say_how_many_it_takes():
    found = certify(np.linspace(0, 1, 100), np.zeros(100), 0.02)
    assert (found.threshold, found.coverage, found.labels_needed) == (None, 0.0, 149)
    assert "100 labels are too few" in found.reason
    assert certify(np.linspace(0, 1, 149), np.zeros(149), 0.02).threshold is not None


def test_what_it_says_it_takes_is_enough():
    assert labels_at(0.0, 0.02, 0.95) == 149
    for error in (0.005, 0.01, 0.015):
        rows = labels_at(error, 0.02, 0.95)
        assert binom.cdf(math.floor(error * rows), rows, 0.02) <= 0.05
        assert binom.cdf(math.floor(error * rows / 4), rows // 4, 0.02) > 0.05, "nor is it far too many"


def test_what_no_label_can_help_is_said():
    found = certify(np.linspace(0, 1, 1000), np.arange(1000) % 5 == 0, 0.05)
    assert found.labels_needed is None
    assert "not more labels" in found.reason


def test_the_certificate_says_what_is_promised():
    scores, wrong = drawn(STREAMS["calibrated"], np.random.default_rng(2), 3000)
    text = str(OfflineCertificate(certify(scores, wrong, 0.05), 0.05, 0.95))
    for part in ("at most 5 % are wrong", "3,000 labels", "95 % confidence", "It lapses when"):
        assert part in text
    none = OfflineCertificate(certify([0.5] * 10, [0] * 10, 0.05), 0.05, 0.95)
    assert str(none).startswith("Nothing is certified, so every row is for a human: every score is 0.5")


@pytest.mark.parametrize(
    ("scores", "wrong", "promise", "says"),
    [
        ([], [], (0.1, 0.9), "no rows"),
        ([0.5], [0, 1], (0.1, 0.9), "1 scores and 2 truths"),
        ([0.5, math.nan, math.inf], [0, 1, 1], (0.1, 0.9), "row 1: the score is nan, which means nothing (2 rows"),
        ([0.5, 0.6], [0, None], (0.1, 0.9), "row 1: the truth is nan"),
        ([0.5, 0.6], [0, 2], (0.1, 0.9), "row 1: the truth is 2"),
        (["a"], [0], (0.1, 0.9), "scores is a list of numbers"),
        ([[0.5]], [0], (0.1, 0.9), "2 dimensions"),
        ([0.5], [0], (0, 0.9), "max_error is a number between 0 and 1"),
        ([0.5], [0], (1, 0.9), "max_error"),
        ([0.5], [0], (math.nan, 0.9), "max_error"),
        ([0.5], [0], (5e-324, 0.9), "max_error"),
        ([0.5], [0], ("2%", 0.9), "max_error"),
        ([0.5], [0], (0.1, 0.0), "confidence"),
        ([0.5], [0], (0.1, 1.0), "confidence"),
        ([0.5], [0], (0.1, True), "confidence"),
    ],
)
def test_what_means_nothing_is_refused(scores, wrong, promise, says):
    with pytest.raises(CalibrationError) as refused:
        certify(scores, wrong, *promise)
    assert says in str(refused.value)
    assert refused.value.hint
    assert isinstance(refused.value, ValueError)
    assert isinstance(refused.value, DualcontrolError)
