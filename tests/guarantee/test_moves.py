"""What evidence changes in the control: thresholds, audit shares, closing on an alarm, and opening again."""

from __future__ import annotations

import json

import pytest
from certify_cases import EASY, Stream, problems

from dualcontrol.errors import Pending
from dualcontrol.events import (
    AlarmRaised,
    AuditsChanged,
    AutopilotClosed,
    AutopilotOpened,
    EpochBegan,
    ReliefChanged,
    ThresholdMoved,
)
from dualcontrol.evolve import governed_by


def drift(stream: Stream, risk: float = 0.9, most: int = 3_000) -> Stream:
    """From here on most proposals are wrong, until the alarm."""
    before, stream.risk = stream.risk, lambda score: risk
    for _ in range(most):
        stream.go(1)
        if stream.events(AlarmRaised):
            stream.risk = before
            return stream
    raise AssertionError("no alarm")


def folded(stream: Stream):
    from dualcontrol.control import Control, LoopSettings

    control = Control(loop="mail", loop_id=1, version=0, settings=LoopSettings(name="mail"))
    for event in stream.events():
        control = governed_by(control, event)
    return control


def test_an_alarm_closes_autopilot_and_a_new_certificate_opens_it_again(make):
    s = make(audit=0.5)
    s.opened()
    epoch = s.loop.control.epoch
    drift(s)
    closed, began = s.events(AutopilotClosed)[-1], s.events(EpochBegan)[-1]
    assert "more than 20 % of what autopilot does is wrong by now" in closed.reason
    assert (began.reason, began.epoch) == ("drift", epoch + 1)
    assert s.names()[-3:] == ["AutopilotClosed", "AlarmRaised", "EpochBegan"]
    assert s.loop.control.thresholds == {}
    assert s.propose(0.999).route.by == "threshold"
    assert (s.standing().state, closed.reason in s.standing().reason) == ("closed", True)
    s.opened()
    assert s.events(AutopilotOpened)[-1].reason == "autopilot is certified again after the alarm"
    assert s.loop.control.closed == {}
    s.check()
    assert folded(s).to_dict() | {"seq": 0} == s.loop.control.to_dict() | {"seq": 0}
    assert problems(s.desk) == []


def test_an_effect_that_has_not_begun_goes_to_people_after_the_alarm(make):
    s = make(audit=0.5)
    s.opened()
    case = next(c for c in iter(lambda: s.propose(0.999, effect="ready"), None) if c.route.to == "autopilot")
    if case.route.audited:
        s.answer(case=case)
    drift(s)
    with pytest.raises(Pending, match="autopilot is closed"):
        s.loop.start_effect(case.id)


def test_a_quiet_stream_raises_no_alarm(make):
    s = make(audit=0.5)
    s.go(900)
    assert not s.events(AlarmRaised, AutopilotClosed)


def test_audits_that_nobody_answers_close_autopilot_and_say_so(make):
    s = make(audit=0.5)
    s.opened()
    for _ in range(200):
        if s.propose(0.999).route.to == "human":
            s.answer()
    s.clock.tick(8 * 86_400)
    s.desk.sweep()
    assert "that nobody answered in time counted as wrong" in s.events(AutopilotClosed)[-1].reason
    assert s.loop.control.thresholds == {}


def test_a_closure_of_the_whole_loop_ends_when_its_segments_are_certified(make):
    s = make(audit=0.5)
    s.opened()
    drift(s)
    s.settings["guarantee"] = EASY | {"segments": ["x", "y"]}
    s.loop = s.desk.loop("mail", **s.settings)
    s.opened(segment="x")
    assert s.loop.control.closed == {}
    assert s.propose(0.999, segment="x").route.to == "autopilot"
    assert s.propose(0.999, segment="y").route.to == "human"


def test_what_somebody_else_closed_an_alarm_does_not_open(make):
    s = make(audit=0.5)
    s.opened()
    held = []
    for _ in range(120):
        case = s.propose(0.999, wrong=True)
        held += [case] if case.route.audited else []
    closing = [
        lambda now, at: [AutopilotClosed(version=now.version + 1, at=at, segment="", cause="person", reason="a person")]
    ]
    s.desk.steps.move("mail", closing[0])
    for case in held:
        s.answer(case=case)
    s.desk.sweep()
    assert s.events(AlarmRaised)
    assert s.loop.control.closed == {"": "a person"}
    s.opened()
    assert s.events(ThresholdMoved)[-1].epoch == s.loop.control.epoch
    assert s.loop.control.closed == {"": "a person"}


def test_a_lower_audit_share_stays_above_what_was_promised(make):
    s = make(audit=0.2)
    s.opened()
    s.settings["audit"] = 0.02
    s.loop = s.desk.loop("mail", **s.settings)
    assert s.loop.control.thresholds
    s.go(600)
    s.desk.sweep()
    s.check()
    floor = json.loads(s.events(EpochBegan)[-1].promise)["floor"]
    assert floor == 0.1
    assert min(min(map(float, e.shares)) for e in s.events(AuditsChanged)) >= floor


