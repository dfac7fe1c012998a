"""The running bound under errors that stay, jump and swing: whether it is ever below the mean error so far."""

from __future__ import annotations

import numpy as np
from product import Promise

from dualcontrol.guarantee.bound import RunningBound

LOOK = 10


def path(name: str, decisions: int) -> np.ndarray:
    """The true error of each decision."""
    n = np.arange(decisions)
    if name == "sine":
        return 0.04 + 0.03 * np.sin(n / 1500)
    return np.where(n < decisions / 2, 0.03, 0.09) if name == "jump" else np.full(decisions, 0.035)


def miscovered(name: str, decisions: int, promise: Promise, seed: int) -> bool:
    """Whether one run ever found the bound below the truth, looking at it every ten decisions."""
    rng, share = np.random.default_rng([seed, 7]), promise.share
    truth = path(name, decisions)
    wrong, audited = rng.random(decisions) < truth, rng.random(decisions) < share
    means = np.cumsum(truth) / np.arange(1, decisions + 1)
    bound = RunningBound(1.0 - promise.delta, floor=share)
    for n in range(decisions):
        if audited[n]:
            bound.observe(wrong=int(wrong[n]), inclusion=share)
        else:
            bound.skip()
        if n % LOOK == LOOK - 1 and bound.upper < means[n]:
            return True
    return False
