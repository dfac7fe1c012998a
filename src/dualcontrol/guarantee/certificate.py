"""The certificate: from which score on autopilot may act, by evidence that may be looked at after every label.

For each region "scores from here up" a test martingale bets against the hypothesis that its error is above the bound:
a labelled decision multiplies the wealth by 1 + lambda (max_error - wrong) / inclusion, whose mean is at most one
while the hypothesis is true, whatever the (predictable) audit probabilities.  Eight fractions are mixed (Waudby-Smith
and Ramdas 2024), weights are inverse inclusion probabilities (Horvitz and Thompson 1952), and a region is certified
when its wealth reaches 1 / delta (Ville 1939).  Regions are tested in one fixed sequence from few cases to many, so
that no delta is divided over them (Angelopoulos et al. 2021; for e-processes Xu et al., arXiv 2406.10490).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from math import exp, isfinite, log, log1p
from numbers import Integral, Real
from operator import index
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from dualcontrol.errors import GuaranteeError
from dualcontrol.guarantee import binomial
from dualcontrol.guarantee.offline import HINTS, beyond

if TYPE_CHECKING:
    from collections.abc import Sequence


# Regions of scores: bins of equal mass, and which region a certificate tests first.


START = 0.2


def edges_of(scores: Sequence[float], bins: int) -> list[float]:
    """The lower scores of up to `bins` bins of equal mass; tied scores stay in one bin."""
    ordered = sorted(scores)
    places = (i * len(ordered) // bins for i in range(1, bins))
    return sorted({ordered[place] for place in places if ordered[place] > ordered[0]})


def first_of(edges: Sequence[float], piloted: Iterable[Label], max_error: float, start: float | None) -> int:
    """The first region: the widest that holds at most the share `start`, or (None) the most promising of a pilot."""
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
    whole, held = sum(masses), 0.0
    for place in range(len(masses) - 1, -1, -1):
        held += masses[place]
        if held > share * whole:
            return min(place + 1, len(masses) - 1)
    return 0


__all__ = ["FLOOR", "FRACTIONS", "START", "Certificate", "Label", "Step", "edges_of", "first_of", "widest"]

FRACTIONS = 8
LEAST, MOST = 0.01, 0.9
FLOOR = 0.05
KEPT_MOVES = 10_000


class Label(NamedTuple):
    """One labelled decision; `floor` is the least inclusion any decision could have had then, None where unsaid."""

    seq: int
    score: float
    wrong: int
    inclusion: float
    floor: float | None = None


class Step(NamedTuple):
    """A certified widening: after which decision, to which region and score, and by what ("evidence" or "launch")."""

    seq: int
    bin: int
    threshold: float
    by: str


class Certificate:
    """Test martingales over score regions, with the threshold that they certify.

    `max_error` and `confidence` are the promise, `segments` how many certificates share 1 - confidence.
    `edges` are the lower scores of bins 1, 2, …; without them the first `pilot` labels choose up to `bins` of equal
    mass and are no evidence.  `start` is the coverage of the first region (None: chosen on the pilot), `first` its bin
    where edges are given.  `launch` labels, all with inclusion 1, are tested once and exactly, on a quarter of delta.
    `floor` is the least inclusion that a decision can have once autopilot has opened and the launch is over.
    `miss_rate` bounds the share of errors that reviewers let pass.  `again` counts how often the certificate has begun
    again with another first region; a fifth of delta is kept for that (`route.spending`).
    """

    def __init__(
        self, max_error: float, confidence: float = 0.95, *, bins: int = 100, edges: Sequence[float] | None = None,
        pilot: int = 200, start: float | None = START, launch: int = 0, floor: float = FLOOR, miss_rate: float = 0.0,
        segments: int = 1, first: int | None = None, again: int = 0,
    ) -> None:  # fmt: skip
        _check_promise(max_error, confidence, bins, pilot, start, launch, floor, miss_rate, segments)
        if edges is not None:
            binned(edges, first)
        self.max_error, self.confidence, self.bins, self.pilot = max_error, confidence, bins, pilot
        self.start, self.launch, self.floor = start, launch, floor
        self.miss_rate, self.segments = miss_rate, segments
        self.delta = (1.0 - confidence) / segments
        self._flag = 1.0 / (1.0 - miss_rate)
        ratio = (MOST / LEAST) ** (1.0 / (FRACTIONS - 1))
        self._fractions = [LEAST * ratio**j / (1.0 - max_error) for j in range(FRACTIONS)]
        self.again, self._one_test = again, on_one_test(self.delta, launch, again)
        self._target = log(FRACTIONS / on_evidence(self.delta, launch, again))
        self._moves: dict[tuple[int, float, float], list[float]] = {}
        self.seq = -1
        self.labels = self.errors = 0
        self.steps: list[Step] = []
        self._waiting: list[Label] = []
        self._piloted: list[Label] = []
        self._launching = launch > 0
        self._least = 1.0
        self.edges: list[float] = []
        self.begun = False
        if edges is not None:
            self._begin(list(edges), first)

    # what comes in

    def observe(
        self, *, score: float, wrong: bool | int, inclusion: float, seq: int, floor: float | None = None
    ) -> None:  # fmt: skip
        """Take the label of one decision; it counts once `tick` has passed its place in the order of decisions.

        The same label twice is ignored; `GuaranteeError` for one that contradicts, comes too late or is no label.
        """
        label = _label(seq, score, wrong, inclusion, floor)
        if seq <= self.seq:
            raise GuaranteeError(
                f"decision {seq} is not after {self.seq}, up to which everything is counted",
                hint="Each decision counts once; a label that comes after its time was counted as an error.",
            )
        place = bisect_right(self._waiting, (label.seq,))
        if place < len(self._waiting) and self._waiting[place].seq == seq:
            if self._waiting[place] != label:
                raise GuaranteeError(f"decision {seq} has another label already", hint="A decision has one label.")
            return
        insort(self._waiting, label)

    def tick(self, watermark: int | None = None) -> list[Step]:
        """Count, in the order of decisions, every label up to and with `watermark` (None: all); the steps it made.

        The watermark is the last decision up to which no label is outstanding: in the order of arrival, errors that
        are answered later than the rest would come too late.
        """
        check_watermark(watermark)
        before = len(self.steps)
        end = len(self._waiting) if watermark is None else bisect_right(self._waiting, (watermark, float("inf")))
        due, self._waiting = self._waiting[:end], self._waiting[end:]
        for label in due:
            self._count(label)
        if watermark is not None:
            self.seq = max(self.seq, watermark)
        return self.steps[before:]

    # what is known

    @property
    def bin(self) -> int | None:
        """The first bin that autopilot may have; None while nothing is certified."""
        return self.steps[-1].bin if self.steps else None

    @property
    def threshold(self) -> float | None:
        """The score from which autopilot may act; None: everything goes to humans."""
        return self.steps[-1].threshold if self.steps else None

    @property
    def launching(self) -> bool:
        """Whether every decision is to be labelled still."""
        return self._launching

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
        """What is known, in numbers: the state, the region that is tested next, and how far its wealth has come."""
        said: dict[str, Any] = {
            "max_error": self.max_error, "confidence": self.confidence, "delta": self.delta, "labels": self.labels,
            "errors": self.errors, "waiting": len(self._waiting), "seq": self.seq, "threshold": self.threshold,
            "coverage": self.coverage, "launching": self._launching, "bins": len(self.edges) + 1 if self.begun else 0,
            "least_labels": at_once(self),
        }  # fmt: skip
        if not self.begun:
            return said | {"state": "pilot", "pilot_left": self.pilot - len(self._piloted)}
        wealth = wealth_of(self._sums) if self._next >= 0 else None
        return said | {
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
        return labels_needed(self)

    @property
    def fewest(self) -> int:
        """How many labels of the first region it takes without a single error, one by one."""
        return one_by_one(self)

    # the parts

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

    def _count(self, label: Label) -> None:
        self.seq = label.seq
        if not self.begun:
            return self._pilot(label)
        self.labels, self.errors = self.labels + 1, self.errors + label.wrong
        place, floor = self.bin_of(label.score), self._floor(label)
        self.weights[place] += 1.0 / label.inclusion
        self.wrongs[place] += label.wrong / label.inclusion
        self._bet(place, self._move(label.wrong, label.inclusion, floor))
        if self._launching:
            self._launch(place, label)
        return None

    def _floor(self, label: Label) -> float:
        """The least inclusion in force at this decision: as said, else one while all is labelled, else the declared.

        Predictable, as the proof needs, except at the first inclusion below one before autopilot opens and at each
        new least below the declared floor: who has such labels says the floor with each.
        """
        if label.floor is not None:
            return label.floor
        self._least = min(self._least, label.inclusion)
        whole = self._least == 1.0 and (self._launching or not self.steps)
        return 1.0 if whole else min(self.floor, self._least)

    def _move(self, wrong: int, inclusion: float, floor: float) -> list[float]:
        """What a label adds to each log wealth; fractions are capped, so that wealth stays above 0."""
        key = (wrong, inclusion, floor)
        found = self._moves.get(key)
        if found is None:
            cap = MOST * floor / (self._flag - self.max_error)
            gain = (self.max_error - wrong * self._flag) / inclusion
            if len(self._moves) >= KEPT_MOVES:
                self._moves.clear()
            found = self._moves[key] = [log1p(min(fraction, cap) * gain) for fraction in self._fractions]
        return found

    def _bet(self, place: int, move: list[float]) -> None:
        own = self._logs[place]
        self._logs[place] = [a + b for a, b in zip(own, move, strict=True)]
        if place >= self._next >= 0:
            self._sums = [a + b for a, b in zip(self._sums, move, strict=True)]
            self._advance()

    def _advance(self) -> None:
        """Certify regions for as long as the next one has wealth enough."""
        while self._next >= 0 and wealth_of(self._sums) >= self._target:
            self._certify(self._next, "evidence")

    def _certify(self, place: int, by: str) -> None:
        """Autopilot may have this region; what is tested next is the one below it."""
        self.steps.append(Step(self.seq, place, self.score_of(place), by))
        while self._next >= place and self._next >= 0:
            self._next -= 1
            if self._next >= 0:
                self._sums = [a + b for a, b in zip(self._sums, self._logs[self._next], strict=True)]

    def _pilot(self, label: Label) -> None:
        self._piloted.append(label)
        if len(self._piloted) >= self.pilot:
            edges = edges_of([label.score for label in self._piloted], self.bins)
            self._begin(edges, self._start_of(edges))

    def _start_of(self, edges: list[float]) -> int:
        return first_of(edges, self._piloted, self.max_error, self.start)

    def _launch(self, place: int, label: Label) -> None:
        """Tally the labels of the launch; the last one brings the exact test, one with inclusion below 1 ends it."""
        if label.inclusion < 1.0:
            self._launching = False
            return
        self._tally[place] += 1
        self._missed[place] += label.wrong
        if self.labels < self.launch:
            return
        self._launching = False
        of, wrong, found = sum(self._tally[self.first + 1 :]), sum(self._missed[self.first + 1 :]), None
        for k in range(self.first, -1, -1):
            of, wrong = of + self._tally[k], wrong + self._missed[k]
            if binomial.cdf(wrong, of, self.max_error * (1.0 - self.miss_rate)) > self._one_test:
                break
            found = k
        if found is not None and (self.bin is None or found < self.bin):
            self._certify(found, "launch")

    # to and from storage

    def to_dict(self) -> dict[str, Any]:
        """Everything as it is now, as plain JSON; floats survive bit for bit."""
        given = {name: getattr(self, name) for name in _GIVEN}
        counted = {"seq": self.seq, "labels": self.labels, "errors": self.errors, "least": self._least}
        held = {
            "steps": [list(step) for step in self.steps], "waiting": [list(label) for label in self._waiting],
            "piloted": [list(label) for label in self._piloted], "launching": self._launching, "begun": self.begun,
        }  # fmt: skip
        return {
            "given": given,
            **counted,
            **held,
            **({name: _copied(getattr(self, name)) for name in _HELD} if self.begun else {}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The certificate that `to_dict` described; it goes on as if it had never stopped."""
        with read("certificate"):
            made = cls._restored(data)
            check(made, _label)
        return made

    @classmethod
    def _restored(cls, data: Mapping[str, Any]) -> Self:
        made = cls(**data["given"])
        made.seq, made.labels, made.errors = data["seq"], data["labels"], data["errors"]
        made._least, made._launching, made.begun = data["least"], data["launching"], data["begun"]
        made.steps = [Step(*step) for step in data["steps"]]
        made._waiting = [Label(*label) for label in data["waiting"]]
        made._piloted = [Label(*label) for label in data["piloted"]]
        for name in _HELD if made.begun else ():
            setattr(made, name, _copied(data[name]))
        return made


