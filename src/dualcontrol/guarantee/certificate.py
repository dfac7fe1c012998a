"""The certificate: from which score on autopilot may act, by evidence that may be looked at after every label.

For each region "scores from here up" a test martingale bets against the hypothesis that its error is above the bound:
a labelled decision multiplies the wealth by 1 + lambda (max_error - wrong) / inclusion, whose mean is at most one
while the hypothesis is true, whatever the (predictable) audit probabilities.  Eight fractions are mixed (Waudby-Smith
and Ramdas 2024), weights are inverse inclusion probabilities (Horvitz and Thompson 1952), and a region is certified
when its wealth reaches 1 / delta (Ville 1939).  Regions are tested in one fixed sequence from few cases to many, so
that no delta is divided over them (Angelopoulos et al. 2021; for e-processes Xu et al., arXiv 2406.10490).

Labels that belong together (of one question, run or conversation) are a cluster, and no more independent than one
label is.  The promise stays about cases: the error of a region is R = E[wrong of a cluster in it] / E[cases of a
cluster in it].  A cluster of at most M cases is one bet: it multiplies the wealth by 1 + lambda S / M, where S sums
(max_error - wrong) / inclusion over its labels in the region.

- The mean of S is max_error E[cases] - E[wrong] = (max_error - R) E[cases]: at most zero while the error is above the
  bound, so the factor's mean is at most one, however size and wrongness go together.
- S / M is at least -(1 - max_error) / floor, since a cluster has at most M labels: the cap on lambda that keeps the
  wealth of a single label above 0 keeps that of a cluster above 0.
- lambda is fixed before the cluster: it knows the clusters that were opened earlier, never this one's size or labels.
- Clusters count in the order of their opening, each once it is closed: where the full ones counted first, and these
  are the worse or the better ones, the mean would not be that of a cluster.
- Of a cluster's labels, those of higher bins first, each adds the difference that it makes to log(1 + lambda S / M):
  the sums of any region telescope to the bet on it, and are kept by bin as for single labels (M = 1).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from itertools import groupby, pairwise
from math import exp, isfinite, log, log1p
from numbers import Integral, Real
from operator import index
from typing import Any, NamedTuple, Self

from dualcontrol.errors import GuaranteeError
from dualcontrol.guarantee import binomial
from dualcontrol.guarantee.offline import HINTS, beyond

# Regions of scores: bins of equal mass, and which region a certificate tests first.


START = 0.2


def edges_of(scores: Sequence[float], bins: int) -> list[float]:
    """The lower scores of up to `bins` bins of equal mass; tied scores stay in one bin."""
    ordered = sorted(scores)
    places = (i * len(ordered) // bins for i in range(1, bins))
    return sorted({ordered[place] for place in places if ordered[place] > ordered[0]})


def first_of(edges: Sequence[float], piloted: Iterable[Label], max_error: float, start: float | None) -> int:
    """The first region: the widest that holds at most the share `start`, or (None) the most promising by a burn-in."""
    masses, wrongs = [0.0] * (len(edges) + 1), [0.0] * (len(edges) + 1)
    for label in piloted:
        masses[bisect_right(edges, label.score)] += 1.0 / label.inclusion
        wrongs[bisect_right(edges, label.score)] += label.wrong / label.inclusion
    chosen = promising(masses, wrongs, max_error) if start is None else None
    return widest(masses, start or START) if chosen is None else chosen


def promising(masses: Sequence[float], wrongs: Sequence[float], max_error: float) -> int | None:
    """The region whose error lies below the bound by the most standard errors; None where none does."""
    best, chosen, mass, wrong = 0.0, None, 0.0, 0.0
    for place in range(len(masses) - 1, -1, -1):
        mass, wrong = mass + masses[place], wrong + wrongs[place]
        risk = (wrong + 0.5) / (mass + 1.0)
        score = mass * max(max_error - risk, 0.0) ** 2 / (risk * (1.0 - risk))
        if score > best and mass <= 0.95 * sum(masses):
            best, chosen = score, place
    return chosen


def widest(masses: Sequence[float], share: float) -> int:
    """The first bin of the widest region that holds at most this share, or the highest bin."""
    whole, mass = sum(masses), 0.0
    for place in range(len(masses) - 1, -1, -1):
        mass += masses[place]
        if mass > share * whole:
            return min(place + 1, len(masses) - 1)
    return 0


FRACTIONS = 8
LEAST, MOST = 0.01, 0.9
FLOOR = 0.05
KEPT_MOVES = 10_000


class Label(NamedTuple):
    """One labelled decision; `floor` is the minimum inclusion probability in force then, None where unstated.

    `cluster` is the first decision of those that it belongs to, None where it stands by itself.
    """

    seq: int
    score: float
    wrong: int
    inclusion: float
    floor: float | None = None
    cluster: int | None = None

    @property
    def place(self) -> int:
        """Its place in the order in which labels count: that of the first decision of its cluster."""
        return self.seq if self.cluster is None else self.cluster

    def stored(self) -> list[Any]:
        """The label as plain JSON; without a cluster as it was before there were clusters."""
        return list(self if self.cluster is not None else self[:-1])


class Step(NamedTuple):
    """A certified widening: after which decision, to which region and score, and by what ("evidence" or "launch")."""

    seq: int
    bin: int
    threshold: float
    by: str


class Certificate:
    """Test martingales over score regions, with the threshold that they certify.

    `max_error` and `confidence` are the promise, `segments` how many certificates share 1 - confidence.
    `edges` are the lower scores of bins 1, 2, …; without them a burn-in of `pilot` labels chooses up to `bins` of equal
    mass and is no evidence.  `start` is the coverage of the first region (None: chosen on the pilot), `first` its bin
    where edges are given.  A full-audit phase of `launch` labels, all with inclusion 1, is tested once and exactly, on
    a quarter of delta.  `floor` is the minimum inclusion probability once autopilot has opened and that phase is over.
    `miss_rate` bounds the share of errors that reviewers let pass.  `again` counts the restarts with another first
    region so far; a fifth of delta is kept for them (`on_evidence`).  The first `warm` labels were there before the
    certificate began, and somebody may have looked at them: they open with `warm_share` of the half of delta that is
    kept for them (`_lead_by`).  `spent` counts the epochs of this loop and segment that have spent of delta before
    (`part_of`); None where the promise is for this epoch alone.
    `largest` is the most cases of a cluster that may run on autopilot or count; above 1 there is no exact test, which
    takes labels to be independent.  `kept` is the share of delta that goes to the limits of a measured `miss_rate`.
    """

    def __init__(
        self, max_error: float, confidence: float = 0.95, *, bins: int = 100, edges: Sequence[float] | None = None,
        pilot: int = 200, start: float | None = START, launch: int = 0, floor: float = FLOOR, miss_rate: float = 0.0,
        segments: int = 1, first: int | None = None, again: int = 0, warm: int = 0, warm_share: float = 1.0,
        spent: int | None = None, largest: int = 1, kept: float = 0.0,
    ) -> None:  # fmt: skip
        promise(max_error, confidence)
        share("warm_share", warm_share, one=True)
        share("miss_rate", miss_rate, zero=True)
        share("kept", kept, zero=True)
        share("floor", floor, one=True)
        if start is not None:
            share("start", start, one=True)
        for name, value, least in (
            ("bins", bins, 1), ("segments", segments, 1), ("pilot", pilot, 0), ("launch", launch, 0), ("warm", warm, 0),
            ("spent", spent or 0, 0), ("largest", largest, 1),
        ):  # fmt: skip
            whole(name, value, least)
        if launch and largest > 1:
            raise GuaranteeError(
                f"launch is {launch} where clusters have up to {largest} cases; its exact test takes labels to be "
                "independent",
                hint="With `largest` above 1 give launch=0: each cluster is then one bet.",
            )
        if edges is not None:
            binned(edges, first)
        self.max_error, self.confidence, self.bins, self.pilot = max_error, confidence, bins, pilot
        self.start, self.launch, self.floor = start, launch, floor
        self.miss_rate, self.segments, self.largest = miss_rate, segments, largest
        self.warm, self.warm_share, self.spent, self.kept = warm, warm_share, spent, kept
        self.delta = (1.0 - confidence) * (1.0 - kept) / segments * part_of(spent)
        self._flag = 1.0 / (1.0 - miss_rate)
        ratio = (MOST / LEAST) ** (1.0 / (FRACTIONS - 1))
        self._fractions = [LEAST * ratio**j / (1.0 - max_error) for j in range(FRACTIONS)]
        evidence = on_evidence(self.delta, launch, again)
        self.again, self._target = again, log(FRACTIONS / evidence)
        self._one_test = (on_launch(self.delta, launch) or evidence) * warm_share  # of the test that can open first
        self._moves: dict[tuple[int, float, float], list[float]] = {}
        self.seq = -1
        self.labels = self.errors = 0
        self.steps: list[Step] = []
        self._waiting: list[Label] = []
        self._piloted: list[Label] = []
        self.launching = launch > 0  # whether every decision is to be labelled still
        self._least = 1.0
        self._lead: list[list[float]] = []  # by region, what the warm labels make of each log wealth
        self.edges: list[float] = []
        self.begun = False
        if edges is not None:
            self._begin(list(edges), first)

    # labels

    def observe(
        self, *, score: float, wrong: bool | int, inclusion: float, seq: int, floor: float | None = None,
        cluster: int | None = None,
    ) -> None:  # fmt: skip
        """Take the label of one decision; it counts once `tick` has passed its place in the order of decisions.

        `cluster` is the first decision of those that it belongs to: they count together, at the place of that one.
        The same label twice is ignored; `GuaranteeError` for one that contradicts, comes too late or is no label, and
        for one more of a cluster than `largest`.
        """
        label = checked(seq, score, wrong, inclusion, floor, cluster)
        if label.place <= self.seq:
            raise GuaranteeError(
                f"decision {seq} is not after {self.seq}, up to which everything is counted",
                hint="Each decision counts once; a label that comes after its time was counted as an error.",
            )
        if not self._waiting or self._waiting[-1].place < label.place:
            self._waiting.append(label)
            return
        first = bisect_left(self._waiting, label.place, key=_place)
        together = self._waiting[first : bisect_right(self._waiting, label.place, lo=first, key=_place)]
        for other in together:
            if other.seq == seq:
                if other != label:
                    raise GuaranteeError(f"decision {seq} has another label already", hint="A decision has one label.")
                return
        if len(together) >= self.largest:
            raise GuaranteeError(
                f"decision {seq} is one more of its cluster than the {self.largest} that were declared",
                hint="What exceeds `largest` goes to people, and is no evidence: leave it out.",
            )
        insort(self._waiting, label, key=_order)

    def tick(self, watermark: int | None = None) -> list[Step]:
        """Count, in the order of decisions, every label up to and with `watermark` (None: all); the steps it made.

        The watermark is the last decision up to which no label is outstanding, and no cluster open: in the order of
        arrival, errors that are answered later than the rest would come too late.
        """
        if watermark is not None and not _counts(watermark):
            reason = f"the watermark is {watermark!r:.80}; it must be the number of a decision, or None for all"
            raise GuaranteeError(reason)
        before = len(self.steps)
        end = len(self._waiting)
        if watermark is not None and end and self._waiting[-1].place > watermark:
            end = bisect_right(self._waiting, watermark, key=_place)
        due, self._waiting = self._waiting[:end], self._waiting[end:]
        if self.largest == 1:
            for label in due:
                self._count((label,))
        else:
            for _, cluster in groupby(due, key=_place):
                self._count(tuple(cluster))
        if watermark is not None:
            self.seq = max(self.seq, watermark)
        return self.steps[before:]

    # figures

    @property
    def bin(self) -> int | None:
        """The first bin that autopilot may have; None while nothing is certified."""
        return self.steps[-1].bin if self.steps else None

    @property
    def threshold(self) -> float | None:
        """The score from which autopilot may act; None: everything goes to humans."""
        return self.steps[-1].threshold if self.steps else None

    @property
    def coverage(self) -> float:
        """The share of decisions in the certified region, by weight."""
        return 0.0 if self.bin is None else self.share_from(self.bin)

    def share_from(self, place: int) -> float:
        """The share of decisions seen so far whose score lies in this bin or above, by weight."""
        whole = sum(self.weights)
        return sum(self.weights[place:]) / whole if whole else 0.0

    def bin_of(self, score: float) -> int:
        """The bin of a score; the highest is the most certain."""
        return bisect_right(self.edges, score)

    def score_of(self, place: int) -> float:
        """The lowest score of a bin."""
        return self.edges[place - 1] if place > 0 else 0.0

    def evidence(self) -> dict[str, Any]:
        """The evidence in figures: the state, the region that is tested next, and its log wealth."""
        figures: dict[str, Any] = {
            "max_error": self.max_error, "confidence": self.confidence, "delta": self.delta, "labels": self.labels,
            "errors": self.errors, "waiting": len(self._waiting), "seq": self.seq, "threshold": self.threshold,
            "coverage": self.coverage, "launching": self.launching, "bins": len(self.edges) + 1 if self.begun else 0,
            "least_labels": self._at_once,
        }  # fmt: skip
        if not self.begun:
            return figures | {"state": "pilot", "pilot_left": self.pilot - len(self._piloted)}
        wealth = self._wealth if self._next >= 0 else None
        return figures | {
            "state": "collecting" if self.threshold is None else "certified",
            "next_threshold": None if self._next < 0 else self.score_of(self._next),
            "next_coverage": None if self._next < 0 else self.share_from(self._next),
            "log_wealth": None if wealth is None else wealth - log(FRACTIONS),
            "log_wealth_needed": self._target - log(FRACTIONS),
            "labels_needed": self.labels_needed(),
        }

    def labels_needed(self) -> int | None:
        """About how many more labels the next region needs if they go on as they have; None if it never gets there.

        Where nothing is known yet, none of them in error.
        """
        if not self.begun:
            return self.pilot - len(self._piloted) + self._to_begin()
        if self._next < 0:
            return None
        seen, wrong = sum(self.weights[self._next :]), sum(self.wrongs[self._next :])
        if not seen and not self.steps:
            return self._to_begin()
        risk = (wrong + self.max_error / 4) / (seen + 1.0)
        gains = []  # the mean growth of each log wealth a label, at this risk
        for fraction in self._fractions:
            fraction /= self.largest
            up, down = log1p(fraction * self.max_error), 1.0 - fraction * (self._flag - self.max_error)
            gains.append((1.0 - risk) * up + risk * (log(down) if down > 0 else LOST))
        if max(gains) <= 0.0:
            return None
        share = self.share_from(self._next) or self.start or START
        return max(1, round((self._target - self._wealth) / max(gains) / max(share, 1e-9)))

    @property
    def fewest(self) -> int:
        """How many labels of the first region it takes without a single error, one by one."""
        move, most = self._move(0, 1.0, 1.0), 1
        while wealth_of([most * log for log in move]) < self._target:
            most *= 2
        return 1 + bisect_left(range(1, most), self._target, key=lambda n: wealth_of([n * log for log in move]))

    @property
    def _at_once(self) -> int:
        """How many labels without a single error one exact test takes; with clusters there is none, and bets do."""
        if self.largest > 1:
            return self.fewest
        return binomial.needed(self.max_error * (1.0 - self.miss_rate), 1.0 - self._one_test)

    def _to_begin(self) -> int:
        """Labels of all regions until enough lie in the first, or until the full-audit phase is tested."""
        share = self.start or START
        singly = self.fewest / share
        return round(min(singly, max(self.launch, self._at_once / share)) if self.launch else singly)

    # counting

    def _begin(self, edges: list[float], start: int | None) -> None:
        """Freeze the bins; everything counted from here on is evidence."""
        self.edges, self.begun = edges, True
        count = len(edges) + 1
        self.weights, self.wrongs = [0.0] * count, [0.0] * count
        self._logs = [[0.0] * FRACTIONS for _ in range(count)]
        self._sums = [0.0] * FRACTIONS
        self._tally, self._missed = [0] * count, [0] * count
        self.first = start if start is not None else max(0, min(count - 1, int(count * (1.0 - (self.start or START)))))
        self._next = self.first

    def _count(self, cluster: Sequence[Label]) -> None:
        """Count the labels of one cluster; nothing is certified before the last of them."""
        self.seq = cluster[0].place
        if not self.begun:
            self._piloted.extend(cluster)
            if len(self._piloted) >= self.pilot:
                edges = edges_of([piloted.score for piloted in self._piloted], self.bins)
                self._begin(edges, first_of(edges, self._piloted, self.max_error, self.start))
            return
        floor, place, label = self._floor_of(cluster), 0, cluster[0]
        for label in cluster:
            self.labels, self.errors = self.labels + 1, self.errors + label.wrong
            place = bisect_right(self.edges, label.score)
            self.weights[place] += 1.0 / label.inclusion
            self.wrongs[place] += label.wrong / label.inclusion
        if len(cluster) == 1:
            self._bet(place, self._move(label.wrong, label.inclusion, floor))
        else:
            self._bet_on(cluster, floor)
        if self._warming:
            self._lead_by()
        elif place >= self._next >= 0 or len(cluster) > 1:
            self._widen()
        if self.launching:
            self._launch(place, label)

    def _floor_of(self, cluster: Sequence[Label]) -> float:
        """The least inclusion probability that its labels can have had: as stated, else by what is certified.

        The minimum in force at these decisions is one while all is labelled, else the declared.  Predictable, as the
        proof needs, since no cluster opened later is counted yet; except at the first inclusion below one before
        autopilot opens and at each new least below the declared floor: who has such labels says the floor with each.
        """
        floor = 1.0
        for label in cluster:
            if label.floor is not None:
                floor = min(floor, label.floor)
                continue
            self._least = min(self._least, label.inclusion)
            if self._least < 1.0 or (self.steps and not self.launching):
                floor = min(floor, self.floor, self._least)
        return floor

    def _bet(self, place: int, move: list[float]) -> None:
        """Add to the log wealth of every region that this bin lies in."""
        self._logs[place] = [a + b for a, b in zip(self._logs[place], move, strict=True)]
        if place >= self._next >= 0:
            self._sums = [a + b for a, b in zip(self._sums, move, strict=True)]

    def _bet_on(self, cluster: Sequence[Label], floor: float) -> None:
        """One bet on several labels together: each adds, from high bins to low, what it changes (telescoping)."""
        fractions, total, before = self._capped(floor), 0.0, [0.0] * FRACTIONS
        for place, label in sorted(((self.bin_of(label.score), label) for label in cluster), reverse=True):
            total += (self.max_error - label.wrong * self._flag) / label.inclusion / self.largest
            after = [log1p(fraction * total) for fraction in fractions]
            self._bet(place, [a - b for a, b in zip(after, before, strict=True)])
            before = after

    def _move(self, wrong: int, inclusion: float, floor: float) -> list[float]:
        """The increment of each log wealth by one label that stands by itself."""
        key = (wrong, inclusion, floor)
        move = self._moves.get(key)
        if move is None:
            gain = (self.max_error - wrong * self._flag) / inclusion / self.largest
            if len(self._moves) >= KEPT_MOVES:
                self._moves.clear()
            move = self._moves[key] = [log1p(fraction * gain) for fraction in self._capped(floor)]
        return move

    @property
    def _warming(self) -> bool:
        """Whether the label that was counted last is one of the warm ones."""
        return len(self._piloted) + self.labels <= self.warm

    @property
    def _wealth(self) -> float:
        """Log wealth of the region that is tested next, of its eight bets together."""
        if not self._lead:
            return wealth_of(self._sums)
        return wealth_of([before + after for before, after in zip(self._lead[self._next], self._sums, strict=True)])

    def _widen(self) -> None:
        """Certify one region after the other, as far as the evidence carries."""
        while self._next >= 0 and self._wealth >= self._target:
            self._certify(self._next, "evidence")

    def _lead_by(self) -> None:
        """After the last warm label: half of delta goes on with a lead by what they say, half without them.

        The mixture of two bets is a bet, and the half without them holds however they were looked at.
        """
        if len(self._piloted) + self.labels < self.warm:
            return
        sums, leads = [0.0] * FRACTIONS, []
        for logs in reversed(self._logs):
            sums = [a + b for a, b in zip(sums, logs, strict=True)]
            leads.append([_log_sum(log(WARM * self.warm_share) + one, log(1.0 - WARM)) for one in sums])
        self._lead = leads[::-1]
        self._logs, self._sums = [[0.0] * FRACTIONS for _ in self._logs], [0.0] * FRACTIONS
        self._widen()

    def _capped(self, floor: float) -> list[float]:
        """The fractions, capped so that wealth stays above 0 if all of a cluster is wrong, each at the floor."""
        cap = MOST * floor / (self._flag - self.max_error)
        return [min(fraction, cap) for fraction in self._fractions]

    def _certify(self, place: int, by: str) -> None:
        """Certify a region, and go on to the one below it."""
        self.steps.append(Step(self.seq, place, self.score_of(place), by))
        while self._next >= place and self._next >= 0:
            self._next -= 1
            if self._next >= 0:
                self._sums = [a + b for a, b in zip(self._sums, self._logs[self._next], strict=True)]

    def _launch(self, place: int, label: Label) -> None:
        """Tally the full-audit phase: its last label brings the exact test, one with inclusion below 1 ends it."""
        if label.inclusion < 1.0:
            self.launching = False
            return
        self._tally[place] += 1
        self._missed[place] += label.wrong
        if self.labels < self.launch:
            return
        self.launching = False
        of, wrong, lowest = sum(self._tally[self.first + 1 :]), sum(self._missed[self.first + 1 :]), None
        for k in range(self.first, -1, -1):
            of, wrong = of + self._tally[k], wrong + self._missed[k]
            if binomial.cdf(wrong, of, self.max_error * (1.0 - self.miss_rate)) > self._one_test:
                break
            lowest = k
        if lowest is not None and (self.bin is None or lowest < self.bin):
            self._certify(lowest, "launch")

    # copies, to and from storage

    def copied(self) -> Self:
        """An independent copy; lists that are never changed in place are shared."""
        twin = copy(self)
        twin.steps, twin._waiting, twin._piloted = self.steps.copy(), self._waiting.copy(), self._piloted.copy()
        if self.begun:
            twin.weights, twin.wrongs, twin._logs = self.weights.copy(), self.wrongs.copy(), self._logs.copy()
            twin._tally, twin._missed = self._tally.copy(), self._missed.copy()
        return twin

    def to_dict(self) -> dict[str, Any]:
        """Everything as it is now, as plain JSON; floats survive bit for bit."""
        return {
            "given": {name: getattr(self, name) for name in _GIVEN}
            | ({"largest": self.largest} if self.largest > 1 else {}) | ({"kept": self.kept} if self.kept else {}),
            "seq": self.seq, "labels": self.labels, "errors": self.errors, "least": self._least,
            "steps": [list(step) for step in self.steps], "waiting": [label.stored() for label in self._waiting],
            "piloted": [label.stored() for label in self._piloted], "launching": self.launching, "begun": self.begun,
            **({"lead": _copied(self._lead)} if self._lead else {}),
            **({name: _copied(getattr(self, name)) for name in _COUNTED} if self.begun else {}),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The certificate that `to_dict` described; it goes on as if it had never stopped."""
        with read("certificate"):
            certificate = cls(**data["given"])
            certificate.seq, certificate.labels, certificate.errors = data["seq"], data["labels"], data["errors"]
            certificate._least, certificate.launching = data["least"], data["launching"]
            certificate.begun = data["begun"]
            certificate.steps = [Step(*step) for step in data["steps"]]
            certificate._waiting = [Label(*label) for label in data["waiting"]]
            certificate._piloted = [Label(*label) for label in data["piloted"]]
            certificate._lead = _copied(data.get("lead", []))
            for name in _COUNTED if certificate.begun else ():
                setattr(certificate, name, _copied(data[name]))
            certificate._check()
        return certificate

    def _check(self) -> None:
        """Refuse a state that no certificate can be in."""
        whole("seq", self.seq, -1)
        whole("labels", self.labels, 0)
        whole("errors", self.errors, 0)
        share("least", self._least, one=True)
        for label in (*self._waiting, *self._piloted):
            checked(*label)
        order = [_order(label) for label in self._waiting]
        if order != sorted({*order}) or (order and order[0][0] <= self.seq):
            raise GuaranteeError("labels wait that are counted already, or twice")
        if any(len(list(cluster)) > self.largest for _, cluster in groupby(self._waiting, key=_place)):
            raise GuaranteeError(f"more labels of a cluster wait than the {self.largest} that were declared")
        if {type(self.begun), type(self.launching)} != {bool}:
            raise GuaranteeError("begun and launching must be true or false")
        if not self.begun:
            if self.steps or self.labels:
                raise GuaranteeError("it has counted labels before it has bins")
            return
        binned(self.edges, self.first)
        count, bets = len(self.edges) + 1, len(self._fractions)
        for name in ("weights", "wrongs", "_tally", "_missed"):
            numbers(name, getattr(self, name), count, least=0)
        numbers("sums", self._sums, bets)
        if len(self._logs) != count:
            raise GuaranteeError(f"logs must be a list of {count} lists")
        if self._lead and len(self._lead) != count:
            raise GuaranteeError(f"lead must be a list of {count} lists")
        for logs in (*self._logs, *self._lead):
            numbers("logs", logs, bets)
        whole("next", self._next, -1)
        places = [count, *(step.bin for step in self.steps)]
        if any(low >= high for high, low in pairwise(places)) or self._next >= places[-1]:
            raise GuaranteeError("its steps do not lead from high bins to low ones")
        for step in self.steps:
            whole("the bin of a step", step.bin, 0)
            if step.threshold != self.score_of(step.bin) or not -1 <= step.seq <= self.seq:
                raise GuaranteeError(f"the step to bin {step.bin} names another threshold or place than its own")


