"""What a guarantee allows for people who miss errors: what is declared or assumed, until blind probes say otherwise.

An error counts as one where a person sees it and, with adjudication, another confirms it: those that either of them
misses are lost as evidence.  The share that is lost is measured by known-wrong cases that were answered blind, and by
what second people say, blind, of a first "wrong", with limits that hold at every look (`rates`).  Shown answers say
nothing of it.

A guarantee counts its evidence with one allowance r, and may count the same evidence again with another (see
`guarantee.certifier`).  It does so where people miss more than r so far, or where they certainly miss much less.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from math import sqrt
from typing import NamedTuple

from dualcontrol.oversight import rates
from dualcontrol.oversight.pairs import ENOUGH, Pairs, total_miss

KEPT = 0.1  # of the delta of a loop goes to the limits of what people miss, the rest to its bets
WORTH = 0.8  # of the allowance in force a measured limit has to fall to, before evidence is counted again by it
MOST = 0.999  # an allowance of everything: no error could be seen, and nothing is certified
SOON = 20  # answers after which more misses than are allowed for end an assumption, proven or not
DIVIDED = 200  # labels after which their scores are divided into halves, for good
APART = 1.5  # standard errors by which the halves have to differ in first "wrong", to tell misses from false alarms
UNDIVIDED = 3 * SOON  # second answers after which every one that differs counts as a miss, where the halves do not
AGREE = 1.5  # times the limit by second answers that the estimate by known-wrong cases may be, for the two to agree
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

        Half of delta is for pairs, a quarter for the single answers, whose limit counts twice whatever the correlation
        is, and a quarter for second answers.
        """
        rate, pairs = self.first, self.pairs
        single = rate.estimate or 0.0
        if not confirmed:
            return Lost(single, rate.lower_at(delta), rate.upper_at(delta), self.answers)
        half, quarter, missed = delta / 2.0, delta / 4.0, pairs.of - pairs.neither
        estimate = pairs.total if pairs.of >= FIRM else None
        twice = total_miss(rate.upper_at(quarter), rate.upper_at(quarter), -1.0)
        return Lost(
            estimate=total_miss(single, single) if estimate is None else estimate,
            lower=max(rate.lower_at(quarter), rates.lower(missed, pairs.of, half) if pairs.of else 0.0),
            upper=min(rates.upper(missed, pairs.of, half), twice),
            answers=self.answers,
        )  # fmt: skip


class Lost(NamedTuple):
    """The share of errors that is lost as evidence: about, at least, and at most, by so many answers.

    `second` says that they are second answers, whose `lower` is no limit but a standard error below the estimate.
    """

    estimate: float
    lower: float
    upper: float
    answers: int
    second: bool = False


