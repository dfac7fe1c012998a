"""Other ways to set a threshold, on the same streams: most of them break the promise, one freezes.

fixed trusts what the scores claim.  naive takes the widest region whose weighted error so far is within the bound.
peeking takes Clopper and Pearson's bound anew every fifty decisions.  SGR (Geifman and El-Yaniv 2017) and LTT
(Angelopoulos et al. 2021; the exact binomial p-value, fixed sequence) look once, at the first labels, and freeze.
"one look" is the product's own at four thousand labels, `dualcontrol replay --once 4000`, and LTT and SGR look as late.
"""

from __future__ import annotations

from math import ceil, log2

import numpy as np
from product import REFRESH, Promise, Run
from scipy.special import bdtr
from streams import BINS, Stream, claimed, oracle, risks, upwards

from dualcontrol.guarantee.offline import certify

START = 80
ONCE = 2_000
WARM_UP = 200
LEAST = 30
POLICIES = ("fixed", "naive", "peeking", "sgr", "ltt")
LATER = 4_000
LOOKS = {"one look": ("one look", LATER), "sgr 4,000": ("sgr", LATER), "ltt 4,000": ("ltt", LATER)}


def rival(policy: str, stream: Stream, promise: Promise) -> Run:
    """Run one of them over a stream."""
    if policy in ("naive", "peeking"):
        return _adaptive(policy, stream, promise)
    policy, first = LOOKS.get(policy, (policy, 0 if policy == "fixed" else ONCE))
    live = frozen(policy, stream, promise, first)
    return _figures(stream, promise, np.repeat([BINS, live], [first, len(stream) - first]), 0.0)


def frozen(policy: str, stream: Stream, promise: Promise, once: int = ONCE) -> int:
    """The first bin on autopilot of a policy that decides once, at so many labels; BINS where nothing is."""
    if policy == "one look":
        scores, seen = stream.scores[:once], stream.seen[:once]
        threshold = certify(scores, seen, promise.max_error * (1.0 - promise.miss_rate), 1.0 - promise.delta).threshold
        return BINS if threshold is None else int(threshold * BINS)
    if policy == "fixed":
        return _first(risks(claimed(stream.name))[:-1] <= promise.max_error)
    wrong, of = tallies(stream, once)
    p = bdtr(wrong, of, promise.max_error)
    return _searched(p, promise.delta, once) if policy == "sgr" else in_sequence(p, promise.delta)


def tallies(stream: Stream, once: int = ONCE) -> tuple[np.ndarray, np.ndarray]:
    """Errors and labels in each region, among the first labels."""
    places = stream.places[:once]
    wrong = np.bincount(places, stream.seen[:once], BINS)
    return upwards(wrong)[:-1], upwards(np.bincount(places, minlength=BINS).astype(float))[:-1]


def in_sequence(p: np.ndarray, delta: float) -> int:
    """The last region of the sequence from START down before the first whose p-value is too large."""
    fine = np.append(p[START::-1] <= delta, False)
    held = int(np.argmin(fine))
    return START - held + 1 if held else BINS


def _searched(p: np.ndarray, delta: float, once: int) -> int:
    """SGR's binary search, delta divided by its steps."""
    low, high, best = 0, BINS - 1, BINS
    for _ in range(ceil(log2(BINS))):
        middle = (low + high) // 2
        if p[middle] <= delta / ceil(log2(once)):
            best, high = min(best, middle), middle
        else:
            low = min(middle + 1, BINS - 1)
    return best


def _first(fine: np.ndarray) -> int:
    found = np.flatnonzero(fine)
    return int(found[0]) if len(found) else BINS


def _adaptive(policy: str, stream: Stream, promise: Promise) -> Run:
    """Refreshed every fifty decisions from all labels so far; audits fall evenly."""
    wrongs, weights, labels = np.zeros(BINS), np.zeros(BINS), np.zeros(BINS)
    live, lives = BINS, np.empty(len(stream), int)
    for start in range(0, len(stream), REFRESH):
        here = slice(start, start + REFRESH)
        if start >= WARM_UP:
            live = _refreshed(policy, *(upwards(counts)[:-1] for counts in (wrongs, weights, labels)), promise)
        lives[here] = live
        inclusion = np.where(stream.places[here] >= live, promise.share, 1.0)
        weight = (stream.draws[here] < inclusion) / inclusion
        wrongs += np.bincount(stream.places[here], weight * stream.seen[here], BINS)
        weights += np.bincount(stream.places[here], weight, BINS)
        labels += np.bincount(stream.places[here], weight > 0, BINS)
    return _figures(stream, promise, lives, promise.share)


def _refreshed(policy: str, wrongs: np.ndarray, weights: np.ndarray, labels: np.ndarray, promise: Promise) -> int:
    if policy == "naive":
        return _first((wrongs <= promise.max_error * weights) & (labels >= LEAST))
    rate = wrongs / np.maximum(weights, 1e-9)
    return in_sequence(bdtr(np.floor(rate * labels), labels, promise.max_error), promise.delta)


def _figures(stream: Stream, promise: Promise, lives: np.ndarray, share: float) -> Run:
    """What came of first bins `lives`, one a decision, with this share of audits."""
    late = np.arange(len(stream)) >= stream.change
    truth = np.where(late, risks(stream.after)[lives], risks(stream.before)[lives])
    automated = stream.places >= lives
    last = oracle(stream.after if late.any() else stream.before, promise.max_error)
    whole = oracle(stream.before, promise.max_error)
    wrong_after = stream.wrong[automated & late]
    return Run(
        coverage=(BINS - lives[-1]) / BINS,
        final=(BINS - lives[-1]) / BINS / last if last else 0.0,
        average=automated.mean() / whole if whole else 0.0,
        violated=bool((truth > promise.max_error + 1e-12).any()),
        reviews=float((~automated | (stream.draws < share)).mean()),
        error=float(stream.wrong[automated].mean()) if automated.any() else 0.0,
        error_after=float(wrong_after.mean()) if len(wrong_after) else 0.0,
    )