_GIVEN = (
    "max_error", "confidence", "bins", "pilot", "start", "launch", "floor", "miss_rate", "segments", "again", "warm",
    "warm_share", "spent",
)  # fmt: skip
_COUNTED = ("edges", "weights", "wrongs", "_logs", "_sums", "_tally", "_missed", "first", "_next")


def _copied(values: Any) -> Any:
    """A deep copy of nested lists of numbers."""
    return [_copied(value) for value in values] if isinstance(values, list | tuple) else values


def _place(label: Label) -> int:
    return label.place


def _order(label: Label) -> tuple[int, int]:
    return label.place, label.seq


def checked(
    seq: int, score: float, wrong: bool | int, inclusion: float, floor: float | None, cluster: int | None = None
) -> Label:  # fmt: skip
    """A label in plain Python numbers, so that it can be stored; `GuaranteeError` for anything else."""
    for name, value in (("score", score), ("wrong", wrong), ("inclusion_probability", inclusion)):
        if value is None:
            raise GuaranteeError(f"decision {seq!r:.80} has no {name.replace('_', ' ')}", hint=LACKING[name])
    try:
        label = Label(
            index(seq), float(score), int(wrong), float(inclusion), None if floor is None else float(floor),
            None if cluster is None else index(cluster),
        )  # fmt: skip
    except (TypeError, ValueError, OverflowError) as error:
        raise GuaranteeError(f"the label of decision {seq!r} is no label: {error}") from None
    if not isfinite(label.score):
        raise GuaranteeError(f"the score of decision {label.seq} is {label.score}, not a finite number",
                             hint=LACKING["score"])  # fmt: skip
    if wrong not in (0, 1):
        raise GuaranteeError(f"wrong of decision {label.seq} is {wrong!r}; it must be 0 or 1",
                             hint="A decision that nobody answered in time counts as wrong.")  # fmt: skip
    if label.place > label.seq:
        raise GuaranteeError(f"decision {label.seq} comes before {label.cluster}, the first of its cluster",
                             hint="A cluster is named by the first of its decisions.")  # fmt: skip
    least = label.inclusion if label.floor is None else label.floor
    if not 0.0 < label.inclusion <= 1.0:
        raise GuaranteeError(
            f"the inclusion probability of decision {label.seq} is {label.inclusion}; it must lie above 0, at most 1",
            hint="What nobody could have reviewed is no evidence.",
        )
    if not 0.0 < least <= label.inclusion:
        raise GuaranteeError(
            f"the inclusion probability {label.inclusion} of decision {label.seq} is below the floor {least}"
        )
    return label


