"""Scorecard: how well one person, team or context level tells wrong proposals from right ones, and at what price.

Signal detection (Green and Swets 1966; Macmillan and Creelman 2005): a hit is a wrong proposal turned down, a false
alarm a right one.  d' says how well the two are told apart, the criterion c which way doubt goes: above 0 it goes to
"approve".  Where wrong proposals become rarer people grow lenient without seeing less, which d_a shows best (slope
0.6; Buser 2020).  Rates are corrected by half an answer, so that none is 0 or 1 (log-linear; Hautus 1995).
These are figures for people to read; what a promise rests on comes from `rates` and `certificate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, log, pi, sqrt
from statistics import NormalDist
from typing import Any, Literal, NamedTuple, Self

from dualcontrol.errors import GuaranteeError
from dualcontrol.oversight import rates

SLOPE = 0.6
FEW = 30  # answers to wrong ones, and to right ones, below which nothing is diagnosed
_NORMAL = NormalDist()

Diagnosis = Literal["too few probes", "cannot tell them apart", "lenient", "turns down too much", "attentive"]


class Detection(NamedTuple):
    """Sensitivity d', criterion c, and d_a; `spread` is the standard error of d' (Gourevitch and Galanter 1967)."""

    d_prime: float
    criterion: float
    d_a: float
    spread: float


def detection(hits: int, wrongs: int, false_alarms: int, rights: int, *, slope: float = SLOPE) -> Detection:
    """Signal detection from counts: hits of wrong proposals, false alarms of right ones."""
    for name, count, of in (("hits", hits, wrongs), ("false alarms", false_alarms, rights)):
        if rates.whole(name, count) > rates.whole(f"cases of {name}", of):
            raise GuaranteeError(f"{count} {name} are more than the {of} cases that there were")
    rates.number("the slope", slope, 0.01, 10.0)
    hit, alarm = (hits + 0.5) / (wrongs + 1.0), (false_alarms + 0.5) / (rights + 1.0)
    z_hit, z_alarm = _NORMAL.inv_cdf(hit), _NORMAL.inv_cdf(alarm)
    return Detection(
        d_prime=z_hit - z_alarm,
        criterion=-(z_hit + z_alarm) / 2.0,
        d_a=sqrt(2.0 / (1.0 + slope * slope)) * (z_hit - slope * z_alarm),
        spread=sqrt(_variance(hit, z_hit, wrongs + 1.0) + _variance(alarm, z_alarm, rights + 1.0)),
    )


def _variance(rate: float, z: float, of: float) -> float:
    """The variance of the normal quantile of a rate, by the delta method."""
    return rate * (1.0 - rate) / of * 2.0 * pi * exp(z * z)


def wilson(count: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval of a share (Wilson 1927): for one look, at a number of answers fixed before; else `rates`."""
    rates.share("confidence", confidence)
    if rates.whole("count", count) > rates.whole("of", of):
        raise GuaranteeError(f"{count} are more than the {of} cases that there were")
    if of == 0:
        return 0.0, 1.0
    z = _NORMAL.inv_cdf((1.0 + confidence) / 2.0)
    share, scaled = count / of, z * z / of
    middle = (share + scaled / 2.0) / (1.0 + scaled)
    half = z / (1.0 + scaled) * sqrt(share * (1.0 - share) / of + scaled / of / 4.0)
    return (0.0 if count == 0 else middle - half), (1.0 if count == of else middle + half)


class Scorecard:
    """Counts of one person's, team's or context level's answers to probes, and the figures that they give.

    `observe` each answer to a probe, right ones included; `switch` each final answer of who had committed first.
    """

    def __init__(self) -> None:
        self.hits = self.wrongs = self.false_alarms = self.rights = 0
        self.harmful = self.could_harm = self.helpful = self.could_help = 0
        self.timed = 0
        self._logs = self._squares = 0.0

    def observe(self, *, wrong: bool | int, rejected: bool | int, seconds: float | None = None) -> None:
        """Count the answer to a probe: whether it was wrong, whether it was turned down, and how long it took."""
        rates.yes_or_no("wrong", wrong)
        rates.yes_or_no("rejected", rejected)
        if seconds is not None:
            rates.number("the time of an answer, in seconds,", seconds, 1e-3, 1e9)
        if wrong:
            self.wrongs, self.hits = self.wrongs + 1, self.hits + bool(rejected)
        else:
            self.rights, self.false_alarms = self.rights + 1, self.false_alarms + bool(rejected)
        if seconds is not None:
            self.timed += 1
            self._logs += log(seconds)
            self._squares += log(seconds) ** 2

    def switch(self, *, right_before: bool | int, ai_right: bool | int, right_after: bool | int) -> None:
        """Count one commitment and the answer after the reveal.

        Harmful is to leave what was right for a wrong proposal, helpful to leave what was wrong for a right one.
        """
        for name, value in (("right_before", right_before), ("ai_right", ai_right), ("right_after", right_after)):
            rates.yes_or_no(name, value)
        if right_before and not ai_right:
            self.could_harm, self.harmful = self.could_harm + 1, self.harmful + (not right_after)
        elif ai_right and not right_before:
            self.could_help, self.helpful = self.could_help + 1, self.helpful + bool(right_after)

    @property
    def detection(self) -> Detection:
        """d', criterion and d_a."""
        return detection(self.hits, self.wrongs, self.false_alarms, self.rights)

    @property
    def seconds(self) -> tuple[float, float, float] | None:
        """The typical time of an answer (geometric mean) with its 95 % interval; None below two timed answers."""
        if self.timed < 2:
            return None
        mean = self._logs / self.timed
        variance = max(0.0, self._squares - self.timed * mean * mean) / (self.timed - 1)
        half = _NORMAL.inv_cdf(0.975) * sqrt(variance / self.timed)
        return exp(mean), exp(mean - half), exp(mean + half)

    @property
    def diagnosis(self) -> Diagnosis:
        """What the figures point to: at context and training, at leniency, or at neither."""
        if min(self.wrongs, self.rights) < FEW:
            return "too few probes"
        seen = self.detection
        if seen.d_prime < 1.0:
            return "cannot tell them apart"
        if abs(seen.criterion) <= 0.5:
            return "attentive"
        return "lenient" if seen.criterion > 0.0 else "turns down too much"

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain JSON."""
        return {name: getattr(self, name) for name in _COUNTS} | {"sums": [self._logs, self._squares]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The scorecard that `to_dict` described."""
        with rates.stored("scorecard"):
            card = cls()
            for name in _COUNTS:
                setattr(card, name, rates.whole(name, data[name]))
            for part, of in (("hits", "wrongs"), ("false_alarms", "rights"), ("harmful", "could_harm"),
                             ("helpful", "could_help")):  # fmt: skip
                if getattr(card, part) > getattr(card, of):
                    raise GuaranteeError(f"{part} are more than {of}")
            logs, squares = data["sums"]
            card._logs, card._squares = float(logs), float(squares)
        return card


_COUNTS = ("hits", "wrongs", "false_alarms", "rights", "harmful", "could_harm", "helpful", "could_help", "timed")
