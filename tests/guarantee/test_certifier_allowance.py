"""What a guarantee allows for people who miss errors: assumed, until blind answers to known errors say otherwise."""

from __future__ import annotations

import json
from typing import Any

import pytest
from certify_cases import EASY, OFTEN, PROMISE, People, miss_rate, problems
from hypothesis import given, settings
from hypothesis import strategies as st

from dualcontrol.events import EpochBegan, EvidenceCounted, ProbeScored, SettingsEvent
from dualcontrol.guarantee.certificate import Certificate
from dualcontrol.guarantee.certifier import LoopState
from dualcontrol.guarantee.evidence import Segment
from dualcontrol.guarantee.standing import words

# People who miss more


def test_people_who_miss_more_are_allowed_for_at_once_and_an_alarm_says_so(make, database_url: str):
    p = People(make, database_url, catch=0.6)
    while not p.alarms():
        p.go(20)
    p.go(20)
    first, *others = p.epochs()
    assert miss_rate(first) == 0.19
    assert first.measured is None
    assert others
    assert all(began.carried and began.measured for began in others)
    assert miss_rate(others[0]) > 0.5
    assert "people miss more than was allowed for" in others[0].reason
    (alarm,) = p.alarms()  # once
    assert alarm.reason.startswith("people miss more than is assumed: at least ")
    assert problems(p.stream.desk) == []
    (standing,) = p.stream.loop.guarantee()
    assert (standing.miss_rate, standing.measured) == (miss_rate(others[-1]), others[-1].measured)


def test_what_was_counted_is_counted_again_and_spends_nothing(make):
    p = People(make, catch=0.6)
    p.go(150)
    first, last = p.epochs()[0], p.epochs()[-1]
    assert last.carried
    before, after = json.loads(first.promise), json.loads(last.promise)
    assert {**after, "miss_rate": None} == {**before, "miss_rate": None}
    counted = sum(len(event.labels) - len(event.stale) for event in p.stream.events() if hasattr(event, "labels"))
    assert len(p.stream.loop.evidence()) == counted  # from the first label on
    live, pure = p.stream.desk.certifier.segments(p.stream.loop.control)[""].certificate, p.stream.check()
    assert pure.labels == counted - PROMISE["pilot"]
    assert live.miss_rate == pure.miss_rate == miss_rate(last)
    assert {**live.to_dict(), "seq": 0} == {**pure.to_dict(), "seq": 0}


def test_a_region_closes_that_the_new_allowance_does_not_carry(make):
    p = People(make, probes={"share": 0.0})
    p.stream.risk = lambda score: 0.2 * (1.0 - score)
    while not p.stream.loop.control.thresholds:
        p.go(50)
    s = p.stream
    s.risk, p.catch = lambda score: 0.8 * (1.0 - score), 0.6
    p.settle(probes=OFTEN)
    while not p.epochs()[-1].carried:
        p.go(20)
    last = p.epochs()[-1]
    assert miss_rate(last) > 0.5
    assert s.loop.control.thresholds == {}
    assert s.check().threshold is None


# People who miss less


def test_people_who_miss_little_are_believed_once_that_is_measured(make):
    p = People(make)
    p.go(260)
    last = p.epochs()[-1]
    assert last.carried
    assert miss_rate(last) <= 0.8 * 0.19
    assert p.alarms() == []
    p.stream.check()
    (standing,) = p.stream.loop.guarantee()
    said = words(p.stream.loop.control, standing).errors
    assert f"measured on {standing.measured} answers to known-wrong cases" in said
    assert "assuming" not in said
    assert standing.measured >= 70  # six bets at a hundredth: with no miss 35 pairs say nothing below 0.16
    p.settle(labels=["a", "b", "c"])
    p.go(2)
    anew = p.epochs()[-1]
    assert (anew.carried, anew.cut, miss_rate(anew), anew.measured) == (False, "labels", miss_rate(last), last.measured)


# Two people, of whom nobody is left for a blind probe


TWO = ("ana", "ben")


