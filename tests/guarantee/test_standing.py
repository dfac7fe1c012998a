"""What a guarantee stands at: each state with its reason, in words that a risk owner can act on."""

from __future__ import annotations

from typing import Any

import pytest
from certify_cases import EASY, Stream

from dualcontrol.events import AlarmRaised, AutopilotClosed, EvidenceCounted, ThresholdMoved
from dualcontrol.guarantee.certificate import Certificate
from dualcontrol.guarantee.standing import words

# What the words are kept free of: none of these says anything to somebody who has not read the code.
JARGON = ("wealth", "martingale", "delta", "null", "bin", "epoch", "evidence", "label", "inclusion", "certificate")


def said(stream: Stream, state: str, *parts: str, segment: str = "") -> Any:
    """The standing, which is in this state and says these things, in plain words."""
    found = stream.standing(segment)
    assert found.state == state, found.reason
    for part in parts:
        assert part in found.reason, found.reason
    plain = found.reason.replace(f"learned by {found.scorer}", "")
    assert not [word for word in JARGON if word in plain.lower()], found.reason
    assert not found.reason.endswith(".")
    return found


def least(max_error: float, spent: int = 0) -> int:
    """How many answers without an error the surest fifth of cases takes, after so many epochs."""
    return Certificate(max_error, edges=[], spent=spent).fewest


def closed(stream: Stream, reason: str, segment: str = "") -> None:
    """Somebody closes autopilot."""
    said = {"segment": segment, "cause": "person", "reason": reason}
    stream.desk.steps.move("mail", lambda now, at: [AutopilotClosed(version=now.version + 1, at=at, **said)])


def test_without_a_guarantee_nothing_is_said_of_errors(make):
    s = make()
    loop = s.desk.loop("plain", mode="labels", context="minimal", threshold=0.9)
    (found,) = loop.guarantee()
    assert (found.state, found.reason) == ("off", "this loop has no guarantee")
    assert (found.max_error, found.threshold, found.labels_needed) == (None, None, None)


def test_before_the_first_decision_it_waits_and_says_what_it_takes(make):
    said(
        make(), "waiting", "no decision was counted yet, so everything goes to humans. The first 20 answers show how "
        f"the scores lie, and prove nothing. Then at least {least(0.2)} answers on the surest cases must find no "
        f"error: about {20 + 5 * least(0.2)} answers in all",
    )  # fmt: skip


def test_without_a_pilot_nothing_is_said_of_it(make):
    found = said(make(guarantee=EASY | {"pilot": 0}), "waiting", f"Then at least {least(0.2)} answers")
    assert "show how the scores lie" not in found.reason
    assert found.labels_needed == 5 * least(0.2)


def test_another_promise_waits_again_for_itself(make):
    s = make()
    s.go(25)
    s.settings["guarantee"] = EASY | {"max_error": 0.1}
    s.loop = s.desk.loop("mail", **s.settings)
    said(s, "waiting", "no decision was counted yet for this promise", f"at least {least(0.1, 1)} answers")


def test_a_learned_score_is_learned_first(make):
    s = make(guarantee=EASY | {"score": "risk", "learn_from": 400})
    said(s, "waiting", "First the score is learned from the first 400 decided cases")


def test_in_the_shadow_it_waits_for_nothing(make):
    s = make(start="shadow")
    s.propose()
    s.loop.certify()
    said(s, "waiting", "The loop only watches, so nobody is asked and nothing will be counted")


@pytest.mark.parametrize(("answers", "left"), [(8, "12 more answers are needed"), (19, "1 more answer is needed")])
def test_the_pilot_says_how_many_answers_are_left(make, answers: int, left: str):
    s = make()
    s.go(answers)
    s.loop.certify()
    found = said(s, "pilot", f"{left} to see how the scores lie; everything goes to humans")
    assert (found.threshold, found.certified_coverage, found.labels_used) == (None, 0.0, 0)


def test_while_answers_are_collected_it_says_what_was_found_and_what_it_takes(make):
    s = make()
    s.go(60)
    s.loop.certify()
    found = said(s, "collecting", "nothing is certified: ", "surest cases count as wrong, and 20 % may be")
    assert f"About {found.labels_needed} more answers are needed" in found.reason
    assert found.labels_used == 40
    assert words(s.loop.control, found).headline == "Nothing is certified: everything goes to humans."


