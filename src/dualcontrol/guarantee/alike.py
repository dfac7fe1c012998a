"""Labels that are alike: whether cases of one run, submitter or field of meta are wrong together, declared or not.

The intra-cluster correlation of errors is estimated by one-way analysis of variance (Donner and Koval 1980), and with
it what labels are worth: their number over the design effect 1 + (m - 1) rho (Kish 1965), with m the mean cluster size
as a case meets it.  It is believed where errors fall on one cluster more often than they would by chance.  Only short
clusters are looked at: what lasts as long as the labels do, such as a country, is a part of the mixture and no burst.
"""

from __future__ import annotations

import hmac
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from math import exp, lgamma, log, log1p
from typing import Any, NamedTuple

from dualcontrol.case import ENCODER, JSON, Case

LATEST = 2_000  # labels that are looked at
FIELDS = 6  # of meta, by name
FEW = 20  # clusters of two and more, below which nothing is said
SHORT = 0.25  # of the labels that a cluster may reach over, by the median
PLAUSIBLE, CERTAIN = 0.01, 1e-6  # chance of such a crowding without any correlation: to show it, to raise an alarm

Marks = dict[str, str]


def marks(secret: bytes, case: Case) -> Marks:
    """Keyed hashes by name of what a case may share with others: run, who submitted it, and the fields of its meta.

    Names are those that ``independent_by`` takes, but for "submitter"; of values only texts and whole numbers.
    """
    shared: dict[str, JSON] = {"run": case.run, "submitter": case.submitter or case.owner}
    meta = case.content.values.get("meta") or {}
    for name in [name for name in sorted(meta) if type(meta[name]) in (str, int)][:FIELDS] if meta else ():
        shared[f"meta.{name}"] = meta[name]
    own: Marks = {}
    for name, value in shared.items():
        if value is not None:
            own[name] = hmac.digest(secret, ENCODER.encode(["alike", case.loop, name, value]), "sha256")[:4].hex()
    return own


def columns(rows: Sequence[Marks]) -> dict[str, tuple[str, ...]]:
    """The marks of several labels by field, "" where a label has none."""
    return {name: tuple([own.get(name, "") for own in rows]) for name in sorted(set().union(*rows))}


class Likeness(NamedTuple):
    """Errors that fall together by a field: how many clusters, their mean size as a case meets it, and `correlation`.

    `effect` is the design effect, by which labels are worth less; `chance` bounds the probability of such a crowding of
    errors where there is no correlation.
    """

    by: str
    clusters: int
    size: float
    correlation: float
    effect: float
    chance: float


NONE = Likeness("", 0, 1.0, 0.0, 1.0, 1.0)


class Alike:
    """The latest labels of an epoch with their marks."""

    def __init__(self, labels: Iterable[tuple[int, Marks]] = ()) -> None:
        self.labels: deque[tuple[int, Marks]] = deque(labels, maxlen=LATEST)

    def take(self, labels: Sequence[Sequence[Any]], shared: Mapping[str, Sequence[str]]) -> None:
        """Count labels as an event has them; `shared` has the marks of each by field, "" where it has none."""
        for place, label in enumerate(labels):
            own: Marks = {}
            for name, column in shared.items():
                if column[place]:
                    own[name] = column[place]
            self.labels.append((label[2], own))

    def worst(self) -> Likeness:
        """The field by which labels are worth least, of those by which errors crowd more than by chance."""
        names = sorted({name for _, own in self.labels for name in own})
        likenesses = (likeness(name, [(wrong, own.get(name)) for wrong, own in self.labels]) for name in names)
        believed = [one for one in likenesses if one.chance <= PLAUSIBLE]
        return max(believed, key=lambda one: one.effect, default=NONE)


