"""Counting never stops for ever: audits keep the floor they were drawn with, and every refusal is on the page."""

from __future__ import annotations

import json
from typing import Any

from certify_cases import EASY, problems

import dualcontrol.route.audit
from dualcontrol.events import AlarmRaised, AuditsChanged, EpochBegan, EvidenceCounted
from dualcontrol.guarantee import certifier
from dualcontrol.guarantee.history import moves


def declare(stream: Any, **settings: Any) -> None:
    stream.settings.update(settings)
    stream.loop = stream.desk.loop("mail", **stream.settings)


def alarms(stream: Any) -> list[str]:
    """The alarms in the change log of the page."""
    entries = stream.desk.store.queries.entries(stream.loop.stream)
    return [move.reason for move in moves(entries) if move.what == "alarm"]


def audited(stream: Any) -> Any:
    """A case on autopilot that is reviewed too, and not answered yet."""
    for _ in range(300):
        case = stream.propose(0.99, wrong=False)
        if case.route.to == "autopilot" and case.route.audited:
            return case
        if case.route.to == "human":
            stream.answer(case=case)
    raise AssertionError("no audit was drawn")


def test_an_audit_that_was_drawn_more_seldom_than_the_next_epoch_counts_on_stops_nothing(make):
    s = make(audit=0.1)
    s.opened()
    waiting = audited(s)
    assert waiting.route.inclusion < 0.4
    declare(s, audit=0.8, guarantee=EASY | {"confidence": 0.9})
    after = s.propose(0.99, wrong=False)
    s.loop.certify()
    s.answer(case=waiting)
    s.answer(case=after)
    s.loop.certify()
    assert s.events(EpochBegan)[-1].reason == "the promise changed: confidence is 0.9, not 0.95"
    assert any(counted.stale for counted in s.events(EvidenceCounted)), "it counts for the running bound alone"
    s.go(30)
    assert s.loop.evidence()
    assert alarms(s) == []
    s.check()
    assert problems(s.desk) == []


def test_a_label_that_no_certificate_can_take_counts_as_wrong_and_is_an_alarm_on_the_page(stream, monkeypatch):
    stream.go(40)
    with monkeypatch.context() as broken:
        broken.setattr(dualcontrol.route.audit, "inclusion", lambda *anything: 0.0)
        case = stream.propose(0.5, wrong=False)
    assert (case.route.to, case.route.inclusion) == ("human", 0.0)
    stream.answer(case=case)
    stream.go(40)
    stream.loop.certify()
    assert len(stream.loop.evidence()) == 81
    row = stream.loop.evidence()[40]
    assert (row["wrong"], row["inclusion"], row["floor"]) == (1, 0.05, 0.05)
    (alarm,) = stream.events(AlarmRaised)
    assert (alarm.code, alarms(stream)) == ("label_refused", [alarm.reason])
    assert "it must lie above 0, at most 1; it counts as wrong" in alarm.reason
    segment = stream.desk.certifier.segments(stream.loop.control)[""]
    assert segment.certificate.to_dict() == stream.pure().to_dict()


def test_a_count_that_fails_is_one_alarm_on_the_page_and_counting_goes_on_when_it_can(stream, monkeypatch):
    stream.go(30)
    with monkeypatch.context() as broken:
        broken.setattr(certifier, "count", lambda *anything: 1 / 0)
        stream.go(45)
        stream.desk.sweep()
    (reason,) = alarms(stream)
    assert "answers are not counted since then: an error of the program (ZeroDivisionError)" in reason
    stream.go(10)
    stream.loop.certify()
    assert len(stream.loop.evidence()) == 85
    assert len(alarms(stream)) == 1


def test_decisions_that_came_under_a_lower_share_keep_its_floor_in_the_next_epoch(make):
    """Another model's cases go to people while the share of before is in force; the new epoch has a higher one."""
    s = make(audit=0.1)
    s.opened()
    declare(s, audit=0.8)
    s.go(25, source={"model": "m", "version": "2"})
    s.loop.certify()
    began = s.events(EpochBegan)[-1]
    assert (began.model, json.loads(began.promise)["floor"]) == ("m/2", 0.4)
    least = min(min(map(float, event.shares)) for event in s.events(AuditsChanged))
    stated = [row.get("floor") for row in s.loop.evidence()]
    assert stated == [least] + [None] * (len(stated) - 1), "the first was routed before the epoch began"
    assert least < 0.4
    assert {row["inclusion"] for row in s.loop.evidence()} == {1.0}
    assert s.desk.certifier.segments(s.loop.control)[""].certificate.to_dict() == s.pure().to_dict()
