"""Simulated streams of decisions whose true error is known, for bench/guarantee.py.

A decision has a score in one of a hundred bins of equal mass, the most certain last, and is wrong with the bin's
probability; a draw decides whether an audit falls on it.  Scores are known, labels are what a reviewer says.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

BINS = 100
EDGES = [place / BINS for place in range(1, BINS)]
EVEN = np.full(BINS, 1.0 / BINS)


def _errors() -> dict[str, np.ndarray]:
    q = (np.arange(BINS) + 0.5) / BINS
    hard = 0.03 + 0.55 * np.clip(1 - q / 0.35, 0, 1) ** 0.7
    cluster = np.where(q > 0.95, 0.07, 0.40 * np.exp(-5.0 * q) + 0.002)
    return {
        "cal_light": 0.45 * np.exp(-4.2 * q),  # calibrated and smooth
        "cal_heavy": np.where(q > 0.35, 0.006, hard),  # calibrated, a heavy tail of hard cases
        "overconf": np.clip(0.30 * (1 - q) ** 1.2 + 0.012, 0, 1),  # more than twice the claimed error
        "topwrong": cluster,  # the five percent that are most certain are often wrong
        "flat51": np.full(BINS, 0.051),  # scores say nothing, and everything is a little too bad
        "uppertenth": np.where(q > 0.9, 0.002, 0.2),  # only the surest tenth is good enough, the surest fifth is not
    }


ERRORS = _errors()


def claimed(name: str) -> np.ndarray:
    """What the scores claim the error of each bin to be."""
    q = (np.arange(BINS) + 0.5) / BINS
    if name == "topwrong":
        return 0.40 * np.exp(-5.0 * q) + 0.002
    return ERRORS[name] * (0.45 if name == "overconf" else 1.0)


def odds(errors: np.ndarray, times: float) -> np.ndarray:
    """Errors whose odds are so many times as high."""
    raised = errors / (1.0 - errors) * times
    return raised / (1.0 + raised)


def upwards(counts: np.ndarray) -> np.ndarray:
    """The sum over each bin and those above, and 0 for the region that holds nothing."""
    return np.append(np.cumsum(counts[::-1])[::-1], 0.0)


def risks(errors: np.ndarray, masses: np.ndarray = EVEN) -> np.ndarray:
    """The true error of "this bin and above", and 0 for the region that holds nothing."""
    return upwards(errors * masses) / np.append(upwards(masses)[:-1], 1.0)


def oracle(errors: np.ndarray, max_error: float, masses: np.ndarray = EVEN) -> float:
    """The largest coverage that keeps the promise, for somebody who knows the errors of this order of bins."""
    fine = np.flatnonzero(risks(errors, masses)[:-1] <= max_error + 1e-12)
    return float(upwards(masses)[fine[0]]) if len(fine) else 0.0


def best(errors: np.ndarray, max_error: float, masses: np.ndarray = EVEN) -> float:
    """The same for somebody who may order the bins too."""
    order = np.argsort(-errors, kind="stable")
    return oracle(errors[order], max_error, masses[order])


@dataclass(frozen=True)
class Stream:
    """One stream: bins, true errors, what the reviewer would say, audit draws, and true risks before and after."""

    name: str
    places: np.ndarray
    scores: np.ndarray
    wrong: np.ndarray
    seen: np.ndarray
    draws: np.ndarray
    before: np.ndarray
    after: np.ndarray
    change: int
    edges: tuple[float, ...] = tuple(EDGES)
    masses: np.ndarray = field(default_factory=lambda: EVEN)

    def __len__(self) -> int:
        return len(self.places)


def drawn(name: str, decisions: int, seed: int, drift: float = 1.0, noise: float = 0.0) -> Stream:
    """A stream; the odds of error are `drift` times as high from the middle on, reviewers miss the share `noise`."""
    rng = np.random.default_rng([seed, sorted(ERRORS).index(name)])
    before, after = ERRORS[name], odds(ERRORS[name], drift)
    change = decisions // 2 if drift != 1.0 else decisions
    places = rng.integers(0, BINS, decisions)
    chance = np.where(np.arange(decisions) < change, before[places], after[places])
    wrong = rng.random(decisions) < chance
    draws = rng.random(decisions)
    seen = wrong & (rng.random(decisions) >= noise) if noise else wrong
    return Stream(name, places, (places + 0.5) / BINS, wrong, seen, draws, before, after, change)
