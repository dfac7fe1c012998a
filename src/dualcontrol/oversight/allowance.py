"""What a guarantee allows for people who miss errors: what is declared or assumed, until blind probes say otherwise.

An error counts as one where a person sees it and, with adjudication, another confirms it: those that either of them
misses are lost as evidence.  The share that is lost is measured by known-wrong cases that were answered blind, with
limits that hold at every look (`rates`).  Shown answers say nothing of it.

A guarantee counts its evidence with one allowance r, and may count the same evidence again with another (see
`guarantee.certifier`).  It does so where people miss more than r so far, or where they certainly miss much less.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from dualcontrol.oversight import rates
from dualcontrol.oversight.pairs import ENOUGH, Pairs, total_miss

KEPT = 0.1  # of the delta of a loop goes to the limits of what people miss, the rest to its bets
WORTH = 0.8  # of the allowance in force a measured limit has to fall to, before evidence is counted again by it
MOST = 0.999  # an allowance of everything: no error could be seen, and nothing is certified
SOON = 20  # answers after which more misses than are allowed for end an assumption, proven or not
FIRM = SOON // 2  # pairs after which what two people miss is estimated by pairs, and not by each one's answers


class BlindAnswer(NamedTuple):
    """The blind answer to a known-wrong case: which case it is a replay of, and whether its error was missed."""

    source: str
    missed: bool


class Blind:
    """Blind answers to known-wrong cases, in order: the first to each of them, and the pairs of first and second."""

    def __init__(self, answers: Iterable[BlindAnswer] = ()) -> None:
        self.answers = 0
        self.first, self.pairs = rates.Rate(), Pairs()
        self._firsts: dict[str, bool | None] = {}  # what the first answer missed, until there is a second
        for answer in answers:
            self.observe(answer)

    def observe(self, answer: BlindAnswer) -> None:
        """Count an answer: a third one to a case is none, as answers to one case depend on each other."""
        if answer.source not in self._firsts:
            self._firsts[answer.source] = answer.missed
            self.first.observe(answer.missed)
        elif (first := self._firsts[answer.source]) is not None:
            self._firsts[answer.source] = None
            self.pairs.observe(first_missed=first, second_missed=answer.missed)
        else:
            return
        self.answers += 1

    @property
    def sources(self) -> Collection[str]:
        """The cases that were answered."""
        return self._firsts.keys()

    def halves(self) -> list[str]:
        """The cases that one person has answered so far, the oldest first: a second answer makes a pair."""
        return [source for source, first in self._firsts.items() if first is not None]

    def lost(self, delta: float, *, confirmed: bool) -> Lost:
        """The share of errors that is lost as evidence; `confirmed` where a second person has to see them too.

        Half of delta is for pairs, half for the single answers, whose limit counts twice whatever the correlation is.
        """
        rate, pairs = self.first, self.pairs
        single = rate.estimate or 0.0
        if not confirmed:
            return Lost(single, rate.lower_at(delta), rate.upper_at(delta), self.answers)
        half, missed = delta / 2.0, pairs.of - pairs.neither
        estimate = pairs.total if pairs.of >= FIRM else None
        return Lost(
            estimate=total_miss(single, single) if estimate is None else estimate,
            lower=max(rate.lower_at(half), rates.lower(missed, pairs.of, half) if pairs.of else 0.0),
            upper=min(rates.upper(missed, pairs.of, half), total_miss(rate.upper_at(half), rate.upper_at(half), -1.0)),
            answers=self.answers,
        )  # fmt: skip


class Lost(NamedTuple):
    """The share of errors that is lost as evidence: about, at least, and at most, by so many answers."""

    estimate: float
    lower: float
    upper: float
    answers: int


class Allowance(NamedTuple):
    """The share of errors that is allowed for, and by how many answers it was measured; None where it is assumed."""

    rate: float
    measured: int | None = None


def allowed(lost: Lost, now: Allowance) -> Allowance:
    """The allowance that takes the place of the one in force; the same where it stays.

    What is assumed stands while answers neither prove it (`ENOUGH`) nor speak against it (`SOON`); what was measured
    once is never assumed again.  The estimate decides that an allowance is too low, since a higher one breaks no
    promise; that it is too high, only the upper limit.
    """
    against = lost.estimate > now.rate if lost.answers >= SOON else lost.lower > now.rate
    upper = min(lost.upper, MOST)
    if against and upper > now.rate:
        return Allowance(upper, lost.answers)
    if lost.answers >= ENOUGH and upper <= WORTH * now.rate:
        return Allowance(upper, lost.answers)
    return now