def test_right_after_the_pilot_nothing_was_found_yet(make):
    s = make()
    s.go(20)
    s.loop.certify()
    found = said(s, "collecting", "nothing is certified: no answer on the surest cases was counted yet")
    assert found.labels_needed == 5 * least(0.2)


def test_where_too_much_is_wrong_it_says_that_more_of_the_same_does_not_help(make):
    s = make()
    for _ in range(80):
        s.answer(case=s.propose(s.noise.random(), wrong=s.noise.random() < 0.6))
    s.loop.certify()
    found = said(s, "collecting", "More answers like these would not change that")
    assert "When 2,000 are counted, another group of the surest cases is tried" in found.reason
    assert found.labels_needed is None
    assert "more answers alone will not do it" in words(s.loop.control, found).lapses


@pytest.mark.parametrize(
    ("guarantee", "says"),
    [
        ({"adjudicate": True}, "A proposal counts as wrong once a second reviewer says so too"),
        ({}, "Nobody is asked twice, so errors of reviewers count as errors of the model"),
        ({"miss_rate": 0.1}, "of the model, and 10 % of errors are taken to be missed"),
    ],
)
def test_it_says_whose_errors_count(make, guarantee: dict[str, Any], says: str):
    s = make(guarantee=EASY | guarantee)
    s.go(25)
    s.loop.certify()
    said(s, "collecting", says)


def test_it_says_what_is_assumed_of_people_whom_nobody_has_measured(make):
    s = make(guarantee=EASY | {"adjudicate": True, "miss_rate": None})
    s.go(25)
    s.loop.certify()
    (status,) = s.loop.guarantee()
    assert status.miss_rate == 0.19
    assumed = "assuming that people notice at least 90 % of wrong proposals; not measured yet"
    assert assumed in words(s.loop.control, status).errors
    declared = make(guarantee=EASY | {"adjudicate": True, "miss_rate": 0.1})
    declared.go(25)
    assert assumed not in words(declared.loop.control, declared.loop.guarantee()[0]).errors


def test_the_running_bound_goes_on_under_another_miss_rate(make):
    s = make().opened()
    before = s.desk.certifier.segments(s.loop.control)[""].bound
    s.loop = s.desk.loop("mail", **(s.settings | {"guarantee": EASY | {"miss_rate": 0.5}}))
    s.go(3)
    s.loop.certify()
    after = s.desk.certifier.segments(s.loop.control)[""].bound
    assert (after.miss_rate, before.miss_rate) == (0.5, 0.0)
    assert after.cases >= before.cases > 0


def test_what_is_certified_is_said_in_one_sentence(make):
    s = make().opened()
    threshold = s.loop.control.thresholds[""]
    found = said(
        s, "certified", f"at most 20 % of what autopilot does from {threshold:.4g} on is wrong, with 95 % confidence, "
        "while model and cases stay as they are. Nobody is asked twice",
    )  # fmt: skip
    assert (found.threshold, found.certified_coverage > 0.0) == (threshold, True)


def test_what_is_certified_in_a_loop_that_only_suggests_says_that(make):
    s = make(start="suggest").opened()
    said(s, "certified", "The loop only suggests, so nothing goes to autopilot all the same")
    assert s.propose(0.999).route.to == "human"


def test_each_segment_has_its_own_standing(make):
    s = make(guarantee=EASY | {"segments": ["x", "y"]}).opened(segment="x")
    assert [of.segment for of in s.loop.guarantee()] == ["x", "y"]
    said(s, "certified", segment="x")
    said(s, "waiting", segment="y")
    closed(s, "somebody wants to look", "x")
    said(s, "closed", segment="x")
    said(s, "waiting", segment="y")


@pytest.mark.parametrize(("count", "says"), [(0, "No decision was counted yet"), (8, "12 more answers are needed"),
                                             (60, "Nothing is certified: ")])  # fmt: skip
def test_what_closed_autopilot_is_said_before_anything_else(make, count: int, says: str):
    s = make()
    s.go(count)
    s.loop.certify()
    closed(s, "somebody wants to look")
    assert said(s, "closed", says).reason.startswith("autopilot is closed: somebody wants to look. ")


