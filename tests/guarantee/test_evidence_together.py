"""Cases of one question, run or conversation through the desk: where they go, and that they count once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from burst import at_level
from certify_cases import EASY, Stream

import dualcontrol as dc
from dualcontrol.case import Case
from dualcontrol.errors import SettingsError
from dualcontrol.events import AlarmRaised, EvidenceCounted
from dualcontrol.guarantee.standing import words
from dualcontrol.route.capacity import JOINED

TALKS: dict[str, Any] = {**EASY, "independent_by": "meta.talk", "largest": 3, "within": "1m"}
Make = Callable[..., Stream]


def talk(stream: Stream, name: str, count: int = 1, **given: Any) -> list[Case]:
    """So many cases of one conversation, each answered with the truth where a person is to see it."""
    cases = []
    for _ in range(count):
        cases.append(stream.propose(meta={"talk": name}, **given))
        if cases[-1].route.to == "human" or cases[-1].route.audited:
            stream.answer(case=cases[-1])
    return cases


def closed(stream: Stream) -> None:
    """Time goes on until no conversation is open any more."""
    stream.clock.tick(180.0)
    stream.loop.certify()


def counted(stream: Stream) -> list[tuple[int, int]]:
    """(position, first position of the cluster) of every counted label, as the loop's stream has them."""
    events = stream.events(EvidenceCounted)
    return [(label[0], first) for e in events for label, first in zip(e.labels, e.clusters, strict=True)]


# where they go


def test_what_exceeds_the_largest_size_goes_to_people_and_is_no_evidence(make: Make) -> None:
    stream = make(guarantee={**TALKS, "pilot": 0})
    cases = talk(stream, "a", 5)
    assert [(c.route.to, c.route.score is None) for c in cases] == [("human", False)] * 3 + [("human", True)] * 2
    assert [c.route.cluster and (c.route.cluster.first, c.route.cluster.place) for c in cases] == [
        (cases[0].id, 1), (cases[0].id, 2), (cases[0].id, 3), None, None,
    ]  # fmt: skip
    assert cases[3].route.reason.endswith(
        f"; it has the same meta.talk as the 3 cases from {cases[0].id} on, which the guarantee counts as one"
    )
    closed(stream)
    assert len(stream.loop.evidence()) == 3


def test_a_conversation_that_comes_again_after_its_time_is_another(make: Make) -> None:
    stream = make(guarantee=TALKS)
    (first,) = talk(stream, "a")
    stream.clock.tick(59.0)
    (second,) = talk(stream, "a")
    (third,) = talk(stream, "a")
    assert [c.route.cluster.place for c in (first, second, third)] == [1, 2, 1], "after 60 and after 61 seconds"
    assert third.route.cluster.first == third.id


def test_a_case_that_does_not_say_what_it_belongs_to_goes_to_people(make: Make) -> None:
    stream = make(guarantee=TALKS)
    case = stream.propose(meta={"other": 1})
    assert (case.route.to, case.route.score, case.route.cluster) == ("human", None, None)
    assert case.route.reason.endswith("; it has no meta.talk, which tells the guarantee what belongs together")


def test_conversations_have_the_places_of_their_own_certificate(make: Make) -> None:
    """Each certificate counts its own cases, so a conversation across two segments is one piece of each."""
    stream = make(guarantee={**TALKS, "segments": ["eu", "us"]})
    cases = [stream.propose(meta={"talk": "a"}, segment=segment) for segment in ("eu", "us", "eu", "us")]
    assert [c.route.cluster.place for c in cases] == [1, 1, 2, 2]


def test_once_autopilot_is_open_the_rest_of_a_burst_still_goes_to_people(make: Make) -> None:
    stream = make(guarantee={**TALKS, "largest": 2, "max_error": 0.3})
    stream.risk = lambda score: 0.0
    for n in range(400):
        talk(stream, f"t{n}")
        if stream.loop.control.thresholds:
            break
        if n % 50 == 49:
            closed(stream)
    assert stream.loop.control.thresholds
    cases = [stream.propose(0.999, meta={"talk": "again"}) for _ in range(4)]
    assert [c.route.to for c in cases] == ["autopilot", "autopilot", "human", "human"]
    assert cases[2].route.by == "cluster"
    assert cases[2].route.reason == (
        f"it has the same meta.talk as the 2 cases from {cases[0].id} on, which the guarantee counts as one, so a "
        "human decides"
    )