def test_two_people_who_miss_more_are_allowed_for_by_their_second_answers(make, database_url: str):
    p = People(make, database_url, catch=0.5, team=TWO)
    while not p.epochs()[-1:] or not p.epochs()[-1].carried:
        p.go(50)
    first, other, *_ = p.epochs()
    assert (miss_rate(first), first.measured, first.by_second) == (0.19, None, False)
    assert (other.carried, other.by_second) == (True, True)
    assert miss_rate(other) > 0.5
    assert 'second answers, of which each that took a first "wrong" back counts as a miss' in other.reason
    assert p.alarms() == []  # nothing is proven of who was right
    assert p.stream.desk.prober.blind(p.stream.loop.control).answers == 0
    unconfirmed = [e for e in p.stream.events(EvidenceCounted) if e.unconfirmed]
    labels = {label[0]: label for event in unconfirmed for label in event.labels}
    assert all(labels[pos][2] == 0 for event in unconfirmed for pos in event.unconfirmed)
    assert other.measured == sum(
        len(e.unconfirmed) + sum(label[2] for label in e.labels)
        for e in p.stream.events(EvidenceCounted)[: _before(p, other)]
    )
    p.stream.check()
    assert problems(p.stream.desk) == []
    (standing,) = p.stream.loop.guarantee()
    assert standing.by_second
    assert f"measured on {standing.measured} second answers" in words(p.stream.loop.control, standing).errors
    assert "a third person would be measured" in words(p.stream.loop.control, standing).lapses


def _before(p: People, began: EpochBegan) -> int:
    """How many times evidence was counted before an epoch began."""
    events = p.stream.events(EvidenceCounted, EpochBegan)
    return sum(isinstance(event, EvidenceCounted) for event in events[: events.index(began)])


def test_two_people_with_false_alarms_are_not_taken_to_miss_errors(make):
    p = People(make, catch=0.97, false=0.06, team=TWO)
    while not p.stream.loop.control.thresholds:
        p.go(50)
    assert all(miss_rate(began) == 0.19 for began in p.epochs())
    assert sum(len(e.unconfirmed) for e in p.stream.events(EvidenceCounted)) >= 5


def test_second_answers_of_two_people_are_folded_alike_by_every_desk(make, tmp_path):
    p = People(make, f"sqlite:///{tmp_path}/dc.db", catch=0.5, team=TWO)
    for _ in range(4):
        p.go(150)
        before = p.stream.desk.certifier._loops["mail"].seconds
        p.stream.restart()
        p.stream.desk.certifier.segments(p.stream.loop.control)
        after = p.stream.desk.certifier._loops["mail"].seconds
        assert after.lost(0.005) == before.lost(0.005)
    assert p.epochs()[-1].by_second
    assert after.answers != [0, 0]
    p.stream.check()


def test_second_answers_count_once_and_without_those_of_earlier_epochs_or_that_nobody_gave():
    labels = [(pos, "0.5", int(pos % 4 == 0), "1.0", 0, 0) for pos in range(1, 401)]
    common = {"at": 1, "segment": "", "epoch": 1}
    first = EvidenceCounted(
        labels=tuple(labels[:300]), upto=300, stale=(1, 4), missing=(8,), unconfirmed=(3,), **common
    )
    again = EvidenceCounted(labels=tuple(labels[:350]), upto=350, **common)  # a warm start counts from the beginning
    other = EvidenceCounted(labels=tuple(labels[:10]), upto=10, **{**common, "segment": "x"})
    state = LoopState("mail")
    state.note(first)
    assert (sum(state.seconds.answers), sum(state.seconds.confirmed), sum(state.seconds.unconfirmed)) == (297, 73, 1)
    state.note(again)
    assert (sum(state.seconds.answers), sum(state.seconds.confirmed), sum(state.seconds.unconfirmed)) == (347, 85, 1)
    state.note(other)
    assert sum(state.seconds.answers) == 357