def test_what_is_certified_stands_by_while_autopilot_is_closed(make):
    s = make().opened()
    closed(s, "somebody wants to look")
    found = said(s, "closed", "What is certified stands by for when it opens: at most 20 % of what autopilot does")
    assert "What was certified still stands" in words(s.loop.control, found).lapses
    assert s.propose(0.999).route.to == "human"


def test_after_an_alarm_it_says_what_was_found_and_counts_from_there(make):
    s = make(audit=0.5).opened()
    while not s.events(AlarmRaised):
        case = s.propose(0.999, wrong=True)
        if case.route.to == "human" or case.route.audited:
            s.answer(case=case)
    monitor = "autopilot is closed: the monitor found that more than 20 % of what autopilot does is wrong by now"
    said(s, "closed", monitor, "no answer on the surest cases was counted since the alarm")
    for _ in range(3):
        s.answer(case=s.propose(0.999, wrong=True))
    s.desk.sweep()
    said(s, "closed", "since the alarm 3 of the 3 surest cases count as wrong, and 20 % may be")


@pytest.mark.parametrize(
    ("count", "says"),
    [
        (1, "1 case counts as wrong because nobody answered it within 1h"),
        (3, "3 cases count as wrong because nobody answered them within 1h"),
    ],
)
def test_silence_is_told_apart_from_errors(make, count: int, says: str):
    s = make(guarantee=EASY | {"answer_within": "1h", "pilot": 0})
    for _ in range(count):
        s.propose(0.999)
    s.clock.tick(3_601)
    s.desk.sweep()
    found = said(s, "collecting", says, "answer in time, or set a longer answer_within")
    assert found.missing == count
    s.answer(case=s.propose(0.999, wrong=False))
    s.desk.sweep()
    assert s.standing().missing == count


@pytest.mark.parametrize(
    ("launch", "how"), [(0, "the answers carry it: from "), (40, "the first answers, tested all at once, carry it: ")]
)
def test_a_threshold_that_moves_says_by_what(make, launch: int, how: str):
    s = make(guarantee=EASY | {"launch": launch, "pilot": 0, "max_error": 0.4})
    for n in range(120):
        s.answer(case=s.propose(0.5 + n % 50 / 100, wrong=False))
        if s.loop.control.thresholds:
            break
    moved = s.events(ThresholdMoved)[-1]
    assert moved.reason.startswith(how), moved.reason
    assert "on at most 40 % are wrong, with 95 % confidence; that is " in moved.reason
    assert not [word for word in JARGON if word in moved.reason]


def test_it_says_which_answers_counted(make):
    s = make(guarantee=EASY | {"blind": True}).opened()
    for _ in range(30):
        s.answer(case=s.propose(0.001))
    s.loop.certify()
    found = s.standing()
    assert found.blind
    assert found.shown > 10
    evidence = words(s.loop.control, found).evidence
    assert f"{found.labels_used} blind answers were counted" in evidence
    assert "Nobody had seen the proposal before they gave them" in evidence
    assert f"{found.shown} more decisions with the proposal shown did not count" in evidence
    assert "blind = false" not in words(s.loop.control, found).errors


def test_where_shown_answers_count_it_says_what_that_assumes(make):
    s = make().opened()
    found = s.standing()
    text = words(s.loop.control, found)
    assert (found.blind, found.shown) == (False, 0)
    assert "blind answers" not in text.evidence
    assert "(blind = false): what is promised assumes that they find as many errors" in text.errors


def test_evidence_of_before_is_not_called_blind(make):
    """What an older version counted says nothing of how people were asked."""
    s = make(guarantee=EASY | {"blind": True})
    s.go(40)
    s.loop.certify()
    assert s.standing().blind
    labels = ((10**6, "0.5", 0, "1.0", 0, 0),)
    s.desk.steps.move("mail", lambda now, at: [
        EvidenceCounted(at=at, segment="", epoch=now.epochs[""], upto=10**6, labels=labels)
    ])  # fmt: skip
    assert not s.standing().blind
    assert "of a time when answers counted although the proposal" in words(s.loop.control, s.standing()).evidence
