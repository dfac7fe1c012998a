"""Labels are consumed in the order of decisions, behind the first that is outstanding; nothing is lost."""

from __future__ import annotations

import pytest
from certify_cases import EASY, Stream

from dualcontrol.events import EvidenceCounted

DAY = 86_400.0


def wrongs(stream: Stream) -> list[int]:
    return [row["wrong"] for row in stream.loop.evidence()]


def three(stream: Stream):
    """Three cases, of which the second is answered last."""
    cases = [stream.propose(0.5, wrong=False) for _ in range(3)]
    stream.answer(case=cases[0])
    stream.answer(case=cases[2])
    stream.desk.sweep()
    return cases


def test_an_unanswered_case_holds_up_all_later_ones(stream):
    cases = three(stream)
    assert wrongs(stream) == [0]
    stream.truth[cases[1].id] = "b"
    stream.answer(case=cases[1])
    stream.desk.sweep()
    assert wrongs(stream) == [0, 1, 0]


def test_what_is_not_answered_in_time_counts_as_an_error_and_a_late_answer_changes_nothing(stream):
    cases = three(stream)
    stream.clock.tick(7 * DAY - 10)
    stream.desk.sweep()
    assert wrongs(stream) == [0]
    stream.clock.tick(20)
    stream.desk.sweep()
    assert wrongs(stream) == [0, 1, 0]
    assert (stream.standing().missing, len(stream.events(EvidenceCounted)[-1].missing)) == (1, 1)
    stream.answer(case=cases[1])
    stream.desk.sweep()
    assert wrongs(stream) == [0, 1, 0]
    assert stream.desk.case(cases[1].id).outcome.verdict == "label"
    assert len(stream.loop.examples()) == 3
    stream.check()


def test_a_withdrawn_case_and_one_whose_time_ran_out_count_as_errors_at_once(make):
    s = make(respond_within="1m", on_timeout="reject")
    taken, late, last = (s.propose(0.5, wrong=False) for _ in range(3))
    s.desk.withdraw(taken.id)
    s.clock.tick(120)
    s.desk.sweep()
    assert wrongs(s) == [1, 1, 1]
    assert s.desk.case(late.id).outcome.by == s.desk.case(last.id).outcome.by == "timeout"


def test_a_held_case_waits_past_its_time(make):
    s = make(respond_within="1m", on_timeout="hold")
    case = s.propose(0.5, wrong=False)
    s.clock.tick(120)
    s.desk.sweep()
    assert wrongs(s) == []
    s.answer(case=case)
    s.desk.sweep()
    assert wrongs(s) == [0]


def test_an_erased_case_keeps_the_label_it_had_and_counts_as_an_error_without(stream):
    known, unknown = stream.propose(0.5, wrong=False), stream.propose(0.5, wrong=False)
    stream.answer(case=known)
    for case in (known, unknown):
        stream.desk.erase(case.id)
    stream.desk.sweep()
    assert wrongs(stream) == [0, 1]


def test_a_decision_counts_when_it_can_no_longer_be_taken_back(make):
    s = make(undo="1m")
    case = s.propose(0.5, wrong=True)
    s.answer(case=case)
    s.loop.certify()
    assert wrongs(s) == []
    s.desk.retract(case.id, "ana")
    s.truth[case.id] = "a"
    s.answer("ben", case=case)
    s.clock.tick(61)
    s.desk.sweep()
    assert wrongs(s) == [0]


@pytest.mark.parametrize("passing", ["abstain", "escalate", "release", "lapse"])
def test_a_review_that_is_passed_on_keeps_its_place(make, passing: str):
    s = make(lease="1m", groups={"reviewers": ["ana", "ben", "cleo"], "leads": ["cleo"]}, quorum={"arbiter": "leads"})
    first, second = s.propose(0.5, wrong=True), s.propose(0.5, wrong=False)
    claim = s.desk.claim("ana", case=first)
    s.clock.tick(61) if passing == "lapse" else getattr(claim, passing)()
    s.answer("ben", case=second)
    s.desk.sweep()
    assert wrongs(s) == []
    s.answer("cleo", case=first)
    s.desk.sweep()
    assert wrongs(s) == [1, 0]


def test_a_clock_that_runs_back_counts_nothing_as_late(stream):
    cases = three(stream)
    stream.clock.tick(-30 * DAY)
    stream.desk.sweep()
    assert wrongs(stream) == [0]
    stream.answer(case=cases[1])
    stream.desk.sweep()
    assert wrongs(stream) == [0, 0, 0]
    stream.opened()
    stream.check()


def test_answer_within_is_what_the_loop_says(make):
    s = make(guarantee=EASY | {"answer_within": "1h"})
    s.propose(0.5)
    s.clock.tick(3_601)
    s.desk.sweep()
    assert wrongs(s) == [1]


def test_one_desk_that_was_off_for_long_counts_answers_as_they_are(make, tmp_path):
    s = make(f"sqlite:///{tmp_path}/d.db")
    for _ in range(5):
        s.propose(0.5, wrong=False)
    for _ in range(5):
        s.answer()
    s.clock.tick(30 * DAY)
    s.restart()
    s.desk.sweep()
    assert wrongs(s) == [0] * 5