_GIVEN = (
    "max_error", "confidence", "bins", "pilot", "start", "launch", "floor", "miss_rate", "segments", "again",
)  # fmt: skip
_HELD = ("edges", "weights", "wrongs", "_logs", "_sums", "_tally", "_missed", "first", "_next")


def _copied(held: Any) -> Any:
    """Lists of numbers or of lists, not shared with whoever holds them."""
    return [_copied(one) for one in held] if isinstance(held, list | tuple) else held


def _check_promise(
    max_error: float, confidence: float, bins: int, pilot: int, start: float | None, launch: int, floor: float,
    miss_rate: float, segments: int,
) -> None:  # fmt: skip
    promise(max_error, confidence)
    share("miss_rate", miss_rate, zero=True)
    share("floor", floor, one=True)
    if start is not None:
        share("start", start, one=True)
    counts = (("bins", bins, 1), ("segments", segments, 1), ("pilot", pilot, 0), ("launch", launch, 0))
    for name, value, least in counts:
        whole(name, value, least)


def _label(seq: int, score: float, wrong: bool | int, inclusion: float, floor: float | None) -> Label:
    """A label in plain Python numbers, so that it can be stored; `GuaranteeError` for what is none."""
    said(seq, score=score, wrong=wrong, inclusion_probability=inclusion)
    try:
        label = Label(index(seq), float(score), int(wrong), float(inclusion), None if floor is None else float(floor))
    except (TypeError, ValueError, OverflowError) as error:
        raise GuaranteeError(f"the label of decision {seq!r} is no label: {error}") from None
    _check_label(label, wrong)
    return label


