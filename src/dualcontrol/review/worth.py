"""What a review is worth, and the place in the queue that follows.

A review is worth the loss that it prevents, by the minute (Chow 1970), and more the longer it waits.  A place in the
queue is fixed when the row opens: the moment at which it will be worth as much as a new one of which nothing is known.
"""

from __future__ import annotations

from dualcontrol.case import RELIEF_TIMES, Case, ReviewKind, is_high, risk_number
from dualcontrol.control import Control

HOUR = 3_600_000_000
AHEAD = 96  # response times by which a high risk goes ahead while there is relief: all that is not a day late
LEAST = 0.05  # no proposal counts as surer than this to be right, so that none waits for ever


def value(
    loss: float, p_wrong: float, miss_rate: float, minutes: float, age: float = 0.0, promise: float = 1.0
) -> float:
    """What a minute of review is worth: the loss it prevents (Chow 1970), growing with age so that nothing starves.

    A review pays where this is above the price of a minute; `age` and `promise` are in one unit.
    """
    return loss * p_wrong * (1.0 - miss_rate) / minutes * (1.0 + age / promise)


def order_at(case: Case, kind: ReviewKind, control: Control, now: int) -> int:
    """A place in the queue: a virtual deadline that comes sooner the more the review is worth.

    It is one response time after the moment when `value` has grown to 1, for all rows alike.

    Being virtual it ages, so that a long queue would hold up a new high risk: not while there is relief.
    """
    promise = control.settings.response_time or HOUR
    risk, relief = (case.route.risk, case.route.relief) if case.route else (None, None)
    place = now + int(promise * RELIEF_TIMES.get(relief, 1) / _worth(case, kind, risk, control))
    return max(place - AHEAD * promise, 0) if control.relief and is_high(risk) else place


def _worth(case: Case, kind: ReviewKind, risk: str | float | None, control: Control) -> float:
    """Worth at once, where 1 is a case of which nothing is known.

    In one loop the minutes that a review takes and the errors that it misses are the same for all.
    """
    return value(
        loss=max(4.0 * risk_number(risk), 1.0), p_wrong=_doubt(case, kind, control), miss_rate=0.0, minutes=1.0
    )


def _doubt(case: Case, kind: ReviewKind, control: Control) -> float:
    """The chance that the proposal is wrong, where the loop declares its capacity and the proposal's score says it.

    Rows beside the outcome keep their place: what is drawn for evidence is not put off because it looks right.
    """
    score = case.confidence if case.route is None or case.route.score is None else case.route.score
    if control.settings.capacity is None or score is None or kind in ("audit", "probe"):
        return 1.0
    return max(1.0 - score, LEAST)
