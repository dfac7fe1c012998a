"""Where the first region is beyond the bound: another one is tried on new decisions, out of the same delta."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from certify_cases import EASY, Stream, problems
from hypothesis import given
from hypothesis import strategies as st

from dualcontrol.errors import GuaranteeError
from dualcontrol.events import EpochBegan, EvidenceCounted, ThresholdMoved
from dualcontrol.guarantee import certificate, moves
from dualcontrol.guarantee.certificate import Certificate

Make = Callable[..., Stream]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves, "LABELS", 150)


def cliff(score: float) -> float:
    """Only the surest tenth is right; the surest fifth is not."""
    return 0.01 if score > 0.9 else 0.6


def begun(stream: Stream) -> list[dict[str, Any]]:
    return [json.loads(event.promise) for event in stream.events(EpochBegan)]


@pytest.mark.slow
def test_a_smaller_first_region_is_tried_when_the_first_is_beyond_the_bound(make: Make) -> None:
    stream = make(guarantee=EASY | {"pilot": 100})
    stream.risk = cliff
    stream.go(1_400)
    first, second = begun(stream)[:2]
    assert ("again" in first, second["again"], second["launch"]) == (False, 1, 0)
    began = stream.events(EpochBegan)[1]
    assert "of the surest 19 % of decisions were found wrong, where 20 % may be" in began.reason
    assert stream.standing().state == "certified"
    certificate = stream.check()
    assert certificate.threshold is not None
    assert certificate.threshold > 0.8
    assert problems(stream.desk) == []


def test_nothing_that_chose_the_region_is_evidence_for_it(make: Make) -> None:
    stream = make(guarantee=EASY | {"pilot": 100})
    stream.risk = cliff
    stream.go(900)
    began = stream.events(EpochBegan)[1]
    before = [e for e in stream.events(EvidenceCounted) if e.epoch < began.epoch]
    after = [e for e in stream.events(EvidenceCounted) if e.epoch == began.epoch]
    assert began.after == max(label[0] for e in before for label in e.labels)
    assert min(label[0] for e in after for label in e.labels if label[0] not in e.stale) > began.after
    counted = [label[0] for e in (*before, *after) for label in e.labels]
    assert counted == sorted(set(counted)), "each decision counts once"


def test_a_try_that_may_succeed_goes_on(make: Make) -> None:
    stream = make(guarantee=EASY | {"max_error": 0.1})
    stream.risk = lambda score: 0.09
    stream.go(400)
    assert len(begun(stream)) == 1


def test_where_no_region_looks_better_nothing_begins_again(make: Make) -> None:
    stream = make()
    stream.risk = lambda score: 1.0
    stream.go(400)
    assert (len(begun(stream)), stream.events(ThresholdMoved)) == (1, [])


def test_each_try_takes_twice_as_long_as_the_one_before(make: Make) -> None:
    """Nothing is ever good enough here: regions that looked so by chance are given up in their turn."""
    stream = make(guarantee=EASY | {"pilot": 100}, seed=4)
    stream.risk = lambda score: 0.26
    stream.go(1_200)
    labels = [0] * 20
    for event in stream.events(EvidenceCounted):
        labels[event.epoch] += len(event.labels)
    tries = [promise.get("again", 0) for promise in begun(stream)]
    assert tries == list(range(len(tries)))
    ended = [count for count in labels if count][: len(tries) - 1]
    assert all(count >= 150 * 2**one for one, count in zip(tries, ended, strict=False))
    assert stream.loop.control.thresholds == {}


@pytest.mark.slow
def test_a_replica_that_reads_all_anew_stands_where_the_first_does(make: Make, tmp_path: Any) -> None:
    stream = make(f"sqlite:///{tmp_path}/dc.db", guarantee=EASY | {"pilot": 100})
    stream.risk = cliff
    stream.go(1_100)
    before = stream.check().to_dict()
    stream.restart()
    stream.go(300)
    assert stream.desk.certifier.segments(stream.loop.control)[""].certificate.again >= 1
    assert before["given"]["again"] >= 1
    stream.check()


@given(delta=st.floats(0.001, 0.5), launch=st.sampled_from([0, 2_000]), tries=st.integers(0, 40))
def test_all_tries_together_spend_delta(delta: float, launch: int, tries: int) -> None:
    first = certificate.on_launch(delta, launch) + certificate.on_evidence(delta, launch, 0)
    later = [certificate.on_evidence(delta, 0, again) for again in range(1, tries + 1)]
    assert first + sum(later) <= delta * (1 + 1e-12)
    assert all(part > 0.0 for part in later)


@pytest.mark.parametrize(("launch", "tries"), [(0, -1), (100, 1)])
def test_a_try_that_cannot_be_is_refused(launch: int, tries: int) -> None:
    with pytest.raises(GuaranteeError, match="again is"):
        Certificate(0.1, launch=launch, again=tries)


@pytest.mark.slow
def test_beginning_again_and_again_breaks_no_more_promises_than_delta() -> None:
    """Streams a little worse than promised everywhere, each with as many tries as come: how many ever open."""
    opened, streams, delta = 0, 400, 0.2
    for seed in range(streams):
        rng = np.random.default_rng(seed)
        made, tried = Certificate(0.2, 1 - delta, edges=[i / 20 for i in range(1, 20)]), 0
        for seq in range(3_000):
            score, wrong = float(rng.random()), int(rng.random() < 0.21)
            made.observe(score=score, wrong=wrong, inclusion=1.0, seq=seq)
            made.tick()
            if made.threshold is not None:
                opened += 1
                break
            hopeless = made.labels >= 150 * 2**tried and made.labels_needed() is None
            place = moves.promising(made.weights, made.wrongs, 0.2) if hopeless else None
            if place is not None and place != made.first:
                tried += 1
                made = Certificate(0.2, 1 - delta, edges=made.edges, first=place, again=tried)
    assert opened <= streams * (delta + 1.65 * (delta * (1 - delta) / streams) ** 0.5)
