"""Rates of what people miss, with limits that may be looked at after every answer and that hold under any drift.

Let p_t be the chance, given all that came before, that answer t is a miss, and p the mean of p_1 … p_n.  For every
bet b > 0 the product of exp(-b x_t) / (1 + p_t (exp(-b) - 1)) is a nonnegative supermartingale that begins at 1
(exp(-b x) <= 1 + x (exp(-b) - 1) on [0, 1]; Hoeffding 1963).  As log(1 + p (exp(-b) - 1)) is concave in p, the product
of the divisors is at most (1 + p (exp(-b) - 1))^n (Jensen; for binomials Hoeffding 1956), so that

    mean over b of exp(-b (x_1 + … + x_n)) / (1 + p (exp(-b) - 1))^n

never reaches 1 / delta, at any n, except with probability delta (Ville 1939).  The p at which it does is the upper
limit: a confidence sequence by the method of mixtures (Robbins 1970; Howard, Ramdas, McAuliffe and Sekhon 2021, for
the sub-Bernoulli case) for the *running mean* p, whether reviewers stand still, tire, or react to what they were
told.  Bets are log odds ratios; were they spread as Beta odds around each p, it were the Beta-binomial mixture, which
holds for a constant p only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from math import exp, inf, isfinite, log
from numbers import Real
from typing import Any, Literal, Self

from dualcontrol.errors import GuaranteeError

BETS = (0.125, 0.25, 0.5, 1.0, 2.0, inf)  # the last bets everything that nobody misses anything
_LOSSES = tuple(exp(-bet) - 1.0 for bet in BETS)
_STEPS = 50
_EXACT = 1e-12

RANKED = 100  # probes of one person below which they stand in no order; Buser 2025: reliability 0.7 there


@lru_cache(maxsize=4_096)  # certifiers ask the same after every answer that changes nothing here
def upper(total: float, of: int, delta: float) -> float:
    """The upper limit of the running mean after `of` answers whose misses add up to `total`; 1 before the first.

    It holds at all times at once, except with probability `delta`.
    """
    if of == 0:
        return 1.0
    target = -log(delta)
    bets = [(bet, loss) for bet, loss in zip(BETS, _LOSSES, strict=True) if total == 0.0 or bet < inf]
    starts = [(-bet * total if total else 0.0, loss) for bet, loss in bets]  # a miss takes the last bet whole
    price = target + log(len(BETS))
    # Where the luckiest bet alone reaches the target the mixture has passed it: Newton from there, on a convex rising
    # function, stays above the limit and comes down to it.
    mean = min((exp((start - price) / of) - 1.0) / loss for start, loss in starts)
    if mean >= 1.0:
        mean = 1.0
        if total == 0.0 or _wealth(starts, of, mean)[0] < target:
            return 1.0
    for _ in range(_STEPS):
        wealth, slope = _wealth(starts, of, mean)
        step = (wealth - target) / slope
        mean -= step
        if step < _EXACT:
            break
    return mean


def lower(total: float, of: int, delta: float) -> float:
    """The lower limit: what is left by the upper limit of everything else."""
    return 1.0 - upper(of - total, of, delta)


def _wealth(starts: Sequence[tuple[float, float]], of: int, mean: float) -> tuple[float, float]:
    """The log wealth of all bets, equally mixed, that the running mean is below `mean`; and its slope there."""
    logs = [start - of * log(1.0 + mean * loss) for start, loss in starts]
    most = max(logs)
    parts = [exp(part - most) for part in logs]
    whole = sum(parts)
    slopes = [part * -loss / (1.0 + mean * loss) for part, (_, loss) in zip(parts, starts, strict=True)]
    return most + log(whole / len(BETS)), of * sum(slopes) / whole


class Rate:
    """Misses among answers, with limits at 1 - `delta`; `observe` each answer.

    An answer may count by a `weight` up to `largest`, such as the work that its reviewer does over the probes that
    they get: the rate is then that of weight times miss.  Weights have a mean of 1 and are fixed before the answer.
    """

    def __init__(self, delta: float = 0.05, *, largest: float = 1.0) -> None:
        share("delta", delta)
        if not _real(largest) or largest < 1.0:
            raise GuaranteeError(
                f"the largest weight is {largest!r:.80}; it must be a number from 1 on",
                hint="Weights have a mean of 1, so that the largest is at least 1; leave it out where all count alike.",
            )
        self.delta, self.largest = delta, largest
        self.of, self.total = 0, 0.0

    def observe(self, missed: bool | int, weight: float = 1.0) -> None:
        """Count one answer."""
        yes_or_no("missed", missed)
        if weight != 1.0 and not (_real(weight) and 0.0 < weight <= self.largest):
            raise GuaranteeError(
                f"the weight of an answer is {weight!r:.80}; it must lie above 0, at most at {self.largest!r}",
                hint="Declare the largest weight that an answer may have when the rate begins; it prices every limit.",
            )
        self.of += 1
        if missed:
            self.total += weight

    @property
    def estimate(self) -> float | None:
        """The share so far; None before the first answer."""
        return min(1.0, self.total / self.of) if self.of else None

    @property
    def upper(self) -> float:
        """The upper limit, one-sided; 1 before the first answer."""
        return self.upper_at(self.delta)

    @property
    def lower(self) -> float:
        """The lower limit, one-sided; 0 before the first answer."""
        return self.lower_at(self.delta)

    @property
    def interval(self) -> tuple[float, float]:
        """Both limits at once, half of delta each."""
        return self.lower_at(self.delta / 2.0), self.upper_at(self.delta / 2.0)

    def upper_at(self, delta: float) -> float:
        """The upper limit at another delta, for who shares one among several limits."""
        return min(1.0, self.largest * upper(self.total / self.largest, self.of, delta))

    def lower_at(self, delta: float) -> float:
        """The lower limit at another delta."""
        return max(0.0, self.largest * lower(self.total / self.largest, self.of, delta)) if self.of else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain JSON."""
        return {name: getattr(self, name) for name in ("delta", "largest", "of", "total")}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The rate that `to_dict` described."""
        with stored("rate"):
            rate = cls(data["delta"], largest=data["largest"])
            rate.of, rate.total = whole("of", data["of"]), data["total"]
            if not _real(rate.total) or not 0.0 <= rate.total <= rate.of * rate.largest:
                raise GuaranteeError(f"the total {rate.total!r:.80} is not that of {rate.of} answers")
        return rate


Kind = Literal["blind", "shown"]


class Team:
    """Misses of a team and of each person, of one kind: answers given `blind`, or with the proposal `shown`.

    Half of delta is the team's, the other half its people's: the i-th who is measured has 1 / (i (i + 1)) of it, so
    that all limits hold together however many people come (a convergent series; a union bound).
    """

    def __init__(self, kind: Kind, delta: float = 0.05) -> None:
        if kind not in ("blind", "shown"):
            raise GuaranteeError(f"the kind of answers is {kind!r:.80}; it must be 'blind' or 'shown'")
        share("delta", delta)
        self.kind, self.delta = kind, delta
        self.all = Rate(delta / 2.0)
        self.people: dict[str, Rate] = {}

    def observe(self, person: str, *, missed: bool | int, kind: Kind, again: bool = False) -> None:
        """Count the answer of one person to a known-wrong case; `again` where somebody else's to it has counted.

        The team's rate has each case once: two answers to one case are not independent, and belong into `Pairs`.
        """
        if kind != self.kind:
            raise GuaranteeError(
                f"an answer given {kind!r:.20} says nothing of answers given {self.kind!r}",
                hint="Keep a team for each of the two kinds: people miss more where they see what the AI proposes.",
            )
        _named(person)
        yes_or_no("missed", missed)
        if person not in self.people:
            place = len(self.people) + 1
            self.people[person] = Rate(self.delta / 2.0 / place / (place + 1))
        self.people[person].observe(missed)
        if not again:
            self.all.observe(missed)

    def ranked(self) -> list[str]:
        """People by the lower limit of what they catch, best first; only those with enough probes to be compared."""
        known = {name: rate.upper for name, rate in self.people.items() if rate.of >= RANKED}
        return sorted(known, key=lambda name: (known[name], name))

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain JSON; people in the order in which they were first measured."""
        people = [[name, rate.to_dict()] for name, rate in self.people.items()]
        return {"kind": self.kind, "delta": self.delta, "all": self.all.to_dict(), "people": people}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The team that `to_dict` described."""
        with stored("team"):
            team = cls(data["kind"], data["delta"])
            team.all = Rate.from_dict(data["all"])
            team.people = {str(name): Rate.from_dict(rate) for name, rate in data["people"]}
        return team


# Checks: what is no answer is refused by name, before it changes anything.


def yes_or_no(name: str, value: Any) -> None:
    """Refuse anything but true and false, 1 and 0."""
    if value is not True and value is not False and (isinstance(value, float) or value not in (0, 1)):
        raise GuaranteeError(
            f"{name} is {value!r:.80}; it must be true or false",
            hint="Leave out a probe that nobody answered: it is neither caught nor missed.",
        )


def share(name: str, value: Any, *, zero: bool = False) -> None:
    """Refuse anything but a number between 0 and 1; `zero` says whether 0 is allowed."""
    if not (_real(value) and (0.0 < value < 1.0 or (zero and value == 0.0))):
        bounds = "at least 0 and below 1" if zero else "above 0 and below 1"
        raise GuaranteeError(f"{name} is {value!r:.80}; it must be a number, {bounds}")


def number(name: str, value: Any, least: float, most: float) -> None:
    """Refuse anything but a number from `least` to `most`."""
    if not _real(value) or not least <= value <= most:
        raise GuaranteeError(f"{name} is {value!r:.80}; it must be a number from {least:g} to {most:g}")


def whole(name: str, value: Any) -> int:
    """A count, or a refusal."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise GuaranteeError(f"{name} is {value!r:.80}; it must be a whole number from 0 on")
    return value


def _real(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, (float, Real)) and isfinite(value)


def _named(person: Any) -> None:
    if not isinstance(person, str) or not person:
        raise GuaranteeError(f"the person is {person!r:.80}; it must be a name")


def at_least(value: float) -> str:
    """A lower limit as per cent with one digit, rounded down."""
    return f"{int(value * 1000.0 + 1e-9) / 10.0:g} %"


@contextmanager
def stored(what: str) -> Iterator[None]:
    """Turn whatever error a damaged dict raises into one `GuaranteeError`."""
    try:
        yield
    except (GuaranteeError, KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        reason = error.message if isinstance(error, GuaranteeError) else str(error)
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else reason
        raise GuaranteeError(
            f"this is no stored {what}: {reason}", hint="Begin a new one, and count the recorded answers again."
        ) from error
