"""The bets of certificate and monitor are fair: exact enumeration of bin, draw and label, whatever the audits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from math import exp
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualcontrol.guarantee.certificate import Certificate
from dualcontrol.guarantee.monitor import Monitor

BINS = 4
EDGES = [0.25, 0.5, 0.75]
SCORES = [0.1, 0.3, 0.6, 0.9]
STEPS = (1e-6, 0.01, 0.02, 0.05, 0.1, 0.35, 0.5, 0.9, 1.0)
EXACT = 1.0 + 1e-12


class World(NamedTuple):
    """Shares of the bins, their errors, and what share of its errors a reviewer lets pass in each."""

    masses: list[float]
    risks: list[float]
    missed: list[float]


class Outcome(NamedTuple):
    """What can happen to one decision, and how likely it is; `wrong` is None where nobody looked."""

    chance: float
    place: int
    wrong: int | None


def outcomes(world: World, inclusions: list[float]) -> Iterator[Outcome]:
    """Every bin, draw and label."""
    for place, mass in enumerate(world.masses):
        shown = world.risks[place] * (1.0 - world.missed[place])
        yield Outcome(mass * (1.0 - inclusions[place]), place, None)
        yield Outcome(mass * inclusions[place] * shown, place, 1)
        yield Outcome(mass * inclusions[place] * (1.0 - shown), place, 0)


@st.composite
def nulls(draw: st.DrawFn, max_error: float, miss_rate: float = 0.0, region: int = 0) -> World:
    """A world in which the region errs `max_error` or a little more; its bins may err less and more."""
    counts = draw(st.lists(st.integers(1, 50), min_size=BINS, max_size=BINS))
    masses = [count / sum(counts) for count in counts]
    risks = draw(st.lists(st.floats(0.0, 1.0), min_size=BINS, max_size=BINS))
    whole = sum(masses[region:])
    mean = sum(m * r for m, r in zip(masses[region:], risks[region:], strict=True)) / whole
    if mean < max_error:  # towards 1, just as far as the mean needs; above it the null is true anyway
        far = (max_error - mean) / (1.0 - mean)
        risks = [r + far * (1.0 - r) for r in risks]
    elif draw(st.booleans()):  # the boundary, where a bet is fairest
        risks = [r * max_error / mean for r in risks]
    missed = draw(st.lists(st.floats(0.0, miss_rate), min_size=BINS, max_size=BINS))
    return World(masses, risks, missed)


def schedules(least: float = 0.0) -> st.SearchStrategy[list[float]]:
    """Audit probabilities of the bins."""
    return st.lists(st.sampled_from([p for p in STEPS if p >= least]), min_size=BINS, max_size=BINS)


def copied(certificate: Certificate) -> Certificate:
    return Certificate.from_dict(json.loads(json.dumps(certificate.to_dict())))


def wealth(certificate: Certificate) -> float:
    """The wealth of the region that is tested next."""
    return exp(certificate.evidence()["log_wealth"])


def after(
    certificate: Certificate, outcome: Outcome, inclusions: list[float], floor: float | None
) -> Certificate:  # fmt: skip
    """The certificate after one more decision."""
    seq, found = certificate.seq + 1, copied(certificate)
    if outcome.wrong is not None:
        found.observe(
            score=SCORES[outcome.place], wrong=outcome.wrong, inclusion=inclusions[outcome.place], seq=seq, floor=floor
        )
    found.tick(seq)
    return found


def unreachable(max_error: float, region: int, miss_rate: float = 0.0, floor: float = 0.05) -> Certificate:
    """A certificate that never certifies, so that the region under test stays the same."""
    start = (BINS - region) / BINS
    made = Certificate(max_error, 1.0 - 1e-15, edges=EDGES, start=start, miss_rate=miss_rate, floor=floor)
    assert made.evidence()["next_threshold"] == made.score_of(region)
    return made


@settings(max_examples=150, deadline=None)
@given(data=st.data(), max_error=st.sampled_from([0.001, 0.01, 0.05, 0.3, 0.9]), region=st.integers(0, BINS - 1),
       miss_rate=st.sampled_from([0.0, 0.2, 0.6]))  # fmt: skip
def test_the_expected_factor_is_at_most_one_at_every_null(
    data: st.DataObject, max_error: float, region: int, miss_rate: float
) -> None:
    """Whatever has been seen before, and whatever the audit probabilities and the declared floor are now."""
    certificate = unreachable(max_error, region, miss_rate)
    for place, wrong, inclusion in data.draw(
        st.lists(st.tuples(st.integers(0, BINS - 1), st.integers(0, 1), st.sampled_from(STEPS)), max_size=6)
    ):
        now = certificate.seq + 1
        certificate.observe(score=SCORES[place], wrong=wrong, inclusion=inclusion, seq=now, floor=inclusion / 2)
        certificate.tick()
    inclusions = data.draw(schedules())
    floor = data.draw(st.sampled_from([min(inclusions), min(inclusions) / 3]))
    world = data.draw(nulls(max_error, miss_rate, region))
    before = wealth(certificate)
    found = sum(one.chance * wealth(after(certificate, one, inclusions, floor)) for one in outcomes(world, inclusions))
    assert found <= before * EXACT


def tree(certificate: Certificate, world: World, schedule: Callable[[Certificate], list[float]], depth: int,
         floor: Callable[[list[float]], float | None]) -> float:  # fmt: skip
    """The expected wealth after `depth` decisions, with audit probabilities that depend on all that was seen."""
    if depth == 0:
        return wealth(certificate)
    inclusions = schedule(certificate)
    return sum(
        one.chance * tree(after(certificate, one, inclusions, floor(inclusions)), world, schedule, depth - 1, floor)
        for one in outcomes(world, inclusions)
        if one.chance > 0.0
    )


@settings(max_examples=6, deadline=None)
@given(data=st.data(), salt=st.integers(0, 10**6))
def test_audits_that_depend_on_everything_seen_before_gain_nothing(data: st.DataObject, salt: int) -> None:
    """The expected wealth after three decisions is at most one, for audit probabilities that react to each label."""
    world = data.draw(nulls(0.2))

    def schedule(certificate: Certificate) -> list[float]:
        state = hash((salt, certificate.seq, certificate.labels, certificate.errors, tuple(certificate.weights)))
        return [STEPS[1 + (state >> (4 * place)) % (len(STEPS) - 1)] for place in range(BINS)]

    found = tree(unreachable(0.2, 0), world, schedule, 3, min)
    assert found <= EXACT


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_the_declared_floor_alone_is_fair_once_autopilot_has_opened(data: st.DataObject) -> None:
    """Without a floor a decision: all is labelled until the first step, then nothing is below the declared one."""
    certificate = Certificate(0.3, 0.5, edges=EDGES, start=0.25, floor=0.1)
    for seq in range(12):  # errors below keep the other regions from following at once
        certificate.observe(score=0.6, wrong=1, inclusion=1.0, seq=seq)
    while not certificate.tick():
        certificate.observe(score=0.9, wrong=0, inclusion=1.0, seq=certificate.seq + 1)
    region = certificate.bin_of(certificate.evidence()["next_threshold"])
    assert region == 2
    world = data.draw(nulls(0.3, region=region))
    inclusions = data.draw(schedules(0.1))
    later = [after(certificate, one, inclusions, None) for one in outcomes(world, inclusions)]
    chances = [one.chance for one in outcomes(world, inclusions)]
    assert all(len(one.steps) == len(certificate.steps) for one in later), "the region must stay the same"
    found = sum(chance * wealth(one) for chance, one in zip(chances, later, strict=True))
    assert found <= wealth(certificate) * EXACT


@pytest.mark.parametrize("launch", [0, 12])
@pytest.mark.parametrize("max_error", [0.2, 0.5])
def test_the_chance_of_ever_certifying_a_true_null_is_at_most_delta(launch: int, max_error: float) -> None:
    """Every sequence of forty labels, looked at after each; the launch and the bets share delta."""
    spent = {"evidence": 0.0, "launch": 0.0}
    open_paths: list[tuple[float, Certificate]] = [
        (1.0, Certificate(max_error, 0.6, edges=[], start=1.0, launch=launch))
    ]
    for seq in range(40):
        grown = []
        for chance, certificate in open_paths:
            for wrong in (0, 1):
                one = copied(certificate)
                one.observe(score=0.5, wrong=wrong, inclusion=1.0, seq=seq)
                one.tick()
                likely = chance * (max_error if wrong else 1.0 - max_error)
                if one.threshold is None:
                    grown.append((likely, one))
                else:
                    spent[one.steps[0].by] += likely
        open_paths = merged(grown)
    assert 0.05 < sum(spent.values()) <= 0.4 * EXACT
    assert spent["launch"] <= 0.25 * 0.4 * EXACT
    assert sum(spent.values()) <= 0.8 * 0.4 * EXACT, "a fifth is kept for beginning again"
    assert (spent["launch"] > 0.0) is (launch > 0)


def merged(paths: list[tuple[float, Certificate]]) -> list[tuple[float, Certificate]]:
    """Paths with equal counts are one path: with one bin and full inclusion only the counts matter."""
    found: dict[tuple[int, int], tuple[float, Certificate]] = {}
    for chance, certificate in paths:
        key = (certificate.labels, certificate.errors)
        found[key] = (found.get(key, (0.0, certificate))[0] + chance, certificate)
    return list(found.values())


# the monitor


def watched(monitor: Monitor, outcome: Outcome, inclusions: list[float], floor: float | None) -> Monitor:
    found = Monitor.from_dict(json.loads(json.dumps(monitor.to_dict())))
    if outcome.wrong is not None:
        found.observe(wrong=outcome.wrong, inclusion=inclusions[outcome.place], floor=floor)
    return found


@settings(max_examples=150, deadline=None)
@given(data=st.data(), max_error=st.sampled_from([0.01, 0.05, 0.3, 0.9]), miss_rate=st.sampled_from([0.0, 0.2]))
def test_the_monitor_gains_nothing_while_the_error_is_within_the_bound(
    data: st.DataObject, max_error: float, miss_rate: float
) -> None:
    """A labelled case multiplies max(evidence, 1) by a factor of mean at most one, bet by bet."""
    monitor = Monitor(max_error, alarm_at=1e12, miss_rate=miss_rate)
    for wrong, inclusion in data.draw(st.lists(st.tuples(st.integers(0, 1), st.sampled_from(STEPS)), max_size=8)):
        monitor.observe(wrong=wrong, inclusion=inclusion, floor=inclusion)
    world, inclusions = data.draw(within(max_error, miss_rate)), data.draw(schedules())
    floor = data.draw(st.sampled_from([min(inclusions), min(inclusions) / 3]))
    before = [max(1.0, exp(one)) for one in monitor.to_dict()["logs"]]
    found = [0.0] * len(before)
    for outcome in outcomes(world, inclusions):
        logs = watched(monitor, outcome, inclusions, floor).to_dict()["logs"]
        gained = [exp(one) for one in logs] if outcome.wrong is not None else before
        found = [sum_ + outcome.chance * one for sum_, one in zip(found, gained, strict=True)]
    assert all(one <= was * EXACT for one, was in zip(found, before, strict=True))


@st.composite
def within(draw: st.DrawFn, max_error: float, miss_rate: float) -> World:
    """A world whose error is within the bound, of which reviewers see at most 1 - miss_rate.

    The monitor divides by 1 - miss_rate: its null is that what reviewers see, so corrected, is within the bound.
    """
    world = draw(nulls(max_error))
    mean = sum(m * r for m, r in zip(world.masses, world.risks, strict=True))
    risks = [r * max_error / mean for r in world.risks]
    return World(world.masses, risks, [draw(st.floats(miss_rate, 1.0))] * BINS)


def test_the_mean_time_to_a_false_alarm_is_at_least_what_was_asked() -> None:
    """All sequences of eleven labels at the bound: the chance of an alarm by label n is at most n / alarm_at."""
    paths, alarmed, bound = [(1.0, Monitor(0.3, floor=1.0, alarm_at=4.0))], 0.0, 4.0
    for n in range(1, 12):
        grown = []
        for chance, monitor in paths:
            for wrong in (0, 1):
                one = Monitor.from_dict(monitor.to_dict())
                likely = chance * (0.3 if wrong else 0.7)
                if one.observe(wrong=wrong, inclusion=1.0):
                    alarmed += likely
                else:
                    grown.append((likely, one))
        paths = grown
        assert alarmed <= n / bound
    assert alarmed > 0.0
