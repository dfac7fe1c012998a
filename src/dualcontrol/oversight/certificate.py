"""Oversight certificate: how much of what is wrong the human step catches, and what is left after review.

Probes whose right answer is known say that people catch at least the share H.  Blind labels say which share p of the
proposals that reach people is wrong; of the decisions that leave them at most p (1 - H) is then wrong.  Blind audits
of decisions that people have made say the same directly.  All limits come from `rates`: they hold at every look, and
under drift they speak of the mean so far.  The product assumes that probes are as hard as real errors, and that errors
do not come where people miss most; the direct figure assumes neither, so the two are compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Self

from dualcontrol.errors import GuaranteeError
from dualcontrol.oversight import rates

Disagreement = Literal["more gets through", "less gets through"]
_COMPARED = 6  # limits in the comparison of product and direct figure: three for each direction


class Figures(NamedTuple):
    """What the certificate says; shares of 1, None where nothing was seen yet.

    `caught` and `residual` hold together with the confidence; `direct` by itself.
    """

    caught: float | None
    caught_at_least: float
    wrong: float | None
    wrong_at_most: float
    residual: float | None
    residual_at_most: float
    direct: float | None
    direct_at_most: float
    disagreement: Disagreement | None
    probes: int
    words: str


class OversightCertificate:
    """`probe` each answer to a known-wrong case, `label` each blind label, `audit` each audited decision of people.

    `blind_miss` bounds the share of errors that blind labels and audits miss.  `largest` is the largest weight of a
    probe (see `rates.Rate`): where probes go to people by their need, a probe counts by the work its reviewer does.
    """

    def __init__(self, confidence: float = 0.95, *, blind_miss: float = 0.0, largest: float = 1.0) -> None:
        rates.share("confidence", confidence)
        rates.share("blind_miss", blind_miss, zero=True)
        self.confidence, self.blind_miss = confidence, blind_miss
        self.delta = 1.0 - confidence
        self._missed = rates.Rate(self.delta / 2.0, largest=largest)
        self._wrong = rates.Rate(self.delta / 2.0)
        self._passed = rates.Rate(self.delta)

    def probe(self, *, missed: bool | int, weight: float = 1.0) -> None:
        """Count the shown answer to a case that is known to be wrong."""
        self._missed.observe(missed, weight)

    def label(self, *, wrong: bool | int) -> None:
        """Count the blind label of a proposal drawn at random, each as likely, from those that reach people."""
        rates.yes_or_no("wrong", wrong)
        self._wrong.observe(wrong)

    def audit(self, *, passed_wrong: bool | int) -> None:
        """Count the blind audit of a case drawn at random, each as likely, from those that people decided.

        True where a wrong proposal came through; a wrong one that they turned down is false.
        """
        rates.yes_or_no("passed_wrong", passed_wrong)
        self._passed.observe(passed_wrong)

    @property
    def caught_at_least(self) -> float:
        """The share of wrong proposals that the human step catches, at least: a mean over the probes so far."""
        return 1.0 - self._missed.upper

    @property
    def residual_at_most(self) -> float:
        """The share of reviewed decisions that is wrong after review, at most; with `caught_at_least` it holds too."""
        return self._wrong_at_most(self._wrong.delta) * (1.0 - self.caught_at_least)

    @property
    def direct_at_most(self) -> float:
        """The same by blind audits of what people decided, at most."""
        return min(1.0, self._passed.upper / (1.0 - self.blind_miss))

    @property
    def disagreement(self) -> Disagreement | None:
        """Whether audits find that more, or less, gets through than probes say, beyond all limits.

        Where they measure the same, that ever happens with a probability of at most 1 - confidence (each of six limits
        has a sixth of it, whichever is looked at, and whenever).
        """
        part = self.delta / _COMPARED
        most = self._wrong_at_most(part) * self._missed.upper_at(part)
        if self._passed.lower_at(part) > most:
            return "more gets through"
        least = self._wrong.lower_at(part) * self._missed.lower_at(part)
        return "less gets through" if min(1.0, self._passed.upper_at(part) / (1.0 - self.blind_miss)) < least else None

    def _wrong_at_most(self, delta: float) -> float:
        return min(1.0, self._wrong.upper_at(delta) / (1.0 - self.blind_miss))

    def figures(self) -> Figures:
        """Everything at this moment."""
        missed, wrong, passed = self._missed.estimate, self._wrong.estimate, self._passed.estimate
        return Figures(
            caught=None if missed is None else 1.0 - missed, caught_at_least=self.caught_at_least,
            wrong=wrong, wrong_at_most=self._wrong_at_most(self._wrong.delta),
            residual=None if missed is None or wrong is None else wrong * missed,
            residual_at_most=self.residual_at_most, direct=passed, direct_at_most=self.direct_at_most,
            disagreement=self.disagreement, probes=self._missed.of, words=self.words,
        )  # fmt: skip

    @property
    def words(self) -> str:
        """The statement for the page."""
        if not self._missed.of:
            return "nobody knows what the human step catches: no probe has been answered yet"
        return (
            f"the human step catches at least {rates.at_least(self.caught_at_least)} of wrong proposals, confidence "
            f"{rates.at_least(self.confidence)}; a mean over {self._missed.of} probes so far"
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain JSON."""
        counted = {"missed": self._missed, "wrong": self._wrong, "passed": self._passed}
        return {
            "confidence": self.confidence, "blind_miss": self.blind_miss,
            **{name: rate.to_dict() for name, rate in counted.items()},
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The certificate that `to_dict` described."""
        with rates.stored("oversight certificate"):
            counted = {name: rates.Rate.from_dict(data[name]) for name in ("missed", "wrong", "passed")}
            certificate = cls(
                data["confidence"], blind_miss=data["blind_miss"], largest=counted["missed"].largest
            )  # fmt: skip
            for name, rate in counted.items():
                if rate.delta != getattr(certificate, f"_{name}").delta:
                    raise GuaranteeError(f"the share of delta of {name!r} is not that of its confidence")
                setattr(certificate, f"_{name}", rate)
        return certificate
