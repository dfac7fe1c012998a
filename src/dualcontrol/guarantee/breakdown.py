"""Breakdown: how often autopilot is wrong in each class and group, where the promise is for all of them together.

A bound that holds on the whole can be far exceeded in one part of it.  For each part the labels of autopilot cases
that the certificate has counted, weighted by one over their inclusion probability (Horvitz and Thompson 1952), give
an estimate and an interval: the errors that a betting martingale does not refuse by now (Waudby-Smith and Ramdas 2024),
so that it holds at every look (Ville 1939), while the part's error stays as it is.  The chance that any interval is
wrong is shared over tables, parts and both ends (Bonferroni), so that all hold at once.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from math import log
from typing import NamedTuple

import numpy as np

from dualcontrol.case import Value
from dualcontrol.control import CLASS, Control
from dualcontrol.errors import ReadOnlyError
from dualcontrol.events import Entry, EpochBegan, EvidenceCounted
from dualcontrol.guarantee.evidence import together
from dualcontrol.guarantee.offline import BETS, CAP, Floats, share
from dualcontrol.labels import label_name
from dualcontrol.segments import at, class_name
from dualcontrol.store import Queries, Store

HALVINGS = 20
OWN = 50  # parts with a line of their own, where they were not declared: in the order in which they came
OTHERS = "all others"
UNKNOWN = "not known any more"  # what was erased
SEGMENT = "segment"


class Part(Value, frozen=True, kw_only=True, omit_defaults=False):
    """One class or group: how often autopilot is wrong in it, by so many `labels`, and between which bounds.

    `share` is its share of what autopilot does; `exceeds` says that even the lower bound is above the promised error.
    """

    name: str
    labels: int
    wrong: int
    share: float
    estimate: float | None
    low: float
    high: float
    exceeds: bool


class Breakdown(Value, frozen=True, kw_only=True, omit_defaults=False):
    """The parts by one field, the worst first; `by` is "class", "segment" or a field of meta.

    `each` says that every part has a certificate of its own, so that the bound is promised for each.
    """

    by: str
    each: bool
    max_error: float
    confidence: float
    parts: tuple[Part, ...]

    @property
    def exceeding(self) -> tuple[Part, ...]:
        """The parts that are wrong more often than promised, whatever the rest of the chance."""
        return tuple(part for part in self.parts if part.exceeds)


class Audit(NamedTuple):
    """The label of one autopilot case: its position and its cluster's, with the least inclusion of then."""

    pos: int
    cluster: int
    wrong: int
    inclusion: float
    floor: float


class Breakdowns:
    """The breakdowns of loops, kept between looks: each reads what is new; thread-safe."""

    def __init__(self, store: Store) -> None:
        self._queries: Queries = store.queries
        self._feed = store.feed
        self._lock = threading.Lock()
        self._loops: dict[int, Audits] = {}
        self._parts: dict[tuple[int, int, str], Mapping[str, str]] = {}

    def of(self, control: Control) -> list[Breakdown]:
        """The breakdowns of a loop by now; none without a guarantee."""
        guarantee = control.settings.guarantee
        if guarantee is None:
            return []
        with self._lock:
            audits = self._loops.setdefault(control.loop_id, Audits())
            stream = f"loop/{control.loop_id}"
            audits.fold(self._queries.entries(stream, after=audits.seq, values=False))
            named = [(audit, self._names(control, audit.pos)) for audit in audits.current(control)]
        tables = fields(control)
        alone = (1.0 - guarantee.confidence) / max(len(tables), 1)  # free responses without segments have no table
        return [
            Breakdown(
                by=by, each=by in (guarantee.per, SEGMENT), max_error=guarantee.max_error,
                confidence=guarantee.confidence,
                parts=parted([(a, names[by]) for a, names in named], declared(control, by), control, alone),
            )
            for by in tables
        ]  # fmt: skip

    def _names(self, control: Control, pos: int) -> Mapping[str, str]:
        """What the case that was opened at a position counts under, by field."""
        tables = fields(control)
        key = control.loop_id, pos, "\0".join(tables)
        if key not in self._parts:
            entries = self._feed(pos - 1, 1, control.loop)
            try:
                case = self._queries.case(entries[0].stream.removeprefix("case/")) if entries else None
            except ReadOnlyError:  # a newer version wrote it
                case = None
            names: dict[str, str | None] = dict.fromkeys(tables)
            if case is not None and not case.erased:
                proposal = case.proposal
                value, action = (proposal.value, proposal.action) if proposal else (None, None)
                names = {by: at(case.meta, by) or "none" for by in tables if by not in (CLASS, SEGMENT)}
                names |= {CLASS: class_name(control.settings, action, value)}
            if case is not None:
                names |= {SEGMENT: case.segment}
            self._parts[key] = {by: names.get(by) or UNKNOWN for by in tables}
        return self._parts[key]


