"""Delta is spent once over the life of a loop: epochs in a row, candidate models, and what was recorded before."""

from __future__ import annotations

import json
import math
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from certify_cases import EASY, Stream

from dualcontrol.events import EpochBegan, ScoreChanged
from dualcontrol.guarantee.certificate import Certificate, chance_of, part_of


@pytest.fixture(scope="module")
def policy() -> Any:
    """The benchmark of changed policies."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
    try:
        import policy as bench
    finally:
        sys.path.pop(0)
    return bench


def runs(bench: Any, story: str, how: str, count: int) -> list[tuple[bool, int | None]]:
    hard, easy = [bench.HARD], [bench.EASY]
    before, after, errors, share = {
        "deleted": (hard, [], (0.02, 0.16), 0.4), "added": ([], easy, (0.01, 0.105), 0.5),
    }[story]  # fmt: skip
    noise = np.random.default_rng([7, len(story)])
    return [bench.changed(noise, before, after, errors, share, how, count=6_000) for _ in range(count)]


@pytest.mark.parametrize("story", ["deleted", "added"])
def test_what_a_certificate_of_before_says_of_other_cases_is_wrong_and_a_new_epoch_is_not(policy: Any, story: str):
    assert sum(broken for broken, _ in runs(policy, story, "nothing", 3)) >= 2
    assert not any(broken for broken, _ in runs(policy, story, "warm", 3))


@pytest.mark.slow
@pytest.mark.parametrize("story", ["deleted", "added"])
@pytest.mark.parametrize("how", ["cold", "warm"])
def test_hardly_any_region_in_force_is_broken_after_a_change(policy: Any, story: str, how: str):
    results = runs(policy, story, how, 30)
    assert sum(broken for broken, _ in results) <= 3
    assert sum(opened is not None for _, opened in results) >= 27


@pytest.mark.slow
def test_twenty_epochs_in_a_row_open_wrongly_in_fewer_runs_than_one_may(policy: Any):
    noise = np.random.default_rng(3)
    assert sum(policy.epochs(noise, lambda nth: nth) for _ in range(20)) <= 2


def test_all_parts_together_are_no_more_than_the_whole():
    assert part_of(None) == 1.0, "what an epoch of before this schedule promised, it promised for itself"
    assert part_of(0) == 0.5
    for part, count in ((part_of, range(100_000)), (chance_of, range(1, 100_000))):
        parts = [part(nth) for nth in count]
        assert parts == sorted(parts, reverse=True)
        assert 0.999 < math.fsum(parts) <= 1.0


def test_each_epoch_that_counts_evidence_spends_a_part(stream):
    stream.go(30)
    for max_error, count in ((0.3, 30), (0.31, 5), (0.32, 30)):  # after five answers nothing is evidence yet
        stream.settings["guarantee"] = EASY | {"max_error": max_error}
        stream.loop = stream.desk.loop("mail", **stream.settings)
        stream.go(count)
        stream.loop.certify()
    assert [json.loads(began.promise)["spent"] for began in stream.events(EpochBegan)] == [0, 1, 2, 2]
    assert stream.pure().delta == pytest.approx(0.05 * part_of(2))


def test_warm_labels_never_spend_more_than_their_share_and_leave_half_to_what_comes():
    """Enumerated: over all ways that two warm labels and one fresh can fall, the mean of a bet is one at most."""
    bound, share = 0.5, 0.25
    total = 0.0
    for first in (0, 1):
        for second in (0, 1):
            for fresh in (0, 1):
                live = Certificate(bound, pilot=0, edges=[], warm=2, warm_share=share)
                for seq, wrong in enumerate((first, second, fresh)):
                    live.observe(score=0.5, wrong=wrong, inclusion=1.0, seq=seq)
                live.tick()
                total += math.exp(live.evidence()["log_wealth"]) / 8
    assert total == pytest.approx(0.5 * share + 0.5)
    hopeless = Certificate(bound, pilot=0, edges=[], warm=50, warm_share=share)
    for seq in range(50):
        hopeless.observe(score=0.5, wrong=1, inclusion=1.0, seq=seq)
    hopeless.tick()
    assert math.log(0.5) <= hopeless.evidence()["log_wealth"] < math.log(0.6), "none can lose the other half"


def test_a_certificate_with_a_warm_start_goes_on_from_storage_bit_by_bit():
    noise, straight = random.Random(5), Certificate(0.2, bins=10, pilot=20, warm=90, warm_share=0.1, spent=2)
    labels = [{"score": noise.random(), "wrong": noise.random() < 0.02, "inclusion": 1.0} for _ in range(600)]
    for stop in (10, 60, 89, 90, 200):
        parts = Certificate(0.2, bins=10, pilot=20, warm=90, warm_share=0.1, spent=2)
        for seq, label in enumerate(labels):
            if seq == stop:
                parts = Certificate.from_dict(json.loads(json.dumps(parts.to_dict())))
            parts.observe(**label, seq=seq)
            parts.tick()
        if straight.seq < 0:
            for seq, label in enumerate(labels):
                straight.observe(**label, seq=seq)
                straight.tick()
        assert parts.to_dict() == straight.to_dict()
    assert straight.steps
    assert min(step.seq for step in straight.steps) >= 89, "nothing is certified before the last warm label"


def test_each_learned_score_spends_a_part_like_any_epoch():
    """Confidence says nothing here and a third is wrong, so that scores are learned again and again and none opens."""
    promise = EASY | {"score": "risk", "learn_from": 60, "pilot": 10, "max_error": 0.1, "launch": 0}
    stream, noise = Stream("sqlite:///:memory:", guarantee=promise), random.Random(4)
    for number in range(560):
        case = stream.propose(noise.random(), wrong=noise.random() < 0.33, meta={"n": number % 7})
        stream.answer(case=case)
    stream.loop.certify()
    learned = stream.events(ScoreChanged)
    assert [event.examples for event in learned] == sorted({event.examples for event in learned})
    assert len(learned) >= 3
    promises = [json.loads(began.promise) for began in stream.events(EpochBegan)]
    scorers = [began.scorer for began in stream.events(EpochBegan)]
    assert scorers == list(dict.fromkeys(scorers)), "each score begins one epoch"
    assert len(scorers) >= 3
    assert [made["spent"] for made in promises] == list(range(len(promises)))
    deltas = [Certificate(**made).delta for made in promises]
    by_hand = [0.05 * (1 / 2 if n == 0 else 1 / (2 * n * (n + 1))) for n in range(len(promises))]
    assert deltas == pytest.approx(by_hand)
    assert math.fsum(deltas) <= 0.05
    stream.desk.close()