def _check_label(label: Label, wrong: object) -> None:
    if not isfinite(label.score):
        raise GuaranteeError(f"the score of decision {label.seq} is {label.score}, not a finite number",
                             hint=LACKING["score"])  # fmt: skip
    if wrong not in (0, 1):
        raise GuaranteeError(f"wrong of decision {label.seq} is {wrong!r}; it must be 0 or 1",
                             hint="A decision that nobody answered in time counts as wrong.")  # fmt: skip
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


# How many more labels a certificate needs, as far as anybody can know.


LOST = -50.0  # the log of a wealth that one error takes whole


def labels_needed(of: Certificate) -> int | None:
    """About how many more labels the next region needs if they go on as they have; None if it never gets there."""
    if not of.begun:
        return of.pilot - len(of._piloted) + _to_begin(of)
    if of._next < 0:
        return None
    seen, wrong = sum(of.weights[of._next :]), sum(of.wrongs[of._next :])
    if not seen and not of.steps:
        return _to_begin(of)
    risk = (wrong + of.max_error / 4) / (seen + 1.0)
    gain = max(_gain(of, fraction, risk) for fraction in of._fractions)
    if gain <= 0.0:
        return None
    share = of.share_from(of._next) or of.start or START
    return max(1, round((of._target - wealth_of(of._sums)) / gain / max(share, 1e-9)))