def test_what_was_doubted_is_assumed_again_where_three_see_every_error(make):
    p = People(make, catch=0.5, team=TWO)
    while not p.epochs()[-1:] or not p.epochs()[-1].carried:
        p.go(50)
    assert p.epochs()[-1].by_second
    p.team, p.catch = ("ana", "ben", "cal"), 1.0
    while p.epochs()[-1].by_second:
        p.go(50)
    last = p.epochs()[-1]
    assert (last.carried, last.by_second, last.measured, miss_rate(last)) == (True, False, None, 0.19)
    assert "no longer say that people miss more than is assumed: 19 % of errors" in last.reason


# Where nothing is measured


def test_a_declared_rate_stays_and_an_alarm_says_that_probes_contradict_it(make):
    p = People(make, catch=0.6, guarantee={**PROMISE, "miss_rate": 0.05})
    p.go(150)
    assert [miss_rate(began) for began in p.epochs()] == [0.05]
    (alarm,) = p.alarms()
    assert "declared (miss_rate)" in alarm.reason


@pytest.mark.parametrize(
    "changes", [{"probes": {"share": 0.0}}, {"guarantee": EASY}, {"guarantee": {**PROMISE, "blind": False}}]
)
def test_without_blind_probes_nothing_is_kept_for_them(make, changes: dict[str, Any]):
    p = People(make, catch=0.6, **changes)
    p.go(60)
    assert all("kept" not in json.loads(began.promise) for began in p.epochs())
    assert [began.carried for began in p.epochs()] == [False]


def test_what_is_kept_is_a_tenth_of_delta(make):
    p = People(make)
    p.go(30)
    promise = json.loads(p.epochs()[0].promise)
    assert promise["kept"] == 0.1
    assert p.stream.pure().delta == pytest.approx(0.2 * 0.9 / 2)


# Replicas and restarts


def test_a_desk_that_starts_again_folds_the_same(make, tmp_path):
    p = People(make, f"sqlite:///{tmp_path}/dc.db", catch=0.6)
    for _ in range(4):
        p.go(40)
        before = p.stream.desk.certifier.segments(p.stream.loop.control)[""]
        p.stream.restart()
        after = p.stream.desk.certifier.segments(p.stream.loop.control)[""]
        for name in ("certificate", "monitor", "bound"):
            assert getattr(after, name).to_dict() == getattr(before, name).to_dict()
        assert (after.missing, after.shown, after.since, after.upto) == (
            before.missing,
            before.shown,
            before.since,
            before.upto,
        )
    assert p.epochs()[-1].carried
    assert len(p.alarms()) == 1
    p.stream.check()


def test_two_desks_take_turns(make, tmp_path):
    p = People(make, f"sqlite:///{tmp_path}/dc.db", catch=0.6)
    with p.stream.open() as other:
        for turn in range(6):
            p.go(30, desk=other if turn % 2 else p.stream.desk)
        assert len(p.alarms()) == 1
        epochs = p.epochs()
        assert [b.epoch for b in epochs] == sorted({b.epoch for b in epochs})
        one, two = (desk.certifier.segments(p.stream.loop.control)[""] for desk in (p.stream.desk, other))
        assert one.certificate.to_dict() == two.certificate.to_dict()
        assert one.monitor.to_dict() == two.monitor.to_dict()
        assert one.bound.to_dict() == two.bound.to_dict()
    p.stream.check()


def test_two_people_get_the_same_error(make):
    p = People(make, catch=0.7)
    p.go(250)
    queries = p.stream.desk.store.queries
    known = [case for case in queries.probes(p.stream.loop.control.loop_id, 0)
             if case.scored.wrong and case.scored.blind and case.scored.rejected is not None]  # fmt: skip
    of: dict[str, list[str]] = {}
    for case in known:
        of.setdefault(case.parent, []).append(case.answered[0].actor.person)
    assert max(map(len, of.values())) == 2
    assert sum(len(people) == 2 for people in of.values()) >= len(of) / 2
    assert all(len(set(people)) == len(people) for people in of.values())
    blind = p.stream.desk.prober.blind(p.stream.loop.control)
    assert blind.answers == len(known)
    assert blind.pairs.of == sum(len(people) == 2 for people in of.values())