LOST = -50.0  # the log of a wealth that one error takes whole


def wealth_of(sums: Sequence[float]) -> float:
    """Log wealth of the equal mixture of all fractions, from their log wealths (log-sum-exp)."""
    most = max(sums)
    return most + log(sum([exp(part - most) for part in sums]))


def _log_sum(one: float, other: float) -> float:
    """The log of exp(one) + exp(other)."""
    most = max(one, other)
    return most + log1p(exp(min(one, other) - most))


# How a loop spends its delta: over its epochs, and in each on the exact test of a launch, on evidence, on what was
# recorded before, and on restarts.
#
# The parts add up to delta, so that the promise holds for all of them together, however often a certificate restarts
# with another first region, and however many epochs a loop has (a union bound; alpha spending, Lan and DeMets 1983).


FIRST = 0.5  # of delta is for the first epoch that counts, so that a loop opens not much later for those to come
WARM = 0.5  # of what is for evidence goes on with a lead by warm labels, where there are any


def part_of(spent: int | None) -> float:
    """The part of delta that an epoch may spend after so many others; all parts add up to one, however many come."""
    if spent is None:
        return 1.0
    return FIRST if spent == 0 else (1.0 - FIRST) / (spent * (spent + 1.0))


def chance_of(tried: int) -> float:
    """The part of what is kept for warm labels that candidate number `tried` may spend, of any number of them."""
    return 1.0 / (tried * (tried + 1.0))