def one_by_one(of: Certificate) -> int:
    """How many labels of the first region it takes without a single error, one by one."""
    move, most = of._move(0, 1.0, 1.0), 1
    while wealth_of([most * one for one in move]) < of._target:
        most *= 2
    return 1 + bisect_left(range(1, most), of._target, key=lambda n: wealth_of([n * one for one in move]))


def at_once(of: Certificate) -> int:
    """How many labels without a single error one exact test takes."""
    return binomial.needed(of.max_error * (1.0 - of.miss_rate), 1.0 - of._one_test)


def wealth_of(sums: Sequence[float]) -> float:
    """The log of the sum of the wealths, of which each fraction has an equal part."""
    most = max(sums)
    return most + log(sum(exp(one - most) for one in sums))


def _to_begin(of: Certificate) -> int:
    """Labels of every region until so many lie in the first, or until the launch tests them all at once."""
    share = of.start or START
    singly = one_by_one(of) / share
    return round(min(singly, max(of.launch, at_once(of) / share)) if of.launch else singly)


def _gain(of: Certificate, fraction: float, risk: float) -> float:
    """The mean growth of log wealth a label, at this risk."""
    up, down = log1p(fraction * of.max_error), 1.0 - fraction * (of._flag - of.max_error)
    return (1.0 - risk) * up + risk * (log(down) if down > 0 else LOST)


