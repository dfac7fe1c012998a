"""What two people miss together, measured on cases that both answered, and what is assumed until it is.

Two people who look at the same case miss the same things: with miss rates m and a correlation r both miss
m^2 + r m (1 - m) of the errors, not m^2.  Where a first "wrong" has to be confirmed by a second person, an error
counts only if both catch it, so that 1 - P(both catch) of them are lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any, NamedTuple, Self

from dualcontrol.oversight import rates

MISS = 0.1
CORRELATION = 0.3
WORDS = "assuming that people notice at least 90 % of wrong proposals; not measured yet"
ENOUGH = 30  # known-wrong cases after which what was measured takes the place of what was assumed


def joint_miss(first: float, second: float, correlation: float) -> float:
    """The share of errors that both miss, from the miss rates of two people and their correlation (phi).

    m^2 + r m (1 - m) for equal rates.  What no two people can have together is cut to what they can (Fréchet 1951).
    """
    for name, value in (("the first miss rate", first), ("the second miss rate", second)):
        rates.number(name, value, 0.0, 1.0)
    rates.number("the correlation", correlation, -1.0, 1.0)
    both = first * second + correlation * sqrt(first * (1.0 - first) * second * (1.0 - second))
    return max(0.0, first + second - 1.0, min(first, second, both))


def total_miss(first: float, second: float, correlation: float = 0.0) -> float:
    """The share of errors that do not count where both people have to catch them: 1 - P(both catch).

    A positive correlation makes it smaller, so that none is assumed unless it is said; -1 gives what holds whatever
    the correlation is.
    """
    return min(1.0, first + second - joint_miss(first, second, correlation))


class Pairs:
    """Known-wrong cases that two people answered, neither knowing the other's answer; limits at 1 - `delta`.

    Limits count pairs directly (see `rates`), so that they need no model of how the two depend on each other.
    """

    def __init__(self, delta: float = 0.05) -> None:
        rates.share("delta", delta)
        self.delta = delta
        self.both = self.first = self.second = self.neither = 0  # who missed

    def observe(self, *, first_missed: bool | int, second_missed: bool | int) -> None:
        """Count one case."""
        rates.yes_or_no("first_missed", first_missed)
        rates.yes_or_no("second_missed", second_missed)
        if first_missed and second_missed:
            self.both += 1
        elif first_missed:
            self.first += 1
        elif second_missed:
            self.second += 1
        else:
            self.neither += 1

    @property
    def of(self) -> int:
        """How many cases."""
        return self.both + self.first + self.second + self.neither

    @property
    def joint(self) -> float | None:
        """The share that both missed; None before the first case."""
        return self.both / self.of if self.of else None

    @property
    def joint_upper(self) -> float:
        """At most this share is missed by both."""
        return rates.upper(self.both, self.of, self.delta)

    @property
    def total(self) -> float | None:
        """The share that at least one of them missed; None before the first case."""
        return 1.0 - self.neither / self.of if self.of else None

    @property
    def total_upper(self) -> float:
        """At most this share is not caught by both."""
        return rates.upper(self.of - self.neither, self.of, self.delta)

    @property
    def correlation(self) -> float | None:
        """The correlation of their misses (phi); None where one of them missed nothing or everything."""
        one, two = self.both + self.first, self.both + self.second
        spread = one * (self.of - one) * two * (self.of - two)
        return (self.both * self.neither - self.first * self.second) / sqrt(spread) if spread else None

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain JSON."""
        return {name: getattr(self, name) for name in ("delta", "both", "first", "second", "neither")}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The pairs that `to_dict` described."""
        with rates.stored("count of pairs"):
            pairs = cls(data["delta"])
            for name in ("both", "first", "second", "neither"):
                setattr(pairs, name, rates.whole(name, data[name]))
        return pairs


class Missed(NamedTuple):
    """A share of errors that is allowed for: at most `upper`, measured or assumed, in words for the page."""

    upper: float
    measured: bool
    words: str


def missed(rate: rates.Rate, assumed: float = MISS) -> Missed:
    """What one person's answer is taken to miss: assumed until `ENOUGH` answers, or until they contradict it."""
    rates.share("assumed", assumed, zero=True)
    if rate.of < ENOUGH and rate.lower <= assumed:
        return Missed(assumed, False, _assuming(assumed))
    return Missed(rate.upper, True, f"people notice at least {rates.at_least(1.0 - rate.upper)} of wrong proposals; "
                                    f"measured on {rate.of} known-wrong cases")  # fmt: skip


def missed_by_either(first: rates.Rate, second: rates.Rate, pairs: Pairs, assumed: float = MISS) -> Missed:
    """What a first answer that a second person has to confirm is taken to miss.

    The smallest of what pairs say directly and of what the two rates say whatever their correlation; the deltas of
    all three add up, so the caller gives each its share.  Assumed: two independent people.
    """
    rates.share("assumed", assumed, zero=True)
    of, chance = min(first.of, second.of), total_miss(assumed, assumed)
    contradicted = max(first.lower, second.lower) > assumed
    contradicted = contradicted or rates.lower(pairs.of - pairs.neither, pairs.of, pairs.delta) > chance
    if of < ENOUGH and pairs.of < ENOUGH and not contradicted:
        return Missed(chance, False, _assuming(assumed))
    upper = min(pairs.total_upper, total_miss(first.upper, second.upper, -1.0))
    words = f"two people both notice at least {rates.at_least(1.0 - upper)} of wrong proposals; measured on {of}"
    return Missed(upper, True, f"{words} known-wrong cases each, and on {pairs.of} that both answered")


def missed_by_both(
    first: rates.Rate, second: rates.Rate, pairs: Pairs, assumed: float = MISS, correlation: float = CORRELATION
) -> Missed:  # fmt: skip
    """What two people are taken to miss together, where either of them can catch an error.

    The smallest of what pairs say directly and of each one's rate, above which no two are together; the deltas of all
    three add up.  Assumed: both the miss rate and the correlation.
    """
    rates.share("assumed", assumed, zero=True)
    chance = joint_miss(assumed, assumed, correlation)
    if pairs.of < ENOUGH and rates.lower(pairs.both, pairs.of, pairs.delta) <= chance:
        return Missed(chance, False, _assuming(assumed))
    upper = min(pairs.joint_upper, first.upper, second.upper)
    words = f"two people together notice at least {rates.at_least(1.0 - upper)} of wrong proposals"
    return Missed(upper, True, f"{words}; measured on {pairs.of} known-wrong cases that both answered")


def _assuming(assumed: float) -> str:
    return WORDS.replace("90 %", f"{100.0 * (1.0 - assumed):.3g} %")