LAUNCH = 0.25  # of delta is for the one exact test of a launch; the first try has it for evidence where there is none
AGAIN = 0.2  # of delta is kept for restarts: half of it for the first, and half of what is left for each later one


def on_launch(delta: float, launch: int) -> float:
    """The part of delta that the exact test of a full-audit phase spends."""
    return delta * LAUNCH if launch else 0.0


def on_evidence(delta: float, launch: int, again: int) -> float:
    """The part of delta that the test martingales spend after so many restarts."""
    if again < 0 or (again and launch):
        raise GuaranteeError(f"again is {again}; it must be at least 0, and 0 where there is a launch")
    return delta * AGAIN / 2.0**again if again else delta * (1.0 - AGAIN) - on_launch(delta, launch)


# Checks of a promise and of labels: anything out of range is refused by name, before it changes anything.
#
# NaN, a text or None in place of a number could pass comparisons in silence and open autopilot on no evidence.


def promise(max_error: Any, confidence: Any) -> None:
    """Refuse a bound or a confidence that no data can support, or that promises nothing."""
    for name, value in (("max_error", max_error), ("confidence", confidence)):
        share(name, value, hint=HINTS[name])
        if (reason := beyond(name, value)) is not None:
            raise GuaranteeError(f"{name} is {value!r}: {reason}", hint=HINTS[name])


