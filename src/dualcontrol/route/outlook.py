"""How many more labels a certificate needs, as far as anybody can know."""

from __future__ import annotations

from bisect import bisect_left
from math import exp, log, log1p
from typing import TYPE_CHECKING

from dualcontrol.route import binomial
from dualcontrol.route.regions import START

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dualcontrol.route.guarantee import Certificate

LOST = -50.0  # the log of a wealth that one error takes whole


def labels_needed(of: Certificate) -> int | None:
    """About how many more labels the next region needs if they go on as they have; None if it never gets there."""
    if not of.begun:
        return of.pilot - len(of._piloted) + _to_begin(of)
    if of._next < 0:
        return None
    seen, wrong = sum(of.weights[of._next :]), sum(of.wrongs[of._next :])
    if not seen and not of.steps:
        return _to_begin(of)
    risk = (wrong + of.max_error / 4) / (seen + 1.0)
    gain = max(_gain(of, fraction, risk) for fraction in of._fractions)
    if gain <= 0.0:
        return None
    share = of.share_from(of._next) or of.start or START
    return max(1, round((of._target - wealth_of(of._sums)) / gain / max(share, 1e-9)))


def one_by_one(of: Certificate) -> int:
    """How many labels of the first region it takes without a single error, one by one."""
    move, most = of._move(0, 1.0, 1.0), 1
    while wealth_of([most * one for one in move]) < of._target:
        most *= 2
    return 1 + bisect_left(range(1, most), of._target, key=lambda n: wealth_of([n * one for one in move]))


def at_once(of: Certificate) -> int:
    """How many labels without a single error one exact test takes."""
    return binomial.needed(of.max_error * (1.0 - of.miss_rate), 1.0 - of._one_test)


def wealth_of(sums: Sequence[float]) -> float:
    """The log of the sum of the wealths, of which each fraction has an equal part."""
    most = max(sums)
    return most + log(sum(exp(one - most) for one in sums))


def _to_begin(of: Certificate) -> int:
    """Labels of every region until so many lie in the first, or until the launch tests them all at once."""
    share = of.start or START
    singly = one_by_one(of) / share
    return round(min(singly, max(of.launch, at_once(of) / share)) if of.launch else singly)


def _gain(of: Certificate, fraction: float, risk: float) -> float:
    """The mean growth of log wealth a label, at this risk."""
    up, down = log1p(fraction * of.max_error), 1.0 - fraction * (of._flag - of.max_error)
    return (1.0 - risk) * up + risk * (log(down) if down > 0 else LOST)