class Audits:
    """The labels of autopilot cases in the epoch of each segment, folded from the loop's stream up to entry `seq`."""

    def __init__(self) -> None:
        self.seq = 0
        self._labels: dict[str, list[Audit]] = {}
        self._epochs: dict[str, int] = {}
        self._least: dict[str, float] = {}
        self._floors: dict[str, float] = {}

    def fold(self, entries: Iterable[Entry]) -> None:
        """Read on in the loop's stream; a new epoch begins with no label.

        One that is carried goes on with those of the one before, and which order of the cases acts changes nothing.
        """
        for entry in entries:
            self.seq = entry.seq
            for event in entry.events:
                if isinstance(event, EpochBegan) and not event.order:
                    name = event.segment
                    if not event.carried:
                        self._labels[name], self._least[name] = [], 1.0
                    self._epochs[name] = event.epoch
                    self._floors[name] = float(json.loads(event.promise).get("floor", 1.0))
                elif isinstance(event, EvidenceCounted) and event.segment in self._labels:
                    self._count(event)

    def _count(self, event: EvidenceCounted) -> None:
        name, stale = event.segment, frozenset(event.stale)
        for cluster, labels in together(event):
            for (pos, _, wrong, chance, autopilot, _), stated in labels:
                if pos in stale:
                    continue
                # as the certificate takes it: one while all is reviewed, else the declared least or a lower one
                inclusion = float(chance)
                least = self._least[name] = min(self._least[name], inclusion)
                floor = min(least, self._floors[name]) if least < 1.0 else 1.0
                if autopilot:
                    floor = min(inclusion, floor if stated is None else float(stated))
                    self._labels[name].append(Audit(pos, cluster, wrong, inclusion, floor))

    def current(self, control: Control) -> list[Audit]:
        """The labels of the epochs that are in force."""
        return [
            audit
            for name, labels in self._labels.items()
            if control.epochs.get(name) == self._epochs[name] for audit in labels
        ]  # fmt: skip


def fields(control: Control) -> tuple[str, ...]:
    """What the error of autopilot is told by: the class that is proposed, the segment, and declared fields of meta."""
    guarantee, settings = control.settings.guarantee, control.settings
    if guarantee is None:
        return ()
    classes = (CLASS,) if settings.mode in ("approval", "labels") or "enum" in (settings.schema or {}) else ()
    segments = (SEGMENT,) if guarantee.segments and guarantee.per is None else ()
    own = (guarantee.per,) if guarantee.per not in (None, CLASS) else ()
    return tuple(dict.fromkeys(field for field in (*classes, *segments, *own, *guarantee.breakdown) if field))


def declared(control: Control, by: str) -> tuple[str, ...]:
    """The parts that are known beforehand, so that each has the same share of the chance; none where nobody knows."""
    guarantee = control.settings.guarantee
    if guarantee is not None and by in (guarantee.per, SEGMENT):
        return guarantee.segments
    return tuple(map(label_name, control.settings.labels or ())) if by == CLASS else ()