def test_events_of_probes_can_be_read_again(make):
    p = People(make)
    p.go(40)
    queries = p.stream.desk.store.queries
    case = next(iter(queries.probes(p.stream.loop.control.loop_id, 0)))
    events = [event for entry in queries.entries(f"case/{case.id}") for event in entry.events]
    assert any(isinstance(event, ProbeScored) for event in events)
    assert p.stream.events(SettingsEvent)


# A higher allowance certifies nothing that a lower one would not


LABELS = st.lists(
    st.tuples(st.integers(0, 9), st.booleans(), st.sampled_from([0.1, 0.5, 1.0])), min_size=1, max_size=120
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(LABELS, st.floats(0.0, 0.9), st.floats(0.0, 0.9), st.integers(1, 3))
def test_a_higher_allowance_certifies_no_region_earlier(labels, one: float, other: float, largest: int):
    low, high = sorted((one, other))
    certificates = [
        Certificate(0.4, 0.6, edges=[0.3, 0.6], first=1, floor=0.1, miss_rate=rate, largest=largest)
        for rate in (low, high)
    ]
    for seq, (place, wrong, inclusion) in enumerate(labels):
        for certificate in certificates:
            cluster = seq - seq % largest if largest > 1 else None
            certificate.observe(
                score=place / 10, wrong=wrong and seq % 4 == 0, inclusion=inclusion, seq=seq, cluster=cluster, floor=0.1
            )
        if seq % largest == largest - 1:
            for certificate in certificates:
                certificate.tick(seq)
            lenient, strict = (c.evidence() for c in certificates)
            reached, needed = (1.0 if e["threshold"] is None else e["threshold"] for e in (lenient, strict))
            assert reached <= needed
            if lenient["next_threshold"] == strict["next_threshold"] is not None:
                assert strict["log_wealth"] <= lenient["log_wealth"] + 1e-9


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), min_size=40, max_size=40), st.floats(0.0, 0.9), st.floats(0.0, 0.9))
def test_nor_does_the_exact_test_of_a_launch(wrongs, one: float, other: float):
    low, high = sorted((one, other))
    certificates = [
        Certificate(0.6, 0.5, edges=[0.5], first=1, launch=40, miss_rate=rate) for rate in (low, high)
    ]  # fmt: skip
    for certificate in certificates:
        for seq, wrong in enumerate(wrongs):
            certificate.observe(score=seq % 2, wrong=wrong, inclusion=1.0, seq=seq)
        certificate.tick()
    lenient, strict = (99 if c.bin is None else c.bin for c in certificates)
    assert lenient <= strict


# The monitor and the running bound go on


def test_the_monitor_and_the_running_bound_go_on_with_the_other_allowance():
    promise = {"max_error": 0.1, "confidence": 0.95, "edges": [0.5], "floor": 0.1}
    common = {"version": 1, "at": 1, "segment": "", "reason": "test"}
    first = EpochBegan(epoch=1, promise=json.dumps(promise), **common)
    labels = tuple((pos, "0.9", int(pos % 5 == 0), "0.5", 1, 3) for pos in range(1, 41))
    counted = EvidenceCounted(at=2, segment="", epoch=1, upto=40, labels=labels)
    segment = Segment(first, None)
    segment.fold(counted)
    other = EpochBegan(epoch=2, promise=json.dumps(promise | {"miss_rate": 0.5}), carried=True, measured=40, **common)
    carried = Segment(other, segment)
    assert carried.monitor.value == segment.monitor.value > 2.0
    assert (carried.monitor.labels, carried.monitor.miss_rate) == (40, 0.5)
    assert carried.bound.cases == segment.bound.cases == 160
    assert carried.bound.upper == pytest.approx(min(1.0, 2 * segment.bound.upper))
    assert carried.upto == 40
    assert carried.certificate.labels == segment.certificate.labels == 40
    again = EvidenceCounted(at=3, segment="", epoch=2, upto=41, labels=((41, "0.9", 1, "0.5", 1, 0),))
    carried.fold(again)
    segment.fold(again)
    assert carried.monitor.value > segment.monitor.value  # an error weighs twice as much from here on