def test_in_a_loop_with_capacity_a_question_asked_again_goes_to_people(make: Make) -> None:
    """Nothing is declared: load shedding may settle equal questions with one answer, so that they are one label."""
    stream = make(capacity={"reviewers": 3}, respond_within="15m")
    cases = [stream.propose(0.5, input="the same") for _ in range(3)]
    other = stream.propose(0.5, input="another")
    assert [c.route.score for c in (*cases, other)] == [0.5, None, None, 0.5]
    assert "the same question as the one case" in cases[1].route.reason


def test_no_row_of_a_batch_runs_where_what_belongs_together_is_declared(make: Make) -> None:
    """Who would look it up for a million rows?  They go to people, and are no evidence."""
    table = {"proposal": ["a"] * 4, "input": ["one", "one", "two", "two"], "confidence": [0.999] * 4}
    declared = make(guarantee={**EASY, "independent_by": "question"}).opened()
    batch = declared.loop.propose_batch(table)
    assert batch.counts == {"autopilot": 0, "human": 4, "blocked": 0, "audited": 0}
    assert {batch.names[by] for by in batch.by.tolist()} == {"cluster"}
    cases = [declared.desk.case(case_id) for case_id in batch.cases.values()]
    assert {(c.route.by, c.route.score) for c in cases} == {("cluster", None)}
    plain = make(capacity={"reviewers": 3}, respond_within="15m").opened()
    assert plain.loop.propose_batch(table).counts["autopilot"] == 4


# that they count once


def test_a_conversation_counts_once_it_is_closed_and_as_one(make: Make) -> None:
    stream = make(guarantee={**TALKS, "pilot": 0})
    a, b = talk(stream, "a", 2), talk(stream, "b", 3)
    talk(stream, "a", 1)
    talk(stream, "c", 1)
    stream.loop.certify()
    rows = stream.loop.evidence()
    assert len({row["cluster"] for row in rows}) == 2, "a and b are full, and c may go on"
    assert [row["seq"] > row["cluster"] for row in rows] == [False, True, True] * 2
    assert [row["cluster"] for row in rows][2] == rows[0]["seq"], "the third of a came after all of b, and counts first"
    closed(stream)
    assert len(stream.loop.evidence()) == 7
    assert len(a) + len(b) == 5


def test_one_that_is_open_holds_up_those_behind_it(make: Make) -> None:
    """In the order of opening: full ones first would count the large ones first."""
    stream = make(guarantee={**TALKS, "pilot": 0})
    talk(stream, "a")
    talk(stream, "b", 3)
    stream.loop.certify()
    assert stream.loop.evidence() == []
    closed(stream)
    assert len(stream.loop.evidence()) == 4


@pytest.mark.parametrize("interrupted", [False, True])
def test_what_was_counted_is_not_counted_again_after_a_restart(
    make: Make, tmp_path: Path, interrupted: bool
) -> None:  # fmt: skip
    """Of a cluster that is full at once, labels lie behind the first of the next: a restart must know them."""
    stream = make(f"sqlite:///{tmp_path}/together.db", guarantee={**TALKS, "pilot": 0})
    for n in range(6):
        talk(stream, f"a{n}", 2)
        talk(stream, f"b{n}", 1)
        talk(stream, f"a{n}", 2)
        stream.loop.certify()
        if interrupted:
            stream.restart()
    closed(stream)
    pairs = counted(stream)
    assert len(pairs) == len(set(pairs)) == 6 * 4
    assert len({first for _, first in pairs}) == 12
    stream.check()


def test_the_threshold_is_that_of_a_certificate_fed_with_the_evidence(make: Make) -> None:
    stream = make(guarantee={**TALKS, "max_error": 0.3})
    stream.risk = lambda score: 0.02
    for n in range(50):
        talk(stream, f"t{n}", 1 + n % 4, score=0.9)
    closed(stream)
    certificate = stream.check()
    assert (certificate.largest, len(certificate.steps)) == (3, 1)


