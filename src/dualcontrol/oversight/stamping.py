"""Rubber-stamp alarm: a sequential test of each reviewer, from the first probe on.

Wald's sequential probability ratio test (1945) of "misses one probe in ten" against "misses four in ten": a miss adds
ln(p1 / p0), a catch ln((1 - p1) / (1 - p0)); the reviewer is flagged at ln((1 - beta) / alpha), cleared at
ln(beta / (1 - alpha)), and the test begins anew after either.  Each run flags a reviewer who misses p0 with a
probability of about alpha at most; as runs follow each other, a healthy one is flagged now and then all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Any, Literal, NamedTuple, Self

from dualcontrol.errors import GuaranteeError
from dualcontrol.oversight import rates

Verdict = Literal["stamping", "healthy"]


class Run(NamedTuple):
    """A run of the test that ended: misses, of how many probes, and the log likelihood ratio that they came to."""

    missed: int
    of: int
    evidence: float


class Stamping:
    """One reviewer's test; `observe` each known-wrong probe that they answered."""

    def __init__(
        self, healthy: float = 0.10, stamping: float = 0.40, *, false_flag: float = 0.05, false_clear: float = 0.05
    ) -> None:  # fmt: skip
        options = {"healthy": healthy, "stamping": stamping, "false_flag": false_flag, "false_clear": false_clear}
        for name, value in options.items():
            rates.share(name, value)
        if healthy >= stamping or false_flag + false_clear >= 1.0:
            raise GuaranteeError(
                f"no test tells {healthy!r} from {stamping!r} with errors of {false_flag!r} and {false_clear!r}",
                hint="A stamper misses more than a healthy reviewer, and the two errors add up to less than 1.",
            )
        self.healthy, self.stamping, self.false_flag, self.false_clear = healthy, stamping, false_flag, false_clear
        self._miss, self._catch = log(stamping / healthy), log((1.0 - stamping) / (1.0 - healthy))
        self._flag, self._clear = log((1.0 - false_clear) / false_flag), log(false_clear / (1.0 - false_flag))
        self.missed = self.caught = 0  # since the test began anew
        self.flags = self.clears = 0
        self.flagged: list[Run] = []  # the runs that ended in a flag; of those before it was stored only the number is

    def observe(self, missed: bool | int) -> Verdict | None:
        """Count one probe; the verdict where it ends the test, which then begins anew."""
        rates.yes_or_no("missed", missed)
        if missed:
            self.missed += 1
        else:
            self.caught += 1
        evidence = self.evidence
        if self._clear < evidence < self._flag:
            return None
        if evidence >= self._flag:
            self.flagged.append(Run(self.missed, self.missed + self.caught, evidence))
        self.missed = self.caught = 0
        if evidence >= self._flag:
            self.flags += 1
            return "stamping"
        self.clears += 1
        return "healthy"

    @property
    def evidence(self) -> float:
        """The log likelihood ratio since the test began anew."""
        return self.missed * self._miss + self.caught * self._catch

    @property
    def share(self) -> float:
        """How far the evidence has come on the way to a flag, from 0 to 1."""
        return max(0.0, min(1.0, self.evidence / self._flag))

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain JSON."""
        return {name: getattr(self, name) for name in (*_OPTIONS, *_COUNTS)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The test that `to_dict` described."""
        with rates.stored("rubber-stamp test"):
            healthy, stamping, false_flag, false_clear = (data[name] for name in _OPTIONS)
            test = cls(healthy, stamping, false_flag=false_flag, false_clear=false_clear)
            for name in _COUNTS:
                setattr(test, name, rates.whole(name, data[name]))
            if not test._clear < test.evidence < test._flag:
                raise GuaranteeError("its counts have passed a limit, after which the test begins anew")
        return test


_OPTIONS = ("healthy", "stamping", "false_flag", "false_clear")
_COUNTS = ("missed", "caught", "flags", "clears")