class SecondAnswers:
    """What a second person says, blind, of a first "wrong", by the score of the case.

    A second "right" is an error missed, or a first "wrong" said of what was right: nobody can tell.  So its share is at
    least that of the misses, as nobody calls what is right wrong more often than what is wrong, and its upper limit one
    of theirs.  Whether people miss more than is assumed is told by where they differ: false alarms come with every
    score, misses only where errors are.  If a share e of some cases is wrong and a share c of that is caught, a second
    answer takes c m e + f back of the first ones and confirms c (1 - m) e + f': between two parts of the cases that
    differ in e, the misses m are the difference of the first over that of both.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[float, bool | None]] = []  # until there are enough of them to divide
        self.split: float | None = None
        self.answers, self.confirmed, self.unconfirmed = [0, 0], [0, 0], [0, 0]  # below the split, and from it on

    def observe(self, score: float, confirmed: bool | None) -> None:
        """Count a first answer: None where it said "right", else whether a second one confirmed it."""
        if self.split is None:
            self._waiting.append((score, confirmed))
            if len(self._waiting) < DIVIDED:
                return
            self.split = sorted(score for score, _ in self._waiting)[DIVIDED // 2]
            for each in self._waiting:
                self._count(*each)
            self._waiting.clear()
        else:
            self._count(score, confirmed)

    def _count(self, score: float, confirmed: bool | None) -> None:
        half = int(self.split is not None and score >= self.split)
        self.answers[half] += 1
        if confirmed is not None:
            (self.confirmed if confirmed else self.unconfirmed)[half] += 1

    def lost(self, delta: float) -> Lost:
        """What they say of the share of errors that is lost: `lower` is one standard error below the estimate."""
        missed, of = sum(self.unconfirmed), sum(self.confirmed) + sum(self.unconfirmed)
        estimate, error = self._slope() or (missed / of if of >= UNDIVIDED else 0.0, 0.0)
        least, upper = max(0.0, estimate - error), rates.upper(missed, of, delta / 4.0)
        return Lost(
            total_miss(estimate, estimate), total_miss(least, least), total_miss(upper, upper, -1.0), of, second=True
        )

    def _slope(self) -> tuple[float, float] | None:
        """The miss rate by both halves, and its standard error; None where they do not tell errors apart."""
        if self.split is None or 0 in self.answers:
            return None
        (low, high), (k_low, k_high), (u_low, u_high) = self.answers, self.confirmed, self.unconfirmed
        k, k_noise = k_low / low - k_high / high, k_low / low**2 + k_high / high**2
        u, u_noise = u_low / low - u_high / high, u_low / low**2 + u_high / high**2
        rise = k + u
        if rise <= APART * sqrt(k_noise + u_noise):
            return None
        miss = min(1.0, max(0.0, u / rise))
        return miss, sqrt((1.0 - miss) ** 2 * u_noise + miss**2 * k_noise) / rise


class Allowance(NamedTuple):
    """The share of errors that is allowed for, and by how many answers it was measured; None where it is assumed.

    With `by_second` these are second answers, of which every "right" counts as a miss.
    """

    rate: float
    measured: int | None = None
    by_second: bool = False


def allowed(known: Lost, second: Lost, now: Allowance, assumed: float) -> Allowance:
    """The allowance that takes the place of the one in force; the same where it stays.

    `known` is by answers to known-wrong cases, `second` by second answers.  What is assumed stands while answers
    neither prove it (`ENOUGH`) nor speak against it (`SOON`); what was measured once is never assumed again.  The
    estimate decides that an allowance is too low, since a higher one breaks no promise; that it is too high, only the
    upper limit.  Second answers tighten that limit where the two agree: of who only answers first they know nothing.
    Until there are enough of the others to speak, they may end an assumption (`_doubted`).
    """
    if known.answers < SOON and known.lower <= now.rate:
        return _doubted(second, now, assumed)
    if known.answers < ENOUGH and now.by_second and known.estimate <= assumed < now.rate:
        return Allowance(assumed)  # it was doubted, and those who know do not speak against it
    agree = known.lower <= second.upper and known.estimate <= AGREE * second.upper
    tighter = second.answers >= ENOUGH and known.answers >= SOON and agree and second.upper < known.upper
    best = second if tighter else known
    measured = Allowance(min(best.upper, MOST), best.answers, best.second)
    against = known.estimate if known.answers >= SOON else known.lower
    if against > now.rate:
        return measured if measured.rate > now.rate else now
    return measured if best.answers >= ENOUGH and measured.rate <= WORTH * now.rate else now


def _doubted(second: Lost, now: Allowance, assumed: float) -> Allowance:
    """The allowance while nobody, or hardly anybody, could be asked about known-wrong cases, as where two are all.

    Second answers prove nothing of who answers first.  They end an assumption, and it holds again where they no longer
    speak against it.
    """
    measured = Allowance(min(max(second.upper, assumed), MOST), second.answers, by_second=True)
    if second.lower > now.rate:
        return measured if measured.rate > now.rate else now
    if now.by_second and now.rate > assumed >= second.estimate:
        return Allowance(assumed)
    return measured if now.by_second and measured.rate <= WORTH * now.rate else now