@pytest.mark.parametrize("blind", [True, False])
def test_followers_are_as_right_or_wrong_as_their_leader_is_in_the_end(make: Make, blind: bool) -> None:
    """One answer, one second opinion: it says right, and then all of them are."""
    promise = {**EASY, "adjudicate": True, "independent_by": "question", "largest": 3, "pilot": 0, "blind": blind}
    stream = make(guarantee=promise, capacity={"reviewers": 3}, respond_within="15m")
    for person in ("ana", "ben"):
        stream.propose(0.5)
        stream.answer(person)
    at_level(stream.desk, stream.loop, JOINED)
    cases = [stream.propose(0.5, input="the same", wrong=False) for _ in range(3)]
    assert [c.leader for c in cases] == [None, cases[0].id, cases[0].id]
    stream.desk.claim("ana", "mail", case=cases[0]).label("b")
    assert [len(stream.desk.case(c.id).reviews) for c in cases] == [2, 0, 0]
    stream.desk.claim("ben", "mail", case=cases[0]).label("a")
    stream.clock.tick(2 * 86_400.0)
    stream.loop.certify()
    assert [row["wrong"] for row in stream.loop.evidence()][2:] == [0, 0, 0]
    unconfirmed = [pos for event in stream.events(EvidenceCounted) for pos in event.unconfirmed]
    opened = [entry.pos for entry in stream.desk.store.queries.entries(f"case/{cases[0].id}")][:1]
    assert unconfirmed == (opened if blind else [])  # of the leader, and not where the second saw the proposal


def test_monitor_and_bound_take_a_conversation_as_one(make: Make) -> None:
    stream = make(guarantee=TALKS)
    stream.propose(meta={"talk": "a"})
    stream.answer()
    closed(stream)
    (segment,) = stream.desk.certifier.segments(stream.loop.control).values()
    assert (segment.monitor.largest, segment.bound.largest) == (3, 3)


# settings


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"largest": 5}, "nothing says which cases belong together"),
        ({"independent_by": "metta.talk"}, "you mean 'meta'"),
        ({"independent_by": "meta"}, "name the field, such as meta.conversation"),
        ({"independent_by": "meta..x"}, "name the field"),
        ({"independent_by": "run", "largest": 0}, "from 1 to 1000"),
    ],
)
def test_settings_that_say_nothing_are_refused(given: dict[str, Any], says: str) -> None:
    with dc.open("sqlite:///:memory:") as desk, pytest.raises(SettingsError) as refusal:
        desk.loop("mail", mode="labels", guarantee={"max_error": 0.05, **given})
    assert says in f"{refusal.value} {refusal.value.hint}"


# bursts where nothing was declared


def burst(stream: Stream, count: int, size: int) -> None:
    """So many questions, each asked several times and answered each time."""
    for _ in range(count):
        question = len(stream.truth)
        for _ in range(size):
            stream.answer(case=stream.propose(0.5, input=f"question {question}"))


def alarms(stream: Stream) -> list[str]:
    return [event.reason for event in stream.events(AlarmRaised) if event.code == "bursts"]


def test_bursts_that_nobody_declared_are_shown_and_raise_one_alarm(make: Make, tmp_path: Path) -> None:
    stream = make(f"sqlite:///{tmp_path}/bursts.db", guarantee={**EASY, "pilot": 0, "max_error": 0.01})
    burst(stream, 4, 20)
    stream.loop.certify()
    standing = stream.standing()
    assert standing.labels_used == 80
    assert standing.labels_worth == pytest.approx(4.0)
    assert (
        "since cases belong together, they are worth about 4 independent ones"
        in words(stream.loop.control, standing).evidence
    )
    (reason,) = alarms(stream)
    assert reason.endswith('Give guarantee.independent_by = "question", or the field that says what belongs together')
    assert reason.startswith(
        "51 labels are worth about 3 independent ones: questions come again, 18.1 times on average"
    )
    stream.restart()
    burst(stream, 4, 20)
    stream.loop.certify()
    assert len(alarms(stream)) == 1, "once in an epoch, also after a restart"


def test_a_stream_without_bursts_raises_none(make: Make) -> None:
    stream = make(guarantee={**EASY, "pilot": 0, "max_error": 0.01})
    burst(stream, 60, 1)
    burst(stream, 5, 2)
    stream.loop.certify()
    assert stream.standing().labels_used == 70
    assert stream.standing().labels_worth == pytest.approx(70 / (80 / 70), abs=0.1)
    assert alarms(stream) == []


def test_bursts_of_one_segment_are_not_those_of_another(make: Make) -> None:
    stream = make(guarantee={**EASY, "pilot": 0, "segments": ["eu", "us"]})
    for n in range(60):
        for segment, question in (("eu", "always the same"), ("us", f"question {n}")):
            stream.answer(case=stream.propose(0.5, input=question, segment=segment))
    stream.loop.certify()
    assert [stream.standing(segment).labels_worth for segment in ("eu", "us")] == [1.0, 60.0]
    (reason,) = alarms(stream)
    assert reason.startswith("segment 'eu': ")