def likeness(by: str, labels: Sequence[tuple[int, str | None]]) -> Likeness:
    """What labels (wrong, mark) say of their clusters; a label without a mark is a cluster of its own."""
    sizes: Counter[str] = Counter()
    wrongs: Counter[str] = Counter()
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for place, (wrong, mark) in enumerate(labels):
        key = mark or f"/{place}"
        sizes[key] += 1
        wrongs[key] += wrong
        first.setdefault(key, place)
        last[key] = place
    count, wrong, clusters = len(labels), sum(wrongs.values()), len(sizes)
    several = [key for key, size in sizes.items() if size > 1]
    spans = sorted(last[key] - first[key] for key in several)
    if len(several) < FEW or spans[len(spans) // 2] > SHORT * count or not 0 < wrong < count:
        return NONE
    squares = sum(size * size for size in sizes.values())
    within_means = sum(wrongs[key] ** 2 / size for key, size in sizes.items())
    between = (within_means - wrong**2 / count) / (clusters - 1)
    within = (wrong - within_means) / (count - clusters)
    usual = (count - squares / count) / (clusters - 1)
    whole = between + (usual - 1.0) * within
    correlation = min(1.0, max(0.0, (between - within) / whole)) if whole > 0.0 else 0.0
    size = squares / count
    crowded = wrong - sum(1 for key in sizes if wrongs[key])
    pairs = sum(many * (many - 1) // 2 for many in wrongs.values())
    shapes = Counter(sizes.values())
    chance = 2 * min(crowding(crowded, count, wrong, shapes), pairing(pairs, count, wrong, shapes))
    return Likeness(by, len(several), size, correlation, 1.0 + (size - 1.0) * correlation, min(chance, 1.0))


def crowding(crowded: int, count: int, wrong: int, sizes: Mapping[int, int]) -> float:
    """The probability that so many errors or more have an earlier one in their cluster, where errors fall at random.

    `sizes` are the numbers of clusters by size.  The expectation is exact; the tail is Poisson's, which is above that
    of the number itself, since each error that falls on an earlier one leaves less for the next to fall on.
    """
    empty = 0.0
    for size, many in sizes.items():
        spared = 1.0
        for place in range(size):
            spared *= max(count - wrong - place, 0) / (count - place)
        empty += many * spared
    expected = wrong - (sum(sizes.values()) - empty)
    return tail(crowded, max(expected, 1e-12), 0.0)


def pairing(pairs: int, count: int, wrong: int, sizes: Mapping[int, int]) -> float:
    """The probability of so many pairs of errors within clusters or more, where errors fall at random.

    Expectation and variance are exact, over all ways in which the errors may fall; the tail is the negative binomial's
    with these, which is a sixth of the exact chance at worst where a dozen cases are counted in full.  It tells more
    than `crowding` where clusters are so large that most errors share one in any case.
    """
    within = sum(many * size * (size - 1) / 2 for size, many in sizes.items())
    sharing = sum(many * size * (size - 1) * (size - 2) for size, many in sizes.items())  # ordered pairs of pairs
    two, three, four = (_together(count, wrong, several) for several in (2, 3, 4))
    mean = within * two
    square = within * two + sharing * three + (within * within - within - sharing) * four
    return tail(pairs, max(mean, 1e-12), max(square - mean * mean - mean, 0.0))


def _together(count: int, wrong: int, several: int) -> float:
    """The probability that so many given cases are all wrong."""
    chance = 1.0
    for place in range(several):
        chance *= max(wrong - place, 0) / max(count - place, 1)
    return chance


def tail(least: int, mean: float, excess: float) -> float:
    """The probability that a count is at least this: negative binomial with variance mean + `excess`, or Poisson."""
    if least <= mean:
        return 1.0
    if excess <= 0.0:
        start, more, ratio = least * log(mean) - mean - lgamma(least + 1), 0.0, mean
    else:
        more, ratio = mean * mean / excess, excess / (mean + excess)
        start = lgamma(least + more) - lgamma(more) - lgamma(least + 1) + least * log(ratio) + more * log1p(-ratio)
    term, total, place = exp(start), 0.0, least
    while term > total * 1e-12 + 1e-300:
        total += term
        term *= ratio * (place + more if excess > 0.0 else 1.0) / (place + 1)
        place += 1
    return min(total, 1.0)


def alarming(labels: int, worst: Likeness, least: int, far: float) -> str | None:
    """What there is to say where labels are worth far fewer, beyond chance; None where they are not."""
    if labels < least or worst.effect < far or worst.chance > CERTAIN:
        return None
    declared = f'Give guarantee.independent_by = "{worst.by}"'
    if worst.by == "submitter":
        declared = "Put who submits into a field of meta and name it in guarantee.independent_by"
    return (
        f"{labels:,} labels are worth about {labels / worst.effect:,.0f} independent ones: cases of one "
        f"{worst.by.removeprefix('meta.')} are wrong together (correlation {worst.correlation:.2f} in clusters of "
        f"{worst.size:.1f}). What is certified may not hold. {declared}"
    )
