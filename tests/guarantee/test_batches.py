"""Batches under a guarantee route, audit and count as cases one by one do."""

from __future__ import annotations

from typing import Any

import pytest
from certify_cases import EASY, Stream, problems

from dualcontrol.events import AlarmRaised, BatchRouted

ONE = {"model": "m", "version": "1"}


def batch(stream: Stream, scores: list[float], **columns: Any) -> Any:
    """A batch of right proposals, whose cases are answered."""
    rows = len(scores)
    table = {"proposal": ["a"] * rows, "input": list(range(1, rows + 1)), "confidence": scores, **columns}
    made = stream.loop.propose_batch(table)
    stream.truth |= dict.fromkeys(made.cases.values(), "a")
    while stream.answer():
        pass
    stream.desk.sweep()
    return made


def test_audits_follow_the_certificates_table_and_every_row_is_counted(stream):
    stream.opened()
    stream.desk.sweep()
    table, before = stream.loop.control.audits[""], stream.standing()
    made = batch(stream, [0.999] * 250 + [0.93] * 250)
    assert made.counts["autopilot"] == 500
    assert 10 < made.counts["audited"] < 150
    assert made.inclusion.tolist() == [table.share(0.999)] * 250 + [table.share(0.93)] * 250
    after = stream.standing()
    assert after.autopilot_cases == before.autopilot_cases + 500
    assert after.audited_cases == before.audited_cases + made.counts["audited"]
    assert stream.events(BatchRouted)[-1].unseen == {"": 500 - made.counts["audited"]}
    assert len(stream.loop.evidence()) == before.labels_used + 20 + made.counts["audited"]
    stream.check()
    assert problems(stream.desk) == []


def test_before_anything_is_certified_every_row_is_evidence(stream):
    made = batch(stream, [stream.noise.random() for _ in range(60)])
    assert made.counts["human"] == 60
    assert len(stream.loop.evidence()) == 60
    stream.check()


@pytest.mark.parametrize("where", ["source", "proposal"])
def test_rows_of_another_model_go_to_a_human(stream, where: str):
    stream.opened(source=ONE)
    sources = [ONE, {"model": "m", "version": "2"}, None] * 10
    columns = {"source": sources} if where == "source" else {}
    if where == "proposal":
        columns = {"proposal": [{"value": "a", **({"source": one} if one else {})} for one in sources]}
    made = batch(stream, [0.999] * 30, **columns)
    assert made.to.tolist() == [2, 1, 1] * 10
    assert made.names[made.by[1]] == "model"
    for row in (1, 2):
        route = stream.desk.case(made.cases[row]).route
        assert (route.to, route.by, route.inclusion) == ("human", "model", 1.0)
    stream.check()


def test_a_batch_with_a_key_is_found_again_as_it_was(stream):
    stream.opened(source=ONE)
    table = {
        "proposal": ["a"] * 40,
        "input": list(range(1, 41)),
        "confidence": [0.999] * 40,
        "source": [ONE, None] * 20,
    }
    first, again = (stream.loop.propose_batch(table, key="b") for _ in range(2))
    assert first.to.tolist() == again.to.tolist() == [2, 1] * 20
    assert (first.cases, first.counts, first.names) == (again.cases, again.counts, again.names)
    assert first.inclusion.tolist() == again.inclusion.tolist()


def test_segments_of_a_batch_have_their_own_tables(make):
    s = make(guarantee=EASY | {"segments": ["x", "y"]})
    s.opened(segment="x")
    made = batch(s, [0.999] * 30, segment=["x", "y", "z"] * 10)
    assert made.to.tolist() == [2, 1, 1] * 10
    assert set(made.inclusion.tolist()) == {s.loop.control.audits["x"].share(0.999), 1.0}
    assert {e for b in s.events(BatchRouted) for e in b.unseen} == {"x"}


def test_a_restart_counts_the_rows_of_a_batch_once(make, tmp_path):
    s = make(f"sqlite:///{tmp_path}/d.db")
    s.opened()
    s.desk.sweep()
    before = s.standing().autopilot_cases
    batch(s, [0.999] * 100)
    s.restart()
    s.desk.sweep()
    assert s.standing().autopilot_cases == before + 100


def test_rows_that_open_no_case_do_not_look_like_other_scores(stream):
    stream.opened()
    for _ in range(4):
        batch(stream, [stream.noise.random() for _ in range(500)])
    assert stream.loop.control.thresholds[""] < 0.5
    assert not stream.events(AlarmRaised)
    stream.check()
