"""Audits: the share of autopilot cases that a human reviews too; its probability is fixed before the draw.

Under a guarantee the share goes where errors are likely: proportional to the root of the smoothed error of a case's
score bin (Neyman 1934), never below half the declared share, five times as often while the monitor is suspicious.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dualcontrol.case import RouteTo
from dualcontrol.control import Env

PURPOSE = "audit"
SHARE = 0.10
BOOST = 5.0
WIDTH, REACH = 3.0, 6
PRIOR = 8.0
DIGITS = 4


def inclusion(to: RouteTo, share: float) -> float:
    """With what probability a human sees a case of this route: always, by audit, or (blocked) never."""
    if to == "human":
        return 1.0
    return share if to == "autopilot" else 0.0


def drawn(env: Env, case_id: str, to: RouteTo, probability: float) -> bool:
    """Whether the audit draw of this case falls on it; only autopilot cases are drawn."""
    return to == "autopilot" and probability > 0.0 and env.draw(PURPOSE, case_id) < probability


def floor_of(share: float) -> float:
    """The least audit probability of a certified region: half the share that is declared."""
    return round(share / 2, DIGITS)


def shares(
    wrongs: Sequence[float], weights: Sequence[float], live: int, *, share: float, max_error: float,
    boosted: bool = False,
) -> tuple[float, ...]:  # fmt: skip
    """The audit probability of each bin from `live` up; below it everything is reviewed.

    `wrongs` and `weights` are the weighted errors and cases of each bin, lowest score first.
    """
    errors = (np.asarray(wrongs) + max_error * PRIOR / 2) / (np.asarray(weights) + PRIOR)
    spread = np.sqrt(smoothed(errors))[live:]
    found = share * spread / spread.mean()
    if boosted:
        found = found * BOOST
    found = np.clip(found, floor_of(share), 1.0)
    return (1.0,) * live + tuple(round(float(one), DIGITS) for one in found)


def smoothed(errors: np.ndarray) -> np.ndarray:
    """The errors of neighbouring bins, by a Gaussian kernel."""
    steps = np.arange(-REACH, REACH + 1)
    kernel = np.exp(-0.5 * (steps / WIDTH) ** 2)
    kernel /= kernel.sum()
    return np.convolve(np.pad(errors, REACH, mode="edge"), kernel, "valid")
