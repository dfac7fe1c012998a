"""The monitor: whether the region on autopilot has become worse than promised since any moment in the past.

An e-detector in its CUSUM form (Shin, Ramdas and Rinaldo 2024) over weighted labels of autopilot cases: eight bets
that the error is above the bound, each beginning anew whenever it has lost.  While the error is at the bound, the
mean time to a false alarm is at least `alarm_at` labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, log, log1p
from typing import Any, Self

from dualcontrol.errors import GuaranteeError
from dualcontrol.route import sound, stored

ALARM_AT = 2000.0
SUSPICIOUS = 5.0
FRACTIONS = tuple(0.02 * 40.0 ** (j / 7) for j in range(8))  # 0.02 to 0.8
MOST = 0.9


class Monitor:
    """Sums of evidence that the live region errs more than `max_error`; see the module.

    `floor` is the least inclusion probability of an autopilot case; `observe` may say another one for its decision.
    """

    def __init__(
        self, max_error: float, *, floor: float = 0.05, alarm_at: float = ALARM_AT, miss_rate: float = 0.0
    ) -> None:  # fmt: skip
        sound.promise(max_error, 0.95)
        sound.share("floor", floor, one=True)
        sound.share("miss_rate", miss_rate, zero=True)
        if not sound.real(alarm_at) or alarm_at <= 1.0:
            raise GuaranteeError(f"alarm_at is {alarm_at!r:.80}; it must be a number above 1")
        self.max_error, self.floor, self.alarm_at, self.miss_rate = max_error, floor, alarm_at, miss_rate
        self.labels = 0
        self._least = 1.0
        self._logs = [0.0] * len(FRACTIONS)

    def observe(self, *, wrong: bool | int, inclusion: float, floor: float | None = None) -> bool:
        """Count the label of one autopilot case; True when the alarm goes off, after which it begins anew."""
        sound.seen(wrong, inclusion, floor)
        self._least = min(self._least, inclusion)
        least = min(self.floor, self._least) if floor is None else floor
        gain = (int(wrong) / (1.0 - self.miss_rate) - self.max_error) / inclusion
        cap = MOST * least / self.max_error
        self._logs = [
            max(one, 0.0) + log1p(min(fraction, cap) * gain)
            for one, fraction in zip(self._logs, FRACTIONS, strict=True)
        ]
        self.labels += 1
        if self.value < self.alarm_at:
            return False
        self.reset()
        return True

    @property
    def value(self) -> float:
        """The evidence now; about 1 while all is well, an alarm at `alarm_at`."""
        most = max(self._logs)
        if most > 600.0:
            return float("inf")
        return sum(exp(one) for one in self._logs) / len(self._logs)

    @property
    def suspicious(self) -> bool:
        """Whether audits should be more frequent for a while."""
        return self.value > SUSPICIOUS

    @property
    def share(self) -> float:
        """How far the evidence has come on the way to an alarm, on a log scale from 0 to 1."""
        return min(1.0, max(0.0, log(max(self.value, 1.0)) / log(self.alarm_at)))

    def reset(self) -> None:
        """Begin anew."""
        self._logs = [0.0] * len(FRACTIONS)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain JSON."""
        given = {name: getattr(self, name) for name in ("max_error", "floor", "alarm_at", "miss_rate")}
        return {"given": given, "labels": self.labels, "least": self._least, "logs": self._logs}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The monitor that `to_dict` described."""
        with stored.read("monitor"):
            given = dict(data["given"])
            made = cls(given.pop("max_error"), **given)
            made.labels, made._least, made._logs = data["labels"], data["least"], list(data["logs"])
            sound.whole("labels", made.labels, 0)
            sound.share("least", made._least, one=True)
            stored.numbers("logs", made._logs, len(FRACTIONS))
        return made
