"""Cases that belong together are one bet: fair by enumeration, valid on bursts, and as before where each is alone."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from itertools import product
from math import exp, log
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualcontrol.errors import GuaranteeError
from dualcontrol.guarantee.certificate import Certificate

EDGES, SCORES = [0.3, 0.6], [0.1, 0.5, 0.9]
BINS = len(SCORES)
STEPS = (0.02, 0.05, 0.1, 0.35, 0.9, 1.0)
BURST = 20


class Kind(NamedTuple):
    """A kind of cluster: how likely it is, and bin and wrongness of each case."""

    chance: float
    cases: tuple[tuple[int, int], ...]


@st.composite
def nulls(draw: st.DrawFn, max_error: float, largest: int, region: int) -> list[Kind]:
    """Clusters of any sizes of which exactly the share `max_error` of cases in the region is wrong.

    Size, bins and wrongness go together in any way: that is what a bet must be fair against.
    """
    case = st.tuples(st.integers(0, BINS - 1), st.integers(0, 1))
    kinds = [
        (draw(st.integers(1, 50)), tuple(draw(st.lists(case, min_size=1, max_size=largest))))
        for _ in range(draw(st.integers(1, 4)))
    ]
    inside = sum(weight * sum(place >= region for place, _ in cases) for weight, cases in kinds)
    wrong = sum(weight * sum(w for place, w in cases if place >= region) for weight, cases in kinds)
    # what is lacking comes as clusters that are all wrong, or all right, as large as they may be
    filling = (max_error * inside - wrong) / (largest * (1.0 - max_error))
    if filling >= 0.0:
        kinds.append((filling, ((BINS - 1, 1),) * largest))
    else:
        kinds.append(((wrong / max_error - inside) / largest, ((BINS - 1, 0),) * largest))
    whole = sum(weight for weight, _ in kinds)
    return [Kind(weight / whole, cases) for weight, cases in kinds]


def seen(kind: Kind, inclusions: list[float]) -> Iterator[tuple[float, list[tuple[int, int]]]]:
    """Which cases of a cluster people see, and how likely that is."""
    for draws in product((False, True), repeat=len(kind.cases)):
        chance = kind.chance
        for (place, _), drawn in zip(kind.cases, draws, strict=True):
            chance *= inclusions[place] if drawn else 1.0 - inclusions[place]
        if chance:
            yield chance, [case for case, drawn in zip(kind.cases, draws, strict=True) if drawn]


def copied(certificate: Certificate) -> Certificate:
    return Certificate.from_dict(json.loads(json.dumps(certificate.to_dict())))


def wealth(certificate: Certificate) -> float:
    return exp(certificate.evidence()["log_wealth"])


def after(
    certificate: Certificate, cases: list[tuple[int, int]], inclusions: list[float], floor: float | None = None
) -> Certificate:  # fmt: skip
    """The certificate after one more cluster, of which people saw these cases."""
    first, later = certificate.seq + 1, copied(certificate)
    for n, (place, wrong) in enumerate(cases):
        later.observe(
            score=SCORES[place], wrong=wrong, inclusion=inclusions[place], seq=first + n, cluster=first, floor=floor
        )
    later.tick()
    later.seq = first + 9
    return later


def unreachable(max_error: float, largest: int, region: int) -> Certificate:
    """A certificate that never certifies, so that the region under test stays the same."""
    return Certificate(max_error, 1.0 - 1e-15, edges=EDGES, first=region, largest=largest)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), max_error=st.sampled_from([0.01, 0.05, 0.3]), largest=st.integers(1, 4),
       region=st.integers(0, BINS - 1))  # fmt: skip
def test_a_bet_on_a_cluster_is_fair_at_the_bound_however_size_and_wrongness_go_together(
    data: st.DataObject, max_error: float, largest: int, region: int
) -> None:
    """Every cluster and every draw, after anything: the mean of the wealth is what it was, no more and no less."""
    certificate = unreachable(max_error, largest, region)
    inclusions = data.draw(st.lists(st.sampled_from(STEPS), min_size=BINS, max_size=BINS))
    floor = min(inclusions) / data.draw(st.sampled_from([1, 3]))
    case = st.tuples(st.integers(0, BINS - 1), st.integers(0, 1))
    for cases in data.draw(st.lists(st.lists(case, min_size=1, max_size=largest), max_size=3)):
        certificate = after(certificate, cases, inclusions, floor)
    kinds, before = data.draw(nulls(max_error, largest, region)), wealth(certificate)
    mean = sum(
        chance * (wealth(after(certificate, cases, inclusions, floor)) if cases else before)
        for kind in kinds
        for chance, cases in seen(kind, inclusions)
    )
    assert mean == pytest.approx(before, rel=1e-9)


@pytest.mark.parametrize("largest", [1, 2, 20])
def test_wealth_stays_above_zero_when_all_of_a_cluster_is_wrong_at_the_floor(largest: int) -> None:
    certificate = Certificate(0.05, edges=[], largest=largest, floor=0.02)
    for n in range(largest):
        certificate.observe(score=0.9, wrong=1, inclusion=0.02, seq=n, cluster=0, floor=0.02)
    certificate.tick()
    assert certificate.evidence()["log_wealth"] > log(0.1 - 1e-9)


def test_the_sums_of_every_region_are_one_bet_on_the_whole_cluster() -> None:
    """By hand: mean over the fractions of the products of 1 + lambda S / M, for the region after the first step too."""
    fractions = [0.01 * 90.0 ** (j / 7) / 0.9 for j in range(8)]
    clusters = [[(2, 0), (0, 1), (2, 0)], [(2, 0)] * 3, [(1, 1), (2, 0)], [(0, 0), (1, 0), (2, 1)], [(2, 0)] * 3]
    certificate = Certificate(0.1, 0.2, edges=EDGES, first=2, largest=3)
    for n, cases in enumerate(clusters * 6):
        for m, (place, wrong) in enumerate(cases):
            certificate.observe(score=SCORES[place], wrong=wrong, inclusion=1.0, seq=10 * n + m, cluster=10 * n)
    assert [step.bin for step in certificate.tick()] == []
    for region in (2, 1, 0):
        sums = [sum(0.1 - wrong for place, wrong in cases if place >= region) for cases in clusters * 6]
        by_hand = 0.0
        for fraction in fractions:
            whole = 1.0
            for total in sums:
                whole *= 1.0 + fraction * total / 3
            by_hand += whole / 8
        certificate._next = region
        certificate._sums = [sum(logs[j] for logs in certificate._logs[region:]) for j in range(8)]
        assert wealth(certificate) == pytest.approx(by_hand, rel=1e-9)


def test_nothing_is_certified_in_the_middle_of_a_cluster() -> None:
    """Nineteen right cases of a burst would do; its last one is wrong, and so are the rest that count with it."""
    certificate = Certificate(0.05, edges=[], largest=BURST)
    first = 0
    while certificate.evidence()["log_wealth"] < certificate.evidence()["log_wealth_needed"] - 0.03:
        certificate.observe(score=0.9, wrong=0, inclusion=1.0, seq=first, cluster=first)
        certificate.tick()
        first += 100
    for n in range(BURST):
        certificate.observe(score=0.9, wrong=n >= BURST - 2, inclusion=1.0, seq=first + n, cluster=first)
    assert certificate.tick() == []
    assert certificate.threshold is None


def test_a_cluster_counts_at_the_place_of_its_first_decision() -> None:
    """Whatever was opened earlier counts before it, and the watermark is that of the openings."""
    certificate = Certificate(0.05, edges=[], largest=3)
    for seq, cluster in ((1, 1), (2, 2), (5, 2), (3, 3), (9, 1)):
        certificate.observe(score=0.9, wrong=0, inclusion=1.0, seq=seq, cluster=cluster)
    certificate.tick(1)
    assert (certificate.labels, certificate.seq) == (2, 1)
    certificate.tick(2)
    assert (certificate.labels, certificate.seq) == (4, 2)
    with pytest.raises(GuaranteeError, match="is not after 2"):
        certificate.observe(score=0.9, wrong=0, inclusion=1.0, seq=10, cluster=2)
    again = copied(certificate)
    for one in (certificate, again):
        one.observe(score=0.9, wrong=1, inclusion=1.0, seq=11, cluster=3)
        one.tick()
    assert again.to_dict() == certificate.to_dict()
    assert certificate.labels == 6


def test_what_cannot_be_a_cluster_is_refused() -> None:
    certificate = Certificate(0.05, edges=[], largest=2)
    for seq in (4, 5):
        certificate.observe(score=0.9, wrong=0, inclusion=1.0, seq=seq, cluster=4)
    with pytest.raises(GuaranteeError, match="one more of its cluster than the 2 that were declared"):
        certificate.observe(score=0.9, wrong=0, inclusion=1.0, seq=6, cluster=4)
    with pytest.raises(GuaranteeError, match="comes before 9, the first of its cluster"):
        certificate.observe(score=0.9, wrong=0, inclusion=1.0, seq=8, cluster=9)
    with pytest.raises(GuaranteeError, match="largest is 0"):
        Certificate(0.05, largest=0)
    with pytest.raises(GuaranteeError, match="takes labels to be independent"):
        Certificate(0.05, largest=2, launch=100)


# as before, where every case stands by itself


def test_without_clusters_it_is_the_certificate_that_it_was_bit_for_bit() -> None:
    """Golden: steps and stored state of three thousand labels, as the version before clusters computed them."""
    noise = random.Random(12)
    certificate = Certificate(0.05, bins=20, launch=600, floor=0.02, miss_rate=0.1)
    for seq in range(3_000):
        score, inclusion = noise.random(), noise.choice([1.0, 1.0, 0.3, 0.02]) if seq > 1_000 else 1.0
        certificate.observe(score=score, wrong=noise.random() < 0.06 * (1 - score), inclusion=inclusion, seq=seq)
        if seq % 7 == 0:
            certificate.tick(seq - 3)
    stored = json.dumps(certificate.to_dict(), sort_keys=True)
    assert [(step.seq, step.bin, step.by) for step in certificate.steps] == STEPS_BEFORE
    assert hashlib.sha256(stored.encode()).hexdigest() == STATE_BEFORE


STEPS_BEFORE = [(774, 16, "evidence"), (774, 15, "evidence"), (774, 14, "evidence"), (799, 2, "launch")]
STATE_BEFORE = "67bf78e32f6e604d1b3e11119073c2d2df4697ec8b909c38a9a4be84fd63a0e6"
