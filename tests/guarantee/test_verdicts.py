"""Adjudication: a first "wrong" waits for a second word, unless there is nobody to give one."""

from __future__ import annotations

import pytest
from certify_cases import EASY, Stream

TWICE = {"guarantee": EASY | {"adjudicate": True, "miss_rate": None, "pilot": 0}}


def wrongs(stream: Stream) -> list[int]:
    stream.desk.sweep()
    return [row["wrong"] for row in stream.loop.evidence()]


def settled(stream: Stream) -> Stream:
    """Two people have answered."""
    for person in ("ana", "ben"):
        stream.propose(0.5, wrong=False)
        stream.answer(person)
    return stream


@pytest.mark.parametrize(("second", "wrong"), [("a", 0), ("b", 1), ("c", 1)])
def test_the_second_word_stands(make, second: str, wrong: int):
    s = settled(make(**TWICE))
    case, later = s.propose(0.5, wrong=True), s.propose(0.5, wrong=False)
    s.answer("ana", case=case)
    s.answer("ana", case=later)
    assert wrongs(s) == [0, 0]
    s.truth[case.id] = second
    s.answer("ben", case=case)
    assert wrongs(s) == [0, 0, wrong, 0]


def test_a_second_word_that_nobody_gives_is_an_error_when_its_time_is_over(make):
    s = settled(make(**TWICE))
    case = s.propose(0.5, wrong=True)
    s.answer("ana", case=case)
    assert wrongs(s) == [0, 0]
    s.clock.tick(8 * 86_400)
    assert wrongs(s) == [0, 0, 1]
    assert s.standing().missing == 1


def test_one_reviewer_alone_is_believed_at_once(make):
    s = make(**TWICE)
    for wrong in (False, True, False):
        s.propose(0.5, wrong=wrong)
        s.answer()
    assert wrongs(s) == [0, 1, 0]


def test_who_answered_before_a_restart_can_still_be_asked(make, tmp_path):
    s = settled(make(f"sqlite:///{tmp_path}/d.db", **TWICE))
    s.desk.sweep()
    s.restart()
    case = s.propose(0.5, wrong=True)
    s.answer("ana", case=case)
    assert wrongs(s) == [0, 0]
    s.truth[case.id] = "a"
    s.answer("ben", case=case)
    assert wrongs(s) == [0, 0, 0]


def test_a_second_reviewer_who_comes_late_is_noticed(make):
    """The second rows of cases that counted at once are answered too; from then on there are two people."""
    s = make(**TWICE)
    first = s.propose(0.5, wrong=True)
    s.answer("ana", case=first)
    assert wrongs(s) == [1]
    s.answer("ben", case=first)
    later = s.propose(0.5, wrong=True)
    s.answer("ana", case=later)
    assert wrongs(s) == [1]


def test_audits_are_adjudicated_as_well(make):
    s = settled(make(**{"guarantee": TWICE["guarantee"] | {"pilot": 20}, "audit": 0.9}))
    while not s.loop.control.thresholds:
        s.propose(wrong=False)
        s.answer()
    audited = next(c for c in iter(lambda: s.propose(0.999, wrong=True), None) if c.route.audited)
    before = len(wrongs(s))
    s.answer("ana", case=audited)
    assert len(wrongs(s)) == before
    s.answer("ben", case=audited)
    assert len(wrongs(s)) > before
    s.check()


@pytest.mark.parametrize(
    ("given", "missed"),
    [({"adjudicate": False}, 0.75), ({"adjudicate": True}, 0.19), ({"adjudicate": False, "miss_rate": 0.1}, 0.1)],
)
def test_reviewers_whom_nobody_checks_are_taken_to_miss_errors(make, given, missed: float):
    s = make(guarantee={"max_error": 0.2, "pilot": 0, "launch": 0, **given})
    s.go(1)
    assert s.pure().miss_rate == missed
