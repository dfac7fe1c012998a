"""Running bound: an upper confidence bound on the error that autopilot has had so far, under any drift.

An empirical-Bernstein confidence sequence (Howard et al. 2021, theorem 4) on the running mean of the conditional
errors of all autopilot cases, from inverse-probability-weighted audits.  Nothing needs to stand still, so it holds
when the certificate's assumption does not; it says what has happened, not what will.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log, log1p
from typing import Any, Self

from dualcontrol.errors import GuaranteeError
from dualcontrol.guarantee import certificate
from dualcontrol.guarantee.offline import HINTS

GRID: tuple[float, ...] = tuple(0.02 * 45.0 ** (j / 5) for j in range(6))  # 0.02 to 0.9, as shares of the floor


class RunningBound:
    """`observe` each audited autopilot case, `skip` the others; `upper` holds for all times at once.

    `floor` is the least inclusion probability that an audited case can have had; `miss_rate` bounds the share of errors
    that reviewers let pass.  Of cases that belong together `largest` at most are one term of the sum
    (`observe_together`): what a cluster adds lies from 0 to largest / floor, and its variance is taken about 0, since
    its size is not known before.  `kept` is the share of 1 - confidence that goes to the limits of `miss_rate`.
    """

    def __init__(
        self, confidence: float = 0.95, *, floor: float = 0.05, miss_rate: float = 0.0, largest: int = 1,
        kept: float = 0.0,
    ) -> None:  # fmt: skip
        certificate.share("confidence", confidence, hint=HINTS["confidence"])
        certificate.share("floor", floor, one=True)
        certificate.share("miss_rate", miss_rate, zero=True)
        certificate.share("kept", kept, zero=True)
        certificate.whole("largest", largest, 1)
        self.confidence, self.floor, self.miss_rate, self.largest = confidence, floor, miss_rate, largest
        self.kept = kept
        self.cases = self.labels = 0
        self.errors = 0.0
        self._sum, self._square, self._mean = 0.0, 0.0, 0.0

    def observe(self, *, wrong: bool | int, inclusion: float) -> None:
        """Count an audited case."""
        self.observe_together([(wrong, inclusion)])

    def observe_together(self, labels: Sequence[tuple[bool | int, float]]) -> None:
        """Count the (wrong, inclusion) of the audited cases of one cluster."""
        if len(labels) > self.largest:
            raise GuaranteeError(f"{len(labels)} labels are one cluster, of which {self.largest} were declared")
        weighted = 0.0
        for wrong, inclusion in labels:
            certificate.seen(wrong, inclusion, None)
            if inclusion < self.floor:
                raise GuaranteeError(f"the inclusion probability {inclusion!r} is below the floor {self.floor}")
            weighted += int(wrong) / inclusion
            self.errors += int(wrong)
        self._square += (weighted - self._mean) ** 2
        self._sum += weighted
        self.cases, self.labels = self.cases + len(labels), self.labels + len(labels)
        self._predict()

    def skip(self, cases: int = 1) -> None:
        """Count autopilot cases that nobody audited."""
        if cases < 0:
            raise GuaranteeError(f"{cases} cases cannot be skipped")
        self._square += cases * self._mean**2
        self.cases += cases
        self._predict()

    def _predict(self) -> None:
        """What a case that stands by itself is expected to add, fixed before it comes."""
        self._mean = min(1.0, self._sum / self.cases) if self.cases and self.largest == 1 else 0.0

    @property
    def estimate(self) -> float | None:
        """The weighted share of errors that were noticed so far; None before the first case."""
        return min(1.0, self._sum / self.cases) if self.cases else None

    @property
    def upper(self) -> float:
        """The bound on all errors, those that nobody noticed too; 1 before the first case."""
        if not self.cases:
            return 1.0
        price = log(len(GRID) / (1.0 - self.confidence) / (1.0 - self.kept))
        least = self.floor / self.largest  # one over the most that a term can be
        sums = [self._sum + (price + _psi(share, least) * self._square) / (share * least) for share in GRID]
        return float(min(1.0, min(sums) / self.cases / (1.0 - self.miss_rate)))

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain JSON."""
        names = ["confidence", "floor", "cases", "labels", "errors"]
        names += ["miss_rate"] * (self.miss_rate > 0.0) + ["largest"] * (self.largest > 1) + ["kept"] * bool(self.kept)
        return {name: getattr(self, name) for name in names} | {"sums": [self._sum, self._square, self._mean]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The bound that `to_dict` described."""
        with certificate.read("running bound"):
            bound = cls(
                data["confidence"], floor=data["floor"], miss_rate=data.get("miss_rate", 0.0),
                largest=data.get("largest", 1), kept=data.get("kept", 0.0),
            )  # fmt: skip
            bound.cases, bound.labels, bound.errors = data["cases"], data["labels"], data["errors"]
            certificate.numbers("counts", [bound.cases, bound.labels, bound.errors], 3, least=0)
            certificate.numbers("sums", list(data["sums"]), 3, least=0)
            bound._sum, bound._square, bound._mean = data["sums"]
        return bound


def _psi(share: float, floor: float) -> float:
    """psi_E of the fraction `share * floor` at the scale 1 / floor."""
    scaled: float = -log1p(-share) - share
    return scaled * floor * floor