# How a certificate spends its delta: on the exact test of a launch, on evidence, and on beginning again.
#
# The parts add up to delta, so that the promise holds for all of them together, however often a certificate begins
# again with another first region (a union bound; alpha spending, Lan and DeMets 1983).


LAUNCH = 0.25  # of delta is for the one exact test of a launch; the first try has it for evidence where there is none
AGAIN = 0.2  # of delta is kept for beginning again: half of it for the first time, and half of what is left then


def on_launch(delta: float, launch: int) -> float:
    """What the exact test of a launch may spend."""
    return delta * LAUNCH if launch else 0.0


def on_evidence(delta: float, launch: int, again: int) -> float:
    """What the test martingales may spend, of a certificate that has begun again so often."""
    if again < 0 or (again and launch):
        raise GuaranteeError(f"again is {again}; it must be at least 0, and 0 where there is a launch")
    return delta * AGAIN / 2.0**again if again else delta * (1.0 - AGAIN) - on_launch(delta, launch)


def on_one_test(delta: float, launch: int, again: int = 0) -> float:
    """What the test that can open first may spend: that of the launch, where there is one."""
    return on_launch(delta, launch) or on_evidence(delta, launch, again)


# What a promise and a label may be made of: anything else is refused by name, before it changes a thing.
#
# A number that is none (NaN, a text, nothing) would pass comparisons in silence and open autopilot on no evidence.


def promise(max_error: Any, confidence: Any) -> None:
    """Refuse a promise that no data carry, or that says nothing."""
    for name, value in (("max_error", max_error), ("confidence", confidence)):
        share(name, value, hint=HINTS[name])
        if (said := beyond(name, value)) is not None:
            raise GuaranteeError(f"{name} is {value!r}: {said}", hint=HINTS[name])


def share(name: str, value: Any, *, zero: bool = False, one: bool = False, hint: str | None = None) -> None:
    """Refuse what is no number between 0 and 1; `zero` and `one` say whether these two count."""
    inside = real(value) and (0.0 < value < 1.0 or (zero and value == 0.0) or (one and value == 1.0))
    if not inside:
        bounds = f"{'at least' if zero else 'above'} 0 and {'at most' if one else 'below'} 1"
        raise GuaranteeError(f"{name} is {value!r:.80}; it must be a number, {bounds}", hint=hint)


def whole(name: str, value: Any, least: int) -> None:
    """Refuse what is no whole number from `least` on."""
    if not _counts(value) or value < least:
        raise GuaranteeError(f"{name} is {value!r:.80}; it must be a whole number from {least} on")


def binned(edges: Any, first: Any) -> None:
    """Refuse edges of bins that are no rising scores, and a first bin that is none of theirs."""
    if isinstance(edges, str) or not isinstance(edges, Iterable) or not rising(list(edges)):
        raise GuaranteeError("edges are the lower scores of bins 1, 2, …: numbers, each above the one before")
    if first is not None:
        whole("first", first, 0)
        if first > len(list(edges)):
            raise GuaranteeError(f"first is {first}, and there are {len(list(edges)) + 1} bins, counted from 0")


def rising(edges: Sequence[Any]) -> bool:
    """Whether these are numbers, each above the one before."""
    return all(real(edge) for edge in edges) and all(low < high for low, high in pairwise(edges))


def real(value: Any) -> bool:
    """Whether this is a finite number."""
    return not isinstance(value, bool) and isinstance(value, Real) and isfinite(value)


def _counts(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Integral)


def said(seq: Any, **parts: Any) -> None:
    """Refuse a label that lacks a part."""
    for name, value in parts.items():
        if value is None:
            raise GuaranteeError(f"decision {seq!r:.80} has no {name.replace('_', ' ')}", hint=LACKING[name])


LACKING = {
    "score": "A decision without a score is for a human, and no evidence: leave it out.",
    "wrong": "A decision that nobody answered in time counts as wrong; one that may still be answered waits.",
    "inclusion_probability": (
        "Give the probability with which a human was to see the decision, as it was before the draw: 1 where "
        "everything is reviewed. Without it nobody knows for how many cases the label stands."
    ),
}


