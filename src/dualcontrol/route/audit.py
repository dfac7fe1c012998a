"""Audits: the share of autopilot cases that a human reviews too; its probability is fixed before the draw.

Under a guarantee the share goes where errors are likely: proportional to the root of the smoothed error of a case's
score bin (Neyman 1934), never below half the declared share, five times as often while the monitor is suspicious.
There a share of what people decide is drawn as well, to be asked blind: an answer to a proposal that was shown repeats
it too often to be evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, sqrt

from dualcontrol.case import RouteTo
from dualcontrol.control import Control
from dualcontrol.people import able_in, humans_of
from dualcontrol.route.capacity import AUDITS, FEWER

PURPOSE, BLIND = "audit", "blind"  # of draws
SHARE = 0.10
BOOST = 5.0
WIDTH, REACH = 3.0, 6
PRIOR = 8.0
DIGITS = 4
LEAST_UNDER_RELIEF = 0.02
STEPS = range(-REACH, REACH + 1)
_BELL = [exp(-0.5 * (step / WIDTH) ** 2) for step in STEPS]
KERNEL = [one / sum(_BELL) for one in _BELL]


def inclusion(to: RouteTo, control: Control, segment: str | None, score: float | None) -> float:
    """The inclusion probability of a route: 1 for a human, the audit share on autopilot, 0 where it is blocked."""
    if to == "human":
        return 1.0
    return share_of(control, segment, score) if to == "autopilot" else 0.0


def share_of(control: Control, segment: str | None, score: float | None) -> float:
    """The audit share of an autopilot case: by score where a certificate let it pass, else as the settings say."""
    table = control.audits.get(control.certificate_for(segment) or "")
    if score is None or control.settings.guarantee is None:
        return relieved(control.settings.audit, control.relief)
    if table is None:
        return 1.0
    floor = floor_of(declared(control)) if table.floor is None else table.floor
    return relieved(table.share(score), control.relief, floor)


def least(control: Control, segment: str) -> float:
    """The least inclusion probability that a decision of a certificate can have under this control."""
    table = control.audits.get(segment)
    if table is None:
        return 1.0
    floor = floor_of(declared(control)) if table.floor is None else table.floor
    people = 1.0 if table.blind is None else table.blind
    return min([people, *(relieved(share, control.relief, floor) for share in table.shares)])


def blind(
    control: Control, segment: str | None, score: float | None, model: str | None, mode: str
) -> float | None:  # fmt: skip
    """The probability with which people who decide a case are asked blind; None where any answer counts, or none does.

    All are while nothing is certified for the segment and the model that proposes, so that no evidence waits; what is
    drawn later is one share for all scores.  Where an answer has to be judged beside the proposal and nobody is there
    to do it, nobody is asked blind and nothing is evidence.
    """
    guarantee = control.settings.guarantee
    if guarantee is None or not guarantee.blind or score is None or mode not in ("labels", "approval", "fallback"):
        return None
    if control.settings.side_by_side and not judges(control):
        return 0.0
    segment = control.certificate_for(segment) or ""
    table = control.audits.get(segment)
    if table is None or table.blind is None or model != control.models.get(segment):
        return 1.0
    return table.blind


def judges(control: Control) -> bool:
    """Whether a loop has the two people that it takes to compare an answer with the proposal, as far as it knows them.

    It is asked of the loop's own group, so that all cases of a time are evidence or none is.
    """
    able = able_in(control.settings.group, control)
    return able is None or len(humans_of(able, control)) > 1


def sparsest(control: Control, segment: str) -> float:
    """The least inclusion probability of any case that people could see, also of those that a rule or list let run."""
    settings = control.settings
    let_run = settings.autopilot_actions or any(rule.route == "autopilot" for rule in settings.rules)
    least_seen = least(control, segment)
    beside = relieved(settings.audit, control.relief) if let_run else 0.0
    return min(least_seen, beside) if beside > 0.0 else least_seen


def lowest(control: Control) -> float:
    """The least inclusion probability of any case that confidence sends somewhere, whatever its segment and score."""
    settings = control.settings
    if settings.start != "gate":
        return 0.0 if settings.start == "shadow" else 1.0
    if settings.guarantee is not None:
        return min((least(control, segment) for segment in control.audits), default=1.0)
    opened = settings.threshold is not None or bool(control.thresholds)
    return relieved(settings.audit, control.relief) if opened else 1.0


def relieved(share: float, relief: int, least: float = LEAST_UNDER_RELIEF) -> float:
    """The share under relief: a fifth, or `least` where that is more; fixed before any draw, so evidence stays valid.

    Under a guarantee the least is the minimum inclusion probability that its bets were placed with.
    """
    return share if relief < AUDITS else max(share / FEWER, min(share, least))


def fewer(control: Control) -> float:
    """By how much relief divides the audits of a loop."""
    guaranteed = control.settings.guarantee is not None
    share = declared(control) if guaranteed else control.settings.audit
    least = floor_of(share) if guaranteed else LEAST_UNDER_RELIEF
    return share / relieved(share, AUDITS, least) if share else 1.0


def declared(control: Control) -> float:
    """The audit share of a loop under a guarantee: a tenth where the settings name none."""
    return control.settings.audit or SHARE


def blind_share(control: Control, floor: float) -> float | None:
    """The share of what people decide that is asked blind once autopilot is open; a certificate's floor holds on."""
    guarantee = control.settings.guarantee
    return max(guarantee.blind_share, floor) if guarantee is not None and guarantee.blind else None


def floor_for(control: Control) -> float:
    """The minimum inclusion probability that a certificate which begins now is promised."""
    guarantee, floor = control.settings.guarantee, floor_of(declared(control))
    return min(floor, guarantee.blind_share) if guarantee is not None and guarantee.blind else floor


def floor_of(share: float) -> float:
    """The minimum inclusion probability of a certified region: half the share that is declared."""
    return max(round(share / 2, DIGITS), 10.0**-DIGITS)


def shares(
    wrongs: Sequence[float], weights: Sequence[float], live: int, *, share: float, max_error: float,
    floor: float | None = None, boosted: bool = False,
) -> tuple[float, ...]:  # fmt: skip
    """The audit probability of each bin from `live` up; below it everything is reviewed.

    `wrongs` and `weights` are the weighted errors and cases of each bin, lowest score first.  `floor` is the minimum
    inclusion probability that the certificate was promised; a share that is lowered later does not go below it.
    """
    errors = [(w + max_error * PRIOR / 2) / (n + PRIOR) for w, n in zip(wrongs, weights, strict=True)]
    spread = [sqrt(error) for error in smoothed(errors)[live:]]
    scale = share * len(spread) / sum(spread) * (BOOST if boosted else 1.0)
    least = floor_of(share) if floor is None else floor
    return (1.0,) * live + tuple(round(min(1.0, max(least, scale * one)), DIGITS) for one in spread)


def smoothed(errors: Sequence[float]) -> list[float]:
    """The errors of neighbouring bins, by a Gaussian kernel; beyond the ends the last bin goes on."""
    last = len(errors) - 1
    return [
        sum(weight * errors[min(max(place + step, 0), last)] for step, weight in zip(STEPS, KERNEL, strict=True))
        for place in range(len(errors))
    ]
