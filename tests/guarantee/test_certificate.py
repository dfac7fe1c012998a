"""The certificate: labels count once and in the order of decisions, and what was stored goes on bit by bit."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualcontrol.errors import GuaranteeError
from dualcontrol.guarantee.certificate import Certificate, Label, edges_of, widest

TEN = [i / 10 for i in range(1, 10)]


def labels(count: int, seed: int = 0, risk: float = 0.02, inclusion: float = 1.0) -> list[Label]:
    """Labelled decisions whose error falls with the score."""
    rng = random.Random(seed)
    found = []
    for seq in range(count):
        score = rng.random()
        found.append(Label(seq, score, int(rng.random() < 2 * risk * (1 - score)), inclusion))
    return found


def told(certificate: Certificate, given: Sequence[Label]) -> Certificate:
    """The certificate after it has been told these labels."""
    for label in given:
        certificate.observe(**label._asdict())
    return certificate


def counted(certificate: Certificate, given: Sequence[Label]) -> Certificate:
    """The certificate after these labels were told and counted."""
    told(certificate, given).tick()
    return certificate


def through_json(certificate: Certificate) -> Certificate:
    return Certificate.from_dict(json.loads(json.dumps(certificate.to_dict())))


@st.composite
def histories(draw: st.DrawFn) -> tuple[dict[str, Any], list[Label]]:
    """Options of a certificate, and labels for it: ties, gaps between decisions, some without a floor."""
    options = {
        "max_error": draw(st.sampled_from([0.05, 0.2, 0.5])), "confidence": draw(st.sampled_from([0.5, 0.9])),
        "bins": draw(st.sampled_from([1, 5])), "edges": draw(st.sampled_from([None, TEN])),
        "pilot": draw(st.sampled_from([0, 5])), "start": draw(st.sampled_from([None, 0.2, 0.9])),
        "launch": draw(st.sampled_from([0, 12])), "miss_rate": draw(st.sampled_from([0.0, 0.1])),
    }  # fmt: skip
    seqs = sorted(draw(st.sets(st.integers(0, 300), max_size=60)))
    found = []
    for seq in seqs:
        inclusion = draw(st.sampled_from([1.0, 1.0, 1.0, 0.3, 0.1]))
        floor = draw(st.sampled_from([None, inclusion / 2]))
        score, wrong = draw(st.sampled_from([0.05, 0.5, 0.95, 0.951])), int(draw(st.integers(0, 9)) == 0)
        found.append(Label(seq, score, wrong, inclusion, floor))
    return options, found


# the order of decisions


@settings(deadline=None)
@given(history=histories(), data=st.data())
def test_the_order_in_which_labels_arrive_does_not_matter(
    history: tuple[dict[str, Any], list[Label]], data: st.DataObject
) -> None:
    """Nor how often they are counted on the way, up to the decision before the first that is outstanding."""
    options, given_labels = history
    straight = counted(Certificate(**options), given_labels)
    other = Certificate(**options)
    arriving = list(data.draw(st.permutations(given_labels)))
    outstanding = {label.seq for label in given_labels}
    while arriving:
        label = arriving.pop()
        other.observe(**label._asdict())
        outstanding.discard(label.seq)
        if outstanding and data.draw(st.booleans()):
            other.tick(min(outstanding) - 1)
    other.tick()
    other.seq = straight.seq
    assert other.to_dict() == straight.to_dict()


def test_labels_after_the_watermark_wait() -> None:
    certificate = told(Certificate(0.05, edges=TEN), labels(10))
    certificate.tick(5)
    assert (certificate.labels, certificate.seq, certificate.evidence()["waiting"]) == (6, 5, 4)
    certificate.tick(20)
    assert (certificate.labels, certificate.seq, certificate.evidence()["waiting"]) == (10, 20, 0)


def test_a_watermark_never_goes_back() -> None:
    certificate = told(Certificate(0.05, edges=TEN), labels(10))
    certificate.tick(9)
    assert certificate.tick(3) == []
    assert certificate.seq == 9


def test_each_step_is_told_once_and_names_its_decision() -> None:
    """Ten labels certify nothing, four hundred do; the step is found at the label that made it."""
    certificate = told(Certificate(0.2, edges=TEN), labels(400, risk=0.0))
    assert certificate.tick(9) == []
    steps = certificate.tick()
    assert steps == certificate.steps
    assert certificate.tick() == []
    assert all(0 < one.seq < 400 and one.by == "evidence" for one in steps)
    assert [one.bin for one in steps] == sorted({one.bin for one in steps}, reverse=True)
    assert certificate.threshold == steps[-1].threshold


# what is no label


@pytest.mark.parametrize(
    "change",
    [
        {"score": float("nan")}, {"score": float("inf")}, {"score": None}, {"score": "high"}, {"wrong": 2},
        {"wrong": 0.5}, {"wrong": None}, {"wrong": float("nan")}, {"inclusion": 0.0}, {"inclusion": -0.1},
        {"inclusion": 1.1}, {"inclusion": float("nan")}, {"floor": 0.0}, {"floor": 0.6}, {"floor": float("nan")},
        {"seq": 1.5}, {"seq": None}, {"seq": -1}, {"seq": 4},
    ],
)  # fmt: skip
def test_what_is_no_label_is_refused_and_changes_nothing(change: dict[str, Any]) -> None:
    certificate = counted(Certificate(0.05, edges=TEN), labels(5))
    before = certificate.to_dict()
    with pytest.raises(GuaranteeError):
        certificate.observe(**{"score": 0.9, "wrong": 0, "inclusion": 0.5, "seq": 7} | change)
    certificate.tick()
    assert certificate.to_dict() == before


def test_the_same_label_twice_counts_once() -> None:
    once = told(Certificate(0.05, edges=TEN), labels(10))
    twice = told(once, labels(10))
    assert twice.evidence()["waiting"] == 10


def test_a_label_that_contradicts_is_refused_and_the_first_one_stays() -> None:
    certificate = told(Certificate(0.05, edges=TEN), labels(10, risk=0.0))
    before = certificate.to_dict()
    for change in ({"wrong": 1}, {"score": 0.123}, {"inclusion": 0.5}, {"floor": 0.5}):
        with pytest.raises(GuaranteeError, match="decision 3 has another label"):
            certificate.observe(**labels(10, risk=0.0)[3]._asdict() | change)
    assert certificate.to_dict() == before


def test_numbers_of_numpy_are_taken_and_stored_as_plain_ones() -> None:
    np = pytest.importorskip("numpy")
    certificate = Certificate(0.05, edges=TEN)
    certificate.observe(
        score=np.float32(0.5), wrong=np.bool_(True), inclusion=np.float64(0.5), seq=np.int64(3), floor=np.float32(0.25)
    )
    assert through_json(certificate).to_dict() == certificate.to_dict()


@pytest.mark.parametrize(
    "change",
    [
        {"max_error": 0.0}, {"max_error": 1.0}, {"max_error": float("nan")}, {"confidence": 0.0}, {"confidence": 1.0},
        {"bins": 0}, {"pilot": -1}, {"start": 0.0}, {"start": 1.1}, {"launch": -1}, {"floor": 0.0}, {"floor": 1.1},
        {"miss_rate": 1.0}, {"miss_rate": -0.1}, {"segments": 0},
    ],
)  # fmt: skip
def test_a_promise_that_cannot_be_made_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(GuaranteeError):
        Certificate(**{"max_error": 0.05} | change)


# storage


@settings(deadline=None)
@given(history=histories(), data=st.data())
def test_a_stored_certificate_goes_on_bit_by_bit(
    history: tuple[dict[str, Any], list[Label]], data: st.DataObject
) -> None:
    """Stored as JSON at any moment, with labels waiting, in the pilot or the launch."""
    options, given_labels = history
    cut = data.draw(st.integers(0, len(given_labels)))
    straight = Certificate(**options)
    stored = told(Certificate(**options), given_labels[:cut])
    for one in (told(straight, given_labels[:cut]), stored):
        one.tick(given_labels[cut // 2].seq if cut else None)
    stored = through_json(stored)
    for one in (straight, stored):
        counted(one, given_labels[cut:])
    assert stored.to_dict() == straight.to_dict()
    assert (stored.threshold, stored.steps, stored.evidence()) == (
        straight.threshold, straight.steps, straight.evidence(),
    )  # fmt: skip


def test_what_was_stored_does_not_change_afterwards() -> None:
    certificate = counted(Certificate(0.05, edges=TEN), labels(50))
    stored = certificate.to_dict()
    before = json.dumps(stored)
    counted(certificate, [Label(99, 0.9, 1, 1.0)])
    counted(Certificate.from_dict(stored), [Label(99, 0.9, 1, 1.0)])
    assert json.dumps(stored) == before


# bins, pilot, start, launch, segments


def test_pilot_labels_are_no_evidence() -> None:
    """The pilot chooses bins; what is known afterwards is what a certificate with these bins knows without it."""
    pilot, later = labels(50), [label._replace(seq=label.seq + 50) for label in labels(300, seed=1, risk=0.001)]
    with_pilot = Certificate(0.2, bins=10, pilot=50)
    assert counted(with_pilot, pilot).evidence() | {"state": "collecting"} == with_pilot.evidence() | {"labels": 0}
    without = Certificate(0.2, edges=with_pilot.edges)
    without._begin(with_pilot.edges, with_pilot.first)
    counted(with_pilot, later)
    counted(without, later)
    assert with_pilot.threshold is not None
    assert (with_pilot.steps, with_pilot.labels) == (without.steps, 300)


def test_during_the_pilot_it_says_how_many_are_left() -> None:
    certificate = counted(Certificate(0.05, pilot=20), labels(12))
    said = certificate.evidence()
    assert (said["state"], said["pilot_left"], said["threshold"], certificate.bin) == ("pilot", 8, None, None)
    assert certificate.labels_needed() is not None


def test_without_a_start_the_pilot_chooses_the_most_promising_region() -> None:
    """Where the most certain decisions are confidently wrong, the first region is one that is wide enough."""
    rng = random.Random(0)
    found = []
    for seq in range(1_000):
        score = rng.random()
        risk = 0.4 if score > 0.9 else 0.002 if score > 0.3 else 0.5
        found.append(Label(seq, score, int(rng.random() < risk), 1.0))
    chosen = counted(Certificate(0.1, bins=20, pilot=1_000, start=None), found)
    fixed = counted(Certificate(0.1, bins=20, pilot=1_000, start=0.1), found)
    assert 0.25 <= chosen.evidence()["next_threshold"] <= 0.45
    assert fixed.evidence()["next_threshold"] > 0.85


def test_constant_scores_make_one_region_of_everything() -> None:
    """Then autopilot gets all or nothing."""
    found = [Label(seq, 0.5, 0, 1.0) for seq in range(300)]
    certificate = counted(Certificate(0.05, pilot=20), found)
    assert certificate.edges == []
    assert (certificate.bin, certificate.threshold) == (0, 0.0)


def test_tied_scores_stay_in_one_bin() -> None:
    edges = edges_of([0.1] * 50 + [0.7] * 30 + [0.9] * 20, 100)
    assert edges == [0.7, 0.9]
    certificate = Certificate(0.05, edges=edges)
    assert [certificate.bin_of(score) for score in (0.0, 0.1, 0.7, 0.8, 0.9, 1.0)] == [0, 0, 1, 1, 2, 2]
    assert [certificate.score_of(place) for place in range(3)] == [0.0, 0.7, 0.9]


@pytest.mark.parametrize(("share", "first"), [(0.05, 3), (0.1, 3), (0.3, 2), (0.35, 2), (1.0, 0)])
def test_the_first_region_holds_at_most_its_share(share: float, first: int) -> None:
    assert widest([40.0, 30.0, 20.0, 10.0], share) == first


def test_the_launch_tests_once_and_exactly() -> None:
    """A hundred labels without an error open everything at once; without a launch it is not so far."""
    found = [Label(seq, seq % 10 / 10, 0, 1.0) for seq in range(100)]
    launched, plain = Certificate(0.2, edges=TEN, launch=100), Certificate(0.2, edges=TEN)
    counted(launched, found[:99])
    assert launched.launching
    counted(launched, found[99:])
    counted(plain, found)
    assert (launched.launching, launched.steps[-1].by, launched.bin) == (False, "launch", 0)
    assert plain.bin is None or plain.bin > 0


def test_a_launch_is_void_once_not_everything_is_labelled() -> None:
    """Then the labels are no plain sample any more, and only the bets go on."""
    found = [Label(seq, seq % 10 / 10, 0, 1.0 if seq != 50 else 0.5) for seq in range(400)]
    certificate = counted(Certificate(0.2, edges=TEN, launch=100, floor=0.5), found)
    assert not certificate.launching
    assert {step.by for step in certificate.steps} == {"evidence"}


def test_segments_share_delta() -> None:
    """Each of five certificates is as strict as one alone at a fifth of the risk."""
    shared = counted(Certificate(0.05, 0.95, edges=TEN, segments=5), labels(1_000, risk=0.001))
    alone = counted(Certificate(0.05, 0.99, edges=TEN), labels(1_000, risk=0.001))
    free = counted(Certificate(0.05, 0.95, edges=TEN), labels(1_000, risk=0.001))
    assert shared.delta == pytest.approx(0.01)
    assert shared.steps == alone.steps
    assert shared.steps[0].seq > free.steps[0].seq


def test_it_says_how_far_the_next_region_is() -> None:
    certificate = counted(Certificate(0.05, edges=TEN), labels(60, risk=0.0))
    said = certificate.evidence()
    assert (said["state"], said["next_threshold"], said["least_labels"]) == ("collecting", 0.8, 63)
    assert 0.0 < said["log_wealth"] < said["log_wealth_needed"]
    assert 50 < said["labels_needed"] < 2_000
    hopeless = counted(Certificate(0.05, edges=TEN), [Label(seq, 0.95, seq % 2, 1.0) for seq in range(60)])
    assert hopeless.labels_needed() is None
    done = counted(Certificate(0.05, edges=TEN), labels(5_000, risk=0.0))
    assert (done.threshold, done.coverage, done.evidence()["next_threshold"]) == (0.0, 1.0, None)


def test_inclusions_below_one_before_autopilot_opens_bring_the_declared_floor() -> None:
    """From then on bets are small enough for the least inclusion that was declared."""
    found = [Label(0, 0.9, 0, 0.5), Label(1, 0.9, 1, 1.0)]
    certificate = counted(Certificate(0.05, edges=TEN, floor=0.1), found)
    declared = counted(Certificate(0.05, edges=TEN, floor=0.1), [one._replace(floor=0.1) for one in found])
    assert certificate.evidence() == declared.evidence()


# a simulation, small here and large in the slow suite


def false_certificates(runs: int, decisions: int) -> int:
    """How many of these streams, each a little worse than promised everywhere, are ever given to autopilot."""
    found = 0
    for seed in range(runs):
        rng = random.Random(seed)
        certificate = Certificate(0.1, 0.9, edges=TEN, launch=200)
        for seq in range(decisions):
            certificate.observe(score=rng.random(), wrong=rng.random() < 0.101, inclusion=1.0, seq=seq)
        certificate.tick()
        found += certificate.threshold is not None
    return found


def test_too_bad_streams_are_seldom_given_to_autopilot() -> None:
    assert false_certificates(100, 1_000) <= 15


@pytest.mark.slow
def test_too_bad_streams_are_seldom_given_to_autopilot_in_many_runs() -> None:
    """At most delta = 0.1, and 1.65 standard errors of chance."""
    assert false_certificates(1_000, 4_000) <= 1_000 * (0.1 + 1.65 * (0.1 * 0.9 / 1_000) ** 0.5)
