"""Simulated people who answer probes, and ways to say what they miss, for bench/humans.py.

A desk answers probe after probe; its chance of missing the next one is known to the simulation, and may drift or react
to what was caught and told.  Every limit is looked at after every probe.  What is true at a look is the mean of the
chances so far: nobody can know the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.stats import beta, betabinom, binom, norm

from dualcontrol.guarantee.bound import GRID
from dualcontrol.oversight import rates

Chances = Callable[[int, int, np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


def _flat(miss: float) -> Chances:
    return lambda n, of, misses, last, rng: np.full(len(misses), miss)


def _path(at: Callable[[int, int], float]) -> Chances:
    return lambda n, of, misses, last, rng: np.full(len(misses), at(n, of))


# The chance of missing probe n of so many, by misses so far, by whether the last was missed, and by chance.
PEOPLE: dict[str, Chances] = {
    "catch .95": _flat(0.05),
    "catch .80": _flat(0.20),
    "catch .50": _flat(0.50),
    "tire, 5 to 60 % within each 200": _path(lambda n, of: 0.05 + 0.55 * (n % 200) / 200),
    "jump from 5 to 60 %": _path(lambda n, of: 0.05 if n < of / 2 else 0.60),
    "slowly from 5 to 40 %": _path(lambda n, of: 0.05 + 0.35 * n / of),
    "learn, from 50 to 5 %": _path(lambda n, of: 0.05 + 0.45 * 0.98**n),
    "careful only after a miss": lambda n, of, misses, last, rng: np.where(last, 0.02, 0.40),
    "absent now and then": lambda n, of, misses, last, rng: np.where(rng.random(len(misses)) < 0.15, 0.9, 0.05),
    "worse while nothing is seen": lambda n, of, misses, last, rng: np.where(misses < 0.1 * n, 0.30, 0.02),
}


class Looks(NamedTuple):
    """What became of a limit over many desks: ever wrong, wrong at the last probe, and the catch rate claimed then."""

    ever: float
    at_last: float
    claimed: float | None


@cache
def mixture(n: int, delta: float) -> np.ndarray:
    return np.array([rates.upper(k, n, delta) for k in range(n + 1)])


@cache
def _beta_binomial(n: int, delta: float) -> np.ndarray:
    """Upper ends of the Beta-binomial mixture with prior 1/2, 1/2: valid for a chance that stands still."""
    k = np.arange(n + 1)
    wealth = betabinom.logpmf(k, n, 0.5, 0.5)  # against binomial likelihoods: the coefficient cancels
    low, high = k / n, np.ones(n + 1)
    for _ in range(40):
        middle = (low + high) / 2
        out = wealth - binom.logpmf(k, n, middle) >= -np.log(delta)
        low, high = np.where(out, low, middle), np.where(out, middle, high)
    return high


@cache
def _clopper_pearson(n: int, delta: float) -> np.ndarray:
    k = np.arange(n)
    return np.append(beta.ppf(1 - delta, k + 1, n - k), 1.0)


@cache
def _wilson(n: int, delta: float) -> np.ndarray:
    share, z = np.arange(n + 1) / n, norm.ppf(1 - delta)
    half = z * np.sqrt(share * (1 - share) / n + z * z / n / n / 4)
    return (share + z * z / n / 2 + half) / (1 + z * z / n)


BY_COUNT = {
    "dualcontrol": mixture, "Beta-binomial mixture": _beta_binomial, "Clopper-Pearson at every look": _clopper_pearson,
    "Wilson at every look": _wilson,
}  # fmt: skip
BERNSTEIN, ONCE = "empirical Bernstein", "Clopper-Pearson once, at the end"
CERTIFICATE, BELOW = "oversight certificate", "dualcontrol, lower limit"
LIMITS = (CERTIFICATE, *BY_COUNT, BERNSTEIN, ONCE)


class _Bernstein:
    """The running bound of the guarantee with everything labelled, for many desks at once."""

    def __init__(self, desks: int, delta: float) -> None:
        self._square, self._mean = np.zeros(desks), np.zeros(desks)
        self._price, self._grid = np.log(len(GRID) / delta), np.array(GRID)

    def observe(self, missed: np.ndarray, misses: np.ndarray, n: int) -> np.ndarray:
        """The upper limits after this probe."""
        self._square += (missed - self._mean) ** 2
        self._mean = misses / n
        psi = -np.log1p(-self._grid) - self._grid
        sums = misses + (self._price + psi[:, None] * self._square) / self._grid[:, None]
        return np.minimum(1.0, sums.min(0) / n)


def looked_at(people: str, desks: int, probes: int, seed: int, delta: float = 0.05) -> dict[str, Looks]:
    """Every limit on the same desks, that of the certificate at its half of delta, and one from below."""
    rng, chances = np.random.default_rng([seed, list(PEOPLE).index(people)]), PEOPLE[people]
    misses, total, last = np.zeros(desks, int), np.zeros(desks), np.zeros(desks, bool)
    bernstein = _Bernstein(desks, delta)
    ever = {name: np.zeros(desks, bool) for name in (*LIMITS, BELOW)}
    now = {name: np.zeros(desks, bool) for name in ever}
    claimed: dict[str, float | None] = dict.fromkeys(ever)
    for n in range(1, probes + 1):
        chance = chances(n - 1, probes, misses, last, rng)
        total += chance
        last = rng.random(desks) < chance
        misses += last
        true = total / n
        limits = {name: table(n, delta)[misses] for name, table in BY_COUNT.items()}
        limits[CERTIFICATE] = mixture(n, delta / 2)[misses]
        limits[BERNSTEIN] = bernstein.observe(last, misses, n)
        limits[ONCE] = limits["Clopper-Pearson at every look"] if n == probes else np.ones(desks)
        now = {name: limit < true - 1e-12 for name, limit in limits.items()}
        now[BELOW] = 1.0 - mixture(n, delta)[n - misses] > true + 1e-12
        for name, out in now.items():
            ever[name] |= out
        if n == probes:
            claimed |= {name: float(1.0 - limit.mean()) for name, limit in limits.items()}
    return {name: Looks(float(ever[name].mean()), float(now[name].mean()), claimed[name]) for name in ever}


class PairLooks(NamedTuple):
    """How often limits on two people ever failed: on what both miss, on what either misses, and the squared rate."""

    joint: float
    total: float
    squared: float
    claimed_joint: float


def paired(miss: float, correlation: float, desks: int, cases: int, seed: int, delta: float = 0.05) -> PairLooks:
    """Two people with the same miss rate on cases that both answer."""
    joint = miss * miss + correlation * miss * (1 - miss)
    rng = np.random.default_rng([seed, round(1000 * miss), round(1000 * correlation)])
    both, either, singly = (np.zeros(desks, int) for _ in range(3))
    failed = {name: np.zeros(desks, bool) for name in ("joint", "total", "squared")}
    upper = np.ones(desks)
    for n in range(1, cases + 1):
        draw = rng.random(desks)
        first, second = draw < miss, (draw < joint) | ((draw >= miss) & (draw < 2 * miss - joint))
        both, either, singly = both + (first & second), either + (first | second), singly + first
        upper = mixture(n, delta)[both]
        failed["joint"] |= upper < joint - 1e-12
        failed["total"] |= mixture(n, delta)[either] < 2 * miss - joint - 1e-12
        failed["squared"] |= mixture(n, delta)[singly] ** 2 < joint - 1e-12
    return PairLooks(*(float(failed[name].mean()) for name in ("joint", "total", "squared")), float(upper.mean()))