def share(name: str, value: Any, *, zero: bool = False, one: bool = False, hint: str | None = None) -> None:
    """Refuse anything but a number between 0 and 1; `zero` and `one` say whether the ends are allowed."""
    inside = real(value) and (0.0 < value < 1.0 or (zero and value == 0.0) or (one and value == 1.0))
    if not inside:
        bounds = f"{'at least' if zero else 'above'} 0 and {'at most' if one else 'below'} 1"
        raise GuaranteeError(f"{name} is {value!r:.80}; it must be a number, {bounds}", hint=hint)


def whole(name: str, value: Any, least: int) -> None:
    """Refuse anything but a whole number of at least `least`."""
    if not _counts(value) or value < least:
        raise GuaranteeError(f"{name} is {value!r:.80}; it must be a whole number from {least} on")


def binned(edges: Any, first: Any) -> None:
    """Refuse bin edges that are not rising scores, and a first bin out of range."""
    scores = None if isinstance(edges, str) or not isinstance(edges, Iterable) else list(edges)
    if scores is None or not all(map(real, scores)) or any(low >= high for low, high in pairwise(scores)):
        raise GuaranteeError("edges are the lower scores of bins 1, 2, …: numbers, each above the one before")
    if first is not None:
        whole("first", first, 0)
        if first > len(scores):
            raise GuaranteeError(f"first is {first}, and there are {len(scores) + 1} bins, counted from 0")