def parted(
    named: Sequence[tuple[Audit, str]], known: Sequence[str], control: Control, chance: float
) -> tuple[Part, ...]:  # fmt: skip
    """The parts of labels in their order; `chance` is that of any of their intervals being wrong."""
    guarantee, places = control.settings.guarantee, {name: place for place, name in enumerate(known)}
    if guarantee is None:
        return ()
    rows: defaultdict[str, list[Audit]] = defaultdict(list, {name: [] for name in known})
    for audit, name in named:
        place = places.setdefault(name, len(places))
        rows[name if place < len(known) + OWN else OTHERS].append(audit)
    whole, parts = sum(1.0 / audit.inclusion for audit, _ in named), []
    for name, audits in rows.items():
        own = chance / (len(known) + 1)
        if name not in known:  # these share the part of one more: the first has half of it, number k 1 / k (k + 1)
            k = places.get(name, len(known) + OWN) - len(known) + 1
            own /= k * (k + 1) if k <= OWN else k
        low, high = limits(audits, own / 2, guarantee.largest)
        weight = sum(1.0 / audit.inclusion for audit in audits)
        error = sum(audit.wrong / audit.inclusion for audit in audits) / weight if audits else None
        parts.append(Part(
            name=name, labels=len(audits), wrong=sum(audit.wrong for audit in audits),
            share=round(weight / whole, 6) if whole else 0.0, estimate=None if error is None else round(error, 6),
            low=round(low, 6), high=round(min(1.0, high / (1.0 - guarantee.missed)), 6),
            exceeds=low > guarantee.max_error,
        ))  # fmt: skip
    return tuple(sorted(parts, key=lambda part: (-part.low, -(part.estimate or 0.0), -part.share, part.name)))


def limits(audits: Sequence[Audit], chance: float, largest: int = 1) -> tuple[float, float]:
    """The errors that labels in their order do not refuse, each end wrong with at most this chance, at any time.

    Labels of one cluster are one bet, of at most `largest` cases: see `guarantee.certificate`.
    """
    if not audits:
        return 0.0, 1.0
    clusters = [list(cluster) for _, cluster in groupby(audits, key=lambda audit: audit.cluster)]
    if largest == 1:
        clusters = [[audit] for audit in audits]
    wrong = _each([sum(audit.wrong / audit.inclusion for audit in cluster) for cluster in clusters]) / largest
    cases = _each([sum(1.0 / audit.inclusion for audit in cluster) for cluster in clusters]) / largest
    floors = _each([min(audit.floor for audit in cluster) for cluster in clusters])
    bets, target = np.minimum(BETS[None, :], CAP * floors[:, None]), log(1.0 / chance)

    def end(refused: bool, low: float) -> float:
        """The lowest error that is not refused as too low, or (not `refused`) the lowest that is as too high."""
        high = 1.0
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            # what a bet can lose is small where the error is: by that it may be the larger
            gains = wrong / middle - cases if refused else (middle * cases - wrong) / (1.0 - middle)
            up = (wealth(gains, bets) >= target) is refused
            low, high = (middle, high) if up else (low, middle)
        return low if refused else high

    low = end(True, 0.0)
    return low, end(False, low)


def wealth(gains: Floats, bets: Floats) -> float:
    """The log wealth by now, spread evenly over the bets; not its maximum, since errors may have become others."""
    stakes: Floats = np.log1p(bets * gains[:, None]).sum(axis=0)
    return float(stakes.max() + np.log(np.exp(stakes - stakes.max()).mean()))


def _each(values: list[float]) -> Floats:
    return np.array(values, dtype=float)


def scope(of: Breakdown) -> str:
    """What the bound is promised for."""
    return "for each" if of.each else "for all together"


def warning(breakdown: Breakdown) -> str | None:
    """What to say of parts that exceed the bound; None where none does."""
    worse = breakdown.exceeding
    if not worse:
        return None
    said = "; ".join(
        f"{breakdown.by} {part.name!r:.60} is wrong in {share(part.low)} to {share(part.high)} of what autopilot does "
        f"in it ({part.wrong} of {part.labels} audits)"
        for part in worse[:3]
    )
    more = f"; and {len(worse) - 3} more" if len(worse) > 3 else ""
    return f"{said}{more}, where at most {share(breakdown.max_error)} is promised {scope(breakdown)}"


def mend(control: Control, of: Breakdown) -> str | None:
    """What to do about parts that exceed the bound; None where none does."""
    guarantee = control.settings.guarantee
    if guarantee is None or not of.exceeding:
        return None
    if of.by == guarantee.per or of.by == SEGMENT:
        return (
            "Its own certificate is for a bound that it does not keep now: the monitor closes it when that is certain."
        )
    if of.by == CLASS or of.by.startswith("meta."):
        named = "" if of.by == CLASS and control.settings.labels else ", segments = [the values that may run]"
        own = "each has a certificate of its own, which takes more answers"
        return f'With guarantee = {{ ..., per = "{of.by}"{named} }} {own}.'
    return None