def seen(wrong: Any, inclusion: Any, floor: Any) -> None:
    """Refuse what is no review: neither right nor wrong, or of a case that nobody could have reviewed."""
    if wrong not in (0, 1):
        raise GuaranteeError(f"wrong is {wrong!r:.80}; it must be 0 or 1", hint=LACKING["wrong"])
    share("the inclusion probability", inclusion, one=True, hint=LACKING["inclusion_probability"])
    if floor is not None and not (real(floor) and 0.0 < floor <= inclusion):
        raise GuaranteeError(
            f"floor is {floor!r:.80}; it must lie above 0, at most at the inclusion probability {inclusion!r}"
        )


def check_watermark(value: Any) -> None:
    """Refuse what is no place in the order of decisions."""
    if value is not None and not _counts(value):
        raise GuaranteeError(f"the watermark is {value!r:.80}; it must be the number of a decision, or None for all")


# What was stored of a certificate, monitor or bound: a damaged dict is one clear error, and opens nothing.


ANEW = "Begin a new one and count the labels again: `loop.evidence()` gives those of a loop. Nothing else has changed."
WRONG_KIND = (TypeError, ValueError, IndexError, AttributeError, ArithmeticError)


@contextmanager
def read(what: str) -> Iterator[None]:
    """One clear error for whatever a damaged dict brings about."""
    try:
        yield
    except KeyError as error:
        raise GuaranteeError(f"this is no stored {what}: {error.args[0]!r} is missing", hint=ANEW) from error
    except GuaranteeError as error:
        raise GuaranteeError(f"this is no stored {what}: {error.message}", hint=ANEW) from error
    except WRONG_KIND as error:
        raise GuaranteeError(f"this is no stored {what}: {error}", hint=ANEW) from error


def numbers(name: str, values: Any, count: int, *, least: float | None = None) -> None:
    """Refuse a list of another length, or one that holds anything but finite numbers."""
    fine = isinstance(values, list) and len(values) == count and all(real(value) for value in values)
    if not fine or (least is not None and any(value < least for value in values)):
        raise GuaranteeError(f"{name.strip('_')} must be a list of {count} finite numbers")


def check(made: Any, label: Callable[..., object]) -> None:
    """Refuse a state that no certificate can be in; `label` refuses what is no label."""
    whole("seq", made.seq, -1)
    whole("labels", made.labels, 0)
    whole("errors", made.errors, 0)
    share("least", made._least, one=True)
    for one in (*made._waiting, *made._piloted):
        label(*one)
    seqs = [one.seq for one in made._waiting]
    if seqs != sorted({*seqs}) or (seqs and seqs[0] <= made.seq):
        raise GuaranteeError("labels wait that are counted already, or twice")
    if type(made.begun) is not bool or type(made._launching) is not bool:
        raise GuaranteeError("begun and launching must be true or false")
    if made.begun:
        _check_bins(made)
    elif made.steps or made.labels:
        raise GuaranteeError("it has counted labels before it has bins")


def _check_bins(made: Any) -> None:
    """Bins, and what was counted in each."""
    binned(made.edges, made.first)
    count, bets = len(made.edges) + 1, len(made._fractions)
    for name in ("weights", "wrongs", "_tally", "_missed"):
        numbers(name, getattr(made, name), count, least=0)
    numbers("sums", made._sums, bets)
    if len(made._logs) != count:
        raise GuaranteeError(f"logs must be a list of {count} lists")
    for own in made._logs:
        numbers("logs", own, bets)
    _check_steps(made, count)


def _check_steps(made: Any, count: int) -> None:
    """Steps lead from high bins to low ones, each to the threshold of its bin."""
    whole("next", made._next, -1)
    places = [count, *(step.bin for step in made.steps)]
    if any(low >= high for high, low in pairwise(places)) or made._next >= places[-1]:
        raise GuaranteeError("its steps do not lead from high bins to low ones")
    for step in made.steps:
        whole("the bin of a step", step.bin, 0)
        if step.threshold != made.score_of(step.bin) or not -1 <= step.seq <= made.seq:
            raise GuaranteeError(f"the step to bin {step.bin} names another threshold or place than its own")
