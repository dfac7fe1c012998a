"""Cases that belong together are one bet: fair by enumeration, valid on bursts, and as before where each is alone."""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Iterator
from itertools import product
from math import exp, log
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualcontrol.errors import GuaranteeError
from dualcontrol.guarantee.bound import RunningBound
from dualcontrol.guarantee.certificate import Certificate
from dualcontrol.guarantee.monitor import Monitor

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


@settings(max_examples=80, deadline=None)
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


@pytest.mark.parametrize("wrong", [(0, 1), (2, 3)])
def test_nothing_is_certified_in_the_middle_of_a_cluster(wrong: tuple[int, ...]) -> None:
    """The right cases of a burst would do; the others of it, which count with them, are wrong."""
    size = 4
    certificate = Certificate(0.2, edges=[], largest=size)
    first = 0
    while certificate.evidence()["log_wealth"] < certificate.evidence()["log_wealth_needed"] - 0.04:
        certificate.observe(score=0.9, wrong=0, inclusion=1.0, seq=first, cluster=first)
        certificate.tick()
        first += 100
    right = copied(certificate)
    for n in range(size):
        certificate.observe(score=0.9, wrong=n in wrong, inclusion=1.0, seq=first + n, cluster=first)
        if n not in wrong:
            right.observe(score=0.9, wrong=0, inclusion=1.0, seq=first + n, cluster=first)
    assert len(right.tick()) == 1
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


# the monitor and the running bound


@settings(max_examples=80, deadline=None)
@given(data=st.data(), max_error=st.sampled_from([0.05, 0.3]), largest=st.integers(1, 4))
def test_the_monitor_gains_nothing_at_the_bound_however_size_and_wrongness_go_together(
    data: st.DataObject, max_error: float, largest: int
) -> None:
    """Bet by bet: the mean over every cluster and draw is what it was, where it was above one."""
    monitor = Monitor(max_error, alarm_at=1e12, largest=largest)
    monitor.observe(wrong=1, inclusion=0.02, floor=0.02)
    inclusions = data.draw(st.lists(st.sampled_from(STEPS), min_size=BINS, max_size=BINS))
    floor, before = min(inclusions), [max(1.0, exp(one)) for one in monitor.to_dict()["logs"]]
    mean = [0.0] * len(before)
    for kind in data.draw(nulls(max_error, largest, 0)):
        for chance, cases in seen(kind, inclusions):
            later = Monitor.from_dict(json.loads(json.dumps(monitor.to_dict())))
            if cases:
                later.observe_together([(wrong, inclusions[place]) for place, wrong in cases], floor=floor)
            gained = [exp(one) for one in later.to_dict()["logs"]] if cases else before
            mean = [sum_ + chance * one for sum_, one in zip(mean, gained, strict=True)]
    assert mean == pytest.approx(before, rel=1e-9)


def test_the_monitor_takes_a_burst_that_is_wrong_for_one_event() -> None:
    """By hand: one bet on the mean excess of twenty errors, where twenty single labels would be an alarm."""
    together, single = Monitor(0.05, largest=BURST, floor=1.0), Monitor(0.05, floor=1.0)
    assert not together.observe_together([(1, 1.0)] * BURST)
    assert any(single.observe(wrong=1, inclusion=1.0) for _ in range(BURST))
    fractions = [0.02 * 40.0 ** (j / 7) for j in range(8)]
    assert together.value == pytest.approx(sum(1.0 + fraction * 0.95 for fraction in fractions) / 8)
    assert together.labels == BURST


def uncovered(largest: int, runs: int) -> float:
    """The share of streams whose running bound was ever below the mean error so far: bursts of twenty, 5 % wrong."""
    missed = 0
    for seed in range(runs):
        noise, bound = random.Random(seed), RunningBound(0.8, floor=0.5, largest=largest)
        for _ in range(300):
            wrong = noise.random() < 0.05
            audited = sum(noise.random() < 0.5 for _ in range(BURST))
            if largest == 1:
                for _ in range(audited):
                    bound.observe(wrong=wrong, inclusion=0.5)
            elif audited:
                bound.observe_together([(int(wrong), 0.5)] * audited)
            bound.skip(BURST - audited)
            if bound.upper < 0.05:
                missed += 1
                break
    return missed / runs


def test_the_running_bound_holds_where_errors_come_in_bursts() -> None:
    """At a confidence of 80 %: label by label it is below the truth in most streams, cluster by cluster in few."""
    assert uncovered(1, 40) > 0.4
    assert uncovered(BURST, 40) <= 0.2


@pytest.mark.parametrize("kind", [Monitor, RunningBound])
def test_more_labels_than_a_cluster_may_have_are_refused(kind: type[Monitor] | type[RunningBound]) -> None:
    one = kind(0.05, largest=2)
    with pytest.raises(GuaranteeError, match="3 labels are one cluster, of which 2 were declared"):
        one.observe_together([(0, 1.0)] * 3)
    one.observe_together([(1, 1.0), (0, 1.0)])
    assert kind.from_dict(json.loads(json.dumps(one.to_dict()))).to_dict() == one.to_dict()


# bursts, as the benchmark draws them


@pytest.mark.slow
def test_bursts_violate_label_by_label_and_not_cluster_by_cluster(bursts: Any) -> None:
    """Eight streams each of 10,000 cases whose true error is above the bound, sizes 2 to 50, larger when wrong too."""
    for name in ("twenty, 8 % wrong", "2 to 50, 5.5 % wrong", "1 to 3, and 2 to 50 when wrong"):
        kind = bursts.STREAMS[name]
        single = [bursts.opened(kind, None, 10_000, seed) for seed in range(8)]
        assert sum(at is not None for at in single) >= 3, name
        together = [bursts.opened(kind, 50, 10_000, seed) for seed in range(8)]
        assert together.count(None) >= 7, name


def test_the_benchmark_draws_what_it_says(bursts: Any) -> None:
    """Sizes and the share of wrong cases, counted in what was drawn."""
    kind = bursts.STREAMS["1 to 3, and 2 to 50 when wrong"]
    drawn = list(bursts.bursts(kind, 400_000, np.random.default_rng(1)))
    sizes = {wrong: {size for _, w, size in drawn if w == wrong} for wrong in (0, 1)}
    assert (sizes[0], min(sizes[1]), max(sizes[1])) == ({1, 2, 3}, 2, 50)
    error = sum(size for _, wrong, size in drawn if wrong) / sum(size for _, _, size in drawn)
    assert error == pytest.approx(0.055, abs=0.005)
    assert kind.error() == pytest.approx(0.055)


@pytest.fixture(scope="module")
def bursts() -> Any:
    """The benchmark's own module; they lie beside each other and import each other by plain name."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
    try:
        import bursts
    finally:
        sys.path.pop(0)
    return bursts


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
    state = certificate.to_dict()
    state["given"] = {name: value for name, value in state["given"].items() if name not in SINCE}
    stored = json.dumps(state, sort_keys=True)
    assert [(step.seq, step.bin, step.by) for step in certificate.steps] == STEPS_BEFORE
    assert hashlib.sha256(stored.encode()).hexdigest() == STATE_BEFORE


SINCE = ("warm", "warm_share", "spent")  # parameters that came later, each as if it were not there
STEPS_BEFORE = [(774, 16, "evidence"), (774, 15, "evidence"), (774, 14, "evidence"), (799, 2, "launch")]
STATE_BEFORE = "67bf78e32f6e604d1b3e11119073c2d2df4697ec8b909c38a9a4be84fd63a0e6"