def test_relief_leaves_the_promised_share_alone(make):
    s = make(audit=0.2)
    s.opened()
    s.settings["audit"] = 0.02
    s.loop = s.desk.loop("mail", **s.settings)
    said = {"name": "audits", "demand": "9.0", "capacity": "1.0", "understaffed": 1, "reason": "too much is asked"}
    s.desk.steps.move("mail", lambda now, at: [ReliefChanged(version=now.version + 1, at=at, level=5, **said)])
    s.go(300)
    s.desk.sweep()
    inclusions = {row["inclusion"] for row in s.loop.evidence()}
    assert min(inclusions) == 0.1
    s.check()


@pytest.mark.parametrize("audit", [0.00001, 0.0, 1.0])
def test_any_audit_share_can_be_promised(make, audit: float):
    s = make(audit=audit)
    s.opened().go(30)
    s.desk.sweep()
    s.check()


def test_everything_is_reviewed_until_the_launch_is_over(make):
    s = make(guarantee=EASY | {"launch": 500})
    s.opened()
    assert s.loop.guarantee()[0].labels_used < 500
    while s.pure().launching:
        case = s.propose()
        assert case.route.inclusion == 1.0
        assert case.route.audited == (case.route.to == "autopilot")
        s.answer(case=case)
        s.loop.certify()
    s.go(1)
    assert min(s.loop.control.audits[""].shares) < 1.0
    assert s.check().labels >= 500


def test_scores_that_become_others_under_the_same_name_close_autopilot(stream):
    stream.opened().go(300)
    assert not stream.events(AlarmRaised)
    for _ in range(40):
        for _ in range(25):
            case = stream.propose(0.9 + stream.noise.random() / 10, wrong=False)
            if case.route.to == "human" or case.route.audited:
                stream.answer(case=case)
        if stream.events(AlarmRaised):
            break
    closed, alarm, began = stream.events(AutopilotClosed, AlarmRaised, EpochBegan)[-3:]
    assert "the scores are not what they were" in closed.reason
    assert (alarm.code, began.reason, stream.loop.control.thresholds) == ("scale", "scale", {})
    assert "edges" not in json.loads(began.promise)
    assert stream.propose(0.999).route.to == "human"
    stream.answer()
    for _ in range(20):
        if stream.loop.control.thresholds:
            break
        for _ in range(25):
            stream.propose(0.9 + stream.noise.random() / 10, wrong=False)
            stream.answer()
    assert stream.loop.control.closed == {}
    stream.check()
    assert problems(stream.desk) == []


def relabelled(stream: Stream, *labels: str) -> None:
    """The same loop with these labels."""
    stream.settings["labels"] = list(labels)
    stream.loop = stream.desk.loop("mail", **stream.settings)


@pytest.mark.parametrize("labels", [("a", "b"), ("a", "b", "c", "d"), ("a", "b", "d")], ids=str)
def test_other_labels_are_certified_by_nothing_yet(make, labels: tuple[str, ...]):
    """Removed, added or renamed: what was right before may be wrong now, so only what is decided now counts."""
    s = make(labels=["a", "b", "c"]).opened()
    before, certified = s.loop.control, s.loop.control.thresholds
    relabelled(s, "c", "b", "a")
    assert s.loop.control.thresholds == certified, "the order of labels is no matter"
    assert s.propose(0.999).route.to == "autopilot"
    relabelled(s, *labels)
    assert (s.loop.control.thresholds, s.loop.control.epoch) == ({}, before.epoch + 1)
    assert s.propose(0.999).route.to == "human"
    s.answer()
    s.loop.certify()
    began = s.events(EpochBegan)[-1]
    assert (began.cut, began.reason[:16]) == ("labels", "labels changed: ")
    assert [row["seq"] > began.after for row in s.loop.evidence()] == [True] * len(s.loop.evidence())
    assert "since the labels changed" in s.standing().reason or s.standing().state == "pilot"
    s.opened()
    s.check()
    assert s.desk.certifier.segments(s.loop.control)[""].since == began.after
    assert folded(s).to_dict() | {"seq": 0} == s.loop.control.to_dict() | {"seq": 0}
    assert problems(s.desk) == []


def test_other_labels_of_a_loop_without_a_guarantee_change_nothing_that_moved(make):
    s = make()
    loop = s.desk.loop("plain", mode="labels", labels=["a"], threshold=0.9, context="minimal")
    epoch = loop.control.epoch
    loop = s.desk.loop("plain", mode="labels", labels=["b"], threshold=0.9, context="minimal")
    assert (loop.control.epoch, loop.control.threshold_for(None)) == (epoch, 0.9)