def real(value: Any) -> bool:
    """Whether this is a finite number."""
    return not isinstance(value, bool) and isinstance(value, (float, Real)) and isfinite(value)


def _counts(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, (int, Integral))


LACKING = {
    "score": "A decision without a score is for a human, and no evidence: leave it out.",
    "wrong": "A decision that nobody answered in time counts as wrong; one that may still be answered waits.",
    "inclusion_probability": (
        "Give the probability with which a human was to see the decision, as it was before the draw: 1 where "
        "everything is reviewed. Without it nobody knows for how many cases the label stands."
    ),
}


def seen(wrong: Any, inclusion: Any, floor: Any) -> None:
    """Refuse a review that is neither right nor wrong, or of a case that nobody could have reviewed."""
    if wrong not in (0, 1):
        raise GuaranteeError(f"wrong is {wrong!r:.80}; it must be 0 or 1", hint=LACKING["wrong"])
    share("the inclusion probability", inclusion, one=True, hint=LACKING["inclusion_probability"])
    if floor is not None and not (real(floor) and 0.0 < floor <= inclusion):
        raise GuaranteeError(
            f"floor is {floor!r:.80}; it must lie above 0, at most at the inclusion probability {inclusion!r}"
        )


# Stored certificates, monitors and bounds: a damaged dict is one clear error, and opens nothing.


ANEW = "Begin a new one and count the labels again: `loop.evidence()` gives those of a loop. Nothing else has changed."


@contextmanager
def read(what: str) -> Iterator[None]:
    """Turn whatever error a damaged dict raises into one `GuaranteeError`."""
    try:
        yield
    except (GuaranteeError, KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError) as error:
        reason = error.message if isinstance(error, GuaranteeError) else str(error)
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else reason
        raise GuaranteeError(f"this is no stored {what}: {reason}", hint=ANEW) from error


def numbers(name: str, values: Any, count: int, *, least: float | None = None) -> None:
    """Refuse anything but a list of `count` finite numbers, each at least `least`."""
    fine = isinstance(values, list) and len(values) == count and all(real(value) for value in values)
    if not fine or (least is not None and any(value < least for value in values)):
        raise GuaranteeError(f"{name.strip('_')} must be a list of {count} finite numbers")
