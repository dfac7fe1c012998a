"""Monitor: whether the region on autopilot has become worse than promised since any moment in the past.

An e-detector in its CUSUM form (Shin, Ramdas and Rinaldo 2024) over weighted labels of autopilot cases: eight bets
that the error is above the bound, each beginning anew whenever it has lost.  While the error is at the bound, the
mean time to a false alarm is at least `alarm_at` labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, log, log1p
from typing import Any, Self

from dualcontrol.errors import GuaranteeError
from dualcontrol.guarantee import binomial, certificate

ALARM_AT = 2000.0
SUSPICIOUS = 5.0
FRACTIONS = tuple(0.02 * 40.0 ** (j / 7) for j in range(8))  # 0.02 to 0.8
MOST = 0.9


class Monitor:
    """Sums of evidence that the live region errs more than `max_error`; see the module.

    `floor` is the least inclusion probability of an autopilot case; `observe` may say another one for its decision.
    Of cases that belong together `largest` at most are one bet (`observe_together`), as in the certificate: the mean
    time to a false alarm is then counted in clusters.
    """

    def __init__(
        self, max_error: float, *, floor: float = 0.05, alarm_at: float = ALARM_AT, miss_rate: float = 0.0,
        largest: int = 1,
    ) -> None:  # fmt: skip
        certificate.promise(max_error, 0.95)
        certificate.share("floor", floor, one=True)
        certificate.share("miss_rate", miss_rate, zero=True)
        if not certificate.real(alarm_at) or alarm_at <= 1.0:
            raise GuaranteeError(f"alarm_at is {alarm_at!r:.80}; it must be a number above 1")
        certificate.whole("largest", largest, 1)
        self.max_error, self.floor, self.alarm_at, self.miss_rate = max_error, floor, alarm_at, miss_rate
        self.largest = largest
        self.labels = 0
        self._least = 1.0
        self._logs = [0.0] * len(FRACTIONS)

    def observe(self, *, wrong: bool | int, inclusion: float, floor: float | None = None) -> bool:
        """Count the label of one autopilot case; True when the alarm goes off, after which it begins anew."""
        return self.observe_together([(wrong, inclusion)], floor=floor)

    def observe_together(self, labels: Sequence[tuple[bool | int, float]], *, floor: float | None = None) -> bool:
        """The same with the (wrong, inclusion) of the audited autopilot cases of one cluster, as one bet."""
        if len(labels) > self.largest:
            raise GuaranteeError(f"{len(labels)} labels are one cluster, of which {self.largest} were declared")
        gain = 0.0
        for wrong, inclusion in labels:
            certificate.seen(wrong, inclusion, floor)
            self._least = min(self._least, inclusion)
            gain += (int(wrong) / (1.0 - self.miss_rate) - self.max_error) / inclusion / self.largest
        least = min(self.floor, self._least) if floor is None else floor
        cap = MOST * least / self.max_error
        self._logs = [
            max(wealth, 0.0) + log1p(min(fraction, cap) * gain)
            for wealth, fraction in zip(self._logs, FRACTIONS, strict=True)
        ]
        self.labels += len(labels)
        if self.value < self.alarm_at:
            return False
        self._logs = [0.0] * len(FRACTIONS)
        return True

    @property
    def value(self) -> float:
        """The evidence now; about 1 while all is well, an alarm at `alarm_at`."""
        most = max(self._logs)
        if most > 600.0:
            return float("inf")
        return sum(map(exp, self._logs)) / len(self._logs)

    @property
    def suspicious(self) -> bool:
        """Whether audits should be more frequent for a while."""
        return self.value > SUSPICIOUS

    @property
    def share(self) -> float:
        """How far the evidence has come on the way to an alarm, on a log scale from 0 to 1."""
        return min(1.0, max(0.0, log(max(self.value, 1.0)) / log(self.alarm_at)))

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain JSON."""
        names = ("max_error", "floor", "alarm_at", "miss_rate", *(("largest",) if self.largest > 1 else ()))
        promise = {name: getattr(self, name) for name in names}
        return {"given": promise, "labels": self.labels, "least": self._least, "logs": self._logs}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The monitor that `to_dict` described."""
        with certificate.read("monitor"):
            promise = dict(data["given"])
            monitor = cls(promise.pop("max_error"), **promise)
            monitor.labels, monitor._least, monitor._logs = data["labels"], data["least"], list(data["logs"])
            certificate.whole("labels", monitor.labels, 0)
            certificate.share("least", monitor._least, one=True)
            certificate.numbers("logs", monitor._logs, len(FRACTIONS))
        return monitor


# Bursts: whether labels that count as independent are of one question.
#
# A label says as much as an independent one divided by the size of its cluster (Kish's design effect where all of a
# cluster are alike): `size` is the mean of that over the cases that people were to see.


BURSTS = "bursts"
FROM = 50  # labels, before which a few repeats look like many
FAR = 2.0


def worth(labels: int, size: float) -> float:
    """How many independent labels these are worth."""
    return labels / max(size, 1.0)


def bursty(labels: int, size: float) -> str | None:
    """What there is to say of labels that are worth far fewer; None where they are not."""
    if labels < FROM or size < FAR:
        return None
    return (
        f"{labels:,} labels are worth about {worth(labels, size):,.0f} independent ones: questions come again, "
        f"{size:.1f} times on average, and what is one question is right or wrong together. What is certified may not "
        'hold. Give guarantee.independent_by = "question", or the field that says what belongs together'
    )


# Score drift: whether a model's scores have become others under the same name.
#
# Score bins are put into ten groups of about equal mass.  Window by window the decisions of each group are counted; an
# alarm needs a share three times as high as an upper bound on what it was (Clopper and Pearson 1934), by an exact
# binomial test.  Levels are divided over groups and windows, so that scores that stay raise an alarm with a
# probability of at most `FALSE`, however long it is watched; milder changes are for the monitor to find.


GROUPS = 10
WINDOW = 250
TIMES = 3.0
FALSE = 1e-4


class Scale:
    """Detects score drift against `weights`, the decisions by bin when it was certified, lowest first; `labels` in all.

    `shares` are the groups' then, `risen` the share of the most frequent group of an alarm.
    """

    def __init__(self, weights: Sequence[float], labels: int) -> None:
        self._group_of = grouped(weights)
        self.groups = self._group_of[-1] + 1
        masses = [0.0] * self.groups
        for group, weight in zip(self._group_of, weights, strict=True):
            masses[group] += weight
        level = 1.0 - FALSE / 2 / self.groups
        self.shares = [mass / (sum(masses) or 1.0) for mass in masses]
        self.limits = [min(1.0, TIMES * binomial.upper(round(s * labels), labels, level)) for s in self.shares]
        self._counts, self._seen, self._windows = [0] * self.groups, 0, 0
        self.risen = 0.0

    def observe(self, place: int) -> int | None:
        """Count a decision by its bin; the group that has become too frequent, once a window is full."""
        self._counts[self._group_of[place]] += 1
        self._seen += 1
        if self._seen < WINDOW:
            return None
        self._windows += 1
        level = FALSE / 2 / self.groups / self._windows / (self._windows + 1)
        # so many would be rare at the limit: as many misses or fewer
        frequent = [
            group for group, (count, limit) in enumerate(zip(self._counts, self.limits, strict=True))
            if limit < 1.0 and binomial.cdf(WINDOW - count, WINDOW, 1.0 - limit) <= level
        ]  # fmt: skip
        self.risen = max((self._counts[group] / WINDOW for group in frequent), default=0.0)
        self._counts, self._seen = [0] * self.groups, 0
        return max(frequent, key=lambda group: self.shares[group], default=None)

    def bins(self, group: int) -> tuple[int, int]:
        """The first and the last bin of a group."""
        places = [place for place, own in enumerate(self._group_of) if own == group]
        return places[0], places[-1]


def grouped(weights: Sequence[float]) -> list[int]:
    """The group of each bin: neighbours together, up to a tenth of the mass each."""
    whole, mass = sum(weights) or 1.0, 0.0
    groups = []
    for weight in weights:
        groups.append(min(GROUPS - 1, int(GROUPS * mass / whole)))
        mass += weight
    ranks = {group: rank for rank, group in enumerate(sorted(set(groups)))}
    return [ranks[group] for group in groups]
