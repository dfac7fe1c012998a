"""The digits demo under a guarantee: autopilot opens by evidence, and stays shut where nobody checks the reviewers."""

from __future__ import annotations

import json
from collections import Counter

import pytest

import dualcontrol as dc
from dualcontrol.demo import headless, scans
from dualcontrol.demo.digits import NAME
from dualcontrol.events import EpochBegan, ModelPromoted, ThresholdMoved
from dualcontrol.guarantee.certificate import Certificate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def played(tmp_path_factory) -> tuple[dict, str]:
    url = f"sqlite:///{tmp_path_factory.mktemp('guaranteed')}/a.db"
    found, _ = headless.run(3, url, guarantee=True)
    return found, url


def stream_of(desk: dc.Desk) -> list:
    loop = desk.loop(NAME)
    return [event for entry in desk.store.queries.entries(loop.stream, values=False) for event in entry.events]


def test_autopilot_opens_and_keeps_the_promise(played):
    told = played[0]["guarantee"]
    assert told["state"] == "certified"
    # people are taken to miss errors, half of delta is for later epochs, and a tenth for what is measured of people
    assert told["opened_at"] < 1_200
    assert told["last_third_reviews"] <= 0.35
    assert told["autopilot_error"] <= 0.05


def test_the_thresholds_are_those_of_a_certificate_fed_from_the_ledger(played):
    with dc.open(played[1], durability="process") as desk:
        loop, said = desk.loop(NAME), stream_of(desk)
        began = next(event for event in reversed(said) if isinstance(event, EpochBegan))
        pure = Certificate(**json.loads(began.promise))
        for label in loop.evidence():
            pure.observe(**label)
        pure.tick()
        live = [(e.pos, e.threshold, e.bin) for e in said if isinstance(e, ThresholdMoved) and e.epoch == began.epoch]
        assert live == [(step.seq, repr(step.threshold), step.bin) for step in pure.steps]
        assert live


def test_no_example_both_trains_and_certifies(played):
    with dc.open(played[1], durability="process") as desk:
        loop, said = desk.loop(NAME), stream_of(desk)
        assert sum(isinstance(event, ModelPromoted) for event in said) >= 2
        positions = {e.case_id: e.pos for e in desk.store.queries.examples(loop.control.loop_id)}
        used: dict[str, set[str]] = {"": set(), "held-out": set(), "evidence": set(), "skipped": set()}
        for row in loop.examples():
            if row.used_by is not None:
                used[row.used_by.partition("/")[2]].add(row.case_id)
        assert all(used.values())
        assert not used["evidence"] & (used[""] | used["held-out"])
        assert not used[""] & used["held-out"]
        warm = {label["seq"] for label in loop.evidence()}
        began = next(event for event in reversed(said) if isinstance(event, EpochBegan))
        before = {pos for pos in warm if pos <= began.after}
        assert before <= {positions[case_id] for case_id in used["evidence"]}


def test_without_an_adjudicator_autopilot_stays_closed_and_says_why(tmp_path):
    found, _ = headless.run(3, f"sqlite:///{tmp_path}/b.db", guarantee=True, adjudicate=False)
    told = found["guarantee"]
    assert told["opened_at"] is None
    assert told["state"] == "collecting"
    assert "errors of reviewers count as errors of the model" in told["reason"]
    assert Counter(round_["threshold"] for round_ in found["rounds"]) == {None: 10}


def test_one_seed_gives_one_result(tmp_path):
    first, _ = headless.run(5, f"sqlite:///{tmp_path}/c.db", guarantee=True, limit=300)
    again, _ = headless.run(5, f"sqlite:///{tmp_path}/d.db", guarantee=True, limit=300)
    assert first == again
    assert scans.order(5).starters
